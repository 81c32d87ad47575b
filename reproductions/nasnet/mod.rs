//! NASNet: Learning Transferable Architectures for Scalable Image Recognition (Zoph, Vasudevan, Shlens, Le; CVPR 2018; arXiv 1707.07012).
//!
//! A recurrent [`controller`] makes the 50 [`decisions`] of a pair of cells; children are trained from scratch, and their validation scores
//! are the rewards by which it learns ([`ppo`]). The best of everything that was ever trained go on.

pub mod controller;
pub mod decisions;
pub mod ppo;

use crate::error::{Result, usage};
use crate::lab::{Card, ChildTraining, Method, Policy, Prepared, Proposals, Region, Settings, Trial, TrialPlan, at_least, read_settings};
use crate::nn::Weights;
use crate::record::{Mark, Role, Shape, TrialRecord};
use crate::seed::Streams;
use crate::space::{NasnetOp, nasnet};
use crate::train::Adam;
use controller::{Controller, Walk};
use decisions::Decisions;
use ppo::Ppo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tch::Kind;

/// The method's entry in the table.
pub struct NasNet;

const CARD: Card = Card {
    name: "nasnet",
    title: "NASNet",
    paper: "Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018, arXiv 1707.07012",
    about: "an LSTM draws cells and learns from the scores of its trained children by policy gradients",
    role: Role::Search,
    mark: Mark { colour: [0xD5, 0x5E, 0x00], shape: Shape::Diamond, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[("nasnet", &[])],
};

/// Adam's decay rates, which the paper does not state.
const BETAS: (f64, f64) = (0.9, 0.999);

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reinforcement {
    /// Operations of the space.
    pub operations: Vec<NasnetOp>,
    /// Whether a block may stack its two sides; else it is a sum.
    pub stacking: bool,
    /// Children in all.
    pub trials: u64,
    /// Children an update.
    pub batch: usize,
    /// Units of the controller.
    pub hidden: i64,
    /// How it learns.
    pub ppo: Ppo,
    /// Reward of a child that diverged or failed.
    pub failed_reward: f64,
    /// What is done with a child that was trained before.
    pub duplicates: Policy,
    /// How many of the best go to the selection phase.
    pub keep: usize,
    /// How each child is trained.
    pub child: ChildTraining,
}

impl Method for NasNet {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<Reinforcement> = read_settings(CARD.name, settings)?;
        let (protocol, search) = (settings.protocol(), settings.search);
        at_least("search.trials", search.trials, 1)?;
        at_least("search.batch", search.batch as u64, 1)?;
        at_least("search.hidden", search.hidden.max(0) as u64, 1)?;
        at_least("search.ppo.passes", search.ppo.passes, 1)?;
        at_least("search.keep", search.keep as u64, 1)?;
        let unit = |key: &str, value: f64| {
            if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(usage!("search.{key} = {value}: must be from 0 to 1")) }
        };
        unit("ppo.baseline_decay", search.ppo.baseline_decay)?;
        unit("failed_reward", search.failed_reward)?;
        let p = &search.ppo;
        if [p.learning_rate, p.clip, p.gradient_clip, p.entropy_weight].iter().any(|v| !v.is_finite() || *v < 0.0) {
            return Err(usage!("search.ppo: learning_rate, clip, gradient_clip and entropy_weight must not be negative"));
        }
        if search.duplicates == Policy::Redraw {
            return Err(usage!("search.duplicates = \"redraw\": the controller learns from what it draws; use train or reuse"));
        }
        nasnet::check_operations(&search.operations)?;
        let plan = (TrialPlan::of_children(search.trials, &search.child, search.duplicates, search.batch as u64), search.keep);
        let region = Region::new("nasnet", json!({ "operations": search.operations, "stacking": search.stacking }));
        let begin = move |streams| Learner::new(search.clone(), streams);
        Ok(Prepared { variant: "ppo".into(), ..Prepared::by_trials(("nasnet", region), protocol, plan, begin)? })
    }
}

/// The controller, its optimiser and the children that it drew last. A resumed search samples the same children and learns from the recorded scores, so there is no state to save.
struct Learner {
    search: Reinforcement,
    decisions: Decisions,
    controller: Controller,
    weights: Weights,
    adam: Adam,
    /// Moving average of the rewards.
    baseline: Option<f64>,
    /// The children of one update.
    walk: Option<Walk>,
}

impl Learner {
    fn new(search: Reinforcement, streams: Streams) -> Self {
        let decisions = Decisions::new(&search.operations, search.stacking);
        let controller = Controller::declare(&decisions, search.hidden);
        let weights = controller.weights(&mut streams.rng("controller", 0));
        let adam = Adam::new(weights.flat(), search.ppo.learning_rate, BETAS, 0.0);
        Self { search, decisions, controller, weights, adam, baseline: None, walk: None }
    }

    /// First trial of the update that `id` belongs to.
    fn first(&self, id: u64) -> u64 {
        id - id % self.search.batch as u64
    }

    /// Learns from the children of the last update, if there was one, and draws the next.
    fn next_update(&mut self, first: u64, history: &[TrialRecord], streams: Streams) {
        let s = &self.search;
        if let Some(walk) = &self.walk {
            let rewards: Vec<f64> = history[history.len() - s.batch..].iter().map(|t| t.score.unwrap_or(s.failed_reward)).collect();
            ppo::update(&self.controller, &self.weights, &mut self.adam, &mut self.baseline, walk, &rewards, &s.ppo);
        }
        let count = s.batch.min((s.trials - first) as usize);
        self.walk = Some(self.controller.sample(&self.weights, count, &mut streams.rng("sample", first / s.batch as u64)));
    }
}

impl Proposals for Learner {
    fn needs(&self, id: u64) -> u64 {
        self.first(id)
    }

    fn draw(&mut self, id: u64, _: u64, history: &[TrialRecord], streams: Streams) -> Trial {
        let first = self.first(id);
        if id == first {
            self.next_update(first, history, streams);
        }
        let walk = self.walk.as_ref().expect("an update begins with its first trial");
        Trial::sampled(id, self.decisions.decode(&walk.chosen[(id - first) as usize]).into())
    }

    /// What the controller was like when it drew the trial.
    fn told(&mut self, _: &[TrialRecord]) -> Option<BTreeMap<String, f64>> {
        let entropy = self.walk.as_ref()?.entropy.mean(Kind::Double).double_value(&[]);
        let baseline = self.baseline.map(|b| ("baseline".to_string(), b));
        Some(BTreeMap::from_iter([("controller_entropy".to_string(), entropy)].into_iter().chain(baseline)))
    }
}
