//! The cell space of DARTS (Liu et al. 2019, section 2.1): four nodes, each with two distinct earlier sources.

use super::genotype::{Architecture, Cell, CellPair, Edge};
use crate::error::{Error, Result};
use crate::nn::Op;
use crate::seed::Rng;
use rand::RngExt;
use rand::seq::index;

/// Intermediate nodes of a cell.
pub const NODES: usize = 4;
/// Edges of a search cell: 2 + 3 + 4 + 5.
pub const EDGES: usize = 14;
/// Sources a node keeps.
pub const KEPT: usize = 2;

/// A name and what it stands for.
pub type Named = (&'static str, fn() -> Architecture);

/// The cells that the paper's authors released, by name.
pub const PUBLISHED: [Named; 2] = [("darts-v1", v1), ("darts-v2", v2)];

/// A cell of this space from its nodes; all nodes are concatenated.
pub fn cell(nodes: [[(Op, usize); 2]; NODES]) -> Cell {
    Cell::new(nodes.iter().map(|node| node.map(|(op, from)| Edge { op, from })).collect(), (2..2 + NODES).collect())
}

/// First-order cell as released.
fn v1() -> Architecture {
    use Op::{AvgPool3 as Avg, MaxPool3 as Max, SepConv3 as Sep3, SkipConnect as Skip};
    Architecture::Darts(CellPair {
        normal: cell([[(Sep3, 1), (Sep3, 0)], [(Skip, 0), (Sep3, 1)], [(Skip, 0), (Sep3, 1)], [(Sep3, 0), (Skip, 2)]]),
        reduce: cell([[(Max, 0), (Max, 1)], [(Skip, 2), (Max, 0)], [(Max, 0), (Skip, 2)], [(Skip, 2), (Avg, 0)]]),
    })
}

/// Second-order cell as released.
fn v2() -> Architecture {
    use Op::{DilConv3 as Dil3, MaxPool3 as Max, SepConv3 as Sep3, SkipConnect as Skip};
    Architecture::Darts(CellPair {
        normal: cell([[(Sep3, 0), (Sep3, 1)], [(Sep3, 0), (Sep3, 1)], [(Sep3, 1), (Skip, 0)], [(Skip, 0), (Dil3, 2)]]),
        reduce: cell([[(Max, 0), (Max, 1)], [(Skip, 2), (Max, 1)], [(Max, 0), (Skip, 2)], [(Skip, 2), (Max, 1)]]),
    })
}

/// Checks that a pair belongs to the space, or says where it does not.
pub fn check(pair: &CellPair) -> Result<()> {
    for (name, cell) in [("normal", &pair.normal), ("reduction", &pair.reduce)] {
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
            if a.op == Op::None || b.op == Op::None {
                return bad(format!("node {} keeps 'none', which is no operation of a finished cell", i + 2));
            }
        }
    }
    Ok(())
}

/// Draws both cells uniformly: for every node two distinct sources and an operation other than `none` for each.
pub fn sample(rng: &mut Rng) -> Architecture {
    let normal = sample_cell(rng);
    Architecture::Darts(CellPair { normal, reduce: sample_cell(rng) })
}

fn sample_cell(rng: &mut Rng) -> Cell {
    let nodes = (0..NODES)
        .map(|i| {
            let sources = index::sample(rng, i + 2, KEPT);
            let mut edge = |k: usize| Edge { op: Op::DARTS[rng.random_range(1..Op::DARTS.len())], from: sources.index(k) };
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
        let published = PUBLISHED.iter().map(|(_, make)| make());
        let sampled = (0..1000).map(|i| sample(&mut Streams::new(7).rng("sample", i)));
        for architecture in published.chain(sampled) {
            check(architecture.pair()).unwrap();
        }
    }

    #[test]
    fn samples_reach_every_operation_and_source() {
        let mut seen = std::collections::HashSet::new();
        for i in 0..500 {
            let sampled = sample(&mut Streams::new(7).rng("sample", i));
            let pair = sampled.pair();
            for (node, edges) in pair.normal.nodes.iter().enumerate() {
                seen.extend(edges.iter().map(|e| (node, e.op, e.from)));
            }
        }
        assert_eq!(seen.len(), EDGES * 7);
    }

    #[test]
    fn a_repeated_source_and_a_none_are_refused() {
        let mut pair = v2().pair().clone();
        pair.normal.nodes[1][1].from = 0;
        assert!(check(&pair).unwrap_err().to_string().contains("node 3 reads state 0 twice"));
        pair.normal.nodes[1][1] = Edge { op: Op::None, from: 1 };
        assert!(check(&pair).unwrap_err().to_string().contains("none"));
    }
}
