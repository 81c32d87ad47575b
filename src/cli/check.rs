//! `naslab check`

use super::args::{CheckArguments, CheckMode};
use super::show::{plain_table, print_out};
use crate::budget::calibrate;
use crate::error::{Error, Result};
use crate::record::write_atomic;
use crate::report::gate::{Mode, Options, Outcome, Verdict, check as compare, junit, update};
use std::fmt::Write;

/// Compares runs with the baseline, or writes it.
pub fn check(a: &CheckArguments) -> Result<()> {
    let options = Options {
        mode: a.mode.map(|m| match m {
            CheckMode::Exact => Mode::Exact,
            CheckMode::Statistical => Mode::Statistical,
        }),
        margin: a.margin / 100.0,
        time_ratio: a.time_ratio,
        memory_ratio: a.memory_ratio,
        calibration_seconds: None,
    };
    options.check()?;
    let calibration_seconds = if a.no_calibration { None } else { Some(calibrate()?) };
    if a.update {
        let (runs, notes) = update(&a.runs, &a.baseline, calibration_seconds)?;
        notes.iter().for_each(|note| eprintln!("note: {note}"));
        return print_out(&format!("{}: {}\n", a.baseline.display(), count(runs, "run")));
    }
    let verdict = compare(&a.runs, &a.baseline, &Options { calibration_seconds, ..options })?;
    if let Some(file) = &a.junit {
        write_atomic(file, junit(&verdict).as_bytes())?;
    }
    print_out(&describe(&verdict))?;
    match verdict.regressions() {
        0 => Ok(()),
        n => Err(Error::Regression(format!("{} against {}", count(n, "regression"), a.baseline.display()))),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn describe(verdict: &Verdict) -> String {
    let mut table = plain_table(&["group", "check", "baseline", "here", "limit", "outcome"]);
    for c in &verdict.checks {
        let outcome = match c.outcome {
            Outcome::Holds => "holds",
            Outcome::Regression => "REGRESSION",
            Outcome::NotCompared => "not compared",
        };
        table.add_row([&c.group, c.name, &c.baseline, &c.here, &c.limit, outcome]);
    }
    let mut out = format!("{table}\n");
    for remark in &verdict.remarks {
        let _ = writeln!(out, "remark: {remark}");
    }
    let _ = writeln!(out, "{}, {}", count(verdict.checks.len(), "check"), count(verdict.regressions(), "regression"));
    out
}
