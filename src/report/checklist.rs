//! The checklist of best practices for research on architecture search, filled in from what was recorded: Lindauer and Hutter, *Best Practices for
//! Scientific Research on Neural Architecture Search*, JMLR 21(243), 2020.

use super::control::Comparison;
use super::figures::{Experiment, Series};
use super::grid::Grid;
use super::load::Run;
use super::spread::Spread;
use crate::record::{Manifest, Phase, Role};
use crate::statistics::inference::LEAST;
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
pub(super) fn checklist(experiments: &[Experiment], comparisons: &[Comparison], tables: bool) -> Grid {
    let of = |e| items(e, comparisons, tables).into_iter().map(move |(item, answer)| (e, item, answer));
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
    grid.about(
        "After Lindauer and Hutter, Best Practices for Scientific Research on Neural Architecture Search, JMLR 21(243), 2020; answered from the recorded files of the finished runs alone.",
    )
}

fn items(e: &Experiment, comparisons: &[Comparison], tables: bool) -> Vec<(&'static str, Answer)> {
    vec![
        ("code of search, search space and final training is available", code(e)),
        ("hyper-parameters and seeds of search and final training are recorded", met("settings and seed are in every manifest.json")),
        (
            "all methods use the same data and the same split",
            agree(e.series.iter(), "another train/validation split or other data", &|m| format!("{} {}", m.data.hash, m.data.split_hash)),
        ),
        ("all methods use the same final training", same_training(e)),
        ("all searches have the same budget", budget(e)),
        (
            "confounders are controlled: same device, jobs, threads, libraries, program",
            agree(e.series.iter(), "another machine, number of jobs or threads, or another program", &machine),
        ),
        ("performance over time is shown", over_time(e)),
        ("compared with random search in the same space", random(e, comparisons)),
        ("several runs, with their seeds", repeated(e)),
        ("time of the whole method is reported, not of the search alone", whole_time(e)),
        ("ablations of the method's parts", not_measured("runs carry no label of an ablation")),
        (
            "how hyper-parameters were tuned, and at what cost",
            not_measured("the settings are those of the papers or of a preset; tuning is not recorded"),
        ),
        (
            "tabular or surrogate benchmarks",
            if tables {
                met("searches of tables stand in a section of their own")
            } else {
                not_measured("the report has no search of a table")
            },
        ),
    ]
}

/// Equal limits do not make equal budgets where the settings end a search before its limit.
fn budget(e: &Experiment) -> Answer {
    let limits = agree(e.searches(), "other limits", &|m| format!("{:?}", m.limits));
    let runs: Vec<&Run> = e.searches().flat_map(|s| s.rows.iter().copied()).collect();
    let used = Spread::of(runs.iter().filter_map(|r| r.budget_percent()));
    let cut = runs.iter().filter(|r| r.budget_ended()).count();
    match limits {
        ("met", _) if used.n == 0 => not_met("no run had a budget: the settings end every search".into()),
        ("met", _) if cut < runs.len() => {
            not_met(format!("the budget is the same, but it ended {cut} of {} searches; they used {} % of it", runs.len(), used.span()))
        }
        other => other,
    }
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
    format!("{} {} {} {} {}", m.device.name, m.jobs, m.device.threads, m.libtorch, m.program.commit)
}

/// Whether runs of one seed agree over the methods (data and seed decide the split, so only equal seeds can be compared); names the methods that differ from the most common value.
fn agree<'a>(all: impl Iterator<Item = &'a Series<'a>>, other: &str, get: &dyn Fn(&Manifest) -> String) -> Answer {
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
    unless(others, "they are equal for equal seeds", &format!("{other} than most have"))
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
        return met("the settings of the final training are equal in all runs");
    }
    let groups = kinds.into_iter().filter(|(_, names)| names.len() > 1);
    let groups: Vec<String> = groups.map(|(_, names)| names.into_iter().collect::<Vec<_>>().join(" and ")).collect();
    not_met(format!("final training differs between methods, each uses its paper's recipe; identical only for: {}", groups.join("; ")))
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
