//! What can stand in a line of the event log.

use super::{EndReason, LedgerRow, Phase, Submission, TaskRecord};
use crate::space::Architecture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name among a point's figures of the learning rate of the last step before it.
pub const LEARNING_RATE: &str = "learning_rate";

/// A line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A process began to work on the run. What it does again after a resume it does not record again:
    /// a curve point or trial stands in the log once.
    AttemptStarted {
        /// 0 for the first.
        attempt: u32,
    },
    /// A phase began (again, after a resume).
    PhaseStarted {
        /// The phase.
        phase: Phase,
    },
    /// A phase ended in this attempt.
    PhaseEnded {
        /// Its account.
        row: LedgerRow,
    },
    /// A point on the curves of a phase, usually once an epoch.
    Progress {
        /// The phase.
        phase: Phase,
        /// Which of several searches or candidates this is; 0 where there is one.
        part: u64,
        /// Epochs done.
        epoch: u64,
        /// Steps done in this part.
        step: u64,
        /// Device-seconds spent in search and selection (or in the phase, later) so far, all attempts.
        device_seconds: f64,
        /// Mean training loss since the last point.
        loss: Option<f64>,
        /// Validation score, a fraction.
        score: Option<f64>,
        /// Figures of the method's own, such as `alpha_entropy`.
        extra: BTreeMap<String, f64>,
        /// The architecture at this point, where it changes.
        architecture: Option<Architecture>,
    },
    /// A child was trained and scored during the search or selection.
    Trial(TrialRecord),
    /// Trials were sent to a cluster.
    Submission(Submission),
    /// What the training of a trial apart from this process used, so far or in all.
    Task(TaskRecord),
    /// Something a reader should know.
    Notice {
        /// In words.
        text: String,
    },
    /// The account of this attempt so far. The last one of an attempt is what a killed process is charged.
    Spent {
        /// One row per phase that this attempt has touched.
        rows: Vec<LedgerRow>,
        /// Wall seconds since the attempt began, measured apart from the rows.
        wall_seconds: f64,
    },
}

/// One child, trained and scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Number of the trial in its phase.
    pub id: u64,
    /// The phase.
    pub phase: Phase,
    /// The child's architecture.
    pub architecture: Architecture,
    /// SHA-256 of its canonical form.
    pub hash: String,
    /// Trial it was mutated from.
    pub parent: Option<u64>,
    /// How it came to be, such as `sampled` or `op mutation`.
    pub origin: String,
    /// Earlier trial with an equal architecture, whose outcome was taken instead of training again.
    pub reused: Option<u64>,
    /// How it ended; one that a signal cut off is recorded as interrupted and run again.
    pub end: EndReason,
    /// Validation score, a fraction; `None` unless it ended well.
    pub score: Option<f64>,
    /// What might predict that score, by name: scores predicted before the training, and those after some steps of it (`step 100`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub proxies: BTreeMap<String, f64>,
    /// Training loss of its last epoch.
    pub loss: Option<f64>,
    /// Weights without auxiliary head; `None` where the network was never seen whole.
    pub parameters: Option<u64>,
    /// Seconds that its worker was busy. Trials that ran side by side overlap, so their sum may be above the device time of the phase.
    pub device_seconds: f64,
    /// Device-seconds spent in search and selection so far, this trial included.
    pub spent_seconds: f64,
}
