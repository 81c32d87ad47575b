//! `ledger.json`: what a run used.

use super::{EndReason, Phase, TaskRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One phase in one attempt (an attempt is one process working on the run).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The phase.
    pub phase: Phase,
    /// 0 for the first process, 1 after the first resume, ...
    pub attempt: u32,
    /// Seconds during which the device worked for this phase.
    pub device_seconds: f64,
    /// Processor seconds (user + system, all threads).
    pub cpu_seconds: Option<f64>,
    /// Wall seconds.
    pub wall_seconds: f64,
    /// Training samples that went through forward and backward.
    pub samples: u64,
    /// Optimiser steps (an architecture and its weight step count as one).
    pub steps: u64,
    /// Trials finished, in whatever way.
    pub trials: u64,
    /// Peak of memory handed out by the device allocator, bytes; `None` is "not measured".
    pub peak_device_allocated: Option<u64>,
    /// Peak of memory held by the device allocator, bytes.
    pub peak_device_reserved: Option<u64>,
    /// Peak resident memory of the process, bytes.
    pub peak_host_bytes: Option<u64>,
    /// Energy of the card, joules.
    pub energy_joules: Option<f64>,
    /// Why the phase ended in this attempt.
    pub end_reason: EndReason,
}

/// `ledger.json`: the account of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// The format of the record.
    pub format: u32,
    /// One row per phase and attempt. What was trained apart from the process of the run is in the last row of its phase.
    pub rows: Vec<LedgerRow>,
    /// The trainings that have an account of their own: those on a cluster, or on several cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskRecord>,
    /// Wall seconds of all attempts, measured apart from the rows.
    pub wall_seconds: f64,
    /// Device-seconds that search and selection used, all attempts.
    pub spent_seconds: f64,
    /// The limit on them.
    pub budget_seconds: Option<f64>,
    /// By how much the last step or trial overshot the limit; `None` without a limit, 0 if it was not reached.
    pub overshoot_seconds: Option<f64>,
    /// End of the run, RFC 3339.
    pub finished: String,
}

impl LedgerRecord {
    /// Device-seconds by the model of the device, as far as trainings with an account of their own say it: those of `phase`, or all.
    pub fn models(&self, phase: Option<Phase>) -> BTreeMap<&str, f64> {
        let mut models = BTreeMap::new();
        for task in self.tasks.iter().filter(|task| phase.is_none_or(|phase| phase == task.account.phase)) {
            *models.entry(task.model.as_str()).or_default() += task.account.device_seconds;
        }
        models
    }

    /// Whether a phase, or all of them, was spent on unlike devices, whose times have no sum.
    pub fn is_unlike(&self, phase: Option<Phase>) -> bool {
        self.models(phase).len() > 1
    }
}
