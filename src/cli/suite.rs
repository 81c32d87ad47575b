//! Several runs by one command, one after the other, each in a process of its own: no run sees the memory of another, and one that fails or is
//! killed does not take the others with it.

use super::args::{Choices, Runs};
use super::show;
use crate::error::{Error, Result};
use crate::lab::Signals;
use crate::record::RunDir;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// This program, even if its file was replaced since it started.
pub const SELF: &str = "/proc/self/exe";
/// Time between two looks at a run and at the signals.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One run of a suite.
pub struct Member {
    /// The subcommand and what it is about, such as `run darts`.
    pub command: [String; 2],
    /// Its seed.
    pub seed: u64,
    /// Its settings and limits.
    pub choices: Choices,
}

/// The equal share of the budget that each of so many runs gets. What one leaves over is not given to another: no run depends on those before it.
pub fn share(choices: &Choices, runs: usize) -> Result<Option<String>> {
    let shared = |seconds: f64| if runs > 1 { Some(format!("{}s", seconds / runs as f64)) } else { choices.budget.clone() };
    Ok(choices.limits()?.budget_seconds.and_then(shared))
}

/// Runs `members` and prints what came out. A finished run is skipped and an unfinished one resumed.
///
/// # Errors
/// After all others are done, with the exit code of the first that failed; at once if a signal came.
pub fn suite(members: &[Member], runs: &Runs, signals: &Signals) -> Result<()> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (i, member) in members.iter().enumerate() {
        let place = format!("{}/{}", i + 1, members.len());
        let mut command = Command::new(SELF);
        command.arg0("naslab").args(&member.command).args(["--member", &place]).args(["--seeds", &member.seed.to_string()]);
        command.args(arguments(&member.choices, runs));
        let label = format!("{} {} seed {}", member.command[1], member.choices.preset, member.seed);
        match outcome(command, signals)? {
            Outcome::Finished(directory) => rows.push(finished(&directory)?),
            Outcome::Failed { code, how } if signals.caught().is_some() => {
                show_rows(&rows)?;
                let what = format!("{label} {how}; {} of {} runs are finished, the same command goes on", rows.len(), members.len());
                return Err(Error::Suite { what, code });
            }
            Outcome::Failed { code, how } => failed.push((format!("{label} {how}"), code)),
        }
    }
    show_rows(&rows)?;
    let Some((_, code)) = failed.first() else { return Ok(()) };
    let list: Vec<&str> = failed.iter().map(|(text, _)| text.as_str()).collect();
    let what = format!("{} of {} runs failed, the reasons are above: {}", failed.len(), members.len(), list.join("; "));
    Err(Error::Suite { what, code: *code })
}

fn show_rows(rows: &[show::Row]) -> Result<()> {
    if rows.is_empty() { Ok(()) } else { show::results(rows) }
}

/// The row of a finished run.
pub fn finished(directory: &Path) -> Result<show::Row> {
    let run = RunDir::open(directory)?;
    let missing = || Error::input(directory, "the run has no result");
    Ok(show::Row { result: run.result()?.ok_or_else(missing)?, ledger: run.ledger()?.ok_or_else(missing)? })
}

/// Everything but method and seed, as it was typed.
fn arguments(choices: &Choices, runs: &Runs) -> Vec<OsString> {
    let Runs { out, manners, .. } = runs;
    let mut all: Vec<OsString> = vec!["--out".into(), out.into()];
    all.extend(choices_again(choices));
    let mut pause = OsString::from("--checkpoint-every=");
    pause.push(&manners.checkpoint_every);
    all.push(pause);
    all.extend(manners.quiet.then(|| "--quiet".into()));
    all.extend(manners.tensorboard.then(|| "--tensorboard".into()));
    all
}

/// Settings and limits as they were typed.
pub fn choices_again(choices: &Choices) -> Vec<OsString> {
    let mut all = Vec::new();
    let mut put = |name: &str, value: Option<&OsStr>| {
        if let Some(value) = value {
            // As one word, so that a value may begin with a dash.
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            all.push(word);
        }
    };
    let number = |n: Option<u64>| n.map(|n| OsString::from(n.to_string()));
    put("--preset", Some(OsStr::new(&choices.preset)));
    put("--dataset", choices.dataset.as_deref().map(OsStr::new));
    put("--data-dir", choices.data_dir.as_deref().map(Path::as_os_str));
    choices.set.iter().for_each(|set| put("--set", Some(OsStr::new(set))));
    put("--budget", choices.budget.as_deref().map(OsStr::new));
    put("--max-trials", number(choices.max_trials).as_deref());
    put("--max-memory", choices.max_memory.as_deref().map(OsStr::new));
    put("--device", Some(OsStr::new(&choices.device)));
    put("--threads", number(choices.threads.map(u64::from)).as_deref());
    put("--jobs", number(choices.jobs).as_deref());
    all
}

/// How a member ended.
enum Outcome {
    /// With a result in this directory.
    Finished(PathBuf),
    /// With what to exit with, and in words.
    Failed { code: i32, how: String },
}

/// Runs a member in a process group of its own, so that a signal reaches it once: through us.
fn outcome(mut command: Command, signals: &Signals) -> Result<Outcome> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|e| Error::Resource(format!("cannot start a run: {e}")))?;
    let status = wait(&mut child, signals)?;
    if !status.success() {
        let (code, how) = how_it_ended(status);
        return Ok(Outcome::Failed { code, how });
    }
    let mut said = Vec::new();
    let pipe = child.stdout.as_mut().expect("its output is a pipe");
    pipe.read_to_end(&mut said).map_err(|e| Error::Resource(format!("cannot read what a run printed: {e}")))?;
    said.pop_if(|last| *last == b'\n');
    Ok(Outcome::Finished(OsString::from_vec(said).into()))
}

/// What to exit with after a process that ended so, and how it ended, in words.
pub fn how_it_ended(status: ExitStatus) -> (i32, String) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (code, format!("ended with exit code {code}")),
        (None, signal) => {
            let how = format!("was killed by signal {} (did memory run out?)", signal.unwrap_or_default());
            (Error::Resource(String::new()).exit_code(), how)
        }
    }
}

fn wait(child: &mut Child, signals: &Signals) -> Result<ExitStatus> {
    let mut passed_on = false;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => (),
            Err(e) => return Err(Error::Resource(format!("lost sight of a run: {e}"))),
        }
        if let Some(signal) = signals.caught().filter(|_| !passed_on) {
            passed_on = true;
            if let (Some(signal), Some(pid)) = (Signal::from_named_raw(signal), Pid::from_raw(child.id() as i32)) {
                // It may have ended just now; the next look tells.
                let _ = kill_process(pid, signal);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What a member does before it runs: it ends with the suite, also if that is killed.
pub fn become_member() {
    // Where the system does not know this, a member merely goes on to its own end.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// How a member tells the suite where its result is.
pub fn tell_directory(directory: &Path) -> Result<()> {
    let mut line = directory.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    show::write_out(&line)
}
