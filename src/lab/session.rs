//! One attempt at a run: everything that is recorded, charged, saved or stopped goes through here.

use super::mirror::Mirror;
use super::signals::Signals;
use crate::budget::{Clock, Ledger, Reading};
use crate::error::{Error, Result};
use crate::record::{Blob, Checkpoint, EndReason, Event, EventLog, LedgerRow, Limits, Phase, RunDir, RunResult, TrialRecord};
use crate::train::Saved;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
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

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End here with what there is.
    Stop(EndReason),
}

/// What a checkpoint holds: whose state it is, the conductor's own state, the inner state.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    stage: String,
    carried: Value,
    inner: Value,
}

/// One attempt at a run.
pub struct Session {
    run: RunDir,
    events: EventLog,
    mirror: Mirror,
    ledger: Ledger,
    signals: Signals,
    limits: Limits,
    watch: Watch,
    checkpoint_seconds: f64,
    last_checkpoint: f64,
    last_spent: f64,
    recorded: HashSet<(Phase, u64, u64)>,
    committed: BTreeMap<(Phase, u64), TrialRecord>,
    jobs: u64,
    carried: Value,
    resumed: Option<(String, Saved)>,
    earlier_wall: f64,
    began: Instant,
}

/// Seconds between two accounts in the event log, which is what a killed process may leave uncharged: a second at first, then a
/// half per cent of the time so far, so that the log of a long run stays short, and a minute at most.
fn account_interval(elapsed: f64) -> f64 {
    (elapsed / 200.0).clamp(1.0, 60.0)
}

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

/// How a session behaves.
pub struct Manner {
    /// Limits of the run.
    pub limits: Limits,
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

impl Session {
    /// Opens the attempt on `run`: reads what earlier attempts left, and begins to charge.
    /// What was spent since `start` is charged too; tensors of a checkpoint go to `device`.
    pub fn open(run: RunDir, manner: Manner, start: Start, device: Device) -> Result<Self> {
        let (events, past, mut notices) = EventLog::append_to(&run.events_path())?;
        let (stored, checkpoint_notices) = run.checkpoints().load()?;
        notices.extend(checkpoint_notices);
        let attempt = past.iter().filter(|e| matches!(e.event, Event::AttemptStarted { .. })).count() as u32;
        let (earlier, earlier_wall) = super::history::accounts(&past);
        let (carried, resumed) = match stored {
            Some(checkpoint) => {
                let (stored, saved) = open_checkpoint(&run, checkpoint, device)?;
                (stored.carried, Some((stored.stage, saved)))
            }
            None => (Value::Null, None),
        };
        let (mirror, without) = Mirror::open(&run, manner.tensorboard, &past);
        // Where time is short, a kill must not cost much of it.
        let checkpoint_seconds = manner.limits.budget_seconds.map_or(f64::INFINITY, |b| b / 20.0).min(manner.checkpoint_seconds);
        let mut session = Self {
            run,
            events,
            mirror,
            ledger: Ledger::new(start.clock, start.reading, attempt, earlier),
            signals: manner.signals,
            limits: manner.limits,
            watch: manner.watch,
            checkpoint_seconds,
            last_checkpoint: 0.0,
            last_spent: 0.0,
            recorded: super::history::points(&past),
            committed: super::history::trials(&past).into_iter().map(|t| ((t.phase, t.id), t)).collect(),
            jobs: manner.jobs.max(1),
            carried,
            resumed,
            earlier_wall,
            began: start.began,
        };
        session.record(&Event::AttemptStarted { attempt })?;
        without.iter().for_each(|text| session.say(text));
        for text in notices {
            session.notice(&text)?;
        }
        Ok(session)
    }

    /// Writes an event to the log and, if it is wanted, to TensorBoard's file.
    fn record(&mut self, event: &Event) -> Result<()> {
        let time = jiff::Timestamp::now();
        self.events.append_at(time, event)?;
        if let Some(text) = self.mirror.add(&self.run, &format!("{time:.3}"), event) {
            self.say(&text);
        }
        Ok(())
    }

    /// Writes the result, which finishes the run.
    pub fn finish(&mut self, result: &RunResult) -> Result<()> {
        self.run.write_result(result)?;
        if let Some(text) = self.mirror.finish(&self.run, result) {
            self.say(&text);
        }
        Ok(())
    }

    /// The run directory.
    pub fn run(&self) -> &RunDir {
        &self.run
    }

    /// The account.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Wall seconds of earlier attempts.
    pub fn earlier_wall(&self) -> f64 {
        self.earlier_wall
    }

    /// Wall seconds of this attempt, by a clock of its own.
    pub fn wall_seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What the conductor saved with the checkpoint, or null.
    pub fn carried(&self) -> &Value {
        &self.carried
    }

    /// Replaces what the conductor saves with every checkpoint.
    pub fn carry(&mut self, value: &impl Serialize) {
        self.carried = serde_json::to_value(value).expect("the conductor's state is plain data");
    }

    /// The state that a checkpoint of `stage` holds, once.
    pub fn take_saved(&mut self, stage: &str) -> Option<Saved> {
        self.resumed.take_if(|(s, _)| s == stage).map(|(_, saved)| saved)
    }

    /// Begins a phase.
    pub fn begin(&mut self, phase: Phase) -> Result<()> {
        self.record(&Event::PhaseStarted { phase })?;
        self.ledger.switch(phase);
        (self.watch)(Update::Phase(phase));
        Ok(())
    }

    /// Ends the present phase; what follows is overhead.
    pub fn end(&mut self, reason: EndReason) -> Result<LedgerRow> {
        let row = self.ledger.end(self.ledger.phase(), reason);
        self.ledger.switch(Phase::Overhead);
        self.record(&Event::PhaseEnded { row: row.clone() })?;
        self.account()?;
        Ok(row)
    }

    /// To be called after every step: charges it, saves when it is time, and says whether to go on.
    /// A signal saves and ends the attempt with [`Error::Interrupted`].
    pub fn step(&mut self, samples: u64, done: u64, planned: u64, stage: &str, save: &dyn Fn() -> Saved) -> Result<Flow> {
        self.ledger.count_step(samples);
        (self.watch)(Update::Step { phase: self.ledger.phase(), done, planned });
        let flow = self.flow()?;
        let signal = self.signals.caught();
        let due = self.ledger.elapsed() - self.last_checkpoint >= self.checkpoint_seconds;
        if due || signal.is_some() || flow != Flow::Continue {
            self.checkpoint(stage, &save())?;
        }
        match signal {
            Some(signal) => Err(self.interrupted(signal)),
            None => Ok(flow),
        }
    }

    /// Like [`Session::step`] for work that is not resumed in the middle, such as a child of a trial or a batch that is scored.
    pub fn short_step(&mut self, samples: Option<u64>) -> Result<Flow> {
        if let Some(samples) = samples {
            self.ledger.count_step(samples);
        }
        self.check_signal()?;
        self.flow()
    }

    /// Whether the limits still permit another step. Only search and selection are limited.
    pub fn flow(&mut self) -> Result<Flow> {
        let now = self.ledger.elapsed();
        if now - self.last_spent >= account_interval(now) {
            self.ledger.settle();
            self.account()?;
        }
        if let Some(limit) = self.limits.max_memory_bytes {
            self.ledger.settle();
            if self.ledger.peak_bytes().is_some_and(|peak| peak > limit) {
                return Ok(Flow::Stop(EndReason::OutOfMemory));
            }
        }
        let limited = matches!(self.ledger.phase(), Phase::Search | Phase::Select);
        match self.limits.budget_seconds {
            Some(budget) if limited && self.ledger.spent() >= budget => Ok(Flow::Stop(EndReason::BudgetReached)),
            _ => Ok(Flow::Continue),
        }
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
        self.limits.budget_seconds.map(|budget| (self.ledger.spent(), budget))
    }

    /// Limit on trials.
    pub fn max_trials(&self) -> Option<u64> {
        self.limits.max_trials
    }

    /// Saves the state of `stage`, and before it what it has cost; the time is overhead.
    pub fn checkpoint(&mut self, stage: &str, saved: &Saved) -> Result<()> {
        let phase = self.ledger.switch(Phase::Overhead);
        self.account()?;
        let stored = Stored { stage: stage.to_string(), carried: self.carried.clone(), inner: saved.state.clone() };
        let blobs = saved.tensors.iter().map(|(name, t)| super::blobs::to_blob(name, t)).collect::<Result<Vec<Blob>>>()?;
        self.events.sync()?;
        self.run.checkpoints().save(&Checkpoint { state: serde_json::to_value(&stored).expect("plain data"), blobs })?;
        self.ledger.switch(phase);
        self.last_checkpoint = self.ledger.elapsed();
        Ok(())
    }

    /// Records a point of a curve unless an earlier attempt did.
    pub fn progress(&mut self, event: Event) -> Result<()> {
        let Event::Progress { phase, part, step, .. } = &event else {
            unreachable!("only points of curves come here");
        };
        if self.recorded.insert((*phase, *part, *step)) {
            self.record(&event)?;
        }
        Ok(())
    }

    /// The record of trial `id` of `phase`, if an earlier attempt committed it.
    pub fn committed(&self, phase: Phase, id: u64) -> Option<&TrialRecord> {
        self.committed.get(&(phase, id))
    }

    /// Commits a trial: it is never run again.
    pub fn commit(&mut self, trial: TrialRecord) -> Result<()> {
        self.ledger.settle();
        self.ledger.count_trial();
        self.account()?;
        self.record(&Event::Trial(trial.clone()))?;
        self.events.sync()?;
        self.committed.insert((trial.phase, trial.id), trial);
        Ok(())
    }

    /// Records a trial that a signal cut off. What it cost is in the ledger; it will be run again.
    pub fn note_interrupted(&mut self, trial: TrialRecord) -> Result<()> {
        self.record(&Event::Trial(trial))
    }

    /// Records and shows something that a reader should know.
    pub fn notice(&mut self, text: &str) -> Result<()> {
        (self.watch)(Update::Line(text));
        self.record(&Event::Notice { text: text.to_string() })?;
        Ok(())
    }

    /// Shows a line without recording it.
    pub fn say(&mut self, text: &str) {
        (self.watch)(Update::Line(text));
    }

    /// Tells the watcher about a step that is not charged here.
    pub fn show_step(&mut self, done: u64, planned: u64) {
        let phase = self.ledger.phase();
        (self.watch)(Update::Step { phase, done, planned });
    }

    /// Trials of `phase` by how they ended.
    pub fn trial_ends(&self, phase: Phase) -> BTreeMap<String, u64> {
        let mut ends = BTreeMap::new();
        for trial in self.committed.values().filter(|t| t.phase == phase) {
            *ends.entry(trial.end.words().to_string()).or_default() += 1;
        }
        ends
    }

    /// Writes the account of this attempt so far.
    pub fn account(&mut self) -> Result<()> {
        let event = Event::Spent { rows: self.ledger.rows().to_vec(), wall_seconds: self.wall_seconds() };
        self.record(&event)?;
        self.last_spent = self.ledger.elapsed();
        Ok(())
    }

    fn interrupted(&mut self, signal: i32) -> Error {
        self.ledger.settle();
        // The account is a courtesy here: a full disk must not hide that a signal came.
        let _ = self.account();
        Error::Interrupted { signal, dir: self.run.path().to_path_buf() }
    }
}

fn open_checkpoint(run: &RunDir, checkpoint: Checkpoint, device: Device) -> Result<(Stored, Saved)> {
    let stored: Stored = serde_json::from_value(checkpoint.state)
        .map_err(|e| Error::input(run.path(), format!("the checkpoint was written by another version of naslab: {e}")))?;
    let tensors = checkpoint.blobs.iter().map(|b| Ok((b.name.clone(), super::blobs::to_tensor(b, device)?))).collect::<Result<Vec<_>>>()?;
    let saved = Saved { state: stored.inner.clone(), tensors };
    Ok((stored, saved))
}
