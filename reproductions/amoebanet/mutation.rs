//! The three mutations (paper, section 3.2).

use crate::seed::Rng;
use crate::space::{Cell, CellPair, Edge, NasnetOp, nasnet};
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
    /// A mutated copy, and the kind of mutation. At most one of the 40 choices of a pair differs, but for the order of blocks where one reads a block that came after it.
    pub fn apply(&self, parent: &CellPair<NasnetOp>, rng: &mut Rng) -> (CellPair<NasnetOp>, &'static str) {
        let mut child = parent.clone();
        if rng.random::<f64>() < self.identity {
            return (child, "identity");
        }
        let hidden_state = rng.random::<bool>();
        let cell = if rng.random::<bool>() { &mut child.normal } else { &mut child.reduce };
        let block = rng.random_range(0..cell.nodes.len());
        let side = usize::from(rng.random::<bool>());
        let edge = &mut cell.nodes[block][side];
        let from = edge.from;
        if !hidden_state {
            let other = |op: &NasnetOp| !self.exclude_current || *op != edge.op;
            let choices: Vec<NasnetOp> = self.ops.iter().copied().filter(other).collect();
            if !choices.is_empty() {
                edge.op = choices[rng.random_range(0..choices.len())];
            }
            return (child, "op mutation");
        }
        let choices: Vec<usize> = independent_of(&cell.nodes, block).filter(|state| *state != from).collect();
        cell.nodes[block][side].from = choices[rng.random_range(0..choices.len())];
        let Cell { nodes, stacked, .. } = cell.ordered();
        *cell = nasnet::cell(nodes, stacked);
        (child, "hidden state mutation")
    }
}

type Nodes = [[Edge<NasnetOp>; 2]];

/// States that block `block` may read without a loop: neither its own nor one that depends on it.
fn independent_of(nodes: &Nodes, block: usize) -> impl Iterator<Item = usize> {
    let mut depends = vec![false; nodes.len() + 2];
    depends[block + 2] = true;
    for (i, sides) in nodes.iter().enumerate().skip(block + 1) {
        depends[i + 2] = sides.iter().any(|edge| depends[edge.from]);
    }
    (0..depends.len()).filter(move |state| !depends[*state])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::{Genotype, nasnet::AMOEBANET_OPS};
    use std::collections::{BTreeMap, HashSet};

    const PAPER: Mutation<'static> = Mutation { ops: &AMOEBANET_OPS, identity: 0.05, exclude_current: false };
    /// Every mutation of an operation changes something.
    const CHANGING: Mutation<'static> = Mutation { exclude_current: true, ..PAPER };

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
    fn one_choice_changes_and_kinds_and_places_have_their_frequencies() {
        let parent = sampled(1);
        let before = parent.clone();
        let mut rng = Streams::new(2).rng("mutate", 0);
        let (mut kinds, mut places, mut reordered) = (BTreeMap::new(), BTreeMap::new(), 0);
        const N: usize = 20_000;
        for _ in 0..N {
            let (child, kind) = CHANGING.apply(&parent, &mut rng);
            child.check().unwrap();
            *kinds.entry(kind).or_insert(0usize) += 1;
            let changed = changes(&parent, &child);
            if kind == "hidden state mutation" && changed.len() != 1 {
                reordered += 1;
                continue;
            }
            assert_eq!(changed.len(), usize::from(kind != "identity"), "{kind}");
            for (cell, block, side, op) in changed {
                assert_eq!(op, kind == "op mutation");
                *places.entry((cell, block, side, op)).or_insert(0usize) += 1;
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
        assert!(reordered > 0, "some blocks read one that came after them");
        // Places of sources cannot be told apart where blocks changed theirs, so those of operations are counted.
        places.retain(|(_, _, _, op), _| *op);
        assert_eq!(places.len(), 20);
        places.values().for_each(|count| near(*count, 0.475 / 20.0));
    }

    #[test]
    fn by_the_text_one_in_eight_mutated_operations_stays() {
        let parent = sampled(1);
        let mut rng = Streams::new(3).rng("mutate", 0);
        let mutated = (0..8000).map(|_| PAPER.apply(&parent, &mut rng)).filter(|(_, kind)| *kind == "op mutation");
        let stays: Vec<f64> = mutated.map(|(child, _)| f64::from(u8::from(child == parent))).collect();
        let (n, p) = (stays.len() as f64, 1.0 / 8.0);
        assert!((stays.iter().sum::<f64>() - n * p).abs() < 4.5 * (n * p * (1.0 - p)).sqrt());
    }

    #[test]
    fn a_block_may_read_every_state_that_does_not_depend_on_it() {
        let edge = |from| Edge { op: NasnetOp::Identity, from };
        // Blocks 2 to 6: 3 reads 2, 5 reads 3; 4 and 6 read the inputs alone.
        let nodes: Vec<_> = [[0, 1], [2, 0], [0, 1], [3, 1], [1, 1]].map(|sides| sides.map(edge)).into();
        let free = |block| independent_of(&nodes, block).collect::<Vec<usize>>();
        assert_eq!([free(0), free(1), free(4)], [vec![0, 1, 4, 6], vec![0, 1, 2, 4, 6], vec![0, 1, 2, 3, 4, 5]]);
        // Block 2 now reads block 6, which has to come first; all others keep their order.
        let mut cell = nasnet::cell(nodes, vec![3, 6]);
        cell.nodes[0][0].from = 6;
        let ordered = cell.ordered();
        let ordered = nasnet::cell(ordered.nodes, ordered.stacked);
        let sources: Vec<[usize; 2]> = ordered.nodes.iter().map(|sides| [sides[0].from, sides[1].from]).collect();
        // Order: 4, 6, 2, 3, 5.
        assert_eq!(sources, [[0, 1], [1, 1], [3, 1], [4, 0], [5, 1]]);
        assert_eq!((ordered.stacked, ordered.concat), (vec![3, 5], vec![2, 6]));
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
    fn a_single_operation_stays_and_a_source_does_not() {
        let one = Mutation { ops: &[NasnetOp::Identity], identity: 0.0, exclude_current: true };
        let pair = nasnet::sample(&[NasnetOp::Identity], false, &mut Streams::new(8).rng("sample", 0));
        let mut rng = Streams::new(9).rng("mutate", 0);
        for _ in 0..500 {
            let (child, kind) = one.apply(&pair, &mut rng);
            child.check().unwrap();
            assert_eq!(changes(&pair, &child).is_empty(), kind == "op mutation");
        }
    }
}
