//! The networks of GHN: one block stacked, the maps halved and the width doubled after a third and two thirds (paper, section 5.1).

use super::auxiliary::Auxiliary;
use super::candidate::{Candidate, PoolOf};
use super::is_reduction;
use super::map::{Map, change};
use super::stack::{BuiltCell, CellNetwork, Head, Manner, Node, Side, Stack};
use crate::error::{Result, usage};
use crate::nn::{BatchNorm, ConvBn, ConvShape, Linear, PoolKind, ReluConvBn, Table};
use crate::space::{Cell, Edge, GhnOp, InputShape, NetSize};

/// One operation for both inputs of a node: the convolutions are shared, each input has its own norm.
fn operations(t: &mut Table, op: GhnOp, width: i64, affine: bool) -> [Candidate; 2] {
    let separable = |kernel, dilation| vec![ConvShape::depthwise(width, kernel, 1, dilation), ConvShape::pointwise(width, width, 1)];
    let pool = |t: &mut Table, kind| {
        ["norm0", "norm1"].map(|name| {
            let norm = Some(BatchNorm::declare(t, name, width, affine));
            Candidate::Pool(PoolOf { kind, kernel: 3, stride: 1, norm, project: None })
        })
    };
    let shapes = match op {
        GhnOp::Identity => return [Candidate::Identity, Candidate::Identity],
        GhnOp::MaxPool3 => return pool(t, PoolKind::Maximum),
        GhnOp::AvgPool3 => return pool(t, PoolKind::Average),
        GhnOp::Conv1 => vec![ConvShape::pointwise(width, width, 1)],
        GhnOp::SepConv3 => separable(3, 1),
        GhnOp::SepConv5 => separable(5, 1),
        GhnOp::DilConv3 => separable(3, 2),
        GhnOp::Conv1x7 => [(1, 7), (7, 1)].map(|kernel| ConvShape::dense(width, width, kernel, (1, 1))).into(),
    };
    let first = ReluConvBn::declare(t, "first", &shapes, affine);
    let second = first.sharing(t, "second", width, affine);
    [first.into(), second.into()]
}

/// Brings an input to the block's width and size. Takes every second row and column first where it must: with a block between two reductions
/// the older input is four times as high.
fn entry(t: &mut Table, name: &str, from: Map, here: Map, affine: bool) -> Vec<Candidate> {
    let thins = !from.same_size(here) && !from.halved().same_size(here);
    thins.then_some(Candidate::Thin).into_iter().chain([change(t, name, from, here, affine)]).collect()
}

fn block(t: &mut Table, cell: &Cell<GhnOp>, sources: [Map; 2], here: Map, affine: bool) -> BuiltCell {
    let inputs = [0, 1].map(|i| entry(t, &format!("in{i}"), sources[i], here, affine));
    let mut node = |(i, edges): (usize, &[Edge<GhnOp>; 2])| {
        let [a, b] = t.scope(format!("node{}", i + 2), |t| operations(t, edges[0].op, here.channels, affine));
        let side = |op: Candidate, edge: Edge<GhnOp>| Side { spared: op.is_identity(), op, from: edge.from };
        Node { sides: [side(a, edges[0]), side(b, edges[1])], join: None }
    };
    let nodes = cell.nodes.iter().enumerate().map(&mut node).collect();
    let outputs = cell.concat.iter().map(|s| (*s, Candidate::Identity)).collect();
    BuiltCell { inputs, newer_first: false, nodes, outputs, averages: true }
}

/// A stack of one block between a 3x3 convolution and a linear classifier of the averaged maps. The parameters of module m stand under `stem`,
/// `block{i}.in{0,1}`, `block{i}.node{state}` and `head`.
///
/// Without `affine` the norms neither scale nor shift, as where a hypernetwork gives all the weights.
pub fn network(cell: &Cell<GhnOp>, input: InputShape, size: NetSize, affine: bool) -> Result<CellNetwork> {
    if size.channels % 2 != 0 {
        return Err(usage!("a GHN network has an even width, not {}", size.channels));
    }
    let mut t = Table::default();
    let stem = ConvBn::with_norm(&mut t, "stem", &[ConvShape::square(input.channels, size.channels, 3, 1)], affine);
    let head = size.auxiliary.then_some(Head { at: 2 * size.cells / 3, declare: Auxiliary::enas, classes: input.classes });
    let stack = Stack::declare(&mut t, ("block", size.cells), Map::of(input, size.channels), head, |t, i, [older, newer]| {
        let halves = is_reduction(i, size.cells);
        let here = if halves { Map { channels: 2 * newer.channels, ..newer.halved() } } else { newer };
        (block(t, cell, [older, newer], here, affine), here)
    })?;
    let classifier = Linear::declare(&mut t, "head", stack.channels(), input.classes);
    Ok(CellNetwork { table: t, stem, stack, classifier, manner: Manner { by_depth: true, ..Manner::default() } })
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::{Network, Pass, Weights, count};
    use crate::seed::Streams;
    use crate::space::ghn;
    use tch::{Device, Kind, Tensor};

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
                count(&network(&cell, input, size, true).unwrap()).0 as f64 / 1e6
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
        let net = network(&cell, input, NetSize { channels: 4, cells: 3, auxiliary: false }, false).unwrap();
        let names: Vec<&str> = net.table().names().filter(|n| n.starts_with("block0.node2")).collect();
        assert_eq!(names, ["block0.node2.first.conv0.weight", "block0.node2.first.conv1.weight"]);
        let w = Weights::init(net.table(), &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Double);
        let x = Tensor::rand([3, 4, 8, 8], (Kind::Double, Device::Cpu));
        let y = x.flip([2]);
        let sides = &net.stack.cells[0].nodes[0].sides;
        let sum = |x: &Tensor, y: &Tensor| sides[0].op.forward(&w, x, true) + sides[1].op.forward(&w, y, true);
        let (both, swapped) = (sum(&x, &y), sum(&y, &x));
        assert!(both.allclose(&swapped, 1e-12, 1e-12, false));
    }
}
