//! `naslab` re-runs neural-architecture searches under one measured budget and sets what it measured
//! beside what the papers reported.

pub mod arch;
pub mod error;
pub mod nn;
pub mod record;
#[cfg(feature = "report")]
pub mod report;
pub mod seed;
pub mod units;

pub use error::{Error, Result};
