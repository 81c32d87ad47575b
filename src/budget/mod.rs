//! Ledger and meters: one law for every method.

mod active;
mod calibration;
mod ledger;
mod probes;

pub use active::{Since, suspended_seconds};
pub use calibration::calibrate;
pub use ledger::{Clock, Ledger, Reading};
pub use probes::{Others, Probes, thread_seconds};
