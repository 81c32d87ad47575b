//! The networks that stack two cells of the NASNet space: N normal cells, a reduction, N normal, a reduction, N normal (NASNet, section 3; released code).

use super::auxiliary::Auxiliary;
use super::candidate::Candidate;
use super::map::{Map, adapted, halving, pointwise};
use super::space_op::{Ends, space_op};
use super::stack::{BuiltCell, CellNetwork, Head, Manner, Node, Side, Stack};
use crate::error::{Result, usage};
use crate::nn::{ConvBn, ConvShape, Linear, Rule, Table};
use crate::space::{Cell, CellPair, InputShape, NasnetOp, NetSize, enas_micro};

/// Declares a cell. `older` is `None` in the first cell, which reads the stem's output twice, once untouched.
fn cell(t: &mut Table, cell: &Cell<NasnetOp>, older: Option<Map>, newer: Map, width: i64, reduction: bool) -> (BuiltCell, Map) {
    let here = Map { channels: width, ..newer };
    let out = if reduction { here.halved() } else { here };
    let newer_adapter = pointwise(t, "newer", newer.channels, width).into();
    let (older_adapter, first) = match older {
        None => (Candidate::Identity, newer),
        Some(map) => (adapted(t, "older", map, here), here),
    };
    let mut states = vec![first, here];
    let mut nodes = Vec::new();
    for (i, edges) in cell.nodes.iter().enumerate() {
        let sides = [0, 1].map(|side| {
            let edge = edges[side];
            let stride = if reduction && edge.from < 2 { 2 } else { 1 };
            let name = format!("block{i}.{side}.{}", edge.op.name());
            let op = space_op(t, &name, edge.op, Ends { input: states[edge.from].channels, output: width, stride });
            // Drop path spares what is an identity by name, also where it strides.
            Side { op, from: edge.from, spared: edge.op == NasnetOp::Identity }
        });
        let stacked = cell.stacked.contains(&(i + 2));
        let join = stacked.then(|| pointwise(t, &format!("block{i}.stack"), 2 * width, width));
        nodes.push(Node { sides, join });
        states.push(out);
    }
    let outputs = cell.concat.iter().map(|s| (*s, output_adapter(t, *s, states[*s], out))).collect::<Vec<_>>();
    let channels = width * outputs.len() as i64;
    let inputs = [vec![older_adapter], vec![newer_adapter]];
    (BuiltCell { inputs, newer_first: false, nodes, outputs, averages: false }, Map { channels, ..out })
}

/// A concatenated state of another size or width is brought to the output's, without a ReLU.
fn output_adapter(t: &mut Table, state: usize, map: Map, out: Map) -> Candidate {
    let name = format!("output{state}");
    if !map.same_size(out) {
        Candidate::Reduce(halving(t, &name, map.channels, out.channels))
    } else if map.channels != out.channels {
        Candidate::Plain(ConvBn::declare(t, &name, ConvShape::pointwise(map.channels, out.channels, 1)))
    } else {
        Candidate::Identity
    }
}

/// Declares the CIFAR network of `pair`; `size.cells` is 3 N + 2.
pub(super) fn network(pair: &CellPair<NasnetOp>, input: InputShape, size: NetSize) -> Result<CellNetwork> {
    let Some([_, second]) = enas_micro::reductions(size.cells) else {
        let rule = "3 N + 2 cells (N normal cells before, between and after two reductions)";
        return Err(usage!("a network of the NASNet space has {rule}, not {}", size.cells));
    };
    let mut t = Table::with_rule(Rule::He);
    let first = Map::of(input, 3 * size.channels);
    let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, first.channels, 3, 1));
    let head = size.auxiliary.then_some(Head { at: second - 1, declare: Auxiliary::nasnet, classes: input.classes });
    let stack = stack(&mut t, pair, &layers(size), first, head)?;
    let classifier = Linear::declare(&mut t, "classifier", stack.channels(), input.classes);
    Ok(CellNetwork { table: t, stem, stack, classifier, manner: Manner { by_depth: true, relu: true, dropout: false } })
}

/// Width of every cell, and whether it is a reduction: three stacks of N normal cells with the two reductions between them.
fn layers(size: NetSize) -> Vec<(i64, bool)> {
    let reductions = enas_micro::reductions(size.cells).unwrap_or_default();
    let width = |i: usize| size.channels << reductions.iter().filter(|r| **r <= i).count();
    (0..size.cells).map(|i| (width(i), reductions.contains(&i))).collect()
}

fn stack(t: &mut Table, pair: &CellPair<NasnetOp>, layers: &[(i64, bool)], first: Map, head: Option<Head>) -> Result<Stack> {
    Stack::declare(t, ("cell", layers.len()), first, head, |t, i, [older, newer]| {
        let (width, reduction) = layers[i];
        cell(t, pair.of(reduction), (i > 0).then_some(older), newer, width, reduction)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::{Network, Pass, Weights, count};
    use crate::seed::Streams;
    use crate::space::{nasnet, published};
    use tch::{Device, Kind, Tensor};

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
        let net = network(&released(name), CIFAR, size).unwrap();
        let weights = (0..20).map(|i| net.table.count_if(|n| n.starts_with(&format!("cell{i}.")))).collect();
        let w = Weights::init(&net.table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Float);
        let mut maps = vec![net.stem.forward(&w, &Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu)), false)];
        for (i, cell) in net.stack.cells.iter().enumerate() {
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
        let mut t = Table::default();
        let shape = ConvShape { padding: (0, 0), ..ConvShape::square(3, 32, 3, 2) };
        ConvBn::declare(&mut t, "stem", shape);
        let layers = [&[(11, true), (22, true)][..], &layers(NetSize { channels: 44, cells: 14, auxiliary: false })].concat();
        let first = Map { channels: 32, height: 111, width: 111 };
        let stack = stack(&mut t, &pair, &layers, first, None).unwrap();
        let features = 1056;
        assert_eq!(t.count() + 1000 * (features + 1), 5_289_978);
        let shape = |i: usize| (stack.maps[i + 1].channels, stack.maps[i + 1].height);
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
                let net = network(&pair, input, NetSize { channels: 4, cells: 5, auxiliary: false }).unwrap();
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
