//! The block space of GHN (Zhang, Ren, Urtasun 2019, section 5.1): one block is searched and stacked.

use super::operations::operations;
use super::{Cell, CellGraph, Edge, Genotype, Nodes, Space, differ, parameters, unread};
use crate::error::Result;
use crate::seed::Rng;
use rand::RngExt;
use rand::seq::index;

operations! {
    /// An operation of a block; it keeps width and size.
    GhnOp {
        /// 3x3 maximum pooling.
        MaxPool3 = "max_pool_3x3",
        /// 3x3 average pooling; the padding is not counted.
        AvgPool3 = "avg_pool_3x3",
        /// Depthwise-separable 3x3 convolution.
        SepConv3 = "sep_conv_3x3",
        /// Depthwise-separable 5x5 convolution.
        SepConv5 = "sep_conv_5x5",
        /// Dilated depthwise-separable 3x3 convolution, dilation 2.
        DilConv3 = "dil_conv_3x3",
        /// The input itself.
        Identity = "identity",
        /// 1x1 convolution.
        Conv1 = "conv_1x1",
        /// 1x7 then 7x1 convolution.
        Conv1x7 = "conv_1x7_7x1",
    }
}

/// The operations in the order of a draw, which is that of the rows of GHN's embedding too.
pub const OPS: [GhnOp; 8] = {
    use GhnOp::*;
    [Identity, Conv1, SepConv3, SepConv5, DilConv3, Conv1x7, MaxPool3, AvgPool3]
};

/// The space.
pub static SPACE: Space =
    Space::of::<Cell<GhnOp>>("ghn", "ghn", |given, rng| parameters(&SPACE, given).map(|Nodes { nodes }| sample(nodes, rng).into()));

impl Genotype for Cell<GhnOp> {
    const SPACE: &'static Space = &SPACE;

    fn check(&self) -> Result<()> {
        self.check("block", |_| {
            self.check_nodes(|_, edges| {
                let [a, b] = edges.map(|e| e.op.name());
                (a != b).then(|| format!("has {a} and {b}; both sides take the same")).or_else(|| differ(edges))
            })?;
            let (mut concat, loose) = (self.concat.clone(), unread(&self.nodes, 0));
            concat.sort_unstable();
            if concat != loose || !self.stacked.is_empty() {
                return Err(format!("its output is the mean of the states that no node reads, {loose:?}"));
            }
            Ok(())
        })
    }

    fn canonical(&self) -> Self {
        self.canonical()
    }

    fn cells(&self) -> Vec<(&'static str, CellGraph)> {
        vec![("block", self.map(GhnOp::name).into())]
    }
}

/// A block from its nodes (operation, two earlier states); every state that no node reads is averaged, the inputs included.
pub fn block(nodes: &[(GhnOp, [usize; 2])]) -> Cell<GhnOp> {
    let nodes: Vec<[Edge<GhnOp>; 2]> = nodes.iter().map(|(op, from)| from.map(|from| Edge { op: *op, from })).collect();
    let loose = unread(&nodes, 0);
    Cell::new(nodes, loose)
}

/// A block of `nodes` nodes: uniform operations, two different sources drawn uniformly among the earlier states.
pub fn sample(nodes: usize, rng: &mut Rng) -> Cell<GhnOp> {
    let nodes: Vec<(GhnOp, [usize; 2])> = (0..nodes)
        .map(|i| {
            let sources = index::sample(rng, i + 2, 2);
            (OPS[rng.random_range(0..OPS.len())], [sources.index(0), sources.index(1)])
        })
        .collect();
    block(&nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    #[test]
    fn samples_belong_to_the_space() {
        let mut rng = Streams::new(1).rng("sample", 0);
        for i in 0..1000 {
            let nodes = 1 + i % 28;
            let cell = sample(nodes, &mut rng);
            Genotype::check(&cell).unwrap();
            assert_eq!(cell.nodes.len(), nodes);
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let good = block(&[(GhnOp::Conv1, [0, 1]), (GhnOp::SepConv3, [0, 2])]);
        let refused = |cell: Cell<GhnOp>, what: &str| {
            let text = Genotype::check(&cell).unwrap_err().to_string();
            assert!(text.contains(what), "{text}");
        };
        Genotype::check(&good).unwrap();
        let mut twice = good.clone();
        twice.nodes[1][1].from = 0;
        refused(twice, "twice");
        let mut mixed = good.clone();
        mixed.nodes[0][0].op = GhnOp::Identity;
        refused(mixed, "identity");
        refused(Cell { concat: vec![3, 0], ..good }, "mean of the states");
    }
}
