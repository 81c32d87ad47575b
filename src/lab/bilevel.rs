//! Searches by gradients: the logits alpha of a mixed network and its weights take alternating steps, on validation and on training images
//! (DARTS, algorithm 1).

use super::alternation::{forecast, search};
use super::lab::Lab;
use super::method::{Found, Protocol, Search, at_least};
use crate::error::{Error, Result};
use crate::nn::{Loss, Pass, Table, Weights};
use crate::seed::Streams;
use crate::space::{Architecture, InputShape};
use crate::task::Augment;
use crate::train::{MOST_EPOCHS, Order};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Tensor;

/// A network whose edges mix operations by the softmax of logits.
pub trait Mixed {
    /// What it declares; alpha is not in it.
    fn table(&self) -> &Table;

    /// The logits, leaves of the graph.
    fn alpha(&self) -> Vec<&Tensor>;

    /// Class scores of images [N, C, H, W].
    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Tensor;

    /// The architecture that alpha stands for.
    fn genotype(&self) -> Architecture;

    /// Figures for the curves.
    fn figures(&self) -> BTreeMap<String, f64>;
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

/// How the steps alternate.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternation {
    /// Whether alpha's gradient looks a weight step ahead.
    pub order: Order,
    /// Independent searches, of which the selection phase chooses one.
    pub searches: u64,
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
    /// What both minimise.
    pub loss: Loss,
    /// Dropout of features before the classifier, for networks that have it.
    pub dropout: f64,
    /// Epochs before the first architecture step.
    pub warm_up: u64,
    /// A search ends when its architecture has stayed the same for so many epochs after the warm-up; 0 for never.
    pub patience: u64,
}

impl Alternation {
    /// Refuses what makes no search.
    pub fn check(&self) -> Result<()> {
        at_least("search.searches", self.searches, 1)?;
        at_least("search.epochs", self.epochs, 1)?;
        at_least("search.batch", self.batch as u64, 2)?;
        if self.epochs.max(self.searches) > MOST_EPOCHS {
            return Err(Error::Usage(format!("search.epochs and search.searches must be at most {MOST_EPOCHS}")));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::Usage(format!("search.dropout = {}: must be at least 0 and below 1", self.dropout)));
        }
        let (w, a) = (&self.weights, &self.alpha);
        let checks = [
            ("weights.learning_rate", w.learning_rate, f64::INFINITY),
            ("weights.learning_rate_end", w.learning_rate_end, f64::INFINITY),
            ("weights.momentum", w.momentum, f64::INFINITY),
            ("weights.weight_decay", w.weight_decay, f64::INFINITY),
            ("weights.clip", w.clip, f64::INFINITY),
            ("alpha.learning_rate", a.learning_rate, f64::INFINITY),
            ("alpha.beta1", a.beta1, 1.0),
            ("alpha.beta2", a.beta2, 1.0),
            ("alpha.weight_decay", a.weight_decay, f64::INFINITY),
        ];
        if let Some((key, value, below)) = checks.into_iter().find(|(_, value, below)| !(0.0..*below).contains(value)) {
            return Err(Error::Usage(format!("search.{key} = {value}: must be at least 0 and below {below}")));
        }
        self.loss.check("search.loss")
    }
}

/// Makes the network of a search from its random streams.
pub(super) type Make<'a> = &'a dyn Fn(&Lab, Streams) -> Result<Box<dyn Mixed>>;

/// A method whose search is the alternation of steps on a mixed network.
pub struct MixedSearch {
    /// How the steps alternate.
    pub how: Alternation,
    /// What happens around the search.
    pub protocol: Protocol,
    /// Some architecture of its space.
    pub example: Architecture,
    /// Makes the network of a search from its random streams.
    pub make: MakeMixed,
}

/// From the lab and the random streams of a search to its network.
pub type MakeMixed = Box<dyn Fn(&Lab, Streams) -> Result<Box<dyn Mixed>> + Sync>;

impl Search for MixedSearch {
    fn variant(&self) -> String {
        self.how.order.name().into()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn check(&self, input: InputShape) -> Result<()> {
        self.how.augment.check("search.augment", input.height, input.width)
    }

    fn run(&self, lab: &mut Lab) -> Result<Found> {
        search(&self.how, lab, &self.make)
    }

    fn keep(&self) -> u64 {
        self.how.searches
    }

    fn example(&self) -> Architecture {
        self.example.clone()
    }

    fn forecast(&self, lab: &mut Lab) -> Result<f64> {
        forecast(&self.how, lab, &self.make)
    }
}
