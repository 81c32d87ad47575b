//! The search: the controller draws a batch of children, and learns from their scores.

use super::controller::{Controller, Walk};
use super::decisions::Decisions;
use super::ppo::{self, Ppo};
use crate::error::{Result, usage};
use crate::nn::Weights;
use crate::proposals::{Known, Proposal, Proposals};
use crate::seed::Streams;
use crate::settings::at_least;
use crate::train::Adam;
use std::collections::BTreeMap;
use tch::Kind;

/// Adam's decay rates, which the paper does not state.
const BETAS: (f64, f64) = (0.9, 0.999);

/// How the controller learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Lessons {
    /// Children in all.
    pub trials: u64,
    /// Children an update.
    pub batch: usize,
    /// Units of the controller.
    pub hidden: i64,
    /// One update.
    pub ppo: Ppo,
    /// Reward of a child that failed.
    pub failed_reward: f64,
}

impl Lessons {
    /// Refuses what nothing can be learnt by.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) that names the setting.
    pub fn check(&self) -> Result<()> {
        at_least("search.batch", self.batch as u64, 1)?;
        at_least("search.hidden", self.hidden.max(0) as u64, 1)?;
        at_least("search.ppo.passes", self.ppo.passes, 1)?;
        let unit = |key: &str, value: f64| {
            if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(usage!("search.{key} = {value}: must be from 0 to 1")) }
        };
        unit("ppo.baseline_decay", self.ppo.baseline_decay)?;
        unit("failed_reward", self.failed_reward)?;
        let p = &self.ppo;
        if [p.learning_rate, p.clip, p.gradient_clip, p.entropy_weight].iter().any(|v| !v.is_finite() || *v < 0.0) {
            return Err(usage!("search.ppo: learning_rate, clip, gradient_clip and entropy_weight must not be negative"));
        }
        Ok(())
    }
}

/// The controller, its optimiser and the children that it drew last. A resumed search samples the same children and learns from the recorded scores, so there is no state to save.
pub struct Learner<D> {
    lessons: Lessons,
    decode: D,
    controller: Controller,
    weights: Weights,
    adam: Adam,
    /// Moving average of the rewards.
    baseline: Option<f64>,
    /// The children of one update.
    walk: Option<Walk>,
}

impl<D> Learner<D> {
    /// A fresh controller of these decisions; `decode` makes an architecture of them.
    pub fn new(lessons: Lessons, decisions: &Decisions, decode: D, streams: Streams) -> Self {
        let controller = Controller::declare(decisions, lessons.hidden);
        let weights = controller.weights(&mut streams.rng("controller", 0));
        let adam = Adam::new(weights.flat(), lessons.ppo.learning_rate, BETAS, 0.0);
        Self { lessons, decode, controller, weights, adam, baseline: None, walk: None }
    }

    /// First trial of the update that `id` belongs to.
    fn first(&self, id: u64) -> u64 {
        id - id % self.lessons.batch as u64
    }

    /// Learns from the children of the last update, if there was one, and draws the next.
    fn next_update<A>(&mut self, first: u64, history: &[Known<A>], streams: Streams) {
        let s = &self.lessons;
        if let Some(walk) = &self.walk {
            let rewards: Vec<f64> = history[history.len() - s.batch..].iter().map(|t| t.score.unwrap_or(s.failed_reward)).collect();
            ppo::update(&self.controller, &self.weights, &mut self.adam, &mut self.baseline, walk, &rewards, &s.ppo);
        }
        let count = s.batch.min((s.trials - first) as usize);
        self.walk = Some(self.controller.sample(&self.weights, count, &mut streams.rng("sample", first / s.batch as u64)));
    }
}

impl<A, D: Fn(&[usize]) -> A> Proposals<A> for Learner<D> {
    fn needs(&self, id: u64) -> u64 {
        self.first(id)
    }

    fn draw(&mut self, id: u64, _: u64, history: &[Known<A>], streams: Streams) -> Proposal<A> {
        let first = self.first(id);
        if id == first {
            self.next_update(first, history, streams);
        }
        let walk = self.walk.as_ref().expect("an update begins with its first trial");
        Proposal::sampled((self.decode)(&walk.chosen[(id - first) as usize]))
    }

    /// What the controller was like when it drew the trial.
    fn told(&mut self, _: &[Known<A>]) -> Option<BTreeMap<String, f64>> {
        let entropy = self.walk.as_ref()?.entropy.mean(Kind::Double).double_value(&[]);
        let baseline = self.baseline.map(|b| ("baseline".to_string(), b));
        Some(BTreeMap::from_iter([("controller_entropy".to_string(), entropy)].into_iter().chain(baseline)))
    }
}
