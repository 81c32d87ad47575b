//! The run directory: manifest, events, checkpoints, finding, result, ledger, weights.

mod model;

pub use model::*;
