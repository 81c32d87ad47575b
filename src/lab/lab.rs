//! What a method sees of the world: batches, steps, scores and trials, each charged and recorded.

use super::child::{Child, input};
use super::method::{ChildTraining, Search};
use super::session::{Flow, Session};
use super::stopwatch::Stopwatch;
use crate::error::Result;
use crate::record::{Event, Phase};
use crate::seed::Streams;
use crate::space::{Architecture, InputShape};
use crate::task::{Augment, Batch, Part, Score, Task};
use crate::train::Saved;
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// A point on a method's curves.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Which of several searches.
    pub part: u64,
    /// Epochs done.
    pub epoch: u64,
    /// Steps done in this part.
    pub step: u64,
    /// Mean training loss since the last point.
    pub loss: Option<f64>,
    /// Validation score.
    pub score: Option<f64>,
    /// Figures of the method's own.
    pub extra: BTreeMap<String, f64>,
    /// The architecture now.
    pub architecture: Option<Architecture>,
}

/// The only door to data, budget and record.
pub struct Lab<'a> {
    /// Where the arithmetic is done.
    pub device: Device,
    /// The run's random streams.
    pub streams: Streams,
    pub(super) task: &'a dyn Task,
    pub(super) session: &'a mut Session,
    pub(super) stopwatch: &'a Stopwatch,
}

impl Lab<'_> {
    /// What the data demand of a network.
    pub fn input(&self) -> InputShape {
        input(self.task)
    }

    /// What a score is: `accuracy` or `dice`.
    pub fn metric(&self) -> &'static str {
        self.task.metric()
    }

    /// Steps an epoch over `part`.
    pub fn steps(&self, part: Part, batch: usize) -> u64 {
        self.task.steps(part, batch)
    }

    /// Batch `index` of `epoch` over `part`, in an order and with changes that come from `streams` alone.
    pub fn batch(&self, part: Part, epoch: u64, index: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        self.task.batch(part, epoch, index, size, augment, streams)
    }

    /// A batch drawn from `part` independently for every `step`.
    pub fn random_batch(&self, part: Part, step: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        self.task.random_batch(part, step, size, augment, streams)
    }

    /// Device-seconds spent of the budget, and the budget, if there is one.
    pub fn budget(&mut self) -> Option<(f64, f64)> {
        self.session.budget()
    }

    /// Makes the state of `stage` safe at once.
    pub fn checkpoint(&mut self, stage: &str, saved: &Saved) -> Result<()> {
        self.session.checkpoint(stage, saved)
    }

    /// The state that a killed or stopped attempt saved under `stage`.
    pub fn take_saved(&mut self, stage: &str) -> Option<Saved> {
        self.session.take_saved(stage)
    }

    /// To be called after every step of a search that saves its own state; see [`Session::step`].
    pub fn step(&mut self, samples: u64, done: u64, planned: u64, stage: &str, save: &dyn Fn() -> Saved) -> Result<Flow> {
        self.session.step(samples, done, planned, stage, save)
    }

    /// Records a point of the present phase's curves.
    pub fn progress(&mut self, point: Point) -> Result<()> {
        let phase = self.session.ledger().phase();
        let device_seconds = match phase {
            Phase::Search | Phase::Select => self.session.ledger().spent(),
            other => {
                self.session.ledger().settle();
                self.session.ledger().device_seconds(&[other])
            }
        };
        let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
        self.session.progress(Event::Progress {
            phase,
            part: point.part,
            epoch: point.epoch,
            step: point.step,
            device_seconds,
            loss: finite(point.loss),
            score: finite(point.score),
            extra: point.extra.into_iter().filter(|(_, v)| v.is_finite()).collect(),
            architecture: point.architecture,
        })
    }

    /// Scores `part` in batches of `batch`; `None` if a limit was reached before the end. A signal waits until the next step, which can save.
    pub fn score(&mut self, part: Part, batch: usize, logits: impl Fn(&Tensor) -> Tensor) -> Result<Option<Score>> {
        let session = &mut *self.session;
        self.task.score(part, batch, &logits, &mut || Ok(session.flow()? == Flow::Continue))
    }

    /// Tells whoever watches how far the present phase is.
    pub fn show(&mut self, done: u64, planned: u64) {
        self.session.show_step(done, planned);
    }

    /// Whether the limits permit more work.
    pub fn flow(&mut self) -> Result<Flow> {
        self.session.flow()
    }

    /// The training of a child on `part`.
    pub(super) fn child<'a>(&'a self, search: &'a dyn Search, training: &'a ChildTraining, part: Part, streams: Streams) -> Child<'a> {
        Child { search, task: self.task, training, part, streams, device: self.device }
    }

    /// Device-seconds of `trials` children like `architecture` on the training part, of which at most `side_by_side` run at a time, from a few
    /// steps measured on one thread.
    pub fn forecast_trials(
        &self,
        search: &dyn Search,
        architecture: &Architecture,
        training: &ChildTraining,
        trials: u64,
        side_by_side: u64,
    ) -> Result<f64> {
        let (task, streams, device, stopwatch) = (self.task.share(), self.streams.child("forecast", 0), self.device, self.stopwatch);
        let measure = move || {
            tch::set_num_threads(1);
            Child { search, task: &*task, training, part: Part::Train, streams, device }.forecast(architecture, stopwatch)
        };
        let one = std::thread::scope(|scope| match scope.spawn(measure).join() {
            Ok(seconds) => seconds,
            Err(payload) => std::panic::resume_unwind(payload),
        })?;
        let jobs = self.session.jobs().min(side_by_side).max(1);
        Ok(one * trials.div_ceil(jobs) as f64)
    }

    /// Device-seconds that training a network of `architecture` for the test takes, from a few measured steps.
    pub(super) fn forecast_retraining(&self, search: &dyn Search, architecture: &Architecture, training: &ChildTraining) -> Result<f64> {
        self.child(search, training, Part::Retrain, self.streams.child("forecast", 0)).forecast(architecture, self.stopwatch)
    }

    /// Mean seconds of `step`, which is what `what` says, after one call that is not counted.
    pub fn seconds_per_step(&mut self, what: &str, mut step: impl FnMut(&mut Self) -> Result<()>) -> Result<f64> {
        let stopwatch = self.stopwatch;
        stopwatch.mean(what, self.device, || step(self))
    }
}
