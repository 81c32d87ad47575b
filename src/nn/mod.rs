//! Operations as functions of explicit weight tensors, blocks, initialisers, drop path; for images and for segmentation.

mod blocks;
mod loss;
mod network;
mod norm;
mod pool;
mod resize;
mod segment_block;
mod weights;

pub use crate::shim::{Blocked, PoolKind, Stage as BlockedStage, Term as BlockedTerm, plainly, pool};
pub use blocks::{Conv, ConvBn, ConvShape, FactorizedReduce, Linear, ReluConvBn, stage};
pub use loss::{Loss, dice_loss, legacy_soft_dice};
pub use network::{AUXILIARY, Network, Output, Pass, count, cross_entropy};
pub use norm::BatchNorm;
pub use pool::{avg_pool_valid, global_average};
pub use resize::{crop, pad_to_multiple, resize_nearest, sum_resized};
pub use segment_block::{ChannelGate, ConvNorm, GroupNorm, Relu, TransposedConv};
pub use weights::{Init, ParamId, Rule, StatId, Table, Weights};
