//! Operations of cells, those of DARTS among them, as blocks that are declared once and run on explicit weights.

use crate::nn::{BatchNorm, BlockedTerm, ConvBn, ConvShape, FactorizedReduce, PoolKind, ReluConvBn, Table, Weights, pool};
use crate::space::DartsOp as Op;
use tch::Tensor;

/// Which form of an operation is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Batch norm without scale and shift, and a batch norm after pooling (DARTS search).
    Search,
    /// Batch norm with scale and shift, none after pooling (training from scratch).
    Evaluation,
}

/// An operation of a cell.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// Zeros at the output's size.
    Zero {
        /// Stride of the edge.
        stride: i64,
    },
    /// Pooling.
    Pool(PoolOf),
    /// The input itself.
    Identity,
    /// Every second row and column.
    Thin,
    /// Factorised reduction.
    Reduce(FactorizedReduce),
    /// ReLU, convolutions, batch norm; some times.
    Convs(Vec<ReluConvBn>),
    /// Convolutions and batch norm without a ReLU.
    Plain(ConvBn),
}

/// A pool.
#[derive(Clone, Debug)]
pub struct PoolOf {
    /// What it takes.
    pub kind: PoolKind,
    /// Side of the window.
    pub kernel: i64,
    /// Stride of the edge.
    pub stride: i64,
    /// Follows it: while searching with DARTS, and in GHN.
    pub norm: Option<BatchNorm>,
    /// Follows it to the cell's width where that is another: a pointwise convolution and batch norm.
    pub project: Option<ConvBn>,
}

impl From<ReluConvBn> for Candidate {
    fn from(block: ReluConvBn) -> Self {
        Self::Convs(vec![block])
    }
}

impl Candidate {
    /// Declares an operation of DARTS for `channels` channels, which it keeps, and stride 1 or 2.
    pub fn declare(t: &mut Table, name: &str, op: Op, channels: i64, stride: i64, form: Form) -> Self {
        let affine = form == Form::Evaluation;
        let pool = |t: &mut Table, kind| {
            let norm = (form == Form::Search).then(|| BatchNorm::declare(t, "norm", channels, false));
            Self::Pool(PoolOf { kind, kernel: 3, stride, norm, project: None })
        };
        t.scope(name, |t| match op {
            Op::None => Self::Zero { stride },
            Op::MaxPool3 => pool(t, PoolKind::Maximum),
            Op::AvgPool3 => pool(t, PoolKind::Average),
            Op::SkipConnect if stride == 1 => Self::Identity,
            Op::SkipConnect => Self::Reduce(FactorizedReduce::declare(t, "reduce", channels, channels, affine)),
            Op::SepConv3 => separable(t, 3, channels, affine, &[(stride, 1), (1, 1)]),
            Op::SepConv5 => separable(t, 5, channels, affine, &[(stride, 1), (1, 1)]),
            Op::DilConv3 => separable(t, 3, channels, affine, &[(stride, 2)]),
            Op::DilConv5 => separable(t, 5, channels, affine, &[(stride, 2)]),
        })
    }

    /// [N, C, H, W] → [N, C, ⌈H/stride⌉, ⌈W/stride⌉].
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        match self {
            Self::Zero { stride } => {
                let (n, c, h, width) = x.size4().expect("maps have four dimensions");
                let up = |size: i64| (size + stride - 1) / stride;
                Tensor::zeros([n, c, up(h), up(width)], (x.kind(), x.device()))
            }
            Self::Pool(PoolOf { kind, kernel, stride, norm, project }) => {
                let pooled = pool(x, *kind, *kernel, *stride);
                let normed = norm.map_or_else(|| pooled.shallow_clone(), |norm| norm.forward(w, &pooled, training));
                project.as_ref().map_or_else(|| normed.shallow_clone(), |project| project.forward(w, &normed, training))
            }
            Self::Identity => x.shallow_clone(),
            Self::Thin => x.slice(2, 0, None, 2).slice(3, 0, None, 2),
            Self::Reduce(reduce) => reduce.forward(w, x, training),
            Self::Convs(stages) => ReluConvBn::in_a_row(stages, w, x, training),
            Self::Plain(block) => block.forward(w, x, training),
        }
    }

    /// What it adds to a sum: nothing for zeros, which spares the addition.
    pub fn adds(&self, w: &Weights, x: &Tensor, training: bool) -> Option<Tensor> {
        (!matches!(self, Self::Zero { .. })).then(|| self.forward(w, x, training))
    }

    /// As terms of a sum: of source `source`, times coefficient `coefficient`. None for zeros; `None` for what our kernels do not do as a sum: pools,
    /// and other convolutions.
    pub fn terms<'a>(&self, w: &'a Weights, source: usize, coefficient: Option<usize>) -> Option<Vec<BlockedTerm<'a>>> {
        let term = |stages| BlockedTerm { source, coefficient, stages };
        match self {
            Self::Zero { .. } => Some(Vec::new()),
            Self::Pool(_) | Self::Thin | Self::Plain(_) => None,
            Self::Identity => Some(vec![term(Vec::new())]),
            Self::Reduce(reduce) => Some(reduce.stages(w).map(|stage| term(vec![stage])).into()),
            Self::Convs(stages) => Some(vec![term(stages.iter().map(|s| s.stage(w)).collect::<Option<_>>()?)]),
        }
    }

    /// True for the stride-1 identity, which drop path spares.
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::Identity)
    }
}

/// Depthwise-separable convolutions in a row, each with its stride and dilation.
fn separable(t: &mut Table, kernel: i64, channels: i64, affine: bool, steps: &[(i64, i64)]) -> Candidate {
    let stage = |(i, (stride, dilation)): (usize, &(i64, i64))| {
        let shapes = [ConvShape::depthwise(channels, kernel, *stride, *dilation), ConvShape::pointwise(channels, channels, 1)];
        ReluConvBn::declare(t, &format!("stage{i}"), &shapes, affine)
    };
    Candidate::Convs(steps.iter().enumerate().map(stage).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    fn declared(op: Op, channels: i64, stride: i64, form: Form) -> (Table, Candidate) {
        let mut t = Table::default();
        let c = Candidate::declare(&mut t, op.name(), op, channels, stride, form);
        (t, c)
    }

    #[test]
    fn parameter_counts_at_width_16_while_searching() {
        let counts = [
            (Op::SepConv3, 1, 800),
            (Op::SepConv5, 1, 1312),
            (Op::DilConv3, 1, 400),
            (Op::DilConv5, 1, 656),
            (Op::SkipConnect, 2, 256),
            (Op::SkipConnect, 1, 0),
            (Op::MaxPool3, 1, 0),
            (Op::AvgPool3, 2, 0),
            (Op::None, 1, 0),
        ];
        for (op, stride, expected) in counts {
            assert_eq!(declared(op, 16, stride, Form::Search).0.count(), expected, "{op:?}");
        }
        assert_eq!(declared(Op::SepConv3, 16, 1, Form::Evaluation).0.count(), 800 + 4 * 16);
    }

    #[test]
    fn every_operation_maps_odd_and_even_sizes_alike() {
        let mut rng = Streams::new(3).rng("init", 0);
        for op in Op::ALL {
            for (stride, form) in [(1, Form::Search), (2, Form::Search), (2, Form::Evaluation)] {
                let (t, c) = declared(op, 4, stride, form);
                let w = Weights::init(&t, &mut rng, Device::Cpu, Kind::Float);
                for (h, width) in [(8, 8), (9, 8), (8, 9), (7, 5), (2, 3)] {
                    let x = Tensor::ones([2, 4, h, width], (Kind::Float, Device::Cpu));
                    let y = c.forward(&w, &x, true);
                    let up = |s: i64| (s + stride - 1) / stride;
                    assert_eq!(y.size(), [2, 4, up(h), up(width)], "{op:?} stride {stride} {h}x{width}");
                }
            }
        }
    }

    #[test]
    fn the_average_leaves_out_the_padding() {
        let x = Tensor::ones([1, 1, 4, 4], (Kind::Double, Device::Cpu));
        assert!(pool(&x, PoolKind::Average, 3, 1).allclose(&x, 1e-12, 1e-12, false));
    }

    #[test]
    fn the_factorised_reduction_sees_both_grids() {
        let (t, c) = declared(Op::SkipConnect, 2, 2, Form::Search);
        let w = Weights::init(&t, &mut Streams::new(1).rng("init", 0), Device::Cpu, Kind::Double);
        let x = Tensor::rand([1, 2, 4, 4], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let y = c.forward(&w, &x, false).sum(Kind::Double);
        let touched =
            Tensor::run_backward(&[y], &[&x], false, false)[0].abs().sum_dim_intlist([0i64, 1].as_slice(), false, Kind::Double).gt(0.0);
        let grid = |row: i64, column: i64| touched.int64_value(&[row, column]) == 1;
        assert!(grid(0, 0) && grid(1, 1) && grid(2, 2) && grid(3, 3));
        assert!(!grid(0, 1) && !grid(1, 0));
    }
}
