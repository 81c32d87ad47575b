//! The trials of all runs: a long table as CSV, and the best of each run for a reader.

use super::frame::{Row, csv, trouble};
use super::grid::Grid;
use crate::error::Result;
use crate::record::TrialRecord;
use crate::units::{show_count, show_seconds};
use polars::prelude::*;
use std::collections::BTreeMap;

/// Trials of a run that the page shows; all are in the CSV file.
const SHOWN: usize = 10;
/// Digits of a hash that tell two architectures apart for a reader.
const DIGITS: usize = 8;

/// `trials.csv`, one row a trial: run, phase, number, architecture hash, parent, origin, end, score, cost. A null is an empty field.
pub(super) fn trials_csv(rows: &[Row]) -> Result<Vec<u8>> {
    let all: Vec<(&Row, &TrialRecord)> = rows.iter().flat_map(|r| r.all_trials().map(move |t| (r, t))).collect();
    let words =
        |name: &str, get: &dyn Fn(&(&Row, &TrialRecord)) -> String| Column::new(name.into(), all.iter().map(get).collect::<Vec<String>>());
    let whole = |name: &str, get: &dyn Fn(&TrialRecord) -> Option<u64>| {
        Column::new(name.into(), all.iter().map(|(_, t)| get(t)).collect::<Vec<Option<u64>>>())
    };
    let real = |name: &str, get: &dyn Fn(&TrialRecord) -> Option<f64>| {
        Column::new(name.into(), all.iter().map(|(_, t)| get(t)).collect::<Vec<Option<f64>>>())
    };
    let columns = vec![
        words("run", &|(r, _)| r.run.clone()),
        words("phase", &|(_, t)| t.phase.name().to_string()),
        whole("trial", &|t| Some(t.id)),
        words("architecture_hash", &|(_, t)| t.hash.clone()),
        whole("parent", &|t| t.parent),
        words("origin", &|(_, t)| t.origin.clone()),
        whole("reused", &|t| t.reused),
        words("end", &|(_, t)| t.end.words().to_string()),
        real("score", &|t| t.score),
        real("loss", &|t| t.loss),
        whole("parameters", &|t| t.parameters),
        real("device_seconds", &|t| Some(t.device_seconds)),
        real("spent_seconds", &|t| Some(t.spent_seconds)),
    ];
    let mut frame = DataFrame::new(all.len(), columns).map_err(|e| trouble(&e))?;
    csv(&mut frame)
}

/// How many trials each run made, and of what kinds.
pub(super) fn counts(rows: &[Row]) -> Grid {
    let row = |r: &&Row| {
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        r.trials.iter().for_each(|t| *ends.entry(t.end.words()).or_default() += 1);
        let distinct: std::collections::BTreeSet<&str> = r.trials.iter().map(|t| t.hash.as_str()).collect();
        let reused = r.trials.iter().filter(|t| t.reused.is_some()).count();
        vec![
            r.run.clone(),
            ends.iter().map(|(end, n)| format!("{n} {end}")).collect::<Vec<_>>().join(", "),
            r.trials.len().to_string(),
            distinct.len().to_string(),
            (r.trials.len() - distinct.len() - reused).to_string(),
            reused.to_string(),
        ]
    };
    Grid {
        title: "Trials of the searches".into(),
        head: vec!["run", "how they ended", "trials", "different architectures", "trained again", "score reused"],
        rows: rows.iter().filter(|r| r.counts() && !r.trials.is_empty()).collect::<Vec<_>>().iter().map(row).collect(),
        left: 2,
        ..Grid::default()
    }
}

/// The best trials of each run.
pub(super) fn best(rows: &[Row]) -> Vec<Grid> {
    rows.iter().filter(|r| r.counts() && !r.trials.is_empty()).map(best_of).collect()
}

fn best_of(row: &Row) -> Grid {
    let mut trials: Vec<&TrialRecord> = row.trials.iter().filter(|t| t.score.is_some()).collect();
    trials.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    let line = |t: &&TrialRecord| {
        vec![
            t.id.to_string(),
            t.hash.chars().take(DIGITS).collect(),
            t.origin.clone(),
            t.parent.map_or_else(|| super::summary::NONE.into(), |p| p.to_string()),
            t.score.map_or_else(String::new, |s| format!("{:.2}", 100.0 * s)),
            t.parameters.map_or_else(|| super::summary::NONE.into(), show_count),
            if t.reused.is_some() { super::summary::NONE.into() } else { show_seconds(t.device_seconds) },
        ]
    };
    Grid {
        title: format!("Best {} of {} trials: {}", trials.len().min(SHOWN), row.trials.len(), row.run),
        head: vec!["trial", "architecture", "origin", "parent", "score (%)", "parameters", "cost"],
        rows: trials.iter().take(SHOWN).map(line).collect(),
        left: 3,
        ..Grid::default()
    }
}
