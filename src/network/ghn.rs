//! The networks of GHN: one block stacked, the maps halved and the width doubled after a third and two thirds (paper, section 5.1).

use super::auxiliary::Auxiliary;
use super::map::{Adapter, Map};
use crate::error::{Error, Result};
use crate::nn::{
    BatchNorm, Conv, ConvShape, FactorizedReduce, Linear, Network, Output, Pass, PoolKind, ReluConvBn, Table, Weights, global_average, pool,
};
use crate::space::{Cell, GhnOp, InputShape, NetSize};
use tch::Tensor;

/// One operation for both inputs of a node: the convolutions are shared, each input has its own norm.
#[derive(Clone, Debug)]
enum Operation {
    Identity,
    Pool { of: PoolKind, norms: [BatchNorm; 2] },
    Convs([ReluConvBn; 2]),
}

impl Operation {
    fn declare(t: &mut Table, op: GhnOp, width: i64, affine: bool) -> Self {
        let separable = |kernel, dilation| vec![ConvShape::depthwise(width, kernel, 1, dilation), ConvShape::pointwise(width, width, 1)];
        let mut pool = |of| Self::Pool { of, norms: ["norm0", "norm1"].map(|name| BatchNorm::declare(t, name, width, affine)) };
        let shapes = match op {
            GhnOp::Identity => return Self::Identity,
            GhnOp::MaxPool3 => return pool(PoolKind::Maximum),
            GhnOp::AvgPool3 => return pool(PoolKind::Average),
            GhnOp::Conv1 => vec![ConvShape::pointwise(width, width, 1)],
            GhnOp::SepConv3 => separable(3, 1),
            GhnOp::SepConv5 => separable(5, 1),
            GhnOp::DilConv3 => separable(3, 2),
            GhnOp::Conv1x7 => [(1, 7), (7, 1)].map(|kernel| ConvShape::dense(width, width, kernel, (1, 1))).into(),
        };
        let first = ReluConvBn::declare(t, "first", &shapes, affine);
        let second = first.sharing(t, "second", width, affine);
        Self::Convs([first, second])
    }

    fn forward(&self, w: &Weights, side: usize, x: &Tensor, training: bool) -> Tensor {
        match self {
            Self::Identity => x.shallow_clone(),
            Self::Pool { of, norms } => norms[side].forward(w, &pool(x, *of, 3, 1), training),
            Self::Convs(blocks) => blocks[side].forward(w, x, training),
        }
    }
}

/// Brings an input to the block's width and size.
#[derive(Clone, Debug)]
struct Entry {
    /// Takes every second row and column first: with a block between two reductions the older input is four times as high.
    thins: bool,
    adapter: Adapter,
}

impl Entry {
    fn declare(t: &mut Table, name: &str, from: Map, here: Map, affine: bool) -> Self {
        if from.same_size(here) {
            let shape = ConvShape::pointwise(from.channels, here.channels, 1);
            return Self { thins: false, adapter: Adapter::ReluConv(ReluConvBn::declare(t, name, &[shape], affine)) };
        }
        let adapter = Adapter::Reduce(FactorizedReduce::declare(t, name, from.channels, here.channels, affine));
        Self { thins: !from.halved().same_size(here), adapter }
    }

    fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        let x = if self.thins { x.slice(2, 0, None, 2).slice(3, 0, None, 2) } else { x.shallow_clone() };
        self.adapter.forward(w, &x, training)
    }
}

#[derive(Clone, Debug)]
struct Block {
    inputs: [Entry; 2],
    nodes: Vec<(Operation, [usize; 2])>,
    loose: Vec<usize>,
}

impl Block {
    fn declare(t: &mut Table, cell: &Cell<GhnOp>, sources: [Map; 2], here: Map, affine: bool) -> Self {
        let inputs = [0, 1].map(|i| Entry::declare(t, &format!("in{i}"), sources[i], here, affine));
        let node = |t: &mut Table, i: usize| {
            let [a, b] = cell.nodes[i];
            let op = t.scope(format!("node{}", i + 2), |t| Operation::declare(t, a.op, here.channels, affine));
            (op, [a.from, b.from])
        };
        let nodes = (0..cell.nodes.len()).map(|i| node(t, i)).collect();
        Self { inputs, nodes, loose: cell.concat.clone() }
    }

    fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, pass: &mut Pass) -> Tensor {
        let training = pass.training;
        let mut states = vec![self.inputs[0].forward(w, older, training), self.inputs[1].forward(w, newer, training)];
        for (op, from) in &self.nodes {
            let [a, b] = [0, 1].map(|side| {
                let out = op.forward(w, side, &states[from[side]], training);
                if matches!(op, Operation::Identity) { out } else { pass.drop_path(out) }
            });
            states.push(a + b);
        }
        let sum = self.loose[1..].iter().fold(states[self.loose[0]].shallow_clone(), |sum, s| sum + &states[*s]);
        sum / self.loose.len() as f64
    }
}

/// A stack of one block between a 3x3 convolution and a linear classifier of the averaged maps. The parameters of module m stand under `stem`,
/// `block{i}.in{0,1}`, `block{i}.node{state}` and `head`.
#[derive(Debug)]
pub struct GhnNetwork {
    table: Table,
    stem: (Conv, BatchNorm),
    blocks: Vec<Block>,
    auxiliary: Option<(usize, Auxiliary)>,
    head: Linear,
}

impl GhnNetwork {
    /// Declares it; without `affine` the norms neither scale nor shift, as where a hypernetwork gives all the weights.
    pub fn declare(cell: &Cell<GhnOp>, input: InputShape, size: NetSize, affine: bool) -> Result<Self> {
        if size.channels % 2 != 0 {
            return Err(Error::Usage(format!("a GHN network has an even width, not {}", size.channels)));
        }
        let mut t = Table::default();
        let stem = t.scope("stem", |t| {
            let shape = ConvShape::square(input.channels, size.channels, 3, 1);
            (Conv::declare(t, "conv0", shape), BatchNorm::declare(t, "norm", size.channels, affine))
        });
        let first = Map { channels: size.channels, height: input.height, width: input.width };
        let (mut older, mut newer, mut blocks, mut auxiliary) = (first, first, Vec::new(), None);
        for i in 0..size.cells {
            let halves = i == size.cells / 3 || i == 2 * size.cells / 3;
            let here = if halves { Map { channels: 2 * newer.channels, ..newer.halved() } } else { newer };
            blocks.push(t.scope(format!("block{i}"), |t| Block::declare(t, cell, [older, newer], here, affine)));
            (older, newer) = (newer, here);
            if size.auxiliary && i == 2 * size.cells / 3 {
                auxiliary = Some((i, Auxiliary::enas(&mut t, here, input.classes)?));
            }
        }
        let head = Linear::declare(&mut t, "head", newer.channels, input.classes);
        Ok(Self { table: t, stem, blocks, auxiliary, head })
    }
}

impl Network for GhnNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let stem = self.stem.1.forward(w, &self.stem.0.forward(w, x), pass.training);
        let (mut older, mut newer, mut auxiliary) = (stem.shallow_clone(), stem, None);
        for (i, block) in self.blocks.iter().enumerate() {
            pass.enter_cell(i, self.blocks.len());
            let out = block.forward(w, &older, &newer, pass);
            (older, newer) = (newer, out);
            if let Some((_, head)) = self.auxiliary.as_ref().filter(|(at, _)| *at == i && pass.training) {
                auxiliary = Some(head.forward(w, &newer));
            }
        }
        Output { logits: self.head.forward(w, &global_average(&newer)), auxiliary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::count;
    use crate::seed::Streams;
    use crate::space::{Edge, ghn};
    use tch::{Device, Kind};

    #[test]
    fn any_number_of_nodes_runs_at_any_size() {
        for (i, (side, nodes)) in [(32, 1), (28, 5), (8, 15), (9, 28), (8, 2)].into_iter().enumerate() {
            let architecture = ghn::sample(nodes, &mut Streams::new(4).rng("sample", i as u64)).into();
            let input = InputShape { channels: 1, height: side, width: side, classes: 10 };
            let net = build(&architecture, input, NetSize { channels: 4, cells: 3 + i, auxiliary: side > 20 }).unwrap();
            let w = Weights::init(net.table(), &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Float);
            let x = Tensor::rand([3, 1, side, side], (Kind::Float, Device::Cpu));
            let out = net.forward(&w, &x, &mut Pass::training(0.2, Streams::new(0).rng("drop path", 0)));
            assert_eq!(out.logits.size(), [3, 10]);
            assert_eq!(out.auxiliary.is_some(), side > 20);
            assert_eq!(w.gradient(&out.logits.sum(Kind::Float)).isfinite().all().int64_value(&[]), 1);
            assert_eq!(net.forward(&w, &x, &mut Pass::evaluation()).logits.size(), [3, 10]);
        }
    }

    #[test]
    fn random_blocks_of_15_nodes_have_the_papers_number_of_weights() {
        // Paper: 4.6 M, and 0.6 M as its spread over ten networks.
        let input = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
        let size = NetSize { channels: 32, cells: 18, auxiliary: false };
        let counts: Vec<f64> = (0..200)
            .map(|i| {
                let cell = ghn::sample(15, &mut Streams::new(7).rng("sample", i));
                count(&GhnNetwork::declare(&cell, input, size, true).unwrap()).0 as f64 / 1e6
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / 200.0;
        assert!((4.2..5.4).contains(&mean), "{mean} million");
    }

    #[test]
    fn a_node_adds_what_one_set_of_weights_makes_of_each_input() {
        let cell = ghn::sample(1, &mut Streams::new(0).rng("sample", 0));
        let cell = Cell { nodes: cell.nodes.iter().map(|e| e.map(|e| Edge { op: GhnOp::SepConv3, ..e })).collect(), ..cell };
        let input = InputShape { channels: 3, height: 8, width: 8, classes: 10 };
        let net = GhnNetwork::declare(&cell, input, NetSize { channels: 4, cells: 3, auxiliary: false }, false).unwrap();
        let names: Vec<&str> = net.table().names().filter(|n| n.starts_with("block0.node2")).collect();
        assert_eq!(names, ["block0.node2.first.conv0.weight", "block0.node2.first.conv1.weight"]);
        let w = Weights::init(net.table(), &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Double);
        let x = Tensor::rand([3, 4, 8, 8], (Kind::Double, Device::Cpu));
        let y = x.flip([2]);
        let node = &net.blocks[0].nodes[0].0;
        let both = node.forward(&w, 0, &x, true) + node.forward(&w, 1, &y, true);
        let swapped = node.forward(&w, 0, &y, true) + node.forward(&w, 1, &x, true);
        assert!(both.allclose(&swapped, 1e-12, 1e-12, false));
    }
}
