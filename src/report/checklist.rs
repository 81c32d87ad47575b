//! The checklist of best practices for research on architecture search, filled in from what was recorded: Lindauer and Hutter, *Best Practices for
//! Scientific Research on Neural Architecture Search*, JMLR 21(243), 2020.

use super::control::{Comparison, needs_control};
use super::figures::{Experiment, Series};
use super::frame::Row;
use super::grid::Grid;
use super::outcome::TRAIN;
use super::statistics::LEAST;
use std::collections::{BTreeMap, BTreeSet};

/// What can be said of an item, and why.
enum Answer {
    Met(String),
    NotMet(String),
    NotMeasured(&'static str),
}
use Answer::{Met, NotMeasured, NotMet};

/// Met if nothing speaks against it.
fn unless(against: Vec<String>, met: &str, not_met: &str) -> Answer {
    if against.is_empty() { Met(met.into()) } else { NotMet(format!("{not_met}: {}", against.join(", "))) }
}

/// One row an experiment and item.
pub(super) fn checklist(experiments: &[Experiment], comparisons: &[Comparison]) -> Grid {
    let rows = experiments.iter().flat_map(|e| {
        let about = e.words();
        items(e, comparisons).into_iter().map(move |(item, answer)| {
            let (verdict, reason) = match answer {
                Met(reason) => ("met", reason),
                NotMet(reason) => ("not met", reason),
                NotMeasured(reason) => ("not measured", reason.to_string()),
            };
            vec![about.clone(), item.to_string(), verdict.to_string(), reason]
        })
    });
    Grid {
        title: "Checklist of best practices".into(),
        head: vec!["experiment", "item", "answer", "why"],
        rows: rows.collect(),
        left: 4,
        notes: vec![
            "After Lindauer and Hutter, Best Practices for Scientific Research on Neural Architecture Search, JMLR 21(243), 2020; answered by machine, \
             from the recorded files of the finished runs alone."
                .into(),
        ],
    }
}

fn items(e: &Experiment, comparisons: &[Comparison]) -> Vec<(&'static str, Answer)> {
    vec![
        ("code of search, search space and final training is available", code(e)),
        (
            "hyper-parameters and seeds of search and final training are recorded",
            Met("settings and seed are in every manifest.json".into()),
        ),
        ("all methods use the same data and the same split", agree(e, "data", &|r| Some(split(r)))),
        ("all methods use the same final training", same_training(e)),
        ("all methods have the same budget", agree(e, "limits", &|r| r.manifest.as_ref().map(|m| format!("{:?}", m.limits)))),
        ("confounders are controlled: same device, threads, libraries, program", agree(e, "machine and program", &|r| Some(machine(r)))),
        ("performance over time is shown", over_time(e)),
        ("compared with random search in the same space", random(e, comparisons)),
        ("several runs, with their seeds", repeated(e)),
        ("time of the whole method is reported, not of the search alone", whole_time(e)),
        ("ablations of the method's parts", NotMeasured("what a run is part of is not recorded")),
        (
            "how hyper-parameters were tuned, and at what cost",
            NotMeasured("the settings are those of the papers or of a preset; tuning is not recorded"),
        ),
        ("tabular or surrogate benchmarks", NotMeasured("every network is trained; no benchmark is read")),
    ]
}

/// Searches; single architectures that were trained are none.
fn searches<'a>(e: &'a Experiment<'a>) -> impl Iterator<Item = &'a Series<'a>> {
    e.series.iter().filter(|s| s.method != TRAIN)
}

fn code(e: &Experiment) -> Answer {
    let unclear = |r: &&Row| r.manifest.as_ref().is_none_or(|m| m.program.dirty || m.program.commit == "unknown");
    let runs = e.rows().filter(unclear).count();
    match runs {
        0 => Met("every run names the commit of the program that made it".into()),
        n => NotMet(format!("{n} of {} runs come from a program without a clean commit", e.rows().count())),
    }
}

/// Data and seed decide the split, so only equal seeds can be compared.
fn split(row: &Row) -> String {
    row.manifest.as_ref().map_or_else(String::new, |m| format!("{} {}", m.data.hash, m.data.split_hash))
}

fn machine(row: &Row) -> String {
    let of = |m: &crate::record::Manifest| format!("{} {} {} {}", m.device.name, m.device.threads, m.libtorch, m.program.commit);
    row.manifest.as_ref().map_or_else(String::new, of)
}

/// Whether runs of one seed agree over the methods; names the methods that differ from the most common value.
fn agree(e: &Experiment, what: &str, get: &dyn Fn(&Row) -> Option<String>) -> Answer {
    let mut by_seed: BTreeMap<u64, Vec<(&str, String)>> = BTreeMap::new();
    for series in &e.series {
        for row in &series.rows {
            let seed = row.manifest.as_ref().map_or(0, |m| m.seed);
            by_seed.entry(seed).or_default().push((&series.name, get(row).unwrap_or_default()));
        }
    }
    let mut others = BTreeSet::new();
    for values in by_seed.values() {
        let count = |v: &str| values.iter().filter(|(_, w)| w == v).count();
        let common = values.iter().max_by_key(|(_, v)| count(v)).map(|(_, v)| v.clone());
        others.extend(values.iter().filter(|(_, v)| Some(v) != common.as_ref()).map(|(name, _)| (*name).to_string()));
    }
    unless(
        others.into_iter().collect(),
        &format!("the recorded {what} are equal for equal seeds"),
        &format!("the recorded {what} of most differ from those of"),
    )
}

/// The settings of the final training, method by method. They are compared as values: the order of keys means nothing.
fn same_training(e: &Experiment) -> Answer {
    let mut kinds: Vec<(&serde_json::Value, BTreeSet<&str>)> = Vec::new();
    for series in searches(e) {
        for retrain in series.rows.iter().filter_map(|r| r.manifest.as_ref()).map(|m| &m.settings["retrain"]) {
            match kinds.iter_mut().find(|(kind, _)| *kind == retrain) {
                Some((_, names)) => _ = names.insert(&series.name),
                None => kinds.push((retrain, BTreeSet::from([series.name.as_str()]))),
            }
        }
    }
    if kinds.len() < 2 {
        return Met("settings.retrain is equal in all runs".into());
    }
    let groups: Vec<String> = kinds.into_iter().map(|(_, names)| names.into_iter().collect::<Vec<_>>().join(" = ")).collect();
    NotMet(format!("settings.retrain differs, each method has its paper's; equal among: {}", groups.join("; ")))
}

fn over_time(e: &Experiment) -> Answer {
    let without = searches(e).filter(|s| s.rows.iter().all(|r| r.curve.is_empty())).map(|s| s.name.clone());
    unless(without.collect(), "every search has a curve of its best score against device time", "no curve of")
}

fn random(e: &Experiment, comparisons: &[Comparison]) -> Answer {
    let here = |c: &Comparison| (&*c.method.dataset, &*c.method.metric, &*c.method.cost_unit) == (e.dataset, e.metric, e.cost_unit);
    let of =
        |c: &Comparison, s: &Series| c.method.plain_preset().split('-').next() == Some(e.preset) && s.name.starts_with(&c.method.name());
    let compared = |s: &&Series| comparisons.iter().any(|c| here(c) && of(c, s));
    let without = searches(e).filter(|s| needs_control(s.method)).filter(|s| !compared(s)).map(|s| s.name.clone());
    unless(without.collect(), "every search has a control with its space, data and training", "no control of")
}

fn repeated(e: &Experiment) -> Answer {
    let few = e.series.iter().filter(|s| s.rows.len() < LEAST).map(|s| format!("{} (n = {})", s.name, s.rows.len()));
    unless(few.collect(), "three seeds or more of everything; the seeds are in results.csv", "fewer than three seeds of")
}

fn whole_time(e: &Experiment) -> Answer {
    let lacking = e.series.iter().filter(|s| s.rows.iter().any(|r| r.wall_seconds.is_none() || r.seconds.retrain.is_none()));
    unless(
        lacking.map(|s| s.name.clone()).collect(),
        "search, selection, retraining, test and overhead are in the ledger of every run",
        "the ledger lacks a phase for",
    )
}
