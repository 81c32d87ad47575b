//! What the event log of earlier attempts says.

use crate::record::{EndReason, Event, LedgerRow, Phase, StoredEvent, Submission, TaskRecord, TrialRecord};
use std::collections::{BTreeMap, HashSet};

/// Rows and wall seconds of all earlier attempts: the last account of each.
pub fn accounts(events: &[StoredEvent]) -> (Vec<LedgerRow>, f64) {
    let attempts = events.split(|e| matches!(e.event, Event::AttemptStarted { .. })).skip(1);
    let spent = |e: &StoredEvent| match &e.event {
        Event::Spent { rows, wall_seconds } => Some((rows.clone(), *wall_seconds)),
        _ => None,
    };
    let (rows, walls): (Vec<_>, Vec<f64>) = attempts.filter_map(|attempt| attempt.iter().rev().find_map(spent)).unzip();
    (rows.concat(), walls.iter().sum())
}

/// The points of curves that are recorded.
pub fn points(events: &[StoredEvent]) -> HashSet<(Phase, u64, u64)> {
    let key = |e: &StoredEvent| match &e.event {
        Event::Progress { phase, part, step, .. } => Some((*phase, *part, *step)),
        _ => None,
    };
    events.iter().filter_map(key).collect()
}

/// The trials that are committed; one that a signal cut off is run again.
pub fn trials(events: &[StoredEvent]) -> Vec<TrialRecord> {
    let trial = |e: &StoredEvent| match &e.event {
        Event::Trial(record) if record.end != EndReason::Interrupted => Some(record.clone()),
        _ => None,
    };
    events.iter().filter_map(trial).collect()
}

/// Accounts of trainings, of which the last of each counts.
pub fn tasks(events: &[StoredEvent]) -> Vec<TaskRecord> {
    let tasks = events.iter().filter_map(|e| if let Event::Task(task) = &e.event { Some((task.key(), task.clone())) } else { None });
    tasks.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// What was sent to a cluster, in that order, with its number where Slurm gave one.
pub fn submissions(events: &[StoredEvent]) -> Vec<Submission> {
    let mut all: Vec<Submission> = Vec::new();
    for event in events {
        let Event::Submission(submission) = &event.event else { continue };
        match all.iter_mut().find(|earlier| earlier.name == submission.name) {
            Some(earlier) => earlier.job = submission.job.or(earlier.job),
            None => all.push(submission.clone()),
        }
    }
    all
}
