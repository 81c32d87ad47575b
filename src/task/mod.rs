//! What is learned: splits, batches, augmentation, losses, scores; of whole images, and of every pixel.

mod augment;
mod batches;
mod classification;
mod confusion;
mod loss;
mod segmentation;

pub use augment::Augment;
pub use classification::{Batch, Classification, Limit, Part, Score, TestSplit};
pub use confusion::{Confusion, confusions};
pub use loss::{SegmentationLoss, dice_loss, legacy_soft_dice};
pub use segmentation::{Segmentation, SegmentationScore, SegmentationTest};
