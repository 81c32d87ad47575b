//! Maps between cells: their shapes, and how one is brought to the shape that a cell needs.

use crate::nn::{ConvBn, ConvShape, FactorizedReduce, ReluConvBn, Table, Weights};
use tch::Tensor;

/// Width and size of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Channels.
    pub channels: i64,
    /// Rows.
    pub height: i64,
    /// Columns.
    pub width: i64,
}

impl Map {
    /// At half the size, rounded up.
    pub fn halved(self) -> Self {
        Self { height: (self.height + 1) / 2, width: (self.width + 1) / 2, ..self }
    }

    /// Whether rows and columns agree.
    pub fn same_size(self, other: Self) -> bool {
        (self.height, self.width) == (other.height, other.width)
    }
}

/// How a map is brought to the cell's width and size.
#[derive(Clone, Debug)]
pub enum Adapter {
    /// It has them.
    Unchanged,
    /// Factorised reduction.
    Reduce(FactorizedReduce),
    /// ReLU, 1x1 convolution, batch norm.
    ReluConv(ReluConvBn),
    /// 1x1 convolution, batch norm.
    Conv(ConvBn),
}

impl Adapter {
    /// Changes no more than `from` and `to` differ in.
    pub fn declare(t: &mut Table, name: &str, from: Map, to: Map) -> Self {
        if !from.same_size(to) {
            Self::Reduce(FactorizedReduce::declare(t, name, from.channels, to.channels, true))
        } else if from.channels != to.channels {
            Self::ReluConv(pointwise(t, name, from.channels, to.channels))
        } else {
            Self::Unchanged
        }
    }

    /// [N, C, H, W] → [N, C', H', W'].
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        match self {
            Self::Unchanged => x.shallow_clone(),
            Self::Reduce(block) => block.forward(w, x, training),
            Self::ReluConv(block) => block.forward(w, x, training),
            Self::Conv(block) => block.forward(w, x, training),
        }
    }
}

/// ReLU, 1x1 convolution, batch norm.
pub(super) fn pointwise(t: &mut Table, name: &str, input: i64, output: i64) -> ReluConvBn {
    ReluConvBn::declare(t, name, &[ConvShape::pointwise(input, output, 1)], true)
}

/// A factorised reduction without the ReLU.
pub(super) fn halving(t: &mut Table, name: &str, input: i64, output: i64) -> FactorizedReduce {
    FactorizedReduce::declare(t, name, input, output, true).without_relu()
}
