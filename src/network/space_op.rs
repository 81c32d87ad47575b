//! The operations of the NASNet space: they map any width to the cell's and can all stride (NASNet appendix, AmoebaNet's released code).

use super::candidate::{Candidate, PoolOf};
use crate::nn::{ConvBn, ConvShape, PoolKind, ReluConvBn, Table};
use crate::space::NasnetOp as Op;

/// Widths and stride of an operation.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub input: i64,
    pub output: i64,
    pub stride: i64,
}

/// Declares `op` from `ends.input` to `ends.output` channels at stride 1 or 2.
pub(super) fn space_op(t: &mut Table, name: &str, op: Op, ends: Ends) -> Candidate {
    t.scope(name, |t| match op {
        Op::Identity if ends.stride == 1 && ends.input == ends.output => Candidate::Identity,
        Op::Identity | Op::Conv1 => in_stages(t, &[ConvShape::pointwise(ends.input, ends.output, ends.stride)]),
        Op::SepConv3 => separable(t, ends, 3, 1),
        Op::SepConv5 => separable(t, ends, 5, 1),
        Op::SepConv7 => separable(t, ends, 7, 1),
        Op::DilSepConv3 => separable(t, ends, 3, 2),
        Op::AvgPool3 => pooled(t, ends, PoolKind::Average, 3),
        Op::MaxPool3 => pooled(t, ends, PoolKind::Maximum, 3),
        Op::MaxPool5 => pooled(t, ends, PoolKind::Maximum, 5),
        Op::MaxPool7 => pooled(t, ends, PoolKind::Maximum, 7),
        Op::Conv3 => bottleneck(t, ends, ends.output / 4, &|e| vec![ConvShape::square(e.input, e.output, 3, e.stride)]),
        Op::BottleneckDil3 => bottleneck(t, ends, ends.output / 4, &|e| vec![dilated(e)]),
        Op::Conv1x3 => bottleneck(t, ends, 3 * ends.output / 8, &|e| row_and_column(e, 3)),
        Op::Conv1x7 => bottleneck(t, ends, ends.output / 4, &|e| row_and_column(e, 7)),
    })
}

/// Convolutions, each with its own ReLU and batch norm.
fn in_stages(t: &mut Table, shapes: &[ConvShape]) -> Candidate {
    let stage = |(i, s): (usize, &ConvShape)| ReluConvBn::declare(t, &format!("stage{i}"), &[*s], true);
    Candidate::Convs(shapes.iter().enumerate().map(stage).collect())
}

fn pooled(t: &mut Table, ends: Ends, kind: PoolKind, kernel: i64) -> Candidate {
    let project = (ends.input != ends.output).then(|| ConvBn::declare(t, "project", ConvShape::pointwise(ends.input, ends.output, 1)));
    Candidate::Pool(PoolOf { kind, kernel, stride: ends.stride, norm: None, project })
}

/// Twice depthwise and pointwise: input → output, output → output.
fn separable(t: &mut Table, ends: Ends, kernel: i64, dilation: i64) -> Candidate {
    let mut stage = |name: &str, input: i64, stride: i64| {
        let shapes = [ConvShape::depthwise(input, kernel, stride, dilation), ConvShape::pointwise(input, ends.output, 1)];
        ReluConvBn::declare(t, name, &shapes, true)
    };
    Candidate::Convs(vec![stage("stage0", ends.input, ends.stride), stage("stage1", ends.output, 1)])
}

/// Pointwise to `width`, the middle convolutions there, pointwise to the output; each with its own ReLU and batch norm. Below one channel there
/// is no bottleneck and the middle maps input to output.
fn bottleneck(t: &mut Table, ends: Ends, width: i64, middle: &dyn Fn(Ends) -> Vec<ConvShape>) -> Candidate {
    if width < 1 {
        return in_stages(t, &middle(ends));
    }
    let inner = middle(Ends { input: width, output: width, stride: ends.stride });
    let [first, last] = [(ends.input, width), (width, ends.output)].map(|(input, output)| ConvShape::pointwise(input, output, 1));
    in_stages(t, &[&[first], &inner[..], &[last]].concat())
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
    use crate::nn::Weights;
    use crate::seed::Streams;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn weights_follow_the_formulas() {
        let count = |op, input: i64, output: i64, stride| {
            let mut t = Table::default();
            space_op(&mut t, "op", op, Ends { input, output, stride });
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
                let built = space_op(&mut t, "op", op, Ends { input, output, stride });
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
