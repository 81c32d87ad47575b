//! Who trains a trial: a trial in, an outcome out, and between the two how far it is.

mod local;

pub use local::Local;

use super::trials::Trial;
use crate::error::Result;
use crate::record::EndReason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Trains trials and tells how they ended.
pub trait Evaluator {
    /// Trials that may be under way at a time.
    fn capacity(&self) -> u64;

    /// Begins a trial. Where no other is under way, what [`Evaluator::stop`] asked for is over.
    fn begin(&mut self, trial: &Trial);

    /// What is heard next of a trial; `None` if nothing is for a while.
    ///
    /// # Errors
    /// Where a trial could not be tried at all.
    fn hear(&mut self) -> Result<Option<News>>;

    /// Asks all trials that are under way to end for this reason.
    fn stop(&mut self, reason: EndReason);
}

/// What is heard of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum News {
    /// A step over so many images was done; `None` for a batch that was scored.
    Step(Option<u64>),
    /// It ended.
    End {
        /// Its number.
        id: u64,
        /// What came out.
        outcome: Outcome,
        /// Seconds that it took.
        seconds: f64,
    },
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it ended.
    pub end: EndReason,
    /// Score on the validation part, if it got there.
    pub score: Option<f64>,
    /// Mean training loss of the last whole epoch.
    pub loss: Option<f64>,
    /// Weights of the child without auxiliary head.
    pub parameters: Option<u64>,
    /// Scores after some steps, by `step 100`.
    pub early: BTreeMap<String, f64>,
    /// What a reader should know.
    pub remark: Option<String>,
}

impl Outcome {
    /// Ended before anything was known.
    pub fn nothing(end: EndReason) -> Self {
        Self { end, score: None, loss: None, parameters: None, early: BTreeMap::new(), remark: None }
    }
}
