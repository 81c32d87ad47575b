//! The cell space that NASNet, AmoebaNet and random search share: five blocks, each joining two operations on any two earlier states.
//!
//! States are numbered as everywhere in this crate: 0 is the output of cell k-2, 1 that of cell k-1, 2.. the blocks. (The papers' S0 is our state 1, and
//! their S1 our state 0.) A state may be read twice or concatenated although it is read, so the concat list is explicit.

use super::genotype::{Architecture, Cell, CellPair, Edge, unread};
use crate::error::{Error, Result};
use crate::nn::Op;
use crate::seed::Rng;
use rand::RngExt;

/// Blocks of a cell.
pub const BLOCKS: usize = 5;

/// The eight operations in which AmoebaNet-A was found (Real et al. 2019, search space I).
pub const AMOEBANET_OPS: [Op; 8] =
    [Op::Identity, Op::SepConv3, Op::SepConv5, Op::SepConv7, Op::AvgPool3, Op::MaxPool3, Op::DilSepConv3, Op::Conv1x7];

/// The thirteen operations of NASNet (Zoph et al. 2018).
pub const NASNET_OPS: [Op; 13] = [
    Op::Identity,
    Op::SepConv3,
    Op::SepConv5,
    Op::SepConv7,
    Op::AvgPool3,
    Op::MaxPool3,
    Op::MaxPool5,
    Op::MaxPool7,
    Op::Conv1,
    Op::Conv3,
    Op::Conv1x3,
    Op::Conv1x7,
    Op::BottleneckDil3,
];

/// The cells that the papers' authors released, by name.
pub const PUBLISHED: [super::darts_space::Named; 2] = [("nasnet-a", nasnet_a), ("amoebanet-a", amoebanet_a)];

/// Paper notation to ours: the papers count the newer input first.
fn block(left: (Op, usize), right: (Op, usize)) -> [Edge; 2] {
    let ours = |state: usize| if state < 2 { 1 - state } else { state };
    [left, right].map(|(op, from)| Edge { op, from: ours(from) })
}

/// As released; the normal cell also concatenates the older input, the reduction cell also a block that is read.
fn nasnet_a() -> Architecture {
    use Op::{AvgPool3 as Avg3, Identity as Id, MaxPool3 as Max3, SepConv3 as Sep3, SepConv5 as Sep5, SepConv7 as Sep7};
    let normal = vec![
        block((Sep5, 0), (Sep3, 1)),
        block((Sep5, 1), (Sep3, 1)),
        block((Avg3, 0), (Id, 1)),
        block((Avg3, 1), (Avg3, 1)),
        block((Sep3, 0), (Id, 0)),
    ];
    let reduce = vec![
        block((Sep5, 0), (Sep7, 1)),
        block((Max3, 0), (Sep7, 1)),
        block((Avg3, 0), (Sep5, 1)),
        block((Id, 3), (Avg3, 2)),
        block((Sep3, 2), (Max3, 0)),
    ];
    Architecture::Nasnet(CellPair { normal: Cell::new(normal, vec![0, 2, 3, 4, 5, 6]), reduce: Cell::new(reduce, vec![3, 4, 5, 6]) })
}

/// As released, which is the figure of arXiv version 7.
fn amoebanet_a() -> Architecture {
    use Op::{AvgPool3 as Avg3, Conv1x7, Identity as Id, MaxPool3 as Max3, SepConv3 as Sep3, SepConv5 as Sep5, SepConv7 as Sep7};
    let normal = vec![
        block((Avg3, 0), (Max3, 0)),
        block((Sep3, 1), (Id, 1)),
        block((Id, 0), (Avg3, 1)),
        block((Sep3, 0), (Sep5, 2)),
        block((Avg3, 5), (Sep3, 0)),
    ];
    let reduce = vec![
        block((Sep3, 1), (Avg3, 0)),
        block((Max3, 0), (Sep7, 2)),
        block((Max3, 1), (Max3, 0)),
        block((Sep3, 4), (Conv1x7, 0)),
        block((Avg3, 1), (Sep7, 0)),
    ];
    Architecture::Nasnet(CellPair { normal: Cell::new(normal, vec![0, 3, 4, 6]), reduce: Cell::new(reduce, vec![2, 3, 4, 5, 6]) })
}

/// Checks that a pair belongs to the space, or says where it does not.
pub fn check(pair: &CellPair) -> Result<()> {
    for (name, cell) in [("normal", &pair.normal), ("reduction", &pair.reduce)] {
        cell.check(name)?;
        if cell.nodes.len() != BLOCKS {
            return Err(Error::Usage(format!("{name} cell: the NASNet space has {BLOCKS} blocks, not {}", cell.nodes.len())));
        }
        if let Some(edge) = cell.nodes.iter().flatten().find(|e| !NASNET_OPS.contains(&e.op) && !AMOEBANET_OPS.contains(&e.op)) {
            return Err(Error::Usage(format!("{name} cell: '{}' is no operation of the NASNet space", edge.op.name())));
        }
    }
    Ok(())
}

/// Checks a list of operations to search over.
pub fn check_operations(ops: &[Op]) -> Result<()> {
    let foreign = ops.iter().find(|op| !NASNET_OPS.contains(op) && !AMOEBANET_OPS.contains(op));
    if let Some(op) = foreign {
        return Err(Error::Usage(format!("search.operations: '{}' is no operation of the NASNet space", op.name())));
    }
    if ops.is_empty() || (1..ops.len()).any(|i| ops[..i].contains(&ops[i])) {
        return Err(Error::Usage("search.operations: name at least one operation, and each once".into()));
    }
    Ok(())
}

/// Both cells uniformly: for every block two independent states and two independent operations of `ops`; if `stacking`, it is a sum or
/// stacked with equal chance. The output concatenates the blocks that no block reads.
pub fn sample(ops: &[Op], stacking: bool, rng: &mut Rng) -> Architecture {
    let normal = sample_cell(ops, stacking, rng);
    Architecture::Nasnet(CellPair { normal, reduce: sample_cell(ops, stacking, rng) })
}

fn sample_cell(ops: &[Op], stacking: bool, rng: &mut Rng) -> Cell {
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
pub fn cell(nodes: Vec<[Edge; 2]>, stacked: Vec<usize>) -> Cell {
    let concat = unread(&nodes, 2);
    Cell { nodes, concat, stacked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    #[test]
    fn published_and_sampled_cells_belong_to_the_space() {
        let published = PUBLISHED.iter().map(|(_, make)| make());
        let sampled = (0..500).flat_map(|i| {
            let mut rng = Streams::new(7).rng("sample", i);
            [sample(&AMOEBANET_OPS, false, &mut rng), sample(&NASNET_OPS, true, &mut rng)]
        });
        for architecture in published.chain(sampled) {
            architecture.check().unwrap();
        }
    }

    #[test]
    fn a_sampled_cell_concatenates_exactly_the_blocks_that_are_not_read() {
        let edge = |from| Edge { op: Op::Identity, from };
        let nodes = vec![[edge(0), edge(1)], [edge(2), edge(2)], [edge(0), edge(0)], [edge(3), edge(1)], [edge(5), edge(1)]];
        assert_eq!(unread(&nodes, 2), [4, 6]);
    }

    #[test]
    fn an_operation_of_another_space_is_refused() {
        let mut pair = nasnet_a().pair().clone();
        pair.normal.nodes[0][0].op = Op::SkipConnect;
        assert!(check(&pair).unwrap_err().to_string().contains("skip_connect"));
    }
}
