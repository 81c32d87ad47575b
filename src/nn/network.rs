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
    by_depth: bool,
    depth: f64,
    dropout: f64,
    rng: Option<Rng>,
}

impl Pass {
    /// A pass that scores: running statistics, nothing dropped.
    pub fn evaluation() -> Self {
        Self { training: false, drop_path: 0.0, by_depth: false, depth: 1.0, dropout: 0.0, rng: None }
    }

    /// A pass that trains; masks are drawn from `rng`.
    pub fn training(drop_path: f64, rng: Rng) -> Self {
        Self { drop_path, rng: Some(rng), ..Self::by_batch() }
    }

    /// Nothing is dropped; batch norm uses the statistics of the batch.
    pub fn by_batch() -> Self {
        Self { training: true, ..Self::evaluation() }
    }

    /// Whether networks that know it scale the probability with a cell's depth (ScheduledDropPath).
    pub fn by_depth(self, by_depth: bool) -> Self {
        Self { by_depth, ..self }
    }

    /// With dropout of features before the classifier, for networks that have it.
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }

    /// To be called before cell `cell` (from 0) of `cells`.
    pub fn enter_cell(&mut self, cell: usize, cells: usize) {
        self.depth = if self.by_depth { (cell + 1) as f64 / cells as f64 } else { 1.0 };
    }

    /// Probability that a path is kept in the present cell.
    pub fn keep(&self) -> f64 {
        1.0 - self.drop_path * self.depth
    }

    /// Keeps each feature with probability 1 - p and divides it by 1 - p. [N, C] → [N, C]
    pub fn dropout(&mut self, x: Tensor) -> Tensor {
        let shape = x.size();
        self.masked(x, 1.0 - self.dropout, &shape)
    }

    /// Keeps each channel of each image with probability 1 - p and divides it by 1 - p. [N, C, H, W] → [N, C, H, W]
    pub fn dropout_channels(&mut self, x: Tensor) -> Tensor {
        let (n, c, _, _) = x.size4().expect("maps have four dimensions");
        self.masked(x, 1.0 - self.dropout, &[n, c, 1, 1])
    }

    /// Keeps each image's map with probability 1 - p and divides it by 1 - p, so that the mean stays.
    /// [N, C, H, W] → [N, C, H, W]
    pub fn drop_path(&mut self, x: Tensor) -> Tensor {
        let n = x.size()[0];
        self.masked(x, self.keep(), &[n, 1, 1, 1])
    }

    /// Times a mask of this shape, of 1 / `keep` with this probability and of 0 otherwise.
    fn masked(&mut self, x: Tensor, keep: f64, shape: &[i64]) -> Tensor {
        match &mut self.rng {
            Some(rng) if self.training && keep < 1.0 => {
                let value = |_| if rng.random::<f64>() < keep { (1.0 / keep) as f32 } else { 0.0 };
                let mask: Vec<f32> = (0..shape.iter().product()).map(value).collect();
                let mask = Tensor::from_slice(&mask).view(shape).to_kind(x.kind()).to_device(x.device());
                x * mask
            }
            _ => x,
        }
    }
}

/// Scores of a batch.
#[derive(Debug)]
pub struct Output {
    /// [N, classes], or [N, classes, H, W] where every pixel is classified.
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

/// Mean cross-entropy of logits [N, classes] and labels `[N]`, or of logits [N, classes, H, W] and labels [N, H, W], in the kind of the
/// logits.
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
    fn scheduled_drop_path_rises_with_depth() {
        let mut pass = Pass::training(0.4, Streams::new(5).rng("drop path", 0)).by_depth(true);
        let keeps: Vec<f64> = (0..20)
            .map(|cell| {
                pass.enter_cell(cell, 20);
                pass.keep()
            })
            .collect();
        assert!((keeps[0] - 0.98).abs() < 1e-12 && (keeps[19] - 0.6).abs() < 1e-12);
        assert!(keeps.windows(2).all(|w| w[1] < w[0]));
    }

    #[test]
    fn drop_path_is_the_identity_at_zero_and_when_scoring() {
        let x = Tensor::ones([4, 1, 2, 2], (Kind::Float, Device::Cpu));
        assert!(Pass::training(0.0, Streams::new(5).rng("drop path", 0)).drop_path(x.shallow_clone()).equal(&x));
        let wide = Tensor::ones([100, 300], (Kind::Double, Device::Cpu));
        let dropped = Pass::training(0.0, Streams::new(5).rng("drop path", 0)).with_dropout(0.2).dropout(wide.shallow_clone());
        assert!((dropped.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.02);
        assert!(Pass::evaluation().with_dropout(0.2).dropout(wide.shallow_clone()).equal(&wide));
        let maps = Tensor::ones([20, 30, 2, 2], (Kind::Float, Device::Cpu));
        let dropped = Pass::training(0.0, Streams::new(5).rng("drop path", 0)).with_dropout(0.2).dropout_channels(maps.shallow_clone());
        assert!(dropped.amax([2i64, 3].as_slice(), false).equal(&dropped.amin([2i64, 3].as_slice(), false)), "whole channels");
        assert!(!dropped.equal(&maps));
        assert!(Pass::evaluation().with_dropout(0.2).dropout_channels(maps.shallow_clone()).equal(&maps));
        let mut scoring = Pass { drop_path: 0.5, ..Pass::evaluation() };
        assert!(scoring.drop_path(x.shallow_clone()).equal(&x));
    }
}
