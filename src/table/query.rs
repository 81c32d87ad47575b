//! What a search asks of a table: an architecture in, a score and a cost out.

use super::about::Fidelity;
use super::grid::Point;
use super::rows::{Part, Table};
use super::units::SimulatedSeconds;
use crate::error::{Result, usage};
use crate::seed::Streams;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Which accuracy a search is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// That on validation images.
    Validation,
    /// That on test images. A finding that was chosen by it proves nothing.
    Test,
}

impl Score {
    /// The part of the data set.
    pub fn part(self) -> Part {
        match self {
            Self::Validation => Part::Valid,
            Self::Test => Part::Test,
        }
    }
}

/// Which of several trainings of an architecture answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOf {
    /// Their mean.
    Mean,
    /// One of those that the table has, drawn for each query.
    Random,
}

/// The answer to a query: a training that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Row of the architecture.
    pub row: u32,
    /// Accuracy in per cent; `None` for a training that failed.
    pub score: Option<f64>,
    /// What the training took; `None` in a table without times.
    pub seconds: Option<SimulatedSeconds>,
}

/// Answers to one search.
#[derive(Clone, Debug)]
pub struct Queries<'a> {
    table: &'a Table,
    set: usize,
    fidelity: Fidelity,
    mean: &'a [f64],
    /// The columns of single trainings, where one of them answers.
    runs: Vec<&'a [f64]>,
}

impl<'a> Queries<'a> {
    pub(super) fn new(table: &'a Table, set: usize, score: Score, fidelity: Fidelity, run: RunOf) -> Result<Self> {
        let (name, part) = (&table.about.name, score.part());
        let title = &table.about.sets[set].title;
        let missing = || {
            let has = table.columns.iter().filter(|c| c.set == set && c.run.is_none()).map(ToString::to_string);
            let has = has.collect::<Vec<String>>().join(", ");
            usage!("the table '{name}' has no {} accuracy after {} on {title}; it has: {has}", part.words(), fidelity.words())
        };
        let mean = &table.column(set, part, fidelity, None).ok_or_else(missing)?.values;
        let of = |run| table.column(set, part, fidelity, Some(run)).map(|c| &c.values[..]);
        let runs: Vec<&[f64]> = if run == RunOf::Random { (1..).map_while(of).collect() } else { Vec::new() };
        if run == RunOf::Random && runs.is_empty() {
            return Err(usage!("the table '{name}' has no single trainings of {} after {}, only their mean", title, fidelity.words()));
        }
        Ok(Self { table, set, fidelity, mean, runs })
    }

    /// The answer for an architecture; `None` where the table has no row of it. `streams` and `trial` decide which of several trainings answers, if one of them is to.
    pub fn answer(&self, point: Point, streams: Streams, trial: u64) -> Option<Answer> {
        let row = self.table.row_of(point)?;
        let score = if self.runs.is_empty() { self.mean[row] } else { self.one_of(row, streams, trial) };
        Some(Answer {
            row: row as u32,
            score: Some(score).filter(|s| s.is_finite()),
            seconds: self.table.seconds(row, self.set, self.fidelity),
        })
    }

    /// What the cheapest training takes.
    pub fn cheapest(&self) -> Option<SimulatedSeconds> {
        let all = (0..self.table.rows.len()).filter_map(|row| self.table.seconds(row, self.set, self.fidelity));
        all.reduce(|a, b| if b < a { b } else { a })
    }

    /// One of the trainings that the row has.
    fn one_of(&self, row: usize, streams: Streams, trial: u64) -> f64 {
        let known = || self.runs.iter().map(|values| values[row]).filter(|v| v.is_finite());
        let count = known().count();
        if count == 0 {
            return f64::NAN;
        }
        known().nth(streams.rng("run", trial).random_range(0..count)).unwrap_or(f64::NAN)
    }
}
