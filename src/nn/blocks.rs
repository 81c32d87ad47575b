//! The convolution blocks that cells are made of. The order is (ReLU →) convolution → batch norm; convolutions have no bias.

use super::blocked::{BlockedStage, chains};
use super::init::Init;
use super::kernels::{self, laid_out};
use super::norm::{BatchNorm, norm_by_batch};
use super::weights::{ParamId, Table, Weights};
use tch::Tensor;

/// Shape of a convolution. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Input channels.
    pub input: i64,
    /// Output channels.
    pub output: i64,
    /// Kernel size.
    pub kernel: (i64, i64),
    /// Stride.
    pub stride: (i64, i64),
    /// Zero padding on each side.
    pub padding: (i64, i64),
    /// Distance of the kernel's taps.
    pub dilation: i64,
    /// Number of channel groups.
    pub groups: i64,
}

impl ConvShape {
    /// A pointwise convolution.
    pub fn pointwise(input: i64, output: i64, stride: i64) -> Self {
        Self::square(input, output, 1, stride)
    }

    /// A dense convolution with an odd kernel that keeps the size at stride 1.
    pub fn dense(input: i64, output: i64, kernel: (i64, i64), stride: (i64, i64)) -> Self {
        let padding = ((kernel.0 - 1) / 2, (kernel.1 - 1) / 2);
        Self { input, output, kernel, stride, padding, dilation: 1, groups: 1 }
    }

    /// The same with a square kernel.
    pub fn square(input: i64, output: i64, kernel: i64, stride: i64) -> Self {
        Self::dense(input, output, (kernel, kernel), (stride, stride))
    }

    /// A depthwise convolution (one filter a channel) with an odd square kernel that keeps the size at stride 1.
    pub fn depthwise(channels: i64, kernel: i64, stride: i64, dilation: i64) -> Self {
        let padding = dilation * (kernel - 1) / 2;
        Self { padding: (padding, padding), dilation, groups: channels, ..Self::square(channels, channels, kernel, stride) }
    }
}

/// A convolution without bias.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    weight: ParamId,
    shape: ConvShape,
    transposed: bool,
}

impl Conv {
    /// Declares the weight [output, input / groups, kernel height, kernel width], initialised by the table's rule.
    pub fn declare(t: &mut Table, name: &str, shape: ConvShape) -> Self {
        let inputs = shape.input / shape.groups;
        let taps = shape.kernel.0 * shape.kernel.1;
        let init = t.conv_init(inputs * taps, shape.output / shape.groups * taps, shape.groups);
        let weight = t.scope(name, |t| t.param("weight", &[shape.output, inputs, shape.kernel.0, shape.kernel.1], init));
        Self { weight, shape, transposed: false }
    }

    /// A transposed convolution: declares the weight [input, output / groups, kernel height, kernel width], initialised as PyTorch does whatever
    /// the table's rule.
    pub fn transposed(t: &mut Table, name: &str, shape: ConvShape) -> Self {
        let outputs = shape.output / shape.groups;
        let init = Init::fan_in(outputs * shape.kernel.0 * shape.kernel.1);
        let weight = t.scope(name, |t| t.param("weight", &[shape.input, outputs, shape.kernel.0, shape.kernel.1], init));
        Self { weight, shape, transposed: true }
    }

    /// One filter a channel, with a square kernel.
    fn is_depthwise(&self) -> bool {
        let s = &self.shape;
        let square = s.kernel.0 == s.kernel.1 && s.stride.0 == s.stride.1 && s.padding.0 == s.padding.1;
        square && s.groups == s.input && s.output == s.input && s.groups > 1
    }

    /// [N, input, H, W] → [N, output, H', W']; transposed H' = stride (H - 1) + dilation (kernel - 1) + 1 - 2 padding.
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let (s, kernel) = (&self.shape, &w[self.weight]);
        let [stride, padding, dilation] = [s.stride, s.padding, (s.dilation, s.dilation)].map(|(rows, columns)| [rows, columns]);
        if self.transposed {
            return x.conv_transpose2d(kernel, None::<&Tensor>, stride, padding, [0, 0], s.groups, dilation);
        }
        if self.is_depthwise() {
            return kernels::depthwise(x, kernel, s.stride.0, s.padding.0, s.dilation);
        }
        laid_out(x).conv2d(kernel, None::<&Tensor>, stride, padding, dilation, s.groups)
    }
}

/// A linear layer.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear {
    /// Declares the weight [output, input] and the bias `[output]`, initialised by the table's rule.
    pub fn declare(t: &mut Table, name: &str, input: i64, output: i64) -> Self {
        let (weight, bias) = t.layer_init(input, output);
        Self::with_init(t, name, [output, input], weight, Some(bias))
    }

    /// Declares the weight [output, input] alone, initialised by the table's rule.
    pub fn without_bias(t: &mut Table, name: &str, input: i64, output: i64) -> Self {
        let (weight, _) = t.layer_init(input, output);
        Self::with_init(t, name, [output, input], weight, None)
    }

    /// Declares the weight of this shape and perhaps a bias, initialised so.
    pub fn with_init(t: &mut Table, name: &str, shape: [i64; 2], weight: Init, bias: Option<Init>) -> Self {
        t.scope(name, |t| Self { weight: t.param("weight", &shape, weight), bias: bias.map(|init| t.param("bias", &shape[..1], init)) })
    }

    /// [N, input] → [N, output].
    pub fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        x.linear(&w[self.weight], self.bias.map(|b| &w[b]))
    }
}

/// ReLU, depthwise convolution with stride 1 (if there is one), pointwise convolution, batch norm by the batch alone, on given weights: x [N, C, H, W],
/// depthwise [C, 1, K, K], pointwise [C', C, 1, 1], scale and shift `[C']` → [N, C', H, W].
pub fn stage(x: &Tensor, depthwise: Option<&Tensor>, pointwise: &Tensor, affine: (&Tensor, &Tensor)) -> Tensor {
    let outputs = pointwise.size()[0];
    // The kernels move running statistics; nobody reads these.
    let nowhere = (Tensor::zeros([outputs], (x.kind(), x.device())), Tensor::ones([outputs], (x.kind(), x.device())));
    let stage = BlockedStage { depthwise, ..BlockedStage::new(pointwise, Some(affine), (&nowhere.0, &nowhere.1), Tensor::shallow_clone) };
    chains(x, vec![vec![stage]], true).unwrap_or_else(|| {
        let padding = depthwise.map_or(0, |d| (d.size()[3] - 1) / 2);
        let x = x.relu();
        let x = depthwise.map_or_else(|| x.shallow_clone(), |d| kernels::depthwise(&x, d, 1, padding, 1));
        let x = x.conv2d(pointwise, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
        norm_by_batch(&x, affine)
    })
}

/// Some convolutions in a row and batch norm, after a ReLU if `RELU`: [N, C, H, W] → [N, C', H', W'].
#[derive(Clone, Debug)]
pub struct ConvBlock<const RELU: bool> {
    convs: Vec<Conv>,
    norm: BatchNorm,
}

/// ReLU, some convolutions in a row, batch norm.
pub type ReluConvBn = ConvBlock<true>;

/// Convolutions and batch norm without a ReLU.
pub type ConvBn = ConvBlock<false>;

impl ConvBlock<true> {
    /// Declares the convolutions `conv0`, `conv1`, ... and the norm.
    pub fn declare(t: &mut Table, name: &str, shapes: &[ConvShape], affine: bool) -> Self {
        Self::with_norm(t, name, shapes, affine)
    }

    /// The same convolutions under a norm of its own, for another input.
    pub fn sharing(&self, t: &mut Table, name: &str, output: i64, affine: bool) -> Self {
        Self { convs: self.convs.clone(), norm: BatchNorm::declare(t, name, output, affine) }
    }
}

impl ConvBlock<false> {
    /// Declares one convolution and its norm.
    pub fn declare(t: &mut Table, name: &str, shape: ConvShape) -> Self {
        Self::declare_all(t, name, &[shape])
    }

    /// Declares some convolutions in a row and a norm.
    pub fn declare_all(t: &mut Table, name: &str, shapes: &[ConvShape]) -> Self {
        Self::with_norm(t, name, shapes, true)
    }
}

impl<const RELU: bool> ConvBlock<RELU> {
    /// Declares the convolutions `conv0`, `conv1`, ... and the norm, with scale and shift if `affine`.
    pub fn with_norm(t: &mut Table, name: &str, shapes: &[ConvShape], affine: bool) -> Self {
        t.scope(name, |t| Self {
            convs: shapes.iter().enumerate().map(|(i, s)| Conv::declare(t, &format!("conv{i}"), *s)).collect(),
            norm: BatchNorm::declare(t, "norm", shapes.last().expect("a block has a convolution").output, affine),
        })
    }

    /// Declares one convolution and a norm with scale and shift by names of their own.
    pub fn named(t: &mut Table, [conv, norm]: [&str; 2], shape: ConvShape) -> Self {
        Self { convs: vec![Conv::declare(t, conv, shape)], norm: BatchNorm::declare(t, norm, shape.output, true) }
    }

    /// As a stage of our own kernels, if it is one: a pointwise or a depthwise and a pointwise convolution.
    pub fn stage<'a>(&self, w: &'a Weights) -> Option<BlockedStage<'a>> {
        let (depthwise, pointwise) = match &self.convs[..] {
            [pointwise] => (None, pointwise),
            [depthwise, pointwise] if depthwise.is_depthwise() => (Some(depthwise), pointwise),
            _ => return None,
        };
        let first = depthwise.unwrap_or(pointwise).shape;
        let last = pointwise.shape;
        let keeps_size = first.padding.0 == first.dilation * (first.kernel.0 - 1) / 2 && first.kernel.0 % 2 == 1;
        let dense = last.kernel == (1, 1) && last.groups == 1 && (depthwise.is_none() || last.stride == (1, 1));
        (dense && keeps_size && first.stride.0 == first.stride.1).then(|| BlockedStage {
            depthwise: depthwise.map(|d| &w[d.weight]),
            relu: RELU,
            stride: first.stride.0,
            dilation: first.dilation,
            ..BlockedStage::new(&w[pointwise.weight], self.norm.affine(w), self.norm.running(w), Tensor::shallow_clone)
        })
    }

    /// Runs it.
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        self.stage(w).and_then(|stage| chains(x, vec![vec![stage]], training)).unwrap_or_else(|| self.in_steps(w, x, training))
    }

    /// Runs some, one after the other: in one pass where our kernels do all of them.
    pub fn in_a_row(blocks: &[Self], w: &Weights, x: &Tensor, training: bool) -> Tensor {
        let stages: Option<Vec<_>> = blocks.iter().map(|block| block.stage(w)).collect();
        let all = stages.and_then(|stages| chains(x, vec![stages], training));
        all.unwrap_or_else(|| blocks.iter().fold(x.shallow_clone(), |x, block| block.forward(w, &x, training)))
    }

    /// Runs one operator after the other.
    pub fn in_steps(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        let x = if RELU { x.relu() } else { x.shallow_clone() };
        let convolved = self.convs.iter().fold(x, |x, conv| conv.forward(w, &x));
        self.norm.forward(w, &convolved, training)
    }
}

/// Halves the map without losing pixels: ReLU, two pointwise stride-2 convolutions on grids shifted by one pixel, each to half
/// of the channels, concatenated, batch norm. Odd sizes are rounded up: the shifted grid is filled up with a row or column of zeros.
#[derive(Clone, Copy, Debug)]
pub struct FactorizedReduce {
    relu: bool,
    straight: Conv,
    shifted: Conv,
    norm: BatchNorm,
}

impl FactorizedReduce {
    /// Declares it; where `output` is odd, the first half is the larger.
    pub fn declare(t: &mut Table, name: &str, input: i64, output: i64, affine: bool) -> Self {
        t.scope(name, |t| Self {
            relu: true,
            straight: Conv::declare(t, "conv0", ConvShape::pointwise(input, output - output / 2, 2)),
            shifted: Conv::declare(t, "conv1", ConvShape::pointwise(input, output / 2, 2)),
            norm: BatchNorm::declare(t, "norm", output, affine),
        })
    }

    /// The same without the ReLU in front.
    pub fn without_relu(self) -> Self {
        Self { relu: false, ..self }
    }

    /// As stages of our own kernels, one for each half of the channels.
    pub fn stages<'a>(&self, w: &'a Weights) -> [BlockedStage<'a>; 2] {
        let split = self.straight.shape.output;
        [(self.straight, 0, 0, split), (self.shifted, 1, split, self.shifted.shape.output)].map(|(conv, shift, first, count)| {
            BlockedStage {
                relu: self.relu,
                stride: 2,
                shift,
                first,
                ..BlockedStage::new(&w[conv.weight], self.norm.affine(w), self.norm.running(w), |t| t.narrow(0, first, count))
            }
        })
    }

    /// [N, input, H, W] → [N, output, ⌈H/2⌉, ⌈W/2⌉].
    pub fn forward(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        let halves = self.stages(w).map(|half| vec![half]).into();
        chains(x, halves, training).unwrap_or_else(|| self.in_steps(w, x, training))
    }

    fn in_steps(&self, w: &Weights, x: &Tensor, training: bool) -> Tensor {
        let x = if self.relu { x.relu() } else { x.shallow_clone() };
        let (_, _, height, width) = x.size4().expect("maps have four dimensions");
        let (odd_rows, odd_columns) = (height % 2, width % 2);
        let shifted = if odd_rows + odd_columns > 0 { x.constant_pad_nd([0, odd_columns, 0, odd_rows]) } else { x.shallow_clone() };
        let shifted = shifted.slice(2, 1, None, 1).slice(3, 1, None, 1);
        let both = Tensor::cat(&[self.straight.forward(w, &x), self.shifted.forward(w, &shifted)], 1);
        self.norm.forward(w, &both, training)
    }
}
