//! Settings of a search by gradients.

use super::Order;
use crate::error::{Error, Result};
use crate::lab::at_least;
use crate::nn::Loss;
use crate::task::Augment;
use crate::train::MOST_EPOCHS;
use serde::{Deserialize, Serialize};

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
