//! Settings of a search by gradients.

use super::Order;
use crate::error::{Result, usage};
use crate::lab::{Settings, read_settings};
use crate::nn::{Initialisation, Loss};
use crate::settings::{at_least, at_most};
use crate::task::Augment;
use crate::train::MOST_EPOCHS;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// Whether it looks ahead; the step ahead of the second order does not.
    #[serde(default)]
    pub nesterov: bool,
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

/// How the steps alternate: the keys of section `search` that every method by gradients has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    #[serde(default)]
    pub loss: Loss,
    /// Dropout of features before the classifier, for networks that have it.
    #[serde(default)]
    pub dropout: f64,
    /// Epochs before the first architecture step.
    #[serde(default)]
    pub warm_up: u64,
    /// A search ends when its architecture has stayed the same for so many epochs after the warm-up; 0 for never.
    #[serde(default)]
    pub patience: u64,
    /// How kernels and scales of the mixed network start.
    #[serde(default)]
    pub initialisation: Initialisation,
}

impl Alternation {
    /// Refuses what makes no search.
    pub fn check(&self) -> Result<()> {
        at_least("search.searches", self.searches, 1)?;
        at_least("search.epochs", self.epochs, 1)?;
        at_least("search.batch", self.batch as u64, 2)?;
        at_most("search.epochs", self.epochs, MOST_EPOCHS)?;
        at_most("search.searches", self.searches, MOST_EPOCHS)?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(usage!("search.dropout = {}: must be at least 0 and below 1", self.dropout));
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
            return Err(usage!("search.{key} = {value}: must be at least 0 and below {below}"));
        }
        self.loss.check("search.loss")?;
        if self.warm_up < self.epochs {
            return Ok(());
        }
        let (warm_up, epochs) = (self.warm_up, self.epochs);
        Err(usage!("search.warm_up = {warm_up} of search.epochs = {epochs}: no epoch would be left for architecture steps"))
    }
}

/// Settings whose section `search` is read apart.
pub type Around = Settings<Map<String, Value>>;

/// Complete settings of a method by gradients: the sections around its search, and of section `search` what all have and what is its own, the keys `own`.
///
/// # Errors
/// [`crate::error::Error::Usage`]
pub fn read<S: DeserializeOwned>(method: &str, values: &Value, own: &[&str]) -> Result<(Around, Alternation, S)> {
    let mut settings: Around = read_settings(method, values)?;
    let (own, common) = std::mem::take(&mut settings.search).into_iter().partition(|(key, _)| own.contains(&key.as_str()));
    let wrong = |e| usage!("settings of {method}: {e}");
    let how: Alternation = serde_json::from_value(Value::Object(common)).map_err(wrong)?;
    Ok((settings, how, serde_json::from_value(Value::Object(own)).map_err(wrong)?))
}
