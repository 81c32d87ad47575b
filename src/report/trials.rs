//! The trials of all runs: a long table as CSV, and their numbers for a reader.

use super::grid::Grid;
use super::lines::{finite, line};
use super::load::Run;
use crate::record::TrialRecord;
use std::collections::{BTreeMap, BTreeSet};

line! {
    /// `trials.csv`: one line a trial.
    TrialLine(r: &Run, t: &TrialRecord) {
        run: String = r.name.clone();
        phase: &'static str = t.phase.name();
        trial: u64 = t.id;
        architecture_hash: String = t.hash.clone();
        parent: Option<u64> = t.parent;
        origin: String = t.origin.clone();
        reused: Option<u64> = t.reused;
        end: &'static str = t.end.words();
        score: Option<f64> = finite(t.score);
        loss: Option<f64> = finite(t.loss);
        parameters: Option<u64> = t.parameters;
        device_seconds: f64 = t.device_seconds;
        spent_seconds: f64 = t.spent_seconds;
    }
}

/// The lines of a run.
pub(super) fn lines(run: &Run) -> impl Iterator<Item = TrialLine> {
    run.all_trials().map(move |t| TrialLine::of(run, t))
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
