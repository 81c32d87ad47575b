//! How well scores that come early predict scores that come late: pairs of them from trials and runs, and their correlation.

use super::correlation::{Coefficient, Correlation, correlate};
use super::figures::{Experiment, Series};
use super::grid::Grid;
use super::summary::NONE;
use crate::error::{Error, Result};
use crate::record::{Phase, TrialRecord};
use std::collections::BTreeSet;

/// Pairs of one kind from all seeds of a group.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    /// The group's plot area.
    pub experiment: &'a Experiment<'a>,
    /// The group.
    pub series: &'a Series<'a>,
    /// What comes early.
    pub proxy: String,
    /// What it should predict.
    pub target: &'static str,
    /// (proxy, target), finite.
    pub values: Vec<(f64, f64)>,
    /// Of these.
    pub correlation: Correlation,
    /// Both are fractions, to be shown in percent.
    pub scores: bool,
}

/// Correlates everything that was recorded twice, group after group.
pub fn pairs<'a>(groups: &'a [Experiment<'a>]) -> Vec<Pairs<'a>> {
    let mut out = Vec::new();
    for experiment in groups {
        for series in &experiment.series {
            let mut put = |proxy: String, target, scores, values: Vec<(f64, f64)>| {
                let values: Vec<(f64, f64)> = values.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
                if values.len() > 1 {
                    let correlation = correlate(&values);
                    out.push(Pairs { experiment, series, proxy, target, values, correlation, scores });
                }
            };
            let trials = |phase| series.rows.iter().flat_map(|r| r.all_trials()).filter(move |t: &&TrialRecord| t.phase == phase);
            let predicted = || trials(Phase::Search).filter(|t| !t.proxies.is_empty());
            let names: BTreeSet<&str> = predicted().flat_map(|t| t.proxies.keys()).map(String::as_str).collect();
            let mut names: Vec<&str> = names.into_iter().collect();
            names.sort_by_key(|name| (name.strip_prefix("step ").and_then(|n| n.parse::<u64>().ok()), name.to_string()));
            for name in names {
                let values = predicted().filter_map(|t| Some((*t.proxies.get(name)?, t.score?))).collect();
                put(words(name), "trained score", true, values);
            }
            put("parameters".into(), "trained score", false, predicted().filter_map(|t| Some((t.parameters? as f64, t.score?))).collect());
            let selected = trials(Phase::Select).filter_map(|t| Some((*t.proxies.get("search")?, t.score?))).collect();
            put("search score".into(), "selection score", true, selected);
            let ends = series.rows.iter().filter_map(|r| r.result.as_ref());
            put("search score".into(), "test score", true, ends.clone().filter_map(|r| Some((r.search_score?, r.final_score?))).collect());
            put("selection score".into(), "test score", true, ends.filter_map(|r| Some((r.select_score?, r.final_score?))).collect());
        }
    }
    out
}

fn words(name: &str) -> String {
    match name.strip_prefix("step ") {
        Some(steps) => format!("score after {steps} steps"),
        None if name == "ghn" => "score with predicted weights".into(),
        None => name.into(),
    }
}

/// The table of the correlations.
pub(super) fn table(pairs: &[Pairs]) -> Grid {
    let line = |p: &Pairs| {
        let c = p.correlation;
        vec![
            p.series.name.clone(),
            p.experiment.dataset.to_string(),
            p.experiment.preset.to_string(),
            p.proxy.clone(),
            p.target.to_string(),
            c.n.to_string(),
            coefficient(c.pearson),
            coefficient(c.spearman),
            coefficient(c.kendall),
        ]
    };
    Grid {
        title: "What early scores say about late ones".into(),
        head: vec!["method", "data set", "preset", "early", "late", "n", "Pearson", "Spearman", "Kendall"],
        rows: pairs.iter().map(line).collect(),
        left: 5,
        ..Grid::default()
    }
}

/// A coefficient and its interval.
pub fn coefficient(c: Coefficient) -> String {
    match (c.value, c.interval) {
        (Some(v), Some((low, high))) => format!("{v:.2} [{low:.2}, {high:.2}]"),
        (Some(v), None) => format!("{v:.2}"),
        _ => NONE.into(),
    }
}

/// `correlations.csv`: one row a group and kind of pair; an empty field is a coefficient or interval that does not exist.
pub(super) fn correlations_csv(pairs: &[Pairs]) -> Result<Vec<u8>> {
    let failed = |e: csv::Error| Error::Resource(format!("the correlations could not be written: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut head: Vec<String> = ["method", "dataset", "preset", "proxy", "target", "n"].map(String::from).into();
    for name in ["pearson", "spearman", "kendall"] {
        head.extend(["", "_low", "_high"].map(|suffix| format!("{name}{suffix}")));
    }
    writer.write_record(&head).map_err(failed)?;
    for p in pairs {
        let Correlation { n, pearson, spearman, kendall } = p.correlation;
        let mut fields =
            vec![p.series.name.clone(), p.experiment.dataset.into(), p.experiment.preset.into(), p.proxy.clone(), p.target.into()];
        fields.push(n.to_string());
        for c in [pearson, spearman, kendall] {
            let numbers = [c.value, c.interval.map(|i| i.0), c.interval.map(|i| i.1)];
            fields.extend(numbers.map(|v| v.map_or_else(String::new, |v| v.to_string())));
        }
        writer.write_record(&fields).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::Resource(format!("the correlations could not be written: {e}")))
}
