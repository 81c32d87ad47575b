//! Ledger and meters: one law for every method.

mod ledger;
mod probes;

pub use ledger::{Clock, Ledger, Reading};
pub use probes::Probes;
