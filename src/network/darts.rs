//! The network that stacks two discrete DARTS cells (spec: paper section 3.2, evaluation network).

use super::candidate::{Candidate, Form};
use crate::error::{Error, Result};
use crate::nn::{
    AUXILIARY, BatchNorm, Blocked, BlockedStage, BlockedTerm, Conv, ConvShape, FactorizedReduce, Linear, Network, Output, Pass, ReluConvBn,
    Table, Weights, global_average,
};
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
    conv: Conv,
    norm: BatchNorm,
    /// 3 C.
    pub channels: i64,
}

impl Stem {
    /// Declares it.
    pub fn declare(t: &mut Table, input: i64, width: i64) -> Self {
        let channels = STEM_MULTIPLIER * width;
        t.scope("stem", |t| Self {
            conv: Conv::declare(t, "conv", ConvShape::square(input, channels, 3, 1)),
            norm: BatchNorm::declare(t, "norm", channels, true),
            channels,
        })
    }

    /// The two inputs of the first cell are this output.
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        self.norm.forward(w, &self.conv.forward(w, x), training)
    }
}

/// Brings the two inputs of a cell to its width, and the older one to the resolution of the newer.
#[derive(Clone, Debug)]
pub struct Preprocess {
    older: Older,
    newer: ReluConvBn,
}

#[derive(Clone, Debug)]
enum Older {
    Same(ReluConvBn),
    Reduced(FactorizedReduce),
}

impl Preprocess {
    /// `older`, `newer`: channels of the outputs of cells k-2 and k-1; `previous_reduces`: cell k-1 is a reduction.
    pub fn declare(t: &mut Table, older: i64, newer: i64, channels: i64, previous_reduces: bool, affine: bool) -> Self {
        Self {
            older: if previous_reduces {
                Older::Reduced(FactorizedReduce::declare(t, "preprocess0", older, channels, affine))
            } else {
                Older::Same(ReluConvBn::declare(t, "preprocess0", &[ConvShape::pointwise(older, channels, 1)], affine))
            },
            newer: ReluConvBn::declare(t, "preprocess1", &[ConvShape::pointwise(newer, channels, 1)], affine),
        }
    }

    /// (s0, s1), both [N, C, H, W].
    pub fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, training: bool) -> [Tensor; 2] {
        let s0 = match &self.older {
            Older::Same(block) => block.forward(w, older, training),
            Older::Reduced(block) => block.forward(w, older, training),
        };
        [s0, self.newer.forward(w, newer, training)]
    }

    /// The same over blocks of images; `None` where no gradient could be given.
    pub fn forward_blocked(&self, w: &Weights, older: &Blocked, newer: &Blocked, training: bool) -> Option<[Blocked; 2]> {
        let stages = match &self.older {
            Older::Same(block) => vec![block.stage(w)?],
            Older::Reduced(block) => block.stages(w).into(),
        };
        let of = |x: &Blocked, stages: Vec<BlockedStage>| {
            let term = |stage| BlockedTerm { source: 0, coefficient: None, stages: vec![stage] };
            Blocked::sum(&[x], None, &stages.into_iter().map(term).collect::<Vec<_>>(), training)
        };
        Some([of(older, stages)?, of(newer, vec![self.newer.stage(w)?])?])
    }
}

#[derive(Clone, Debug)]
struct BuiltCell {
    preprocess: Preprocess,
    nodes: Vec<[(Candidate, usize); 2]>,
    concat: Vec<usize>,
}

impl BuiltCell {
    fn declare(t: &mut Table, cell: &Cell<DartsOp>, inputs: (i64, i64), channels: i64, reduction: bool, previous_reduces: bool) -> Self {
        let preprocess = Preprocess::declare(t, inputs.0, inputs.1, channels, previous_reduces, true);
        let nodes = cell
            .nodes
            .iter()
            .enumerate()
            .map(|(i, edges)| {
                [0, 1].map(|k| {
                    let edge = edges[k];
                    let stride = if reduction && edge.from < 2 { 2 } else { 1 };
                    let name = format!("node{}.edge{k}.{}", i + 2, edge.op.name());
                    (Candidate::declare(t, &name, edge.op, channels, stride, Form::Evaluation), edge.from)
                })
            })
            .collect();
        Self { preprocess, nodes, concat: cell.concat.clone() }
    }

    fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, pass: &mut Pass) -> Tensor {
        let mut states = Vec::from(self.preprocess.forward(w, older, newer, pass.training));
        for node in &self.nodes {
            let [a, b] = [0, 1].map(|k| {
                let (op, from) = &node[k];
                let out = op.forward(w, &states[*from], pass.training);
                if op.is_identity() { out } else { pass.drop_path(out) }
            });
            states.push(a + b);
        }
        Tensor::cat(&self.concat.iter().map(|s| &states[*s]).collect::<Vec<_>>(), 1)
    }
}

/// Auxiliary classifier on the output of cell ⌊2L/3⌋: ReLU, average pooling to 2x2, 1x1 to 128, BN, ReLU, 2x2 to 768, BN, ReLU, linear.
#[derive(Clone, Debug)]
struct AuxiliaryHead {
    stride: [i64; 2],
    squeeze: Conv,
    squeeze_norm: BatchNorm,
    widen: Conv,
    widen_norm: BatchNorm,
    classifier: Linear,
}

impl AuxiliaryHead {
    /// 5x5 pooling with stride side - 5 leaves 2x2: on the paper's 8x8 map that is its stride 3.
    fn declare(t: &mut Table, channels: i64, map: (i64, i64), classes: i64) -> Result<Self> {
        if map.0 < 6 || map.1 < 6 {
            return Err(Error::Usage(format!(
                "the auxiliary head needs a map of at least 6x6 after the second reduction, these images leave {}x{}; set auxiliary_weight to 0",
                map.0, map.1
            )));
        }
        Ok(t.scope(AUXILIARY, |t| Self {
            stride: [map.0 - 5, map.1 - 5],
            squeeze: Conv::declare(t, "squeeze", ConvShape::pointwise(channels, 128, 1)),
            squeeze_norm: BatchNorm::declare(t, "squeeze_norm", 128, true),
            widen: Conv::declare(t, "widen", ConvShape { kernel: (2, 2), ..ConvShape::pointwise(128, 768, 1) }),
            widen_norm: BatchNorm::declare(t, "widen_norm", 768, true),
            classifier: Linear::declare(t, "classifier", 768, classes),
        }))
    }

    /// [N, C, H, W] → [N, classes]; training mode only.
    fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let x = x.relu().avg_pool2d([5, 5], self.stride, [0, 0], false, false, None);
        let x = self.squeeze_norm.forward(w, &self.squeeze.forward(w, &x), true).relu();
        let x = self.widen_norm.forward(w, &self.widen.forward(w, &x), true).relu();
        self.classifier.forward(w, &x.flatten(1, -1))
    }
}

/// Stem, cells, global average pooling, linear classifier, and the auxiliary head if it is asked for.
#[derive(Debug)]
pub struct DartsNetwork {
    table: Table,
    stem: Stem,
    cells: Vec<BuiltCell>,
    auxiliary: Option<(usize, AuxiliaryHead)>,
    classifier: Linear,
}

impl DartsNetwork {
    /// Declares the network of `pair` for these images at this size.
    pub fn declare(pair: &CellPair<DartsOp>, input: InputShape, size: NetSize) -> Result<Self> {
        let mut table = Table::default();
        let t = &mut table;
        let stem = Stem::declare(t, input.channels, size.channels);
        let (mut older, mut newer, mut width) = (stem.channels, stem.channels, size.channels);
        let (mut height, mut map_width) = (input.height, input.width);
        let (mut previous_reduces, mut cells, mut auxiliary) = (false, Vec::new(), None);
        for index in 0..size.cells {
            let reduction = is_reduction(index, size.cells);
            if reduction {
                (width, height, map_width) = (2 * width, (height + 1) / 2, (map_width + 1) / 2);
            }
            let genotype = if reduction { &pair.reduce } else { &pair.normal };
            let cell =
                t.scope(format!("cell{index}"), |t| BuiltCell::declare(t, genotype, (older, newer), width, reduction, previous_reduces));
            (older, newer, previous_reduces) = (newer, cell.concat.len() as i64 * width, reduction);
            cells.push(cell);
            if size.auxiliary && index == 2 * size.cells / 3 {
                auxiliary = Some((index, AuxiliaryHead::declare(t, newer, (height, map_width), input.classes)?));
            }
        }
        let classifier = Linear::declare(t, "classifier", newer, input.classes);
        Ok(Self { stem, cells, auxiliary, classifier, table })
    }
}

impl Network for DartsNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let stem = self.stem.forward(w, x, pass.training);
        let (mut older, mut newer, mut auxiliary) = (stem.shallow_clone(), stem, None);
        for (index, cell) in self.cells.iter().enumerate() {
            let out = cell.forward(w, &older, &newer, pass);
            (older, newer) = (newer, out);
            match &self.auxiliary {
                Some((at, head)) if *at == index && pass.training => auxiliary = Some(head.forward(w, &newer)),
                _ => (),
            }
        }
        Output { logits: self.classifier.forward(w, &global_average(&newer)), auxiliary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::count;
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
