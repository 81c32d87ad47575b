//! A pair of cells as the 50 decisions of the controller, and back.

use crate::space::{Cell, CellPair, Edge, NasnetOp, nasnet};

/// Decisions of a block: two inputs, two operations, how they are joined.
pub const OF_BLOCK: usize = 5;

/// What a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// State that the first or second side reads.
    Input(usize),
    /// Operation of the first or second side.
    Operation(usize),
    /// Sum (0) or stack (1).
    Join,
}

/// The decisions in their order: normal cell, then reduction cell, block by block.
#[derive(Clone, Debug)]
pub struct Decisions {
    ops: Vec<NasnetOp>,
    stacking: bool,
}

impl Decisions {
    /// Over these operations; without `stacking` every block is a sum.
    pub fn new(ops: &[NasnetOp], stacking: bool) -> Self {
        Self { ops: ops.to_vec(), stacking }
    }

    /// Decisions of an architecture.
    pub fn count(&self) -> usize {
        2 * nasnet::BLOCKS * OF_BLOCK
    }

    /// What decision `step` is about, and among how many it chooses.
    pub fn at(&self, step: usize) -> (Kind, usize) {
        let block = step / OF_BLOCK % nasnet::BLOCKS;
        match step % OF_BLOCK {
            side @ (0 | 1) => (Kind::Input(side), block + 2),
            2 => (Kind::Operation(0), self.ops.len()),
            3 => (Kind::Operation(1), self.ops.len()),
            _ => (Kind::Join, if self.stacking { 2 } else { 1 }),
        }
    }

    /// Number of operations.
    pub fn operations(&self) -> usize {
        self.ops.len()
    }

    /// The architecture that 50 decisions stand for; the output concatenates the blocks that no block reads.
    ///
    /// # Panics
    /// If a decision is none of its choices.
    pub fn decode(&self, decisions: &[usize]) -> CellPair<NasnetOp> {
        assert_eq!(decisions.len(), self.count());
        let (normal, reduce) = decisions.split_at(decisions.len() / 2);
        CellPair { normal: self.decode_cell(normal), reduce: self.decode_cell(reduce) }
    }

    fn decode_cell(&self, decisions: &[usize]) -> Cell<NasnetOp> {
        let blocks: Vec<&[usize]> = decisions.chunks_exact(OF_BLOCK).collect();
        let nodes = blocks.iter().map(|b| [Edge { op: self.ops[b[2]], from: b[0] }, Edge { op: self.ops[b[3]], from: b[1] }]).collect();
        let stacked = (0..blocks.len()).filter(|i| blocks[*i][4] == 1).map(|i| i + 2).collect();
        nasnet::cell(nodes, stacked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::{nasnet::NASNET_OPS, published};

    /// The decisions that lead to `pair` (but for an explicit concat list); `None` where an operation is not in the list.
    fn encode(decisions: &Decisions, pair: &CellPair<NasnetOp>) -> Option<Vec<usize>> {
        let mut out = Vec::with_capacity(decisions.count());
        for cell in [&pair.normal, &pair.reduce] {
            for (i, [left, right]) in cell.nodes.iter().enumerate() {
                let op = |edge: &Edge<NasnetOp>| decisions.ops.iter().position(|o| *o == edge.op);
                out.extend([left.from, right.from, op(left)?, op(right)?, usize::from(cell.stacked.contains(&(i + 2)))]);
            }
        }
        Some(out)
    }

    #[test]
    fn fifty_decisions_lead_there_and_back() {
        let decisions = Decisions::new(&NASNET_OPS, true);
        assert_eq!(decisions.count(), 50);
        for seed in 0..200 {
            let pair = nasnet::sample(&NASNET_OPS, true, &mut Streams::new(seed).rng("sample", 0));
            let encoded = encode(&decisions, &pair).unwrap();
            assert!(encoded.iter().enumerate().all(|(step, d)| *d < decisions.at(step).1));
            assert_eq!(decisions.decode(&encoded), pair);
        }
    }

    #[test]
    fn nasnet_a_keeps_its_explicit_concat_list() {
        let decisions = Decisions::new(&NASNET_OPS, true);
        let released = published("nasnet-a").unwrap();
        let released = released.get::<CellPair<NasnetOp>>().unwrap();
        let mut decoded = decisions.decode(&encode(&decisions, released).unwrap());
        assert_ne!(decoded, *released, "the released cells concatenate more than the rule says");
        decoded.normal.concat.clone_from(&released.normal.concat);
        decoded.reduce.concat.clone_from(&released.reduce.concat);
        assert_eq!(decoded, *released);
    }
}
