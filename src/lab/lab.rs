//! What a search sees of the world: batches, steps and scores, each charged and recorded.

use super::child::{Child, input};
use super::method::ChildTraining;
use super::session::Session;
use super::stopwatch::Stopwatch;
use crate::error::Result;
use crate::record::{EndReason, Event, Phase};
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

    /// The limit that is reached, if one is.
    pub fn limit(&mut self) -> Result<Option<EndReason>> {
        self.session.limit()
    }

    /// Records and shows something that a reader should know.
    pub fn notice(&mut self, text: &str) -> Result<()> {
        self.session.notice(text)
    }

    /// Children that are trained side by side.
    pub(super) fn jobs(&self) -> u64 {
        self.session.jobs()
    }

    /// Makes the state of `stage` safe at once.
    pub(super) fn checkpoint(&mut self, stage: &str, saved: &Saved) -> Result<()> {
        self.session.checkpoint(stage, saved)
    }

    /// The state that a killed or stopped attempt saved under `stage`.
    pub(super) fn take_saved(&mut self, stage: &str) -> Option<Saved> {
        self.session.recorder().take_saved(stage)
    }

    /// To be called after every step of what saves its own state; see [`Session::step`].
    pub(super) fn step(
        &mut self,
        samples: u64,
        done: u64,
        planned: u64,
        stage: &str,
        save: &dyn Fn() -> Saved,
    ) -> Result<Option<EndReason>> {
        self.session.step(samples, done, planned, stage, save)
    }

    /// Records a point of the present phase's curves.
    pub fn progress(&mut self, point: Point) -> Result<()> {
        let phase = self.session.phase();
        let ledger = self.session.ledger();
        let device_seconds = match phase {
            Phase::Search | Phase::Select => ledger.spent(),
            other => {
                ledger.settle();
                ledger.device_seconds(&[other])
            }
        };
        let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
        let event = Event::Progress {
            phase,
            part: point.part,
            epoch: point.epoch,
            step: point.step,
            device_seconds,
            loss: finite(point.loss),
            score: finite(point.score),
            extra: point.extra.into_iter().filter(|(_, v)| v.is_finite()).collect(),
            architecture: point.architecture,
        };
        self.session.progress(point.part, point.step, &event)
    }

    /// Scores `part` in batches of `batch`; `None` if a limit was reached before the end. A signal waits until the next step, which can save.
    pub fn score(&mut self, part: Part, batch: usize, logits: impl Fn(&Tensor) -> Tensor) -> Result<Option<Score>> {
        let session = &mut *self.session;
        self.task.score(part, batch, &logits, &mut || Ok(session.limit()?.is_none()))
    }

    /// Tells whoever watches how far the present phase is.
    pub(super) fn show(&mut self, done: u64, planned: u64) {
        self.session.show_step(done, planned);
    }

    /// The training of a child on `part`.
    pub(super) fn child<'a>(&'a self, training: &'a ChildTraining, part: Part, streams: Streams) -> Child<'a> {
        Child { task: self.task, training, part, streams, device: self.device }
    }

    /// Seconds that one child like `architecture` takes on the training part, from a few steps measured on one thread.
    pub(super) fn seconds_of_a_child(&self, architecture: &Architecture, training: &ChildTraining) -> Result<f64> {
        let (task, streams, device, stopwatch) = (self.task.share(), self.streams.child("forecast", 0), self.device, self.stopwatch);
        let measure = move || {
            tch::set_num_threads(1);
            Child { task: &*task, training, part: Part::Train, streams, device }.forecast(architecture, stopwatch)
        };
        std::thread::scope(|scope| match scope.spawn(measure).join() {
            Ok(seconds) => seconds,
            Err(payload) => std::panic::resume_unwind(payload),
        })
    }

    /// Device-seconds that training a network of `architecture` for the test takes, from a few measured steps.
    pub(super) fn forecast_retraining(&self, architecture: &Architecture, training: &ChildTraining) -> Result<f64> {
        self.child(training, Part::Retrain, self.streams.child("forecast", 0)).forecast(architecture, self.stopwatch)
    }

    /// Mean seconds of `step`, which is what `what` says, after one call that is not counted.
    pub(super) fn seconds_per_step(&mut self, what: &str, mut step: impl FnMut(&mut Self) -> Result<()>) -> Result<f64> {
        let stopwatch = self.stopwatch;
        stopwatch.mean(what, self.device, || step(self))
    }
}
