//! An architecture as a list of decisions of the controller: what each is about and among how many it chooses.

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

/// The decisions in their order, and what there is to choose from.
#[derive(Clone, Debug)]
pub struct Decisions {
    steps: Vec<(Kind, usize)>,
    /// States that inputs may name.
    pub states: usize,
    /// Operations.
    pub operations: usize,
    /// Ways to join the sides of a block.
    pub joins: usize,
}

impl Decisions {
    /// The 50 of a pair of cells: normal cell, then reduction cell, block by block. Without `stacking` every block is a sum.
    pub fn of_cells(operations: usize, stacking: bool) -> Self {
        let block = |i: usize| {
            let inputs = [0, 1].map(|side| (Kind::Input(side), i + 2));
            let chosen = [0, 1].map(|side| (Kind::Operation(side), operations));
            [inputs[0], inputs[1], chosen[0], chosen[1], (Kind::Join, if stacking { 2 } else { 1 })]
        };
        let steps = (0..2).flat_map(|_| (0..nasnet::BLOCKS).flat_map(block)).collect();
        Self { steps, states: nasnet::BLOCKS + 1, operations, joins: 2 }
    }

    /// One of `operations` at each of so many places.
    pub fn of_places(places: usize, operations: usize) -> Self {
        Self { steps: vec![(Kind::Operation(0), operations); places], states: 0, operations, joins: 0 }
    }

    /// Decisions of an architecture.
    pub fn count(&self) -> usize {
        self.steps.len()
    }

    /// What decision `step` is about, and among how many it chooses.
    pub fn at(&self, step: usize) -> (Kind, usize) {
        self.steps[step]
    }

    /// The kinds that occur, each with the number of its choices.
    pub fn kinds(&self) -> Vec<(Kind, usize)> {
        let all = [Kind::Input(0), Kind::Input(1), Kind::Operation(0), Kind::Operation(1), Kind::Join];
        let choices = [self.states, self.states, self.operations, self.operations, self.joins];
        let occurs = |kind: Kind| self.steps.iter().any(|(of, _)| *of == kind);
        all.into_iter().zip(choices).filter(|(kind, _)| occurs(*kind)).collect()
    }
}

/// The cells that 50 decisions stand for; the output concatenates the blocks that no block reads.
///
/// # Panics
/// If a decision is none of its choices.
pub fn cells(ops: &[NasnetOp], decisions: &[usize]) -> CellPair<NasnetOp> {
    let (normal, reduce) = decisions.split_at(nasnet::BLOCKS * OF_BLOCK);
    CellPair { normal: cell(ops, normal), reduce: cell(ops, reduce) }
}

fn cell(ops: &[NasnetOp], decisions: &[usize]) -> Cell<NasnetOp> {
    let blocks: Vec<&[usize]> = decisions.chunks_exact(OF_BLOCK).collect();
    let nodes = blocks.iter().map(|b| [Edge { op: ops[b[2]], from: b[0] }, Edge { op: ops[b[3]], from: b[1] }]).collect();
    let stacked = (0..blocks.len()).filter(|i| blocks[*i][4] == 1).map(|i| i + 2).collect();
    nasnet::cell(nodes, stacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::{nasnet::NASNET_OPS, published};

    /// The decisions that lead to `pair` (but for an explicit concat list); `None` where an operation is not in the list.
    fn encode(pair: &CellPair<NasnetOp>) -> Option<Vec<usize>> {
        let mut out = Vec::new();
        for cell in [&pair.normal, &pair.reduce] {
            for (i, [left, right]) in cell.nodes.iter().enumerate() {
                let op = |edge: &Edge<NasnetOp>| NASNET_OPS.iter().position(|o| *o == edge.op);
                out.extend([left.from, right.from, op(left)?, op(right)?, usize::from(cell.stacked.contains(&(i + 2)))]);
            }
        }
        Some(out)
    }

    #[test]
    fn fifty_decisions_lead_there_and_back() {
        let decisions = Decisions::of_cells(NASNET_OPS.len(), true);
        assert_eq!(decisions.count(), 50);
        for seed in 0..200 {
            let pair = nasnet::sample(&NASNET_OPS, true, &mut Streams::new(seed).rng("sample", 0));
            let encoded = encode(&pair).unwrap();
            assert!(encoded.iter().enumerate().all(|(step, d)| *d < decisions.at(step).1));
            assert_eq!(cells(&NASNET_OPS, &encoded), pair);
        }
    }

    #[test]
    fn nasnet_a_keeps_its_explicit_concat_list() {
        let released = published("nasnet-a").unwrap();
        let released = released.get::<CellPair<NasnetOp>>().unwrap();
        let mut decoded = cells(&NASNET_OPS, &encode(released).unwrap());
        assert_ne!(decoded, *released, "the released cells concatenate more than the rule says");
        decoded.normal.concat.clone_from(&released.normal.concat);
        decoded.reduce.concat.clone_from(&released.reduce.concat);
        assert_eq!(decoded, *released);
    }
}
