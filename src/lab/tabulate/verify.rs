//! Holds a table to what it says of itself, and trains drawn rows anew.

use super::{Key, Tabulation, pool};
use crate::error::{Error, Result, input};
use crate::lab::Signals;
use crate::seed::Streams;
use crate::table::{self, Fidelity, Part, Table};
use crate::task;
use rand::seq::index;
use std::collections::BTreeMap;
use std::path::Path;

/// A recorded accuracy, and what the same training comes to here.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// String of the cell.
    pub cell: String,
    /// Which of its runs.
    pub run: u32,
    /// By which schedule.
    pub fidelity: Fidelity,
    /// Validation or test.
    pub part: Part,
    /// In the table, per cent; nothing if it diverged.
    pub recorded: Option<f64>,
    /// Here.
    pub here: Option<f64>,
    /// Images by which the two differ.
    pub images: f64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Accuracies of all trainings that were done again.
    pub again: Vec<Again>,
    /// Whether processor and libtorch are those that made the table: then all must be equal.
    pub same_kind: bool,
}

/// Images by which an accuracy may differ on another kind of processor.
const IMAGES: f64 = 2.0;
/// Share of the rows that may differ by more.
const ROWS: f64 = 0.1;

/// Checks the table read from `name` and trains `sample` of its rows again, one run each, drawn by `seed`.
///
/// # Errors
/// [`Error::Input`] where it is not what it says, [`Error::Usage`] where it does not say how it was made.
pub fn verify(
    (table, name): (&Table, &Path),
    data_dir: Option<&Path>,
    (sample, seed): (usize, u64),
    (jobs, signals): (u64, &Signals),
) -> Result<Verified> {
    let tabulation = Tabulation::again(&table.about, data_dir)?;
    let cells = check(&tabulation, table, name)?;
    let runs = tabulation.plan.made.runs;
    let drawn =
        index::sample(&mut Streams::new(seed).rng("verify", 0), cells.len() * runs as usize, sample.min(cells.len() * runs as usize));
    let keys: Vec<Key> = drawn.iter().map(|i| Key { cell: cells[i / runs as usize], run: (i % runs as usize) as u32 + 1 }).collect();
    let mut trained = BTreeMap::new();
    pool::train(&tabulation, &keys, (jobs, signals, &|| true), |key, outcome| {
        trained.insert(key, outcome);
        Ok(())
    })?;
    let images = |part| match part {
        Part::Valid => tabulation.task.len(task::Part::Valid),
        Part::Test => tabulation.test.items(),
    };
    let mut again = Vec::new();
    for (key, outcome) in &trained {
        let row = cells.iter().position(|c| *c == key.cell).expect("it was drawn from them");
        for (fidelity, scores) in table.about.fidelities.iter().zip(&outcome.by_schedule) {
            for part in [Part::Valid, Part::Test] {
                let column = table.column(0, part, *fidelity, Some(key.run)).expect("it was checked");
                let recorded = Some(column.values[row]).filter(|v| v.is_finite());
                let here = scores.of(part);
                let apart = recorded.zip(here).map_or(f64::INFINITY, |(a, b)| ((a - b).abs() * images(part) as f64 / 100.0).round());
                let images = if recorded.is_none() && here.is_none() { 0.0 } else { apart };
                again.push(Again {
                    cell: table.grid.space.write(table.rows[row].point),
                    run: key.run,
                    fidelity: *fidelity,
                    part,
                    recorded,
                    here,
                    images,
                });
            }
        }
    }
    let (made, here) = (table.about.made.as_ref().expect("it was asked for"), crate::device::processor_kind());
    Ok(Verified { again, same_kind: made.processor == here && made.libtorch == crate::shim::libtorch_version() })
}

impl Verified {
    /// Trainings that were done again.
    pub fn rows(&self) -> usize {
        let mut keys: Vec<(&str, u32)> = self.again.iter().map(|a| (a.cell.as_str(), a.run)).collect();
        keys.dedup();
        keys.len()
    }

    /// Refuses a table that is not made again: on the same kind of processor by any difference, elsewhere by more than [`IMAGES`] images on more than a tenth of the rows.
    ///
    /// # Errors
    /// [`Error::Regression`]
    pub fn judge(&self) -> Result<()> {
        let least = if self.same_kind { 0.0 } else { IMAGES };
        let mut apart: Vec<(&str, u32)> = self.again.iter().filter(|a| a.images > least).map(|a| (a.cell.as_str(), a.run)).collect();
        apart.dedup();
        let most = if self.same_kind { 0.0 } else { ROWS * self.rows() as f64 };
        if apart.len() as f64 <= most {
            return Ok(());
        }
        let how = if self.same_kind {
            "on the kind of processor that made the table".to_string()
        } else {
            format!("by more than {IMAGES} images")
        };
        Err(Error::Regression(format!("{} of {} trainings came out otherwise {how}", apart.len(), self.rows())))
    }
}

/// Holds the table to its sums, its sizes and its means; the numbers of the cells of its rows.
fn check(tabulation: &Tabulation, table: &Table, name: &Path) -> Result<Vec<u64>> {
    let (about, made) = (&table.about, &tabulation.plan.made);
    let found = table::rows_sha256(about, &table.rows, &table.columns)?;
    if found != made.rows_sha256 {
        return Err(input!(
            name,
            "the rows have SHA-256 {found}, and the table says {}; they were changed, or it is that of other rows",
            made.rows_sha256
        ));
    }
    let cells: Vec<u64> = table.rows.iter().map(|r| table.grid.space.number(r.point) as u64).collect();
    for (cell, row) in cells.iter().zip(&table.rows) {
        let (recorded, computed) = (row.params, tabulation.weights_of(*cell)?);
        if recorded != Some(computed) {
            let text = table.grid.space.write(row.point);
            return Err(input!(name, "{text}: {} weights are recorded, and its network has {computed}", recorded.unwrap_or(0)));
        }
    }
    for fidelity in &about.fidelities {
        for part in [Part::Valid, Part::Test] {
            let of = |run| table.column(0, part, *fidelity, run).map(|c| &c.values);
            let what = || format!("{} accuracies after {}", part.words(), fidelity.words());
            let runs: Option<Vec<&Vec<f64>>> = (1..=made.runs).map(|run| of(Some(run))).collect();
            let (Some(means), Some(runs)) = (of(None), runs) else {
                return Err(input!(name, "it says that there are {} runs, and does not have them of the {}", made.runs, what()));
            };
            for (row, mean) in means.iter().enumerate() {
                let known: Vec<f64> = runs.iter().map(|values| values[row]).filter(|v| v.is_finite()).collect();
                let of_runs = crate::statistics::mean(&known).unwrap_or(f64::NAN);
                if (of_runs - mean).abs() > 1e-3 || of_runs.is_nan() != mean.is_nan() {
                    return Err(input!(name, "row {}: {mean} is not the mean of its runs, {}", row + 1, what()));
                }
            }
        }
    }
    Ok(cells)
}
