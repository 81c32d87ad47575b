//! What is learned: splits, batches, augmentation, score.

mod augment;
mod classification;

pub use augment::Augment;
pub use classification::{Batch, Classification, Limit, Part, Score, TestSplit};
