//! The cell space of DARTS (Liu et al. 2019, section 2.1): four nodes, each with two distinct earlier sources.

use super::operations::operations;
use super::{Architecture, Cell, CellPair, Edge, Nothing, PairOp, Rule, Space, differ, parameters, sample_nodes};
use crate::seed::Rng;

/// Intermediate nodes of a cell.
pub const NODES: usize = 4;
/// Edges of a search cell: 2 + 3 + 4 + 5.
pub const EDGES: usize = 14;

operations! {
    /// An operation of a DARTS cell; its place is the column of alpha.
    DartsOp {
        /// Zeros: the edge is absent.
        None = "none",
        /// 3x3 maximum pooling.
        MaxPool3 = "max_pool_3x3",
        /// 3x3 average pooling; the padding is not counted.
        AvgPool3 = "avg_pool_3x3",
        /// Identity, or a factorised reduction where the stride is 2.
        SkipConnect = "skip_connect",
        /// Depthwise-separable 3x3 convolution, applied twice.
        SepConv3 = "sep_conv_3x3",
        /// Depthwise-separable 5x5 convolution, applied twice.
        SepConv5 = "sep_conv_5x5",
        /// Dilated depthwise-separable 3x3 convolution, dilation 2.
        DilConv3 = "dil_conv_3x3",
        /// Dilated depthwise-separable 5x5 convolution, dilation 2.
        DilConv5 = "dil_conv_5x5",
    }
}

/// The space, with the cells that the paper's authors released.
pub static SPACE: Space = Space {
    published: &[("darts-v1", v1), ("darts-v2", v2)],
    ..Space::of::<CellPair<DartsOp>>("darts", "darts", |given, rng| parameters::<Nothing>(&SPACE, given).map(|_| sample(rng).into()))
};

impl PairOp for DartsOp {
    const SPACE: &'static Space = &SPACE;
    const NAME: fn(Self) -> &'static str = Self::name;

    fn check(cell: &Cell<Self>) -> Rule {
        if cell.nodes.len() != NODES || cell.concat.len() != NODES || cell.concat.iter().any(|s| *s < 2) {
            return Err(format!("the DARTS space has {NODES} nodes, all of them concatenated"));
        }
        if !cell.stacked.is_empty() {
            return Err("the nodes of the DARTS space are sums, nothing is stacked".into());
        }
        cell.check_nodes(|_, edges| {
            let absent = edges.iter().any(|e| e.op == Self::None);
            differ(edges).or_else(|| absent.then(|| "keeps 'none', which is no operation of a finished cell".into()))
        })
    }
}

/// A cell of this space from its nodes; all nodes are concatenated.
pub fn cell(nodes: [[(DartsOp, usize); 2]; NODES]) -> Cell<DartsOp> {
    Cell::new(nodes.iter().map(|node| node.map(|(op, from)| Edge { op, from })).collect(), (2..2 + NODES).collect())
}

/// First-order cell as released.
fn v1() -> Architecture {
    use DartsOp::{AvgPool3 as Avg, MaxPool3 as Max, SepConv3 as Sep3, SkipConnect as Skip};
    Architecture::from(CellPair {
        normal: cell([[(Sep3, 1), (Sep3, 0)], [(Skip, 0), (Sep3, 1)], [(Skip, 0), (Sep3, 1)], [(Sep3, 0), (Skip, 2)]]),
        reduce: cell([[(Max, 0), (Max, 1)], [(Skip, 2), (Max, 0)], [(Max, 0), (Skip, 2)], [(Skip, 2), (Avg, 0)]]),
    })
}

/// Second-order cell as released.
fn v2() -> Architecture {
    use DartsOp::{DilConv3 as Dil3, MaxPool3 as Max, SepConv3 as Sep3, SkipConnect as Skip};
    Architecture::from(CellPair {
        normal: cell([[(Sep3, 0), (Sep3, 1)], [(Sep3, 0), (Sep3, 1)], [(Sep3, 1), (Skip, 0)], [(Skip, 0), (Dil3, 2)]]),
        reduce: cell([[(Max, 0), (Max, 1)], [(Skip, 2), (Max, 1)], [(Max, 0), (Skip, 2)], [(Skip, 2), (Max, 1)]]),
    })
}

/// Draws both cells uniformly: for every node two distinct sources and an operation other than `none` for each.
pub fn sample(rng: &mut Rng) -> CellPair<DartsOp> {
    CellPair { normal: sample_cell(rng), reduce: sample_cell(rng) }
}

fn sample_cell(rng: &mut Rng) -> Cell<DartsOp> {
    Cell::new(sample_nodes(NODES, rng, |_| &DartsOp::ALL[1..]), (2..2 + NODES).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::Genotype;

    #[test]
    fn published_and_sampled_cells_belong_to_the_space() {
        let published = SPACE.published.iter().map(|(_, make)| make());
        let sampled = (0..1000).map(|i| sample(&mut Streams::new(7).rng("sample", i)).into());
        for architecture in published.chain(sampled) {
            architecture.check().unwrap();
        }
    }

    #[test]
    fn samples_reach_every_operation_and_source() {
        let mut seen = std::collections::HashSet::new();
        for i in 0..500 {
            let pair = sample(&mut Streams::new(7).rng("sample", i));
            for (node, edges) in pair.normal.nodes.iter().enumerate() {
                seen.extend(edges.iter().map(|e| (node, e.op, e.from)));
            }
        }
        assert_eq!(seen.len(), EDGES * 7);
    }

    #[test]
    fn a_repeated_source_and_a_none_are_refused() {
        let mut pair = v2().get::<CellPair<DartsOp>>().unwrap().clone();
        pair.normal.nodes[1][1].from = 0;
        assert!(pair.check().unwrap_err().to_string().contains("node 3 reads state 0 twice"));
        pair.normal.nodes[1][1] = Edge { op: DartsOp::None, from: 1 };
        assert!(pair.check().unwrap_err().to_string().contains("none"));
    }
}
