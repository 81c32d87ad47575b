//! The operations of segmentation cells as functions of explicit weights.

use crate::nn::{ChannelGate, ConvNorm, ConvShape, PoolKind, Relu, Table, Weights};
use crate::space::SegmentOp;
use tch::Tensor;

/// A built operation at C channels. Stride 2 gives ⌈H/2⌉ rows (pools ⌊H/2⌋), the transposed operations 2H - 1.
#[derive(Clone, Debug)]
pub enum SegmentBlock {
    /// The state itself.
    Identity,
    /// Zeros.
    Zero,
    /// 2x2 pooling with stride 2.
    Pool(PoolKind),
    /// A channel gate (if there is one) and convolutions with their norm (if there are any).
    Weighted {
        /// Channel gate.
        gate: Option<ChannelGate>,
        /// Convolutions.
        convs: Option<ConvNorm>,
    },
}

impl SegmentBlock {
    /// Declares `op` at `channels` channels; with `affine` its norm scales and shifts.
    pub fn declare(t: &mut Table, name: &str, op: SegmentOp, channels: i64, affine: bool) -> Self {
        use SegmentOp as O;
        let stride = if O::NORMAL.contains(&op) { 1 } else { 2 };
        let dense = ConvShape::square(channels, channels, 3, stride);
        let dilated = ConvShape { padding: (2, 2), dilation: 2, ..dense };
        let (gated, shapes) = match op {
            O::Identity => return Self::Identity,
            O::None => return Self::Zero,
            O::AvgPool => return Self::Pool(PoolKind::Average),
            O::MaxPool => return Self::Pool(PoolKind::Maximum),
            O::Cweight => (true, Vec::new()),
            O::DownCweight | O::UpCweight => (true, vec![dense]),
            O::DownConv | O::UpConv | O::Conv | O::ShuffleConv => (false, vec![dense]),
            O::DownDilConv | O::UpDilConv | O::DilConv => (false, vec![dilated]),
            O::DownDepConv | O::UpDepConv | O::DepConv => {
                (false, vec![ConvShape::depthwise(channels, 3, stride, 1), ConvShape::pointwise(channels, channels, 1)])
            }
        };
        let relu = if gated { Relu::None } else { Relu::Last };
        let declare = if O::UP.contains(&op) { ConvNorm::declare_transposed } else { ConvNorm::declare };
        t.scope(name, |t| Self::Weighted {
            gate: gated.then(|| ChannelGate::declare(t, "gate", channels)),
            convs: (!shapes.is_empty()).then(|| declare(t, "convs", &shapes, relu, affine)),
        })
    }

    /// [N, C, H, W] → [N, C, H', W'].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        match self {
            Self::Identity => x.shallow_clone(),
            Self::Zero => x.zeros_like(),
            Self::Pool(PoolKind::Maximum) => x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
            Self::Pool(PoolKind::Average) => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, false, None),
            Self::Weighted { gate, convs } => {
                let x = gate.map_or_else(|| x.shallow_clone(), |g| g.forward(w, x));
                convs.as_ref().map_or_else(|| x.shallow_clone(), |c| c.forward(w, &x))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    fn all() -> impl Iterator<Item = SegmentOp> {
        SegmentOp::ALL.into_iter()
    }

    fn built(op: SegmentOp, channels: i64, affine: bool) -> (Table, SegmentBlock) {
        let mut t = Table::default();
        let block = SegmentBlock::declare(&mut t, op.name(), op, channels, affine);
        (t, block)
    }

    fn weights(t: &Table) -> Weights {
        Weights::init(t, &mut Streams::new(3).rng("init", 0), Device::Cpu, Kind::Double)
    }

    #[test]
    fn weights_follow_the_formulas() {
        use SegmentOp as O;
        for c in [4u64, 16, 32, 48] {
            let hidden = (c / 16).max(1);
            let gate = 2 * c * hidden + hidden + c;
            for op in all() {
                let expected = match op {
                    O::AvgPool | O::MaxPool | O::Identity | O::None => 0,
                    O::Cweight => gate,
                    O::DownCweight | O::UpCweight => gate + 9 * c * c + 2 * c,
                    O::DownDepConv | O::UpDepConv | O::DepConv => 9 * c + c * c + 2 * c,
                    _ => 9 * c * c + 2 * c,
                };
                assert_eq!(built(op, c as i64, true).0.count(), expected, "{op:?} at {c}");
                let norm = if expected > gate { 2 * c } else { 0 };
                assert_eq!(built(op, c as i64, false).0.count(), expected - norm, "{op:?} at {c} without scale and shift");
            }
        }
    }

    #[test]
    fn sizes_are_halved_kept_or_doubled_less_one() {
        for op in all() {
            let (t, block) = built(op, 4, true);
            for (h, width) in [(8, 6), (7, 5), (2, 2), (3, 16)] {
                let y = block.forward(&weights(&t), &Tensor::ones([2, 4, h, width], (Kind::Double, Device::Cpu)));
                let size = |s: i64| match op {
                    SegmentOp::AvgPool | SegmentOp::MaxPool => s / 2,
                    _ if SegmentOp::DOWN.contains(&op) => (s + 1) / 2,
                    _ if SegmentOp::UP.contains(&op) => 2 * s - 1,
                    _ => s,
                };
                assert_eq!(y.size(), [2, 4, size(h), size(width)], "{op:?} of {h}x{width}");
            }
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        tch::set_num_threads(1);
        for op in all().filter(|op| built(*op, 5, true).0.count() > 0) {
            let (t, block) = built(op, 5, true);
            let x = Tensor::from_slice(&(0..2 * 5 * 6 * 7).map(|i| f64::from(i * i % 37) / 10.0).collect::<Vec<_>>()).view([2, 5, 6, 7]);
            weights(&t).check_gradient(|w| block.forward(w, &x).square().mean(Kind::Double), 40, 1e-6);
        }
    }
}
