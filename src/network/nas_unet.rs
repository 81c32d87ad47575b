//! The network of two discrete NAS-Unet cells (public code of Weng et al. 2019).

use super::nas_unet_backbone::{NasUnetBackbone, NasUnetPreprocess};
use super::segment_block::SegmentBlock;
use crate::error::Result;
use crate::nn::{Network, Output, Pass, Rule, Table, Weights, sum_resized};
use crate::space::{Direction, Genotype, InputShape, UnetCells, UnetEdge, UnetSize};
use tch::Tensor;

/// Channels of the stems, as a multiple of the cell's width, whatever the number of nodes.
const STEM_MULTIPLIER: i64 = 4;

#[derive(Clone, Debug)]
struct BuiltCell {
    preprocess: NasUnetPreprocess,
    nodes: Vec<[(SegmentBlock, usize); 2]>,
}

impl BuiltCell {
    fn declare(t: &mut Table, nodes: &[[UnetEdge; 2]], direction: Direction, inputs: [i64; 2], channels: i64) -> Self {
        let preprocess = NasUnetPreprocess::declare(t, direction, inputs, channels, true);
        let nodes = nodes.iter().enumerate().map(|(i, edges)| {
            [0, 1].map(|k| {
                let name = format!("node{}.edge{k}.{}", i + 2, edges[k].op.name());
                (SegmentBlock::declare(t, &name, edges[k].op, channels, true), edges[k].from)
            })
        });
        Self { preprocess, nodes: nodes.collect() }
    }

    /// A node is the sum of its edges; where one is a row and a column short, it is resized to the other.
    fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor) -> Tensor {
        let mut states = self.preprocess.forward(w, older, newer);
        for node in &self.nodes {
            let edges = [0, 1].map(|k| node[k].0.forward(w, &states[node[k].1]));
            states.push(sum_resized(&edges));
        }
        Tensor::cat(&states[2..], 1)
    }
}

/// Stems, cells and head. Convolutions start by He et al. (normal, √(2/fan_in)); transposed convolutions and gates as PyTorch starts them.
#[derive(Debug)]
pub struct NasUnetNetwork {
    table: Table,
    backbone: NasUnetBackbone<BuiltCell>,
}

impl NasUnetNetwork {
    /// Declares the network of `cells` for images of any height and width.
    pub fn declare(cells: &UnetCells, input: InputShape, size: UnetSize) -> Result<Self> {
        cells.check()?;
        let mut table = Table::with_rule(Rule::Kaiming);
        let widths = (STEM_MULTIPLIER * size.channels, cells.nodes() as i64 * size.channels);
        let backbone = NasUnetBackbone::declare(&mut table, input, size, widths, |t, direction, inputs| {
            BuiltCell::declare(t, cells.cell(direction), direction, inputs, size.channels)
        })?;
        Ok(Self { table, backbone })
    }
}

impl Network for NasUnetNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    /// Logits [N, classes, H, W].
    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let logits = self.backbone.forward(w, x, pass, |cell, older, newer| cell.forward(w, older, newer));
        Output { logits, auxiliary: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::build;
    use crate::nn::cross_entropy;
    use crate::seed::Streams;
    use crate::space::{NetSize, nas_unet, published};
    use tch::{Device, Kind};

    const GRAY: InputShape = InputShape { channels: 1, height: 64, width: 64, classes: 2 };

    /// Weights that the public code declares and never uses: a norm after the head, with a scale and a shift a class. Published counts hold them.
    const UNUSED: u64 = 4;

    fn named(name: &str) -> UnetCells {
        published(name).unwrap().get::<UnetCells>().unwrap().clone()
    }

    fn net(cells: &UnetCells, channels: i64, depth: usize) -> NasUnetNetwork {
        NasUnetNetwork::declare(cells, GRAY, UnetSize { channels, depth }).unwrap()
    }

    fn weights(net: &NasUnetNetwork) -> Weights {
        Weights::init(net.table(), &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Double)
    }

    fn logits(net: &NasUnetNetwork, w: &Weights, x: &Tensor) -> Tensor {
        net.forward(w, x, &mut Pass::evaluation()).logits
    }

    #[test]
    fn published_cells_have_the_weights_of_the_public_code() {
        let sizes = [(16, 2), (16, 3), (16, 4), (32, 4), (32, 5), (48, 4), (48, 5), (48, 6), (64, 6)];
        let weights = |name| sizes.map(|(channels, depth)| net(&named(name), channels, depth).table().count() + UNUSED);
        // Of the nine sizes: c=32 d=5 is the paper's 0.8 M; c=64 d=6 of V2 is in a public log of another's run of the code, 2.278320 M.
        assert_eq!(weights("nas-unet-v3"), [99_245, 138_999, 178_753, 705_982, 863_442, 1_581_691, 1_934_809, 2_287_927, 4_059_336]);
        assert_eq!(weights("nas-unet-v2"), [56_063, 78_579, 101_095, 396_938, 485_746, 887_533, 1_086_409, 1_285_285, 2_278_320]);
        assert_eq!(weights("nas-unet-v2-en")[3..5], [308_970, 375_442]);
        assert_eq!(weights("nas-unet-v2-en")[7], 981_109);
        assert_eq!(weights("nas-unet-v1-en")[3..5], [277_058, 335_144]);
        assert_eq!(weights("nas-unet-v1-en")[7], 876_787);
    }

    #[test]
    fn weights_of_the_papers_network_by_part() {
        let net = net(&named("nas-unet-v3"), 32, 5);
        let of = |scope: &str| net.table().count_if(|n| n.starts_with(scope));
        assert_eq!((of("stem"), of("head.")), (1_792, 256));
        assert!((0..5).all(|i| of(&format!("down{i}.")) == 83_370));
        assert!((0..6).all(|i| of(&format!("up{i}.")) == 74_090));
    }

    #[test]
    fn the_output_has_the_size_of_the_input_whatever_that_is() {
        let pairs = [
            (16, 16),
            (16, 130),
            (130, 17),
            (17, 23),
            (33, 64),
            (48, 63),
            (61, 19),
            (65, 100),
            (96, 97),
            (101, 31),
            (127, 128),
            (129, 16),
            (130, 130),
        ];
        let drawn = (0..4).map(|i| nas_unet::sample(1 + i as usize, &mut Streams::new(5).rng("sample", i)));
        for (i, cells) in nas_unet::SPACE.published.iter().map(|(name, _)| named(name)).chain(drawn).enumerate() {
            let net = net(&cells, 2, 2 + i % 4);
            let w = Weights::init(net.table(), &mut Streams::new(2).rng("init", 0), Device::Cpu, Kind::Float);
            for (h, width) in pairs {
                let out = tch::no_grad(|| logits(&net, &w, &Tensor::rand([1, 1, h, width], (Kind::Float, Device::Cpu))));
                assert_eq!(out.size(), [1, 2, h, width]);
                assert_eq!(out.isfinite().all().int64_value(&[]), 1);
            }
        }
    }

    #[test]
    fn cells_halve_and_double_the_maps() {
        let net = net(&named("nas-unet-v2"), 2, 5);
        let w = weights(&net);
        let mut sides = Vec::new();
        let x = Tensor::rand([1, 1, 256, 256], (Kind::Double, Device::Cpu));
        let out = net.backbone.forward(&w, &x, &mut Pass::evaluation(), |cell, older, newer| {
            let out = cell.forward(&w, older, newer);
            sides.push(out.size()[2]);
            out
        });
        assert_eq!(sides, [64, 32, 16, 8, 4, 8, 16, 32, 64, 128, 256]);
        assert_eq!(out.size(), [1, 2, 256, 256]);
    }

    #[test]
    fn an_image_is_scored_alike_in_any_company() {
        for name in ["nas-unet-v3", "nas-unet-v2"] {
            let net = net(&named(name), 16, 2);
            let w = weights(&net);
            let x = Tensor::rand([3, 1, 21, 34], (Kind::Double, Device::Cpu));
            let all = net.forward(&w, &x, &mut Pass::by_batch()).logits;
            for i in 0..3 {
                assert!(all.narrow(0, i, 1).allclose(&logits(&net, &w, &x.narrow(0, i, 1)), 1e-9, 1e-9, false));
            }
        }
    }

    #[test]
    fn gradients_agree_with_central_differences_and_reach_every_weight() {
        // Operations this small only wait for each other's threads.
        tch::set_num_threads(1);
        for name in ["nas-unet-v3", "nas-unet-v2-en"] {
            let net = net(&named(name), 4, 2);
            let w = weights(&net);
            let x = Tensor::from_slice(&(0..2 * 16 * 15).map(|i| f64::from(i * i % 97) / 50.0 - 1.0).collect::<Vec<_>>());
            let x = x.view([2, 1, 16, 15]);
            let masks = x.squeeze_dim(1).gt(0.1).to_kind(Kind::Int64);
            w.check_gradient(|w| cross_entropy(&logits(&net, w, &x), &masks), 60, 1e-6);
            let loss = cross_entropy(&logits(&net, &w, &x), &masks);
            let gradients = Tensor::run_backward(&[loss], w.params(), false, false);
            assert!(gradients.iter().all(Tensor::defined), "{name}: every weight takes part");
        }
    }

    #[test]
    fn the_general_size_is_a_number_of_cells() {
        let architecture = published("nas-unet-v2").unwrap();
        let built = |cells, auxiliary| build(&architecture, GRAY, NetSize { channels: 16, cells, auxiliary });
        assert_eq!(built(7, false).unwrap().table().count() + UNUSED, 78_579);
        for (cells, auxiliary) in [(8, false), (3, false), (7, true)] {
            assert!(built(cells, auxiliary).err().unwrap().to_string().contains("2 depth + 1 cells"));
        }
        assert!(NasUnetNetwork::declare(&named("nas-unet-v2"), GRAY, UnetSize { channels: 16, depth: 1 }).is_err());
    }
}
