//! The U that the search network and the final network of NAS-Unet have in common: stems, cells down, cells up, head.

use crate::error::Result;
use crate::nn::{Conv, ConvNorm, ConvShape, Pass, Relu, Table, Weights, crop, pad_to_multiple};
use crate::space::{Direction, InputShape, UnetSize};
use tch::Tensor;

/// Two stems, `depth` cells down, `depth + 1` cells up, and a 1x1 convolution to the classes.
#[derive(Clone, Debug)]
pub struct NasUnetBackbone<C> {
    stems: [ConvNorm; 2],
    down: Vec<C>,
    up: Vec<C>,
    head: Conv,
}

impl<C> NasUnetBackbone<C> {
    /// Declares it: `stem` and `output` are the channels of the stems and of every cell; `cell` declares a cell that reads so many
    /// channels.
    pub fn declare(
        t: &mut Table,
        input: InputShape,
        size: UnetSize,
        (stem, output): (i64, i64),
        mut cell: impl FnMut(&mut Table, Direction, [i64; 2]) -> C,
    ) -> Result<Self> {
        size.check()?;
        let pointwise = ConvShape::pointwise(input.channels, stem, 1);
        let stems = [("stem0", pointwise), ("stem1", ConvShape::square(input.channels, stem, 3, 2))]
            .map(|(name, shape)| ConvNorm::declare(t, name, &[shape], Relu::None, true));
        let mut widths = vec![stem, stem];
        let mut down = Vec::new();
        for i in 0..size.depth {
            let inputs = [widths[i], widths[i + 1]];
            down.push(t.scope(format!("down{i}"), |t| cell(t, Direction::Down, inputs)));
            widths.push(output);
        }
        let skips = widths[..=size.depth].iter().rev().enumerate();
        let up = skips.map(|(i, skip)| t.scope(format!("up{i}"), |t| cell(t, Direction::Up, [*skip, output]))).collect();
        let head = Conv::declare(t, "head", ConvShape::pointwise(output, input.classes, 1));
        Ok(Self { stems, down, up, head })
    }

    /// Class scores of every pixel, [N, C, H, W] → [N, classes, H, W] for any H and W: the images are padded at the bottom and at the
    /// right to multiples of 2^(depth+1) by repeating their border, and the scores are cropped. `cell` runs a cell on its two inputs.
    pub fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass, mut cell: impl FnMut(&C, &Tensor, &Tensor) -> Tensor) -> Tensor {
        let (_, _, height, width) = x.size4().expect("images have four dimensions");
        let x = pad_to_multiple(x, 2 << self.down.len());
        let [mut older, mut newer] = [0, 1].map(|i| self.stems[i].forward(w, &x));
        let mut skips = Vec::new();
        for down in &self.down {
            let out = cell(down, &older, &newer);
            skips.push(older);
            (older, newer) = (newer, out);
        }
        skips.push(older);
        for (up, skip) in self.up.iter().zip(skips.iter().rev()) {
            newer = cell(up, skip, &newer);
        }
        self.head.forward(w, &pass.dropout_channels(crop(&newer, height, width)))
    }
}

/// Brings both inputs of a cell to its width: ReLU, 1x1 convolution, group norm; in a down cell the older input is halved.
#[derive(Clone, Debug)]
pub struct NasUnetPreprocess([ConvNorm; 2]);

impl NasUnetPreprocess {
    /// Declares it for inputs of so many channels.
    pub fn declare(t: &mut Table, direction: Direction, inputs: [i64; 2], channels: i64, affine: bool) -> Self {
        let strides = if direction == Direction::Down { [2, 1] } else { [1, 1] };
        Self([0, 1].map(|i| {
            let shape = ConvShape::pointwise(inputs[i], channels, strides[i]);
            ConvNorm::declare(t, &format!("preprocess{i}"), &[shape], Relu::First, affine)
        }))
    }

    /// States 0 and 1, [N, C, H, W] each; in an up cell state 1 is half as high and wide.
    pub fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor) -> Vec<Tensor> {
        vec![self.0[0].forward(w, older), self.0[1].forward(w, newer)]
    }
}
