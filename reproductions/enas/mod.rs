//! ENAS: Efficient Neural Architecture Search via Parameter Sharing (Pham, Guan, Zoph, Le, Dean; ICML 2018; arXiv 1802.03268).
//!
//! All children share the weights of one [`bank`] ([`micro`], [`macro_bank`]); a [`controller`] draws children from a [`space`]. Epochs of steps on the
//! shared weights alternate with updates of the controller ([`search`]); at the end the best of many draws goes on and is trained from scratch.

pub mod bank;
pub mod controller;
pub mod macro_bank;
pub mod micro;
pub mod policy;
pub mod search;
pub mod space;

use crate::error::Result;
use crate::lab::{Card, Engine, Method, Prepared, Region, Settings, read_settings};
use crate::record::{Mark, Role, Shape};
use crate::settings::{at_least, at_most};
use crate::space::InputShape;
use crate::task::Augment;
use crate::train::MOST_EPOCHS;
use search::SharedSearch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use space::Space;

/// The method's entry in the table.
pub struct EnasMethod;

const CARD: Card = Card {
    name: "enas",
    title: "ENAS",
    paper: "Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018, arXiv 1802.03268",
    about: "an LSTM draws children that share one bank of weights, and learns from their scores",
    role: Role::Search,
    mark: Mark { colour: [0x00, 0x9E, 0x73], shape: Shape::Square, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[
        ("enas-micro", &["search.space=\"micro\""]),
        ("enas-macro", &["search.space=\"macro\""]),
        ("enas-nas-bench-201", &["search.space=\"nas-bench-201\""]),
    ],
};

/// The spaces by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpaceName {
    /// Cells.
    Micro,
    /// Whole networks.
    Macro,
    /// Cells of NAS-Bench-201.
    #[serde(rename = "nas-bench-201")]
    NasBench201,
}

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enas {
    /// `micro`, `macro` or `nas-bench-201`.
    pub space: SpaceName,
    /// Width of the first layer of the search network.
    pub channels: i64,
    /// N + 2 layers of the search network of the micro space, 3 N + 2 of that of NAS-Bench-201.
    pub cells: usize,
    /// B: nodes of a micro cell.
    pub nodes: usize,
    /// L: layers of a macro network.
    pub layers: usize,
    /// Whether the norms of shared operations have scale and shift; NAS-Bench-201 only, the others have them.
    #[serde(default)]
    pub affine: bool,
    /// Whether running averages score children; NAS-Bench-201 only, in the others the batch does.
    #[serde(default)]
    pub running_averages: bool,
    /// Epochs of the shared weights.
    pub epochs: u64,
    /// Images a step, and images that a child is scored on.
    pub batch: usize,
    /// Children drawn at the end.
    pub derive: u64,
    /// How many of the best go to the selection phase.
    pub keep: usize,
    /// Steps on the shared weights.
    pub weights: SharedSteps,
    /// The controller and its updates.
    pub controller: ControllerSettings,
    /// Changes of the training images; images that score are not changed.
    pub augment: Augment,
}

/// SGD on the shared weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSteps {
    /// At the start of a period.
    pub learning_rate: f64,
    /// At its end.
    pub learning_rate_end: f64,
    /// Epochs of the first period; 0 for a single one over all epochs.
    pub restart: u64,
    /// By how much each period is longer than the one before.
    pub restart_factor: u64,
    /// Momentum.
    pub momentum: f64,
    /// Whether it looks ahead.
    pub nesterov: bool,
    /// Coupled weight decay, also of weights that a child does not use.
    pub weight_decay: f64,
    /// Limit of the gradient's norm; 0 for none.
    pub clip: f64,
    /// Weight of the auxiliary head's loss; 0 builds no head. Micro space only.
    pub auxiliary_weight: f64,
    /// Dropout of the features before the classifier.
    pub dropout: f64,
}

/// Section `search.controller` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerSettings {
    /// Units of the LSTM.
    pub hidden: i64,
    /// Logits are divided by it; 0 for none.
    pub temperature: f64,
    /// c in c tanh(logit); 0 for none.
    pub tanh_constant: f64,
    /// By how much c is smaller for operations of the micro space.
    pub op_tanh_reduce: f64,
    /// Of Adam.
    pub learning_rate: f64,
    /// Weight of the entropy in the reward.
    pub entropy_weight: f64,
    /// Weight of the past in the baseline.
    pub baseline_decay: f64,
    /// Share of skips that the macro space's penalty prefers.
    pub skip_target: f64,
    /// Weight of that penalty.
    pub skip_weight: f64,
    /// Updates after every epoch of the shared weights.
    pub updates: u64,
    /// Samples an update averages over.
    pub aggregate: u64,
}

impl Method for EnasMethod {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let mut settings: Settings<Enas> = read_settings(CARD.name, settings)?;
        let search = settings.search.clone();
        at_least("search.epochs", search.epochs, 1)?;
        at_least("search.batch", search.batch as u64, 2)?;
        at_least("search.derive", search.derive, 1)?;
        at_least("search.keep", search.keep as u64, 1)?;
        at_least("search.nodes", search.nodes as u64, 1)?;
        at_least("search.channels", search.channels.max(0) as u64, 2)?;
        at_least("search.controller.hidden", search.controller.hidden.max(0) as u64, 1)?;
        at_least("search.controller.updates", search.controller.updates, 1)?;
        at_least("search.controller.aggregate", search.controller.aggregate, 1)?;
        at_least("search.weights.restart_factor", search.weights.restart_factor, 1)?;
        at_most("search.epochs", search.epochs, MOST_EPOCHS)?;
        let (space, name, region) = match search.space {
            SpaceName::Micro => {
                (Space::Micro { nodes: search.nodes }, "enas-micro", Region::new("enas_micro", json!({ "nodes": search.nodes })))
            }
            SpaceName::Macro => {
                // Macro networks have no auxiliary head, and as many layers as were searched.
                settings.select.recipe.auxiliary_weight = 0.0;
                settings.retrain.recipe.auxiliary_weight = 0.0;
                (Space::Macro { layers: search.layers }, "enas-macro", Region::new("enas_macro", json!({ "layers": search.layers })))
            }
            SpaceName::NasBench201 => (Space::Bench, "enas-nas-bench-201", Region::new("nas-bench-201", json!({}))),
        };
        let (checked, keep) = (search.clone(), search.keep as u64);
        let check = move |input: InputShape| {
            checked.augment.check("search.augment", input.height, input.width)?;
            bank::Bank::declare(&checked, space, input).map(drop)
        };
        let engine = Engine::by_steps(move |lab| SharedSearch::new(search.clone(), space, lab));
        let prepared = Prepared::by_steps((name, region), &settings, keep, engine)?;
        Ok(Prepared { variant: name.replace("enas-", ""), check: Box::new(check), ..prepared })
    }
}
