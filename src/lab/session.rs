//! One attempt at a run: what is recorded ([`Recorder`]), what is charged and limited, and who is told meet here.

use super::recorder::Recorder;
use super::signals::Signals;
use crate::budget::{Clock, Ledger, Reading};
use crate::error::{Error, Result};
use crate::record::{EndReason, Event, LedgerRow, Limits, Phase, RunDir, RunResult, TrialRecord};
use crate::train::Saved;
use std::time::Instant;
use tch::Device;

/// What the watcher of a run is told.
#[derive(Clone, Debug)]
pub enum Update<'a> {
    /// A phase began.
    Phase(Phase),
    /// A step was done.
    Step {
        /// The phase.
        phase: Phase,
        /// Steps done and steps planned in this part, where known.
        done: u64,
        /// Planned steps.
        planned: u64,
    },
    /// Something worth a line.
    Line(&'a str),
}

/// Told of progress; a terminal bar, lines, or nothing.
pub type Watch = Box<dyn FnMut(Update<'_>)>;

/// The moment from which an attempt is charged.
pub struct Start {
    clock: Box<dyn Clock>,
    reading: Reading,
    began: Instant,
}

impl Start {
    /// Now.
    pub fn now(mut clock: Box<dyn Clock>) -> Self {
        clock.reset_peaks();
        Self { reading: clock.read(), clock, began: Instant::now() }
    }
}

/// How an attempt saves, talks and stops.
pub struct SessionOptions {
    /// Seconds between two checkpoints; 0 for one after every step.
    pub checkpoint_seconds: f64,
    /// Children to train side by side.
    pub jobs: u64,
    /// Whether TensorBoard's file is written.
    pub tensorboard: bool,
    /// Who is told.
    pub watch: Watch,
    /// SIGINT and SIGTERM, caught.
    pub signals: Signals,
}

/// What an attempt has used, and what it may use.
struct Meter {
    ledger: Ledger,
    limits: Limits,
    began: Instant,
    /// Wall seconds of earlier attempts.
    earlier_wall: f64,
    checkpoint_seconds: f64,
    /// Seconds of this attempt at the last checkpoint and at the last account.
    last_checkpoint: f64,
    last_account: f64,
}

impl Meter {
    /// Whether an account is due: a second after the last at first, then a half per cent of the time so far, so that the log of a long run stays short, and a minute at most.
    /// It is what a killed process may leave uncharged.
    fn account_is_due(&mut self) -> bool {
        let now = self.ledger.elapsed();
        now - self.last_account >= (now / 200.0).clamp(1.0, 60.0)
    }

    fn checkpoint_is_due(&mut self) -> bool {
        self.ledger.elapsed() - self.last_checkpoint >= self.checkpoint_seconds
    }

    /// The limit that is reached, if one is. The budget limits search and selection alone.
    fn reached(&mut self) -> Option<EndReason> {
        if let Some(limit) = self.limits.max_memory_bytes {
            self.ledger.settle();
            if self.ledger.peak_bytes().is_some_and(|peak| peak > limit) {
                return Some(EndReason::OutOfMemory);
            }
        }
        let limited = matches!(self.ledger.phase(), Phase::Search | Phase::Select);
        let budget = self.limits.budget_seconds.filter(|_| limited)?;
        (self.ledger.spent() >= budget).then_some(EndReason::BudgetReached)
    }
}

/// One attempt at a run.
pub struct Session {
    recorder: Recorder,
    meter: Meter,
    watch: Watch,
    signals: Signals,
    jobs: u64,
}

impl Session {
    /// Opens the attempt on `run`: reads what earlier attempts left, and begins to charge.
    /// What was spent since `start` is charged too; tensors of a checkpoint go to `device`.
    pub fn open(run: RunDir, limits: Limits, options: SessionOptions, start: Start, device: Device) -> Result<Self> {
        let (recorder, past) = Recorder::open(run, options.tensorboard, device)?;
        // Where time is short, a kill must not cost much of it.
        let checkpoint_seconds = limits.budget_seconds.map_or(f64::INFINITY, |b| b / 20.0).min(options.checkpoint_seconds);
        let meter = Meter {
            ledger: Ledger::new(start.clock, start.reading, past.attempt, past.rows),
            limits,
            began: start.began,
            earlier_wall: past.wall_seconds,
            checkpoint_seconds,
            last_checkpoint: 0.0,
            last_account: 0.0,
        };
        let mut session = Self { recorder, meter, watch: options.watch, signals: options.signals, jobs: options.jobs.max(1) };
        session.record(&Event::AttemptStarted { attempt: past.attempt })?;
        past.remark.iter().for_each(|text| session.say(text));
        for text in past.notices {
            session.notice(&text)?;
        }
        Ok(session)
    }

    fn record(&mut self, event: &Event) -> Result<()> {
        if let Some(text) = self.recorder.write(event)? {
            self.say(&text);
        }
        Ok(())
    }

    /// Writes the result, which finishes the run.
    pub fn finish(&mut self, result: &RunResult) -> Result<()> {
        if let Some(text) = self.recorder.finish(result)? {
            self.say(&text);
        }
        Ok(())
    }

    /// What is and was recorded.
    pub fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// The run directory.
    pub fn run(&self) -> &RunDir {
        self.recorder.run()
    }

    /// The record of trial `id` of `phase`, if it was committed.
    pub fn committed(&self, phase: Phase, id: u64) -> Option<&TrialRecord> {
        self.recorder.committed(phase, id)
    }

    /// The account.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.meter.ledger
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        self.meter.ledger.phase()
    }

    /// Memory is measured from now on.
    pub fn reset_peaks(&mut self) {
        self.meter.ledger.reset_peaks();
    }

    /// Wall seconds of this attempt, and of all of them, by a clock of their own.
    pub fn wall_seconds(&self) -> (f64, f64) {
        let now = self.meter.began.elapsed().as_secs_f64();
        (now, self.meter.earlier_wall + now)
    }

    /// Begins a phase.
    pub fn begin(&mut self, phase: Phase) -> Result<()> {
        self.record(&Event::PhaseStarted { phase })?;
        self.meter.ledger.switch(phase);
        (self.watch)(Update::Phase(phase));
        Ok(())
    }

    /// Ends the present phase; what follows is overhead.
    pub fn end(&mut self, reason: EndReason) -> Result<LedgerRow> {
        let row = self.meter.ledger.end(self.phase(), reason);
        self.meter.ledger.switch(Phase::Overhead);
        self.record(&Event::PhaseEnded { row: row.clone() })?;
        self.account()?;
        Ok(row)
    }

    /// To be called after every step: charges it, saves when it is time, and tells which limit is reached, if one is.
    /// A signal saves and ends the attempt with [`Error::Interrupted`].
    pub fn step(&mut self, samples: u64, done: u64, planned: u64, stage: &str, save: &dyn Fn() -> Saved) -> Result<Option<EndReason>> {
        self.meter.ledger.count_step(samples);
        self.show_step(done, planned);
        let limit = self.limit()?;
        let signal = self.signals.caught();
        if self.meter.checkpoint_is_due() || signal.is_some() || limit.is_some() {
            self.checkpoint(stage, &save())?;
        }
        match signal {
            Some(signal) => Err(self.interrupted(signal)),
            None => Ok(limit),
        }
    }

    /// Like [`Session::step`] for work that is not resumed in the middle, such as a child of a trial or a batch that is scored.
    pub fn short_step(&mut self, samples: Option<u64>) -> Result<Option<EndReason>> {
        if let Some(samples) = samples {
            self.meter.ledger.count_step(samples);
        }
        self.check_signal()?;
        self.limit()
    }

    /// The limit that is reached, if one is; accounts are written on the way.
    pub fn limit(&mut self) -> Result<Option<EndReason>> {
        if self.meter.account_is_due() {
            self.meter.ledger.settle();
            self.account()?;
        }
        Ok(self.meter.reached())
    }

    /// An error if a signal came.
    pub fn check_signal(&mut self) -> Result<()> {
        match self.signals.caught() {
            Some(signal) => Err(self.interrupted(signal)),
            None => Ok(()),
        }
    }

    /// Children that are trained side by side.
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Device-seconds spent of the budget, and the budget, if there is one.
    pub fn budget(&mut self) -> Option<(f64, f64)> {
        self.meter.limits.budget_seconds.map(|budget| (self.meter.ledger.spent(), budget))
    }

    /// Limit on trials.
    pub fn max_trials(&self) -> Option<u64> {
        self.meter.limits.max_trials
    }

    /// Saves the state of `stage`, and before it what it has cost; the time is overhead.
    pub fn checkpoint(&mut self, stage: &str, saved: &Saved) -> Result<()> {
        let phase = self.meter.ledger.switch(Phase::Overhead);
        self.account()?;
        self.recorder.checkpoint(stage, saved)?;
        self.meter.ledger.switch(phase);
        self.meter.last_checkpoint = self.meter.ledger.elapsed();
        Ok(())
    }

    /// Records an event that stands in the log once: a point of a curve that an earlier attempt recorded is left out.
    pub fn progress(&mut self, part: u64, step: u64, event: &Event) -> Result<()> {
        if self.recorder.is_new_point(self.phase(), part, step) { self.record(event) } else { Ok(()) }
    }

    /// Commits a trial: it is never run again. Returns what is recorded.
    pub fn commit(&mut self, trial: TrialRecord) -> Result<TrialRecord> {
        let trial = TrialRecord { spent_seconds: self.meter.ledger.spent(), ..trial };
        self.meter.ledger.settle();
        self.meter.ledger.count_trial();
        self.account()?;
        self.record(&Event::Trial(trial.clone()))?;
        self.recorder.commit(trial.clone())?;
        Ok(trial)
    }

    /// Records a trial that a signal cut off. What it cost is in the ledger; it will be run again.
    pub fn note_interrupted(&mut self, trial: TrialRecord) -> Result<()> {
        let spent_seconds = self.meter.ledger.spent();
        self.record(&Event::Trial(TrialRecord { spent_seconds, ..trial }))
    }

    /// Records and shows something that a reader should know.
    pub fn notice(&mut self, text: &str) -> Result<()> {
        self.say(text);
        self.record(&Event::Notice { text: text.to_string() })
    }

    /// Shows a line without recording it.
    fn say(&mut self, text: &str) {
        (self.watch)(Update::Line(text));
    }

    /// Tells the watcher about a step that is not charged here.
    pub fn show_step(&mut self, done: u64, planned: u64) {
        let phase = self.phase();
        (self.watch)(Update::Step { phase, done, planned });
    }

    /// Writes the account of this attempt so far.
    pub fn account(&mut self) -> Result<()> {
        let (wall_seconds, _) = self.wall_seconds();
        let event = Event::Spent { rows: self.meter.ledger.rows().to_vec(), wall_seconds };
        self.record(&event)?;
        self.meter.last_account = self.meter.ledger.elapsed();
        Ok(())
    }

    fn interrupted(&mut self, signal: i32) -> Error {
        self.meter.ledger.settle();
        // If the disk is full too, the signal is what matters.
        let _ = self.account();
        Error::Interrupted { signal, dir: self.run().path().to_path_buf() }
    }
}
