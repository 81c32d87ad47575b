//! The search network: every edge of every cell mixes all operations of its set.

use super::alpha::place;
use crate::error::Result;
use crate::gradient::alpha::{mixed, offset};
use crate::network::{NasUnetBackbone, NasUnetPreprocess, SegmentBlock};
use crate::nn::{Pass, Table, Weights, sum_resized};
use crate::space::{Direction, InputShape, OpSet, SegmentOp, UnetSize};
use tch::Tensor;

/// Stems, mixed cells, head. The stems have `nodes` times the cells' width; norms inside cells neither scale nor shift; everything starts
/// as PyTorch starts it.
pub struct NasUnetSupernet {
    /// What it declares; alpha is not in it.
    pub table: Table,
    backbone: NasUnetBackbone<MixedCell>,
}

struct MixedCell {
    preprocess: NasUnetPreprocess,
    nodes: usize,
    /// `[edge][op]`, each edge with the set that it mixes.
    edges: Vec<(OpSet, Vec<SegmentBlock>)>,
}

impl NasUnetSupernet {
    /// Declares cells of `nodes` nodes at `size.channels` channels for images of any height and width.
    pub fn declare(input: InputShape, nodes: usize, size: UnetSize) -> Result<Self> {
        let mut table = Table::default();
        let width = nodes as i64 * size.channels;
        let backbone = NasUnetBackbone::declare(&mut table, input, size, (width, width), |t, direction, inputs| {
            MixedCell::declare(t, direction, nodes, inputs, size.channels)
        })?;
        Ok(Self { table, backbone })
    }

    /// Logits [N, classes, H, W] of images [N, C, H, W] under the probabilities down [E, 6], up [E, 4] and normal [E, 7]. A training pass
    /// drops channels before the head with the probability that it was given (0.1 in the public code).
    pub fn forward(&self, w: &Weights, probabilities: &[Tensor; 3], x: &Tensor, pass: &mut Pass) -> Tensor {
        // One scalar an edge and operation.
        let p = probabilities.each_ref().map(|p| p.reshape([-1]).unbind(0));
        self.backbone.forward(w, x, pass, |cell, older, newer| cell.forward(w, &p, older, newer))
    }
}

impl MixedCell {
    fn declare(t: &mut Table, direction: Direction, nodes: usize, inputs: [i64; 2], channels: i64) -> Self {
        let preprocess = NasUnetPreprocess::declare(t, direction, inputs, channels, false);
        let mut edges = Vec::new();
        for (node, from) in (0..nodes).flat_map(|node| (0..node + 2).map(move |from| (node, from))) {
            let set = direction.set(from);
            let declare = |t: &mut Table, op: &SegmentOp| SegmentBlock::declare(t, op.name(), *op, channels, false);
            let name = format!("node{}.from{from}", node + 2);
            edges.push((set, t.scope(name, |t| set.ops().iter().map(|op| declare(t, op)).collect())));
        }
        Self { preprocess, nodes, edges }
    }

    fn forward(&self, w: &Weights, p: &[Vec<Tensor>; 3], older: &Tensor, newer: &Tensor) -> Tensor {
        let mut states = self.preprocess.forward(w, older, newer);
        for node in 0..self.nodes {
            let mixed: Vec<Tensor> = (0..node + 2)
                .map(|from| {
                    let row = offset(node) + from;
                    let (set, ops) = &self.edges[row];
                    let forward = |op: &SegmentBlock| (!matches!(op, SegmentBlock::Zero)).then(|| op.forward(w, &states[from]));
                    mixed(ops, &p[place(*set)][row * ops.len()..][..ops.len()], forward)
                })
                .collect();
            states.push(sum_resized(&mixed));
        }
        Tensor::cat(&states[2..], 1) // [N, nodes C, H', W']
    }
}

#[cfg(test)]
mod tests {
    use super::super::alpha::Alpha;
    use super::*;
    use crate::nn::cross_entropy;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    fn net(channels: i64, depth: usize, nodes: usize, input: (i64, i64)) -> NasUnetSupernet {
        let input = InputShape { channels: input.0, height: 64, width: 64, classes: input.1 };
        NasUnetSupernet::declare(input, nodes, UnetSize { channels, depth }).unwrap()
    }

    fn weights(net: &NasUnetSupernet) -> Weights {
        Weights::init(&net.table, &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Double)
    }

    fn alpha(nodes: usize) -> Alpha {
        let alpha = Alpha::initial(nodes, &mut Streams::new(1).rng("alpha", 0), Device::Cpu, Kind::Double);
        let logits = alpha.logits.each_ref().map(|l| (l.detach() * 500.0).set_requires_grad(true));
        Alpha { logits, ..alpha }
    }

    #[test]
    fn weights_of_the_public_codes_supernets() {
        // The public code declares and never uses a norm with scale and shift in every `none` and after the head; its counts hold them.
        let counts = |channels: i64, depth: usize, nodes: usize, input: (i64, i64)| {
            let normal = |d: Direction| (0..nodes).flat_map(|n| 0..n + 2).filter(|from| d.set(*from) == OpSet::Normal).count();
            let nones = depth * normal(Direction::Down) + (depth + 1) * normal(Direction::Up);
            let unused = 2 * input.1 as u64 + 2 * channels as u64 * nones as u64;
            (net(channels, depth, nodes, input).table.count() + unused, unused)
        };
        assert_eq!([2, 3, 4].map(|nodes| counts(16, 4, nodes, (3, 21))), [(342_871, 650), (614_091, 1_386), (951_848, 2_410)]);
        assert_eq!(counts(16, 4, 3, (1, 2)).0, 612_181);
        assert_eq!((counts(16, 2, 2, (1, 2)).0, counts(16, 3, 3, (1, 2)).0), (190_013, 476_323));
    }

    #[test]
    fn the_output_has_the_size_of_the_input_whatever_that_is() {
        let pairs =
            [(16, 16), (32, 32), (64, 96), (16, 130), (130, 17), (33, 31), (48, 65), (97, 19), (100, 48), (61, 127), (128, 101), (129, 23)];
        for (channels, depth, nodes) in [(2, 4, 2), (3, 2, 3)] {
            let net = net(channels, depth, nodes, (1, 2));
            let w = Weights::init(&net.table, &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Float);
            let p = alpha(nodes).softmax().map(|p| p.detach().to_kind(Kind::Float));
            for (h, width) in pairs {
                let x = Tensor::rand([1, 1, h, width], (Kind::Float, Device::Cpu));
                let out = tch::no_grad(|| net.forward(&w, &p, &x, &mut Pass::evaluation()));
                assert_eq!(out.size(), [1, 2, h, width]);
                assert_eq!(out.isfinite().all().int64_value(&[]), 1);
            }
        }
    }

    #[test]
    fn an_image_is_scored_alike_in_any_company_and_channels_are_dropped_in_training_alone() {
        let net = net(16, 2, 2, (1, 2));
        let (w, p) = (weights(&net), alpha(2).softmax());
        let x = Tensor::rand([3, 1, 21, 34], (Kind::Double, Device::Cpu));
        let all = net.forward(&w, &p, &x, &mut Pass::by_batch());
        for i in 0..3 {
            let alone = net.forward(&w, &p, &x.narrow(0, i, 1), &mut Pass::evaluation().with_dropout(0.1));
            assert!(all.narrow(0, i, 1).allclose(&alone, 1e-9, 1e-9, false));
        }
        let training = |p| Pass::training(0.0, Streams::new(3).rng("dropout", 0)).with_dropout(p);
        assert!(net.forward(&w, &p, &x, &mut training(0.0)).equal(&all));
        assert!(!net.forward(&w, &p, &x, &mut training(0.3)).allclose(&all, 1e-3, 1e-3, false));
    }

    #[test]
    fn one_hot_probabilities_make_an_edge_its_operation() {
        for set in [OpSet::Down, OpSet::Up, OpSet::Normal] {
            let mut t = Table::default();
            let ops: Vec<SegmentBlock> = set.ops().iter().map(|op| SegmentBlock::declare(&mut t, op.name(), *op, 3, false)).collect();
            let w = Weights::init(&t, &mut Streams::new(4).rng("init", 0), Device::Cpu, Kind::Double);
            let x = Tensor::rand([2, 3, 6, 6], (Kind::Double, Device::Cpu));
            for (k, op) in ops.iter().enumerate() {
                let p: Vec<Tensor> = (0..ops.len()).map(|j| Tensor::from(f64::from(u8::from(j == k)))).collect();
                let forward = |op: &SegmentBlock| (!matches!(op, SegmentBlock::Zero)).then(|| op.forward(&w, &x));
                assert!(mixed(&ops, &p, forward).equal(&op.forward(&w, &x)), "{op:?}");
            }
        }
    }

    fn loss(net: &NasUnetSupernet, w: &Weights, alpha: &Alpha) -> Tensor {
        let pixels: Vec<f64> = (0..2 * 16 * 15).map(|i| f64::from(i * i % 97) / 50.0 - 1.0).collect();
        let x = Tensor::from_slice(&pixels).view([2, 1, 16, 15]);
        let masks = x.squeeze_dim(1).gt(0.1).to_kind(Kind::Int64);
        cross_entropy(&net.forward(w, &alpha.softmax(), &x, &mut Pass::evaluation()), &masks)
    }

    #[test]
    fn gradients_in_weights_agree_with_central_differences() {
        // Operations this small only wait for each other's threads.
        tch::set_num_threads(1);
        let net = net(3, 2, 2, (1, 2));
        let alpha = alpha(2);
        weights(&net).check_gradient(|w| loss(&net, w, &alpha), 80, 1e-6);
    }

    #[test]
    fn gradients_in_alpha_agree_with_central_differences_and_unused_rows_have_none() {
        tch::set_num_threads(1);
        let nodes = 3;
        let net = net(3, 2, nodes, (1, 2));
        let (w, alpha) = (weights(&net), alpha(nodes));
        let gradients = Tensor::run_backward(&[loss(&net, &w, &alpha)], &alpha.logits, false, false);
        // A larger step moves some pixel over the kink of a ReLU.
        let step = 1e-6;
        let (mut error, mut norm) = (0.0, 0.0);
        for (m, gradient) in gradients.iter().enumerate() {
            let exact = Vec::<f64>::try_from(gradient.reshape([-1])).unwrap();
            for (i, exact) in exact.iter().enumerate() {
                let at = |sign: f64| {
                    let logits = alpha.logits.each_ref().map(|l| l.detach().copy());
                    let _ = logits[m].view([-1]).get(i as i64).g_add_scalar_(sign * step);
                    tch::no_grad(|| loss(&net, &w, &Alpha { nodes, logits }).double_value(&[]))
                };
                let numeric = (at(1.0) - at(-1.0)) / (2.0 * step);
                error += (numeric - exact).powi(2);
                norm += numeric.powi(2);
            }
        }
        assert!((error / norm).sqrt() < 1e-6, "relative error {}", (error / norm).sqrt());
        let used = |row: usize| {
            let node = (0..nodes).rfind(|n| offset(*n) <= row).unwrap();
            let from = row - offset(node);
            [from < 2, from == 1, from != 1]
        };
        for row in 0..offset(nodes) {
            for (m, used) in used(row).into_iter().enumerate() {
                let size = gradients[m].get(row as i64).abs().sum(Kind::Double).double_value(&[]);
                assert_eq!(size > 0.0, used, "matrix {m}, row {row}: {size}");
            }
        }
    }

    #[test]
    fn alpha_and_weights_are_disjoint_and_all_take_part() {
        let net = net(3, 2, 2, (1, 2));
        let (w, alpha) = (weights(&net), alpha(2));
        let mut inputs: Vec<&Tensor> = w.params().iter().collect();
        inputs.extend(&alpha.logits);
        let gradients = Tensor::run_backward(&[loss(&net, &w, &alpha)], &inputs, false, false);
        assert!(gradients.iter().all(|g| g.defined() && g.isfinite().all().int64_value(&[]) == 1), "every parameter takes part");
        assert_eq!(w.flat().numel() as u64, net.table.count());
    }
}
