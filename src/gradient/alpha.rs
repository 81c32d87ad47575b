//! Logits alpha and what they mean, for cells whose node i reads the i + 2 states before it: a row of logits an edge.

use crate::seed::Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

/// Standard deviation of the initial logits.
pub const INITIAL_SPREAD: f64 = 1e-3;

/// First row of node `node` (0-based); its row for source j is that plus j. Of the number of nodes it is the number of edges.
pub fn offset(node: usize) -> usize {
    node * (node + 3) / 2
}

/// Logits near zero, a leaf of the graph.
pub fn initial(shape: &[i64], rng: &mut Rng, device: Device, kind: Kind) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f64> = StandardNormal.sample_iter(rng).take(count).map(|z: f64| INITIAL_SPREAD * z).collect();
    Tensor::from_slice(&values).view(shape).to_kind(kind).to_device(device).set_requires_grad(true)
}

/// Rows of probabilities, on the host.
pub fn rows(probabilities: &Tensor) -> Vec<Vec<f64>> {
    let columns = *probabilities.size().last().expect("a row an edge") as usize;
    let flat = probabilities.detach().to_device(Device::Cpu).to_kind(Kind::Double).reshape([-1]);
    let flat = Vec::<f64>::try_from(&flat).expect("a flat tensor of doubles");
    flat.chunks_exact(columns).map(<[f64]>::to_vec).collect()
}

/// Entropy of a row, in nats.
pub fn entropy(row: &[f64]) -> f64 {
    -row.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

/// Strongest operation of a row other than `none`, the first of equals.
pub fn strongest<O: Copy + PartialEq>(ops: &[O], none: O, row: &[f64]) -> (O, f64) {
    let real = ops.iter().copied().zip(row.iter().copied()).filter(|(op, _)| *op != none);
    real.reduce(|best, next| if next.1 > best.1 { next } else { best }).expect("an edge has operations")
}

/// The mixed edge (equation 2): sum over k of p_k op_k(x). `none`, for which `forward` gives nothing, adds nothing; its share of the softmax is all it has.
pub fn mixed<O>(ops: &[O], p: &[Tensor], forward: impl Fn(&O) -> Option<Tensor>) -> Tensor {
    let terms = ops.iter().zip(p).filter_map(|(op, p)| Some(forward(op)? * p));
    terms.reduce(|a, b| a + b).expect("an edge has operations")
}
