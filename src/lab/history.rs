//! What the event log of earlier attempts says.

use crate::record::{EndReason, Event, LedgerRow, Phase, StoredEvent, TrialRecord};
use std::collections::HashSet;

/// Rows and wall seconds of all earlier attempts: the last account of each.
pub fn accounts(events: &[StoredEvent]) -> (Vec<LedgerRow>, f64) {
    let mut attempts: Vec<Option<(&[LedgerRow], f64)>> = Vec::new();
    for stored in events {
        match &stored.event {
            Event::AttemptStarted { .. } => attempts.push(None),
            Event::Spent { rows, wall_seconds } => {
                if let Some(last) = attempts.last_mut() {
                    *last = Some((rows, *wall_seconds));
                }
            }
            _ => (),
        }
    }
    let known: Vec<(&[LedgerRow], f64)> = attempts.into_iter().flatten().collect();
    (known.iter().flat_map(|(rows, _)| rows.iter().cloned()).collect(), known.iter().map(|(_, wall)| wall).sum())
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
