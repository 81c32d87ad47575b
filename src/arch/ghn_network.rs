//! The networks of GHN: one block stacked, the maps halved and the width doubled after a third and two thirds (paper, section 5.1).

use super::enas_network::Auxiliary;
use super::genotype::Cell;
use super::map::{Adapter, Map};
use super::{InputShape, NetSize};
use crate::error::{Error, Result};
use crate::nn::{
    BatchNorm, Conv, ConvShape, FactorizedReduce, Linear, Network, Op, Output, Pass, ReluConvBn, Table, Weights, global_average, pool,
};
use tch::Tensor;

/// One operation for both inputs of a node: the convolutions are shared, each input has its own norm.
#[derive(Clone, Debug)]
enum Operation {
    Identity,
    Pool { maximum: bool, norms: [BatchNorm; 2] },
    Convs([ReluConvBn; 2]),
}

impl Operation {
    fn declare(t: &mut Table, op: Op, width: i64, affine: bool) -> Self {
        let separable = |kernel, dilation| vec![ConvShape::depthwise(width, kernel, 1, dilation), ConvShape::pointwise(width, width, 1)];
        let line = |kernel, padding| ConvShape { kernel, padding, ..ConvShape::pointwise(width, width, 1) };
        let shapes = match op {
            Op::Identity => return Self::Identity,
            Op::MaxPool3 | Op::AvgPool3 => {
                let norms = ["norm0", "norm1"].map(|name| BatchNorm::declare(t, name, width, affine));
                return Self::Pool { maximum: op == Op::MaxPool3, norms };
            }
            Op::Conv1 => vec![ConvShape::pointwise(width, width, 1)],
            Op::SepConv3 => separable(3, 1),
            Op::SepConv5 => separable(5, 1),
            Op::DilConv3 => separable(3, 2),
            Op::Conv1x7 => vec![line((1, 7), (0, 3)), line((7, 1), (3, 0))],
            other => unreachable!("{} is no operation of a block", other.name()),
        };
        let first = ReluConvBn::declare(t, "first", &shapes, affine);
        let second = first.sharing(t, "second", width, affine);
        Self::Convs([first, second])
    }

    fn forward(&self, w: &Weights, side: usize, x: &Tensor, training: bool) -> Tensor {
        match self {
            Self::Identity => x.shallow_clone(),
            Self::Pool { maximum, norms } => norms[side].forward(w, &pool(x, *maximum, 3, 1), training),
            Self::Convs(blocks) => blocks[side].forward(w, x, training),
        }
    }
}

#[derive(Clone, Debug)]
struct Block {
    /// How each input is brought to the block's width and size, and whether every second row and column is taken before that: with a block between
    /// two reductions the older input is four times as high.
    inputs: [(Adapter, bool); 2],
    nodes: Vec<(Operation, [usize; 2])>,
    loose: Vec<usize>,
}

impl Block {
    fn declare(t: &mut Table, cell: &Cell, sources: [Map; 2], here: Map, affine: bool) -> Self {
        let width = here.channels;
        let inputs = [0, 1].map(|i| {
            let (name, map) = (format!("in{i}"), sources[i]);
            if map.same_size(here) {
                let shape = ConvShape::pointwise(map.channels, width, 1);
                (Adapter::ReluConv(ReluConvBn::declare(t, &name, &[shape], affine)), false)
            } else {
                let twice = !map.halved().same_size(here);
                (Adapter::Reduce(FactorizedReduce::declare(t, &name, map.channels, width, affine)), twice)
            }
        });
        let node = |t: &mut Table, i: usize| {
            let [a, b] = cell.nodes[i];
            let op = t.scope(format!("node{}", i + 2), |t| Operation::declare(t, a.op, width, affine));
            (op, [a.from, b.from])
        };
        let nodes = (0..cell.nodes.len()).map(|i| node(t, i)).collect();
        Self { inputs, nodes, loose: cell.concat.clone() }
    }

    fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, pass: &mut Pass) -> Tensor {
        let training = pass.training;
        let input = |(adapter, thin): &(Adapter, bool), x: &Tensor| {
            let x = if *thin { x.slice(2, 0, None, 2).slice(3, 0, None, 2) } else { x.shallow_clone() };
            adapter.forward(w, &x, training)
        };
        let mut states = vec![input(&self.inputs[0], older), input(&self.inputs[1], newer)];
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
    pub fn declare(cell: &Cell, input: InputShape, size: NetSize, affine: bool) -> Result<Self> {
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
                auxiliary = Some((i, Auxiliary::declare(&mut t, here, input.classes)?));
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
    use crate::arch::{Architecture, build, ghn_space};
    use crate::nn::count;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    #[test]
    fn any_number_of_nodes_runs_at_any_size() {
        for (i, (side, nodes)) in [(32, 1), (28, 5), (8, 15), (9, 28), (8, 2)].into_iter().enumerate() {
            let architecture = ghn_space::sample(nodes, &mut Streams::new(4).rng("sample", i as u64));
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
                let architecture = ghn_space::sample(15, &mut Streams::new(7).rng("sample", i));
                count(&*build(&architecture, input, size).unwrap()).0 as f64 / 1e6
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / 200.0;
        assert!((4.2..5.4).contains(&mean), "{mean} million");
    }

    #[test]
    fn a_node_adds_what_one_set_of_weights_makes_of_each_input() {
        let Architecture::Ghn(cell) = ghn_space::sample(1, &mut Streams::new(0).rng("sample", 0)) else { panic!("a block") };
        let cell = Cell { nodes: cell.nodes.iter().map(|e| e.map(|e| super::super::Edge { op: Op::SepConv3, ..e })).collect(), ..cell };
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
