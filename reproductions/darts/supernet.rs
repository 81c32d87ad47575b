//! The search network: every edge of every cell mixes all operations (paper, equation 2).

use super::alpha::OPS;
use crate::gradient::alpha::{mixed, offset};
use crate::network::{Candidate, Form, Preprocess, Stem, is_reduction};
use crate::nn::{Linear, Table, Weights, global_average};
use crate::space::darts::{EDGES, NODES};
use crate::space::{DartsOp, InputShape};
use tch::{Kind, Tensor};

/// Stem, mixed cells, global average pooling, linear classifier.
pub struct Supernet {
    /// What it declares; alpha is not in it.
    pub table: Table,
    stem: Stem,
    pub(super) cells: Vec<MixedCell>,
    classifier: Linear,
}

pub(super) struct MixedCell {
    pub(super) reduction: bool,
    pub(super) preprocess: Preprocess,
    /// `[edge][op]`
    pub(super) edges: Vec<Vec<Candidate>>,
}

impl Supernet {
    /// Declares `cells` cells that start with `channels` channels.
    pub fn declare(input: InputShape, channels: i64, cells: usize) -> Self {
        let mut table = Table::default();
        let t = &mut table;
        let stem = Stem::declare(t, input.channels, channels);
        let (mut older, mut newer, mut width, mut previous_reduces) = (stem.channels, stem.channels, channels, false);
        let cells = (0..cells)
            .map(|index| {
                let reduction = is_reduction(index, cells);
                if reduction {
                    width *= 2;
                }
                let cell = t.scope(format!("cell{index}"), |t| MixedCell::declare(t, (older, newer), width, reduction, previous_reduces));
                (older, newer, previous_reduces) = (newer, NODES as i64 * width, reduction);
                cell
            })
            .collect();
        let classifier = Linear::declare(t, "classifier", newer, input.classes);
        Self { stem, cells, classifier, table }
    }

    /// Class scores [N, classes] of images [N, C, H, W] under logits alpha [2, 14, 8].
    pub fn forward(&self, w: &Weights, alpha: &Tensor, x: &Tensor, training: bool) -> Tensor {
        // p = softmax(alpha), one scalar an edge and operation
        let p = alpha.softmax(-1, None::<Kind>).reshape([-1]);
        let stem = self.stem.forward(w, x, training);
        if let Some(features) = self.features_blocked(w, &p, &stem, training) {
            return self.classifier.forward(w, &features);
        }
        let p = p.unbind(0);
        let (normal, reduce) = p.split_at(EDGES * OPS);
        let (mut older, mut newer) = (stem.shallow_clone(), stem);
        for cell in &self.cells {
            let out = cell.forward(w, if cell.reduction { reduce } else { normal }, &older, &newer, training);
            (older, newer) = (newer, out);
        }
        self.classifier.forward(w, &global_average(&newer))
    }
}

impl MixedCell {
    fn declare(t: &mut Table, inputs: (i64, i64), channels: i64, reduction: bool, previous_reduces: bool) -> Self {
        let preprocess = Preprocess::declare(t, inputs.0, inputs.1, channels, previous_reduces, false);
        let mut edges = Vec::with_capacity(EDGES);
        for node in 0..NODES {
            for from in 0..node + 2 {
                let stride = if reduction && from < 2 { 2 } else { 1 };
                let name = format!("node{}.from{from}", node + 2);
                edges.push(
                    t.scope(name, |t| DartsOp::ALL.map(|op| Candidate::declare(t, op.name(), op, channels, stride, Form::Search)).into()),
                );
            }
        }
        Self { reduction, preprocess, edges }
    }

    fn forward(&self, w: &Weights, p: &[Tensor], older: &Tensor, newer: &Tensor, training: bool) -> Tensor {
        let mut states = Vec::from(self.preprocess.forward(w, older, newer, training)); // each [N, C, H, W]
        for node in 0..NODES {
            let sum = (0..node + 2)
                .map(|from| {
                    let row = offset(node) + from;
                    mixed(&self.edges[row], &p[row * OPS..][..OPS], |op| op.adds(w, &states[from], training))
                })
                .reduce(|a, b| a + b)
                .expect("a node has sources");
            states.push(sum);
        }
        Tensor::cat(&states[2..], 1) // [N, 4 C, H', W']
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::alpha;
    use super::*;
    use crate::nn::{cross_entropy, plainly};
    use crate::seed::Streams;
    use rand_distr::Distribution;
    use tch::Device;

    const CIFAR: InputShape = InputShape { channels: 3, height: 32, width: 32, classes: 10 };

    fn double(net: &Supernet) -> Weights {
        Weights::init(&net.table, &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Double)
    }

    #[test]
    fn weights_of_the_papers_supernet_by_cell() {
        let net = Supernet::declare(CIFAR, 16, 8);
        let of = |scope: &str| net.table.count_if(|n| n.starts_with(scope));
        let cells: Vec<u64> = (0..8).map(|i| of(&format!("cell{i}."))).collect();
        assert_eq!(cells, [45_888, 46_144, 144_000, 137_856, 139_904, 484_608, 460_032, 468_224]);
        assert_eq!((of("stem."), of("classifier.")), (1_296 + 96, 2_570));
        assert_eq!(net.table.count(), 1_930_618);
        assert_eq!(Supernet::declare(InputShape { channels: 1, ..CIFAR }, 16, 8).table.count(), 1_929_754);
    }

    #[test]
    fn weights_of_the_small_supernets() {
        let digits = InputShape { channels: 1, height: 8, width: 8, classes: 10 };
        for (channels, cells, weights) in [(4, 3, 72_638), (8, 5, 393_778), (4, 5, 135_966)] {
            assert_eq!(Supernet::declare(digits, channels, cells).table.count(), weights);
        }
    }

    #[test]
    fn odd_and_even_sizes_run() {
        let alpha = alpha::initial(&mut Streams::new(1).rng("alpha", 0), Device::Cpu, Kind::Double);
        for height in 8..=65 {
            let width = 73 - height;
            let net = Supernet::declare(InputShape { channels: 1, height, width, classes: 2 }, 2, 3);
            let x = Tensor::ones([2, 1, height, width], (Kind::Double, Device::Cpu));
            assert_eq!(net.forward(&double(&net), &alpha, &x, true).size(), [2, 2], "{height}x{width}");
        }
    }

    #[test]
    fn one_hot_logits_make_an_edge_its_operation() {
        let mut t = Table::default();
        let ops = DartsOp::ALL.map(|op| Candidate::declare(&mut t, op.name(), op, 3, 1, Form::Search));
        let w = Weights::init(&t, &mut Streams::new(4).rng("init", 0), Device::Cpu, Kind::Double);
        let x = Tensor::randn([4, 3, 6, 6], (Kind::Double, Device::Cpu));
        for (k, op) in ops.iter().enumerate() {
            let logits = Tensor::zeros([8], (Kind::Double, Device::Cpu));
            let _ = logits.get(k as i64).fill_(50.0);
            let p = logits.softmax(-1, None::<Kind>).unbind(0);
            let difference = mixed(&ops, &p, |op| op.adds(&w, &x, true)) - op.forward(&w, &x, true);
            assert!(difference.abs().max().double_value(&[]) < 1e-6, "{op:?}");
        }
    }

    fn loss(net: &Supernet, w: &Weights, alpha: &Tensor) -> Tensor {
        let pixels: Vec<f64> = rand_distr::StandardNormal.sample_iter(Streams::new(9).rng("pixels", 0)).take(4 * 64).collect();
        let x = Tensor::from_slice(&pixels).view([4, 1, 8, 8]);
        cross_entropy(&net.forward(w, alpha, &x, true), &Tensor::from_slice(&[0i64, 1, 1, 0]))
    }

    /// Class scores of images under weights and logits, by some form.
    pub type Forward<'a> = &'a dyn Fn(&Weights, &Tensor, &Tensor, bool) -> Tensor;

    /// Norm of the difference, relative to the norm of `b`.
    pub fn apart(a: &Tensor, b: &Tensor) -> f64 {
        ((a - b).norm() / (b.norm() + 1e-30)).double_value(&[])
    }

    /// Loss, gradients of alpha and of all weights, running statistics after them, and scores by them.
    pub fn everything(net: &Supernet, forward: Forward, kind: Kind, images: i64, [height, width]: [i64; 2]) -> Vec<Tensor> {
        let w = Weights::init(&net.table, &mut Streams::new(2).rng("init", 0), Device::Cpu, kind);
        let alpha = alpha::initial(&mut Streams::new(1).rng("alpha", 0), Device::Cpu, kind);
        let pixels: Vec<f64> =
            rand_distr::StandardNormal.sample_iter(Streams::new(9).rng("pixels", 0)).take((images * height * width) as usize).collect();
        let x = Tensor::from_slice(&pixels).to_kind(kind).view([images, 1, height, width]);
        let loss = cross_entropy(&forward(&w, &alpha, &x, true), &Tensor::arange(images, (Kind::Int64, Device::Cpu)).remainder(2));
        let (of_alpha, of_weights) = w.gradients(&loss, &[&alpha]);
        let score = tch::no_grad(|| forward(&w, &alpha, &x, false));
        vec![loss.detach(), of_weights, of_alpha[0].shallow_clone(), w.flat_stats().copy(), score]
    }

    #[test]
    fn nodes_as_sums_are_the_plain_form() {
        tch::set_num_threads(1);
        for (channels, cells, images, side) in [(4, 3, 8, 8), (3, 5, 5, 9), (2, 8, 3, 11)] {
            let net = Supernet::declare(InputShape { channels: 1, height: side, width: side, classes: 2 }, channels, cells);
            for (kind, within) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
                let every = || everything(&net, &|w, alpha, x, training| net.forward(w, alpha, x, training), kind, images, [side, side]);
                let (ours, plain) = (every(), plainly(every));
                for (i, (a, b)) in ours.iter().zip(&plain).enumerate() {
                    let difference = apart(a, b);
                    assert!(difference < within, "{channels} channels, {cells} cells, {kind:?}, part {i}: {difference}");
                }
            }
        }
    }

    #[test]
    fn alpha_gradients_agree_with_central_differences() {
        // Operations this small only wait for each other's threads.
        tch::set_num_threads(1);
        let net = Supernet::declare(InputShape { channels: 1, height: 8, width: 8, classes: 2 }, 2, 3);
        let w = double(&net);
        let alpha = alpha::initial(&mut Streams::new(1).rng("alpha", 0), Device::Cpu, Kind::Double);
        let gradient = &Tensor::run_backward(&[loss(&net, &w, &alpha)], &[&alpha], false, false)[0];
        let rows = gradient.sum_dim_intlist([2i64].as_slice(), false, Kind::Double).abs().max().double_value(&[]);
        assert!(rows < 1e-12, "softmax rows have a null direction, found {rows}");
        let step = 1e-5;
        let numeric: Vec<f64> = (0..2 * EDGES * OPS)
            .map(|i| {
                let at = |sign: f64| {
                    let moved = alpha.detach().copy();
                    let _ = moved.view([-1]).get(i as i64).g_add_scalar_(sign * step);
                    tch::no_grad(|| loss(&net, &w, &moved).double_value(&[]))
                };
                (at(1.0) - at(-1.0)) / (2.0 * step)
            })
            .collect();
        let numeric = Tensor::from_slice(&numeric);
        let error = (gradient.reshape([-1]) - &numeric).norm().double_value(&[]) / numeric.norm().double_value(&[]);
        assert!(error < 1e-6, "relative error {error}");
    }

    #[test]
    fn alpha_and_weights_are_disjoint_and_complete() {
        let net = Supernet::declare(InputShape { channels: 1, height: 8, width: 8, classes: 2 }, 2, 3);
        let w = double(&net);
        let alpha = alpha::initial(&mut Streams::new(1).rng("alpha", 0), Device::Cpu, Kind::Double);
        let mut inputs: Vec<&Tensor> = w.params().iter().collect();
        inputs.push(&alpha);
        let gradients = Tensor::run_backward(&[loss(&net, &w, &alpha)], &inputs, false, false);
        assert!(gradients.iter().all(|g| g.defined() && g.isfinite().all().int64_value(&[]) == 1), "every parameter takes part");
        assert_eq!(w.flat().numel() as u64, net.table.count());
        let own = |t: &Tensor| t.data_ptr() as usize;
        let flat = own(w.flat())..own(w.flat()) + 8 * w.flat().numel();
        assert!(!flat.contains(&own(&alpha)), "alpha is not among the weights");
    }
}
