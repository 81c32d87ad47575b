//! Slurm's commands: what is asked and what is read from the answers. A controller that does not answer is no error of a run.

use crate::error::{Result, resource, usage};
use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A task of a job array: its job and its place.
pub type TaskId = (u64, u64);

/// What `squeue` says of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// Slurm's word, such as `RUNNING`.
    pub state: String,
    /// Name of its job.
    pub name: String,
    /// Where it is or was.
    pub node: String,
    /// Seconds that it has run.
    pub seconds: f64,
    /// Why it waits, or why it ended.
    pub reason: String,
}

impl TaskState {
    /// Whether it may still do something: it waits, works, or is on its way from one to the other.
    pub fn is_alive(&self) -> bool {
        let alive = ["PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESIZING"];
        let alive = alive.iter().chain(&["SIGNALING", "STAGE_OUT", "STOPPED", "SPECIAL_EXIT", "RESV_DEL_HOLD"]);
        alive.into_iter().any(|word| *word == self.state)
    }

    /// Whether it waits for somebody to release it after it could not be started: that may be for ever.
    pub fn is_stuck(&self) -> bool {
        self.state == "PENDING" && self.reason.to_lowercase().replace('_', " ").contains("launch failed")
    }

    /// Whether it works.
    pub fn is_running(&self) -> bool {
        self.state == "RUNNING"
    }
}

/// All tasks of this user.
pub type Snapshot = HashMap<TaskId, TaskState>;

/// Why a submission was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// More tasks than are permitted now; later there may be room.
    Full(String),
    /// The controller did not answer; it may have taken the job all the same.
    NoAnswer(String),
    /// It never will be taken.
    Never(String),
}

/// Runs a command and returns what it printed, or what it complained of. A Ctrl-C at the terminal is for us, not for it.
fn ask(program: &str, arguments: &[&str]) -> std::result::Result<String, String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).process_group(0).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
    Err(if said.is_empty() { format!("{program}: {}", output.status) } else { said })
}

/// Refuses to go on without Slurm's commands, a controller, or with words that `sbatch` does not take. Nothing has been spent.
///
/// # Errors
/// [`crate::error::Error::Resource`] without Slurm, [`crate::error::Error::Usage`] for the words.
pub fn check(words: &[String]) -> Result<()> {
    for program in ["sbatch", "squeue", "scancel", "scontrol"] {
        if let Err(e) = Command::new(program).arg("--version").output() {
            let advice = "--on slurm needs Slurm's commands sbatch, squeue, scancel and scontrol on this machine; use a machine of a cluster, or --on local";
            return Err(resource!("'{program}' cannot be run ({e}); {advice}"));
        }
    }
    ask("scontrol", &["ping"]).map_err(|said| resource!("Slurm's controller does not answer: {said}; wait for it, or use --on local"))?;
    let folder = tempfile::tempdir().map_err(|e| crate::error::Error::writing(std::env::temp_dir(), &e))?;
    let script = folder.path().join("nothing.sh");
    std::fs::write(&script, "#!/bin/sh\n").map_err(|e| crate::error::Error::writing(&script, &e))?;
    let script = script.display().to_string();
    let mut all = vec!["--test-only", "--array=0"];
    all.extend(words.iter().map(String::as_str));
    all.push(&script);
    let test = ask("sbatch", &all);
    test.map(drop).map_err(|said| usage!("sbatch refuses '{}': {said}; change --sbatch", words.join(" ")))
}

/// Sends a script as an array of so many tasks, at most `at_once` of them at a time. Returns the number of the job.
pub fn submit(
    words: &[String],
    (name, script, output): (&str, &Path, &str),
    (tasks, at_once): (usize, Option<u64>),
) -> std::result::Result<u64, Refusal> {
    let throttle = at_once.map_or_else(String::new, |n| format!("%{n}"));
    let own = [
        "--parsable".into(),
        "--requeue".into(),
        "--open-mode=append".into(),
        // The batch shell becomes naslab, so that the signal reaches it.
        format!("--signal=B:USR1@{WARNING_SECONDS}"),
        format!("--output={output}"),
    ];
    let last = [format!("--job-name={name}"), format!("--array=0-{}{throttle}", tasks - 1), script.display().to_string()];
    let all: Vec<&str> = own.iter().chain(words).chain(&last).map(String::as_str).collect();
    let said = ask("sbatch", &all).map_err(refusal)?;
    let number = said.trim().split(';').next().unwrap_or_default().parse();
    number.map_err(|_| Refusal::NoAnswer(format!("sbatch answered {:?} instead of a number", said.trim())))
}

/// Seconds before the end of its time at which a task is warned. Slurm may be up to a minute early.
const WARNING_SECONDS: u64 = 60;

fn refusal(said: String) -> Refusal {
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if has(&["MaxSubmit", "temporarily un"]) {
        return Refusal::Full(said);
    }
    let silence =
        ["Unable to contact", "timed out", "Connection refused", "Zero Bytes", "not responding", "Communication", "Unexpected message"];
    if has(&silence) {
        return Refusal::NoAnswer(said);
    }
    Refusal::Never(said)
}

/// All tasks of this user in one call, those too that ended a while ago; why not, if there is no answer.
pub fn snapshot() -> std::result::Result<Snapshot, String> {
    let format = "--format=%F|%K|%T|%j|%N|%M|%r";
    Ok(ask("squeue", &["--me", "--array", "--noheader", "--states=all", format])?.lines().filter_map(task_of).collect())
}

/// Number of the array with this name, whatever its tasks do, as long as Slurm knows it.
pub fn find(queue: &Snapshot, name: &str) -> Option<u64> {
    queue.iter().find(|(_, task)| task.name == name).map(|((number, _), _)| *number)
}

fn task_of(line: &str) -> Option<(TaskId, TaskState)> {
    let [job, index, state, name, node, used, reason] = line.trim().splitn(7, '|').collect::<Vec<_>>().try_into().ok()?;
    // A job that is no array has no index.
    let id = (job.parse().ok()?, index.parse().unwrap_or(0));
    Some((id, TaskState { state: state.into(), name: name.into(), node: node.into(), seconds: seconds_of(used), reason: reason.into() }))
}

/// Of `1-02:03:04`, `02:03:04` or `03:04`.
fn seconds_of(text: &str) -> f64 {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let number = |t: &str| t.parse::<f64>().unwrap_or(0.0);
    number(days) * 86_400.0 + clock.split(':').fold(0.0, |sum, part| 60.0 * sum + number(part))
}

/// Cancels tasks; those that are over do not matter. With `pending`, only what does not run yet.
pub fn cancel(tasks: &[TaskId], pending: bool) -> std::result::Result<(), String> {
    for some in tasks.chunks(500) {
        let names: Vec<String> = some.iter().map(|(job, index)| format!("{job}_{index}")).collect();
        let mut all = if pending { vec!["--state=PENDING"] } else { Vec::new() };
        all.extend(names.iter().map(String::as_str));
        match ask("scancel", &all) {
            Err(said) if !said.contains("Invalid job") && !said.contains("already completing") => return Err(said),
            _ => (),
        }
    }
    Ok(())
}

/// Lets a held job begin.
pub fn release(job: u64) -> std::result::Result<(), String> {
    ask("scontrol", &["release", &job.to_string()]).map(drop)
}

/// Puts this task back into the queue, from within; it is then ended by Slurm.
pub fn requeue(task: &str) -> std::result::Result<(), Refusal> {
    ask("scontrol", &["requeue", task]).map(drop).map_err(refusal)
}

/// The exit code of a task that ended a while ago by itself, where Slurm still knows it.
pub fn exit_code((job, index): TaskId) -> Option<i32> {
    let said = ask("scontrol", &["show", "job", &format!("{job}_{index}")]).ok()?;
    let (code, signal) = said.split_whitespace().find_map(|word| word.strip_prefix("ExitCode="))?.split_once(':')?;
    code.parse().ok().filter(|_| signal == "0")
}

/// Most tasks of one array that this cluster permits.
pub fn most_tasks() -> usize {
    let configuration = ask("scontrol", &["show", "config"]).unwrap_or_default();
    let value = |key: &str| {
        let line = configuration.lines().find(|line| line.split('=').next().is_some_and(|k| k.trim() == key))?;
        line.split_once('=')?.1.trim().parse::<usize>().ok()
    };
    value("MaxArraySize").unwrap_or(1001).min(value("MaxJobCount").unwrap_or(10_000)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_squeue_is_read() {
        let (id, task) = task_of("4711|3|RUNNING|naslab-1f|n2|1-02:03:04|None\n").unwrap();
        assert_eq!((id, task.is_alive(), task.is_running()), ((4711, 3), true, true));
        assert_eq!((task.name.as_str(), task.node.as_str(), task.seconds), ("naslab-1f", "n2", 93_784.0));
        assert_eq!(task_of("9|N/A|TIMEOUT|x||0:00|TimeLimit").unwrap().0, (9, 0));
        assert!(!task_of("9|N/A|NODE_FAIL|x||0:00|NodeDown").unwrap().1.is_alive());
        assert_eq!(task_of("slurm_load_jobs error"), None);
    }

    #[test]
    fn refusals_are_told_apart() {
        let of = |said: &str| refusal(said.into());
        assert!(matches!(of("sbatch: error: QOSMaxSubmitJobPerUserLimit"), Refusal::Full(_)));
        assert!(matches!(
            of("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"),
            Refusal::NoAnswer(_)
        ));
        assert!(matches!(of("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"), Refusal::NoAnswer(_)));
        assert!(matches!(of("Unexpected message received for job 8_0"), Refusal::NoAnswer(_)));
        assert!(matches!(of("9_0: Requested operation is presently disabled"), Refusal::Never(_)));
        assert!(matches!(of("sbatch: error: invalid partition specified: gpu"), Refusal::Never(_)));
        assert!(matches!(
            of("sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)"),
            Refusal::Never(_)
        ));
    }
}
