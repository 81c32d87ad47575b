//! DARTS: Differentiable Architecture Search (Liu, Simonyan, Yang; ICLR 2019; arXiv 1806.09055), first and second order.
//!
//! Every edge of a cell mixes eight operations by a softmax over logits alpha ([`supernet`]); alpha and the weights take alternating
//! gradient steps on validation and training images ([`search`]); then every node keeps its two strongest sources ([`alpha`]).

pub mod alpha;
pub mod search;
pub mod supernet;

use crate::arch::{Architecture, InputShape, darts_space};
use crate::error::{Error, Result};
use crate::lab::{Card, Found, Lab, Method, Protocol, Search, at_least, read_settings};
use crate::seed::Streams;
use crate::task::Augment;
use crate::train::{MOST_EPOCHS, Order};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The method's entry in the table.
pub struct Darts;

const CARD: Card = Card {
    name: "darts",
    title: "DARTS",
    paper: "Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv 1806.09055",
    about: "gradient steps on a continuous mixture of operations, alternating with weight steps",
    presets: include_str!("presets.toml"),
};

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DartsSearch {
    /// Whether alpha's gradient looks a weight step ahead.
    pub order: Order,
    /// Independent searches, of which the selection phase chooses one.
    pub searches: u64,
    /// Width of the first cell.
    pub channels: i64,
    /// Number of cells.
    pub cells: usize,
    /// Passes over the training half.
    pub epochs: u64,
    /// Images a step, of each half.
    pub batch: usize,
    /// Weight steps.
    pub weights: WeightSteps,
    /// Architecture steps.
    pub alpha: AlphaSteps,
    /// Changes of the images of both halves.
    pub augment: Augment,
}

/// SGD on the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightSteps {
    /// At the first epoch.
    pub learning_rate: f64,
    /// Where the cosine ends.
    pub learning_rate_end: f64,
    /// Momentum.
    pub momentum: f64,
    /// Coupled weight decay.
    pub weight_decay: f64,
    /// Limit of the gradient's norm; 0 for none.
    pub clip: f64,
}

/// Adam on alpha.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaSteps {
    /// Constant.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Coupled weight decay.
    pub weight_decay: f64,
}

/// Settings, checked.
struct Prepared {
    search: DartsSearch,
    protocol: Protocol,
}

impl Method for Darts {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Box<dyn Search>> {
        let (search, protocol): (DartsSearch, Protocol) = read_settings(CARD.name, settings)?;
        at_least("search.searches", search.searches, 1)?;
        at_least("search.channels", search.channels.max(0) as u64, 2)?;
        at_least("search.cells", search.cells as u64, 3)?;
        at_least("search.epochs", search.epochs, 1)?;
        at_least("search.batch", search.batch as u64, 2)?;
        if search.epochs.max(search.searches) > MOST_EPOCHS {
            return Err(Error::Usage(format!("search.epochs and search.searches must be at most {MOST_EPOCHS}")));
        }
        Ok(Box::new(Prepared { search, protocol }))
    }
}

impl Search for Prepared {
    fn variant(&self) -> String {
        self.search.order.name().into()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn check(&self, input: InputShape) -> Result<()> {
        self.search.augment.check("search.augment", input.height, input.width)?;
        self.protocol.check(input)
    }

    fn run(&self, lab: &mut Lab) -> Result<Found> {
        search::run(&self.search, lab)
    }

    fn keep(&self) -> u64 {
        self.search.searches
    }

    fn example(&self) -> Architecture {
        darts_space::sample(&mut Streams::new(0).rng("example", 0))
    }

    fn forecast(&self, lab: &mut Lab) -> Result<f64> {
        search::forecast(&self.search, lab)
    }
}
