//! The checklist of best practices for research on architecture search, filled in from what was recorded: Lindauer and Hutter, *Best Practices for
//! Scientific Research on Neural Architecture Search*, JMLR 21(243), 2020.

use super::control::Comparison;
use super::figures::{Experiment, Series};
use super::grid::Grid;
use super::load::Run;
use super::statistics::LEAST;
use crate::record::{Manifest, Phase, Role};
use std::collections::{BTreeMap, BTreeSet};

/// What can be said of an item, and why.
type Answer = (&'static str, String);

fn met(why: &str) -> Answer {
    ("met", why.into())
}

fn not_met(why: String) -> Answer {
    ("not met", why)
}

fn not_measured(why: &str) -> Answer {
    ("not measured", why.into())
}

/// Met if nothing speaks against it.
fn unless(against: impl IntoIterator<Item = String>, if_met: &str, if_not: &str) -> Answer {
    let against = against.into_iter().collect::<Vec<_>>().join(", ");
    if against.is_empty() { met(if_met) } else { not_met(format!("{if_not}: {against}")) }
}

/// One row an experiment and item.
pub(super) fn checklist(experiments: &[Experiment], comparisons: &[Comparison]) -> Grid {
    let of = |e| items(e, comparisons).into_iter().map(move |(item, answer)| (e, item, answer));
    let grid = Grid::of(
        "Checklist of best practices",
        4,
        experiments.iter().flat_map(of),
        &[
            ("experiment", &|(e, ..)| Experiment::words(e)),
            ("item", &|(_, item, _)| item.to_string()),
            ("answer", &|(_, _, (verdict, _))| verdict.to_string()),
            ("why", &|(_, _, (_, reason))| reason.clone()),
        ],
    );
    let source = "After Lindauer and Hutter, Best Practices for Scientific Research on Neural Architecture Search, JMLR 21(243), 2020; answered by machine, \
                  from the recorded files of the finished runs alone.";
    Grid { notes: vec![source.into()], ..grid }
}

fn items(e: &Experiment, comparisons: &[Comparison]) -> Vec<(&'static str, Answer)> {
    vec![
        ("code of search, search space and final training is available", code(e)),
        ("hyper-parameters and seeds of search and final training are recorded", met("settings and seed are in every manifest.json")),
        (
            "all methods use the same data and the same split",
            agree(e.series.iter(), "data", &|m| format!("{} {}", m.data.hash, m.data.split_hash)),
        ),
        ("all methods use the same final training", same_training(e)),
        ("all searches have the same budget", agree(e.searches(), "limits", &|m| format!("{:?}", m.limits))),
        ("confounders are controlled: same device, threads, libraries, program", agree(e.series.iter(), "machine and program", &machine)),
        ("performance over time is shown", over_time(e)),
        ("compared with random search in the same space", random(e, comparisons)),
        ("several runs, with their seeds", repeated(e)),
        ("time of the whole method is reported, not of the search alone", whole_time(e)),
        ("ablations of the method's parts", not_measured("what a run is part of is not recorded")),
        (
            "how hyper-parameters were tuned, and at what cost",
            not_measured("the settings are those of the papers or of a preset; tuning is not recorded"),
        ),
        ("tabular or surrogate benchmarks", not_measured("every network is trained; no benchmark is read")),
    ]
}

fn code(e: &Experiment) -> Answer {
    let unclear = |r: &&Run| r.manifest.as_ref().is_none_or(|m| m.program.dirty || m.program.commit == "unknown");
    let runs = e.rows().filter(unclear).count();
    match runs {
        0 => met("every run names the commit of the program that made it"),
        n => not_met(format!("{n} of {} runs come from a program without a clean commit", e.rows().count())),
    }
}

fn machine(m: &Manifest) -> String {
    format!("{} {} {} {}", m.device.name, m.device.threads, m.libtorch, m.program.commit)
}

/// Whether runs of one seed agree over the methods (data and seed decide the split, so only equal seeds can be compared); names the methods that differ from the most common value.
fn agree<'a>(all: impl Iterator<Item = &'a Series<'a>>, what: &str, get: &dyn Fn(&Manifest) -> String) -> Answer {
    let mut by_seed: BTreeMap<u64, Vec<(&str, Option<String>)>> = BTreeMap::new();
    for series in all {
        for row in &series.rows {
            by_seed.entry(row.seed().unwrap_or(0)).or_default().push((&series.name, row.manifest.as_ref().map(get)));
        }
    }
    let mut others = BTreeSet::new();
    for values in by_seed.values() {
        let count = |v: &Option<String>| values.iter().filter(|(_, w)| w == v).count();
        let common = values.iter().map(|(_, v)| v).max_by_key(|v| count(v));
        others.extend(values.iter().filter(|(_, v)| Some(v) != common).map(|(name, _)| (*name).to_string()));
    }
    let (equal, not) = ("are equal for equal seeds", "of most differ from those of");
    unless(others, &format!("the recorded {what} {equal}"), &format!("the recorded {what} {not}"))
}

/// The settings of the final training, method by method. They are compared as values: the order of keys means nothing.
fn same_training(e: &Experiment) -> Answer {
    let mut kinds: Vec<(&serde_json::Value, BTreeSet<&str>)> = Vec::new();
    for series in e.searches() {
        for retrain in series.rows.iter().filter_map(|r| r.manifest.as_ref()).map(|m| &m.settings["retrain"]) {
            match kinds.iter_mut().find(|(kind, _)| *kind == retrain) {
                Some((_, names)) => _ = names.insert(&series.name),
                None => kinds.push((retrain, BTreeSet::from([series.name.as_str()]))),
            }
        }
    }
    if kinds.len() < 2 {
        return met("settings.retrain is equal in all runs");
    }
    let groups: Vec<String> = kinds.into_iter().map(|(_, names)| names.into_iter().collect::<Vec<_>>().join(" = ")).collect();
    not_met(format!("settings.retrain differs, each method has its paper's; equal among: {}", groups.join("; ")))
}

fn over_time(e: &Experiment) -> Answer {
    let without = e.searches().filter(|s| s.rows.iter().all(|r| r.curve.is_empty())).map(|s| s.name.clone());
    unless(without, "every search has a curve of its best score against device time", "no curve of")
}

fn random(e: &Experiment, comparisons: &[Comparison]) -> Answer {
    let compared = |s: &&Series| comparisons.iter().any(|c| e.is_about(c.method) && s.is_of(c.method));
    let without = e.searches().filter(|s| s.role() == Role::Search).filter(|s| !compared(s)).map(|s| s.name.clone());
    unless(without, "every search has a control with its space, data and training", "no control of")
}

fn repeated(e: &Experiment) -> Answer {
    let few = e.series.iter().filter(|s| s.rows.len() < LEAST).map(|s| format!("{} (n = {})", s.name, s.rows.len()));
    unless(few, "three seeds or more of everything; the seeds are in results.csv", "fewer than three seeds of")
}

fn whole_time(e: &Experiment) -> Answer {
    let lacking = e.series.iter().filter(|s| s.rows.iter().any(|r| r.ledger.is_none() || r.seconds(Phase::Retrain).is_none()));
    unless(
        lacking.map(|s| s.name.clone()),
        "search, selection, retraining, test and overhead are in the ledger of every run",
        "the ledger lacks a phase for",
    )
}
