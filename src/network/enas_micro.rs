//! The networks of micro cells that ENAS trains from scratch (authors' released code, fixed mode).

use super::auxiliary::Auxiliary;
use super::map::{Adapter, Map, halving, pointwise};
use super::space_op::{Side, SpaceOp};
use crate::error::{Error, Result};
use crate::nn::{ConvBn, ConvShape, Linear, Network, Output, Pass, ReluConvBn, Rule, Table, Weights, global_average};
use crate::space::{Cell, CellPair, InputShape, MicroOp, NasnetOp, NetSize, enas_micro};
use tch::Tensor;

#[derive(Clone, Debug)]
struct MicroCell {
    older: Adapter,
    newer: Adapter,
    /// On the newer input once more, always.
    again: ReluConvBn,
    nodes: Vec<[Side; 2]>,
    outputs: Vec<(usize, Adapter)>,
}

impl MicroCell {
    fn declare(t: &mut Table, cell: &Cell<MicroOp>, older: Map, newer: Map, width: i64, reduction: bool) -> (Self, Map) {
        let here = Map { channels: width, ..newer };
        let out = if reduction { here.halved() } else { here };
        let older = Adapter::declare(t, "older", older, here);
        let newer = Adapter::declare(t, "newer", newer, here);
        let again = pointwise(t, "again", width, width);
        let node = |t: &mut Table, i: usize, side: usize| {
            let edge = cell.nodes[i][side];
            let strides = reduction && edge.from < 2;
            let op = operation(t, &format!("node{i}.{side}.{}", edge.op.name()), edge.op, width, strides);
            Side { op, from: edge.from, spared: edge.op == MicroOp::Identity }
        };
        let nodes = (0..cell.nodes.len()).map(|i| [node(t, i, 0), node(t, i, 1)]).collect();
        let outputs: Vec<(usize, Adapter)> = cell
            .concat
            .iter()
            .map(|s| {
                let full_size = reduction && *s < 2;
                let adapter = if full_size { Adapter::Reduce(halving(t, &format!("output{s}"), width, width)) } else { Adapter::Unchanged };
                (*s, adapter)
            })
            .collect();
        let channels = width * outputs.len() as i64;
        (Self { older, newer, again, nodes, outputs }, Map { channels, ..out })
    }

    fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, pass: &mut Pass) -> Tensor {
        let training = pass.training;
        let newer = self.again.forward(w, &self.newer.forward(w, newer, training), training);
        let mut states = vec![self.older.forward(w, older, training), newer];
        for node in &self.nodes {
            let [a, b] = [0, 1].map(|side| node[side].forward(w, &states, pass));
            states.push(a + b);
        }
        let outputs: Vec<Tensor> = self.outputs.iter().map(|(s, adapter)| adapter.forward(w, &states[*s], training)).collect();
        Tensor::cat(&outputs, 1)
    }
}

/// The operation of the NASNet space at the width of the cell; what strides is the first of two stages, or a factorised reduction in place of the
/// identity.
fn operation(t: &mut Table, name: &str, op: MicroOp, width: i64, strides: bool) -> SpaceOp {
    let op = match op {
        MicroOp::Identity if strides => return SpaceOp::Reduce(halving(t, name, width, width)),
        MicroOp::Identity => NasnetOp::Identity,
        MicroOp::MaxPool3 => NasnetOp::MaxPool3,
        MicroOp::AvgPool3 => NasnetOp::AvgPool3,
        MicroOp::SepConv3 => NasnetOp::SepConv3,
        MicroOp::SepConv5 => NasnetOp::SepConv5,
    };
    SpaceOp::declare(t, name, op, width, width, if strides { 2 } else { 1 })
}

/// A network of micro cells.
#[derive(Debug)]
pub struct MicroNetwork {
    table: Table,
    stem: ConvBn,
    cells: Vec<MicroCell>,
    auxiliary: Option<(usize, Auxiliary)>,
    classifier: Linear,
}

impl MicroNetwork {
    /// Declares the network of `pair`; `size.cells` is N + 2 with N a multiple of 3: reductions are the layers N/3 and 2 N/3 + 1.
    pub fn declare(pair: &CellPair<MicroOp>, input: InputShape, size: NetSize) -> Result<Self> {
        let Some(reductions) = enas_micro::reductions(size.cells).filter(|_| size.channels % 2 == 0) else {
            return Err(Error::Usage(format!(
                "an ENAS micro network has N + 2 layers, N a multiple of 3, and an even width, not {} layers and width {}",
                size.cells, size.channels
            )));
        };
        let mut t = Table::with_rule(Rule::He);
        let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, 3 * size.channels, 3, 1));
        let first = Map { channels: 3 * size.channels, height: input.height, width: input.width };
        let (mut older, mut newer, mut width) = (first, first, size.channels);
        let (mut cells, mut auxiliary) = (Vec::new(), None);
        for i in 0..size.cells {
            let reduction = reductions.contains(&i);
            width *= if reduction { 2 } else { 1 };
            let genotype = if reduction { &pair.reduce } else { &pair.normal };
            let (cell, out) = t.scope(format!("cell{i}"), |t| MicroCell::declare(t, genotype, older, newer, width, reduction));
            cells.push(cell);
            (older, newer) = (newer, out);
            if size.auxiliary && i == reductions[1] + 1 {
                auxiliary = Some((i, Auxiliary::enas(&mut t, out, input.classes)?));
            }
        }
        let classifier = Linear::without_bias(&mut t, "classifier", newer.channels, input.classes);
        Ok(Self { table: t, stem, cells, auxiliary, classifier })
    }
}

impl Network for MicroNetwork {
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
        let features = pass.dropout(global_average(&newer.relu()));
        Output { logits: self.classifier.forward(w, &features), auxiliary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::count;
    use crate::seed::Streams;
    use crate::space::{Architecture, enas_macro, published};
    use tch::{Device, Kind};

    #[test]
    fn the_released_cells_have_the_derived_number_of_weights() {
        let cifar = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
        let micro = build(&published("enas-micro").unwrap(), cifar, NetSize { channels: 36, cells: 17, auxiliary: true }).unwrap();
        assert_eq!(count(&*micro), (3_894_372, 494_848));
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
