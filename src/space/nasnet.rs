//! The cell space that NASNet, AmoebaNet and random search share: five blocks, each joining two operations on any two earlier states.
//!
//! States are numbered as everywhere in this crate: 0 is the output of cell k-2, 1 that of cell k-1, 2.. the blocks. (The papers' S0 is our state 1, and
//! their S1 our state 0.) A state may be read twice or concatenated although it is read, so the concat list is explicit.

use super::operations::operations;
use super::{Architecture, Cell, CellPair, Edge, PairOp, Rule, Space, parameters, unread};
use crate::error::{Result, usage};
use crate::seed::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Blocks of a cell.
pub const BLOCKS: usize = 5;

operations! {
    /// An operation of the NASNet space. All can stride and map any width to the cell's.
    NasnetOp {
        /// 3x3 maximum pooling.
        MaxPool3 = "max_pool_3x3",
        /// 3x3 average pooling; the padding is not counted.
        AvgPool3 = "avg_pool_3x3",
        /// Depthwise-separable 3x3 convolution, applied twice.
        SepConv3 = "sep_conv_3x3",
        /// Depthwise-separable 5x5 convolution, applied twice.
        SepConv5 = "sep_conv_5x5",
        /// Depthwise-separable 7x7 convolution, applied twice.
        SepConv7 = "sep_conv_7x7",
        /// The input itself, or a pointwise convolution where width or stride change.
        Identity = "identity",
        /// 5x5 maximum pooling.
        MaxPool5 = "max_pool_5x5",
        /// 7x7 maximum pooling.
        MaxPool7 = "max_pool_7x7",
        /// 1x1 convolution.
        Conv1 = "conv_1x1",
        /// 3x3 convolution with a bottleneck of a quarter of the width.
        Conv3 = "conv_3x3",
        /// 1x3 then 3x1 convolution with a bottleneck of three eighths of the width.
        Conv1x3 = "conv_1x3_3x1",
        /// 1x7 then 7x1 convolution with a bottleneck of a quarter of the width.
        Conv1x7 = "conv_1x7_7x1",
        /// Dilated depthwise-separable 3x3 convolution, dilation 2, applied twice (AmoebaNet).
        DilSepConv3 = "dil_sep_conv_3x3",
        /// Dilated 3x3 convolution, dilation 2, with a bottleneck of a quarter of the width (NASNet).
        BottleneckDil3 = "bottleneck_dil_conv_3x3",
    }
}

/// The eight operations in which AmoebaNet-A was found (Real et al. 2019, search space I).
#[cfg(test)]
pub const AMOEBANET_OPS: [NasnetOp; 8] = {
    use NasnetOp::*;
    [Identity, SepConv3, SepConv5, SepConv7, AvgPool3, MaxPool3, DilSepConv3, Conv1x7]
};

/// The thirteen operations of NASNet (Zoph et al. 2018).
pub const NASNET_OPS: [NasnetOp; 13] = {
    use NasnetOp::*;
    [Identity, SepConv3, SepConv5, SepConv7, AvgPool3, MaxPool3, MaxPool5, MaxPool7, Conv1, Conv3, Conv1x3, Conv1x7, BottleneckDil3]
};

/// The space, with the cells that the papers' authors released.
pub static SPACE: Space = Space {
    published: &[("nasnet-a", nasnet_a), ("amoebanet-a", amoebanet_a)],
    ..Space::of::<CellPair<NasnetOp>>("nasnet", "nasnet", |given, rng| {
        let Choices { operations, stacking } = parameters(&SPACE, given)?;
        check_operations(&operations)?;
        Ok(sample(&operations, stacking, rng).into())
    })
};

/// Parameters of a draw.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// Operations to draw from.
    pub operations: Vec<NasnetOp>,
    /// Whether a block may stack its two sides instead of adding them.
    pub stacking: bool,
}

impl PairOp for NasnetOp {
    const SPACE: &'static Space = &SPACE;
    const NAME: fn(Self) -> &'static str = Self::name;

    fn check(cell: &Cell<Self>) -> Rule {
        match cell.nodes.len() {
            BLOCKS => Ok(()),
            blocks => Err(format!("the NASNet space has {BLOCKS} blocks, not {blocks}")),
        }
    }
}

/// A cell in the papers' notation, which counts the newer input first.
fn noted(blocks: [[(NasnetOp, usize); 2]; BLOCKS], concat: &[usize]) -> Cell<NasnetOp> {
    let ours = |state: usize| if state < 2 { 1 - state } else { state };
    let nodes = blocks.iter().map(|sides| sides.map(|(op, from)| Edge { op, from: ours(from) })).collect();
    Cell::new(nodes, concat.to_vec())
}

/// As released; the normal cell also concatenates the older input, the reduction cell also a block that is read.
fn nasnet_a() -> Architecture {
    use NasnetOp::{AvgPool3 as Avg3, Identity as Id, MaxPool3 as Max3, SepConv3 as Sep3, SepConv5 as Sep5, SepConv7 as Sep7};
    let normal = [[(Sep5, 0), (Sep3, 1)], [(Sep5, 1), (Sep3, 1)], [(Avg3, 0), (Id, 1)], [(Avg3, 1), (Avg3, 1)], [(Sep3, 0), (Id, 0)]];
    let reduce = [[(Sep5, 0), (Sep7, 1)], [(Max3, 0), (Sep7, 1)], [(Avg3, 0), (Sep5, 1)], [(Id, 3), (Avg3, 2)], [(Sep3, 2), (Max3, 0)]];
    CellPair { normal: noted(normal, &[0, 2, 3, 4, 5, 6]), reduce: noted(reduce, &[3, 4, 5, 6]) }.into()
}

/// As released, which is the figure of arXiv version 7.
fn amoebanet_a() -> Architecture {
    use NasnetOp::{AvgPool3 as Avg3, Conv1x7, Identity as Id, MaxPool3 as Max3, SepConv3 as Sep3, SepConv5 as Sep5, SepConv7 as Sep7};
    let normal = [[(Avg3, 0), (Max3, 0)], [(Sep3, 1), (Id, 1)], [(Id, 0), (Avg3, 1)], [(Sep3, 0), (Sep5, 2)], [(Avg3, 5), (Sep3, 0)]];
    let reduce =
        [[(Sep3, 1), (Avg3, 0)], [(Max3, 0), (Sep7, 2)], [(Max3, 1), (Max3, 0)], [(Sep3, 4), (Conv1x7, 0)], [(Avg3, 1), (Sep7, 0)]];
    CellPair { normal: noted(normal, &[0, 3, 4, 6]), reduce: noted(reduce, &[2, 3, 4, 5, 6]) }.into()
}

/// Checks a list of operations to search over.
pub fn check_operations(ops: &[NasnetOp]) -> Result<()> {
    if ops.is_empty() || (1..ops.len()).any(|i| ops[..i].contains(&ops[i])) {
        return Err(usage!("search.operations: name at least one operation, and each once"));
    }
    Ok(())
}

/// Both cells uniformly: for every block two independent states and two independent operations of `ops`; if `stacking`, it is a sum or
/// stacked with equal chance. The output concatenates the blocks that no block reads.
pub fn sample(ops: &[NasnetOp], stacking: bool, rng: &mut Rng) -> CellPair<NasnetOp> {
    CellPair { normal: sample_cell(ops, stacking, rng), reduce: sample_cell(ops, stacking, rng) }
}

fn sample_cell(ops: &[NasnetOp], stacking: bool, rng: &mut Rng) -> Cell<NasnetOp> {
    let (mut nodes, mut stacked) = (Vec::new(), Vec::new());
    for i in 0..BLOCKS {
        let mut edge = || Edge { op: ops[rng.random_range(0..ops.len())], from: rng.random_range(0..i + 2) };
        nodes.push([edge(), edge()]);
        if stacking && rng.random::<bool>() {
            stacked.push(i + 2);
        }
    }
    cell(nodes, stacked)
}

/// A cell by the rule of the papers: the output concatenates the blocks that no block reads.
pub fn cell(nodes: Vec<[Edge<NasnetOp>; 2]>, stacked: Vec<usize>) -> Cell<NasnetOp> {
    let concat = unread(&nodes, 2);
    Cell { nodes, concat, stacked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    #[test]
    fn published_and_sampled_cells_belong_to_the_space() {
        let published = SPACE.published.iter().map(|(_, make)| make());
        let sampled = (0..500).flat_map(|i| {
            let mut rng = Streams::new(7).rng("sample", i);
            [sample(&AMOEBANET_OPS, false, &mut rng), sample(&NASNET_OPS, true, &mut rng)].map(Architecture::from)
        });
        for architecture in published.chain(sampled) {
            architecture.check().unwrap();
        }
    }

    #[test]
    fn a_sampled_cell_concatenates_exactly_the_blocks_that_are_not_read() {
        let edge = |from| Edge { op: NasnetOp::Identity, from };
        let nodes = vec![[edge(0), edge(1)], [edge(2), edge(2)], [edge(0), edge(0)], [edge(3), edge(1)], [edge(5), edge(1)]];
        assert_eq!(unread(&nodes, 2), [4, 6]);
    }
}
