//! What every trainable network offers.

use super::weights::{Table, Weights};
use crate::seed::Rng;
use rand::RngExt;
use tch::{Reduction, Tensor};

/// How a forward pass is done.
#[derive(Debug)]
pub struct Pass {
    /// Batch statistics, drop path and auxiliary head are for training only.
    pub training: bool,
    /// Probability that an edge of a cell is dropped for an image, 0..1.
    pub drop_path: f64,
    rng: Option<Rng>,
}

impl Pass {
    /// A pass that scores: running statistics, nothing dropped.
    pub fn evaluation() -> Self {
        Self { training: false, drop_path: 0.0, rng: None }
    }

    /// A pass that trains; masks are drawn from `rng`.
    pub fn training(drop_path: f64, rng: Rng) -> Self {
        Self { training: true, drop_path, rng: Some(rng) }
    }

    /// Keeps each image's map with probability 1 - p and divides it by 1 - p, so that the mean stays.
    /// [N, C, H, W] → [N, C, H, W]
    pub fn drop_path(&mut self, x: Tensor) -> Tensor {
        let keep = 1.0 - self.drop_path;
        match &mut self.rng {
            Some(rng) if self.training && self.drop_path > 0.0 => {
                let n = x.size()[0];
                let mask: Vec<f32> = (0..n).map(|_| if rng.random::<f64>() < keep { (1.0 / keep) as f32 } else { 0.0 }).collect();
                let mask = Tensor::from_slice(&mask).view([n, 1, 1, 1]).to_kind(x.kind()).to_device(x.device());
                x * mask
            }
            _ => x,
        }
    }
}

/// Scores of a batch.
#[derive(Debug)]
pub struct Output {
    /// [N, classes]
    pub logits: Tensor,
    /// [N, classes] of the auxiliary head, in training and where there is one.
    pub auxiliary: Option<Tensor>,
}

/// A network whose weights are handed to it.
pub trait Network {
    /// What it declares.
    fn table(&self) -> &Table;

    /// Scores the images `x` [N, C, H, W].
    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output;
}

/// Prefix of the auxiliary head's parameters, which published counts leave out.
pub const AUXILIARY: &str = "auxiliary";

/// Weights without and with the auxiliary head: (without, of the head).
pub fn count(network: &dyn Network) -> (u64, u64) {
    let auxiliary = network.table().count_if(|name| name.starts_with(AUXILIARY));
    (network.table().count() - auxiliary, auxiliary)
}

/// Mean cross-entropy of logits [N, classes] and labels `[N]`, in the kind of the logits.
/// (tch's `cross_entropy_for_logits` computes in single precision whatever it is given.)
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    #[test]
    fn drop_path_keeps_the_mean_and_drops_whole_images() {
        let mut pass = Pass::training(0.3, Streams::new(5).rng("drop path", 0));
        let y = pass.drop_path(Tensor::ones([20_000, 1, 1, 2], (Kind::Double, Device::Cpu)));
        assert!((y.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.02);
        assert!(y.select(3, 0).equal(&y.select(3, 1)));
    }

    #[test]
    fn drop_path_is_the_identity_at_zero_and_when_scoring() {
        let x = Tensor::ones([4, 1, 2, 2], (Kind::Float, Device::Cpu));
        assert!(Pass::training(0.0, Streams::new(5).rng("drop path", 0)).drop_path(x.shallow_clone()).equal(&x));
        let mut scoring = Pass { drop_path: 0.5, ..Pass::evaluation() };
        assert!(scoring.drop_path(x.shallow_clone()).equal(&x));
    }
}
