//! DARTS in the space of NAS-Bench-201, as that paper runs it (Dong, Yang 2020, section 5; released code): one row of logits an edge for all cells, and the strongest operation of
//! every edge, `none` included.

use crate::error::{Result, usage};
use crate::gradient::Mixed;
use crate::gradient::alpha::{self, mixed, rows};
use crate::network::BenchSupernet;
use crate::nn::{Pass, Table, Weights};
use crate::seed::Rng;
use crate::space::nas_bench_201::EDGES;
use crate::space::{Architecture, BenchCell, BenchOp, InputShape, enas_micro};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Operations an edge mixes.
const OPS: usize = BenchOp::ALL.len();

/// The supernet with its logits, [6, 5].
pub struct MixedBench {
    net: BenchSupernet,
    alpha: Tensor,
}

/// Refuses a number of cells that no network of the space has.
pub fn check(cells: usize) -> Result<()> {
    let wrong = || usage!("search.cells = {cells}: a network of NAS-Bench-201 has 3 N + 2 cells, 5 at the least");
    enas_micro::reductions(cells).map(drop).ok_or_else(wrong)
}

impl MixedBench {
    /// With logits near zero; see [`BenchSupernet::declare`].
    pub fn new(input: InputShape, channels: i64, cells: usize, affine: bool, rng: &mut Rng, device: Device) -> Result<Self> {
        let alpha = alpha::initial(&[EDGES.len() as i64, OPS as i64], rng, device, Kind::Float);
        Ok(Self { net: BenchSupernet::declare(input, channels, cells, affine)?, alpha })
    }

    /// Softmax over every row, on the host.
    fn probabilities(&self) -> Vec<Vec<f64>> {
        rows(&self.alpha.detach().to_device(Device::Cpu).to_kind(Kind::Double).softmax(-1, None::<Kind>))
    }
}

impl Mixed for MixedBench {
    fn table(&self) -> &Table {
        self.net.table()
    }

    fn alpha(&self) -> Vec<&Tensor> {
        vec![&self.alpha]
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Tensor {
        // p = softmax(alpha), one scalar an edge and operation
        let p = self.alpha.softmax(-1, None::<Kind>).reshape([-1]).unbind(0);
        let training = pass.training;
        self.net.forward(w, x, pass, |edge, ops, x| Some(mixed(ops, &p[edge * OPS..][..OPS], |op| op.adds(w, x, training))))
    }

    /// Ties go to the lower operation.
    fn genotype(&self) -> Architecture {
        let rows = self.probabilities();
        let strongest = |row: &[f64]| (1..OPS).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        BenchCell([0, 1, 2, 3, 4, 5].map(|edge| BenchOp::ALL[strongest(&rows[edge])])).into()
    }

    fn figures(&self) -> BTreeMap<String, f64> {
        let entropy = self.probabilities().iter().map(|row| alpha::entropy(row)).sum::<f64>() / EDGES.len() as f64;
        let skips = self.genotype().get::<BenchCell>().map_or(0, |cell| cell.count(BenchOp::Skip));
        [("alpha_entropy".to_string(), entropy), ("normal_skips".to_string(), skips as f64)].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::cross_entropy;
    use crate::seed::Streams;

    const DIGITS: InputShape = InputShape { channels: 1, height: 8, width: 8, classes: 10 };

    fn net(affine: bool) -> MixedBench {
        let net = MixedBench::new(DIGITS, 2, 5, affine, &mut Streams::new(1).rng("alpha", 0), Device::Cpu).unwrap();
        MixedBench { alpha: net.alpha.detach().to_kind(Kind::Double).set_requires_grad(true), ..net }
    }

    fn with(net: MixedBench, values: &[[f64; OPS]; 6]) -> MixedBench {
        MixedBench { alpha: Tensor::from_slice2(values).set_requires_grad(true), ..net }
    }

    fn double(net: &MixedBench) -> Weights {
        Weights::init(net.table(), &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Double)
    }

    fn images() -> Tensor {
        (Tensor::arange(4 * 64, (Kind::Double, Device::Cpu)) * 0.7).sin().view([4, 1, 8, 8])
    }

    #[test]
    fn logits_start_near_zero_with_the_entropy_of_a_uniform_choice() {
        let net = net(false);
        assert_eq!(net.alpha.size(), [6, 5]);
        let deviation = net.alpha.std(true).double_value(&[]);
        assert!((3e-4..2e-3).contains(&deviation), "{deviation}");
        assert!((net.figures()["alpha_entropy"] - 5f64.ln()).abs() < 1e-5);
    }

    #[test]
    fn every_edge_keeps_its_strongest_operation_none_included() {
        use BenchOp::{AvgPool3, Conv1, Conv3, None, Skip};
        let mut values = [[0.0; OPS]; 6];
        for (edge, op) in [(1, Skip), (2, Conv1), (3, Conv3), (4, AvgPool3)] {
            values[edge][op as usize] = 0.1;
        }
        let found = with(net(false), &values);
        // Ties, on the first edge and the last, go to the first operation.
        assert_eq!(found.genotype().get(), Some(&BenchCell([None, Skip, Conv1, Conv3, AvgPool3, None])));
        assert_eq!(found.figures()["normal_skips"], 1.0);
        for seed in 0..50 {
            let alpha = alpha::initial(&[6, 5], &mut Streams::new(seed).rng("alpha", 0), Device::Cpu, Kind::Double);
            MixedBench { alpha, ..net(false) }.genotype().check().unwrap();
        }
    }

    #[test]
    fn one_hot_logits_make_the_supernet_the_network_of_its_cell() {
        tch::set_num_threads(1);
        let cell = BenchCell::sample(&BenchOp::ALL, &mut Streams::new(8).rng("sample", 0));
        let net = with(net(true), &cell.0.map(|op| [0, 1, 2, 3, 4].map(|k| if k == op as usize { 60.0 } else { 0.0 })));
        let w = double(&net);
        let ours = net.forward(&w, &images(), &mut Pass::by_batch());
        let child = net.net.forward(&w, &images(), &mut Pass::by_batch(), |edge, ops, x| ops[cell.0[edge] as usize].adds(&w, x, true));
        assert!(ours.allclose(&child, 1e-8, 1e-8, false));
        assert_eq!(net.genotype().get(), Some(&cell));
    }

    #[test]
    fn gradients_agree_with_central_differences_and_every_parameter_takes_part() {
        tch::set_num_threads(1);
        for affine in [false, true] {
            let net = net(affine);
            let w = double(&net);
            let labels = Tensor::from_slice(&[0i64, 1, 1, 0]);
            let loss = |w: &Weights| cross_entropy(&net.forward(w, &images(), &mut Pass::by_batch()), &labels);
            w.check_gradient(loss, 20, 1e-6);
            let mut inputs: Vec<&Tensor> = w.params().iter().collect();
            inputs.push(&net.alpha);
            let gradients = Tensor::run_backward(&[loss(&w)], &inputs, false, false);
            assert!(gradients.iter().all(|g| g.defined() && g.isfinite().all().int64_value(&[]) == 1));
            let of_alpha = &gradients[gradients.len() - 1];
            for i in 0..30 {
                let at = |by: f64| {
                    tch::no_grad(|| {
                        let _ = net.alpha.view([-1]).get(i).g_add_scalar_(by);
                        let value = loss(&w).double_value(&[]);
                        let _ = net.alpha.view([-1]).get(i).g_add_scalar_(-by);
                        value
                    })
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                let error = (difference - of_alpha.reshape([-1]).double_value(&[i])).abs();
                assert!(error < 1e-7 + 1e-5 * difference.abs(), "logit {i}: {error}");
            }
        }
    }
}
