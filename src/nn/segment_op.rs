//! Names of the operations of segmentation cells (NAS-Unet, Weng et al. 2019, and its public code).

use serde::{Deserialize, Serialize};

/// An operation of a segmentation cell. Which of the three sets an edge chooses from follows from the cell and the state that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentOp {
    /// 2x2 average pooling, stride 2.
    AvgPool,
    /// 2x2 maximum pooling, stride 2.
    MaxPool,
    /// Channel gate, 3x3 convolution with stride 2.
    DownCweight,
    /// 3x3 convolution with stride 2 and dilation 2.
    DownDilConv,
    /// Depthwise 3x3 convolution with stride 2, pointwise convolution.
    DownDepConv,
    /// 3x3 convolution with stride 2.
    DownConv,
    /// Channel gate, transposed 3x3 convolution with stride 2.
    UpCweight,
    /// Transposed depthwise 3x3 convolution with stride 2, pointwise convolution.
    UpDepConv,
    /// Transposed 3x3 convolution with stride 2.
    UpConv,
    /// Transposed 3x3 convolution with stride 2 and dilation 2.
    UpDilConv,
    /// The state itself.
    Identity,
    /// Zeros: the edge is absent.
    None,
    /// Channel gate.
    Cweight,
    /// 3x3 convolution with dilation 2.
    DilConv,
    /// Depthwise 3x3 convolution, pointwise convolution.
    DepConv,
    /// The same as [`SegmentOp::Conv`]: the public code shuffles channels between groups and has one group.
    ShuffleConv,
    /// 3x3 convolution.
    Conv,
}

impl SegmentOp {
    /// Operations that halve the map; the index is the column of alpha.
    pub const DOWN: [Self; 6] = [Self::AvgPool, Self::MaxPool, Self::DownCweight, Self::DownDilConv, Self::DownDepConv, Self::DownConv];
    /// Operations that double the map; the index is the column of alpha.
    pub const UP: [Self; 4] = [Self::UpCweight, Self::UpDepConv, Self::UpConv, Self::UpDilConv];
    /// Operations that keep the size; the index is the column of alpha.
    pub const NORMAL: [Self; 7] = [Self::Identity, Self::None, Self::Cweight, Self::DilConv, Self::DepConv, Self::ShuffleConv, Self::Conv];

    /// The name in a genotype, such as `down_dil_conv`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AvgPool => "avg_pool",
            Self::MaxPool => "max_pool",
            Self::DownCweight => "down_cweight",
            Self::DownDilConv => "down_dil_conv",
            Self::DownDepConv => "down_dep_conv",
            Self::DownConv => "down_conv",
            Self::UpCweight => "up_cweight",
            Self::UpDepConv => "up_dep_conv",
            Self::UpConv => "up_conv",
            Self::UpDilConv => "up_dil_conv",
            Self::Identity => "identity",
            Self::None => "none",
            Self::Cweight => "cweight",
            Self::DilConv => "dil_conv",
            Self::DepConv => "dep_conv",
            Self::ShuffleConv => "shuffle_conv",
            Self::Conv => "conv",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for op in SegmentOp::DOWN.iter().chain(&SegmentOp::UP).chain(&SegmentOp::NORMAL) {
            assert_eq!(serde_json::to_value(op).unwrap(), op.name());
        }
    }
}
