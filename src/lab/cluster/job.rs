//! Jobs that do a whole run, or the rest of one: sent, awaited, cancelled.

use super::array::{Array, last_words};
use super::commands::{Refusal, Snapshot, TaskId, TaskState, cancel, release, snapshot};
use crate::error::{Result, resource};
use crate::lab::signals::Signals;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to rest between two looks at the signals.
const REST: Duration = Duration::from_millis(100);
/// How long to rest between two looks at the queue.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For how long a result may be late, and how long to rest between two looks for it.
const LATE: [Duration; 2] = [Duration::from_secs(30), Duration::from_millis(500)];

/// How waiting for jobs ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Awaited {
    /// None of them is in the queue or at work any more.
    Over,
    /// A signal asked to stop, and all that it asked for is done.
    Interrupted(i32),
}

/// Sends an array, held until it is released where `held`. A controller that does not answer is waited for.
///
/// # Errors
/// [`crate::error::Error::Resource`] where Slurm refuses it, and where a signal comes before it is taken.
pub fn send_job(
    array: &mut Array,
    (words, at_once, held): (&[String], Option<u64>, bool),
    signals: &Signals,
    say: &mut dyn FnMut(&str),
) -> Result<u64> {
    let mut words = words.to_vec();
    words.extend(held.then(|| "--hold".to_string()));
    let mut said_so = false;
    loop {
        let why = match array.send(&words, at_once) {
            Ok(number) => return Ok(number),
            Err(Refusal::Never(said)) => return Err(resource!("sbatch refuses the job: {said}")),
            Err(Refusal::Full(said) | Refusal::NoAnswer(said)) => said,
        };
        if signals.caught().is_some() {
            let advice = "if Slurm took it all the same, the same command finds it";
            return array.taken().ok().flatten().ok_or_else(|| resource!("no job is known to be sent: {why}; {advice}"));
        }
        if !std::mem::replace(&mut said_so, true) {
            say(&format!("Slurm takes no job now ({why}); tried again every 5 s"));
        }
        std::thread::sleep(Duration::from_secs(5));
    }
}

/// All tasks of this user, or the signal that came while a controller that does not answer was waited for.
pub fn wait_for_queue(signals: &Signals, say: &mut dyn FnMut(&str)) -> std::result::Result<Snapshot, i32> {
    let mut silent = false;
    loop {
        let said = match snapshot() {
            Ok(queue) => return Ok(queue),
            Err(said) => said,
        };
        if let Some(signal) = signals.caught() {
            return Err(signal);
        }
        if !std::mem::replace(&mut silent, true) {
            say(&no_answer(&said));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until no task is in the queue or at work. After a first signal what waits is cancelled and what runs awaited, after a second all is cancelled. `each` is told the states.
///
/// # Errors
/// Those of `each`.
pub fn wait_for(
    tasks: &[TaskId],
    signals: &Signals,
    say: &mut dyn FnMut(&str),
    each: &mut dyn FnMut(&Snapshot) -> Result<()>,
) -> Result<Awaited> {
    let (mut looked, mut told, mut silent) = (None::<Instant>, 0, false);
    loop {
        let count = signals.count();
        // A new signal is obeyed at once, by a controller that answers.
        let may_rest = count == told || silent;
        if may_rest && looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            std::thread::sleep(REST);
            continue;
        }
        if count > 0 {
            let _ = cancel(tasks, count == 1);
        }
        looked = Some(Instant::now());
        let queue = match snapshot() {
            Ok(queue) => queue,
            Err(said) => {
                if !std::mem::replace(&mut silent, true) {
                    say(&no_answer(&said));
                }
                continue;
            }
        };
        silent = false;
        each(&queue)?;
        let alive: Vec<&TaskState> = tasks.iter().filter_map(|id| queue.get(id)).filter(|task| task.is_alive()).collect();
        if count > told {
            told = count;
            let running = alive.iter().filter(|task| task.is_running()).count();
            say(&obeyed(count, running, "jobs"));
        }
        if alive.is_empty() {
            return Ok(signals.caught().filter(|_| count > 0).map_or(Awaited::Over, Awaited::Interrupted));
        }
    }
}

/// What is said when Slurm is asked in vain.
pub fn no_answer(said: &str) -> String {
    format!("Slurm's controller does not answer: {said}; waiting for it")
}

/// What is said after the `count`th signal, where so many tasks or jobs run.
pub fn obeyed(count: u64, running: usize, what: &str) -> String {
    match count {
        1 => format!("what waits in the queue is cancelled; waiting for {running} {what} that run (a second Ctrl-C cancels them too)"),
        _ => format!("{running} {what} that run are cancelled; they save where they are"),
    }
}

/// What `look` finds of a task that is over, in this state as far as is known. A shared file system
/// may show it late, so it is waited for, counted from `since`, unless the task did not end well.
///
/// # Errors
/// Those of `look`.
pub fn await_late<T>(state: Option<&TaskState>, since: Instant, look: &dyn Fn() -> Result<Option<T>>) -> Result<Option<T>> {
    let [late, rest] = LATE;
    let may_come = state.is_none_or(|task| task.state == "COMPLETED");
    loop {
        let found = look()?;
        if found.is_some() || !may_come || since.elapsed() >= late {
            return Ok(found);
        }
        std::thread::sleep(rest);
    }
}

/// Lets a held job begin; one that has begun or ended does not matter.
pub fn let_go(number: u64) {
    let _ = release(number);
}

/// That a task of the array `name` in `folder` ended without `what` it was to leave, in this state
/// if Slurm knows it, and what it printed last.
pub fn ended_without(what: &str, (folder, name): (&Path, &str), (job, index): TaskId, state: Option<&TaskState>) -> String {
    let (word, node) = state.map_or(("UNKNOWN", ""), |task| (task.state.as_str(), task.node.as_str()));
    let node = if node.is_empty() { String::new() } else { format!(" on node {node}") };
    let said = last_words(folder, name, index);
    let said =
        if said.is_empty() { format!("it printed nothing; do the nodes see {}?", folder.display()) } else { format!("it printed: {said}") };
    format!("task {job}_{index}{node} ended without {what} ({word}); {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(state: &str) -> TaskState {
        TaskState { state: state.into(), name: "naslab-1f".into(), node: "n2".into(), seconds: 1.0, reason: "None".into() }
    }

    #[test]
    fn a_result_that_is_late_is_waited_for_unless_its_task_failed() {
        let looks = std::cell::Cell::new(0);
        let look = || {
            looks.update(|n| n + 1);
            Ok((looks.get() > 1).then_some("there"))
        };
        assert_eq!(await_late(Some(&ended("FAILED")), Instant::now(), &look).unwrap(), None);
        looks.set(0);
        assert_eq!(await_late(Some(&ended("COMPLETED")), Instant::now(), &look).unwrap(), Some("there"));
        looks.set(0);
        assert_eq!(await_late(None, Instant::now(), &look).unwrap(), Some("there"));
    }

    #[test]
    fn a_task_that_left_nothing_is_named_with_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let of = |state: Option<&TaskState>| ended_without("a result", (folder.path(), "naslab-1f"), (12, 3), state);
        let said = of(None);
        assert!(said.starts_with("task 12_3 ended without a result (UNKNOWN); it printed nothing; do the nodes see "), "{said}");
        std::fs::write(folder.path().join("naslab-1f.3.out"), "a\n\nb\nc\nd\n").unwrap();
        assert_eq!(of(Some(&ended("FAILED"))), "task 12_3 on node n2 ended without a result (FAILED); it printed: b / c / d");
    }
}
