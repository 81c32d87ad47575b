//! Trials that are trained apart from the process that draws them: how they were sent away, and the account of each.

use super::{LedgerRow, Phase};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a run is spread over a Slurm cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// What `sbatch` is given as it is: partition, cards, time.
    pub words: Vec<String>,
    /// Trials that one task trains, one after the other.
    pub trials_per_task: u64,
    /// The program as the nodes find it.
    pub program: PathBuf,
}

/// A job array. It is recorded before it is sent, then without a number, and again with the number that Slurm gave it: what a killed process sent is found by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Its name in the queue, which no other has.
    pub name: String,
    /// The phase that its trials belong to.
    pub phase: Phase,
    /// The trials of each task; none where the task is the rest of the run.
    pub tasks: Vec<Vec<u64>>,
    /// Slurm's number, once it is known.
    pub job: Option<u64>,
}

/// The account of one training of one trial: where it was and what it used. Of several with the same phase, trial and task the last counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Number of the trial in its phase.
    pub trial: u64,
    /// Which training of this trial: job, array index and restart as in `1234_5.0`, or the attempt of a run at home.
    pub task: String,
    /// Name of the node.
    pub node: String,
    /// Which device of the node: `cpu`, `cuda:2`.
    pub device: String,
    /// Model of the card, or of the processor.
    pub model: String,
    /// Seconds from its submission to its begin; `None` if unknown, as after a restart.
    pub queued_seconds: Option<f64>,
    /// Whether it is charged beside the rows of the ledger; otherwise they hold it already.
    pub apart: bool,
    /// What it used.
    pub account: LedgerRow,
}

impl TaskRecord {
    /// What tells it from others.
    pub fn key(&self) -> (Phase, u64, String) {
        (self.account.phase, self.trial, self.task.clone())
    }
}
