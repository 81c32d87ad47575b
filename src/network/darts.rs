//! The network that stacks two discrete DARTS cells (spec: paper section 3.2, evaluation network).

use super::auxiliary::Auxiliary;
use super::candidate::{Candidate, Form};
use super::map::Map;
use super::stack::{BuiltCell, CellNetwork, Head, Manner, Node, Side, Stack};
use crate::error::Result;
use crate::nn::{Blocked, ConvBn, ConvShape, FactorizedReduce, Linear, ReluConvBn, Table, Weights};
use crate::space::{Cell, CellPair, DartsOp, InputShape, NetSize};
use tch::Tensor;

/// Channels after the stem, as a multiple of the cell width.
const STEM_MULTIPLIER: i64 = 3;

/// What a cell at position `index` of `cells` is: cells ⌊L/3⌋ and ⌊2L/3⌋ are reductions.
pub fn is_reduction(index: usize, cells: usize) -> bool {
    index == cells / 3 || index == 2 * cells / 3
}

/// 3x3 convolution to three times the cell width, and batch norm with scale and shift. [N, in, H, W] → [N, 3 C, H, W]
#[derive(Clone, Debug)]
pub struct Stem {
    block: ConvBn,
    /// 3 C.
    pub channels: i64,
}

impl Stem {
    /// Declares it.
    pub fn declare(t: &mut Table, input: i64, width: i64) -> Self {
        let channels = STEM_MULTIPLIER * width;
        let block = t.scope("stem", |t| ConvBn::named(t, ["conv", "norm"], ConvShape::square(input, channels, 3, 1)));
        Self { block, channels }
    }

    /// The two inputs of the first cell are this output.
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        self.block.forward(w, x, training)
    }
}

/// Brings the two inputs of a cell to its width, and the older one to the resolution of the newer.
#[derive(Clone, Debug)]
pub struct Preprocess([Candidate; 2]);

impl Preprocess {
    /// `older`, `newer`: channels of the outputs of cells k-2 and k-1; `previous_reduces`: cell k-1 is a reduction.
    pub fn declare(t: &mut Table, older: i64, newer: i64, channels: i64, previous_reduces: bool, affine: bool) -> Self {
        let pointwise =
            |t: &mut Table, name, input| ReluConvBn::declare(t, name, &[ConvShape::pointwise(input, channels, 1)], affine).into();
        let older = if previous_reduces {
            Candidate::Reduce(FactorizedReduce::declare(t, "preprocess0", older, channels, affine))
        } else {
            pointwise(t, "preprocess0", older)
        };
        Self([older, pointwise(t, "preprocess1", newer)])
    }

    /// (s0, s1), both [N, C, H, W].
    pub fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, training: bool) -> [Tensor; 2] {
        let [first, second] = &self.0;
        [first.forward(w, older, training), second.forward(w, newer, training)]
    }

    /// The same over blocks of images; `None` where no gradient could be given.
    pub fn forward_blocked(&self, w: &Weights, older: &Blocked, newer: &Blocked, training: bool) -> Option<[Blocked; 2]> {
        let of = |op: &Candidate, x: &Blocked| Blocked::sum(&[x], None, &op.terms(w, 0, None)?, training);
        Some([of(&self.0[0], older)?, of(&self.0[1], newer)?])
    }
}

/// Declares the nodes of a cell; `here` is the map of each.
fn cell(t: &mut Table, cell: &Cell<DartsOp>, preprocess: Preprocess, here: Map, reduction: bool) -> (BuiltCell, Map) {
    let mut side = |i: usize, k: usize| {
        let edge = cell.nodes[i][k];
        let stride = if reduction && edge.from < 2 { 2 } else { 1 };
        let name = format!("node{}.edge{k}.{}", i + 2, edge.op.name());
        let op = Candidate::declare(t, &name, edge.op, here.channels, stride, Form::Evaluation);
        Side { spared: op.is_identity(), op, from: edge.from }
    };
    let nodes = (0..cell.nodes.len()).map(|i| Node { sides: [side(i, 0), side(i, 1)], join: None }).collect();
    let outputs = cell.concat.iter().map(|s| (*s, Candidate::Identity)).collect();
    let out = Map { channels: here.channels * cell.concat.len() as i64, ..here };
    (BuiltCell { inputs: preprocess.0.map(|op| vec![op]), newer_first: false, nodes, outputs, averages: false }, out)
}

/// Declares the network of `pair` for these images at this size.
pub(super) fn network(pair: &CellPair<DartsOp>, input: InputShape, size: NetSize) -> Result<CellNetwork> {
    let mut t = Table::default();
    let stem = Stem::declare(&mut t, input.channels, size.channels);
    let head = size.auxiliary.then_some(Head { at: 2 * size.cells / 3, declare: Auxiliary::darts, classes: input.classes });
    let mut width = size.channels;
    let stack = Stack::declare(&mut t, ("cell", size.cells), Map::of(input, stem.channels), head, |t, i, [older, newer]| {
        let reduction = is_reduction(i, size.cells);
        width *= if reduction { 2 } else { 1 };
        let here = Map { channels: width, ..if reduction { newer.halved() } else { newer } };
        let previous_reduces = i > 0 && is_reduction(i - 1, size.cells);
        let preprocess = Preprocess::declare(t, older.channels, newer.channels, width, previous_reduces, true);
        cell(t, pair.of(reduction), preprocess, here, reduction)
    })?;
    let classifier = Linear::declare(&mut t, "classifier", stack.channels(), input.classes);
    Ok(CellNetwork { table: t, stem: stem.block, stack, classifier, manner: Manner::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::{Pass, count};
    use crate::seed::Streams;
    use crate::space::{Architecture, darts, published};
    use tch::{Device, Kind};

    fn size(channels: i64, cells: usize, auxiliary: bool) -> NetSize {
        NetSize { channels, cells, auxiliary }
    }

    fn counts(name: &str, input: InputShape, size: NetSize) -> (u64, u64) {
        count(&*build(&published(name).unwrap(), input, size).unwrap())
    }

    #[test]
    fn published_cells_have_the_published_number_of_weights() {
        let cifar = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
        assert_eq!(counts("darts-v2", cifar, size(36, 20, true)), (3_349_342, 476_426));
        assert_eq!(counts("darts-v1", cifar, size(36, 20, true)), (3_169_414, 476_426));
        let hundred = InputShape { classes: 100, ..cifar };
        assert_eq!(counts("darts-v2", hundred, size(36, 20, true)), (3_401_272, 545_636));
        assert_eq!(counts("darts-v1", hundred, size(36, 20, false)), (3_221_344, 0));
    }

    #[test]
    fn small_forms_have_the_derived_number_of_weights() {
        let gray = InputShape { channels: 1, height: 28, width: 28, classes: 10 };
        assert_eq!(counts("darts-v2", gray, size(8, 5, false)).0, 36_586);
        assert_eq!(counts("darts-v1", gray, size(8, 5, false)).0, 34_626);
        assert_eq!(counts("darts-v2", gray, size(16, 8, false)).0, 245_242);
        assert_eq!(counts("darts-v1", gray, size(16, 8, false)).0, 232_026);
    }

    #[test]
    fn the_bounds_of_the_space() {
        let cifar = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
        let all = |op| {
            let cell = darts::cell([[(op, 0), (op, 1)]; 4]);
            Architecture::from(CellPair { normal: cell.clone(), reduce: cell })
        };
        let weights = |op| count(&*build(&all(op), cifar, size(36, 20, false)).unwrap()).0;
        assert_eq!(weights(DartsOp::MaxPool3), 1_370_134);
        assert_eq!(weights(DartsOp::SepConv5), 5_144_086);
    }

    #[test]
    fn any_channels_classes_and_sizes_run() {
        for height in 8..=65 {
            // Odd beside even and even beside odd, 1, 3 and 4 channels, 2, 10 and 100 classes.
            let (width, kind) = (73 - height, height as usize % 3);
            let (channels, classes) = ([1, 3, 4][kind], [2, 10, 100][kind]);
            let input = InputShape { channels, height, width, classes };
            let with_head = height >= 21 && width >= 21;
            let net = build(&published("darts-v2").unwrap(), input, size(4, 3, with_head)).unwrap();
            let w = Weights::init(net.table(), &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Float);
            let x = Tensor::zeros([2, channels, height, width], (Kind::Float, Device::Cpu));
            let out = net.forward(&w, &x, &mut Pass::training(0.2, Streams::new(0).rng("drop path", 0)));
            assert_eq!(out.logits.size(), [2, classes]);
            assert_eq!(out.auxiliary.map(|a| a.size()), with_head.then(|| vec![2, classes]));
        }
    }

    #[test]
    fn an_auxiliary_head_without_room_is_refused() {
        let input = InputShape { channels: 1, height: 8, width: 8, classes: 10 };
        let error = build(&published("darts-v2").unwrap(), input, size(4, 3, true)).err().unwrap();
        assert!(error.to_string().contains("2x2"), "{error}");
    }
}
