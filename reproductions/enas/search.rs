//! The search: epochs of shared-weight steps on children that the controller draws, alternating with updates of the controller by the scores of
//! children on validation batches; then the best of many drawn children (paper, sections 2.2 and 2.3).

use super::Enas;
use super::bank::Bank;
use super::controller::Controller;
use super::policy::{Rewarded, reinforce, reward};
use super::space::Space;
use crate::error::Result;
use crate::lab::{Lab, Point, Rehearsal, Stepwise};
use crate::nn::{Pass, Table, Weights, cross_entropy};
use crate::record::{Candidate, EndReason, LEARNING_RATE};
use crate::space::Architecture;
use crate::task::{Augment, Batch, Part};
use crate::train::{Adam, Saved, Sgd, clip, cosine, restarted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Tensor, no_grad};

/// Adam of the controller, as released: TensorFlow adds its epsilon before the correction of the second moment.
const BETAS: (f64, f64) = (0.0, 0.999);
const EPSILON: f64 = 1e-3;

/// A child and how it scored on a validation batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Scored {
    decisions: Vec<usize>,
    score: f64,
}

/// Where the search stands, but for its tensors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    epoch: u64,
    /// In the epoch: weight steps, then controller updates.
    position: u64,
    baseline: f64,
    adam_steps: u64,
    loss_sum: f64,
    scores: Vec<f64>,
    entropy_sum: f64,
    /// Best children of the present controller phase, and of the last complete one, for a search that is cut off.
    rewarded: Vec<Scored>,
    best: Vec<Scored>,
    /// The budget leaves only time to draw children.
    cut: bool,
    /// Device-seconds of a step of the shared weights, as last measured, and of scoring a child.
    step_seconds: f64,
    scoring_seconds: Option<f64>,
    /// Children that were drawn and scored at the end.
    derived: Vec<Scored>,
}

impl Progress {
    /// The epoch is over, and with it a complete controller phase.
    fn next_epoch(&mut self) {
        self.best = std::mem::take(&mut self.rewarded);
        (self.epoch, self.position) = (self.epoch + 1, 0);
    }

    /// What was drawn at the end; else the best of the last complete controller phase; else of the present one, if it is the first.
    fn children(&self) -> &[Scored] {
        [&self.derived, &self.best, &self.rewarded].into_iter().find(|children| !children.is_empty()).map_or(&[], |children| children)
    }
}

/// The whole search: epochs of shared weights and controller, then the drawing of children.
pub struct SharedSearch {
    s: Enas,
    space: Space,
    bank: Bank,
    w: Weights,
    sgd: Sgd,
    controller: Controller,
    theta: Weights,
    adam: Adam,
    progress: Progress,
    steps: u64,
}

impl SharedSearch {
    /// Before the first step.
    pub fn new(s: Enas, space: Space, lab: &Lab) -> Result<Self> {
        let bank = Bank::declare(&s, space, lab.input())?;
        let w = Weights::init(bank.table(), &mut lab.streams.rng("init", 0), lab.device, Kind::Float);
        let controller = Controller::declare(space, &s.controller);
        let theta = controller.weights(&mut lab.streams.rng("controller", 0));
        let sgd = Sgd { nesterov: s.weights.nesterov, ..Sgd::new(w.flat(), s.weights.momentum, s.weights.weight_decay) };
        let adam = Adam { epsilon: EPSILON, epsilon_hat: true, ..Adam::new(theta.flat(), s.controller.learning_rate, BETAS, 0.0) };
        let steps = lab.task.steps(Part::Train, s.batch);
        Ok(Self { s, space, bank, w, sgd, controller, theta, adam, progress: Progress::default(), steps })
    }

    /// Whether the epochs are over and children are drawn.
    fn is_drawing(&self) -> bool {
        self.progress.cut || self.progress.epoch >= self.s.epochs
    }

    /// Steps of an epoch, of both kinds.
    fn length(&self) -> u64 {
        self.steps + self.s.controller.updates
    }

    /// Of the shared weights.
    fn learning_rate(&self, epoch: u64) -> f64 {
        let w = &self.s.weights;
        let (done, all) = if w.restart == 0 { (epoch, self.s.epochs) } else { restarted(epoch, w.restart, w.restart_factor) };
        cosine(w.learning_rate, w.learning_rate_end, done, all)
    }

    /// One step on a batch of training images by a child that the controller draws; `None` if the loss is not finite.
    fn weight_step(&mut self, lab: &mut Lab) -> Option<usize> {
        let (epoch, index) = (self.progress.epoch, self.progress.position);
        let step = epoch * self.steps + index;
        let batch = lab.task.batch(Part::Train, epoch, index, self.s.batch, &self.s.augment, lab.streams);
        let child = no_grad(|| self.controller.sample(&self.theta, &mut lab.streams.rng("child", step)));
        let child = self.space.architecture(&child.decisions);
        let settings = &self.s.weights;
        let mut pass = Pass::training(0.0, lab.streams.rng("dropout", step)).with_dropout(settings.dropout);
        let out = self.bank.forward(&self.w, &child, &batch.images, &mut pass);
        let mut loss = cross_entropy(&out.logits, &batch.labels);
        if let Some(auxiliary) = out.auxiliary {
            loss += cross_entropy(&auxiliary, &batch.labels) * settings.auxiliary_weight;
        }
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return None;
        }
        let gradient = clip(self.w.gradient(&loss), settings.clip);
        let rate = self.learning_rate(epoch);
        self.sgd.step(self.w.flat(), &gradient, rate);
        lab.trace(|step| step.of_weights(&child, value, rate, &gradient));
        self.progress.loss_sum += value;
        Some(batch.len())
    }

    /// Accuracy of a child on a validation batch: batch statistics (but see [`Bank`]), nothing dropped.
    fn score(&self, child: &Architecture, batch: &Batch) -> f64 {
        let logits = no_grad(|| self.bank.forward(&self.w, child, &batch.images, &mut Pass::evaluation()).logits);
        logits.argmax(1, false).eq_tensor(&batch.labels).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    }

    /// One update of the controller, averaged over several children.
    fn controller_update(&mut self, lab: &mut Lab) {
        let c = &self.s.controller;
        let update = self.progress.epoch * c.updates + (self.progress.position - self.steps);
        let mut gradient = no_grad(|| self.theta.flat().zeros_like());
        let mut rewarded = Vec::new();
        for a in 0..c.aggregate {
            let number = update * c.aggregate + a;
            let sample = self.controller.sample(&self.theta, &mut lab.streams.rng("rewarded child", number));
            let batch = lab.task.random_batch(Part::Valid, number, self.s.batch, &Augment::NONE, lab.streams);
            let child = self.space.architecture(&sample.decisions);
            let score = self.score(&child, &batch);
            let reward = reward(&sample, score, c);
            let loss = reinforce(&sample, reward, &mut self.progress.baseline, c);
            let one = self.theta.gradient(&(loss / c.aggregate as f64));
            gradient = no_grad(|| gradient + one);
            self.progress.entropy_sum += sample.entropy / sample.decisions.len() as f64;
            self.progress.scores.push(score);
            rewarded.push(Rewarded {
                child,
                decisions: sample.decisions.iter().map(|d| *d as i64).collect(),
                log_probability: sample.log_probability.double_value(&[]),
                score,
                reward,
                baseline: self.progress.baseline,
            });
            self.progress.rewarded.push(Scored { decisions: sample.decisions, score });
        }
        self.adam.step(self.theta.flat(), &gradient);
        lab.trace(|step| {
            Rewarded::tell(&rewarded, step);
            step.number("learning_rate", self.adam.learning_rate);
            step.tensor("controller_gradient", &gradient);
        });
        self.progress.rewarded.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.progress.rewarded.truncate(self.s.keep);
    }

    /// The next step of an epoch, of either kind: images trained on, or `None` if the loss is not finite.
    fn step_of_epoch(&mut self, lab: &mut Lab) -> Result<Option<u64>> {
        let before = lab.spent();
        let images = if self.progress.position < self.steps {
            let Some(images) = self.weight_step(lab) else { return Ok(None) };
            self.progress.step_seconds = lab.spent() - before;
            images
        } else {
            self.controller_update(lab);
            self.progress.scoring_seconds = Some((lab.spent() - before) / self.s.controller.aggregate as f64);
            0
        };
        self.progress.position += 1;
        if self.progress.position == self.length() {
            self.progress.next_epoch();
            self.report(lab)?;
        }
        Ok(Some(images as u64))
    }

    fn report(&mut self, lab: &mut Lab) -> Result<()> {
        let n = self.progress.scores.len() as f64;
        let mean = (n > 0.0).then(|| self.progress.scores.iter().sum::<f64>() / n);
        let rate = self.learning_rate(self.progress.epoch - 1);
        let mut extra = BTreeMap::from([("baseline".to_string(), self.progress.baseline), (LEARNING_RATE.to_string(), rate)]);
        if n > 0.0 {
            extra.insert("controller_entropy".into(), self.progress.entropy_sum / n);
        }
        lab.progress(Point {
            epoch: self.progress.epoch,
            step: self.progress.epoch * self.length(),
            loss: Some(self.progress.loss_sum / self.steps as f64),
            score: mean,
            extra,
            ..Point::default()
        })?;
        self.progress.scores.clear();
        (self.progress.loss_sum, self.progress.entropy_sum) = (0.0, 0.0);
        Ok(())
    }

    fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let (w, theta, adam) = (self.w.flat(), self.theta.flat(), &self.adam);
        let all = [("weights", w), ("velocity", &self.sgd.velocity), ("controller", theta), ("mean", &adam.mean), ("square", &adam.square)];
        let statistics = self.bank.reads_statistics().then(|| ("statistics", self.w.flat_stats()));
        all.into_iter().chain(statistics).collect()
    }

    /// Draws child number `number` of those at the end and scores it on one validation batch.
    fn derive(&self, number: u64, lab: &mut Lab) -> Scored {
        let streams = lab.streams.child("derive", 0);
        let sample = no_grad(|| self.controller.sample(&self.theta, &mut streams.rng("child", number)));
        let batch = lab.task.random_batch(Part::Valid, number, self.s.batch, &Augment::NONE, streams);
        let child = self.space.architecture(&sample.decisions);
        let score = self.score(&child, &batch);
        lab.trace(|step| step.of_score(&child, score));
        Scored { decisions: sample.decisions, score }
    }
}

impl Stepwise for SharedSearch {
    fn planned(&self) -> u64 {
        self.s.epochs * self.length() + self.s.derive
    }

    fn done(&self) -> u64 {
        self.progress.epoch * self.length() + self.progress.position + self.progress.derived.len() as u64
    }

    fn is_over(&self) -> bool {
        self.is_drawing() && self.progress.derived.len() as u64 >= self.s.derive
    }

    fn step(&mut self, lab: &mut Lab) -> Result<Option<u64>> {
        if !self.is_drawing() {
            return self.step_of_epoch(lab);
        }
        let child = self.derive(self.progress.derived.len() as u64, lab);
        self.progress.derived.push(child);
        Ok(Some(0))
    }

    fn table(&self) -> &Table {
        self.bank.table()
    }

    fn save(&self) -> Saved {
        Saved::new(&Progress { adam_steps: self.adam.steps, ..self.progress.clone() }, &self.tensors())
    }

    fn restore(&mut self, _: &Lab, saved: &Saved) -> Result<()> {
        self.progress = saved.progress()?;
        self.adam.steps = self.progress.adam_steps;
        self.tensors().into_iter().try_for_each(|(name, tensor)| saved.copy_to(name, tensor))
    }

    /// The children that were drawn at the end; of a search that ended before that the best of the last complete controller phase, or else one draw.
    fn candidates(&mut self, lab: &mut Lab, end: EndReason) -> Result<Vec<Candidate>> {
        let mut scored = self.progress.children().to_vec();
        if scored.is_empty() && end != EndReason::Diverged {
            scored.push(self.derive(0, lab));
        }
        // Stable: the first among equals.
        scored.sort_by(|a, b| b.score.total_cmp(&a.score));
        let candidate = |(i, child): (usize, &Scored)| Candidate {
            origin: format!("derived {i}"),
            architecture: self.space.architecture(&child.decisions),
            search_score: Some(child.score),
            select_score: None,
        };
        Ok(scored.iter().enumerate().map(candidate).collect())
    }

    fn follow_up(&self) -> f64 {
        // Before any child was scored, a step of the shared weights stands for it; it takes longer.
        let each = self.progress.scoring_seconds.unwrap_or(self.progress.step_seconds);
        if self.is_drawing() { 0.0 } else { self.s.derive as f64 * each }
    }

    fn cut_short(&mut self) {
        self.progress.cut |= self.progress.epoch < self.s.epochs;
    }

    fn ended_early(&self) -> Option<EndReason> {
        self.progress.cut.then_some(EndReason::BudgetReached)
    }

    fn score_kind(&self, _: &str) -> String {
        "accuracy with shared weights on one validation batch".into()
    }

    fn rehearsals(&self, _: &Lab) -> Vec<Rehearsal> {
        let (c, s) = (&self.s.controller, &self.s);
        let updates = (s.epochs * c.updates) as f64 + s.derive as f64 / c.aggregate as f64;
        vec![
            Rehearsal { what: "step of the shared weights", times: (s.epochs * self.steps) as f64 },
            Rehearsal { what: "update of the controller", times: updates },
        ]
    }

    fn rehearse(&mut self, kind: usize, lab: &mut Lab) -> Result<()> {
        if kind == 0 {
            self.weight_step(lab);
        } else {
            self.progress.position = self.steps;
            self.controller_update(lab);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_ends_in_an_epoch_has_the_children_of_the_last_complete_one() {
        let child = |score| Scored { decisions: Vec::new(), score };
        let mut progress = Progress { rewarded: vec![child(0.1)], ..Progress::default() };
        assert_eq!(progress.children(), [child(0.1)], "nothing better in the first epoch");
        progress.next_epoch();
        assert_eq!((progress.children(), progress.epoch), (&[child(0.1)][..], 1), "in the weight phase");
        progress.rewarded.push(child(0.9));
        assert_eq!(progress.children(), [child(0.1)], "in the controller phase");
        progress.derived.push(child(0.2));
        assert_eq!(progress.children(), [child(0.2)], "at the end");
    }
}
