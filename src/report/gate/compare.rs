//! Runs beside earlier results: a baseline, or the `results.csv` of another report.

use super::super::grid::Grid;
use super::super::load::Run;
use super::baseline::{Entry, read_baseline};
use super::judge::{Mode, Options, judge};
use crate::error::Result;
use std::path::Path;

/// The table of both, and what it says in a sentence.
///
/// # Errors
/// As for a baseline that is no such file.
pub fn compare(runs: &[Run], file: &Path) -> Result<(Grid, String)> {
    let found: Vec<Entry> = runs.iter().filter(|r| r.counts()).filter_map(|r| Entry::of(r, None)).collect();
    let verdict = judge(&read_baseline(file)?, &found, &Options { mode: Some(Mode::Statistical), ..Options::default() });
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let sentence = format!("Against {name}: {} checks, {} worse than permitted.", verdict.checks.len(), verdict.regressions());
    let mut grid = Grid::of(
        "Compared with earlier results",
        2,
        &verdict.checks,
        &[
            ("row", &|c| c.group.clone()),
            ("what", &|c| c.name.into()),
            ("earlier", &|c| c.baseline.clone()),
            ("here", &|c| c.here.clone()),
            ("difference", &|c| c.difference.clone()),
            ("permitted", &|c| c.limit.clone()),
            ("verdict", &|c| c.outcome.words().into()),
        ],
    );
    // A remark begins with the row that it is about.
    for remark in &verdict.remarks {
        match verdict.checks.iter().position(|c| remark.starts_with(&c.group)) {
            Some(row) => grid.footnote(row, 0, remark),
            None => grid.notes.push(remark.clone()),
        }
    }
    let about = format!(
        "Earlier results are those of {name}; means over the seeds of both. The limits are those of naslab check; without the speed of the machine, times are compared as they are."
    );
    Ok((grid.about(&about), sentence))
}
