//! The shared weights of the micro space: for every layer, node, side, kernel and stack one weight for each input that could be chosen
//! (authors' released code, search mode). A child computes with its own rows only.

use crate::error::{Result, usage};
use crate::network::{Auxiliary, Candidate, Map, adapted};
use crate::nn::{
    ConvBn, ConvShape, FactorizedReduce, Init, Linear, Output, ParamId, Pass, PoolKind, Rule, Table, Weights, global_average, pool, stage,
};
use crate::space::{Cell, CellPair, InputShape, MicroOp, enas_micro};
use tch::Tensor;

/// One of the two stacked separable convolutions: a row for each input that could be chosen.
#[derive(Clone, Copy, Debug)]
struct Stack {
    /// [inputs, F, 1, k, k]
    depthwise: ParamId,
    /// [inputs, F, F, 1, 1]
    pointwise: ParamId,
    /// [inputs, F]
    scale: ParamId,
    /// [inputs, F]
    shift: ParamId,
}

impl Stack {
    fn declare(t: &mut Table, name: &str, inputs: i64, width: i64, kernel: i64) -> Self {
        // Of one row of the bank, which is the kernel that a child has.
        let (depthwise, pointwise) = (t.conv_init(kernel * kernel, kernel * kernel, width), t.conv_init(width, width, 1));
        t.scope(name, |t| Self {
            depthwise: t.param("depthwise", &[inputs, width, 1, kernel, kernel], depthwise),
            pointwise: t.param("pointwise", &[inputs, width, width, 1, 1], pointwise),
            scale: t.param("scale", &[inputs, width], Init::Constant(1.0)),
            shift: t.param("shift", &[inputs, width], Init::Constant(0.0)),
        })
    }

    fn forward(&self, w: &Weights, input: usize, x: &Tensor) -> Tensor {
        let row = |id: ParamId| w[id].select(0, input as i64);
        stage(x, Some(&row(self.depthwise)), &row(self.pointwise), (&row(self.scale), &row(self.shift)))
    }
}

/// A side of a node: 3x3 and 5x5, each twice.
type Side = [[Stack; 2]; 2];

struct Layer {
    /// Halves the newer input first, in a reduction layer.
    reduce: Option<FactorizedReduce>,
    older: Candidate,
    newer: Candidate,
    nodes: Vec<[Side; 2]>,
    /// [states, F out, F in]
    loose: ParamId,
    scale: ParamId,
    shift: ParamId,
}

/// The search network.
pub struct MicroBank {
    /// What it declares.
    pub table: Table,
    stem: ConvBn,
    layers: Vec<Layer>,
    auxiliary: Option<(usize, Auxiliary)>,
    classifier: Linear,
}

impl MicroBank {
    /// With N + 2 = `cells` layers and `nodes` nodes a cell.
    pub fn declare(input: InputShape, channels: i64, cells: usize, nodes: usize, auxiliary: bool) -> Result<Self> {
        let Some(reductions) = enas_micro::reductions(cells).filter(|_| channels % 2 == 0) else {
            return Err(usage!(
                "search.cells = {cells} and search.channels = {channels}: N + 2 layers with N a multiple of 3, and an even width"
            ));
        };
        let mut t = Table::with_rule(Rule::HeIn);
        let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, 3 * channels, 3, 1));
        let first = Map { channels: 3 * channels, height: input.height, width: input.width };
        let (mut older, mut newer, mut width) = (first, first, channels);
        let (mut layers, mut head) = (Vec::new(), None);
        for i in 0..cells {
            let reduction = reductions.contains(&i);
            width *= if reduction { 2 } else { 1 };
            let (layer, read, out) = t.scope(format!("layer{i}"), |t| Layer::declare(t, older, newer, width, nodes, reduction));
            layers.push(layer);
            (older, newer) = (read, out);
            if auxiliary && i == reductions[1] + 1 {
                head = Some((i, Auxiliary::enas(&mut t, out, input.classes)?));
            }
        }
        let classifier = Linear::without_bias(&mut t, "classifier", width, input.classes);
        Ok(Self { table: t, stem, layers, auxiliary: head, classifier })
    }

    /// Scores images [N, C, H, W] by the child of `pair`. Batch norm uses the batch, whatever `pass` says: running statistics would mix
    /// children.
    pub fn forward(&self, w: &Weights, pair: &CellPair<MicroOp>, x: &Tensor, pass: &mut Pass) -> Output {
        let stem = self.stem.forward(w, x, true);
        let (mut older, mut newer, mut auxiliary) = (stem.shallow_clone(), stem, None);
        for (i, layer) in self.layers.iter().enumerate() {
            let genotype = if layer.reduce.is_some() { &pair.reduce } else { &pair.normal };
            let (read, out) = layer.forward(w, genotype, &older, &newer);
            (older, newer) = (read, out);
            if let Some((_, head)) = self.auxiliary.as_ref().filter(|(at, _)| *at == i && pass.training) {
                auxiliary = Some(head.forward(w, &newer));
            }
        }
        let features = pass.dropout(global_average(&newer.relu()));
        Output { logits: self.classifier.forward(w, &features), auxiliary }
    }
}

impl Layer {
    /// The layer, what the next one reads as the older input, and its output.
    fn declare(t: &mut Table, older: Map, newer: Map, width: i64, nodes: usize, reduction: bool) -> (Self, Map, Map) {
        let reduce = reduction.then(|| FactorizedReduce::declare(t, "reduce", newer.channels, width, true).without_relu());
        let read = if reduction { Map { channels: width, ..newer.halved() } } else { newer };
        // In a reduction layer the older input is the output before it, at full size.
        let before = if reduction { newer } else { older };
        let here = Map { channels: width, ..read };
        let older = adapted(t, "older", before, here);
        let newer = adapted(t, "newer", read, here);
        let side = |t: &mut Table, i: usize, side: usize| -> Side {
            [3, 5].map(|kernel| {
                [0, 1].map(|stack| Stack::declare(t, &format!("node{i}.{side}.{kernel}.{stack}"), i as i64 + 2, width, kernel))
            })
        };
        let banks = (0..nodes).map(|i| [side(t, i, 0), side(t, i, 1)]).collect();
        let states = nodes as i64 + 2;
        let (init, _) = t.layer_init(width, width);
        let layer = Self {
            reduce,
            older,
            newer,
            nodes: banks,
            loose: t.param("loose", &[states, width, width], init),
            scale: t.param("scale", &[width], Init::Constant(1.0)),
            shift: t.param("shift", &[width], Init::Constant(0.0)),
        };
        (layer, read, here)
    }

    fn forward(&self, w: &Weights, cell: &Cell<MicroOp>, older: &Tensor, newer: &Tensor) -> (Tensor, Tensor) {
        let (before, read) = match &self.reduce {
            Some(reduce) => (newer, reduce.forward(w, newer, true)),
            None => (older, newer.shallow_clone()),
        };
        let mut states = vec![self.older.forward(w, before, true), self.newer.forward(w, &read, true)];
        for (node, bank) in cell.nodes.iter().zip(&self.nodes) {
            let [a, b] = [0, 1].map(|side| operate(w, &bank[side], node[side].op, node[side].from, &states[node[side].from]));
            states.push(a + b);
        }
        // The rows of the bank that belong to the loose ends: [loose, F out, F in] → [F out, loose · F in, 1, 1].
        let rows: Vec<i64> = cell.concat.iter().map(|s| *s as i64).collect();
        let bank = w[self.loose].index_select(0, &Tensor::from_slice(&rows).to_device(w.flat().device()));
        let width = bank.size()[1];
        let kernel = bank.permute([1, 0, 2]).reshape([width, -1, 1, 1]);
        let ends: Vec<&Tensor> = cell.concat.iter().map(|s| &states[*s]).collect();
        let out = stage(&Tensor::cat(&ends, 1), None, &kernel, (&w[self.scale], &w[self.shift]));
        (read, out)
    }
}

fn operate(w: &Weights, bank: &Side, op: MicroOp, from: usize, x: &Tensor) -> Tensor {
    let twice = |stacks: &[Stack; 2]| stacks[1].forward(w, from, &stacks[0].forward(w, from, x));
    match op {
        MicroOp::SepConv3 => twice(&bank[0]),
        MicroOp::SepConv5 => twice(&bank[1]),
        MicroOp::AvgPool3 => pool(x, PoolKind::Average, 3, 1),
        MicroOp::MaxPool3 => pool(x, PoolKind::Maximum, 3, 1),
        MicroOp::Identity => x.shallow_clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::enas_micro::cell;
    use tch::{Device, Kind};

    const CIFAR: InputShape = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
    const TINY: InputShape = InputShape { channels: 1, height: 8, width: 8, classes: 10 };

    #[test]
    fn the_bank_has_the_derived_number_of_weights() {
        let bank = MicroBank::declare(CIFAR, 20, 8, 5, true).unwrap();
        let auxiliary = bank.table.count_if(|n| n.starts_with("auxiliary"));
        assert_eq!((bank.table.count() - auxiliary, auxiliary), (5_373_140, 412_928));
        let of = |i: usize| bank.table.count_if(|n| n.starts_with(&format!("layer{i}.")));
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(of), [130_120, 128_880, 390_640, 388_880, 388_880, 1_318_880, 1_312_160, 1_312_160]);
        assert_eq!(MicroBank::declare(TINY, 8, 5, 3, false).unwrap().table.count(), 347_000);
    }

    fn bank() -> (MicroBank, Weights) {
        let bank = MicroBank::declare(TINY, 4, 5, 3, false).unwrap();
        let w = Weights::init(&bank.table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Double);
        (bank, w)
    }

    fn images() -> Tensor {
        (Tensor::arange(4 * 64, (Kind::Double, Device::Cpu)) * 0.7).sin().view([4, 1, 8, 8])
    }

    #[test]
    fn only_the_used_weights_get_a_gradient_and_children_share_them() {
        let (bank, w) = bank();
        // Node 0 applies sep 3x3 to state 1 and the identity to state 0, the other nodes pool.
        let arc = [1, 0, 0, 4, 2, 2, 1, 3, 3, 2, 2, 3];
        let pair = CellPair { normal: cell(&arc), reduce: cell(&arc) };
        let out = bank.forward(&w, &pair, &images(), &mut Pass::evaluation());
        let grads = Tensor::run_backward(&[out.logits.square().sum(Kind::Double)], w.params(), false, false);
        for (name, g) in bank.table.names().zip(&grads) {
            let used = !name.contains(".node") || (name.contains(".node0.0.3."));
            let row = |r: i64| g.select(0, r).abs().max().double_value(&[]);
            if !used {
                assert!(!g.defined() || g.abs().max().double_value(&[]) == 0.0, "{name}");
            } else if name.contains(".node") {
                assert!(row(0) == 0.0 && row(1) > 0.0, "{name}: row 1 alone is used");
            } else if name.ends_with("loose") {
                let loose = &pair.normal.concat;
                (0..5).for_each(|r| assert_eq!(row(r as i64) > 0.0, loose.contains(&r), "{name} row {r}"));
            }
        }
        // Another child that uses the same operation on the same input sees the same numbers.
        let other = [1, 0, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4];
        let second = CellPair { normal: cell(&other), reduce: cell(&other) };
        let score = |pair| tch::no_grad(|| bank.forward(&w, pair, &images(), &mut Pass::evaluation()).logits);
        let (before, before_second) = (score(&pair), score(&second));
        let shared = bank.table.names().position(|n| n == "layer0.node0.0.3.0.pointwise").unwrap();
        let _ = tch::no_grad(|| w.params()[shared].select(0, 1).g_mul_scalar_(1.5));
        assert!(!score(&pair).equal(&before) && !score(&second).equal(&before_second));
    }

    #[test]
    fn every_operation_runs_forward_and_backward() {
        let (bank, w) = bank();
        for op in 0..MicroOp::ALL.len() {
            let arc: Vec<usize> = (0..3).flat_map(|i| [i, op, i + 1, op]).collect();
            let pair = CellPair { normal: cell(&arc), reduce: cell(&arc) };
            let out = bank.forward(&w, &pair, &images(), &mut Pass::evaluation());
            assert_eq!(w.gradient(&out.logits.sum(Kind::Double)).isfinite().all().int64_value(&[]), 1, "operation {op}");
        }
        for i in 0..20 {
            let sampled = enas_micro::sample(3, &mut Streams::new(1).rng("sample", i));
            assert_eq!(bank.forward(&w, &sampled, &images(), &mut Pass::evaluation()).logits.size(), [4, 10]);
        }
    }

    #[test]
    fn swapping_the_sides_of_a_node_changes_only_whose_weights_are_used() {
        let (bank, w) = bank();
        let (one, two) = ([0, 0, 1, 1, 0, 4, 1, 4, 0, 4, 1, 4], [1, 1, 0, 0, 0, 4, 1, 4, 0, 4, 1, 4]);
        let pair = |arc: &[usize]| CellPair { normal: cell(arc), reduce: cell(arc) };
        let score = |arc: &[usize]| tch::no_grad(|| bank.forward(&w, &pair(arc), &images(), &mut Pass::evaluation()).logits);
        let before = score(&one);
        assert!(!score(&two).allclose(&before, 1e-9, 1e-9, false));
        tch::no_grad(|| {
            for (name, target) in bank.table.names().zip(w.params()) {
                if let Some(rest) = name.find(".node0.1.").map(|at| name.replacen(".node0.1.", ".node0.0.", 1)[at..].to_string()) {
                    let source = format!("{}{rest}", &name[..name.find(".node0.1.").unwrap()]);
                    let from = bank.table.names().position(|n| n == source).unwrap();
                    let kept = target.copy();
                    target.shallow_clone().copy_(&w.params()[from]);
                    w.params()[from].shallow_clone().copy_(&kept);
                }
            }
        });
        assert!(score(&two).allclose(&before, 1e-10, 1e-10, false));
    }
}
