//! What the operations of segmentation cells are made of, as functions of explicit weights. The order is convolution → group norm → ReLU.

use super::blocks::{Conv, ConvShape, Linear};
use super::init::Init;
use super::resize::global_average;
use super::weights::{ParamId, Table, Weights};
use tch::Tensor;

/// Channels that are normalised together.
const GROUP: i64 = 16;
/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Channels of a gate for one unit of its hidden layer.
const SQUEEZE: i64 = 16;

/// Group normalisation over [N, C, H, W]: groups of 16 channels, one group if C is no multiple of 16. Every image is normalised by itself.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    groups: i64,
    affine: Option<[ParamId; 2]>,
}

impl GroupNorm {
    /// Declares, if `affine`, a scale (1 at the start) and a shift (0).
    pub fn declare(t: &mut Table, name: &str, channels: i64, affine: bool) -> Self {
        let groups = if channels % GROUP == 0 { channels / GROUP } else { 1 };
        Self { groups, affine: affine.then(|| t.scope(name, |t| t.scale_and_shift(channels))) }
    }

    /// [N, C, H, W] → [N, C, H, W].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let (scale, shift) = self.affine.map(|[scale, shift]| (&w[scale], &w[shift])).unzip();
        x.group_norm(self.groups, scale, shift, EPSILON, true)
    }
}

/// Channel gate (squeeze and excitation): x · sigmoid(W2 relu(W1 mean(x) + b1) + b2), the mean over the map. The hidden layer has ⌊C/16⌋
/// units, at least one (the public code has none below 16 channels, which makes the gate a constant).
#[derive(Clone, Copy, Debug)]
pub struct ChannelGate {
    squeeze: Linear,
    excite: Linear,
}

impl ChannelGate {
    /// Declares both layers with biases, initialised as PyTorch does whatever the table's rule.
    pub fn declare(t: &mut Table, name: &str, channels: i64) -> Self {
        let hidden = (channels / SQUEEZE).max(1);
        let layer = |t: &mut Table, name: &str, input: i64, output: i64| {
            Linear::with_init(t, name, [output, input], Init::fan_in(input), Some(Init::fan_in(input)))
        };
        t.scope(name, |t| Self { squeeze: layer(t, "squeeze", channels, hidden), excite: layer(t, "excite", hidden, channels) })
    }

    /// [N, C, H, W] → [N, C, H, W].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let open = self.excite.forward(w, &self.squeeze.forward(w, &global_average(x)).relu()).sigmoid();
        x * open.unsqueeze(-1).unsqueeze(-1)
    }
}

/// Where a ReLU stands in a [`ConvNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relu {
    /// Before the convolutions.
    First,
    /// After the norm.
    Last,
    /// Nowhere.
    None,
}

/// Declares a convolution.
type Declare = fn(&mut Table, &str, ConvShape) -> Conv;

/// Convolutions in a row, group norm, and perhaps a ReLU.
#[derive(Clone, Debug)]
pub struct ConvNorm {
    relu: Relu,
    convs: Vec<Conv>,
    norm: GroupNorm,
}

impl ConvNorm {
    /// Declares the convolutions `conv0`, `conv1`, ... and the norm.
    pub fn declare(t: &mut Table, name: &str, shapes: &[ConvShape], relu: Relu, affine: bool) -> Self {
        Self::with_first(t, name, shapes, (relu, affine), Conv::declare)
    }

    /// The same with a transposed convolution in the place of the first.
    pub fn declare_transposed(t: &mut Table, name: &str, shapes: &[ConvShape], relu: Relu, affine: bool) -> Self {
        Self::with_first(t, name, shapes, (relu, affine), Conv::transposed)
    }

    fn with_first(t: &mut Table, name: &str, shapes: &[ConvShape], (relu, affine): (Relu, bool), first: Declare) -> Self {
        t.scope(name, |t| {
            let mut convs: Vec<Conv> = Vec::new();
            for (i, shape) in shapes.iter().enumerate() {
                let declare = if i == 0 { first } else { Conv::declare };
                convs.push(declare(t, &format!("conv{i}"), *shape));
            }
            let norm = GroupNorm::declare(t, "norm", shapes.last().expect("a block has a convolution").output, affine);
            Self { relu, convs, norm }
        })
    }

    /// [N, C, H, W] → [N, C', H', W'].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let x = if self.relu == Relu::First { x.relu() } else { x.shallow_clone() };
        let x = self.norm.forward(w, &self.convs.iter().fold(x, |x, conv| conv.forward(w, &x)));
        if self.relu == Relu::Last { x.relu() } else { x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    fn weights(t: &Table) -> Weights {
        Weights::init(t, &mut Streams::new(3).rng("init", 0), Device::Cpu, Kind::Double)
    }

    #[test]
    fn a_gate_scales_every_channel_by_a_number_between_0_and_1_that_depends_on_the_image() {
        for channels in [1, 3, 15, 16, 33] {
            let mut t = Table::default();
            let gate = ChannelGate::declare(&mut t, "gate", channels);
            let w = weights(&t);
            let _ = tch::no_grad(|| w.flat().shallow_clone().abs_());
            let x = Tensor::rand([4, channels, 3, 2], (Kind::Double, Device::Cpu)) + 0.1;
            let open = gate.forward(&w, &x) / &x;
            assert!(open.narrow(2, 0, 1).narrow(3, 0, 1).expand_as(&open).allclose(&open, 1e-12, 1e-12, false));
            assert!(open.gt(0.0).logical_and(&open.lt(1.0)).all().int64_value(&[]) == 1);
            assert!(!open.get(0).allclose(&open.get(1), 1e-9, 1e-9, false), "{channels} channels");
        }
    }

    #[test]
    fn groups_of_16_channels_are_normalised_image_by_image() {
        for (channels, groups) in [(32, 2), (48, 3), (16, 1), (8, 1), (20, 1)] {
            let mut t = Table::default();
            let norm = GroupNorm::declare(&mut t, "norm", channels, false);
            let x = Tensor::rand([3, channels, 4, 4], (Kind::Double, Device::Cpu)) * 5.0 + 2.0;
            let y = norm.forward(&Weights::given(&t, Vec::new()), &x).view([3, groups, -1]);
            let mean = y.mean_dim([2i64].as_slice(), false, Kind::Double).abs().max().double_value(&[]);
            let square = (y.square().mean_dim([2i64].as_slice(), false, Kind::Double) - 1.0).abs().max().double_value(&[]);
            assert!(mean < 1e-9 && square < 1e-4, "{channels} channels: {mean} and {square}");
        }
    }
}
