//! GHN: Graph HyperNetworks for Neural Architecture Search (Zhang, Ren, Urtasun; ICLR 2019; arXiv 1810.05749).
//!
//! A network reads the computation [`graph`] of another, sends states along its edges ([`propagation`]) and turns them into all of its weights
//! ([`hypernetwork`]). Trained once on small random blocks, it ranks many larger ones by the accuracy that they have with predicted weights
//! ([`search`]); the best are trained from scratch.

pub mod graph;
pub mod hypernetwork;
pub mod propagation;
pub mod search;
#[cfg(test)]
mod tests;

use crate::error::{Result, usage};
use crate::lab::{Card, ChildTraining, ControlSize, Engine, Method, Policy, Prepared, Region, Settings, TrialPlan, read_settings};
use crate::network;
use crate::record::{Mark, Role, Shape};
use crate::settings::{at_least, at_most};
use crate::space::{InputShape, NetSize};
use crate::task::Augment;
use crate::train::MOST_EPOCHS;
use graph::Kind;
use propagation::{Schedule, Start};
use search::GraphSearch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The method's entry in the table.
pub struct GhnMethod;

const CARD: Card = Card {
    name: "ghn",
    title: "GHN",
    paper: "Zhang, Ren, Urtasun: Graph HyperNetworks for Neural Architecture Search. ICLR 2019, arXiv 1810.05749",
    about: "a graph network predicts all weights of a child from its graph; children are ranked without training",
    role: Role::Search,
    mark: Mark { colour: [0xB8, 0x7D, 0x00], shape: Shape::Star, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[("ghn", &[])],
};

/// What is done with the trained hypernetwork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Experiment {
    /// It ranks random blocks, the best are trained for a short time, and the best of these goes on: Top-Best (paper, table 2).
    Search,
    /// It ranks random blocks, and one of the best goes on, whichever: over seeds the mean is that of the best blocks, none of them selected further: Top (paper, table 1).
    Top,
    /// Random blocks are trained, and what predicts their scores is recorded: the hypernetwork, and a few steps of training (paper, section 5.3).
    Correlation,
}

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ghn {
    /// `search`, `top` or `correlation`.
    pub experiment: Experiment,
    /// Width of the first blocks of the networks whose weights are predicted.
    pub channels: i64,
    /// Blocks of those networks.
    pub cells: usize,
    /// Nodes of the blocks that train the hypernetwork (the paper's N counts the two inputs too).
    pub train_nodes: usize,
    /// Nodes of the blocks that are ranked or trained.
    pub nodes: usize,
    /// Epochs of the hypernetwork.
    pub epochs: u64,
    /// Images a step, and images that are scored together: batch norm uses their statistics.
    pub batch: usize,
    /// Of Adam.
    pub learning_rate: f64,
    /// Shares of the epochs after which it is halved.
    pub halve_at: Vec<f64>,
    /// Limit of the gradient's norm; 0 for none.
    pub clip: f64,
    /// Random blocks that are scored after every epoch, for the curve.
    pub probes: u64,
    /// Random blocks that are ranked.
    pub candidates: u64,
    /// How many of the best go to the selection phase, or are those that one is drawn of.
    pub keep: usize,
    /// The hypernetwork.
    pub network: GhnSettings,
    /// The experiment `correlation`.
    pub control: Control,
    /// Changes of the training images.
    pub augment: Augment,
}

/// Section `search.network` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GhnSettings {
    /// D: numbers in the state of a vertex.
    pub embedding: i64,
    /// What the states start with.
    pub start: Start,
    /// T: passes over each module.
    pub passes: u64,
    /// Hidden features between a state and the weights.
    pub hidden: i64,
    /// Order of the updates.
    pub schedule: Schedule,
    /// Whether the mean state of a module is sent to the next.
    pub pass_embeddings: bool,
}

/// Section `search.control` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Random blocks that are trained.
    pub nets: u64,
    /// How; `early` names the steps after which they are scored too.
    pub child: ChildTraining,
}

impl Ghn {
    fn check(&self) -> Result<()> {
        // A one-hot start has a place for every kind of vertex.
        let places = if self.network.start == Start::OneHot { Kind::all().count() as u64 } else { 1 };
        for (key, value, least) in [
            ("search.epochs", self.epochs, 1),
            ("search.batch", self.batch as u64, 2),
            ("search.cells", self.cells as u64, 3),
            ("search.channels", self.channels.max(0) as u64, 2),
            ("search.train_nodes", self.train_nodes as u64, 1),
            ("search.nodes", self.nodes as u64, 1),
            ("search.candidates", self.candidates, 1),
            ("search.keep", self.keep as u64, 1),
            ("search.network.embedding", self.network.embedding.max(0) as u64, places),
            ("search.network.passes", self.network.passes, 1),
            ("search.network.hidden", self.network.hidden.max(0) as u64, 1),
            ("search.control.nets", self.control.nets, 1),
        ] {
            at_least(key, value, least)?;
        }
        at_most("search.epochs", self.epochs, MOST_EPOCHS)?;
        match self.halve_at.iter().find(|s| !(0.0..=1.0).contains(*s)) {
            Some(share) => Err(usage!("search.halve_at names {share}: shares of the epochs lie between 0 and 1")),
            None => Ok(()),
        }
    }

    /// The variant, and how many candidates the search returns.
    fn form(&self) -> (&'static str, u64) {
        match self.experiment {
            Experiment::Search => ("top-best", self.keep as u64),
            Experiment::Top => ("top", 1),
            Experiment::Correlation => ("correlation", self.keep as u64),
        }
    }

    /// What the paper's tables 4 and 5 say of the scores that predict, by their names: of the hypernetwork as the paper settles on it, and of some steps of training.
    fn claims(&self) -> BTreeMap<String, String> {
        let settled = self.network.schedule == Schedule::ForwardBackward && self.network.pass_embeddings;
        let predicted = settled.then(|| (search::PREDICTED.to_string(), "GHN, N=7, T=5".to_string()));
        let steps = self.control.child.early.iter().map(|n| (format!("step {n}"), format!("SGD {n} steps")));
        steps.chain(predicted).collect()
    }
}

impl Method for GhnMethod {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let mut settings: Settings<Ghn> = read_settings(CARD.name, settings)?;
        let search = settings.search.clone();
        search.check()?;
        if search.experiment == Experiment::Top {
            // Its control is as unselected as it: one random block a seed.
            settings.control = Some(ControlSize { trials: 1 });
        }
        let trials = TrialPlan::of_children(search.control.nets, &search.control.child, Policy::Train, u64::MAX);
        let trials = TrialPlan { section: "search.control.child", ..trials };
        let then = (search.experiment == Experiment::Correlation).then_some(trials);
        let ((variant, keep), claims) = (search.form(), search.claims());
        let size = NetSize { channels: search.channels, cells: search.cells, auxiliary: false };
        let augment = search.augment.clone();
        let region = Region::new("ghn", json!({ "nodes": search.nodes }));
        let engine = Engine::Steps { begin: Box::new(move |lab| Ok(Box::new(GraphSearch::new(search.clone(), lab)?))), then };
        let prepared = Prepared::by_steps(("ghn", region), &settings, keep, engine)?;
        let example = prepared.example.clone();
        let check = move |input: InputShape| {
            augment.check("search.augment", input.height, input.width)?;
            network::build(&example, input, size).map(drop)
        };
        let predictions = [(search::PREDICTED.to_string(), "score with predicted weights".to_string())].into();
        Ok(Prepared { variant: variant.into(), predictions, claims, check: Box::new(check), ..prepared })
    }
}
