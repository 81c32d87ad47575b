//! What the event log of earlier attempts says.

use crate::record::{EndReason, Event, LedgerRow, Phase, StoredEvent, TrialRecord};
use std::collections::HashSet;

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
