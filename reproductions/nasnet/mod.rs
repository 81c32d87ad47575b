//! NASNet: Learning Transferable Architectures for Scalable Image Recognition (Zoph, Vasudevan, Shlens, Le; CVPR 2018; arXiv 1707.07012).
//!
//! A recurrent [`controller`] makes the 50 [`decisions`] of a pair of cells; children are trained from scratch, and their validation scores
//! are the rewards by which it learns ([`ppo`]). The best of everything that was ever trained go on.

pub mod controller;
pub mod decisions;
pub mod learner;
pub mod ppo;
pub mod tabular;

use crate::error::{Result, usage};
use crate::lab::{Card, ChildTraining, Method, Policy, Prepared, Region, Settings, TrialPlan, read_settings};
use crate::record::Role;
use crate::settings::at_least;
use crate::space::{Architecture, NasnetOp, nasnet};
use decisions::Decisions;
use learner::{Learner, Lessons};
use ppo::Ppo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The method's entry in the table.
pub struct NasNet;

const CARD: Card = Card {
    name: "nasnet",
    title: "NASNet",
    paper: tabular::ALGORITHM.paper,
    about: "an LSTM draws cells and learns from the scores of its trained children by policy gradients",
    role: Role::Search,
    mark: tabular::ALGORITHM.mark,
    presets: include_str!("presets.toml"),
    spaces: &[("nasnet", &[])],
};

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
        at_least("search.keep", search.keep as u64, 1)?;
        search.lessons().check()?;
        if search.duplicates == Policy::Redraw {
            return Err(usage!("search.duplicates = \"redraw\": the controller learns from what it draws; use train or reuse"));
        }
        nasnet::check_operations(&search.operations)?;
        let plan = (TrialPlan::of_children(search.trials, &search.child, search.duplicates, search.batch as u64), search.keep);
        let region = Region::new("nasnet", json!({ "operations": search.operations, "stacking": search.stacking }));
        let begin = move |streams| {
            let operations = search.operations.clone();
            let decisions = Decisions::of_cells(operations.len(), search.stacking);
            let decode = move |chosen: &[usize]| Architecture::from(decisions::cells(&operations, chosen));
            Learner::new(search.lessons(), &decisions, decode, streams)
        };
        Ok(Prepared { variant: "ppo".into(), ..Prepared::by_trials(("nasnet", region), protocol, plan, begin)? })
    }
}

impl Reinforcement {
    fn lessons(&self) -> Lessons {
        let Self { trials, batch, hidden, ref ppo, failed_reward, .. } = *self;
        Lessons { trials, batch, hidden, ppo: ppo.clone(), failed_reward }
    }
}
