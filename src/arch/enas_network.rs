//! The networks that ENAS trains from scratch (authors' released code, fixed mode).

use super::enas_space::{MacroNet, MacroOp, micro_reductions};
use super::genotype::{Cell, CellPair};
use super::map::{Adapter, Map};
use super::{InputShape, NetSize};
use crate::error::{Error, Result};
use crate::nn::{
    AUXILIARY, ConvBn, ConvShape, FactorizedReduce, Network, Op, Output, ParamId, Pass, ReluConvBn, Rule, SpaceOp, Table, Weights,
    avg_pool_valid, global_average, pool,
};
use tch::Tensor;

/// A matrix without bias.
#[derive(Clone, Copy, Debug)]
pub struct Classifier(ParamId);

impl Classifier {
    /// Declares [classes, input].
    pub fn declare(t: &mut Table, input: i64, classes: i64) -> Self {
        let (init, _) = t.layer_init(input, classes);
        Self(t.scope("classifier", |t| t.param("weight", &[classes, input], init)))
    }

    /// [N, input] → [N, classes].
    pub fn forward(self, w: &Weights, x: &Tensor) -> Tensor {
        x.linear(&w[self.0], None::<&Tensor>)
    }
}

/// ReLU, 1x1 convolution, batch norm.
fn pointwise(t: &mut Table, name: &str, input: i64, output: i64) -> ReluConvBn {
    ReluConvBn::declare(t, name, &[ConvShape::pointwise(input, output, 1)], true)
}

fn halving(t: &mut Table, name: &str, input: i64, output: i64) -> FactorizedReduce {
    FactorizedReduce::declare(t, name, input, output, true).without_relu()
}

/// An operation of a micro cell; what strides is the first of two stages, or a factorised reduction in place of the identity.
#[derive(Clone, Debug)]
enum MicroOp {
    Space(SpaceOp),
    Reduce(FactorizedReduce),
}

#[derive(Clone, Debug)]
struct MicroCell {
    older: Adapter,
    newer: Adapter,
    /// On the newer input once more, always.
    again: ReluConvBn,
    nodes: Vec<[(MicroOp, usize, bool); 2]>,
    outputs: Vec<(usize, Adapter)>,
}

impl MicroCell {
    fn declare(t: &mut Table, cell: &Cell, older: Map, newer: Map, width: i64, reduction: bool) -> (Self, Map) {
        let here = Map { channels: width, ..newer };
        let out = if reduction { here.halved() } else { here };
        let calibrate = |t: &mut Table, name: &str, map: Map| {
            if map.channels == width { Adapter::Unchanged } else { Adapter::ReluConv(pointwise(t, name, map.channels, width)) }
        };
        let older_adapter = if older.same_size(newer) {
            calibrate(t, "older", older)
        } else {
            Adapter::Reduce(FactorizedReduce::declare(t, "older", older.channels, width, true))
        };
        let newer_adapter = calibrate(t, "newer", newer);
        let again = pointwise(t, "again", width, width);
        let node = |t: &mut Table, i: usize, side: usize| {
            let edge = cell.nodes[i][side];
            let strides = reduction && edge.from < 2;
            let name = format!("node{i}.{side}.{}", edge.op.name());
            let op = if edge.op == Op::Identity && strides {
                MicroOp::Reduce(halving(t, &name, width, width))
            } else {
                MicroOp::Space(SpaceOp::declare(t, &name, edge.op, width, width, if strides { 2 } else { 1 }))
            };
            (op, edge.from, edge.op == Op::Identity)
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
        (Self { older: older_adapter, newer: newer_adapter, again, nodes, outputs }, Map { channels, ..out })
    }

    fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, pass: &mut Pass) -> Tensor {
        let training = pass.training;
        let newer = self.again.forward(w, &self.newer.forward(w, newer, training), training);
        let mut states = vec![self.older.forward(w, older, training), newer];
        for node in &self.nodes {
            let [a, b] = [0, 1].map(|side| {
                let (op, from, spared) = &node[side];
                let out = match op {
                    MicroOp::Space(op) => op.forward(w, &states[*from], training),
                    MicroOp::Reduce(op) => op.forward(w, &states[*from], training),
                };
                if *spared { out } else { pass.drop_path(out) }
            });
            states.push(a + b);
        }
        let outputs: Vec<Tensor> = self.outputs.iter().map(|(s, adapter)| adapter.forward(w, &states[*s], training)).collect();
        Tensor::cat(&outputs, 1)
    }
}

/// ReLU, 5x5 average pooling with stride 3, 1x1 to 128, BN, ReLU, a convolution as large as the map to 768, BN, ReLU, mean, matrix.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    squeeze: ConvBn,
    wide: ConvBn,
    classifier: Classifier,
    /// Zeros that keep the size: left, right, top, bottom.
    border: [i64; 4],
}

impl Auxiliary {
    /// Declares it for the output `map`; an error if that is too small.
    pub fn declare(t: &mut Table, map: Map, classes: i64) -> Result<Self> {
        if map.height < 5 || map.width < 5 {
            return Err(Error::Usage(format!(
                "the auxiliary head needs a map of at least 5x5 after the second reduction, these images leave {}x{}; set auxiliary_weight to 0",
                map.height, map.width
            )));
        }
        let pooled = |side: i64| (side - 5) / 3 + 1;
        let (h, w) = (pooled(map.height), pooled(map.width));
        Ok(t.scope(AUXILIARY, |t| Self {
            squeeze: ConvBn::declare(t, "squeeze", ConvShape::pointwise(map.channels, 128, 1)),
            wide: ConvBn::declare(t, "wide", ConvShape { kernel: (h, w), ..ConvShape::pointwise(128, 768, 1) }),
            classifier: Classifier::declare(t, 768, classes),
            border: [(w - 1) / 2, w / 2, (h - 1) / 2, h / 2],
        }))
    }

    /// [N, C, H, W] → [N, classes].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let x = self.squeeze.forward(w, &avg_pool_valid(&x.relu(), 5, 3), true).relu();
        let x = self.wide.forward(w, &x.constant_pad_nd(self.border), true).relu();
        self.classifier.forward(w, &global_average(&x))
    }
}

/// A network of micro cells.
#[derive(Debug)]
pub struct MicroNetwork {
    table: Table,
    stem: ConvBn,
    cells: Vec<MicroCell>,
    auxiliary: Option<(usize, Auxiliary)>,
    classifier: Classifier,
}

impl MicroNetwork {
    /// Declares the network of `pair`; `size.cells` is N + 2 with N a multiple of 3: reductions are the layers N/3 and 2 N/3 + 1.
    pub fn declare(pair: &CellPair, input: InputShape, size: NetSize) -> Result<Self> {
        let Some(reductions) = micro_reductions(size.cells).filter(|_| size.channels % 2 == 0) else {
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
                auxiliary = Some((i, Auxiliary::declare(&mut t, out, input.classes)?));
            }
        }
        let classifier = Classifier::declare(&mut t, newer.channels, input.classes);
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

/// What follows the 1x1 convolution of a macro layer.
#[derive(Clone, Debug)]
enum Body {
    Conv(ReluConvBn),
    Pool { maximum: bool },
}

#[derive(Clone, Debug)]
struct Layer {
    first: ReluConvBn,
    body: Body,
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
    classifier: Classifier,
}

impl MacroNetwork {
    /// Declares the network; its number of layers is the architecture's, whatever `size.cells` says. The width doubles at each reduction.
    /// With `separable_as_dense` the separable convolutions are dense ones, as in the released script.
    pub fn declare(net: &MacroNet, input: InputShape, size: NetSize, separable_as_dense: bool) -> Result<Self> {
        if size.channels % 2 != 0 || size.auxiliary {
            return Err(Error::Usage("an ENAS macro network has an even width and no auxiliary head; set auxiliary_weight to 0".into()));
        }
        let mut t = Table::with_rule(Rule::He);
        let mut width = size.channels;
        let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, width, 3, 1));
        let reductions = net.reductions();
        let mut layers = Vec::new();
        for (l, layer) in net.layers.iter().enumerate() {
            let built = t.scope(format!("layer{l}"), |t| {
                let body = body(t, layer.op, width, separable_as_dense);
                let join = (l > 0).then(|| pointwise(t, "join", (layer.skips.len() as i64 + 1) * width, width));
                let sources = if reductions.contains(&l) { l + 2 } else { 0 };
                let reduce = (0..sources).map(|s| halving(t, &format!("reduce{s}"), width, 2 * width)).collect();
                Layer { first: pointwise(t, "first", width, width), body, join, skips: layer.skips.clone(), reduce }
            });
            width *= if built.reduce.is_empty() { 1 } else { 2 };
            layers.push(built);
        }
        let classifier = Classifier::declare(&mut t, width, input.classes);
        Ok(Self { table: t, stem, layers, classifier })
    }
}

fn body(t: &mut Table, op: MacroOp, width: i64, separable_as_dense: bool) -> Body {
    let dense = |kernel| vec![ConvShape::square(width, width, kernel, 1)];
    let separable = |kernel| vec![ConvShape::depthwise(width, kernel, 1, 1), ConvShape::pointwise(width, width, 1)];
    let shapes = match op {
        MacroOp::Conv3 => dense(3),
        MacroOp::Conv5 => dense(5),
        MacroOp::SepConv3 if separable_as_dense => dense(3),
        MacroOp::SepConv5 if separable_as_dense => dense(5),
        MacroOp::SepConv3 => separable(3),
        MacroOp::SepConv5 => separable(5),
        MacroOp::AvgPool3 => return Body::Pool { maximum: false },
        MacroOp::MaxPool3 => return Body::Pool { maximum: true },
    };
    Body::Conv(ReluConvBn::declare(t, op.name(), &shapes, true))
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
            let mut y = match &layer.body {
                Body::Conv(conv) => conv.forward(w, &x, training),
                Body::Pool { maximum } => pool(&x, *maximum, 3, 1),
            };
            if let Some(join) = &layer.join {
                let mut parts: Vec<Tensor> = layer.skips.iter().map(|s| outs[*s].shallow_clone()).collect();
                parts.push(y);
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
    use crate::arch::{Architecture, build, enas_space, published};
    use crate::nn::count;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    const CIFAR: InputShape = InputShape { channels: 3, height: 32, width: 32, classes: 10 };

    #[test]
    fn the_released_architectures_have_the_derived_number_of_weights() {
        let micro = build(&published("enas-micro").unwrap(), CIFAR, NetSize { channels: 36, cells: 17, auxiliary: true }).unwrap();
        assert_eq!(count(&*micro), (3_894_372, 494_848));
        let Some(Architecture::EnasMacro(net)) = published("enas-macro") else { panic!("a macro network") };
        let weights = |dense| {
            MacroNetwork::declare(&net, CIFAR, NetSize { channels: 96, cells: 24, auxiliary: false }, dense).unwrap().table().count()
        };
        assert_eq!((weights(true), weights(false)), (42_559_392, 30_947_424));
    }

    #[test]
    fn sampled_architectures_run_forward_and_backward_at_several_sizes() {
        for (i, side) in [(0, 32), (1, 28), (2, 8), (3, 9)] {
            let mut rng = Streams::new(5).rng("sample", i);
            for architecture in [enas_space::sample_micro(5, &mut rng), enas_space::sample_macro(6, &mut rng)] {
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
