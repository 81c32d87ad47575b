//! `naslab report`, `naslab check` and `naslab draw`: what needs recorded runs, or a pencil.

use super::args::CheckArguments;
use super::named::{Named, architecture};
use super::show::{print_out, table};
use crate::error::{Error, Result};
use crate::message::say;
use crate::plot::draw_architecture;
use crate::record::write_output;
use crate::report::gate::{Options, Verdict, check as compare, junit, update};
use crate::report::{Extras, write_report};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Writes tables, figures and the page, and prints the table.
pub fn report(runs: &[PathBuf], out: &Path, extras: &Extras) -> Result<()> {
    let summary = write_report(runs, out, extras)?;
    summary.warnings.iter().for_each(|warning| say!("note: {warning}"));
    print_out(&summary.table)?;
    say!("{} files in {}", summary.files.len(), out.display());
    Ok(())
}

/// Draws an architecture by name or file.
pub fn draw(text: &str, out: &Path) -> Result<()> {
    let Named { name, architecture, .. } = architecture(text)?;
    draw_architecture(&architecture, &name, out)?;
    say!("wrote {}", out.display());
    Ok(())
}

/// Compares runs with the baseline, or writes it.
pub fn check(a: &CheckArguments) -> Result<()> {
    let options = Options {
        mode: a.mode,
        margin: a.margin / 100.0,
        time_ratio: a.time_ratio,
        memory_ratio: a.memory_ratio,
        calibration_seconds: None,
    };
    options.check()?;
    let calibration_seconds = if a.no_calibration { None } else { calibration()? };
    if a.update {
        let (runs, notes) = update(&a.runs, &a.baseline, calibration_seconds)?;
        notes.iter().for_each(|note| say!("note: {note}"));
        return print_out(format!("{}: {}\n", a.baseline.display(), count(runs, "run")));
    }
    let verdict = compare(&a.runs, &a.baseline, &Options { calibration_seconds, ..options })?;
    if let Some(file) = &a.junit {
        write_output(file, junit(&verdict).as_bytes())?;
    }
    print_out(describe(&verdict))?;
    match verdict.regressions() {
        0 => Ok(()),
        n => Err(Error::Regression(format!("{} against {}", count(n, "regression"), a.baseline.display()))),
    }
}

/// How fast this machine is; only libtorch's own operations can tell.
fn calibration() -> Result<Option<f64>> {
    #[cfg(feature = "search")]
    return crate::budget::calibrate().map(Some);
    #[cfg(not(feature = "search"))]
    {
        say!("note: built without libtorch, which measures how fast this machine is; processor seconds are taken as they are");
        Ok(None)
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn describe(verdict: &Verdict) -> String {
    let rows = verdict
        .checks
        .iter()
        .map(|c| [&c.group, c.name, &c.baseline, &c.here, &c.difference, &c.limit, c.outcome.words()].map(String::from));
    let mut out = table(["group", "check", "baseline", "here", "difference", "limit", "outcome"], &[0, 1, 2, 3, 4, 5, 6], rows);
    for remark in &verdict.remarks {
        let _ = writeln!(out, "remark: {remark}");
    }
    let _ = writeln!(out, "{}, {}", count(verdict.checks.len(), "check"), count(verdict.regressions(), "regression"));
    out
}
