//! The alternating search (paper, algorithm 1).

use super::alpha;
use super::supernet::Supernet;
use super::{DartsSearch, WeightSteps};
use crate::error::{Error, Result};
use crate::lab::{Flow, Found, Lab, Point};
use crate::nn::{Weights, cross_entropy};
use crate::record::{Candidate, EndReason};
use crate::seed::Streams;
use crate::task::{Batch, Part};
use crate::train::{Adam, Ahead, RADIUS, Saved, Sgd, clip, cosine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Tensor, no_grad};

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
    /// Supernet accuracy at the last epoch's end.
    score: Option<f64>,
    /// What finished searches returned.
    candidates: Vec<Candidate>,
}

/// One search in progress.
pub struct State<'a> {
    settings: &'a DartsSearch,
    net: Supernet,
    weights: Weights,
    alpha: Tensor,
    weight_steps: Sgd,
    alpha_steps: Adam,
    streams: Streams,
    steps_per_epoch: u64,
    progress: Progress,
}

/// Runs all searches of the settings, each from its own seed.
pub fn run(settings: &DartsSearch, lab: &mut Lab) -> Result<Found> {
    let mut state = State::new(settings, lab, Progress::default());
    if let Some(saved) = lab.take_saved(STAGE) {
        state = State::restored(settings, lab, &saved)?;
    }
    loop {
        let end = one_search(&mut state, lab)?;
        if state.progress.step > 0 && end != EndReason::Diverged {
            let candidate = state.candidate();
            state.progress.candidates.push(candidate);
        }
        let part = state.progress.part + 1;
        if matches!(end, EndReason::BudgetReached | EndReason::OutOfMemory) || part == settings.searches {
            return Ok(state.found(end));
        }
        let candidates = std::mem::take(&mut state.progress.candidates);
        state = State::new(settings, lab, Progress { part, candidates, ..Progress::default() });
    }
}

fn one_search(state: &mut State, lab: &mut Lab) -> Result<EndReason> {
    let planned = state.steps_per_epoch * state.settings.epochs;
    if let Flow::Stop(reason) = lab.flow()? {
        return Ok(reason);
    }
    while state.progress.step < planned {
        if state.progress.step == 0 {
            state.report(lab, None)?;
        }
        let train = state.train_batch(lab);
        let valid = state.valid_batch(lab);
        if !state.step(&train, &valid) {
            return Ok(EndReason::Diverged);
        }
        if state.progress.step.is_multiple_of(state.steps_per_epoch) {
            state.end_epoch(lab)?;
        }
        let all = planned * state.settings.searches;
        let done = state.progress.part * planned + state.progress.step;
        if let Flow::Stop(reason) = lab.step((train.len() + valid.len()) as u64, done, all, STAGE, &|| state.save())? {
            return Ok(reason);
        }
    }
    Ok(EndReason::Completed)
}

impl<'a> State<'a> {
    /// A fresh search number `progress.part`.
    fn new(settings: &'a DartsSearch, lab: &Lab, progress: Progress) -> Self {
        let streams = lab.streams.child(STAGE, progress.part);
        let net = Supernet::declare(lab.input(), settings.channels, settings.cells);
        let weights = Weights::init(&net.table, &mut streams.rng("init", 0), lab.device, Kind::Float);
        let alpha = alpha::initial(&mut streams.rng("alpha", 0), lab.device, Kind::Float);
        let WeightSteps { momentum, weight_decay, .. } = settings.weights;
        let a = &settings.alpha;
        Self {
            weight_steps: Sgd::new(weights.flat(), momentum, weight_decay),
            alpha_steps: Adam::new(&alpha, a.learning_rate, (a.beta1, a.beta2), a.weight_decay),
            steps_per_epoch: lab.steps(Part::Train, settings.batch),
            settings,
            net,
            weights,
            alpha,
            streams,
            progress,
        }
    }

    fn restored(settings: &'a DartsSearch, lab: &Lab, saved: &Saved) -> Result<Self> {
        let progress: Progress =
            serde_json::from_value(saved.state.clone()).map_err(|e| Error::input("checkpoint", format!("state of the search: {e}")))?;
        let mut state = Self::new(settings, lab, progress);
        for (name, target) in state.tensors() {
            saved.copy_to(name, target)?;
        }
        state.alpha_steps.steps = state.progress.alpha_steps;
        Ok(state)
    }

    fn tensors(&self) -> [(&'static str, &Tensor); 6] {
        [
            ("weights", self.weights.flat()),
            ("statistics", self.weights.flat_stats()),
            ("velocity", &self.weight_steps.velocity),
            ("alpha", &self.alpha),
            ("alpha_mean", &self.alpha_steps.mean),
            ("alpha_square", &self.alpha_steps.square),
        ]
    }

    fn save(&self) -> Saved {
        Saved::new(&self.progress, &self.tensors())
    }

    /// Batch of the next weight step.
    pub fn train_batch(&self, lab: &Lab) -> Batch {
        let (epoch, index) = (self.progress.step / self.steps_per_epoch, self.progress.step % self.steps_per_epoch);
        lab.batch(Part::Train, epoch, index, self.settings.batch, &self.settings.augment, self.streams)
    }

    /// Batch of the next architecture step: independent of the steps before.
    pub fn valid_batch(&self, lab: &Lab) -> Batch {
        lab.random_batch(Part::Valid, self.progress.step, self.settings.batch, &self.settings.augment, self.streams)
    }

    /// One architecture step on validation images, then one weight step on training images with the new alpha.
    /// False if a loss was NaN or infinite.
    pub fn step(&mut self, train: &Batch, valid: &Batch) -> bool {
        let w = &self.settings.weights;
        let eta = cosine(w.learning_rate, w.learning_rate_end, self.progress.step / self.steps_per_epoch, self.settings.epochs);
        let Some(gradient) = self.alpha_gradient(train, valid, eta) else { return false };
        self.alpha_steps.step(&self.alpha, &gradient);
        let loss = self.loss(&self.weights, train);
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return false;
        }
        let gradient = clip(self.weights.gradient(&loss), w.clip);
        self.weight_steps.step(self.weights.flat(), &gradient, eta);
        self.progress.step += 1;
        self.progress.alpha_steps = self.alpha_steps.steps;
        self.progress.loss_sum += value;
        self.progress.loss_steps += 1;
        true
    }

    /// `None` if a loss was NaN or infinite.
    fn alpha_gradient(&self, train: &Batch, valid: &Batch, eta: f64) -> Option<Tensor> {
        let ahead = Ahead { table: &self.net.table, weights: &self.weights, sgd: &self.weight_steps, eta, radius: RADIUS };
        let (train, valid) = (|w: &Weights| self.loss(w, train), |w: &Weights| self.loss(w, valid));
        Some(ahead.gradient(self.settings.order, &[&self.alpha], &train, &valid)?.remove(0))
    }

    fn loss(&self, weights: &Weights, batch: &Batch) -> Tensor {
        cross_entropy(&self.net.forward(weights, &self.alpha, &batch.images, true), &batch.labels)
    }

    fn end_epoch(&mut self, lab: &mut Lab) -> Result<()> {
        let score = lab.score(Part::Valid, self.settings.batch, |x| no_grad(|| self.net.forward(&self.weights, &self.alpha, x, false)))?;
        let loss = self.progress.loss_sum / self.progress.loss_steps.max(1) as f64;
        (self.progress.loss_sum, self.progress.loss_steps) = (0.0, 0);
        match score {
            Some(score) => {
                self.progress.score = Some(score.accuracy);
                self.report(lab, Some(loss))
            }
            None => Ok(()),
        }
    }

    /// A point on the curves; the first, before any step, shows where alpha starts.
    fn report(&self, lab: &mut Lab, loss: Option<f64>) -> Result<()> {
        let architecture = alpha::genotype(&self.alpha);
        let extra = BTreeMap::from([
            ("alpha_entropy".to_string(), alpha::entropy(&self.alpha)),
            ("normal_skips".to_string(), alpha::normal_skips(&architecture) as f64),
        ]);
        lab.progress(Point {
            part: self.progress.part,
            epoch: self.progress.step / self.steps_per_epoch,
            step: self.progress.step,
            loss,
            score: self.progress.score,
            extra,
            architecture: Some(architecture),
        })
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            origin: format!("search {}", self.progress.part),
            architecture: alpha::genotype(&self.alpha),
            search_score: self.progress.score,
            select_score: None,
        }
    }

    fn found(self, end: EndReason) -> Found {
        let mut candidates = self.progress.candidates;
        // Stable, so that equal scores stay in the order of their searches; a search without a score comes last.
        candidates.sort_by(|a, b| b.search_score.unwrap_or(-1.0).total_cmp(&a.search_score.unwrap_or(-1.0)));
        Found { candidates, score_kind: "supernet validation accuracy".into(), end, extra: BTreeMap::new() }
    }
}

/// Seconds of all searches, from a few measured steps on a network that is thrown away.
pub fn forecast(settings: &DartsSearch, lab: &mut Lab) -> Result<f64> {
    let mut state = State::new(settings, lab, Progress::default());
    let per_step = lab.seconds_per_step(|lab| {
        let (train, valid) = (state.train_batch(lab), state.valid_batch(lab));
        state.step(&train, &valid);
        Ok(())
    })?;
    // A step has about two forward and four backward-sized parts; scoring a batch has one.
    let scored = lab.steps(Part::Valid, settings.batch) as f64 / 6.0;
    Ok(per_step * (state.steps_per_epoch as f64 + scored) * (settings.epochs * settings.searches) as f64)
}
