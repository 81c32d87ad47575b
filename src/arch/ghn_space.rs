//! The block space of GHN (Zhang, Ren, Urtasun 2019, section 5.1): one block is searched and stacked.

use super::genotype::{Architecture, Cell, Edge, unread};
use crate::error::{Error, Result};
use crate::nn::Op;
use crate::seed::Rng;
use rand::RngExt;
use rand::seq::index;

/// Operations of the space.
pub const OPS: [Op; 8] = [Op::Identity, Op::Conv1, Op::SepConv3, Op::SepConv5, Op::DilConv3, Op::Conv1x7, Op::MaxPool3, Op::AvgPool3];

/// A block from its nodes (operation, two earlier states); every state that no node reads is averaged, the inputs included.
pub fn block(nodes: &[(Op, [usize; 2])]) -> Cell {
    let nodes: Vec<[Edge; 2]> = nodes.iter().map(|(op, from)| from.map(|from| Edge { op: *op, from })).collect();
    let loose = unread(&nodes, 0);
    Cell::new(nodes, loose)
}

/// A block of `nodes` nodes: uniform operations, two different sources drawn uniformly among the earlier states.
pub fn sample(nodes: usize, rng: &mut Rng) -> Architecture {
    let nodes: Vec<(Op, [usize; 2])> = (0..nodes)
        .map(|i| {
            let sources = index::sample(rng, i + 2, 2);
            (OPS[rng.random_range(0..OPS.len())], [sources.index(0), sources.index(1)])
        })
        .collect();
    Architecture::Ghn(block(&nodes))
}

/// Checks that a cell is a block of this space.
pub(super) fn check(cell: &Cell) -> Result<()> {
    cell.check("block")?;
    let bad = |what: String| Err(Error::Usage(format!("block: {what}")));
    for (i, [a, b]) in cell.nodes.iter().enumerate() {
        if a.op != b.op || !OPS.contains(&a.op) {
            let names: Vec<&str> = OPS.iter().map(|o| o.name()).collect();
            return bad(format!(
                "node {} has {} and {}; both sides take the same of {}",
                i + 2,
                a.op.name(),
                b.op.name(),
                names.join(", ")
            ));
        }
        if a.from == b.from {
            return bad(format!("node {} reads state {} twice; its two sources differ", i + 2, a.from));
        }
    }
    let mut concat = cell.concat.clone();
    concat.sort_unstable();
    if concat != unread(&cell.nodes, 0) || !cell.stacked.is_empty() {
        return bad(format!("its output is the mean of the states that no node reads, {:?}", unread(&cell.nodes, 0)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    #[test]
    fn samples_belong_to_the_space_and_survive_a_file() {
        let mut rng = Streams::new(1).rng("sample", 0);
        for i in 0..1000 {
            let nodes = 1 + i % 28;
            let sampled = sample(nodes, &mut rng);
            sampled.check().unwrap();
            let Architecture::Ghn(cell) = &sampled else { panic!("a block") };
            assert_eq!(cell.nodes.len(), nodes);
            assert!(!cell.concat.is_empty());
            let text = serde_json::to_string(&sampled).unwrap();
            assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), sampled);
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let good = block(&[(Op::Conv1, [0, 1]), (Op::SepConv3, [0, 2])]);
        let refused = |cell: Cell, what: &str| {
            let text = check(&cell).unwrap_err().to_string();
            assert!(text.contains(what), "{text}");
        };
        check(&good).unwrap();
        let mut twice = good.clone();
        twice.nodes[1][1].from = 0;
        refused(twice, "twice");
        let mut mixed = good.clone();
        mixed.nodes[0][0].op = Op::Identity;
        refused(mixed, "identity");
        refused(Cell { concat: vec![3, 0], ..good }, "mean of the states");
    }
}
