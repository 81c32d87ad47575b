//! What ends the networks of ENAS, and the auxiliary head of GHN's (authors' released code).

use super::map::Map;
use crate::error::{Error, Result};
use crate::nn::{AUXILIARY, ConvBn, ConvShape, ParamId, Table, Weights, avg_pool_valid, global_average};
use tch::Tensor;

/// A matrix without bias.
#[derive(Clone, Copy, Debug)]
pub struct Classifier(ParamId);

impl Classifier {
    /// Declares [classes, input].
    pub fn declare(t: &mut Table, input: i64, classes: i64) -> Self {
        let (init, _) = t.layer_init(input, classes);
        Self(t.scope("classifier", |t| t.param("weight", &[classes, input], init)))
    }

    /// [N, input] → [N, classes].
    pub fn forward(self, w: &Weights, x: &Tensor) -> Tensor {
        x.linear(&w[self.0], None::<&Tensor>)
    }
}

/// ReLU, 5x5 average pooling with stride 3, 1x1 to 128, BN, ReLU, a convolution as large as the map to 768, BN, ReLU, mean, matrix.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    squeeze: ConvBn,
    wide: ConvBn,
    classifier: Classifier,
    /// Zeros that keep the size: left, right, top, bottom.
    border: [i64; 4],
}

impl Auxiliary {
    /// Declares it for the output `map`; an error if that is too small.
    pub fn declare(t: &mut Table, map: Map, classes: i64) -> Result<Self> {
        if map.height < 5 || map.width < 5 {
            return Err(Error::Usage(format!(
                "the auxiliary head needs a map of at least 5x5 after the second reduction, these images leave {}x{}; set auxiliary_weight to 0",
                map.height, map.width
            )));
        }
        let pooled = |side: i64| (side - 5) / 3 + 1;
        let (h, w) = (pooled(map.height), pooled(map.width));
        Ok(t.scope(AUXILIARY, |t| Self {
            squeeze: ConvBn::declare(t, "squeeze", ConvShape::pointwise(map.channels, 128, 1)),
            wide: ConvBn::declare(t, "wide", ConvShape { kernel: (h, w), ..ConvShape::pointwise(128, 768, 1) }),
            classifier: Classifier::declare(t, 768, classes),
            border: [(w - 1) / 2, w / 2, (h - 1) / 2, h / 2],
        }))
    }

    /// [N, C, H, W] → [N, classes].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let x = self.squeeze.forward(w, &avg_pool_valid(&x.relu(), 5, 3), true).relu();
        let x = self.wide.forward(w, &x.constant_pad_nd(self.border), true).relu();
        self.classifier.forward(w, &global_average(&x))
    }
}
