//! One attempt at a run: what is recorded ([`Recorder`]), what is charged and limited, and who is told meet here.

use super::cluster::Place;
use super::recorder::Recorder;
use super::signals::Signals;
use super::trace::{Trace, TraceTo};
use crate::budget::{Clock, Ledger, Reading, Since, suspended_seconds};
use crate::error::{Error, Result};
use crate::record::{
    ClusterRecord, DeviceRecord, EndReason, Event, LedgerRow, Limits, Phase, RunDir, RunResult, Submission, TaskRecord, TrialRecord,
};
use crate::train::Saved;
use crate::units::show_seconds;
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
    began: Since,
}

impl Start {
    /// Now.
    pub fn now(mut clock: Box<dyn Clock>) -> Self {
        clock.reset_peaks();
        Self { reading: clock.read(), clock, began: Since::now() }
    }

    /// Seconds since then.
    pub(super) fn seconds(&self) -> f64 {
        self.began.seconds()
    }

    /// An account of its own from then on.
    pub(super) fn ledger(self) -> Ledger {
        Ledger::new(self.clock, self.reading, 0, Vec::new())
    }
}

/// How an attempt saves, talks and stops.
pub struct SessionOptions {
    /// Seconds between two checkpoints; 0 for one after every step.
    pub checkpoint_seconds: f64,
    /// Children to train side by side; on a cluster, tasks that may be in its queue.
    pub jobs: u64,
    /// The devices over which children are spread, by their names, where there are several.
    pub devices: Vec<(String, Device)>,
    /// The cluster that trains the children, if one does.
    pub cluster: Option<ClusterRecord>,
    /// Which task of a cluster this process is, if it is one.
    pub place: Option<Place>,
    /// What the job that does the rest of a run on a cluster is told beside the run: options of `naslab trial`.
    pub rest_words: Vec<String>,
    /// Whether TensorBoard's file is written.
    pub tensorboard: bool,
    /// Where the steps are traced, if they are.
    pub trace: Option<TraceTo>,
    /// Who is told.
    pub watch: Watch,
    /// SIGINT, SIGTERM and SIGHUP, caught.
    pub signals: Signals,
}

impl SessionOptions {
    /// Without a word, TensorBoard's file or a checkpoint at an interval: those at the ends of phases remain.
    pub fn quiet(jobs: u64, signals: Signals) -> Self {
        let (checkpoint_seconds, watch) = (f64::INFINITY, Box::new(|_: Update<'_>| ()));
        Self {
            checkpoint_seconds,
            jobs,
            devices: Vec::new(),
            cluster: None,
            place: None,
            rest_words: Vec::new(),
            tensorboard: false,
            trace: None,
            watch,
            signals,
        }
    }
}

/// Device-seconds of the budget that a search leaves to what must still follow it, by a forecast.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct KeptBack {
    /// For the selection among its candidates.
    pub selection: f64,
    /// For trials that follow the steps of a search.
    pub trials: f64,
}

/// Whether an account is due, so many seconds after the begin: a second after the last at first, then after a half per cent of the time so far, so that the log of a long run stays short, and after a
/// minute at most. It is what a killed process may leave uncharged.
pub(super) fn is_account_due(now: f64, last: f64) -> bool {
    now - last >= (now / 200.0).clamp(1.0, 60.0)
}

/// One attempt at a run.
pub struct Session {
    /// What is and was recorded.
    pub(super) recorder: Recorder,
    /// The account.
    pub(super) ledger: Ledger,
    /// What it may use.
    pub(super) limits: Limits,
    /// Children that are trained side by side.
    pub(super) jobs: u64,
    /// The devices over which they are spread, where there are several.
    pub(super) devices: Vec<(String, Device)>,
    /// The cluster that trains them, if one does.
    pub(super) cluster: Option<ClusterRecord>,
    /// Which task of a cluster this process is, and the device that it has there.
    place: Option<(Place, DeviceRecord)>,
    /// What of the budget is for work that follows.
    pub(super) kept: KeptBack,
    /// What other code is to repeat.
    pub(super) trace: Option<Trace>,
    began: Since,
    /// Seconds in which the process did not run, as far as they are said.
    suspended: f64,
    /// Wall seconds of earlier attempts.
    earlier_wall: f64,
    pub(super) checkpoint_seconds: f64,
    /// Seconds of this attempt at the last checkpoint and at the last account.
    last_checkpoint: f64,
    last_account: f64,
    watch: Watch,
    signals: Signals,
}

impl Session {
    /// Opens the attempt on `run`: reads what earlier attempts left, and begins to charge.
    /// What was spent since `start` is charged too; tensors of a checkpoint go to `device`.
    pub fn open(run: RunDir, limits: Limits, options: SessionOptions, start: Start, device: Device) -> Result<Self> {
        let (recorder, past) = Recorder::open(run, options.tensorboard, device)?;
        // Where time is short, a kill must not cost much of it.
        let checkpoint_seconds = limits.budget_seconds.map_or(f64::INFINITY, |b| b / 20.0).min(options.checkpoint_seconds);
        let mut session = Self {
            recorder,
            ledger: Ledger::new(start.clock, start.reading, past.attempt, past.rows),
            limits,
            jobs: options.jobs.max(1),
            devices: options.devices,
            cluster: options.cluster,
            place: options.place.map(|place| (place, crate::device::describe(device))),
            kept: KeptBack::default(),
            trace: None,
            began: start.began,
            suspended: suspended_seconds(),
            earlier_wall: past.wall_seconds,
            checkpoint_seconds,
            last_checkpoint: 0.0,
            last_account: 0.0,
            watch: options.watch,
            signals: options.signals,
        };
        for task in past.tasks {
            session.ledger.charge(task);
        }
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

    /// Wall seconds of all attempts, by a clock of their own.
    pub fn wall_seconds(&self) -> f64 {
        self.earlier_wall + self.began.seconds()
    }

    /// Begins a phase.
    pub fn begin(&mut self, phase: Phase) -> Result<()> {
        self.record(&Event::PhaseStarted { phase })?;
        let elsewhere = self.cluster.is_some() && matches!(phase, Phase::Search | Phase::Select);
        self.ledger.set_working(u64::from(!elsewhere));
        self.ledger.switch(phase);
        (self.watch)(Update::Phase(phase));
        Ok(())
    }

    /// Ends the present phase; what follows is overhead.
    pub fn end(&mut self, reason: EndReason) -> Result<LedgerRow> {
        let row = self.ledger.end(self.ledger.phase(), reason);
        self.ledger.switch(Phase::Overhead);
        self.record(&Event::PhaseEnded { row: row.clone() })?;
        self.record_place(&row)?;
        self.account()?;
        Ok(row)
    }

    /// Where the work of this phase was done, if a task of a cluster did it.
    fn record_place(&mut self, row: &LedgerRow) -> Result<()> {
        let Some((Place { task, node, queued_seconds }, device)) = self.place.clone() else { return Ok(()) };
        let name = device.index.map_or_else(|| device.kind.clone(), |index| format!("{}:{index}", device.kind));
        let model = device.name;
        self.charge(TaskRecord { trial: 0, task, node, device: name, model, queued_seconds, apart: false, account: row.clone() })
    }

    /// To be called after every step: charges it, saves when it is time, and tells which limit is reached, if one is.
    /// A signal saves and ends the attempt with [`Error::Interrupted`].
    pub fn step(&mut self, samples: u64, done: u64, planned: u64, stage: &str, save: &dyn Fn() -> Saved) -> Result<Option<EndReason>> {
        self.ledger.count_step(samples);
        self.show_step(done, planned);
        let limit = self.limit()?;
        let signal = self.signals.caught();
        let due = self.ledger.elapsed() - self.last_checkpoint >= self.checkpoint_seconds;
        if due || signal.is_some() || limit.is_some() {
            self.checkpoint(stage, &save())?;
        }
        signal.map_or(Ok(limit), |signal| Err(self.interrupted(signal)))
    }

    /// Like [`Session::step`] for work that is no step of a training, such as a batch that is scored.
    pub fn short_step(&mut self) -> Result<Option<EndReason>> {
        self.check_signal()?;
        self.limit()
    }

    /// The limit that is reached, if one is; accounts are written on the way. The budget limits search and selection alone, and the search leaves to the selection what it
    /// is forecast to need.
    pub fn limit(&mut self) -> Result<Option<EndReason>> {
        let now = self.ledger.elapsed();
        self.note_suspension()?;
        if is_account_due(now, self.last_account) {
            self.ledger.settle();
            self.account()?;
        }
        // What is trained elsewhere keeps to it there.
        let elsewhere = self.cluster.is_some() && matches!(self.ledger.phase(), Phase::Search | Phase::Select);
        if let Some(limit) = self.limits.max_memory_bytes.filter(|_| !elsewhere) {
            self.ledger.settle();
            if self.ledger.peak_bytes().is_some_and(|peak| peak > limit) {
                return Ok(Some(EndReason::OutOfMemory));
            }
        }
        let budget = match self.ledger.phase() {
            Phase::Search => self.search_budget(),
            Phase::Select => self.limits.budget_seconds,
            _ => None,
        };
        Ok(budget.filter(|budget| self.ledger.spent() >= *budget).map(|_| EndReason::BudgetReached))
    }

    /// Names time in which the process did not run. The ledger's clock has left it out.
    fn note_suspension(&mut self) -> Result<()> {
        let now = suspended_seconds();
        let away = now - std::mem::replace(&mut self.suspended, now);
        if away <= 0.0 {
            return Ok(());
        }
        let away = show_seconds(away);
        self.notice(&format!("for {away} this process did not run (it was stopped, or the machine slept); that time is not charged"))
    }

    /// Device-seconds that the search may use, if they are limited.
    pub fn search_budget(&self) -> Option<f64> {
        self.limits.budget_seconds.map(|budget| budget - self.kept.selection)
    }

    /// An error if a signal came.
    pub fn check_signal(&mut self) -> Result<()> {
        self.signals.caught().map_or(Ok(()), |signal| Err(self.interrupted(signal)))
    }

    /// Saves the state of `stage`, and before it what it has cost; the time is overhead.
    pub fn checkpoint(&mut self, stage: &str, saved: &Saved) -> Result<()> {
        let phase = self.ledger.switch(Phase::Overhead);
        self.account()?;
        self.recorder.checkpoint(stage, saved)?;
        self.ledger.switch(phase);
        self.last_checkpoint = self.ledger.elapsed();
        Ok(())
    }

    /// Records an event that stands in the log once: a point of a curve that an earlier attempt recorded is left out.
    pub fn progress(&mut self, part: u64, step: u64, event: &Event) -> Result<()> {
        if self.recorder.points.insert((self.ledger.phase(), part, step)) { self.record(event) } else { Ok(()) }
    }

    /// Commits a trial: it is never run again. Returns what is recorded.
    pub fn commit(&mut self, trial: TrialRecord) -> Result<TrialRecord> {
        let trial = TrialRecord { spent_seconds: self.ledger.spent(), ..trial };
        self.ledger.settle();
        self.ledger.count_trial();
        self.account()?;
        self.record(&Event::Trial(trial.clone()))?;
        self.recorder.commit(trial.clone())?;
        Ok(trial)
    }

    /// Records a trial that a signal cut off. What it cost is in the ledger; it will be run again.
    pub fn note_interrupted(&mut self, trial: TrialRecord) -> Result<()> {
        let spent_seconds = self.ledger.spent();
        self.record(&Event::Trial(TrialRecord { spent_seconds, ..trial }))
    }

    /// Charges a training that has an account of its own.
    pub fn charge(&mut self, task: TaskRecord) -> Result<()> {
        if self.ledger.charge(task.clone()) { self.record(&Event::Task(task)) } else { Ok(()) }
    }

    /// Makes a submission safe, before it is relied on.
    pub fn keep_submission(&mut self, submission: &Submission) -> Result<()> {
        self.record(&Event::Submission(submission.clone()))?;
        self.recorder.sync()
    }

    /// How many signals came.
    pub fn signals(&self) -> u64 {
        self.signals.count()
    }

    /// Records and shows something that a reader should know.
    pub fn notice(&mut self, text: &str) -> Result<()> {
        self.say(text);
        self.record(&Event::Notice { text: text.to_string() })
    }

    /// Shows a line without recording it.
    pub(super) fn say(&mut self, text: &str) {
        (self.watch)(Update::Line(text));
    }

    /// Tells the watcher about a step that is not charged here.
    pub fn show_step(&mut self, done: u64, planned: u64) {
        let phase = self.ledger.phase();
        (self.watch)(Update::Step { phase, done, planned });
    }

    /// Writes the account of this attempt so far.
    pub fn account(&mut self) -> Result<()> {
        let (rows, wall_seconds) = (self.ledger.rows().to_vec(), self.began.seconds());
        self.record(&Event::Spent { rows, wall_seconds })?;
        self.last_account = self.ledger.elapsed();
        Ok(())
    }

    fn interrupted(&mut self, signal: i32) -> Error {
        self.ledger.settle();
        // If the disk is full too, the signal is what matters.
        let _ = self.account();
        let phase = self.ledger.phase();
        if let Some(row) = self.ledger.rows().iter().find(|row| row.phase == phase).cloned() {
            let _ = self.record_place(&row);
        }
        Error::Interrupted { signal, dir: self.recorder.run.path().to_path_buf() }
    }
}
