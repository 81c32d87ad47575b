//! What a method sees of the world: batches, steps, scores and trials, each charged and recorded.

use super::memory::guard;
use super::method::{ChildTraining, Search};
use super::session::{Flow, Session};
use crate::arch::{Architecture, InputShape};
use crate::error::{Error, Result};
use crate::nn::count;
use crate::record::{EndReason, Event, Phase, TrialRecord};
use crate::seed::Streams;
use crate::task::{Augment, Batch, Classification, Part, Score};
use crate::train::{Saved, Step, Trainer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// A child to train and score: a value that any worker could be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Number in the search; it decides the child's random streams.
    pub id: u64,
    /// The child.
    pub architecture: Architecture,
    /// Trial it was mutated from.
    pub parent: Option<u64>,
    /// How it came to be.
    pub origin: String,
}

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

/// Trials that ended, and why no more were run, if so.
pub type Evaluated = (Vec<TrialRecord>, Option<EndReason>);

/// How a child's training ended.
struct ChildEnd {
    end: EndReason,
    score: Option<Score>,
    loss: Option<f64>,
    parameters: u64,
}

/// The only door to data, budget and record.
pub struct Lab<'a> {
    /// Where the arithmetic is done.
    pub device: Device,
    /// The run's random streams.
    pub streams: Streams,
    pub(super) task: &'a Classification,
    pub(super) session: &'a mut Session,
}

impl Lab<'_> {
    /// What the data demand of a network.
    pub fn input(&self) -> InputShape {
        InputShape { channels: self.task.channels, height: self.task.height, width: self.task.width, classes: self.task.classes }
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
        self.task.score(part, batch, logits, || Ok(session.flow()? == Flow::Continue))
    }

    /// Tells whoever watches how far the present phase is.
    pub fn show(&mut self, done: u64, planned: u64) {
        self.session.show_step(done, planned);
    }

    /// Whether the limits permit more work.
    pub fn flow(&mut self) -> Result<Flow> {
        self.session.flow()
    }

    /// Trains every trial's child on the training part and scores it on the validation part, in order. A trial that an earlier
    /// attempt committed is answered from the record. A trial that diverges or runs out of memory is an outcome like any other.
    pub fn evaluate(&mut self, search: &dyn Search, trials: &[Trial], training: &ChildTraining) -> Result<Evaluated> {
        let mut outcomes = Vec::with_capacity(trials.len());
        let phase = self.session.ledger().phase();
        for trial in trials {
            if let Some(record) = self.session.committed(phase, trial.id) {
                if record.architecture != trial.architecture {
                    return Err(Error::input(
                        self.session.run().path(),
                        format!(
                            "trial {} of the record is another architecture than this search draws; it was written by another version",
                            trial.id
                        ),
                    ));
                }
                let record = record.clone();
                let end = record.end;
                outcomes.push(record);
                if end == EndReason::BudgetReached {
                    return Ok((outcomes, Some(end)));
                }
                continue;
            }
            if self.session.max_trials().is_some_and(|limit| phase == Phase::Search && trial.id >= limit) {
                return Ok((outcomes, Some(EndReason::TrialLimit)));
            }
            // A trial that took too much memory says nothing about the next one.
            self.session.ledger().reset_peaks();
            if let Flow::Stop(reason) = self.session.flow()? {
                return Ok((outcomes, Some(reason)));
            }
            let record = self.run_trial(search, trial, training, phase)?;
            let end = record.end;
            outcomes.push(record);
            if end == EndReason::BudgetReached {
                return Ok((outcomes, Some(end)));
            }
        }
        Ok((outcomes, None))
    }

    fn run_trial(&mut self, search: &dyn Search, trial: &Trial, training: &ChildTraining, phase: Phase) -> Result<TrialRecord> {
        let before = self.session.ledger().spent();
        let child = match guard(|| self.train_child(search, trial, training, phase)) {
            Ok(child) => child?,
            Err(message) => {
                self.session.notice(&format!("trial {}: {message}", trial.id))?;
                ChildEnd { end: EndReason::OutOfMemory, score: None, loss: None, parameters: 0 }
            }
        };
        self.session.ledger().settle();
        let spent_seconds = self.session.ledger().spent();
        let record = TrialRecord {
            id: trial.id,
            phase,
            architecture: trial.architecture.clone(),
            hash: trial.architecture.hash(),
            parent: trial.parent,
            origin: trial.origin.clone(),
            end: child.end,
            score: child.score.map(|s| s.accuracy),
            loss: child.loss.filter(|l| l.is_finite()),
            parameters: child.parameters,
            device_seconds: spent_seconds - before,
            spent_seconds,
        };
        self.session.commit(record.clone())?;
        Ok(record)
    }

    fn train_child(&mut self, search: &dyn Search, trial: &Trial, training: &ChildTraining, phase: Phase) -> Result<ChildEnd> {
        let streams = self.streams.child(phase.name(), trial.id);
        let mut trainer = self.trainer(search, &trial.architecture, training, Part::Train, streams)?;
        let parameters = count(trainer.parts().0).0;
        let stopped = |end, loss| Ok(ChildEnd { end, score: None, loss, parameters });
        let mut loss = None;
        while !trainer.is_finished() {
            let batch = self.next_batch(&trainer, training, Part::Train, streams);
            if trainer.step(&batch.images, &batch.labels) == Step::Diverged {
                return stopped(EndReason::Diverged, loss);
            }
            if trainer.batch_index() == 0 {
                loss = trainer.take_loss();
            }
            if let Flow::Stop(reason) = self.session.short_step(Some(batch.len() as u64))? {
                return stopped(reason, loss);
            }
        }
        let score = self.score(Part::Valid, training.recipe.batch, |x| trainer.score(x))?;
        let end = match (&score, self.session.short_step(None)?) {
            (Some(_), _) => EndReason::Completed,
            (None, Flow::Stop(reason)) => reason,
            (None, Flow::Continue) => EndReason::BudgetReached,
        };
        Ok(ChildEnd { end, score, loss, parameters })
    }

    /// A network of `architecture` ready for its first step on `part`.
    pub(super) fn trainer(
        &self,
        search: &dyn Search,
        architecture: &Architecture,
        training: &ChildTraining,
        part: Part,
        streams: Streams,
    ) -> Result<Trainer> {
        let network = search.build(architecture, self.input(), training.size())?;
        Ok(Trainer::new(network, &training.recipe, self.steps(part, training.recipe.batch), streams, self.device))
    }

    /// The batch of the trainer's next step.
    pub(super) fn next_batch(&self, trainer: &Trainer, training: &ChildTraining, part: Part, streams: Streams) -> Batch {
        self.batch(part, trainer.epoch(), trainer.batch_index(), training.recipe.batch, &training.augment, streams)
    }

    /// Device-seconds that training and scoring a child of `architecture` takes, from `steps` measured steps.
    pub fn forecast_child(
        &mut self,
        search: &dyn Search,
        architecture: &Architecture,
        training: &ChildTraining,
        part: Part,
    ) -> Result<f64> {
        let streams = self.streams.child("forecast", 0);
        let mut trainer = self.trainer(search, architecture, training, part, streams)?;
        let per_step = self.seconds_per_step(|lab| {
            let batch = lab.next_batch(&trainer, training, part, streams);
            trainer.step(&batch.images, &batch.labels);
            Ok(())
        })?;
        let steps = self.steps(part, training.recipe.batch) * training.recipe.epochs;
        // A forward pass is about a third of a training step.
        let scored = self.steps(Part::Valid, training.recipe.batch) as f64 / 3.0;
        Ok(per_step * (steps as f64 + scored))
    }

    /// Mean seconds of `step`, after one call that is not counted.
    pub fn seconds_per_step(&mut self, mut step: impl FnMut(&mut Self) -> Result<()>) -> Result<f64> {
        const COUNTED: u32 = 3;
        step(self)?;
        let start = self.session.ledger().elapsed();
        for _ in 0..COUNTED {
            step(self)?;
        }
        Ok((self.session.ledger().elapsed() - start) / f64::from(COUNTED))
    }
}
