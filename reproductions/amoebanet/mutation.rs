//! The three mutations (paper, section 3.2).

use crate::seed::Rng;
use crate::space::{CellPair, NasnetOp, nasnet};
use rand::RngExt;

/// What may change, and how often.
pub struct Mutation<'a> {
    /// Operations to choose from.
    pub ops: &'a [NasnetOp],
    /// Probability that nothing changes; the two other kinds share the rest equally.
    pub identity: f64,
    /// Whether a changed operation always differs from the one before.
    pub exclude_current: bool,
}

impl Mutation<'_> {
    /// A mutated copy, and the kind of mutation. At most one of the 40 choices of a pair differs.
    pub fn apply(&self, parent: &CellPair<NasnetOp>, rng: &mut Rng) -> (CellPair<NasnetOp>, &'static str) {
        let mut child = parent.clone();
        if rng.random::<f64>() < self.identity {
            return (child, "identity");
        }
        let hidden_state = rng.random::<bool>();
        let cell = if rng.random::<bool>() { &mut child.normal } else { &mut child.reduce };
        let block = rng.random_range(0..cell.nodes.len());
        let edge = &mut cell.nodes[block][usize::from(rng.random::<bool>())];
        if !hidden_state {
            let other = |op: &NasnetOp| !self.exclude_current || *op != edge.op;
            let choices: Vec<NasnetOp> = self.ops.iter().copied().filter(other).collect();
            if !choices.is_empty() {
                edge.op = choices[rng.random_range(0..choices.len())];
            }
            return (child, "op mutation");
        }
        // Earlier states only, so that no cycle can arise; never the present one.
        let drawn = rng.random_range(0..=block);
        edge.from = drawn + usize::from(drawn >= edge.from);
        *cell = nasnet::cell(std::mem::take(&mut cell.nodes), std::mem::take(&mut cell.stacked));
        (child, "hidden state mutation")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::{Genotype, nasnet::AMOEBANET_OPS};
    use std::collections::{BTreeMap, HashSet};

    const PAPER: Mutation<'static> = Mutation { ops: &AMOEBANET_OPS, identity: 0.05, exclude_current: true };

    fn sampled(seed: u64) -> CellPair<NasnetOp> {
        nasnet::sample(&AMOEBANET_OPS, false, &mut Streams::new(seed).rng("sample", 0))
    }

    /// (cell, block, side, operation or source) that differ.
    fn changes(a: &CellPair<NasnetOp>, b: &CellPair<NasnetOp>) -> Vec<(usize, usize, usize, bool)> {
        let mut out = Vec::new();
        for (c, (a, b)) in [(&a.normal, &b.normal), (&a.reduce, &b.reduce)].into_iter().enumerate() {
            for (i, (a, b)) in a.nodes.iter().zip(&b.nodes).enumerate() {
                for side in 0..2 {
                    out.extend((a[side].op != b[side].op).then_some((c, i, side, true)));
                    out.extend((a[side].from != b[side].from).then_some((c, i, side, false)));
                }
            }
        }
        out
    }

    #[test]
    fn exactly_one_choice_changes_and_the_kinds_have_their_frequencies() {
        let parent = sampled(1);
        let before = parent.clone();
        let mut rng = Streams::new(2).rng("mutate", 0);
        let (mut kinds, mut places) = (BTreeMap::new(), BTreeMap::new());
        const N: usize = 20_000;
        for _ in 0..N {
            let (child, kind) = PAPER.apply(&parent, &mut rng);
            child.check().unwrap();
            let changed = changes(&parent, &child);
            assert_eq!(changed.len(), usize::from(kind != "identity"), "{kind}");
            *kinds.entry(kind).or_insert(0usize) += 1;
            for (cell, block, side, op) in changed {
                assert_eq!(op, kind == "op mutation");
                *places.entry((cell, block, side)).or_insert(0usize) += 1;
            }
        }
        assert_eq!(parent, before);
        let near = |count: usize, p: f64| {
            let (mean, deviation) = (N as f64 * p, (N as f64 * p * (1.0 - p)).sqrt());
            assert!((count as f64 - mean).abs() < 4.5 * deviation, "{count} of {N}, expected {mean}");
        };
        near(kinds["identity"], 0.05);
        near(kinds["op mutation"], 0.475);
        near(kinds["hidden state mutation"], 0.475);
        assert_eq!(places.len(), 20);
        places.values().for_each(|count| near(*count, 0.95 / 20.0));
    }

    #[test]
    fn a_random_walk_reaches_every_value_of_every_choice() {
        let mut seen = HashSet::new();
        let mut pair = sampled(3);
        let mut rng = Streams::new(4).rng("mutate", 0);
        for _ in 0..12_000 {
            pair = PAPER.apply(&pair, &mut rng).0;
            for (c, cell) in [&pair.normal, &pair.reduce].into_iter().enumerate() {
                for (i, node) in cell.nodes.iter().enumerate() {
                    for (side, edge) in node.iter().enumerate() {
                        seen.insert((c, i, side, format!("{:?}", edge.op)));
                        seen.insert((c, i, side, edge.from.to_string()));
                    }
                }
            }
        }
        // Two cells, two sides: 8 operations for 5 blocks, and 2 + 3 + 4 + 5 + 6 sources.
        assert_eq!(seen.len(), 4 * (5 * 8 + 20));
    }

    #[test]
    fn any_architecture_is_at_most_40_mutations_from_any_other() {
        let (from, to) = (sampled(5), sampled(6));
        let mut rng = Streams::new(7).rng("mutate", 0);
        let mut pair = from;
        let mut steps = 0;
        while changes(&pair, &to).len() + usize::from(pair != to) > 0 {
            // A mutation that brings the pair closer is drawn sooner or later.
            let distance = changes(&pair, &to).len();
            let closer = (0..100_000).map(|_| PAPER.apply(&pair, &mut rng).0).find(|p| changes(p, &to).len() < distance);
            pair = closer.expect("each differing choice can be set");
            steps += 1;
        }
        assert!(steps <= 40, "{steps}");
    }

    #[test]
    fn the_first_block_always_flips_to_the_other_input_and_a_single_operation_stays() {
        let one = Mutation { ops: &[NasnetOp::Identity], identity: 0.0, exclude_current: true };
        let pair = nasnet::sample(&[NasnetOp::Identity], false, &mut Streams::new(8).rng("sample", 0));
        let mut rng = Streams::new(9).rng("mutate", 0);
        for _ in 0..500 {
            let (child, kind) = one.apply(&pair, &mut rng);
            assert_eq!(changes(&pair, &child).len(), usize::from(kind != "op mutation"));
            for (a, b) in pair.normal.nodes[0].iter().zip(&child.normal.nodes[0]) {
                assert!(a.from == b.from || a.from + b.from == 1);
            }
        }
    }
}
