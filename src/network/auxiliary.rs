//! The auxiliary heads of networks of cells: ReLU, 5x5 average pooling, 1x1 convolution to 128, BN, ReLU, a convolution as large as
//! the map to 768, BN, ReLU, linear.

use super::map::Map;
use crate::error::{Result, usage};
use crate::nn::{AUXILIARY, ConvBn, ConvShape, Linear, Table, Weights, global_average};
use tch::Tensor;

/// A classifier in the middle of a network, used in training alone.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    stride: [i64; 2],
    squeeze: ConvBn,
    /// Whether the squeezing convolution and its norm run one after the other, never as one stage of our own kernels (DARTS).
    in_steps: bool,
    wide: ConvBn,
    classifier: Linear,
    /// Zeros that keep the size of the map under the large convolution, whose mean is classified then: left, right, top, bottom.
    border: Option<[i64; 4]>,
}

impl Auxiliary {
    /// That of DARTS, for the output `map`; an error if that is too small. The stride side - 5 leaves 2x2: on the paper's 8x8 map that is its
    /// stride 3.
    pub fn darts(t: &mut Table, map: Map, classes: i64) -> Result<Self> {
        check(map, 6, "reduction")?;
        Ok(t.scope(AUXILIARY, |t| Self {
            stride: [map.height - 5, map.width - 5],
            squeeze: ConvBn::named(t, ["squeeze", "squeeze_norm"], ConvShape::pointwise(map.channels, 128, 1)),
            in_steps: true,
            wide: ConvBn::named(t, ["widen", "widen_norm"], covering((2, 2))),
            classifier: Linear::declare(t, "classifier", 768, classes),
            border: None,
        }))
    }

    /// NASNet's, for the output `map`; an error if that is too small.
    pub fn nasnet(t: &mut Table, map: Map, classes: i64) -> Result<Self> {
        Self::third(t, map, "stack", |t, kernel| {
            (ConvBn::declare(t, "whole", covering(kernel)), Linear::declare(t, "classifier", 768, classes), None)
        })
    }

    /// That of ENAS's release, for the output `map`; an error if that is too small.
    pub fn enas(t: &mut Table, map: Map, classes: i64) -> Result<Self> {
        Self::third(t, map, "reduction", |t, (height, width)| {
            let wide = ConvBn::declare(t, "wide", covering((height, width)));
            let border = [(width - 1) / 2, width / 2, (height - 1) / 2, height / 2];
            (wide, Linear::without_bias(t, "classifier", 768, classes), Some(border))
        })
    }

    /// Pools with stride 3; `rest` declares what follows over the rows and columns that this leaves.
    fn third(t: &mut Table, map: Map, after: &str, rest: impl FnOnce(&mut Table, (i64, i64)) -> Rest) -> Result<Self> {
        check(map, 5, after)?;
        Ok(t.scope(AUXILIARY, |t| {
            let squeeze = ConvBn::declare(t, "squeeze", ConvShape::pointwise(map.channels, 128, 1));
            let (wide, classifier, border) = rest(t, ((map.height - 5) / 3 + 1, (map.width - 5) / 3 + 1));
            Self { stride: [3, 3], squeeze, in_steps: false, wide, classifier, border }
        }))
    }

    /// [N, C, H, W] → [N, classes].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let x = x.relu().avg_pool2d([5, 5], self.stride, [0, 0], false, false, None); // [N, C, H', W']
        let x = if self.in_steps { self.squeeze.in_steps(w, &x, true) } else { self.squeeze.forward(w, &x, true) }.relu();
        let features = match self.border {
            Some(border) => global_average(&self.wide.forward(w, &x.constant_pad_nd(border), true).relu()),
            None => self.wide.forward(w, &x, true).relu().flatten(1, -1),
        }; // [N, 768]
        self.classifier.forward(w, &features)
    }
}

/// The large convolution, the classifier and the border.
type Rest = (ConvBn, Linear, Option<[i64; 4]>);

/// Refuses a map with a side below `least`.
fn check(map: Map, least: i64, after: &str) -> Result<()> {
    let Map { height, width, .. } = map;
    if height < least || width < least {
        let needed = format!("a map of at least {least}x{least} after the second {after}");
        return Err(usage!("the auxiliary head needs {needed}, these images leave {height}x{width}; set auxiliary_weight to 0"));
    }
    Ok(())
}

/// A convolution as large as its map.
fn covering(kernel: (i64, i64)) -> ConvShape {
    ConvShape { kernel, ..ConvShape::pointwise(128, 768, 1) }
}
