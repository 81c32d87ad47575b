//! How well scores that come early predict scores that come late: pairs of them from trials and runs, and their correlation.

use super::correlation::{Coefficient, Correlation, correlate};
use super::figures::{Experiment, Series};
use super::grid::{Grid, field};
use super::summary::NONE;
use crate::error::Result;
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
                put(words(name, series), "trained score", true, values);
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

/// A score in words: after so many steps, or what the method says of it.
fn words(name: &str, series: &Series) -> String {
    match name.strip_prefix("step ") {
        Some(steps) => format!("score after {steps} steps"),
        None => series.prediction(name).unwrap_or(name).into(),
    }
}

/// The table of the correlations.
pub(super) fn table(pairs: &[Pairs]) -> Grid {
    Grid::of(
        "What early scores say about late ones",
        5,
        pairs,
        &[
            ("method", &|p| p.series.name.clone()),
            ("data set", &|p| p.experiment.dataset.into()),
            ("preset", &|p| p.experiment.preset.into()),
            ("early", &|p| p.proxy.clone()),
            ("late", &|p| p.target.into()),
            ("n", &|p| p.correlation.n.to_string()),
            ("Pearson", &|p| coefficient(p.correlation.pearson)),
            ("Spearman", &|p| coefficient(p.correlation.spearman)),
            ("Kendall", &|p| coefficient(p.correlation.kendall)),
        ],
    )
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
    let low = |c: Coefficient| field(c.interval.map(|i| i.0));
    let high = |c: Coefficient| field(c.interval.map(|i| i.1));
    Grid::of(
        "correlations.csv",
        5,
        pairs,
        &[
            ("method", &|p| p.series.name.clone()),
            ("dataset", &|p| p.experiment.dataset.into()),
            ("preset", &|p| p.experiment.preset.into()),
            ("proxy", &|p| p.proxy.clone()),
            ("target", &|p| p.target.into()),
            ("n", &|p| p.correlation.n.to_string()),
            ("pearson", &|p| field(p.correlation.pearson.value)),
            ("pearson_low", &|p| low(p.correlation.pearson)),
            ("pearson_high", &|p| high(p.correlation.pearson)),
            ("spearman", &|p| field(p.correlation.spearman.value)),
            ("spearman_low", &|p| low(p.correlation.spearman)),
            ("spearman_high", &|p| high(p.correlation.spearman)),
            ("kendall", &|p| field(p.correlation.kendall.value)),
            ("kendall_low", &|p| low(p.correlation.kendall)),
            ("kendall_high", &|p| high(p.correlation.kendall)),
        ],
    )
    .csv()
}
