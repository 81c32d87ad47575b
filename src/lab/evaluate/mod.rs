//! Who trains a trial: a trial in, an outcome out, and between the two how far it is.

mod local;
mod places;
mod slurm;

pub use local::Local;
pub use slurm::Slurm;

use super::memory::exhaustion;
use super::trials::Trial;
use crate::error::Result;
use crate::record::{EndReason, Submission, TaskRecord};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::resume_unwind;

/// Trains trials and tells how they ended.
pub trait Evaluator {
    /// Trials that may be under way at a time.
    fn capacity(&self) -> u64;

    /// Begins a trial. Where no other is under way, what [`Evaluator::stop`] asked for is over.
    ///
    /// # Errors
    /// Where it cannot be sent to whoever trains it.
    fn begin(&mut self, trial: &Trial) -> Result<()>;

    /// What is heard next of a trial; `None` if nothing is for a while.
    ///
    /// # Errors
    /// Where a trial could not be tried at all.
    fn hear(&mut self) -> Result<Option<News>>;

    /// Asks all trials that are under way to end for this reason.
    fn stop(&mut self, reason: EndReason);

    /// A signal came, for the `count`th time: whether what is under way is still waited for.
    fn interrupted(&mut self, _count: u64) -> bool {
        false
    }

    /// Accounts of all trainings of a trial, those that came to nothing too, where they have some.
    fn leftovers(&self, _id: u64) -> Vec<TaskRecord> {
        Vec::new()
    }

    /// A trial is committed: what was kept of it can go.
    fn forget(&mut self, id: u64);

    /// Devices of this process that work now; none where others do the work.
    fn working(&self) -> u64;

    /// Device-seconds that trainings elsewhere have used and that no account holds yet.
    fn under_way_seconds(&self) -> f64 {
        0.0
    }

    /// Whether others train the trials: each has a memory of its own, and its outcome is there when this process is not.
    fn is_elsewhere(&self) -> bool {
        false
    }
}

/// What is heard of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum News {
    /// So many steps over so many images were done; none where only batches were scored.
    Steps(u64, u64),
    /// Trials are sent away, or were; to be made safe before anything else is heard.
    Sent(Submission),
    /// What a training used, one of its own account.
    Account(TaskRecord),
    /// Something that a reader should know.
    Notice(String),
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

/// A panic of libtorch is the end of a trial; any other is a bug of ours and goes on.
pub(super) fn misfortune(payload: Box<dyn Any + Send>) -> Outcome {
    let (end, remark) = match (exhaustion(&*payload), payload.downcast_ref::<String>()) {
        (Some(message), _) => (EndReason::OutOfMemory, message),
        (None, Some(text)) if text.contains("Torch(") => (EndReason::Failed, format!("libtorch failed: {text}")),
        _ => resume_unwind(payload),
    };
    Outcome { remark: Some(remark), ..Outcome::nothing(end) }
}
