//! AmoebaNet: Regularized Evolution for Image Classifier Architecture Search (Real, Aggarwal, Huang, Le; AAAI 2019; arXiv 1802.01548).
//!
//! A population of cells; in each cycle the best of a random sample has one mutated child ([`mutation`]), which is trained from scratch
//! and let in, and the oldest member dies ([`population`]). The best of everything that was ever trained go on.

pub mod cycles;
#[cfg(feature = "search")]
mod method;
pub mod mutation;
pub mod population;
pub mod tabular;

#[cfg(feature = "search")]
pub use method::{AmoebaNet, Evolution};
