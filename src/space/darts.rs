//! The cell space of DARTS (Liu et al. 2019, section 2.1): four nodes, each with two distinct earlier sources.

use super::operations::operations;
use super::{Architecture, Cell, CellPair, Edge, Genotype, Nothing, Space, parameters, read};
use crate::error::{Error, Result};
use crate::seed::Rng;
use rand::RngExt;
use rand::seq::index;

/// Intermediate nodes of a cell.
pub const NODES: usize = 4;
/// Edges of a search cell: 2 + 3 + 4 + 5.
pub const EDGES: usize = 14;
/// Sources a node keeps.
pub const KEPT: usize = 2;

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
    name: "darts",
    home: "darts",
    pixels: false,
    read: read::<CellPair<DartsOp>>,
    sample: |given, rng| parameters::<Nothing>(&SPACE, given).map(|_| sample(rng).into()),
    published: &[("darts-v1", v1), ("darts-v2", v2)],
};

impl Genotype for CellPair<DartsOp> {
    const SPACE: &'static Space = &SPACE;

    fn check(&self) -> Result<()> {
        self.both().into_iter().try_for_each(|(name, cell)| check_cell(name, cell))
    }

    fn canonical(&self) -> Self {
        self.canonical()
    }

    fn cells(&self) -> Vec<(&'static str, Cell<&'static str>)> {
        self.drawn(DartsOp::name)
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

fn check_cell(name: &str, cell: &Cell<DartsOp>) -> Result<()> {
    cell.check(name)?;
    let bad = |what: String| Err(Error::Usage(format!("{name} cell: {what}")));
    if cell.nodes.len() != NODES || cell.concat.len() != NODES || cell.concat.iter().any(|s| *s < 2) {
        return bad(format!("the DARTS space has {NODES} nodes, all of them concatenated"));
    }
    if !cell.stacked.is_empty() {
        return bad("the nodes of the DARTS space are sums, nothing is stacked".into());
    }
    for (i, [a, b]) in cell.nodes.iter().enumerate() {
        if a.from == b.from {
            return bad(format!("node {} reads state {} twice; its two sources must differ", i + 2, a.from));
        }
        if a.op == DartsOp::None || b.op == DartsOp::None {
            return bad(format!("node {} keeps 'none', which is no operation of a finished cell", i + 2));
        }
    }
    Ok(())
}

/// Draws both cells uniformly: for every node two distinct sources and an operation other than `none` for each.
pub fn sample(rng: &mut Rng) -> CellPair<DartsOp> {
    CellPair { normal: sample_cell(rng), reduce: sample_cell(rng) }
}

fn sample_cell(rng: &mut Rng) -> Cell<DartsOp> {
    let nodes = (0..NODES)
        .map(|i| {
            let sources = index::sample(rng, i + 2, KEPT);
            let mut edge = |k: usize| Edge { op: DartsOp::ALL[rng.random_range(1..DartsOp::ALL.len())], from: sources.index(k) };
            [edge(0), edge(1)]
        })
        .collect();
    Cell::new(nodes, (2..2 + NODES).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

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
