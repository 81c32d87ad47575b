//! NASNet: Learning Transferable Architectures for Scalable Image Recognition (Zoph, Vasudevan, Shlens, Le; CVPR 2018; arXiv 1707.07012).
//!
//! A recurrent [`controller`] makes the 50 [`decisions`] of a pair of cells; children are trained from scratch, and their validation scores
//! are the rewards by which it learns ([`ppo`]). The best of everything that was ever trained go on.

pub mod controller;
pub mod decisions;
pub mod ppo;

use crate::error::{Error, Result};
use crate::lab::{
    Card, ChildTraining, ControlArm, Duplicates, Found, Lab, Method, Policy, Proposals, Protocol, Search, Trial, at_least, read_settings,
};
use crate::record::TrialRecord;
use crate::seed::Streams;
use crate::space::{Architecture, InputShape, NasnetOp, nasnet};
use crate::train::Adam;
use controller::{Controller, Walk};
use decisions::Decisions;
use ppo::{Baseline, Ppo};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use tch::Kind;

/// The method's entry in the table.
pub struct NasNet;

const CARD: Card = Card {
    name: "nasnet",
    title: "NASNet",
    paper: "Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018, arXiv 1707.07012",
    about: "an LSTM draws cells and learns from the scores of its trained children by policy gradients",
    presets: include_str!("presets.toml"),
    control: Some(ControlArm { preset: "", set: None }),
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

/// Settings, checked.
struct Prepared {
    search: Reinforcement,
    protocol: Protocol,
}

impl Method for NasNet {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Box<dyn Search>> {
        let (search, protocol): (Reinforcement, Protocol) = read_settings(CARD.name, settings)?;
        at_least("search.trials", search.trials, 1)?;
        at_least("search.batch", search.batch as u64, 1)?;
        at_least("search.hidden", search.hidden.max(0) as u64, 1)?;
        at_least("search.ppo.passes", search.ppo.passes, 1)?;
        at_least("search.keep", search.keep as u64, 1)?;
        let unit = |key: &str, value: f64| {
            if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(Error::Usage(format!("search.{key} = {value}: must be from 0 to 1"))) }
        };
        unit("ppo.baseline_decay", search.ppo.baseline_decay)?;
        unit("failed_reward", search.failed_reward)?;
        let p = &search.ppo;
        if [p.learning_rate, p.clip, p.gradient_clip, p.entropy_weight].iter().any(|v| !v.is_finite() || *v < 0.0) {
            return Err(Error::Usage("search.ppo: learning_rate, clip, gradient_clip and entropy_weight must not be negative".into()));
        }
        if search.duplicates == Policy::Redraw {
            return Err(Error::Usage(
                "search.duplicates = \"redraw\": the controller learns from what it draws; use train or reuse".into(),
            ));
        }
        nasnet::check_operations(&search.operations)?;
        Ok(Box::new(Prepared { search, protocol }))
    }
}

impl Search for Prepared {
    fn variant(&self) -> String {
        "ppo".into()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn check(&self, input: InputShape) -> Result<()> {
        self.search.child.check_for("search.child", self, input)
    }

    fn run(&self, lab: &mut Lab) -> Result<Found> {
        let s = &self.search;
        let decisions = Decisions::new(&s.operations, s.stacking);
        let controller = Controller::declare(&decisions, s.hidden);
        let w = controller.weights(&mut lab.streams.rng("controller", 0));
        let mut adam = Adam::new(w.flat(), s.ppo.learning_rate, BETAS, 0.0);
        let mut baseline = Baseline::default();
        let mut duplicates = Duplicates::new(s.duplicates);
        let (mut history, mut end): (Vec<TrialRecord>, _) = (Vec::new(), None);
        // A resumed search samples the same children and learns from the recorded scores, so there is no state to save.
        while (history.len() as u64) < s.trials {
            let first = history.len() as u64;
            let count = s.batch.min((s.trials - first) as usize);
            let walk = controller.sample(&w, count, &mut lab.streams.rng("sample", first / s.batch as u64));
            let mut batch = Batch::new(&decisions, &walk, baseline, &history, s.trials);
            let (outcomes, stop) = lab.stream(self, first..first + count as u64, &s.child, &mut duplicates, &mut batch)?;
            history.extend(outcomes);
            if stop.is_some() {
                end = stop;
                break;
            }
            let rewards: Vec<f64> = history[first as usize..].iter().map(|t| t.score.unwrap_or(s.failed_reward)).collect();
            ppo::update(&controller, &w, &mut adam, &mut baseline, &walk, &rewards, &s.ppo);
        }
        Ok(Found::of_trials(&history, s.keep, end, lab.metric()))
    }

    fn keep(&self) -> u64 {
        self.search.keep as u64
    }

    fn example(&self) -> Architecture {
        nasnet::sample(&self.search.operations, self.search.stacking, &mut Streams::new(0).rng("example", 0)).into()
    }

    fn forecast(&self, lab: &mut Lab) -> Result<f64> {
        lab.forecast_trials(self, &self.example(), &self.search.child, self.search.trials, self.search.batch as u64)
    }
}

/// The children of one update.
struct Batch {
    architectures: Vec<Architecture>,
    /// What the controller was like when it drew them.
    figures: BTreeMap<String, f64>,
    first: u64,
    best_before: Option<f64>,
    planned: u64,
}

impl Batch {
    fn new(decisions: &Decisions, walk: &Walk, baseline: Baseline, before: &[TrialRecord], planned: u64) -> Self {
        let entropy = walk.entropy.mean(Kind::Double).double_value(&[]);
        let mut figures = BTreeMap::from([("controller_entropy".to_string(), entropy)]);
        figures.extend(baseline.get().map(|b| ("baseline".to_string(), b)));
        let architectures = walk.chosen.iter().map(|c| Architecture::from(decisions.decode(c))).collect();
        let best_before = before.iter().filter_map(|t| t.score).reduce(f64::max);
        Self { architectures, figures, first: before.len() as u64, best_before, planned }
    }
}

impl Proposals for Batch {
    fn needs(&self, _: u64) -> u64 {
        0
    }

    fn draw(&mut self, id: u64, _: u64, _: &[TrialRecord], _: Streams) -> Trial {
        let architecture = self.architectures[(id - self.first) as usize].clone();
        Trial { id, architecture, parent: None, origin: "sampled".into(), proxies: BTreeMap::new() }
    }

    fn committed(&mut self, history: &[TrialRecord], lab: &mut Lab) -> Result<()> {
        lab.report_trial(self.best_before, history, self.planned, self.figures.clone())
    }
}
