//! A run on a cluster: what draws trials is here, and the tasks train them; the rest of it, or all of a search by steps, is one job.

use super::array::{Array, quoted};
use super::commands::{Snapshot, TaskId, TaskState, exit_code, find};
use super::files::TaskFiles;
use super::job::{Awaited, await_late, ended_without, let_go, send_job, wait_for, wait_for_queue};
use crate::error::{Error, Result};
use crate::lab::conduct::find_and_choose;
use crate::lab::history;
use crate::lab::launch::Ready;
use crate::lab::method::Engine;
use crate::lab::session::{SessionOptions, Update, Watch};
use crate::lab::signals::Signals;
use crate::record::{ClusterRecord, Event, EventLog, Phase, RunDir, RunResult, Submission, read_events};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Jobs that may end without a result and without having come further.
const TRIES: u32 = 3;
/// What stands for the rest of a run where trials are named.
pub const REST: &str = "rest";

impl Ready {
    /// As [`Ready::run`], on a cluster.
    pub(in crate::lab) fn run_on_cluster(
        self,
        directory: &Path,
        cluster: &ClusterRecord,
        mut options: SessionOptions,
    ) -> Result<RunResult> {
        let (signals, words) = (options.signals.clone(), std::mem::take(&mut options.rest_words));
        let watch = std::mem::replace(&mut options.watch, Box::new(|_| ()));
        let shared = std::rc::Rc::new(std::cell::RefCell::new(watch));
        let own = std::rc::Rc::clone(&shared);
        options.watch = Box::new(move |update| (own.borrow_mut())(update));
        let mut say = |text: &str| (shared.borrow_mut())(Update::Line(text));
        let handed_over = match directory.join("manifest.json").exists() && self.is_same(directory)? {
            true => at_work(directory, &signals, &mut say)?.is_some() || RunDir::open(directory)?.result()?.is_some(),
            false => false,
        };
        if let Engine::Trials { plan, .. } = &self.prepared.engine
            && plan.side_by_side < plan.trials.min(options.jobs * cluster.trials_per_task)
            && !handed_over
        {
            let most = plan.side_by_side;
            say(&format!(
                "at most {most} of the trials are drawn side by side, so that tasks will idle; see search.in_flight or search.batch"
            ));
        }
        match &self.prepared.engine {
            _ if handed_over => (),
            Engine::Trials { .. } => {
                self.in_a_session(directory, options, |manifest, prepared, _, lab| find_and_choose(manifest, prepared, lab).map(drop))?
            }
            Engine::Steps { .. } | Engine::Given(_) => drop(self.lock(directory)?),
        }
        rest_elsewhere(directory, (cluster, &words), &signals, &mut shared.borrow_mut())
    }
}

/// The last job that a run was handed over to, if it is in the queue or at work. A controller that does not answer is waited for.
fn at_work(directory: &Path, signals: &Signals, say: &mut dyn FnMut(&str)) -> Result<Option<(String, u64)>> {
    let (events, _) = read_events(&RunDir::open(directory)?.events_path())?;
    let last = history::submissions(&events).into_iter().rfind(|s| s.phase == Phase::Retrain);
    let Some(last) = last else { return Ok(None) };
    let queue = wait_for_queue(signals, say).map_err(|signal| interrupted(directory, signal))?;
    let number = find(&queue, &last.name).filter(|number| queue.get(&(*number, 0)).is_some_and(TaskState::is_alive));
    Ok(number.map(|number| (last.name, number)))
}

fn interrupted(directory: &Path, signal: i32) -> Error {
    Error::Interrupted { signal, dir: directory.to_path_buf() }
}

/// Has the rest of the run in `directory` done by a job, and waits for its result.
fn rest_elsewhere(
    directory: &Path,
    (cluster, words): (&ClusterRecord, &[String]),
    signals: &Signals,
    watch: &mut Watch,
) -> Result<RunResult> {
    let mut say = |text: &str| watch(Update::Line(text));
    let (mut tries, mut reached) = (0, newest_checkpoint(directory));
    loop {
        let run = RunDir::open(directory)?;
        if let Some(result) = run.result()? {
            return Ok(result);
        }
        let (name, number) = match at_work(directory, signals, &mut say)? {
            Some(job) => job,
            None => send(directory, (cluster, words), signals, &mut say)?,
        };
        let_go(number);
        say(&format!("the rest is job {number}"));
        let (task, mut state): (TaskId, Option<TaskState>) = ((number, 0), None);
        let mut each = |queue: &Snapshot| {
            state = queue.get(&task).cloned();
            Ok(())
        };
        let awaited = wait_for(&[task], signals, &mut say, &mut each)?;
        let result = match awaited {
            Awaited::Over => await_late(state.as_ref(), Instant::now(), &|| run.result())?,
            Awaited::Interrupted(signal) => Some(run.result()?.ok_or_else(|| interrupted(directory, signal))?),
        };
        if let Some(result) = result {
            return Ok(result);
        }
        let what = ended_without("a result", (&TaskFiles::of(directory).queue(), &name), task, state.as_ref());
        // What went wrong in the run goes wrong again; a node that failed does not.
        if let Some(code) = exit_code(task).filter(|code| (1..=4).contains(code)) {
            return Err(Error::Suite { what, code });
        }
        let now = newest_checkpoint(directory);
        tries = if now == reached { tries + 1 } else { 0 };
        reached = now;
        if tries >= TRIES {
            return Err(Error::Resource(what));
        }
        say(&format!("{what}; it is sent again"));
    }
}

/// Sends the job, held. Its number is recorded before it may begin, and the run is unlocked for it.
fn send(
    directory: &Path,
    (cluster, words): (&ClusterRecord, &[String]),
    signals: &Signals,
    say: &mut dyn FnMut(&str),
) -> Result<(String, u64)> {
    let run = RunDir::open(directory)?.lock()?;
    let (mut log, events, _) = EventLog::append_to(&run.events_path())?;
    let mut record = |submission: &Submission| {
        log.append_at(jiff::Timestamp::now(), &Event::Submission(submission.clone()))?;
        log.sync()
    };
    drop(events);
    let files = TaskFiles::of(directory);
    files.make()?;
    let folder = files.queue();
    let here = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let line = format!("trial {} {REST} {}", quoted(&here.display().to_string()), words.join(" "));
    let mut array = Array::write(&folder, Array::new_name(&folder), &cluster.program, &[line])?;
    let mut submission = Submission { name: array.name.clone(), phase: Phase::Retrain, tasks: Vec::new(), job: None };
    record(&submission)?;
    let number = send_job(&mut array, (&cluster.words, None, true), signals, say)?;
    submission.job = Some(number);
    record(&submission)?;
    Ok((array.name, number))
}

/// Name of the newest checkpoint: how far the run has come.
fn newest_checkpoint(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory.join("checkpoint")).ok()?.flatten();
    entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "safetensors")).max()
}

/// When the job that does the rest of the run was sent.
pub fn sent_at(directory: &Path) -> Option<String> {
    let (events, _) = read_events(&RunDir::open(directory).ok()?.events_path()).ok()?;
    events.iter().rev().find(|e| matches!(&e.event, Event::Submission(s) if s.phase == Phase::Retrain)).map(|e| e.time.clone())
}
