//! Maps between cells: their shapes, and how one is brought to the shape that a cell needs.

use super::candidate::Candidate;
use crate::nn::{ConvShape, FactorizedReduce, ReluConvBn, Table, Weights};
use crate::space::InputShape;
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
    /// Of images after a stem of so many channels.
    pub(super) fn of(input: InputShape, channels: i64) -> Self {
        Self { channels, height: input.height, width: input.width }
    }

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
pub struct Adapter(pub(super) Candidate);

impl Adapter {
    /// Changes no more than `from` and `to` differ in.
    pub fn declare(t: &mut Table, name: &str, from: Map, to: Map) -> Self {
        let changes = from.channels != to.channels || !from.same_size(to);
        Self(if changes { change(t, name, from, to, true) } else { Candidate::Identity })
    }

    /// [N, C, H, W] → [N, C', H', W'].
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        self.0.forward(w, x, training)
    }
}

/// To another width: a factorised reduction where the sizes differ, else ReLU, 1x1 convolution, batch norm.
pub(super) fn change(t: &mut Table, name: &str, from: Map, to: Map, affine: bool) -> Candidate {
    if from.same_size(to) {
        return ReluConvBn::declare(t, name, &[ConvShape::pointwise(from.channels, to.channels, 1)], affine).into();
    }
    Candidate::Reduce(FactorizedReduce::declare(t, name, from.channels, to.channels, affine))
}

/// ReLU, 1x1 convolution, batch norm.
pub(super) fn pointwise(t: &mut Table, name: &str, input: i64, output: i64) -> ReluConvBn {
    ReluConvBn::declare(t, name, &[ConvShape::pointwise(input, output, 1)], true)
}

/// A factorised reduction without the ReLU.
pub(super) fn halving(t: &mut Table, name: &str, input: i64, output: i64) -> FactorizedReduce {
    FactorizedReduce::declare(t, name, input, output, true).without_relu()
}
