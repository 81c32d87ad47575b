//! Maps between cells: their shapes, and how one is brought to the shape that a cell needs.

use super::candidate::Candidate;
use crate::nn::{ConvShape, FactorizedReduce, ReluConvBn, Table};
use crate::space::InputShape;

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

/// Brings a map to the cell's width and size; changes no more than the two differ in.
pub fn adapted(t: &mut Table, name: &str, from: Map, to: Map) -> Candidate {
    if from == to { Candidate::Identity } else { change(t, name, from, to, true) }
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
