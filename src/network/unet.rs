//! The U-Net that NAS-Unet is compared with (Ronneberger et al. 2015; widths of NAS-Unet's public code): 3x3 convolutions with bias that
//! keep the size, no norm.

use crate::error::Result;
use crate::nn::{Init, Network, Output, ParamId, Pass, Rule, Table, Weights, crop, pad_to_multiple};
use crate::space::{InputShape, UnetSize};
use tch::Tensor;

/// A convolution with bias, or a transposed one.
#[derive(Clone, Copy, Debug)]
struct BiasedConv {
    weight: ParamId,
    bias: ParamId,
}

impl BiasedConv {
    fn declare(t: &mut Table, name: &str, input: i64, output: i64, kernel: i64) -> Self {
        let taps = kernel * kernel;
        let init = t.conv_init(input * taps, output * taps, 1);
        Self::of(t, name, [output, input, kernel, kernel], output, [init, Init::fan_in(input * taps)])
    }

    /// Transposed 2x2 convolution with stride 2 and bias: [N, 2 C, H, W] → [N, C, 2 H, 2 W].
    fn doubling(t: &mut Table, name: &str, output: i64) -> Self {
        Self::of(t, name, [2 * output, output, 2, 2], output, [Init::fan_in(4 * output); 2])
    }

    fn of(t: &mut Table, name: &str, shape: [i64; 4], output: i64, [weight, bias]: [Init; 2]) -> Self {
        t.scope(name, |t| Self { weight: t.param("weight", &shape, weight), bias: t.param("bias", &[output], bias) })
    }

    fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        let padding = w[self.weight].size()[2] / 2;
        x.conv2d(&w[self.weight], Some(&w[self.bias]), [1, 1], [padding, padding], [1, 1], 1)
    }

    fn double(&self, w: &Weights, x: &Tensor) -> Tensor {
        x.conv_transpose2d(&w[self.weight], Some(&w[self.bias]), [2, 2], [0, 0], [0, 0], 1, [1, 1])
    }
}

/// Two 3x3 convolutions, each followed by a ReLU. (The public code leaves out the second ReLU.)
#[derive(Clone, Copy, Debug)]
struct Stage([BiasedConv; 2]);

impl Stage {
    fn declare(t: &mut Table, name: &str, input: i64, output: i64) -> Self {
        t.scope(name, |t| Self([BiasedConv::declare(t, "conv0", input, output, 3), BiasedConv::declare(t, "conv1", output, output, 3)]))
    }

    fn forward(&self, w: &Weights, x: &Tensor) -> Tensor {
        self.0.iter().fold(x.shallow_clone(), |x, conv| conv.forward(w, &x).relu())
    }
}

/// Stages of C, 2 C, ... 2^depth C channels with 2x2 maximum pooling between them, and back: the map is doubled, joined to that of the way
/// down, and a stage follows. C = 64 and depth 4 are the original.
#[derive(Debug)]
pub struct UnetNetwork {
    table: Table,
    down: Vec<Stage>,
    /// From the bottom up.
    up: Vec<(BiasedConv, Stage)>,
    head: BiasedConv,
}

impl UnetNetwork {
    /// Declares it for images of any height and width. `size.channels` is the width of the first stage, 64 times a width multiplier.
    pub fn declare(input: InputShape, size: UnetSize) -> Result<Self> {
        size.check()?;
        let mut t = Table::with_rule(Rule::Kaiming);
        let width = |level: usize| size.channels << level;
        let mut down = vec![Stage::declare(&mut t, "down0", input.channels, width(0))];
        down.extend((1..=size.depth).map(|level| Stage::declare(&mut t, &format!("down{level}"), width(level - 1), width(level))));
        let mut joined = |level: usize| {
            t.scope(format!("up{level}"), |t| {
                (BiasedConv::doubling(t, "double", width(level)), Stage::declare(t, "stage", 2 * width(level), width(level)))
            })
        };
        let up = (0..size.depth).rev().map(&mut joined).collect();
        let head = BiasedConv::declare(&mut t, "head", width(0), input.classes, 1);
        Ok(Self { table: t, down, up, head })
    }
}

impl Network for UnetNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    /// Logits [N, classes, H, W]. The images are padded at the bottom and at the right to multiples of 2^depth by repeating their border,
    /// the logits are cropped.
    fn forward(&self, w: &Weights, x: &Tensor, _: &mut Pass) -> Output {
        let (_, _, height, width) = x.size4().expect("images have four dimensions");
        let x = pad_to_multiple(x, 1 << self.up.len());
        let mut maps = vec![self.down[0].forward(w, &x)];
        for stage in &self.down[1..] {
            let pooled = maps[maps.len() - 1].max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
            maps.push(stage.forward(w, &pooled));
        }
        let mut map = maps.pop().expect("there is a bottom");
        for ((double, stage), skip) in self.up.iter().zip(maps.iter().rev()) {
            map = stage.forward(w, &Tensor::cat(&[skip, &double.double(w, &map)], 1));
        }
        Output { logits: self.head.forward(w, &crop(&map, height, width)), auxiliary: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::cross_entropy;
    use crate::seed::Streams;
    use tch::{Device, Kind};

    fn net(channels: i64, depth: usize) -> UnetNetwork {
        let input = InputShape { channels: 1, height: 64, width: 64, classes: 2 };
        UnetNetwork::declare(input, UnetSize { channels, depth }).unwrap()
    }

    fn weights(net: &UnetNetwork) -> Weights {
        Weights::init(net.table(), &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Double)
    }

    #[test]
    fn weights_of_the_original_and_of_narrower_ones() {
        assert_eq!([64, 16, 8].map(|channels| net(channels, 4).table().count()), [31_030_658, 1_940_834, 485_682]);
    }

    #[test]
    fn the_output_has_the_size_of_the_input_whatever_that_is() {
        let net = net(2, 4);
        let w = weights(&net);
        for (h, width) in [(16, 16), (16, 130), (130, 17), (17, 23), (33, 64), (61, 19), (65, 100), (97, 96), (127, 101), (129, 31)] {
            let x = Tensor::rand([2, 1, h, width], (Kind::Double, Device::Cpu));
            let out = net.forward(&w, &x, &mut Pass::evaluation()).logits;
            assert_eq!(out.size(), [2, 2, h, width]);
            let alone = net.forward(&w, &x.narrow(0, 1, 1), &mut Pass::evaluation()).logits;
            assert!(out.narrow(0, 1, 1).allclose(&alone, 1e-9, 1e-9, false), "{h}x{width} in company");
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        tch::set_num_threads(1);
        let net = net(3, 2);
        let w = weights(&net);
        let x = Tensor::from_slice(&(0..2 * 9 * 10).map(|i| f64::from(i * i % 97) / 50.0 - 1.0).collect::<Vec<_>>()).view([2, 1, 9, 10]);
        let masks = x.squeeze_dim(1).gt(0.1).to_kind(Kind::Int64);
        w.check_gradient(|w| cross_entropy(&net.forward(w, &x, &mut Pass::evaluation()).logits, &masks), 60, 1e-6);
    }
}
