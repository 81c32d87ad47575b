//! The networks that stack two cells of the NASNet space: N normal cells, a reduction, N normal, a reduction, N normal (NASNet, section 3; released code).

use super::auxiliary::Auxiliary;
use super::map::{Adapter, Map, halving, pointwise};
use super::space_op::{Side, SpaceOp};
use crate::error::{Error, Result};
use crate::nn::{ConvBn, ConvShape, Linear, Network, Output, Pass, ReluConvBn, Rule, Table, Weights, global_average};
use crate::space::{Cell, CellPair, InputShape, NasnetOp, NetSize};
use tch::Tensor;

#[derive(Clone, Debug)]
struct Block {
    sides: [Side; 2],
    /// Where the sides are stacked: back to the cell's width.
    stack: Option<ReluConvBn>,
}

#[derive(Clone, Debug)]
struct BuiltCell {
    older: Adapter,
    newer: Adapter,
    blocks: Vec<Block>,
    outputs: Vec<(usize, Adapter)>,
}

impl BuiltCell {
    /// `older` is `None` in the first cell, which reads the stem's output twice, once untouched.
    fn declare(t: &mut Table, cell: &Cell<NasnetOp>, older: Option<Map>, newer: Map, width: i64, reduction: bool) -> (Self, Map) {
        let here = Map { channels: width, ..newer };
        let out = if reduction { here.halved() } else { here };
        let newer_adapter = Adapter::ReluConv(pointwise(t, "newer", newer.channels, width));
        let (older_adapter, first) = match older {
            None => (Adapter::Unchanged, newer),
            Some(map) => (Adapter::declare(t, "older", map, here), here),
        };
        let mut states = vec![first, here];
        let mut blocks = Vec::new();
        for (i, edges) in cell.nodes.iter().enumerate() {
            let sides = [0, 1].map(|side| {
                let edge = edges[side];
                let stride = if reduction && edge.from < 2 { 2 } else { 1 };
                let name = format!("block{i}.{side}.{}", edge.op.name());
                let op = SpaceOp::declare(t, &name, edge.op, states[edge.from].channels, width, stride);
                // Drop path spares what is an identity by name, also where it strides.
                Side { op, from: edge.from, spared: edge.op == NasnetOp::Identity }
            });
            let stacked = cell.stacked.contains(&(i + 2));
            let stack = stacked.then(|| pointwise(t, &format!("block{i}.stack"), 2 * width, width));
            blocks.push(Block { sides, stack });
            states.push(out);
        }
        let outputs = cell.concat.iter().map(|s| (*s, output_adapter(t, *s, states[*s], out))).collect::<Vec<_>>();
        let channels = width * outputs.len() as i64;
        (Self { older: older_adapter, newer: newer_adapter, blocks, outputs }, Map { channels, ..out })
    }

    fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, pass: &mut Pass) -> Tensor {
        let training = pass.training;
        let mut states = vec![self.older.forward(w, older, training), self.newer.forward(w, newer, training)];
        for block in &self.blocks {
            let [a, b] = [0, 1].map(|side| block.sides[side].forward(w, &states, pass));
            states.push(match &block.stack {
                Some(join) => join.forward(w, &Tensor::cat(&[a, b], 1), training),
                None => a + b,
            });
        }
        let outputs: Vec<Tensor> = self.outputs.iter().map(|(s, adapter)| adapter.forward(w, &states[*s], training)).collect();
        Tensor::cat(&outputs, 1)
    }
}

/// A concatenated state of another size or width is brought to the output's, without a ReLU.
fn output_adapter(t: &mut Table, state: usize, map: Map, out: Map) -> Adapter {
    let name = format!("output{state}");
    if !map.same_size(out) {
        Adapter::Reduce(halving(t, &name, map.channels, out.channels))
    } else if map.channels != out.channels {
        Adapter::Conv(ConvBn::declare(t, &name, ConvShape::pointwise(map.channels, out.channels, 1)))
    } else {
        Adapter::Unchanged
    }
}

/// A network of the NASNet space.
#[derive(Debug)]
pub struct NasnetNetwork {
    table: Table,
    stem: ConvBn,
    cells: Vec<BuiltCell>,
    auxiliary: Option<(usize, Auxiliary)>,
    classifier: Linear,
}

impl NasnetNetwork {
    /// Declares the CIFAR network of `pair`; `size.cells` is 3 N + 2.
    pub fn declare(pair: &CellPair<NasnetOp>, input: InputShape, size: NetSize) -> Result<Self> {
        if size.cells < 5 || size.cells % 3 != 2 {
            return Err(Error::Usage(format!(
                "a network of the NASNet space has 3 N + 2 cells (N normal cells before, between and after two reductions), not {}",
                size.cells
            )));
        }
        let mut builder = Builder::new(pair);
        let first = Map { channels: 3 * size.channels, height: input.height, width: input.width };
        let stem = builder.stem(ConvShape::square(input.channels, first.channels, 3, 1), first);
        let auxiliary = builder.stacks(input.classes, size)?;
        let last = builder.maps[builder.maps.len() - 1].channels;
        let classifier = Linear::declare(&mut builder.table, "classifier", last, input.classes);
        Ok(Self { table: builder.table, stem, cells: builder.cells, auxiliary, classifier })
    }
}

struct Builder<'a> {
    pair: &'a CellPair<NasnetOp>,
    table: Table,
    /// Outputs so far; the first is the stem's.
    maps: Vec<Map>,
    cells: Vec<BuiltCell>,
}

impl<'a> Builder<'a> {
    fn new(pair: &'a CellPair<NasnetOp>) -> Self {
        Self { pair, table: Table::with_rule(Rule::He), maps: Vec::new(), cells: Vec::new() }
    }

    fn stem(&mut self, shape: ConvShape, map: Map) -> ConvBn {
        self.maps.push(map);
        ConvBn::declare(&mut self.table, "stem", shape)
    }

    /// The three stacks of N normal cells and the two reductions between them; the auxiliary head, and the cell whose output it reads.
    fn stacks(&mut self, classes: i64, size: NetSize) -> Result<Option<(usize, Auxiliary)>> {
        let n = (size.cells - 2) / 3;
        let mut width = size.channels;
        let mut auxiliary = None;
        for index in 0..3 * n {
            if index == n || index == 2 * n {
                width *= 2;
                self.cell(width, true);
            }
            self.cell(width, false);
            if size.auxiliary && index == 2 * n - 1 {
                let at = self.cells.len() - 1;
                auxiliary = Some((at, Auxiliary::nasnet(&mut self.table, self.maps[at + 1], classes)?));
            }
        }
        Ok(auxiliary)
    }

    /// The next cell; it reads the two outputs before it.
    fn cell(&mut self, width: i64, reduction: bool) {
        let genotype = if reduction { &self.pair.reduce } else { &self.pair.normal };
        let name = format!("cell{}", self.cells.len());
        let newer = self.maps[self.maps.len() - 1];
        let older = self.maps.iter().rev().nth(1).copied();
        let (cell, map) = self.table.scope(name, |t| BuiltCell::declare(t, genotype, older, newer, width, reduction));
        self.cells.push(cell);
        self.maps.push(map);
    }
}

impl Network for NasnetNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let stem = self.stem.forward(w, x, pass.training);
        let (mut older, mut newer, mut auxiliary) = (stem.shallow_clone(), stem, None);
        for (i, cell) in self.cells.iter().enumerate() {
            pass.enter_cell(i, self.cells.len());
            let out = cell.forward(w, &older, &newer, pass);
            (older, newer) = (newer, out);
            if let Some((_, head)) = self.auxiliary.as_ref().filter(|(at, _)| *at == i && pass.training) {
                auxiliary = Some(head.forward(w, &newer));
            }
        }
        Output { logits: self.classifier.forward(w, &global_average(&newer.relu())), auxiliary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::count;
    use crate::seed::Streams;
    use crate::space::{nasnet, published};
    use tch::{Device, Kind};

    const CIFAR: InputShape = InputShape { channels: 3, height: 32, width: 32, classes: 10 };

    fn released(name: &str) -> CellPair<NasnetOp> {
        published(name).unwrap().get::<CellPair<NasnetOp>>().unwrap().clone()
    }

    fn counts(name: &str, channels: i64, n: usize) -> (u64, u64) {
        let size = NetSize { channels, cells: 3 * n + 2, auxiliary: true };
        count(&*build(&published(name).unwrap(), CIFAR, size).unwrap())
    }

    #[test]
    fn published_cells_have_the_derived_number_of_weights() {
        assert_eq!(counts("nasnet-a", 32, 6), (3_346_538, 1_631_498));
        assert_eq!(counts("nasnet-a", 32, 2).0, 1_294_698);
        assert_eq!(counts("nasnet-a", 24, 2).0, 757_906);
        assert_eq!(counts("amoebanet-a", 32, 6).0, 2_567_754);
        assert_eq!(counts("amoebanet-a", 36, 6), (3_218_266, 1_619_210));
        assert_eq!(counts("amoebanet-a", 24, 3).0, 843_322);
    }

    /// Weights of the cells and shapes of the maps (the first is the stem's).
    fn stages(name: &str, channels: i64) -> (Vec<u64>, Vec<Vec<i64>>) {
        let size = NetSize { channels, cells: 20, auxiliary: false };
        let net = NasnetNetwork::declare(&released(name), CIFAR, size).unwrap();
        let weights = (0..20).map(|i| net.table.count_if(|n| n.starts_with(&format!("cell{i}.")))).collect();
        let w = Weights::init(&net.table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Float);
        let mut maps = vec![net.stem.forward(&w, &Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu)), false)];
        for (i, cell) in net.cells.iter().enumerate() {
            maps.push(cell.forward(&w, &maps[i.saturating_sub(1)], &maps[i], &mut Pass::evaluation()));
        }
        (weights, maps.iter().map(|m| m.size()[1..].to_vec()).collect())
    }

    #[test]
    fn weights_and_shapes_by_stage() {
        let (weights, shapes) = stages("nasnet-a", 32);
        let first = [40_384, 25_152, 28_224, 28_224, 28_224, 28_224, 87_168];
        let second = [81_024, 93_312, 101_504, 101_504, 101_504, 101_504, 305_408];
        assert_eq!(weights, [&first[..], &second, &[301_312, 350_464, 383_232, 383_232, 383_232, 383_232]].concat());
        let at = |shapes: &[Vec<i64>], i: &[usize]| i.iter().map(|i| shapes[*i].clone()).collect::<Vec<_>>();
        let places = [0, 1, 7, 8, 14, 15, 20];
        assert_eq!(
            at(&shapes, &places),
            [[96, 32, 32], [192, 32, 32], [256, 16, 16], [384, 16, 16], [512, 8, 8], [768, 8, 8], [768, 8, 8]]
        );
        let (weights, shapes) = stages("amoebanet-a", 36);
        let first = [33_768, 23_904, 25_200, 25_200, 25_200, 25_200, 87_732];
        let second = [86_688, 97_056, 91_872, 91_872, 91_872, 91_872, 314_136];
        assert_eq!(weights, [&first[..], &second, &[328_896, 370_368, 349_632, 349_632, 349_632, 349_632]].concat());
        assert_eq!(
            at(&shapes, &places),
            [[108, 32, 32], [144, 32, 32], [360, 16, 16], [288, 16, 16], [720, 8, 8], [576, 8, 8], [576, 8, 8]]
        );
    }

    /// Before the stacks of the ImageNet networks: a 3x3 convolution with stride 2 and without padding, then two reductions at a quarter and half
    /// of the width.
    #[test]
    fn the_mobile_imagenet_network_has_the_published_number_of_weights() {
        let pair = released("nasnet-a");
        let mut builder = Builder::new(&pair);
        let shape = ConvShape { padding: (0, 0), ..ConvShape::square(3, 32, 3, 2) };
        builder.stem(shape, Map { channels: 32, height: 111, width: 111 });
        builder.cell(11, true);
        builder.cell(22, true);
        builder.stacks(1000, NetSize { channels: 44, cells: 14, auxiliary: false }).unwrap();
        let features = 1056;
        assert_eq!(builder.table.count() + 1000 * (features + 1), 5_289_978);
        let shape = |i: usize| (builder.maps[i].channels, builder.maps[i].height);
        // After the stem and its two reductions: four normal cells, a reduction, four, a reduction, four.
        assert_eq!([2, 6, 7, 11, 12, 16].map(shape), [(88, 28), (264, 28), (352, 14), (528, 14), (704, 7), (1056, 7)]);
    }

    #[test]
    fn sampled_cells_run_forward_and_backward_at_several_sizes() {
        for (i, side) in [(0, 32), (1, 28), (2, 8), (3, 9)] {
            let mut rng = Streams::new(5).rng("sample", i);
            for ops in [&nasnet::AMOEBANET_OPS[..], &nasnet::NASNET_OPS] {
                let input = InputShape { channels: 1, height: side, width: side, classes: 10 };
                let pair = nasnet::sample(ops, side != 32, &mut rng);
                let net = NasnetNetwork::declare(&pair, input, NetSize { channels: 4, cells: 5, auxiliary: false }).unwrap();
                let w = Weights::init(net.table(), &mut rng, Device::Cpu, Kind::Float);
                let x = Tensor::ones([3, 1, side, side], (Kind::Float, Device::Cpu));
                let out = net.forward(&w, &x, &mut Pass::training(0.2, Streams::new(0).rng("drop path", 0)));
                let gradient = w.gradient(&out.logits.square().sum(Kind::Float));
                assert_eq!(gradient.isfinite().all().int64_value(&[]), 1);
            }
        }
    }

    #[test]
    fn a_number_of_cells_that_is_no_stack_is_refused() {
        let error = build(&published("nasnet-a").unwrap(), CIFAR, NetSize { channels: 8, cells: 6, auxiliary: false }).err().unwrap();
        assert!(error.to_string().contains("3 N + 2"), "{error}");
    }
}
