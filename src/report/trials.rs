//! The trials of all runs: a long table as CSV, and the best of each run for a reader.

use super::grid::{Grid, field};
use super::load::Run;
use super::summary::or_none;
use crate::error::Result;
use crate::record::TrialRecord;
use crate::units::{show_count, show_seconds};
use std::collections::{BTreeMap, BTreeSet};

/// Trials of a run that the page shows; all are in the CSV file.
const SHOWN: usize = 10;

/// `trials.csv`, one row a trial: run, phase, number, architecture hash, parent, origin, end, score, cost. What is not known is an empty field.
pub(super) fn trials_csv(runs: &[Run]) -> Result<Vec<u8>> {
    // Whole numbers of seconds with a decimal, as in the other columns of reals.
    let real = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:?}"));
    Grid::of(
        "trials.csv",
        8,
        runs.iter().flat_map(|r| r.all_trials().map(move |t| (r, t))),
        &[
            ("run", &|(r, _)| r.name.clone()),
            ("phase", &|(_, t)| t.phase.name().into()),
            ("trial", &|(_, t)| t.id.to_string()),
            ("architecture_hash", &|(_, t)| t.hash.clone()),
            ("parent", &|(_, t)| field(t.parent)),
            ("origin", &|(_, t)| t.origin.clone()),
            ("reused", &|(_, t)| field(t.reused)),
            ("end", &|(_, t)| t.end.words().into()),
            ("score", &|(_, t)| real(t.score)),
            ("loss", &|(_, t)| real(t.loss)),
            ("parameters", &|(_, t)| field(t.parameters)),
            ("device_seconds", &|(_, t)| real(Some(t.device_seconds))),
            ("spent_seconds", &|(_, t)| real(Some(t.spent_seconds))),
        ],
    )
    .csv()
}

/// How many trials each run made, and of what kinds.
pub(super) fn counts(runs: &[Run]) -> Grid {
    let distinct = |r: &Run| r.trials.iter().map(|t| t.hash.as_str()).collect::<BTreeSet<&str>>().len();
    let reused = |r: &Run| r.trials.iter().filter(|t| t.reused.is_some()).count();
    Grid::of(
        "Trials of the searches",
        2,
        searched(runs),
        &[
            ("run", &|r| r.name.clone()),
            ("how they ended", &|r| ends(r)),
            ("trials", &|r| r.trials.len().to_string()),
            ("different architectures", &|r| distinct(r).to_string()),
            ("trained again", &|r| (r.trials.len() - distinct(r) - reused(r)).to_string()),
            ("score reused", &|r| reused(r).to_string()),
        ],
    )
}

fn searched(runs: &[Run]) -> impl Iterator<Item = &Run> {
    runs.iter().filter(|r| r.counts() && !r.trials.is_empty())
}

fn ends(run: &Run) -> String {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    run.trials.iter().for_each(|t| *ends.entry(t.end.words()).or_default() += 1);
    ends.iter().map(|(end, n)| format!("{n} {end}")).collect::<Vec<_>>().join(", ")
}

/// The best trials of each run.
pub(super) fn best(runs: &[Run]) -> Vec<Grid> {
    searched(runs).map(best_of).collect()
}

fn best_of(run: &Run) -> Grid {
    let mut trials: Vec<&TrialRecord> = run.trials.iter().filter(|t| t.score.is_some()).collect();
    trials.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    Grid::of(
        &format!("Best {} of {} trials: {}", trials.len().min(SHOWN), run.trials.len(), run.name),
        3,
        trials.into_iter().take(SHOWN),
        &[
            ("trial", &|t| t.id.to_string()),
            ("architecture", &|t| t.hash.chars().take(8).collect()),
            ("origin", &|t| t.origin.clone()),
            ("parent", &|t| or_none(t.parent)),
            ("score (%)", &|t| field(t.score.map(|s| format!("{:.2}", 100.0 * s)))),
            ("parameters", &|t| or_none(t.parameters.map(show_count))),
            ("cost", &|t| or_none(t.reused.is_none().then(|| show_seconds(t.device_seconds)))),
        ],
    )
}
