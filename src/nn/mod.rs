//! Operations as functions of explicit weight tensors, blocks, initialisers, drop path; for images and for segmentation.

mod blocked;
mod blocks;
mod init;
mod kernels;
mod loss;
mod network;
mod norm;
mod resize;
mod segment_block;
#[cfg(test)]
mod testing;
mod weights;

pub use blocked::{Blocked, BlockedStage, BlockedTerm};
pub use blocks::{Conv, ConvBlock, ConvBn, ConvShape, FactorizedReduce, Linear, ReluConvBn, stage};
pub use init::{Init, Initialisation, Rule};
pub use kernels::{Kernels, PoolKind, by_groups, depthwise, plainly, pool, use_kernels};
pub use loss::{Loss, dice_loss, legacy_soft_dice};
pub use network::{AUXILIARY, Network, Output, Pass, count, cross_entropy};
pub use norm::{BatchNorm, batch_norm};
pub use resize::{crop, global_average, join, pad_to_multiple, resize_nearest, sum_resized};
pub use segment_block::{ChannelGate, ConvNorm, GroupNorm, Relu};
pub use weights::{ParamId, StatId, Table, Weights};
