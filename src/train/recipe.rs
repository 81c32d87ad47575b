//! How a network is trained from scratch.

use super::optim::OptimizerKind;
use crate::error::{Result, usage};
use crate::nn::{Initialisation, Loss};
use serde::{Deserialize, Serialize};

/// Far more than anyone trains, and few enough that steps can be counted.
pub const MOST_EPOCHS: u64 = 1_000_000_000;

/// Epochs, optimiser and regularisation. The learning rate falls from `learning_rate` to `learning_rate_end` by a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training part.
    pub epochs: u64,
    /// Images a step; a last batch of one image joins the batch before it.
    pub batch: usize,
    /// At the first epoch.
    pub learning_rate: f64,
    /// Where the cosine ends.
    pub learning_rate_end: f64,
    /// What makes steps of gradients.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Momentum of SGD; the first of Adam's betas (the second is 0.999).
    pub momentum: f64,
    /// Coupled weight decay.
    pub weight_decay: f64,
    /// Whether scales, shifts and biases decay too.
    pub decay_all: bool,
    /// Whether learning rate and drop path change at every step; else at every epoch.
    pub by_step: bool,
    /// Limit of the gradient's norm; 0 for none.
    pub clip: f64,
    /// Whether SGD looks ahead (Nesterov).
    pub nesterov: bool,
    /// Epochs until the cosine starts again; 0 for a single one over all epochs.
    pub restart: u64,
    /// By how much each period is longer than the one before.
    pub restart_factor: u64,
    /// Dropout before the classifier: of features in ENAS networks, of channels in NAS-Unet's.
    pub dropout: f64,
    /// Weight of the auxiliary head's loss; 0 builds no head.
    pub auxiliary_weight: f64,
    /// Drop-path probability at the end; it rises linearly from 0.
    pub drop_path: f64,
    /// Whether it also rises linearly with a cell's depth, to its full height in the last cell (NASNet space only).
    pub drop_by_depth: bool,
    /// What is minimised.
    #[serde(default)]
    pub loss: Loss,
    /// How kernels and scales start in networks that PyTorch's defaults fill.
    #[serde(default)]
    pub initialisation: Initialisation,
}

impl Recipe {
    /// Refuses values that cannot train, naming the key under `section`.
    pub fn check(&self, section: &str) -> Result<()> {
        if self.epochs > MOST_EPOCHS {
            return Err(usage!("{section}.epochs = {}: must be at most {MOST_EPOCHS}", self.epochs));
        }
        let (any, fraction) = (f64::INFINITY, 1.0);
        for (key, value, least, below) in [
            ("epochs", self.epochs as f64, 1.0, any),
            ("batch", self.batch as f64, 2.0, any),
            ("learning_rate", self.learning_rate, 0.0, any),
            ("learning_rate_end", self.learning_rate_end, 0.0, any),
            ("momentum", self.momentum, 0.0, any),
            ("weight_decay", self.weight_decay, 0.0, any),
            ("clip", self.clip, 0.0, any),
            ("restart_factor", self.restart_factor as f64, 1.0, any),
            ("dropout", self.dropout, 0.0, fraction),
            ("auxiliary_weight", self.auxiliary_weight, 0.0, any),
            ("drop_path", self.drop_path, 0.0, fraction),
        ] {
            if !(value.is_finite() && value >= least) {
                return Err(usage!("{section}.{key} = {value}: must be at least {least}"));
            }
            if value >= below {
                return Err(usage!("{section}.{key} = {value}: must be below {below}"));
            }
        }
        if self.restart > 0 && self.by_step {
            return Err(usage!("{section}: a cosine that restarts changes by epoch; set by_step to false"));
        }
        if self.optimizer == OptimizerKind::Adam && (self.momentum >= 1.0 || self.nesterov || !self.decay_all) {
            return Err(usage!(
                "{section}: Adam takes momentum as its first beta, below 1, decays all weights and does not look ahead (nesterov)"
            ));
        }
        self.loss.check(&format!("{section}.loss"))
    }
}
