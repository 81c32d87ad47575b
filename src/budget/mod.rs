//! Ledger and meters: one law for every method.

mod calibration;
mod ledger;
mod probes;

pub use calibration::calibrate;
pub use ledger::{Clock, Ledger, Reading};
pub use probes::{Probes, thread_seconds};
