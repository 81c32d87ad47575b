//! What is learned: splits, batches, augmentation, scores; of whole images, and of every pixel.

mod augment;
mod classification;
mod confusion;
mod elastic;
mod items;
mod part;
mod segmentation;

pub use augment::{Augment, Padding};
pub use classification::Classification;
pub use confusion::{Confusion, confusions, mean};
pub use part::{Batch, GoOn, Limit, Logits, Part, Score, Shape, Task, Test};
pub use segmentation::{Fit, Segmentation, SegmentationScore, Window};
