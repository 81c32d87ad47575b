//! The operations of the NASNet space: they map any width to the cell's and can all stride (NASNet appendix, AmoebaNet's released code).

use crate::nn::{ConvBn, ConvShape, FactorizedReduce, Pass, PoolKind, ReluConvBn, Table, Weights, pool};
use crate::space::NasnetOp as Op;
use tch::Tensor;

/// An operation from `input` to `output` channels.
#[derive(Clone, Debug)]
pub enum SpaceOp {
    /// The input itself.
    Identity,
    /// A pool; where the width changes, a pointwise convolution and batch norm follow.
    Pool {
        /// What it takes.
        of: PoolKind,
        /// Side of the window.
        kernel: i64,
        /// Stride.
        stride: i64,
        /// To the cell's width.
        project: Option<ConvBn>,
    },
    /// ReLU, convolutions, batch norm, some times.
    Convs(Vec<ReluConvBn>),
    /// Factorised reduction, in place of an identity (ENAS).
    Reduce(FactorizedReduce),
}

/// A side of a node.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub op: SpaceOp,
    /// The state that it reads.
    pub from: usize,
    /// Drop path never drops it.
    pub spared: bool,
}

impl Side {
    pub fn forward(&self, w: &Weights, states: &[Tensor], pass: &mut Pass) -> Tensor {
        let out = self.op.forward(w, &states[self.from], pass.training);
        if self.spared { out } else { pass.drop_path(out) }
    }
}

/// Widths and stride of an operation.
#[derive(Clone, Copy)]
struct Ends {
    input: i64,
    output: i64,
    stride: i64,
}

impl SpaceOp {
    /// Declares `op` from `input` to `output` channels at stride 1 or 2.
    pub fn declare(t: &mut Table, name: &str, op: Op, input: i64, output: i64, stride: i64) -> Self {
        let ends = Ends { input, output, stride };
        t.scope(name, |t| match op {
            Op::Identity if stride == 1 && input == output => Self::Identity,
            Op::Identity | Op::Conv1 => {
                Self::Convs(vec![ReluConvBn::declare(t, "stage0", &[ConvShape::pointwise(input, output, stride)], true)])
            }
            Op::SepConv3 => Self::Convs(separable(t, ends, 3, 1)),
            Op::SepConv5 => Self::Convs(separable(t, ends, 5, 1)),
            Op::SepConv7 => Self::Convs(separable(t, ends, 7, 1)),
            Op::DilSepConv3 => Self::Convs(separable(t, ends, 3, 2)),
            Op::AvgPool3 => pooled(t, ends, PoolKind::Average, 3),
            Op::MaxPool3 => pooled(t, ends, PoolKind::Maximum, 3),
            Op::MaxPool5 => pooled(t, ends, PoolKind::Maximum, 5),
            Op::MaxPool7 => pooled(t, ends, PoolKind::Maximum, 7),
            Op::Conv3 => Self::Convs(bottleneck(t, ends, output / 4, &|e| vec![ConvShape::square(e.input, e.output, 3, e.stride)])),
            Op::BottleneckDil3 => Self::Convs(bottleneck(t, ends, output / 4, &|e| vec![dilated(e)])),
            Op::Conv1x3 => Self::Convs(bottleneck(t, ends, 3 * output / 8, &|e| row_and_column(e, 3))),
            Op::Conv1x7 => Self::Convs(bottleneck(t, ends, output / 4, &|e| row_and_column(e, 7))),
        })
    }

    /// [N, input, H, W] → [N, output, ⌈H/stride⌉, ⌈W/stride⌉].
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        match self {
            Self::Identity => x.shallow_clone(),
            Self::Convs(stages) => stages.iter().fold(x.shallow_clone(), |x, stage| stage.forward(w, &x, training)),
            Self::Reduce(block) => block.forward(w, x, training),
            Self::Pool { of, kernel, stride, project } => {
                let pooled = pool(x, *of, *kernel, *stride);
                project.as_ref().map_or_else(|| pooled.shallow_clone(), |p| p.forward(w, &pooled, training))
            }
        }
    }
}

fn pooled(t: &mut Table, ends: Ends, of: PoolKind, kernel: i64) -> SpaceOp {
    let project = (ends.input != ends.output).then(|| ConvBn::declare(t, "project", ConvShape::pointwise(ends.input, ends.output, 1)));
    SpaceOp::Pool { of, kernel, stride: ends.stride, project }
}

/// Twice depthwise and pointwise: input → output, output → output.
fn separable(t: &mut Table, ends: Ends, kernel: i64, dilation: i64) -> Vec<ReluConvBn> {
    let mut stage = |name: &str, input: i64, stride: i64| {
        let shapes = [ConvShape::depthwise(input, kernel, stride, dilation), ConvShape::pointwise(input, ends.output, 1)];
        ReluConvBn::declare(t, name, &shapes, true)
    };
    vec![stage("stage0", ends.input, ends.stride), stage("stage1", ends.output, 1)]
}

/// Pointwise to `width`, the middle convolutions there, pointwise to the output; each with its own ReLU and batch norm. Below one channel there
/// is no bottleneck and the middle maps input to output.
fn bottleneck(t: &mut Table, ends: Ends, width: i64, middle: &dyn Fn(Ends) -> Vec<ConvShape>) -> Vec<ReluConvBn> {
    let shapes = if width < 1 {
        middle(ends)
    } else {
        let first = ConvShape::pointwise(ends.input, width, 1);
        let last = ConvShape::pointwise(width, ends.output, 1);
        let inner = middle(Ends { input: width, output: width, stride: ends.stride });
        [first].into_iter().chain(inner).chain([last]).collect()
    };
    shapes.iter().enumerate().map(|(i, s)| ReluConvBn::declare(t, &format!("stage{i}"), &[*s], true)).collect()
}

fn dilated(ends: Ends) -> ConvShape {
    ConvShape { padding: (2, 2), dilation: 2, ..ConvShape::square(ends.input, ends.output, 3, ends.stride) }
}

fn row_and_column(ends: Ends, kernel: i64) -> Vec<ConvShape> {
    let row = ConvShape::dense(ends.input, ends.output, (1, kernel), (1, ends.stride));
    let column = ConvShape::dense(ends.output, ends.output, (kernel, 1), (ends.stride, 1));
    vec![row, column]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    #[test]
    fn weights_follow_the_formulas() {
        let count = |op, input: i64, output: i64, stride| {
            let mut t = Table::default();
            SpaceOp::declare(&mut t, "op", op, input, output, stride);
            t.count() as i64
        };
        let (c, f, r) = (96, 32, 8);
        for (op, k) in [(Op::SepConv3, 3), (Op::SepConv5, 5), (Op::SepConv7, 7)] {
            assert_eq!(count(op, c, f, 2), (k * k * c + c * f + 2 * f) + (k * k * f + f * f + 2 * f));
        }
        assert_eq!(count(Op::Identity, c, f, 1), c * f + 2 * f);
        assert_eq!(count(Op::Identity, f, f, 1), 0);
        assert_eq!(count(Op::MaxPool3, f, f, 2), 0);
        assert_eq!(count(Op::AvgPool3, c, f, 1), c * f + 2 * f);
        assert_eq!(count(Op::Conv1x7, c, f, 1), c * r + 14 * r * r + r * f + 6 * r + 2 * f);
    }

    #[test]
    fn every_operation_changes_width_and_size_as_asked() {
        let mut rng = Streams::new(3).rng("init", 0);
        for op in Op::ALL {
            for (input, output, stride) in [(4, 4, 1), (4, 4, 2), (3, 8, 1), (3, 8, 2), (5, 2, 2)] {
                let mut t = Table::default();
                let built = SpaceOp::declare(&mut t, "op", op, input, output, stride);
                let w = Weights::init(&t, &mut rng, Device::Cpu, Kind::Float);
                for (h, width) in [(8, 8), (7, 5), (2, 3)] {
                    let y = built.forward(&w, &Tensor::ones([2, input, h, width], (Kind::Float, Device::Cpu)), true);
                    let up = |s: i64| (s + stride - 1) / stride;
                    assert_eq!(y.size(), [2, output, up(h), up(width)], "{op:?} {input} to {output}, stride {stride}, {h}x{width}");
                }
            }
        }
    }
}
