//! What a table says of itself: a JSON file beside a user's own table, or what is built in.

use super::grid::{Grid, TableSpace};
use crate::error::{Result, usage};
use crate::record::Program;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A training schedule, by its number of epochs; 0 where a table has one schedule only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fidelity(pub u32);

impl Fidelity {
    /// For a reader.
    pub fn words(self) -> String {
        if self.0 == 0 { "the table's only schedule".into() } else { format!("{} epochs", self.0) }
    }

    /// How the name of a column ends.
    pub fn ending(self) -> String {
        if self.0 == 0 { String::new() } else { format!("_{}", self.0) }
    }
}

/// A data set of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSet {
    /// Its name on the command line.
    pub name: String,
    /// For a reader.
    pub title: String,
    /// How its columns begin.
    pub column: String,
    /// Images that a training of a search sees in an epoch.
    pub images: u64,
}

/// What a row of a table answers for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsOf {
    /// One architecture.
    #[default]
    Architectures,
    /// All architectures whose networks are the same function with the same trainable weights.
    Classes,
}

impl RowsOf {
    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::Architectures => "architectures",
            Self::Classes => "classes of architectures",
        }
    }
}

/// How a table was made by this program, so that it can be made again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Data set.
    pub dataset: String,
    /// SHA-256 over its content.
    pub data_sha256: String,
    /// SHA-256 over what is in which part.
    pub split_sha256: String,
    /// Settings of the trainings, complete.
    pub settings: Value,
    /// Of all random streams.
    pub seed: u64,
    /// Trainings of a row and schedule.
    pub runs: u32,
    /// What trained.
    pub program: Program,
    /// Version of libtorch.
    pub libtorch: String,
    /// Model of the processor.
    pub processor: String,
    /// Trainings in all.
    pub trainings: u64,
    /// Trainings that diverged.
    pub failed: u64,
    /// Processor seconds of all trainings, with their scores.
    pub processor_seconds: f64,
    /// SHA-256 over the rows without their seconds: what is the same wherever it is made again.
    pub rows_sha256: String,
}

/// What a table is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Name of the table.
    pub name: String,
    /// Space of its architectures.
    pub space: TableSpace,
    /// The options that occur, by name; all of the space if none is named.
    #[serde(default)]
    pub options: Vec<String>,
    /// What a row answers for.
    #[serde(default)]
    pub rows: RowsOf,
    /// Its data sets.
    pub sets: Vec<TableSet>,
    /// Its schedules; each with its own learning rate, never a point on the way of a longer one.
    pub fidelities: Vec<Fidelity>,
    /// Images that the seconds of an epoch are of; `None` without times.
    #[serde(default)]
    pub seconds_of_images: Option<u64>,
    /// What the times were measured on.
    pub device: String,
    /// Who measured, and where it is described.
    pub source: String,
    /// Under what licence.
    pub licence: String,
    /// What a reader should know: how it was made, what it lacks.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// How it was made, if by this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

impl About {
    /// What may be chosen.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where an option is none of the space.
    pub fn grid(&self) -> Result<Grid> {
        let known = self.space.options();
        let number = |name: &String| {
            let at = known.iter().position(|k| k == name);
            at.map(|i| i as u8).ok_or_else(|| usage!("options: '{name}' is none of {}", known.join(", ")))
        };
        let mut options: Vec<u8> = self.options.iter().map(number).collect::<Result<_>>()?;
        if options.is_empty() {
            options = (0..known.len() as u8).collect();
        }
        options.sort_unstable();
        options.dedup();
        Ok(Grid { space: self.space, options })
    }

    /// Place of a data set.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) that lists those of the table.
    pub fn set(&self, name: &str) -> Result<usize> {
        self.sets.iter().position(|s| s.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.sets.iter().map(|s| s.name.as_str()).collect();
            usage!("the table '{}' has no data set '{name}'; it has {}", self.name, known.join(", "))
        })
    }
}
