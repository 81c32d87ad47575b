//! What the events of a search say of its course.

use super::load::CurvePoint;
use crate::record::{Event, Phase};

/// The figure of a search's point that tells how many architectures it ranked.
const RANKED: &str = "ranked";

/// Best score so far over the search: of its trials, or where none has a score, of what it reported while it ran.
pub(super) fn anytime(events: &[Event]) -> Vec<CurvePoint> {
    let progress = events.iter().filter_map(|e| match e {
        Event::Progress { phase: Phase::Search, device_seconds, score: Some(score), .. } => Some((*device_seconds, *score)),
        _ => None,
    });
    let trials = events.iter().filter_map(|e| match e {
        Event::Trial(t) if t.phase == Phase::Search => t.score.map(|score| (t.spent_seconds, score)),
        _ => None,
    });
    let mut points: Vec<(f64, f64)> = trials.collect();
    if points.is_empty() {
        points = progress.collect();
    }
    points.retain(|(seconds, score)| seconds.is_finite() && score.is_finite());
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let risen = points.into_iter().scan(f64::NEG_INFINITY, |best, (seconds, score)| {
        *best = best.max(score);
        Some(CurvePoint { seconds, best: *best })
    });
    risen.collect()
}

/// Device-seconds at the last point of a search before its first that tells how many architectures were ranked.
pub(super) fn training(events: &[Event]) -> Option<f64> {
    let mut before = None;
    for event in events {
        if let Event::Progress { phase: Phase::Search, device_seconds, extra, .. } = event {
            if extra.contains_key(RANKED) {
                return before;
            }
            before = Some(*device_seconds);
        }
    }
    None
}
