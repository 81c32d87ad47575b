//! The cells of ENAS (Pham et al. 2018; authors' released code): nodes of two operations on any two earlier states; what no node reads is
//! concatenated, inputs included.
//!
//! State 0 is the output of layer k-2 and state 1 that of layer k-1, as everywhere in this crate and in the release.

use super::operations::operations;
use super::{Architecture, Cell, CellPair, Edge, Nodes, PairOp, Rule, Space, parameters, unread};
use crate::seed::Rng;
use rand::RngExt;

operations! {
    /// An operation of a micro cell.
    MicroOp {
        /// 3x3 maximum pooling.
        MaxPool3 = "max_pool_3x3",
        /// 3x3 average pooling; the padding is not counted.
        AvgPool3 = "avg_pool_3x3",
        /// Depthwise-separable 3x3 convolution, applied twice.
        SepConv3 = "sep_conv_3x3",
        /// Depthwise-separable 5x5 convolution, applied twice.
        SepConv5 = "sep_conv_5x5",
        /// The input itself, or a factorised reduction where it strides.
        Identity = "identity",
    }
}

/// The operations; the index is the release's number.
pub const OPS: [MicroOp; 5] = [MicroOp::SepConv3, MicroOp::SepConv5, MicroOp::AvgPool3, MicroOp::MaxPool3, MicroOp::Identity];

/// The space, with the released cells.
pub static SPACE: Space = Space {
    published: &[("enas-micro", released)],
    ..Space::of::<CellPair<MicroOp>>("enas_micro", "enas", |given, rng| {
        parameters(&SPACE, given).map(|Nodes { nodes }| sample(nodes, rng).into())
    })
};

impl PairOp for MicroOp {
    const SPACE: &'static Space = &SPACE;
    const NAME: fn(Self) -> &'static str = Self::name;

    fn check(cell: &Cell<Self>) -> Rule {
        let loose = unread(&cell.nodes, 0);
        if cell.concat != loose || !cell.stacked.is_empty() {
            return Err(format!("the ENAS micro space concatenates what no node reads, {loose:?}"));
        }
        Ok(())
    }
}

/// The reduction cells among the N + 2 `cells` of a micro network; `None` where N is no multiple of 3.
pub fn reductions(cells: usize) -> Option<[usize; 2]> {
    let third = cells.checked_sub(2)? / 3;
    (cells >= 5 && cells % 3 == 2).then_some([third, 2 * third + 1])
}

/// A cell from the release's numbers: (input, operation, input, operation) a node. Every state that no node reads is concatenated, the
/// inputs included.
pub fn cell(arc: &[usize]) -> Cell<MicroOp> {
    let nodes: Vec<[Edge<MicroOp>; 2]> =
        arc.chunks_exact(4).map(|n| [Edge { op: OPS[n[1]], from: n[0] }, Edge { op: OPS[n[3]], from: n[2] }]).collect();
    let loose = unread(&nodes, 0);
    Cell::new(nodes, loose)
}

fn released() -> Architecture {
    Architecture::from(CellPair {
        normal: cell(&[0, 2, 0, 0, 0, 4, 0, 1, 0, 4, 1, 1, 1, 0, 0, 1, 0, 2, 1, 1]),
        reduce: cell(&[1, 0, 1, 0, 0, 3, 0, 2, 1, 1, 3, 1, 1, 0, 0, 4, 0, 3, 1, 1]),
    })
}

/// Both cells uniformly.
pub fn sample(nodes: usize, rng: &mut Rng) -> CellPair<MicroOp> {
    let mut arc = || -> Vec<usize> {
        (0..nodes).flat_map(|i| [i + 2, OPS.len(), i + 2, OPS.len()].map(|choices| rng.random_range(0..choices))).collect()
    };
    let (normal, reduce) = (arc(), arc());
    CellPair { normal: cell(&normal), reduce: cell(&reduce) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_released_cells_have_the_stated_loose_ends() {
        let released = released();
        let pair = released.get::<CellPair<MicroOp>>().unwrap();
        assert_eq!((&pair.normal.concat, &pair.reduce.concat), (&vec![2, 3, 4, 5, 6], &vec![2, 4, 5, 6]));
    }
}
