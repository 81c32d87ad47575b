//! The regression gate: recorded runs against a baseline, one CSV file. `docs/ci.md` says what counts as a regression and why.

mod baseline;
mod compare;
mod judge;
mod junit;

use baseline::{current, read_baseline, write_baseline};
pub(super) use compare::compare;
use judge::judge;
pub use judge::{Check, Mode, Options, Outcome, Verdict};
pub use junit::junit;

use crate::error::Result;
use std::path::{Path, PathBuf};

/// Compares the runs in and below `runs` with the baseline file.
///
/// # Errors
/// [`crate::Error::Input`] for a baseline that is missing, empty or not sound, and for runs that are missing, damaged, unfinished or there
/// twice; [`crate::Error::Usage`] for limits that make no sense.
pub fn check(runs: &[PathBuf], baseline: &Path, options: &Options) -> Result<Verdict> {
    options.check()?;
    let expected = read_baseline(baseline)?;
    let (found, notices) = current(runs, options.calibration_seconds)?;
    let mut verdict = judge(&expected, &found, options);
    verdict.remarks.splice(0..0, notices);
    Ok(verdict)
}

/// Writes the baseline file from the runs in and below `runs`; returns its number of runs and what a reader should know.
///
/// # Errors
/// As [`check`] for the runs; [`crate::Error::Resource`] if the file cannot be written.
pub fn update(runs: &[PathBuf], baseline: &Path, calibration_seconds: Option<f64>) -> Result<(usize, Vec<String>)> {
    let (entries, notices) = current(runs, calibration_seconds)?;
    write_baseline(baseline, &entries)?;
    Ok((entries.len(), notices))
}
