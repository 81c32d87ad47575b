//! The auxiliary heads of NASNet, ENAS and GHN: ReLU, 5x5 average pooling with stride 3, 1x1 convolution to 128, BN, ReLU, a convolution as large as
//! the map to 768, BN, ReLU, linear.

use super::map::Map;
use crate::error::{Error, Result};
use crate::nn::{AUXILIARY, ConvBn, ConvShape, Linear, Table, Weights, avg_pool_valid, global_average};
use tch::Tensor;

/// A classifier in the middle of a network, used in training alone.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    squeeze: ConvBn,
    wide: ConvBn,
    classifier: Linear,
    /// Zeros that keep the size of the map under the large convolution, whose mean is classified then: left, right, top, bottom.
    border: Option<[i64; 4]>,
}

impl Auxiliary {
    /// NASNet's, for the output `map`; an error if that is too small.
    pub fn nasnet(t: &mut Table, map: Map, classes: i64) -> Result<Self> {
        let (height, width) = pooled(map, "stack")?;
        Ok(t.scope(AUXILIARY, |t| Self {
            squeeze: squeeze(t, map),
            wide: wide(t, "whole", (height, width)),
            classifier: Linear::declare(t, "classifier", 768, classes),
            border: None,
        }))
    }

    /// That of ENAS's release, for the output `map`; an error if that is too small.
    pub fn enas(t: &mut Table, map: Map, classes: i64) -> Result<Self> {
        let (height, width) = pooled(map, "reduction")?;
        Ok(t.scope(AUXILIARY, |t| Self {
            squeeze: squeeze(t, map),
            wide: wide(t, "wide", (height, width)),
            classifier: Linear::without_bias(t, "classifier", 768, classes),
            border: Some([(width - 1) / 2, width / 2, (height - 1) / 2, height / 2]),
        }))
    }

    /// [N, C, H, W] → [N, classes].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let x = self.squeeze.forward(w, &avg_pool_valid(&x.relu(), 5, 3), true).relu(); // [N, 128, H', W']
        let features = match self.border {
            Some(border) => global_average(&self.wide.forward(w, &x.constant_pad_nd(border), true).relu()),
            None => self.wide.forward(w, &x, true).relu().flatten(1, -1),
        }; // [N, 768]
        self.classifier.forward(w, &features)
    }
}

/// Rows and columns of the pooled map.
fn pooled(map: Map, after: &str) -> Result<(i64, i64)> {
    if map.height < 5 || map.width < 5 {
        return Err(Error::Usage(format!(
            "the auxiliary head needs a map of at least 5x5 after the second {after}, these images leave {}x{}; set auxiliary_weight to 0",
            map.height, map.width
        )));
    }
    Ok(((map.height - 5) / 3 + 1, (map.width - 5) / 3 + 1))
}

fn squeeze(t: &mut Table, map: Map) -> ConvBn {
    ConvBn::declare(t, "squeeze", ConvShape::pointwise(map.channels, 128, 1))
}

fn wide(t: &mut Table, name: &str, kernel: (i64, i64)) -> ConvBn {
    ConvBn::declare(t, name, ConvShape { kernel, ..ConvShape::pointwise(128, 768, 1) })
}
