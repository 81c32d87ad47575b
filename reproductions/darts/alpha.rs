//! The architecture logits alpha and what they mean.

use crate::gradient::alpha::{self, offset, rows, strongest};
use crate::seed::Rng;
use crate::space::darts::{EDGES, NODES};
use crate::space::{Architecture, Cell, CellPair, DartsOp, Edge};
use tch::{Device, Kind, Tensor};

/// Operations an edge mixes.
pub const OPS: usize = DartsOp::ALL.len();

/// One row of logits an edge, normal cell first: [2, 14, 8]. Shared by all cells of a kind.
pub fn initial(rng: &mut Rng, device: Device, kind: Kind) -> Tensor {
    alpha::initial(&[2, EDGES as i64, OPS as i64], rng, device, kind)
}

/// Softmax over every row, on the host: `[edge][op]`, normal cell first.
fn probabilities(alpha: &Tensor) -> Vec<Vec<f64>> {
    rows(&alpha.detach().to_device(Device::Cpu).to_kind(Kind::Double).softmax(-1, None::<Kind>))
}

/// The discrete cells: every node keeps the two sources whose strongest operation other than `none` has the largest probability,
/// each with that operation. Ties go to the lower source and the lower operation.
pub fn genotype(alpha: &Tensor) -> Architecture {
    let rows = probabilities(alpha);
    CellPair { normal: discretise(&rows[..EDGES]), reduce: discretise(&rows[EDGES..]) }.into()
}

fn discretise(rows: &[Vec<f64>]) -> Cell<DartsOp> {
    let kept = |node: usize| {
        let source = |from: usize| (from, strongest(&DartsOp::ALL, DartsOp::None, &rows[offset(node) + from]));
        let mut sources: Vec<_> = (0..node + 2).map(source).collect();
        sources.sort_by(|(_, a), (_, b)| b.1.total_cmp(&a.1));
        [0, 1].map(|i| Edge { op: sources[i].1.0, from: sources[i].0 })
    };
    Cell::new((0..NODES).map(kept).collect(), (2..2 + NODES).collect())
}

/// Mean entropy of the rows, in nats; ln 8 when all operations are equally likely.
pub fn entropy(alpha: &Tensor) -> f64 {
    probabilities(alpha).iter().map(|row| alpha::entropy(row)).sum::<f64>() / (2 * EDGES) as f64
}

/// Skip connections in the normal cell: a sign of collapse when they take over.
pub fn normal_skips(architecture: &Architecture) -> usize {
    let edges = architecture.get::<CellPair<DartsOp>>().map(|pair| pair.normal.nodes.iter().flatten());
    edges.into_iter().flatten().filter(|e| e.op == DartsOp::SkipConnect).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::alpha::INITIAL_SPREAD;
    use crate::seed::Streams;
    use std::collections::HashSet;

    fn random(seed: u64, scale: f64) -> Tensor {
        initial(&mut Streams::new(seed).rng("alpha", 0), Device::Cpu, Kind::Double).detach() * (scale / INITIAL_SPREAD)
    }

    #[test]
    fn rows_belong_to_nodes() {
        assert_eq!([0, 1, 2, 3].map(offset), [0, 2, 5, 9]);
        assert_eq!(offset(NODES), EDGES);
    }

    #[test]
    fn a_thousand_random_logits_give_valid_cells() {
        for seed in 0..1000 {
            let alpha = random(seed, 3.0);
            if seed % 2 == 0 {
                let _ = alpha.select(2, 0).fill_(50.0);
            }
            let found = genotype(&alpha);
            found.check().unwrap();
            let pair = found.get::<CellPair<DartsOp>>().unwrap();
            for (node, edges) in pair.normal.nodes.iter().enumerate() {
                let sources: HashSet<usize> = edges.iter().map(|e| e.from).collect();
                assert_eq!(sources.len(), 2);
                assert!(edges.iter().all(|e| e.op != DartsOp::None && e.from < node + 2));
            }
        }
    }

    #[test]
    fn rows_are_ranked_by_probability_and_not_by_logit() {
        let alpha = Tensor::zeros([2, 14, 8], (Kind::Double, Device::Cpu));
        // Source 0 of the first node has the larger logit, but `none` takes its probability. Node 1 (rows 2..5): sources 1 and 2 win.
        let set = |row: i64, op: i64, v: f64| drop(alpha.select(0, 0).select(0, row).select(0, op).fill_(v));
        set(2, 4, 3.0);
        set(2, 0, 9.0);
        set(3, 5, 2.0);
        set(4, 6, 1.0);
        let found = genotype(&alpha);
        assert_eq!(
            found.get::<CellPair<DartsOp>>().unwrap().normal.nodes[1],
            [Edge { op: DartsOp::SepConv5, from: 1 }, Edge { op: DartsOp::DilConv3, from: 2 }]
        );
    }

    #[test]
    fn ties_go_to_the_lower_source_and_operation() {
        let found = genotype(&Tensor::zeros([2, 14, 8], (Kind::Double, Device::Cpu)));
        for node in &found.get::<CellPair<DartsOp>>().unwrap().reduce.nodes {
            assert_eq!(*node, [Edge { op: DartsOp::MaxPool3, from: 0 }, Edge { op: DartsOp::MaxPool3, from: 1 }]);
        }
    }

    #[test]
    fn entropy_is_that_of_a_uniform_choice_at_the_start() {
        assert!((entropy(&random(1, 1e-3)) - 8f64.ln()).abs() < 1e-5);
        assert!(entropy(&random(1, 10.0)) < 1.0);
    }
}
