//! What a task does on its node: trains trials that a coordinator drew, and tells by files.

use super::commands::{Refusal, requeue};
use super::files::{Ended, OutcomeFile, TaskFiles, TrialFile, trial_name};
use crate::budget::{Ledger, Probes};
use crate::device;
use crate::error::{Error, Result, input};
use crate::lab::child::Child;
use crate::lab::evaluate::misfortune;
use crate::lab::keep::Keep;
use crate::lab::launch::Ready;
use crate::lab::session::{Start, is_account_due};
use crate::lab::signals::Signals;
use crate::message::say;
use crate::record::{EndReason, FORMAT, LedgerRow, Phase, Program, TaskRecord};
use crate::seed::Streams;
use crate::task::Part;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// For how long a task that asked to be put back waits for Slurm to end it, and how long it rests between two looks.
const ENDED_WITHIN: [Duration; 2] = [Duration::from_secs(300), Duration::from_millis(100)];
/// How long to rest before Slurm is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// Which execution of which task this process is, by the variables that Slurm sets; by hand it is told by its number.
struct Execution {
    /// `1234_5`, for Slurm.
    task: Option<String>,
    /// `1234_5.0`: the same, and how often it was restarted.
    name: String,
    restarts: u64,
    node: String,
}

/// Where the rest of a run is worked on, if a task does that.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// As in [`TaskRecord`].
    pub task: String,
    /// Name of the node.
    pub node: String,
    /// Seconds that it waited in the queue, where known.
    pub queued_seconds: Option<f64>,
}

impl Place {
    /// That of this process, which was sent at this time (RFC 3339) if that is known.
    pub fn of_this_process(sent: Option<&str>) -> Self {
        let Execution { name, restarts, node, .. } = Execution::of_this_process();
        Self { task: name, node, queued_seconds: sent.filter(|_| restarts == 0).and_then(seconds_since) }
    }
}

/// Seconds since a moment (RFC 3339) by the clock of another machine.
fn seconds_since(moment: &str) -> Option<f64> {
    let moment: jiff::Timestamp = moment.parse().ok()?;
    Some(jiff::Timestamp::now().duration_since(moment).as_secs_f64().max(0.0))
}

impl Execution {
    fn of_this_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let task = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID")).map(|(job, index)| format!("{job}_{index}"));
        let restarts = variable("SLURM_RESTART_COUNT").and_then(|n| n.parse().ok()).unwrap_or(0);
        let name = task.as_ref().map_or_else(|| format!("hand-{}", std::process::id()), |task| format!("{task}.{restarts}"));
        Self { task, name, restarts, node: variable("SLURMD_NODENAME").unwrap_or_else(device::host) }
    }
}

/// Tells the coordinator of `run` that this node cannot train these trials, and why.
///
/// # Errors
/// [`Error::Resource`] where that cannot be written.
pub fn refuse(run: &Path, trials: &[(Phase, u64)], why: &Error) -> Result<()> {
    let (files, execution) = (TaskFiles::of(run), Execution::of_this_process());
    trials.iter().try_for_each(|(phase, id)| {
        let ended = Ended::Refused(format!("node {}: {why}", execution.node));
        files.write_outcome(&execution.name, &OutcomeFile { format: FORMAT, phase: *phase, id: *id, ended, account: None })
    })
}

impl Ready {
    /// Those of these trials that are still to be trained. The data, settings and libraries here are those of the run in this folder, and the program is the one that drew its trials.
    ///
    /// # Errors
    /// [`Error::Usage`] or [`Error::Input`] that names the difference.
    pub fn check_trials(&self, run: &Path, trials: &[(Phase, u64)]) -> Result<Vec<TrialFile>> {
        self.is_same(run)?;
        let (wanted, here) = (wanted(&TaskFiles::of(run), trials)?, Program::current());
        let Some(other) = wanted.iter().find(|file| file.program != here) else { return Ok(wanted) };
        let words = |p: &Program| format!("{} ({}{})", p.version, p.commit, if p.dirty { ", changed" } else { "" });
        let (there, here) = (words(&other.program), words(&here));
        Err(input!(run, "its trials were drawn by naslab {there}, and this is naslab {here}; give the nodes the same program"))
    }

    /// Trains trials of the run in this folder that [`Ready::check_trials`] found, one after the other, and writes what comes out. One that has an outcome by then or is committed is left out.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after a signal: the state is saved, and after a warning the task is back in the queue.
    pub fn train_trials(self, run: &Path, trials: &[TrialFile], signals: &Signals) -> Result<()> {
        let (files, execution) = (TaskFiles::of(run), Execution::of_this_process());
        // One thread, as at home, whatever the rest of the run has.
        tch::set_num_threads(1);
        let mut opened = Some(self.start.seconds());
        for (number, file) in trials.iter().enumerate() {
            // The first was looked at just now; a later one may have been trained by another task meanwhile.
            if number > 0 && wanted(&files, &[(file.phase, file.trial.id)])?.is_empty() {
                continue;
            }
            Training { ready: &self, files: &files, execution: &execution, file, signals }.run(opened.take())?;
            if let Some(signal) = signals.caught() {
                requeue_if_warned(signals);
                return Err(Error::Interrupted { signal, dir: run.to_path_buf() });
            }
        }
        Ok(())
    }
}

/// Trials that are still to be trained: they are there, and have no outcome.
fn wanted(files: &TaskFiles, trials: &[(Phase, u64)]) -> Result<Vec<TrialFile>> {
    let outcomes = files.list_outcomes();
    let mut wanted = Vec::new();
    for (phase, id) in trials {
        let has_outcome = outcomes.iter().any(|(p, i, _)| (p, i) == (phase, id));
        if has_outcome || !files.trial(*phase, *id).join("trial.json").exists() {
            say!("naslab: trial {} has an outcome, nothing to do", trial_name(*phase, *id));
        } else {
            wanted.push(files.read_trial(*phase, *id)?);
        }
    }
    Ok(wanted)
}

/// After a warning that its time is nearly over, a task that has saved its state asks to go on later.
/// Slurm ends it then, by SIGTERM, and that is waited for: a task that ends by itself has failed in the
/// eyes of the coordinator, until Slurm has done what was asked.
pub fn requeue_if_warned(signals: &Signals) {
    let Some(task) = Execution::of_this_process().task.filter(|_| signals.is_warning()) else { return };
    let ([within, rest], since, before) = (ENDED_WITHIN, Instant::now(), signals.count());
    let is_waiting = || signals.count() == before && since.elapsed() < within;
    let mut unanswered = false;
    while is_waiting() {
        match requeue(&task) {
            Ok(()) => {
                say!("naslab: the time of task {task} is nearly over; its state is saved and it is back in the queue");
                break;
            }
            // Slurm ends it together with the command that asks, or refuses what it has heard before.
            Err(_) if !is_waiting() => return,
            Err(Refusal::Never(_)) if unanswered => break,
            Err(Refusal::Never(said)) => {
                say!("naslab: task {task} cannot be put back into the queue: {said}");
                return;
            }
            Err(Refusal::Full(said) | Refusal::NoAnswer(said)) => {
                if !std::mem::replace(&mut unanswered, true) {
                    say!("naslab: task {task} is not put back into the queue yet: {said}; tried again");
                }
                std::thread::sleep(AGAIN);
            }
        }
    }
    while is_waiting() {
        std::thread::sleep(rest);
    }
}

/// One training of one trial.
struct Training<'a> {
    ready: &'a Ready,
    files: &'a TaskFiles,
    execution: &'a Execution,
    file: &'a TrialFile,
    signals: &'a Signals,
}

/// What is charged, and when it was written last.
struct Meter {
    ledger: Ledger,
    /// Seconds that the task took before its first trial.
    opened: f64,
    queued_seconds: Option<f64>,
    written: f64,
    /// Why no account could be written: the trial is committed, or the disk is full.
    failed: Option<Error>,
}

impl Training<'_> {
    /// `opened` are the seconds that the task took before its first trial.
    fn run(&self, opened: Option<f64>) -> Result<()> {
        let (trial, phase, device) = (&self.file.trial, self.file.phase, self.ready.device);
        let mut ledger = Start::now(Box::new(Probes::new(device))).ledger();
        ledger.switch(phase);
        let mut meter =
            Meter { ledger, opened: opened.unwrap_or(0.0), queued_seconds: self.queued_seconds(opened), written: 0.0, failed: None };
        // It says that the training has begun, and where.
        self.files.write_account(&self.account(&mut meter, EndReason::Interrupted))?;
        let keep = Keep::new(self.files.trial(phase, trial.id), &self.execution.name, self.file.keep_seconds, trial.architecture.hash());
        let streams = Streams::new(self.ready.manifest.seed).child(phase.name(), trial.id);
        let child = Child { task: &*self.ready.data.task, training: &self.file.training, part: Part::Train, streams, device };
        let meter = RefCell::new(meter);
        let go_on = |samples| self.after_step(&mut meter.borrow_mut(), samples);
        let end = catch_unwind(AssertUnwindSafe(|| child.train_and_score(&trial.architecture, Some(&keep), go_on)));
        let outcome = end.unwrap_or_else(|payload| Ok(misfortune(payload)))?;
        let mut meter = meter.into_inner();
        meter.failed.take().map_or(Ok(()), Err)?;
        let account = self.account(&mut meter, outcome.end);
        // A training that was interrupted has an account and no outcome.
        if outcome.end == EndReason::Interrupted {
            return self.files.write_account(&account);
        }
        let file = OutcomeFile { format: FORMAT, phase, id: trial.id, ended: Ended::Outcome(outcome), account: Some(account) };
        self.files.write_outcome(&self.execution.name, &file)
    }

    /// Charges a step, and says why the training is to end, if it is. Accounts are written as often as those of a run.
    fn after_step(&self, meter: &mut Meter, samples: Option<u64>) -> Option<EndReason> {
        if let Some(samples) = samples {
            meter.ledger.count_step(samples);
        }
        let now = meter.ledger.elapsed();
        if is_account_due(now, meter.written) {
            meter.written = now;
            meter.failed = self.files.write_account(&self.account(meter, EndReason::Interrupted)).err();
        }
        if meter.failed.is_some() {
            // What is interrupted would be kept, in a folder that may be gone.
            return Some(EndReason::Failed);
        }
        if self.signals.caught().is_some() {
            return Some(EndReason::Interrupted);
        }
        let limit = self.ready.manifest.limits.max_memory_bytes?;
        meter.ledger.settle();
        meter.ledger.peak_bytes().filter(|peak| *peak > limit).map(|_| EndReason::OutOfMemory)
    }

    fn account(&self, meter: &mut Meter, end: EndReason) -> TaskRecord {
        let row = meter.ledger.end(self.file.phase, end);
        TaskRecord {
            trial: self.file.trial.id,
            task: self.execution.name.clone(),
            node: self.execution.node.clone(),
            device: device::name(self.ready.device),
            model: self.ready.manifest.device.name.clone(),
            queued_seconds: meter.queued_seconds,
            apart: true,
            account: LedgerRow { wall_seconds: row.wall_seconds + meter.opened, ..row },
        }
    }

    /// Of the first trial of a task that was not restarted: seconds between its drawing and the begin of this process, by the clocks of two machines.
    fn queued_seconds(&self, opened: Option<f64>) -> Option<f64> {
        let opened = opened.filter(|_| self.execution.restarts == 0)?;
        seconds_since(&self.file.drawn).map(|since| (since - opened).max(0.0))
    }
}
