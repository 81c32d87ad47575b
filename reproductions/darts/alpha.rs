//! The architecture logits alpha and what they mean.

use crate::seed::Rng;
use crate::space::darts::{EDGES, KEPT, NODES};
use crate::space::{Architecture, Cell, CellPair, DartsOp, Edge};
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

/// Operations an edge mixes.
pub const OPS: usize = DartsOp::ALL.len();
/// Standard deviation of the initial logits.
const INITIAL_SPREAD: f64 = 1e-3;

/// One row of logits an edge, normal cell first: [2, 14, 8]. Shared by all cells of a kind.
pub fn initial(rng: &mut Rng, device: Device, kind: Kind) -> Tensor {
    let values: Vec<f64> = StandardNormal.sample_iter(rng).take(2 * EDGES * OPS).map(|z: f64| INITIAL_SPREAD * z).collect();
    Tensor::from_slice(&values).view([2, EDGES as i64, OPS as i64]).to_kind(kind).to_device(device).set_requires_grad(true)
}

/// First row of node `node` (0-based); its row for source j is that plus j.
pub fn offset(node: usize) -> usize {
    node * (node + 3) / 2
}

/// Softmax over every row, on the host: `[cell][edge][op]`.
pub fn probabilities(alpha: &Tensor) -> [Vec<[f64; OPS]>; 2] {
    let flat = alpha.detach().to_device(Device::Cpu).to_kind(Kind::Double).softmax(-1, None::<Kind>).reshape([-1]);
    let flat = Vec::<f64>::try_from(&flat).expect("a flat tensor of doubles");
    let rows: Vec<[f64; OPS]> = flat.chunks_exact(OPS).map(|row| row.try_into().expect("rows have one entry an operation")).collect();
    [rows[..EDGES].to_vec(), rows[EDGES..].to_vec()]
}

/// The discrete cells: every node keeps the two sources whose strongest operation other than `none` has the largest probability,
/// each with that operation. Ties go to the lower source and the lower operation.
pub fn genotype(alpha: &Tensor) -> Architecture {
    let [normal, reduce] = probabilities(alpha).map(|rows| discretise(&rows));
    CellPair { normal, reduce }.into()
}

fn discretise(rows: &[[f64; OPS]]) -> Cell<DartsOp> {
    let nodes = (0..NODES)
        .map(|node| {
            let mut sources: Vec<(f64, Edge<DartsOp>)> = (0..node + 2)
                .map(|from| {
                    let (op, score) = strongest(&rows[offset(node) + from]);
                    (score, Edge { op, from })
                })
                .collect();
            sources.sort_by(|a, b| b.0.total_cmp(&a.0));
            sources.truncate(KEPT);
            [sources[0].1, sources[1].1]
        })
        .collect();
    Cell::new(nodes, (2..2 + NODES).collect())
}

/// Strongest operation other than `none`, the first of equals.
fn strongest(row: &[f64; OPS]) -> (DartsOp, f64) {
    let first = (DartsOp::ALL[1], row[1]);
    (2..OPS).fold(first, |best, k| if row[k] > best.1 { (DartsOp::ALL[k], row[k]) } else { best })
}

/// Mean entropy of the rows, in nats; ln 8 when all operations are equally likely.
pub fn entropy(alpha: &Tensor) -> f64 {
    let [normal, reduce] = probabilities(alpha);
    let of_row = |row: &[f64; OPS]| -row.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    normal.iter().chain(&reduce).map(of_row).sum::<f64>() / (2 * EDGES) as f64
}

/// Skip connections in the normal cell: a sign of collapse when they take over.
pub fn normal_skips(architecture: &Architecture) -> usize {
    let edges = architecture.get::<CellPair<DartsOp>>().map(|pair| pair.normal.nodes.iter().flatten());
    edges.into_iter().flatten().filter(|e| e.op == DartsOp::SkipConnect).count()
}

#[cfg(test)]
mod tests {
    use super::*;
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
