//! The networks of micro cells that ENAS trains from scratch (authors' released code, fixed mode).

use super::auxiliary::Auxiliary;
use super::candidate::Candidate;
use super::map::{Map, adapted, halving, pointwise};
use super::space_op::{Ends, space_op};
use super::stack::{BuiltCell, CellNetwork, Head, Manner, Node, Side, Stack};
use crate::error::{Result, usage};
use crate::nn::{ConvBn, ConvShape, Linear, Rule, Table};
use crate::space::{Cell, CellPair, InputShape, MicroOp, NasnetOp, NetSize, enas_micro};

fn cell(t: &mut Table, cell: &Cell<MicroOp>, [older, newer]: [Map; 2], width: i64, reduction: bool) -> (BuiltCell, Map) {
    let here = Map { channels: width, ..newer };
    let out = if reduction { here.halved() } else { here };
    let older = adapted(t, "older", older, here);
    let newer = adapted(t, "newer", newer, here);
    // On the newer input once more, always.
    let again = pointwise(t, "again", width, width).into();
    let mut side = |i: usize, side: usize| {
        let edge = cell.nodes[i][side];
        let op = operation(t, &format!("node{i}.{side}.{}", edge.op.name()), edge.op, width, reduction && edge.from < 2);
        Side { op, from: edge.from, spared: edge.op == MicroOp::Identity }
    };
    let nodes = (0..cell.nodes.len()).map(|i| Node { sides: [side(i, 0), side(i, 1)], join: None }).collect();
    let mut output = |s: usize| {
        let halves = reduction && s < 2;
        if halves { Candidate::Reduce(halving(t, &format!("output{s}"), width, width)) } else { Candidate::Identity }
    };
    let outputs: Vec<(usize, Candidate)> = cell.concat.iter().map(|s| (*s, output(*s))).collect();
    let channels = width * outputs.len() as i64;
    let inputs = [vec![older], vec![newer, again]];
    (BuiltCell { inputs, newer_first: true, nodes, outputs, averages: false }, Map { channels, ..out })
}

/// The operation of the NASNet space at the width of the cell; what strides is the first of two stages, or a factorised reduction in place of the
/// identity.
fn operation(t: &mut Table, name: &str, op: MicroOp, width: i64, strides: bool) -> Candidate {
    let op = match op {
        MicroOp::Identity if strides => return Candidate::Reduce(halving(t, name, width, width)),
        MicroOp::Identity => NasnetOp::Identity,
        MicroOp::MaxPool3 => NasnetOp::MaxPool3,
        MicroOp::AvgPool3 => NasnetOp::AvgPool3,
        MicroOp::SepConv3 => NasnetOp::SepConv3,
        MicroOp::SepConv5 => NasnetOp::SepConv5,
    };
    space_op(t, name, op, Ends { input: width, output: width, stride: if strides { 2 } else { 1 } })
}

/// Declares the network of `pair`; `size.cells` is N + 2 with N a multiple of 3: reductions are the layers N/3 and 2 N/3 + 1.
pub(super) fn network(pair: &CellPair<MicroOp>, input: InputShape, size: NetSize) -> Result<CellNetwork> {
    let Some(reductions) = enas_micro::reductions(size.cells).filter(|_| size.channels % 2 == 0) else {
        let NetSize { channels, cells, .. } = size;
        let rule = "N + 2 layers, N a multiple of 3, and an even width";
        return Err(usage!("an ENAS micro network has {rule}, not {cells} layers and width {channels}"));
    };
    let mut t = Table::with_rule(Rule::HeIn);
    let mut width = size.channels;
    let first = Map::of(input, 3 * width);
    let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, first.channels, 3, 1));
    let head = size.auxiliary.then_some(Head { at: reductions[1] + 1, declare: Auxiliary::enas, classes: input.classes });
    let stack = Stack::declare(&mut t, ("cell", size.cells), first, head, |t, i, maps| {
        let reduction = reductions.contains(&i);
        width *= if reduction { 2 } else { 1 };
        cell(t, pair.of(reduction), maps, width, reduction)
    })?;
    let classifier = Linear::without_bias(&mut t, "classifier", stack.channels(), input.classes);
    Ok(CellNetwork { table: t, stem, stack, classifier, manner: Manner { by_depth: true, relu: true, dropout: true } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::{Pass, Weights, count, cross_entropy};
    use crate::seed::Streams;
    use crate::space::{Architecture, enas_macro, published};
    use tch::{Device, Kind, Tensor, no_grad};

    #[test]
    fn the_released_cells_have_the_derived_number_of_weights() {
        let cifar = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
        let micro = build(&published("enas-micro").unwrap(), cifar, NetSize { channels: 36, cells: 17, auxiliary: true }).unwrap();
        assert_eq!(count(&*micro), (3_894_372, 494_848));
    }

    #[test]
    fn the_first_logits_deviate_by_about_one_and_the_first_loss_is_near_that_of_guessing() {
        let input = InputShape { channels: 3, height: 16, width: 16, classes: 10 };
        let net = build(&published("enas-micro").unwrap(), input, NetSize { channels: 32, cells: 5, auxiliary: false }).unwrap();
        let w = Weights::init(net.table(), &mut Streams::new(3).rng("init", 0), Device::Cpu, Kind::Float);
        let x = (Tensor::arange(16 * 3 * 256, (Kind::Float, Device::Cpu)) * 12.9898).sin().view([16, 3, 16, 16]);
        let logits = no_grad(|| net.forward(&w, &x, &mut Pass::training(0.0, Streams::new(0).rng("drop path", 0))).logits);
        let labels = Tensor::arange(16, (Kind::Int64, Device::Cpu)).remainder(10);
        // Features f of batch norm and ReLU have a mean square near 1/2, so logits have the deviation √(2/C · C/2) = 1 and the loss is ln 10 + 1/2.
        let (deviation, loss) = (logits.std(false).double_value(&[]), cross_entropy(&logits, &labels).double_value(&[]));
        assert!((0.6..1.5).contains(&deviation) && (2.1..3.4).contains(&loss), "{deviation} {loss}");
    }

    #[test]
    fn sampled_architectures_run_forward_and_backward_at_several_sizes() {
        for (i, side) in [(0, 32), (1, 28), (2, 8), (3, 9)] {
            let mut rng = Streams::new(5).rng("sample", i);
            let architectures: [Architecture; 2] = [enas_micro::sample(5, &mut rng).into(), enas_macro::sample(6, &mut rng).into()];
            for architecture in architectures {
                let input = InputShape { channels: 1, height: side, width: side, classes: 10 };
                let net = build(&architecture, input, NetSize { channels: 4, cells: 5, auxiliary: false }).unwrap();
                let w = Weights::init(net.table(), &mut rng, Device::Cpu, Kind::Float);
                let x = Tensor::ones([3, 1, side, side], (Kind::Float, Device::Cpu));
                let out = net.forward(&w, &x, &mut Pass::training(0.2, Streams::new(0).rng("drop path", 0)));
                assert_eq!(out.logits.size(), [3, 10]);
                assert_eq!(w.gradient(&out.logits.square().sum(Kind::Float)).isfinite().all().int64_value(&[]), 1);
            }
        }
    }
}
