//! The networks of layers with skips that ENAS trains from scratch (authors' released code, fixed mode).

use super::candidate::{Candidate, PoolOf};
use super::map::{halving, pointwise};
use crate::error::{Result, usage};
use crate::nn::{
    ConvBn, ConvShape, FactorizedReduce, Linear, Network, Output, Pass, PoolKind, ReluConvBn, Rule, Table, Weights, global_average,
};
use crate::space::{InputShape, MacroNet, MacroOp, NetSize};
use tch::Tensor;

#[derive(Clone, Debug)]
struct Layer {
    first: ReluConvBn,
    /// What follows the 1x1 convolution.
    body: Candidate,
    /// Joins the skips; layer 0 has none.
    join: Option<ReluConvBn>,
    skips: Vec<usize>,
    /// After the layer, for every output so far.
    reduce: Vec<FactorizedReduce>,
}

/// A network of the macro space.
#[derive(Debug)]
pub struct MacroNetwork {
    table: Table,
    stem: ConvBn,
    layers: Vec<Layer>,
    classifier: Linear,
}

impl MacroNetwork {
    /// Declares the network; its number of layers is the architecture's, whatever `size.cells` says. The width doubles at each reduction.
    pub fn declare(net: &MacroNet, input: InputShape, size: NetSize) -> Result<Self> {
        if size.channels % 2 != 0 || size.auxiliary {
            return Err(usage!("an ENAS macro network has an even width and no auxiliary head; set auxiliary_weight to 0"));
        }
        let mut t = Table::with_rule(Rule::HeIn);
        let mut width = size.channels;
        let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, width, 3, 1));
        let reductions = net.reductions();
        let mut layers = Vec::new();
        for (l, layer) in net.layers.iter().enumerate() {
            let sources = if reductions.contains(&l) { l + 2 } else { 0 };
            layers.push(t.scope(format!("layer{l}"), |t| {
                let body = body(t, layer.op, width);
                let join = (l > 0).then(|| pointwise(t, "join", (layer.skips.len() as i64 + 1) * width, width));
                let reduce = (0..sources).map(|s| halving(t, &format!("reduce{s}"), width, 2 * width)).collect();
                Layer { first: pointwise(t, "first", width, width), body, join, skips: layer.skips.clone(), reduce }
            }));
            width *= if sources > 0 { 2 } else { 1 };
        }
        let classifier = Linear::without_bias(&mut t, "classifier", width, input.classes);
        Ok(Self { table: t, stem, layers, classifier })
    }
}

fn body(t: &mut Table, op: MacroOp, width: i64) -> Candidate {
    let dense = |kernel| vec![ConvShape::square(width, width, kernel, 1)];
    let separable = |kernel| vec![ConvShape::depthwise(width, kernel, 1, 1), ConvShape::pointwise(width, width, 1)];
    let pool = |kind| Candidate::Pool(PoolOf { kind, kernel: 3, stride: 1, norm: None, project: None });
    let shapes = match op {
        MacroOp::Conv3 => dense(3),
        MacroOp::Conv5 => dense(5),
        MacroOp::SepConv3 => separable(3),
        MacroOp::SepConv5 => separable(5),
        MacroOp::AvgPool3 => return pool(PoolKind::Average),
        MacroOp::MaxPool3 => return pool(PoolKind::Maximum),
    };
    ReluConvBn::declare(t, op.name(), &shapes, true).into()
}

impl Network for MacroNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let training = pass.training;
        let mut outs = vec![self.stem.forward(w, x, training)];
        for (l, layer) in self.layers.iter().enumerate() {
            let x = layer.first.forward(w, &outs[l], training);
            let mut y = layer.body.forward(w, &x, training);
            if let Some(join) = &layer.join {
                let parts: Vec<&Tensor> = layer.skips.iter().map(|s| &outs[*s]).chain([&y]).collect();
                y = join.forward(w, &Tensor::cat(&parts, 1), training);
            }
            outs.push(y);
            if !layer.reduce.is_empty() {
                outs = outs.iter().zip(&layer.reduce).map(|(x, reduce)| reduce.forward(w, x, training)).collect();
            }
        }
        let features = pass.dropout(global_average(&outs[outs.len() - 1]));
        Output { logits: self.classifier.forward(w, &features), auxiliary: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::published;

    #[test]
    fn the_released_network_has_the_derived_number_of_weights() {
        let input = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
        let released = published("enas-macro").unwrap();
        let net = released.get::<MacroNet>().unwrap();
        let weights = MacroNetwork::declare(net, input, NetSize { channels: 96, cells: 24, auxiliary: false }).unwrap().table.count();
        assert_eq!(weights, 30_947_424);
        // The released script has dense convolutions for separable ones.
        let dense = net.layers.iter().enumerate().map(|(l, layer)| {
            let width = 96 << net.reductions().iter().filter(|r| **r < l).count();
            let more = |kernel: u64| kernel * kernel * width * width - kernel * kernel * width - width * width;
            match layer.op {
                MacroOp::SepConv3 => more(3),
                MacroOp::SepConv5 => more(5),
                _ => 0,
            }
        });
        assert_eq!(weights + dense.sum::<u64>(), 42_559_392);
    }
}
