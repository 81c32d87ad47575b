//! A run on a cluster: what draws trials is here, and the tasks train them; the rest of it, or all of a search by steps, is one job.

use super::array::{Array, quoted};
use super::commands::{exit_code, snapshot};
use super::files::TaskFiles;
use super::job::{Awaited, failed, find, let_go, send_job, wait_for};
use crate::error::{Error, Result};
use crate::lab::conduct::find_and_choose;
use crate::lab::history;
use crate::lab::launch::Ready;
use crate::lab::method::Engine;
use crate::lab::session::{SessionOptions, Update, Watch};
use crate::lab::signals::Signals;
use crate::record::{ClusterRecord, Event, EventLog, Phase, RunDir, RunResult, Submission, read_events};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Jobs that may end without a result and without having come further.
const TRIES: u32 = 3;
/// Seconds for which a result may be late.
const LATE: f64 = 30.0;
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
        let handed_over = match directory.join("manifest.json").exists() && self.is_same(directory)? {
            true => at_work(directory)?.is_some() || RunDir::open(directory)?.result()?.is_some(),
            false => false,
        };
        let watch = std::mem::replace(&mut options.watch, Box::new(|_| ()));
        let shared = std::rc::Rc::new(std::cell::RefCell::new(watch));
        let own = std::rc::Rc::clone(&shared);
        options.watch = Box::new(move |update| (own.borrow_mut())(update));
        if let Engine::Trials { plan, .. } = &self.prepared.engine
            && plan.side_by_side < plan.trials.min(options.jobs * cluster.trials_per_task)
            && !handed_over
        {
            let most = plan.side_by_side;
            let text = format!(
                "at most {most} of the trials are drawn side by side, so that tasks will idle; see search.in_flight or search.batch"
            );
            (shared.borrow_mut())(Update::Line(&text));
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

/// The last job that a run was handed over to, if it is in the queue or at work.
fn at_work(directory: &Path) -> Result<Option<(String, u64)>> {
    let run = RunDir::open(directory)?;
    let (events, _) = read_events(&run.events_path())?;
    let last = history::submissions(&events).into_iter().rfind(|s| s.phase == Phase::Retrain);
    let Some((last, queue)) = last.zip(snapshot().ok()) else { return Ok(None) };
    Ok(find(&queue, &last.name).map(|(number, _)| (last.name, number)))
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
        if let Some(result) = RunDir::open(directory)?.result()? {
            return Ok(result);
        }
        let (name, number) = match at_work(directory)? {
            Some(job) => job,
            None => send(directory, (cluster, words), signals, &mut say)?,
        };
        let_go(number);
        say(&format!("the rest is job {}", number));
        let awaited = wait_for(&[(number, 0)], signals, &mut say, &mut |_| Ok(()))?;
        if let Some(result) = late_result(directory, awaited == Awaited::Over)? {
            return Ok(result);
        }
        if let Awaited::Interrupted(signal) = awaited {
            return Err(Error::Interrupted { signal, dir: directory.to_path_buf() });
        }
        let error = failed(&TaskFiles::of(directory).queue(), &name, 0, number);
        // What went wrong in the run goes wrong again; a node that failed does not.
        if let Some(code) = exit_code((number, 0)).filter(|code| (1..=4).contains(code)) {
            return Err(Error::Suite { what: error.to_string(), code });
        }
        let now = newest_checkpoint(directory);
        tries = if now == reached { tries + 1 } else { 0 };
        reached = now;
        if tries >= TRIES {
            return Err(error);
        }
        say(&format!("{error}; it is sent again"));
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
    let array = Array::write(&folder, Array::new_name(&folder), &cluster.program, &[line])?;
    let mut submission = Submission { name: array.name.clone(), phase: Phase::Retrain, tasks: Vec::new(), job: None };
    record(&submission)?;
    let number = send_job(&array, (&cluster.words, None, true), signals, say)?;
    submission.job = Some(number);
    record(&submission)?;
    Ok((array.name, number))
}

/// The result, which a shared file system may show late where the job ended by itself.
fn late_result(directory: &Path, wait: bool) -> Result<Option<RunResult>> {
    let (run, since) = (RunDir::open(directory)?, Instant::now());
    loop {
        let result = run.result()?;
        let late = if wait && result.is_none() { since.elapsed().as_secs_f64() < LATE && !has_ended_badly(directory) } else { false };
        if !late {
            return Ok(result);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Whether Slurm knows that the last job did not end well.
fn has_ended_badly(directory: &Path) -> bool {
    let Ok((events, _)) = read_events(&directory.join("events.jsonl")) else { return false };
    let last = history::submissions(&events).into_iter().rfind(|s| s.phase == Phase::Retrain);
    let Some((number, queue)) = last.and_then(|s| s.job).zip(snapshot().ok()) else { return false };
    queue.get(&(number, 0)).is_some_and(|task| task.state != "COMPLETED")
}

/// Name of the newest checkpoint: how far the run has come.
fn newest_checkpoint(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory.join("checkpoint")).ok()?.flatten();
    entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "safetensors")).max()
}

/// When the job that does the rest of the run was sent.
pub fn sent_at(directory: &Path) -> Option<String> {
    let (events, _) = read_events(&directory.join("events.jsonl")).ok()?;
    events.iter().rev().find(|e| matches!(&e.event, Event::Submission(s) if s.phase == Phase::Retrain)).map(|e| e.time.clone())
}
