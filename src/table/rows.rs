//! A table in memory: rows, and columns of accuracies.

use super::about::{About, Fidelity};
use super::cost::cost;
use super::grid::{Grid, Point};
use super::query::{Queries, RunOf, Score};
use super::units::SimulatedSeconds;
use crate::error::{Result, usage};
use std::fmt;

/// Part of a data set on which an accuracy was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What a search may see.
    Valid,
    /// What is looked up after a search.
    Test,
}

impl Part {
    /// In the name of a column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::Valid => "validation",
            Self::Test => "test",
        }
    }
}

/// An architecture of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its number, as the authors count.
    pub index: u64,
    /// What it is.
    pub point: Point,
    /// Number of its class, as the file says.
    pub class: Option<u64>,
    /// Weights of its network.
    pub params: Option<u64>,
    /// Multiply-adds.
    pub macs: Option<u64>,
    /// Trainings behind the means.
    pub runs: Option<u64>,
    /// Of a training, for as many images as [`About::seconds_of_images`] says.
    pub seconds_per_epoch: Option<f64>,
}

/// Accuracies in per cent, one a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Place of the data set.
    pub set: usize,
    /// Validation or test.
    pub part: Part,
    /// Schedule of the training.
    pub fidelity: Fidelity,
    /// One training, numbered from 1; `None` for the mean.
    pub run: Option<u32>,
    /// NaN where there is none.
    pub values: Vec<f64>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it is of.
    pub about: About,
    /// What may be chosen.
    pub grid: Grid,
    /// SHA-256 of the file, unpacked.
    pub sha256: String,
    /// The architectures, in the order of the file.
    pub rows: Vec<Row>,
    /// Their accuracies.
    pub columns: Vec<Column>,
    /// Row of each number of an architecture; `u32::MAX` where the table has none.
    pub(super) at: Vec<u32>,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} accuracy after {}", self.part.words(), self.fidelity.words())?;
        self.run.map_or(Ok(()), |run| write!(f, ", training {run}"))
    }
}

impl Column {
    /// Its name in a file: `cifar10_valid_200_run1`.
    pub fn name(&self, about: &About) -> String {
        let run = self.run.map_or_else(String::new, |r| format!("_run{r}"));
        format!("{}_{}{}{run}", about.sets[self.set].column, self.part.word(), self.fidelity.ending())
    }
}

impl Table {
    /// Row of an architecture, or of its class.
    pub fn row_of(&self, point: Point) -> Option<usize> {
        let row = *self.at.get(self.grid.space.number(point))?;
        (row != u32::MAX).then_some(row as usize)
    }

    /// Row of an architecture by its number in the file or by its string.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where it is neither.
    pub fn find(&self, text: &str) -> Result<usize> {
        let name = &self.about.name;
        // A network of NAS-Bench-Macro is written in digits too.
        if let (Ok(index), false) = (text.parse::<u64>(), text.len() == self.grid.places() && self.grid.space.read(text).is_ok()) {
            let found = self.rows.iter().position(|r| r.index == index);
            let largest = self.rows.iter().map(|r| r.index).max().unwrap_or(0);
            return found.ok_or_else(|| usage!("the table '{name}' has no index {index}; the largest is {largest}"));
        }
        let point = self.grid.space.read(text)?;
        self.row_of(point).ok_or_else(|| usage!("'{text}': the table '{name}' has no row of it"))
    }

    /// The means of a part after a schedule, if the table has them.
    pub fn column(&self, set: usize, part: Part, fidelity: Fidelity, run: Option<u32>) -> Option<&Column> {
        self.columns.iter().find(|c| (c.set, c.part, c.fidelity, c.run) == (set, part, fidelity, run))
    }

    /// An accuracy in per cent; `None` where the table has none.
    pub fn accuracy(&self, row: usize, set: usize, part: Part, fidelity: Fidelity) -> Option<f64> {
        self.column(set, part, fidelity, None).map(|c| c.values[row]).filter(|v| v.is_finite())
    }

    /// What a training of a search takes, in simulated seconds; `None` without times.
    pub fn seconds(&self, row: usize, set: usize, fidelity: Fidelity) -> Option<SimulatedSeconds> {
        let of = self.about.seconds_of_images?;
        Some(cost(fidelity, self.rows[row].seconds_per_epoch?, self.about.sets[set].images, of))
    }

    /// Answers to a search on one data set, one score and one schedule.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where the table lacks what is asked.
    pub fn queries(&self, set: usize, score: Score, fidelity: Fidelity, run: RunOf) -> Result<Queries<'_>> {
        Queries::new(self, set, score, fidelity, run)
    }
}
