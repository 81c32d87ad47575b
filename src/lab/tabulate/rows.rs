//! From trainings to the rows of a table.

use super::{Key, Tabulation, Trained, architecture, per_cent};
use crate::error::Result;
use crate::lab::child::input;
use crate::network;
use crate::nn::count;
use crate::statistics::mean;
use crate::table::{self, About, Column, Made, NAS_BENCH_201, Part, Point, Row};
use std::collections::BTreeMap;

impl Tabulation {
    /// Rows and columns of the whole table, and what it says of itself.
    pub(super) fn tabulate(&self, trained: &BTreeMap<Key, Trained>) -> Result<(About, Vec<Row>, Vec<Column>)> {
        let (official, points) = (table::open(NAS_BENCH_201)?, self.plan.about.grid()?.classes());
        let cells = self.cells()?;
        let epochs: f64 = self.plan.about.fidelities.iter().map(|f| f64::from(f.0)).sum();
        let row = |(cell, point): (&u64, &Point)| {
            let all: f64 = (0..self.plan.about.fidelities.len()).flat_map(|at| self.scores(*cell, trained, at)).map(|s| s.seconds).sum();
            // Microseconds: more is noise.
            let seconds = Some((all / epochs / f64::from(self.plan.made.runs) * 1e6).round() / 1e6);
            let index = official.row_of(*point).map_or(0, |row| official.rows[row].index);
            let params = Some(self.weights_of(*cell)?);
            Ok(Row { index, point: *point, class: None, params, macs: None, runs: None, seconds_per_epoch: seconds })
        };
        let rows: Vec<Row> = cells.iter().zip(&points).map(row).collect::<Result<_>>()?;
        let mut columns = Vec::new();
        for (at, fidelity) in self.plan.about.fidelities.iter().enumerate() {
            for part in [Part::Valid, Part::Test] {
                let of = |cell: &u64| self.scores(*cell, trained, at).map(|s| s.of(part)).collect::<Vec<Option<f64>>>();
                let all: Vec<Vec<Option<f64>>> = cells.iter().map(of).collect();
                let column = |run, values| Column { set: 0, part, fidelity: *fidelity, run, values };
                let known = |runs: &Vec<Option<f64>>| runs.iter().flatten().copied().collect::<Vec<f64>>();
                columns.push(column(None, all.iter().map(|runs| mean(&known(runs)).map_or(f64::NAN, |m| per_cent(m / 100.0))).collect()));
                for run in 0..self.plan.made.runs {
                    columns.push(column(Some(run + 1), all.iter().map(|runs| runs[run as usize].unwrap_or(f64::NAN)).collect()));
                }
            }
        }
        let all = || trained.values().flat_map(|t| &t.by_schedule);
        let mut made = Made {
            trainings: all().count() as u64,
            failed: all().filter(|s| s.valid.is_none()).count() as u64,
            processor_seconds: trained.values().map(|t| t.processor_seconds).sum::<f64>().round(),
            ..self.plan.made.clone()
        };
        made.rows_sha256 = table::rows_sha256(&self.plan.about, &rows, &columns)?;
        Ok((About { made: Some(made), ..self.plan.about.clone() }, rows, columns))
    }

    /// Weights of the network of a cell.
    pub(super) fn weights_of(&self, cell: u64) -> Result<u64> {
        let network = network::build(&architecture(cell)?, input(&*self.task), self.plan.recipe.training.size())?;
        Ok(count(&*network).0)
    }
}
