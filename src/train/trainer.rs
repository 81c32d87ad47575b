//! Training of one network from scratch, step by step, so that the caller can charge, save and stop between steps.

use super::optim::{Optimizer, clip, cosine, restarted};
use super::recipe::Recipe;
use super::saved::Saved;
use crate::error::Result;
use crate::nn::{Network, Pass, Weights};
use crate::seed::Streams;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// It went well; the training loss of the batch.
    Done(f64),
    /// The loss was NaN or infinite; the weights are as before the step.
    Diverged,
}

/// A network in training.
pub struct Trainer {
    network: Box<dyn Network>,
    weights: Weights,
    optimizer: Optimizer,
    recipe: Recipe,
    streams: Streams,
    steps_per_epoch: u64,
    progress: Progress,
}

/// Where a training stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Sum of the losses in the present epoch.
    pub loss_sum: f64,
    /// Steps in that sum.
    pub loss_steps: u64,
}

impl Trainer {
    /// Fresh weights from the stream `init`.
    pub fn new(network: Box<dyn Network>, recipe: &Recipe, steps_per_epoch: u64, streams: Streams, device: Device) -> Self {
        let weights = Weights::initialised(network.table(), recipe.initialisation, &mut streams.rng("init", 0), device, Kind::Float);
        let decays = (!recipe.decay_all).then(|| network.table().matrices(device, Kind::Float));
        let optimizer = Optimizer::new(recipe, weights.flat(), decays);
        Self { network, weights, optimizer, recipe: recipe.clone(), streams, steps_per_epoch, progress: Progress::default() }
    }

    /// Where it stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Epoch of the next step.
    pub fn epoch(&self) -> u64 {
        self.progress.step / self.steps_per_epoch
    }

    /// Index of the next batch within its epoch.
    pub fn batch_index(&self) -> u64 {
        self.progress.step % self.steps_per_epoch
    }

    /// All epochs done.
    pub fn is_finished(&self) -> bool {
        self.epoch() >= self.recipe.epochs
    }

    /// Mean loss since the last call at an epoch's end.
    pub fn take_loss(&mut self) -> Option<f64> {
        let mean = (self.progress.loss_steps > 0).then(|| self.progress.loss_sum / self.progress.loss_steps as f64);
        (self.progress.loss_sum, self.progress.loss_steps) = (0.0, 0);
        mean
    }

    /// How far the schedules are: (done, all), in steps or epochs.
    fn schedule(&self) -> (u64, u64) {
        let unit = if self.recipe.by_step { 1 } else { self.steps_per_epoch };
        (self.progress.step / unit, self.recipe.epochs * self.steps_per_epoch / unit)
    }

    /// Learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        let (done, all) = match self.recipe.restart {
            0 => self.schedule(),
            first => restarted(self.epoch(), first, self.recipe.restart_factor),
        };
        cosine(self.recipe.learning_rate, self.recipe.learning_rate_end, done, all)
    }

    /// Drop-path probability of the next step.
    pub fn drop_path(&self) -> f64 {
        let (done, all) = self.schedule();
        self.recipe.drop_path * done as f64 / all as f64
    }

    /// One step on images [N, C, H, W] with labels `[N]` or [N, H, W].
    pub fn step(&mut self, images: &Tensor, labels: &Tensor) -> Step {
        self.step_showing(images, labels, |_, _| ())
    }

    /// The same; `show` is told the loss and the gradient, clipped, in the layout of the weights.
    pub fn step_showing(&mut self, images: &Tensor, labels: &Tensor, show: impl FnOnce(f64, &Tensor)) -> Step {
        let rng = self.streams.rng("drop path", self.progress.step);
        let mut pass = Pass::training(self.drop_path(), rng).by_depth(self.recipe.drop_by_depth).with_dropout(self.recipe.dropout);
        let out = self.network.forward(&self.weights, images, &mut pass);
        let mut loss = self.recipe.loss.of(&out.logits, labels);
        if let Some(auxiliary) = out.auxiliary {
            loss += self.recipe.loss.of(&auxiliary, labels) * self.recipe.auxiliary_weight;
        }
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return Step::Diverged;
        }
        let gradient = clip(self.weights.gradient(&loss), self.recipe.clip);
        show(value, &gradient);
        self.optimizer.step(self.weights.flat(), &gradient, self.learning_rate());
        self.progress.step += 1;
        self.progress.loss_sum += value;
        self.progress.loss_steps += 1;
        Step::Done(value)
    }

    /// Scores images [N, C, H, W] → logits [N, classes] or [N, classes, H, W], with running statistics and without gradient.
    pub fn score(&self, images: &Tensor) -> Tensor {
        no_grad(|| self.network.forward(&self.weights, images, &mut Pass::evaluation()).logits)
    }

    /// The same with the statistics of these images in place of the running ones, which stay as they are.
    pub fn score_by_batch(&self, images: &Tensor) -> Tensor {
        let statistics = self.weights.flat_stats().copy();
        let weights = Weights::over(self.network.table(), self.weights.flat().shallow_clone(), statistics);
        no_grad(|| self.network.forward(&weights, images, &mut Pass::by_batch()).logits)
    }

    /// The network and its weights.
    pub fn parts(&self) -> (&dyn Network, &Weights) {
        (&*self.network, &self.weights)
    }

    /// All that the next step depends on.
    pub fn save(&self) -> Saved {
        let weights = [("weights", self.weights.flat()), ("statistics", self.weights.flat_stats())];
        Saved::new(&self.progress, &[&weights[..], &self.optimizer.memory()].concat())
    }

    /// Goes on from what [`Trainer::save`] returned.
    pub fn restore(&mut self, saved: &Saved) -> Result<()> {
        self.progress = saved.progress()?;
        saved.copy_to("weights", self.weights.flat())?;
        saved.copy_to("statistics", self.weights.flat_stats())?;
        self.optimizer.memory().iter().try_for_each(|(name, memory)| saved.copy_to(name, memory))?;
        self.optimizer.resume(self.progress.step);
        Ok(())
    }
}
