//! Jobs that do a whole run, or the rest of one: sent, awaited, cancelled.

use super::array::{Array, last_words};
use super::commands::{Refusal, Snapshot, TaskId, TaskState, cancel, release, snapshot};
use crate::error::{Error, Result, resource};
use crate::lab::signals::Signals;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to rest between two looks at the signals.
const REST: Duration = Duration::from_millis(100);
/// Seconds between two looks at the queue.
const LOOK_EVERY: f64 = 1.0;

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
/// [`Error::Resource`] where Slurm refuses it.
pub fn send_job(
    array: &Array,
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
        if let Some((number, _)) = snapshot().ok().and_then(|queue| find(&queue, &array.name)) {
            return Ok(number);
        }
        if signals.caught().is_some() {
            return Err(resource!("no job was sent: {why}"));
        }
        if !std::mem::replace(&mut said_so, true) {
            say(&format!("Slurm takes no job now ({why}); tried again every 5 s"));
        }
        std::thread::sleep(Duration::from_secs(5));
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
    let (mut looked, mut obeyed, mut silent) = (None::<Instant>, 0, false);
    loop {
        let count = signals.count();
        if count == obeyed && looked.is_some_and(|l| l.elapsed().as_secs_f64() < LOOK_EVERY) {
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
                    say(&format!("Slurm's controller does not answer: {said}; waiting for it"));
                }
                continue;
            }
        };
        silent = false;
        each(&queue)?;
        let alive: Vec<&TaskState> = tasks.iter().filter_map(|id| queue.get(id)).filter(|task| task.is_alive()).collect();
        if count > obeyed {
            obeyed = count;
            let running = alive.iter().filter(|task| task.is_running()).count();
            say(&match count {
                1 => {
                    format!("what waits in the queue is cancelled; waiting for {running} jobs that run (a second Ctrl-C cancels them too)")
                }
                _ => format!("{running} jobs that run are cancelled; they save where they are"),
            });
        }
        if alive.is_empty() {
            return Ok(signals.caught().filter(|_| count > 0).map_or(Awaited::Over, Awaited::Interrupted));
        }
    }
}

/// Number and state of an array with this name that is in the queue or at work.
pub fn find(queue: &Snapshot, name: &str) -> Option<(u64, TaskState)> {
    queue.iter().find(|(_, task)| task.name == name && task.is_alive()).map(|((number, _), task)| (*number, task.clone()))
}

/// Lets a held job begin; one that has begun or ended does not matter.
pub fn let_go(number: u64) {
    let _ = release(number);
}

/// That a job ended without what it was to leave, and what it printed last.
pub fn failed(folder: &Path, name: &str, index: u64, number: u64) -> Error {
    let state = snapshot().ok().and_then(|queue| queue.get(&(number, index)).cloned());
    let (state, node) = state.map_or(("UNKNOWN".into(), String::new()), |task| (task.state, task.node));
    let said = last_words(folder, name, index);
    let said =
        if said.is_empty() { format!("it printed nothing; do the nodes see {}?", folder.display()) } else { format!("it printed: {said}") };
    let node = if node.is_empty() { node } else { format!(" on node {node}") };
    resource!("job {number}_{index}{node} ended without a result ({state}); {said}")
}
