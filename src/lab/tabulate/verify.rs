//! Holds a table to what it says of itself, and trains drawn rows anew.

use super::{Key, Tabulation, pool};
use crate::error::{Error, Result, input};
use crate::lab::Signals;
use crate::seed::Streams;
use crate::statistics::{mean, variance_within};
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
    /// Standard deviation between the trainings of a row, by schedule and part, in points.
    noise: Vec<(Fidelity, Part, f64)>,
}

/// Standard errors by which the mean of the rows may differ on another kind of processor.
const ERRORS: f64 = 3.5;

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
    let all = cells.len() * runs as usize;
    let drawn = index::sample(&mut Streams::new(seed).rng("verify", 0), all, sample.min(all));
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
    let parts = table.about.fidelities.iter().flat_map(|f| [Part::Valid, Part::Test].map(|part| (*f, part, noise(table, *f, part, runs))));
    Ok(Verified { again, noise: parts.collect(), same_kind: made.processor == here && made.libtorch == crate::shim::libtorch_version() })
}

impl Verified {
    /// Trainings that were done again.
    pub fn rows(&self) -> usize {
        self.rows_with(|_| true)
    }

    /// Those of them of which an accuracy is such.
    fn rows_with(&self, such: impl Fn(&Again) -> bool) -> usize {
        let mut keys: Vec<(&str, u32)> = self.again.iter().filter(|a| such(a)).map(|a| (a.cell.as_str(), a.run)).collect();
        keys.dedup();
        keys.len()
    }

    /// Refuses a table that is not made again: on the same kind of processor by any difference. Elsewhere sums are rounded otherwise, and a training comes out as another training of the same
    /// cell would; so there the mean difference of the rows must be within 3.5 standard errors, by the noise between the trainings of a row.
    ///
    /// # Errors
    /// [`Error::Regression`]
    pub fn judge(&self) -> Result<()> {
        if self.same_kind {
            return match self.rows_with(|a| a.images > 0.0) {
                0 => Ok(()),
                n => Err(Error::Regression(format!(
                    "{n} of {} trainings came out otherwise on the kind of processor that made the table",
                    self.rows()
                ))),
            };
        }
        for (fidelity, part, noise) in &self.noise {
            let of = self.again.iter().filter(|a| (a.fidelity, a.part) == (*fidelity, *part));
            let apart: Vec<f64> = of.filter_map(|a| Some(a.here? - a.recorded?)).collect();
            let limit = ERRORS * noise * (2.0 / apart.len() as f64).sqrt();
            if let Some(mean) = mean(&apart).filter(|m| m.abs() > limit) {
                let what = format!("{} accuracies after {}", part.words(), fidelity.words());
                return Err(Error::Regression(format!(
                    "{what} are {mean:+.2} points apart on average, and trainings of one cell differ by {noise:.2}: more than {limit:.2} is no noise"
                )));
            }
        }
        Ok(())
    }
}

/// Standard deviation between the trainings of a row, pooled over the rows.
fn noise(table: &Table, fidelity: Fidelity, part: Part, runs: u32) -> f64 {
    let columns: Vec<&Vec<f64>> = (1..=runs).filter_map(|run| table.column(0, part, fidelity, Some(run))).map(|c| &c.values).collect();
    let of_row = |row: usize| columns.iter().map(|values| values[row]).filter(|v| v.is_finite()).collect();
    variance_within(&(0..table.rows.len()).map(of_row).collect::<Vec<_>>()).unwrap_or(0.0).sqrt()
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
            for (row, recorded) in means.iter().enumerate() {
                let known: Vec<f64> = runs.iter().map(|values| values[row]).filter(|v| v.is_finite()).collect();
                let of_runs = mean(&known).unwrap_or(f64::NAN);
                if (of_runs - recorded).abs() > 1e-3 || of_runs.is_nan() != recorded.is_nan() {
                    return Err(input!(name, "row {}: {recorded} is not the mean of its runs, {}", row + 1, what()));
                }
            }
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(apart: &[f64], same_kind: bool) -> Verified {
        let again = |(i, points): (usize, &f64)| Again {
            cell: i.to_string(),
            run: 1,
            fidelity: Fidelity(2),
            part: Part::Test,
            recorded: Some(50.0),
            here: Some(50.0 + points),
            images: points.abs() * 3.6,
        };
        Verified { again: apart.iter().enumerate().map(again).collect(), same_kind, noise: vec![(Fidelity(2), Part::Test, 2.0)] }
    }

    #[test]
    fn a_table_is_made_again_exactly_or_within_its_noise() {
        assert!(verified(&[0.0; 12], true).judge().is_ok());
        assert_eq!(verified(&[0.0, 0.0, 0.5], true).judge().unwrap_err().exit_code(), 1);
        // 12 rows: 3.5 x 2 x sqrt(2 / 12) = 2.86 points.
        assert!(verified(&[8.0, -6.0, 8.0, -6.0, 8.0, -6.0, 8.0, -6.0, 8.0, -6.0, 8.0, -6.0], false).judge().is_ok());
        assert!(verified(&[2.8; 12], false).judge().is_ok());
        let error = verified(&[-2.9; 12], false).judge().unwrap_err().to_string();
        assert!(error.contains("-2.90 points apart") && error.contains("more than 2.86 is no noise"), "{error}");
    }

    #[test]
    fn the_tables_of_this_program_are_sound() {
        for name in table::BUILT_IN {
            let table = table::open(name).unwrap();
            if table.about.made.is_some() {
                let tabulation = Tabulation::again(&table.about, None).unwrap();
                let cells = check(&tabulation, &table, Path::new(name)).unwrap();
                assert_eq!((name, cells.len()), ("digits-201", 1_011));
                let of = |epochs, part| noise(&table, Fidelity(epochs), part, 3);
                assert!((of(8, Part::Valid) - 3.28).abs() < 0.01 && (of(2, Part::Test) - 10.4).abs() < 0.01);
            }
        }
    }
}
