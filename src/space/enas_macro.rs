//! The whole networks of ENAS (Pham et al. 2018; authors' released code): a chain of layers with skips.

use super::operations::operations;
use super::{Architecture, Genotype, Space, parameters};
use crate::error::{Result, usage};
use crate::seed::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};

operations! {
    /// Operation of a macro layer; a 1x1 convolution comes before each. Its place is the release's number.
    MacroOp {
        /// 3x3 convolution.
        Conv3 = "conv_3x3",
        /// Depthwise-separable 3x3 convolution.
        SepConv3 = "sep_conv_3x3",
        /// 5x5 convolution.
        Conv5 = "conv_5x5",
        /// Depthwise-separable 5x5 convolution.
        SepConv5 = "sep_conv_5x5",
        /// 3x3 average pooling.
        AvgPool3 = "avg_pool_3x3",
        /// 3x3 maximum pooling.
        MaxPool3 = "max_pool_3x3",
    }
}

/// A layer: an operation on the layer before it, and earlier outputs that join its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MacroLayer {
    /// Its operation.
    pub op: MacroOp,
    /// Outputs that join, in rising order: 0 is the stem, j + 1 layer j. Layer l may name 0..l; its predecessor, output l, is its main input.
    pub skips: Vec<usize>,
}

/// A network of the macro space.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MacroNet {
    /// From the stem to the classifier.
    pub layers: Vec<MacroLayer>,
}

/// The space, with the released network.
pub static SPACE: Space = Space {
    published: &[("enas-macro", released)],
    ..Space::of::<MacroNet>("enas_macro", "enas", |given, rng| {
        parameters(&SPACE, given).map(|Layers { layers }| sample(layers, rng).into())
    })
};

/// Parameters of a draw.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Layers of a network.
    pub layers: usize,
}

impl Genotype for MacroNet {
    const SPACE: &'static Space = &SPACE;

    /// Skips come from before.
    fn check(&self) -> Result<()> {
        if self.layers.len() < 3 {
            return Err(usage!("a macro network has at least 3 layers, not {}", self.layers.len()));
        }
        for (l, layer) in self.layers.iter().enumerate() {
            if layer.skips.windows(2).any(|w| w[0] >= w[1]) || layer.skips.last().is_some_and(|s| *s >= l) {
                return Err(usage!("layer {l}: skips {:?} must rise and stay below {l}", layer.skips));
            }
        }
        Ok(())
    }
}

impl MacroNet {
    /// Layers after which the maps are halved.
    pub fn reductions(&self) -> [usize; 2] {
        reductions(self.layers.len())
    }
}

/// Layers of a network of `layers` layers after which the maps are halved.
pub fn reductions(layers: usize) -> [usize; 2] {
    let third = layers / 3;
    [third - 1, 2 * third - 1]
}

/// A network from the release's numbers: for every layer the operation, then for every output before it 1 if it joins.
pub fn net(arc: &[usize]) -> MacroNet {
    let (mut rest, mut layers) = (arc, Vec::new());
    while let [op, after @ ..] = rest {
        let (joins, after) = after.split_at(layers.len());
        let skips = (0..joins.len()).filter(|j| joins[*j] == 1).collect();
        layers.push(MacroLayer { op: MacroOp::ALL[*op], skips });
        rest = after;
    }
    MacroNet { layers }
}

fn released() -> Architecture {
    net(&[
        0, 3, 0, 0, 1, 0, 2, 0, 0, 1, 2, 0, 0, 0, 0, 3, 1, 1, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 2, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0,
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0,
        1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1,
        0, 1, 0, 1, 2, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 3, 0, 1, 1, 0,
        1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 3, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0,
        0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 3, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0,
        0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0,
    ])
    .into()
}

/// Operations and skips uniformly.
pub fn sample(layers: usize, rng: &mut Rng) -> MacroNet {
    let layers = (0..layers)
        .map(|l| {
            let op = MacroOp::ALL[rng.random_range(0..MacroOp::ALL.len())];
            MacroLayer { op, skips: (0..l).filter(|_| rng.random()).collect() }
        })
        .collect();
    MacroNet { layers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net() -> MacroNet {
        released().get::<MacroNet>().unwrap().clone()
    }

    #[test]
    fn the_released_network_has_the_counted_layers_and_skips() {
        let net = net();
        let count = |op| net.layers.iter().filter(|l| l.op == op).count();
        assert_eq!([MacroOp::Conv3, MacroOp::Conv5, MacroOp::SepConv3, MacroOp::SepConv5].map(count), [8, 9, 2, 5]);
        assert_eq!(net.layers.iter().map(|l| l.skips.len()).sum::<usize>(), 98);
        assert_eq!(net.reductions(), [7, 15]);
    }

    #[test]
    fn a_skip_from_the_predecessor_or_later_is_refused() {
        let mut net = net();
        net.layers[4].skips = vec![4];
        assert!(net.check().unwrap_err().to_string().contains("layer 4"));
    }
}
