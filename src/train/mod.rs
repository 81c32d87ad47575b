//! Optimisers, schedules and the training of one network.

mod optim;
mod recipe;
mod saved;
mod trainer;

pub use optim::{Adam, Optimizer, OptimizerKind, Sgd, clip, cosine, restarted};
pub use recipe::{MOST_EPOCHS, Recipe};
pub use saved::Saved;
pub use trainer::{Progress, Step, Trainer};
