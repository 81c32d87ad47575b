//! The shared weights of the macro space: every layer has its own weights for each operation; skips are summed (authors' released code, search
//! mode, with the operation that was meant to be chosen).

use crate::error::{Result, usage};
use crate::nn::{
    BatchNorm, ConvBn, ConvShape, FactorizedReduce, Linear, Output, Pass, PoolKind, Rule, Table, Weights, global_average, pool,
};
use crate::space::{InputShape, MacroNet, MacroOp, enas_macro};
use tch::Tensor;

struct Branch {
    /// 1x1 convolution, batch norm; a ReLU follows.
    first: ConvBn,
    second: Second,
}

enum Second {
    /// Convolution or depthwise and pointwise, batch norm; a ReLU follows.
    Conv(ConvBn),
    Pool(PoolKind),
}

struct Layer {
    branches: Vec<Branch>,
    /// After the skips; layer 0 has none.
    norm: Option<BatchNorm>,
    /// After the layer, for every output so far.
    reduce: Vec<FactorizedReduce>,
}

/// The search network.
pub struct MacroBank {
    /// What it declares.
    pub table: Table,
    stem: ConvBn,
    layers: Vec<Layer>,
    classifier: Linear,
}

impl MacroBank {
    /// With a width that stays the same through both reductions.
    pub fn declare(input: InputShape, channels: i64, layers: usize) -> Result<Self> {
        if layers < 3 || channels % 2 != 0 {
            return Err(usage!("search.layers = {layers} and search.channels = {channels}: at least 3 layers, and an even width"));
        }
        let mut t = Table::with_rule(Rule::HeIn);
        let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, channels, 3, 1));
        let reductions = enas_macro::reductions(layers);
        let layers = (0..layers)
            .map(|l| {
                t.scope(format!("layer{l}"), |t| Layer {
                    branches: MacroOp::ALL.iter().map(|op| t.scope(op.name(), |t| Branch::declare(t, *op, channels))).collect(),
                    norm: (l > 0).then(|| BatchNorm::declare(t, "norm", channels, true)),
                    reduce: (0..if reductions.contains(&l) { l + 2 } else { 0 })
                        .map(|s| FactorizedReduce::declare(t, &format!("reduce{s}"), channels, channels, true).without_relu())
                        .collect(),
                })
            })
            .collect();
        let classifier = Linear::without_bias(&mut t, "classifier", channels, input.classes);
        Ok(Self { table: t, stem, layers, classifier })
    }

    /// Scores images [N, C, H, W] by the child `net`. Batch norm uses the batch, whatever `pass` says.
    pub fn forward(&self, w: &Weights, net: &MacroNet, x: &Tensor, pass: &mut Pass) -> Output {
        let mut outs = vec![self.stem.forward(w, x, true)];
        for (l, (layer, chosen)) in self.layers.iter().zip(&net.layers).enumerate() {
            let at = MacroOp::ALL.iter().position(|op| *op == chosen.op).expect("an operation of the space");
            let mut y = layer.branches[at].forward(w, &outs[l]);
            if let Some(norm) = &layer.norm {
                let sum = chosen.skips.iter().fold(y, |sum, s| sum + &outs[*s]);
                y = norm.forward(w, &sum, true);
            }
            outs.push(y);
            if !layer.reduce.is_empty() {
                outs = outs.iter().zip(&layer.reduce).map(|(x, reduce)| reduce.forward(w, x, true)).collect();
            }
        }
        let features = pass.dropout(global_average(&outs[outs.len() - 1]));
        Output { logits: self.classifier.forward(w, &features), auxiliary: None }
    }
}

impl Branch {
    fn declare(t: &mut Table, op: MacroOp, width: i64) -> Self {
        let first = ConvBn::declare(t, "first", ConvShape::pointwise(width, width, 1));
        let separable = |kernel| [ConvShape::depthwise(width, kernel, 1, 1), ConvShape::pointwise(width, width, 1)];
        let second = match op {
            MacroOp::Conv3 => Second::Conv(ConvBn::declare(t, "second", ConvShape::square(width, width, 3, 1))),
            MacroOp::Conv5 => Second::Conv(ConvBn::declare(t, "second", ConvShape::square(width, width, 5, 1))),
            MacroOp::SepConv3 => Second::Conv(ConvBn::declare_all(t, "second", &separable(3))),
            MacroOp::SepConv5 => Second::Conv(ConvBn::declare_all(t, "second", &separable(5))),
            MacroOp::AvgPool3 => Second::Pool(PoolKind::Average),
            MacroOp::MaxPool3 => Second::Pool(PoolKind::Maximum),
        };
        Self { first, second }
    }

    fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let x = self.first.forward(w, x, true).relu();
        match &self.second {
            Second::Conv(conv) => conv.forward(w, &x, true).relu(),
            Second::Pool(of) => pool(&x, *of, 3, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::MacroLayer;
    use tch::{Device, Kind};

    #[test]
    fn the_bank_has_the_derived_number_of_weights() {
        let input = |channels| InputShape { channels, height: 32, width: 32, classes: 10 };
        assert_eq!(MacroBank::declare(input(3), 36, 12).unwrap().table.count(), 697_860);
        assert_eq!(MacroBank::declare(input(1), 8, 6).unwrap().table.count(), 19_608);
    }

    #[test]
    fn every_operation_runs_and_only_chosen_branches_get_a_gradient() {
        let bank = MacroBank::declare(InputShape { channels: 1, height: 8, width: 8, classes: 10 }, 4, 6).unwrap();
        let w = Weights::init(&bank.table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Double);
        let x = (Tensor::arange(4 * 64, (Kind::Double, Device::Cpu)) * 0.7).sin().view([4, 1, 8, 8]);
        for op in MacroOp::ALL {
            let layers = (0..6).map(|l| MacroLayer { op, skips: (0..l).filter(|j| j % 2 == 0).collect() }).collect();
            let out = bank.forward(&w, &MacroNet { layers }, &x, &mut Pass::evaluation());
            let grads = Tensor::run_backward(&[out.logits.square().sum(Kind::Double)], w.params(), false, false);
            for (name, g) in bank.table.names().zip(&grads) {
                let branch = MacroOp::ALL.iter().any(|o| name.contains(&format!(".{}.", o.name())));
                let chosen = name.contains(&format!(".{}.", op.name()));
                assert!(!branch || chosen == (g.defined() && g.abs().max().double_value(&[]) > 0.0), "{op:?} {name}");
            }
        }
        let net = enas_macro::sample(6, &mut Streams::new(1).rng("sample", 0));
        assert_eq!(bank.forward(&w, &net, &x, &mut Pass::evaluation()).logits.size(), [4, 10]);
    }
}
