//! The steps of a search by gradients, one after the other, with their checkpoints and curves.

use super::bilevel::{Alternation, Make, Mixed};
use super::lab::{Lab, Point};
use super::method::Found;
use super::session::Flow;
use crate::error::{Error, Result};
use crate::nn::{Pass, Weights};
use crate::record::{Candidate, EndReason, LEARNING_RATE};
use crate::seed::Streams;
use crate::space::Architecture;
use crate::task::{Batch, Part};
use crate::train::{Adam, Ahead, RADIUS, Saved, Sgd, clip, cosine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor, no_grad};

/// Stage name of the search's checkpoints.
const STAGE: &str = "search";

/// Where the whole search stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Which of the searches is on.
    part: u64,
    /// Steps done in it.
    step: u64,
    /// Steps of the alpha optimiser.
    alpha_steps: u64,
    loss_sum: f64,
    loss_steps: u64,
    /// Score of the mixed network at the last epoch's end.
    score: Option<f64>,
    /// The architecture then, and for how many epochs it has stayed the same.
    settled: Option<(Architecture, u64)>,
    /// What finished searches returned.
    candidates: Vec<Candidate>,
}

/// One search in progress.
struct State<'a> {
    how: &'a Alternation,
    net: Box<dyn Mixed>,
    weights: Weights,
    weight_steps: Sgd,
    /// One for every tensor of alpha.
    alpha_steps: Vec<Adam>,
    streams: Streams,
    steps_per_epoch: u64,
    progress: Progress,
}

/// Runs all searches, each from its own seed, and returns what they found, the best score of the mixed network first.
pub(super) fn search(how: &Alternation, lab: &mut Lab, make: Make) -> Result<Found> {
    let mut state = match lab.take_saved(STAGE) {
        Some(saved) => State::restored(how, lab, make, &saved)?,
        None => State::new(how, lab, make, Progress::default())?,
    };
    loop {
        let end = state.run(lab)?;
        if state.progress.step > 0 && state.progress.alpha_steps == 0 {
            lab.session.notice("the search ended before its first architecture step: its cells are those of the random start")?;
        }
        if state.progress.step > 0 && end != EndReason::Diverged {
            let candidate = state.candidate();
            state.progress.candidates.push(candidate);
        }
        let part = state.progress.part + 1;
        if matches!(end, EndReason::BudgetReached | EndReason::OutOfMemory) || part == how.searches {
            return Ok(state.found(end, lab.metric()));
        }
        let candidates = std::mem::take(&mut state.progress.candidates);
        state = State::new(how, lab, make, Progress { part, candidates, ..Progress::default() })?;
    }
}

/// Seconds of all searches, from a few measured steps on a network that is thrown away.
pub(super) fn forecast(how: &Alternation, lab: &mut Lab, make: Make) -> Result<f64> {
    // After the warm-up: what most steps are like.
    let step = how.warm_up.min(how.epochs - 1) * lab.steps(Part::Train, how.batch);
    let mut state = State::new(how, lab, make, Progress { step, ..Progress::default() })?;
    let per_step = lab.seconds_per_step("step of architecture and weights", |lab| {
        let (train, valid) = (state.train_batch(lab), state.valid_batch(lab));
        state.step(&train, valid.as_ref());
        state.progress.step = step;
        Ok(())
    })?;
    // A step has about two forward and four backward-sized parts; scoring a batch has one.
    let scored = lab.steps(Part::Valid, how.batch) as f64 / 6.0;
    Ok(per_step * (state.steps_per_epoch as f64 + scored) * (how.epochs * how.searches) as f64)
}

impl<'a> State<'a> {
    /// A fresh search number `progress.part`.
    fn new(how: &'a Alternation, lab: &Lab, make: Make, progress: Progress) -> Result<Self> {
        let streams = lab.streams.child(STAGE, progress.part);
        Ok(Self::with(how, make(lab, streams)?, streams, lab.device, lab.steps(Part::Train, how.batch), progress))
    }

    fn with(how: &'a Alternation, net: Box<dyn Mixed>, streams: Streams, device: Device, steps_per_epoch: u64, progress: Progress) -> Self {
        let weights = Weights::init(net.table(), &mut streams.rng("init", 0), device, Kind::Float);
        let a = &how.alpha;
        let adam = |alpha: &Tensor| Adam::new(alpha, a.learning_rate, (a.beta1, a.beta2), a.weight_decay);
        Self {
            weight_steps: Sgd::new(weights.flat(), how.weights.momentum, how.weights.weight_decay),
            alpha_steps: net.alpha().into_iter().map(adam).collect(),
            steps_per_epoch,
            how,
            net,
            weights,
            streams,
            progress,
        }
    }

    fn restored(how: &'a Alternation, lab: &Lab, make: Make, saved: &Saved) -> Result<Self> {
        let progress: Progress =
            serde_json::from_value(saved.state.clone()).map_err(|e| Error::input("checkpoint", format!("state of the search: {e}")))?;
        let mut state = Self::new(how, lab, make, progress)?;
        for (name, target) in state.tensors() {
            saved.copy_to(&name, target)?;
        }
        let steps = state.progress.alpha_steps;
        state.alpha_steps.iter_mut().for_each(|adam| adam.steps = steps);
        Ok(state)
    }

    fn tensors(&self) -> Vec<(String, &Tensor)> {
        let mut all = vec![
            ("weights".to_string(), self.weights.flat()),
            ("statistics".to_string(), self.weights.flat_stats()),
            ("velocity".to_string(), &self.weight_steps.velocity),
        ];
        for (i, (alpha, adam)) in self.net.alpha().into_iter().zip(&self.alpha_steps).enumerate() {
            let named = [("alpha", alpha), ("alpha_mean", &adam.mean), ("alpha_square", &adam.square)];
            all.extend(named.map(|(name, tensor)| (format!("{name}.{i}"), tensor)));
        }
        all
    }

    fn save(&self) -> Saved {
        let tensors = self.tensors();
        Saved::new(&self.progress, &tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect::<Vec<_>>())
    }

    fn run(&mut self, lab: &mut Lab) -> Result<EndReason> {
        let planned = self.steps_per_epoch * self.how.epochs;
        if let Flow::Stop(reason) = lab.flow()? {
            return Ok(reason);
        }
        while self.progress.step < planned && !self.has_settled() {
            if self.progress.step == 0 {
                self.report(lab, None)?;
            }
            let (train, valid) = (self.train_batch(lab), self.valid_batch(lab));
            if !self.step(&train, valid.as_ref()) {
                return Ok(EndReason::Diverged);
            }
            if self.progress.step.is_multiple_of(self.steps_per_epoch) {
                self.end_epoch(lab)?;
            }
            let (done, all) = (self.progress.part * planned + self.progress.step, planned * self.how.searches);
            let samples = train.len() + valid.as_ref().map_or(0, Batch::len);
            if let Flow::Stop(reason) = lab.step(samples as u64, done, all, STAGE, &|| self.save())? {
                return Ok(reason);
            }
        }
        Ok(EndReason::Completed)
    }

    fn epoch(&self) -> u64 {
        self.progress.step / self.steps_per_epoch
    }

    /// Of the weights.
    fn learning_rate(&self, epoch: u64) -> f64 {
        let w = &self.how.weights;
        cosine(w.learning_rate, w.learning_rate_end, epoch, self.how.epochs)
    }

    fn has_settled(&self) -> bool {
        self.how.patience > 0 && self.progress.settled.as_ref().is_some_and(|(_, epochs)| *epochs >= self.how.patience)
    }

    /// Batch of the next weight step.
    fn train_batch(&self, lab: &Lab) -> Batch {
        let index = self.progress.step % self.steps_per_epoch;
        lab.batch(Part::Train, self.epoch(), index, self.how.batch, &self.how.augment, self.streams)
    }

    /// Batch of the next architecture step, independent of the steps before; none during the warm-up.
    fn valid_batch(&self, lab: &Lab) -> Option<Batch> {
        let draw = || lab.random_batch(Part::Valid, self.progress.step, self.how.batch, &self.how.augment, self.streams);
        (self.epoch() >= self.how.warm_up).then(draw)
    }

    /// One architecture step on validation images, then one weight step on training images with the new alpha.
    /// False if a loss was NaN or infinite.
    fn step(&mut self, train: &Batch, valid: Option<&Batch>) -> bool {
        let eta = self.learning_rate(self.epoch());
        if let Some(valid) = valid {
            let Some(gradients) = self.alpha_gradient(train, valid, eta) else { return false };
            for ((adam, alpha), gradient) in self.alpha_steps.iter_mut().zip(self.net.alpha()).zip(&gradients) {
                adam.step(alpha, gradient);
            }
        }
        let loss = self.loss(&self.weights, train);
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return false;
        }
        let gradient = clip(self.weights.gradient(&loss), self.how.weights.clip);
        self.weight_steps.step(self.weights.flat(), &gradient, eta);
        self.progress.step += 1;
        self.progress.alpha_steps = self.alpha_steps[0].steps;
        self.progress.loss_sum += value;
        self.progress.loss_steps += 1;
        true
    }

    /// `None` if a loss was NaN or infinite.
    fn alpha_gradient(&self, train: &Batch, valid: &Batch, eta: f64) -> Option<Vec<Tensor>> {
        let ahead = Ahead { table: self.net.table(), weights: &self.weights, sgd: &self.weight_steps, eta, radius: RADIUS };
        let (train, valid) = (|w: &Weights| self.loss(w, train), |w: &Weights| self.loss(w, valid));
        ahead.gradient(self.how.order, &self.net.alpha(), &train, &valid)
    }

    /// What is dropped is the same for all losses of a step, wherever the weights are.
    fn loss(&self, weights: &Weights, batch: &Batch) -> Tensor {
        let mut pass = Pass::training(0.0, self.streams.rng("dropout", self.progress.step)).with_dropout(self.how.dropout);
        self.how.loss.of(&self.net.forward(weights, &batch.images, &mut pass), &batch.labels)
    }

    fn end_epoch(&mut self, lab: &mut Lab) -> Result<()> {
        let logits = |x: &Tensor| no_grad(|| self.net.forward(&self.weights, x, &mut Pass::evaluation()));
        let score = lab.score(Part::Valid, self.how.batch, logits)?;
        let loss = self.progress.loss_sum / self.progress.loss_steps.max(1) as f64;
        (self.progress.loss_sum, self.progress.loss_steps) = (0.0, 0);
        let Some(score) = score else { return Ok(()) };
        self.progress.score = Some(score.value);
        self.compare();
        self.report(lab, Some(loss))
    }

    /// Counts the epochs after the warm-up in which the architecture stays the same.
    fn compare(&mut self) {
        if self.epoch() > self.how.warm_up {
            let now = self.net.genotype();
            let epochs = self.progress.settled.take().map_or(0, |(before, epochs)| if before == now { epochs + 1 } else { 0 });
            self.progress.settled = Some((now, epochs));
        }
    }

    /// A point on the curves; the first, before any step, shows where alpha starts.
    fn report(&self, lab: &mut Lab, loss: Option<f64>) -> Result<()> {
        let mut extra = self.net.figures();
        if let Some(before) = self.epoch().checked_sub(1) {
            extra.insert(LEARNING_RATE.into(), self.learning_rate(before));
        }
        lab.progress(Point {
            part: self.progress.part,
            epoch: self.epoch(),
            step: self.progress.step,
            loss,
            score: self.progress.score,
            extra,
            architecture: Some(self.net.genotype()),
        })
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            origin: format!("search {}", self.progress.part),
            architecture: self.net.genotype(),
            search_score: self.progress.score,
            select_score: None,
        }
    }

    fn found(self, end: EndReason, metric: &str) -> Found {
        let mut candidates = self.progress.candidates;
        // Stable, so that equal scores stay in the order of their searches; a search without a score comes last.
        candidates.sort_by(|a, b| b.search_score.unwrap_or(-1.0).total_cmp(&a.search_score.unwrap_or(-1.0)));
        Found { candidates, score_kind: format!("supernet validation {metric}"), end, extra: BTreeMap::new() }
    }
}

#[cfg(test)]
#[path = "alternation_tests.rs"]
mod tests;
