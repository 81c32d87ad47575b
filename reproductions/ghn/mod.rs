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
use crate::lab::{Card, ChildTraining, Engine, Method, Policy, Prepared, Region, Settings, TrialPlan, at_least, at_most, read_settings};
use crate::network;
use crate::record::{Mark, Role, Shape};
use crate::space::{InputShape, NetSize};
use crate::task::Augment;
use crate::train::MOST_EPOCHS;
use propagation::Schedule;
use search::GraphSearch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The method's entry in the table.
pub struct GhnMethod;

const CARD: Card = Card {
    name: "ghn",
    title: "GHN",
    paper: "Zhang, Ren, Urtasun: Graph HyperNetworks for Neural Architecture Search. ICLR 2019, arXiv 1810.05749",
    about: "a graph network predicts all weights of a child from its graph; children are ranked without training",
    role: Role::Search,
    mark: Mark { colour: [0xE6, 0x9F, 0x00], shape: Shape::Star, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[("ghn", &[])],
};

/// What is done with the trained hypernetwork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Experiment {
    /// It ranks random blocks, and the best go on (paper, section 5.1).
    Search,
    /// Random blocks are trained, and what predicts their scores is recorded: the hypernetwork, and a few steps of training (paper, section 5.3).
    Correlation,
}

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ghn {
    /// `search` or `correlation`.
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
    /// How many of the best go to the selection phase.
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

impl Method for GhnMethod {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<Ghn> = read_settings(CARD.name, settings)?;
        let search = settings.search.clone();
        for (key, value, least) in [
            ("search.epochs", search.epochs, 1),
            ("search.batch", search.batch as u64, 2),
            ("search.cells", search.cells as u64, 3),
            ("search.channels", search.channels.max(0) as u64, 2),
            ("search.train_nodes", search.train_nodes as u64, 1),
            ("search.nodes", search.nodes as u64, 1),
            ("search.candidates", search.candidates, 1),
            ("search.keep", search.keep as u64, 1),
            ("search.network.embedding", search.network.embedding.max(0) as u64, 1),
            ("search.network.passes", search.network.passes, 1),
            ("search.network.hidden", search.network.hidden.max(0) as u64, 1),
            ("search.control.nets", search.control.nets, 1),
        ] {
            at_least(key, value, least)?;
        }
        at_most("search.epochs", search.epochs, MOST_EPOCHS)?;
        if let Some(share) = search.halve_at.iter().find(|s| !(0.0..=1.0).contains(*s)) {
            return Err(usage!("search.halve_at names {share}: shares of the epochs lie between 0 and 1"));
        }
        let trials = TrialPlan::of_children(search.control.nets, &search.control.child, Policy::Train, u64::MAX);
        let trials = TrialPlan { section: "search.control.child", ..trials };
        let (variant, then) = match search.experiment {
            Experiment::Search => ("top-best", None),
            Experiment::Correlation => ("correlation", Some(trials)),
        };
        let size = NetSize { channels: search.channels, cells: search.cells, auxiliary: false };
        let (augment, keep) = (search.augment.clone(), search.keep as u64);
        let region = Region::new("ghn", json!({ "nodes": search.nodes }));
        let engine = Engine::Steps { begin: Box::new(move |lab| Ok(Box::new(GraphSearch::new(search.clone(), lab)?))), then };
        let prepared = Prepared::by_steps(("ghn", region), &settings, keep, engine)?;
        let example = prepared.example.clone();
        let check = move |input: InputShape| {
            augment.check("search.augment", input.height, input.width)?;
            network::build(&example, input, size).map(drop)
        };
        let predictions = [(search::PREDICTED.to_string(), "score with predicted weights".to_string())].into();
        Ok(Prepared { variant: variant.into(), predictions, check: Box::new(check), ..prepared })
    }
}
