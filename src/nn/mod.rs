//! Operations as functions of explicit weight tensors, blocks, initialisers, drop path; for images and for segmentation.

mod blocked;
mod blocks;
mod candidate;
mod kernels;
mod loss;
mod network;
mod norm;
mod op;
mod resize;
mod segment_block;
mod segment_op;
mod space_op;
#[cfg(test)]
mod testing;
mod weights;

pub use blocked::{Blocked, BlockedStage, BlockedTerm};
pub use blocks::{Conv, ConvShape, FactorizedReduce, Linear, ReluConvBn, stage};
pub use candidate::{Candidate, Form, avg_pool_valid, global_average};
pub use kernels::{Kernels, depthwise, plainly, pool, use_kernels};
pub use loss::{Loss, dice_loss, legacy_soft_dice};
pub use network::{AUXILIARY, Network, Output, Pass, count, cross_entropy};
pub use norm::BatchNorm;
pub use op::Op;
pub use resize::{crop, pad_to_multiple, resize_nearest, sum_resized};
pub use segment_block::{ChannelGate, ConvNorm, GroupNorm, Relu, SegmentBlock, TransposedConv};
pub use segment_op::SegmentOp;
pub use space_op::{ConvBn, SpaceOp};
pub use weights::{Init, ParamId, Rule, StatId, Table, Weights};
