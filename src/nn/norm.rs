//! Batch normalisation.

use super::weights::{ParamId, StatId, Table, Weights};
use tch::Tensor;

/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Share of the new batch in the running statistics: new = 0.9 old + 0.1 batch.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation by the batch alone, with given scale and shift.
pub(super) fn norm_by_batch(x: &Tensor, (scale, shift): (&Tensor, &Tensor)) -> Tensor {
    x.batch_norm(Some(scale), Some(shift), None::<&Tensor>, None::<&Tensor>, true, MOMENTUM, EPSILON, true)
}

/// Batch normalisation over [N, C, H, W] with scale and shift (`[C]` each, or none) and running mean and variance (`[C]` each), which training moves.
pub fn batch_norm(x: &Tensor, affine: Option<(&Tensor, &Tensor)>, (mean, var): (&Tensor, &Tensor), training: bool) -> Tensor {
    let (scale, shift) = affine.unzip();
    x.batch_norm(scale, shift, Some(mean), Some(var), training, MOMENTUM, EPSILON, true)
}

/// Batch normalisation over [N, C, H, W], per channel. In training it normalises by the batch and updates the running
/// statistics (the variance by its unbiased estimate); otherwise it uses them.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    affine: Option<[ParamId; 2]>,
    mean: StatId,
    var: StatId,
}

impl BatchNorm {
    /// Declares the statistics and, if `affine`, a scale (1 at the start) and a shift (0).
    pub fn declare(t: &mut Table, name: &str, channels: i64, affine: bool) -> Self {
        t.scope(name, |t| Self {
            affine: affine.then(|| t.scale_and_shift(channels)),
            mean: t.stat("running_mean", &[channels], 0.0),
            var: t.stat("running_var", &[channels], 1.0),
        })
    }

    /// Scale and shift, if it has them.
    pub fn affine<'a>(&self, w: &'a Weights) -> Option<(&'a Tensor, &'a Tensor)> {
        self.affine.map(|[scale, shift]| (&w[scale], &w[shift]))
    }

    /// Running mean and variance.
    pub fn running<'a>(&self, w: &'a Weights) -> (&'a Tensor, &'a Tensor) {
        (&w[self.mean], &w[self.var])
    }

    /// [N, C, H, W] → [N, C, H, W].
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        batch_norm(x, self.affine(w), self.running(w), training)
    }
}
