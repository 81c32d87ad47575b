//! Training and scoring one child, on whatever thread.

use super::evaluate::Outcome;
use super::keep::{Keep, Notes};
use super::method::ChildTraining;
use super::stopwatch::{Pace, Stopwatch};
use crate::budget::Since;
use crate::error::Result;
use crate::network;
use crate::nn::count;
use crate::record::EndReason;
use crate::seed::Streams;
use crate::space::{Architecture, InputShape};
use crate::task::{Batch, Logits, Part, Shape, Task};
use crate::train::{Step, Trainer};
use std::cell::RefCell;
use tch::{Device, Tensor};

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

    /// Seconds that building, training and scoring takes, from a few measured steps.
    pub fn forecast(&self, architecture: &Architecture, stopwatch: &Stopwatch) -> Result<f64> {
        let start = Since::now();
        let mut trainer = self.trainer(architecture)?;
        let built = start.seconds();
        let Pace { first, mean } = stopwatch.pace("training step of a child", self.device, || {
            let batch = self.next_batch(&trainer);
            // A loss that is not finite says nothing about the time.
            trainer.step(&batch.images, &batch.labels);
            Ok(())
        })?;
        let steps = self.task.steps(self.part, self.training.recipe.batch) * self.training.recipe.epochs;
        // A forward pass is about a third of a training step.
        let scored = self.task.steps(Part::Valid, self.training.recipe.batch) as f64 / 3.0 * (1 + self.training.early.len()) as f64;
        Ok(built + first + mean * (steps.saturating_sub(1) as f64 + scored))
    }

    /// Trains to the end and scores on the validation part, from where it was kept if it was. `go_on` is told the images of every step, and asked before every scored
    /// batch; it answers with the reason to stop, if there is one. A child that is interrupted is kept.
    pub fn train_and_score(
        &self,
        architecture: &Architecture,
        keep: Option<&Keep>,
        go_on: impl Fn(Option<u64>) -> Option<EndReason>,
    ) -> Result<Outcome> {
        let mut trainer = self.trainer(architecture)?;
        let parameters = Some(count(trainer.parts().0).0);
        let mut notes = keep.map_or(Ok(Notes::default()), |keep| keep.restore(&mut trainer, self.device))?;
        let end = loop {
            if trainer.is_finished() {
                break self.score(&|x| trainer.score(x), &go_on)?;
            }
            let batch = self.next_batch(&trainer);
            if trainer.step(&batch.images, &batch.labels) == Step::Diverged {
                break Err(EndReason::Diverged);
            }
            if trainer.batch_index() == 0 {
                notes.loss = trainer.take_loss();
            }
            if let Some(reason) = go_on(Some(batch.len() as u64)) {
                break Err(reason);
            }
            let step = trainer.progress().step;
            if self.training.early.contains(&step) {
                match self.score(&by_batch(&trainer, self.training.recipe.batch), &go_on)? {
                    Ok(score) => notes.early.insert(format!("step {step}"), score),
                    stopped => break stopped,
                };
            }
            if let Some(keep) = keep.filter(|keep| keep.is_due()) {
                keep.save(&trainer, &notes)?;
            }
        };
        // A score after some steps that was cut off would be missing from the state.
        let whole = !self.training.early.contains(&trainer.progress().step);
        if let Some(keep) = keep.filter(|_| end == Err(EndReason::Interrupted) && whole) {
            keep.save(&trainer, &notes)?;
        }
        let Notes { loss, early } = notes;
        Ok(Outcome { score: end.ok(), loss, parameters, early, ..Outcome::nothing(end.err().unwrap_or(EndReason::Completed)) })
    }

    /// Score on the validation part, or why there is none.
    fn score(&self, logits: Logits, go_on: impl Fn(Option<u64>) -> Option<EndReason>) -> Result<std::result::Result<f64, EndReason>> {
        let mut reason = None;
        let mut ask = || {
            reason = go_on(None);
            Ok(reason.is_none())
        };
        let score = self.task.score(Part::Valid, self.training.recipe.batch, logits, &mut ask)?;
        Ok(score.map(|score| score.value).ok_or(reason.unwrap_or(EndReason::BudgetReached)))
    }
}

/// Scores by the statistics of batches of `batch` images: after few steps the running ones are mostly what they started with (0.9^k of it after k steps). Images that
/// fill no batch are joined by some of the one before them.
fn by_batch(trainer: &Trainer, batch: usize) -> impl Fn(&Tensor) -> Tensor {
    let last = RefCell::new(None);
    move |x: &Tensor| {
        let (n, before) = (x.size()[0], last.replace(Some(x.shallow_clone())));
        let missing = batch as i64 - n;
        match before.filter(|b: &Tensor| (1..=b.size()[0]).contains(&missing)) {
            Some(before) => trainer.score_by_batch(&Tensor::cat(&[x, &before.narrow(0, 0, missing)], 0)).narrow(0, 0, n),
            None => trainer.score_by_batch(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Pass, Weights};
    use crate::space::ghn;
    use crate::task::{Augment, Classification, Limit};
    use serde_json::json;
    use tch::{Kind, no_grad};

    /// 64 images that train and 27 that validate, which are three batches and three images.
    fn task() -> Classification {
        let data = crate::data::open("digits", None).unwrap();
        Classification::open(&data, Limit { search: 91, valid: 27, retrain: 8 }, Device::Cpu).unwrap().0
    }

    fn training(early: &[u64]) -> ChildTraining {
        let recipe = json!({"epochs": 1, "batch": 8, "learning_rate": 0.1, "learning_rate_end": 0.0, "momentum": 0.9, "weight_decay": 3e-4, "decay_all": true,
            "by_step": false, "clip": 5.0, "nesterov": false, "restart": 0, "restart_factor": 1, "dropout": 0.0, "auxiliary_weight": 0.0, "drop_path": 0.2,
            "drop_by_depth": false});
        ChildTraining {
            channels: 2,
            cells: 3,
            recipe: serde_json::from_value(recipe).unwrap(),
            augment: Augment::NONE,
            early: early.to_vec(),
        }
    }

    #[test]
    fn scores_after_some_steps_are_by_the_batch_and_the_training_does_not_know_of_them() {
        let (task, early, none) = (task(), training(&[3, 5]), training(&[]));
        let architecture: Architecture = ghn::sample(3, &mut Streams::new(2).rng("sample", 0)).into();
        let child = |training| Child { task: &task, training, part: Part::Train, streams: Streams::new(7), device: Device::Cpu };
        let scored = child(&early).train_and_score(&architecture, None, |_| None).unwrap();
        // The same steps by hand, and the images of the validation part with the statistics of eight: those that are left over have five of the batch before them.
        let (by_hand, images) = (child(&none), task.range(Part::Valid));
        let mut trainer = by_hand.trainer(&architecture).unwrap();
        for step in 1..=5 {
            let batch = by_hand.next_batch(&trainer);
            trainer.step(&batch.images, &batch.labels);
            if ![3, 5].contains(&step) {
                continue;
            }
            let (network, weights) = trainer.parts();
            let right: f64 = [(0, 0), (8, 0), (16, 0), (24, 5)]
                .into_iter()
                .map(|(first, others)| {
                    let mut items: Vec<i64> = (images.start..images.end).map(|i| i as i64).collect();
                    items = [&items[first..27.min(first + 8)], &items[16..16 + others]].concat();
                    let batch = task.take(&items, &Augment::NONE, &mut Streams::new(0).rng("augment", 0));
                    let fresh = Weights::given(network.table(), weights.params().iter().map(Tensor::detach).collect());
                    let logits = no_grad(|| network.forward(&fresh, &batch.images, &mut Pass::by_batch()).logits);
                    let right = logits.argmax(1, false).eq_tensor(&batch.labels).to_kind(Kind::Double);
                    right.narrow(0, 0, (8 - others) as i64).sum(Kind::Double).double_value(&[])
                })
                .sum();
            assert_eq!(scored.early[&format!("step {step}")], right / 27.0);
        }
        let plain = by_hand.train_and_score(&architecture, None, |_| None).unwrap();
        assert_eq!((scored.score, scored.loss), (plain.score, plain.loss));
        assert!(plain.early.is_empty() && plain.score.is_some());
    }

    #[test]
    fn the_statistics_of_a_batch_leave_the_running_ones_alone() {
        let (task, none) = (task(), training(&[]));
        let architecture: Architecture = ghn::sample(3, &mut Streams::new(2).rng("sample", 0)).into();
        let child = Child { task: &task, training: &none, part: Part::Train, streams: Streams::new(7), device: Device::Cpu };
        let mut trainer = child.trainer(&architecture).unwrap();
        let batch = child.next_batch(&trainer);
        trainer.step(&batch.images, &batch.labels);
        let before = trainer.parts().1.flat_stats().copy();
        let (by_batch, running) = (trainer.score_by_batch(&batch.images), trainer.score(&batch.images));
        assert!(trainer.parts().1.flat_stats().equal(&before));
        assert!((by_batch - running).abs().max().double_value(&[]) > 1e-3, "after one step they are far apart");
    }
}
