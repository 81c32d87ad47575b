//! Training and scoring one child, on whatever thread.

use super::evaluate::Outcome;
use super::method::ChildTraining;
use super::stopwatch::Stopwatch;
use crate::error::Result;
use crate::network;
use crate::nn::count;
use crate::record::EndReason;
use crate::seed::Streams;
use crate::space::{Architecture, InputShape};
use crate::task::{Batch, Part, Shape, Task};
use crate::train::{Step, Trainer};
use std::collections::BTreeMap;
use tch::Device;

/// What the data demand of a network.
pub fn input(task: &dyn Task) -> InputShape {
    let Shape { channels, height, width, classes } = task.shape();
    InputShape { channels, height, width, classes }
}

/// A child, its images and its random streams.
pub struct Child<'a> {
    pub task: &'a dyn Task,
    pub training: &'a ChildTraining,
    pub part: Part,
    pub streams: Streams,
    pub device: Device,
}

impl Child<'_> {
    /// A network of `architecture`, ready for its first step.
    pub fn trainer(&self, architecture: &Architecture) -> Result<Trainer> {
        let network = network::build(architecture, input(self.task), self.training.size())?;
        let steps = self.task.steps(self.part, self.training.recipe.batch);
        Ok(Trainer::new(network, &self.training.recipe, steps, self.streams, self.device))
    }

    /// The batch of the trainer's next step.
    pub fn next_batch(&self, trainer: &Trainer) -> Batch {
        let (epoch, index) = (trainer.epoch(), trainer.batch_index());
        self.task.batch(self.part, epoch, index, self.training.recipe.batch, &self.training.augment, self.streams)
    }

    /// Seconds that training and scoring takes, from a few measured steps.
    pub fn forecast(&self, architecture: &Architecture, stopwatch: &Stopwatch) -> Result<f64> {
        let mut trainer = self.trainer(architecture)?;
        let per_step = stopwatch.mean("training step of a child", self.device, || {
            let batch = self.next_batch(&trainer);
            // A loss that is not finite says nothing about the time.
            trainer.step(&batch.images, &batch.labels);
            Ok(())
        })?;
        let steps = self.task.steps(self.part, self.training.recipe.batch) * self.training.recipe.epochs;
        // A forward pass is about a third of a training step.
        let scored = self.task.steps(Part::Valid, self.training.recipe.batch) as f64 / 3.0;
        Ok(per_step * (steps as f64 + scored))
    }

    /// Trains to the end and scores on the validation part. `go_on` is told the images of every step, and asked before every scored
    /// batch; it answers with the reason to stop, if there is one.
    pub fn train_and_score(&self, architecture: &Architecture, go_on: impl Fn(Option<u64>) -> Option<EndReason>) -> Result<Outcome> {
        let mut trainer = self.trainer(architecture)?;
        let parameters = Some(count(trainer.parts().0).0);
        let (mut loss, mut early) = (None, BTreeMap::new());
        let end = loop {
            if trainer.is_finished() {
                break self.score(&trainer, &go_on)?;
            }
            let batch = self.next_batch(&trainer);
            if trainer.step(&batch.images, &batch.labels) == Step::Diverged {
                break Err(EndReason::Diverged);
            }
            if trainer.batch_index() == 0 {
                loss = trainer.take_loss();
            }
            if let Some(reason) = go_on(Some(batch.len() as u64)) {
                break Err(reason);
            }
            let step = trainer.progress().step;
            if self.training.early.contains(&step) {
                match self.score(&trainer, &go_on)? {
                    Ok(score) => early.insert(format!("step {step}"), score),
                    stopped => break stopped,
                };
            }
        };
        Ok(Outcome { score: end.ok(), loss, parameters, early, ..Outcome::nothing(end.err().unwrap_or(EndReason::Completed)) })
    }

    /// Score on the validation part, or why there is none.
    fn score(&self, trainer: &Trainer, go_on: impl Fn(Option<u64>) -> Option<EndReason>) -> Result<std::result::Result<f64, EndReason>> {
        let mut reason = None;
        let mut ask = || {
            reason = go_on(None);
            Ok(reason.is_none())
        };
        let score = self.task.score(Part::Valid, self.training.recipe.batch, &|x| trainer.score(x), &mut ask)?;
        Ok(score.map(|score| score.value).ok_or(reason.unwrap_or(EndReason::BudgetReached)))
    }
}
