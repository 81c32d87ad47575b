//! Names of the candidate operations.

use serde::{Deserialize, Serialize};

/// A candidate operation of a cell. The DARTS space uses the first eight, in the order of [`Op::DARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Zeros (DARTS): the edge is absent.
    None,
    /// 3x3 maximum pooling.
    #[serde(rename = "max_pool_3x3")]
    MaxPool3,
    /// 3x3 average pooling; the padding is not counted.
    #[serde(rename = "avg_pool_3x3")]
    AvgPool3,
    /// Identity, or a factorised reduction where the stride is 2.
    SkipConnect,
    /// Depthwise-separable 3x3 convolution, applied twice.
    #[serde(rename = "sep_conv_3x3")]
    SepConv3,
    /// Depthwise-separable 5x5 convolution, applied twice.
    #[serde(rename = "sep_conv_5x5")]
    SepConv5,
    /// Dilated depthwise-separable 3x3 convolution, dilation 2.
    #[serde(rename = "dil_conv_3x3")]
    DilConv3,
    /// Dilated depthwise-separable 5x5 convolution, dilation 2.
    #[serde(rename = "dil_conv_5x5")]
    DilConv5,
    /// Depthwise-separable 7x7 convolution, applied twice.
    #[serde(rename = "sep_conv_7x7")]
    SepConv7,
    /// 1x7 then 7x1 convolution.
    #[serde(rename = "conv_7x1_1x7")]
    Conv7x1,
    /// NASNet space: the input itself, or a pointwise convolution where width or stride change.
    Identity,
    /// 5x5 maximum pooling.
    #[serde(rename = "max_pool_5x5")]
    MaxPool5,
    /// 7x7 maximum pooling.
    #[serde(rename = "max_pool_7x7")]
    MaxPool7,
    /// 1x1 convolution.
    #[serde(rename = "conv_1x1")]
    Conv1,
    /// 3x3 convolution with a bottleneck of a quarter of the width.
    #[serde(rename = "conv_3x3")]
    Conv3,
    /// 1x3 then 3x1 convolution with a bottleneck of three eighths of the width.
    #[serde(rename = "conv_1x3_3x1")]
    Conv1x3,
    /// 1x7 then 7x1 convolution with a bottleneck of a quarter of the width.
    #[serde(rename = "conv_1x7_7x1")]
    Conv1x7,
    /// Dilated depthwise-separable 3x3 convolution, dilation 2, applied twice (AmoebaNet).
    #[serde(rename = "dil_sep_conv_3x3")]
    DilSepConv3,
    /// Dilated 3x3 convolution, dilation 2, with a bottleneck of a quarter of the width (NASNet).
    #[serde(rename = "bottleneck_dil_conv_3x3")]
    BottleneckDil3,
}

impl Op {
    /// The DARTS operations; the index is the column of alpha.
    pub const DARTS: [Self; 8] =
        [Self::None, Self::MaxPool3, Self::AvgPool3, Self::SkipConnect, Self::SepConv3, Self::SepConv5, Self::DilConv3, Self::DilConv5];

    /// The name in a genotype, such as `sep_conv_3x3`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::MaxPool3 => "max_pool_3x3",
            Self::AvgPool3 => "avg_pool_3x3",
            Self::SkipConnect => "skip_connect",
            Self::SepConv3 => "sep_conv_3x3",
            Self::SepConv5 => "sep_conv_5x5",
            Self::DilConv3 => "dil_conv_3x3",
            Self::DilConv5 => "dil_conv_5x5",
            Self::SepConv7 => "sep_conv_7x7",
            Self::Conv7x1 => "conv_7x1_1x7",
            Self::Identity => "identity",
            Self::MaxPool5 => "max_pool_5x5",
            Self::MaxPool7 => "max_pool_7x7",
            Self::Conv1 => "conv_1x1",
            Self::Conv3 => "conv_3x3",
            Self::Conv1x3 => "conv_1x3_3x1",
            Self::Conv1x7 => "conv_1x7_7x1",
            Self::DilSepConv3 => "dil_sep_conv_3x3",
            Self::BottleneckDil3 => "bottleneck_dil_conv_3x3",
        }
    }
}
