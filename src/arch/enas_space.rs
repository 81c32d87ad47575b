//! The two spaces of ENAS (Pham et al. 2018; authors' released code): cells (micro), and whole networks of layers with skips (macro).
//!
//! In the micro space state 0 is the output of layer k-2 and state 1 that of layer k-1, as everywhere in this crate and in the release.

use super::darts_space::Named;
use super::genotype::{Architecture, Cell, CellPair, Edge, unread};
use crate::error::{Error, Result};
use crate::nn::Op;
use crate::seed::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Operations of the micro space; the index is the release's number.
pub const MICRO_OPS: [Op; 5] = [Op::SepConv3, Op::SepConv5, Op::AvgPool3, Op::MaxPool3, Op::Identity];

/// Operations of the macro space; the index is the release's number.
pub const MACRO_OPS: [MacroOp; 6] =
    [MacroOp::Conv3, MacroOp::SepConv3, MacroOp::Conv5, MacroOp::SepConv5, MacroOp::AvgPool3, MacroOp::MaxPool3];

/// Operation of a macro layer; a 1x1 convolution comes before each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MacroOp {
    /// 3x3 convolution.
    #[serde(rename = "conv_3x3")]
    Conv3,
    /// Depthwise-separable 3x3 convolution.
    #[serde(rename = "sep_conv_3x3")]
    SepConv3,
    /// 5x5 convolution.
    #[serde(rename = "conv_5x5")]
    Conv5,
    /// Depthwise-separable 5x5 convolution.
    #[serde(rename = "sep_conv_5x5")]
    SepConv5,
    /// 3x3 average pooling.
    #[serde(rename = "avg_pool_3x3")]
    AvgPool3,
    /// 3x3 maximum pooling.
    #[serde(rename = "max_pool_3x3")]
    MaxPool3,
}

impl MacroOp {
    /// The name in a genotype.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv3 => "conv_3x3",
            Self::SepConv3 => "sep_conv_3x3",
            Self::Conv5 => "conv_5x5",
            Self::SepConv5 => "sep_conv_5x5",
            Self::AvgPool3 => "avg_pool_3x3",
            Self::MaxPool3 => "max_pool_3x3",
        }
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

impl MacroNet {
    /// Checks that skips come from before.
    pub fn check(&self) -> Result<()> {
        if self.layers.len() < 3 {
            return Err(Error::Usage(format!("a macro network has at least 3 layers, not {}", self.layers.len())));
        }
        for (l, layer) in self.layers.iter().enumerate() {
            if layer.skips.windows(2).any(|w| w[0] >= w[1]) || layer.skips.last().is_some_and(|s| *s >= l) {
                return Err(Error::Usage(format!("layer {l}: skips {:?} must rise and stay below {l}", layer.skips)));
            }
        }
        Ok(())
    }

    /// Layers after which the maps are halved.
    pub fn reductions(&self) -> [usize; 2] {
        macro_reductions(self.layers.len())
    }
}

/// Layers of a macro network of `layers` layers after which the maps are halved.
pub fn macro_reductions(layers: usize) -> [usize; 2] {
    let third = layers / 3;
    [third - 1, 2 * third - 1]
}

/// The reduction cells among the N + 2 `cells` of a micro network; `None` where N is no multiple of 3.
pub fn micro_reductions(cells: usize) -> Option<[usize; 2]> {
    let third = cells.checked_sub(2)? / 3;
    (cells >= 5 && cells % 3 == 2).then_some([third, 2 * third + 1])
}

/// The released architectures by name.
pub const PUBLISHED: [Named; 2] = [("enas-micro", micro), ("enas-macro", macro_net)];

/// A cell from the release's numbers: (input, operation, input, operation) a node. Every state that no node reads is concatenated, the
/// inputs included.
pub fn cell(arc: &[usize]) -> Cell {
    let nodes: Vec<[Edge; 2]> =
        arc.chunks_exact(4).map(|n| [Edge { op: MICRO_OPS[n[1]], from: n[0] }, Edge { op: MICRO_OPS[n[3]], from: n[2] }]).collect();
    let loose = unread(&nodes, 0);
    Cell::new(nodes, loose)
}

fn micro() -> Architecture {
    Architecture::EnasMicro(CellPair {
        normal: cell(&[0, 2, 0, 0, 0, 4, 0, 1, 0, 4, 1, 1, 1, 0, 0, 1, 0, 2, 1, 1]),
        reduce: cell(&[1, 0, 1, 0, 0, 3, 0, 2, 1, 1, 3, 1, 1, 0, 0, 4, 0, 3, 1, 1]),
    })
}

fn macro_net() -> Architecture {
    use MacroOp::{Conv3 as C3, Conv5 as C5, SepConv3 as S3, SepConv5 as S5};
    let layers: [(MacroOp, &[usize]); 24] = [
        (C3, &[]),
        (S5, &[]),
        (C3, &[0]),
        (C5, &[2]),
        (C5, &[]),
        (S5, &[0, 1, 3]),
        (C5, &[5]),
        (C5, &[1, 2, 4, 5, 6]),
        (S3, &[1, 2, 3, 5, 7]),
        (C3, &[]),
        (C5, &[5]),
        (C3, &[0, 3, 4, 9, 10]),
        (C5, &[1, 7, 9, 10]),
        (S3, &[2, 6, 7, 8, 10, 12]),
        (C3, &[0, 1, 3, 5, 11]),
        (C5, &[2, 10, 12, 14]),
        (C5, &[1, 5, 8, 9, 10, 11, 14]),
        (C5, &[4, 6, 8, 11, 13, 16]),
        (S5, &[1, 2, 4, 10, 12, 14]),
        (S5, &[1, 2, 12, 13, 18]),
        (C3, &[0, 3, 5, 6, 10, 16, 17]),
        (S5, &[1, 3, 4, 7, 9, 10, 12, 13, 15, 18]),
        (C3, &[0, 2, 4, 13, 15, 18]),
        (C3, &[0, 1, 5, 6, 7, 9, 13, 15, 18, 19]),
    ];
    let layers = layers.iter().map(|(op, skips)| MacroLayer { op: *op, skips: skips.to_vec() }).collect();
    Architecture::EnasMacro(MacroNet { layers })
}

/// Checks that a pair belongs to the micro space, or says where it does not.
pub fn check(pair: &CellPair) -> Result<()> {
    for (name, cell) in [("normal", &pair.normal), ("reduction", &pair.reduce)] {
        cell.check(name)?;
        let bad = |what: String| Err(Error::Usage(format!("{name} cell: {what}")));
        if let Some(edge) = cell.nodes.iter().flatten().find(|e| !MICRO_OPS.contains(&e.op)) {
            return bad(format!("'{}' is no operation of the ENAS micro space", edge.op.name()));
        }
        let loose = unread(&cell.nodes, 0);
        if cell.concat != loose || !cell.stacked.is_empty() {
            return bad(format!("the ENAS micro space concatenates what no node reads, {loose:?}"));
        }
    }
    Ok(())
}

/// Both cells uniformly.
pub fn sample_micro(nodes: usize, rng: &mut Rng) -> Architecture {
    let mut arc = || -> Vec<usize> {
        (0..nodes).flat_map(|i| [i + 2, MICRO_OPS.len(), i + 2, MICRO_OPS.len()].map(|choices| rng.random_range(0..choices))).collect()
    };
    let (normal, reduce) = (arc(), arc());
    Architecture::EnasMicro(CellPair { normal: cell(&normal), reduce: cell(&reduce) })
}

/// Operations and skips uniformly.
pub fn sample_macro(layers: usize, rng: &mut Rng) -> Architecture {
    let layers = (0..layers)
        .map(|l| {
            let op = MACRO_OPS[rng.random_range(0..MACRO_OPS.len())];
            MacroLayer { op, skips: (0..l).filter(|_| rng.random()).collect() }
        })
        .collect();
    Architecture::EnasMacro(MacroNet { layers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    #[test]
    fn published_and_sampled_architectures_belong_to_their_space() {
        for (_, make) in PUBLISHED {
            make().check().unwrap();
        }
        for i in 0..300 {
            let mut rng = Streams::new(7).rng("sample", i);
            for architecture in [sample_micro(5, &mut rng), sample_macro(12, &mut rng)] {
                architecture.check().unwrap();
                let text = serde_json::to_string(&architecture).unwrap();
                assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), architecture);
            }
        }
    }

    #[test]
    fn the_released_macro_network_has_the_counted_layers_and_skips() {
        let Architecture::EnasMacro(net) = macro_net() else { panic!("a macro network") };
        let count = |op| net.layers.iter().filter(|l| l.op == op).count();
        assert_eq!([MacroOp::Conv3, MacroOp::Conv5, MacroOp::SepConv3, MacroOp::SepConv5].map(count), [8, 9, 2, 5]);
        assert_eq!(net.layers.iter().map(|l| l.skips.len()).sum::<usize>(), 98);
        assert_eq!(net.reductions(), [7, 15]);
    }

    #[test]
    fn the_released_cells_have_the_stated_loose_ends() {
        let Architecture::EnasMicro(pair) = micro() else { panic!("cells") };
        assert_eq!((pair.normal.concat, pair.reduce.concat), (vec![2, 3, 4, 5, 6], vec![2, 4, 5, 6]));
    }

    #[test]
    fn a_skip_from_the_predecessor_or_later_is_refused() {
        let Architecture::EnasMacro(mut net) = macro_net() else { panic!("a macro network") };
        net.layers[4].skips = vec![4];
        assert!(net.check().unwrap_err().to_string().contains("layer 4"));
    }
}
