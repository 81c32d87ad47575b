//! How well scores that come early predict scores that come late: pairs of them from trials and runs, and their correlation.
//!
//! Each run has another search, and so other predictions of other networks: its pairs are correlated on their own, and over seeds there is a mean of coefficients,
//! never a coefficient of all pairs. Where a run is one pair, the runs are correlated.

use super::claims::{Claim, Metric};
use super::figures::{Experiment, Series};
use super::grid::Grid;
use super::lines::line;
use super::load::Run;
use super::spread::Spread;
use super::summary::{NONE, or_none};
use crate::record::{Phase, TrialRecord};
use crate::statistics::correlation::{Coefficient, Correlation, correlate, top_half};
use crate::statistics::inference::mean_interval;
use crate::statistics::mean;
use std::collections::BTreeSet;

/// Pairs of one kind of all runs of a group.
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
    /// What is correlated on its own: the pairs of a run, or of all runs. Never empty.
    pub samples: Vec<Sample>,
    /// The means of their coefficients, each with the interval of that mean, where there are several. Where one has none there is none.
    pub mean: Option<Sample>,
    /// What a paper reported: of 100 random networks, and of the 50 best of them.
    pub reported: [Option<&'a Claim>; 2],
    /// Both are fractions, to be shown in percent.
    pub scores: bool,
}

/// Pairs that are correlated.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Seed of the run; `None` for pairs of several runs, and for a mean.
    pub seed: Option<u64>,
    /// (proxy, target), finite; two or more, none of a mean.
    pub values: Vec<(f64, f64)>,
    /// Of all.
    pub all: Correlation,
    /// Pairs of the half that came out best; 0 where the pairs are those of several runs, or too few for a coefficient.
    pub top_n: usize,
    /// Pearson's of that half.
    pub top: Coefficient,
}

impl Sample {
    /// `None` of fewer than two finite pairs.
    fn new(seed: Option<u64>, values: Vec<(f64, f64)>) -> Option<Self> {
        let values: Vec<(f64, f64)> = values.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let top = Some(top_half(&values)).filter(|half| seed.is_some() && half.len() > 2).unwrap_or_default();
        (values.len() > 1).then(|| Self { seed, all: correlate(&values), top_n: top.len(), top: Coefficient::pearson(&top), values })
    }

    fn mean(samples: &[Self]) -> Option<Self> {
        let mean = |of: fn(&Self) -> Coefficient| {
            let values: Option<Vec<f64>> = samples.iter().map(|s| of(s).value).collect();
            values.map_or_else(Coefficient::default, |v| Coefficient {
                value: mean(&v),
                interval: mean_interval(&v).map(|(low, high)| (low.max(-1.0), high.min(1.0))),
            })
        };
        (samples.len() > 1).then(|| Self {
            seed: None,
            values: Vec::new(),
            all: Correlation {
                n: 0,
                pearson: mean(|s| s.all.pearson),
                spearman: mean(|s| s.all.spearman),
                kendall: mean(|s| s.all.kendall),
            },
            top_n: 0,
            top: mean(|s| s.top),
        })
    }
}

impl Pairs<'_> {
    /// The one sample, or the mean.
    fn whole(&self) -> &Sample {
        self.mean.as_ref().unwrap_or(&self.samples[0])
    }

    /// Runs behind it.
    fn seeds(&self) -> usize {
        match &self.samples[..] {
            [Sample { seed: None, values, .. }] => values.len(),
            samples => samples.len(),
        }
    }
}

/// Correlates everything that was recorded twice, group after group.
pub fn pairs<'a>(groups: &'a [Experiment<'a>], claims: &'a [Claim]) -> Vec<Pairs<'a>> {
    groups.iter().flat_map(move |e| e.series.iter().flat_map(move |series| of_series(e, series, claims))).collect()
}

/// The kinds of pairs of a group.
fn of_series<'a>(experiment: &'a Experiment<'a>, series: &'a Series<'a>, claims: &'a [Claim]) -> Vec<Pairs<'a>> {
    let mut out = Vec::new();
    let mut put = |proxy: String, target, scores, samples: Vec<Sample>, reported| {
        if !samples.is_empty() {
            let mean = Sample::mean(&samples);
            out.push(Pairs { experiment, series, proxy, target, samples, mean, reported, scores });
        }
    };
    for name in names(series) {
        let samples = by_run(series, |r| predicted(r).filter_map(|t| Some((*t.proxies.get(name)?, t.score?))).collect());
        put(words(name, series), "trained score", true, samples, reported(series, name, claims));
    }
    let sizes = by_run(series, |r| predicted(r).filter_map(|t| Some((t.parameters? as f64, t.score?))).collect());
    put("parameters".into(), "trained score", false, sizes, [None; 2]);
    let selected = by_run(series, |r| trials(r, Phase::Select).filter_map(|t| Some((*t.proxies.get("search")?, t.score?))).collect());
    put("search score".into(), "selection score", true, selected, [None; 2]);
    let ends = || series.rows.iter().filter_map(|r| r.result.as_ref());
    let over_runs = |values: Vec<(f64, f64)>| Sample::new(None, values).into_iter().collect::<Vec<_>>();
    let searched = over_runs(ends().filter_map(|r| Some((r.search_score?, r.final_score?))).collect());
    put("search score".into(), "test score", true, searched, [None; 2]);
    let chosen = over_runs(ends().filter_map(|r| Some((r.select_score?, r.final_score?))).collect());
    put("selection score".into(), "test score", true, chosen, [None; 2]);
    out
}

/// The pairs of each run.
fn by_run(series: &Series, values: impl Fn(&Run) -> Vec<(f64, f64)>) -> Vec<Sample> {
    series.rows.iter().filter_map(|r| Sample::new(Some(r.seed()?), values(r))).collect()
}

fn trials(run: &Run, phase: Phase) -> impl Iterator<Item = &TrialRecord> {
    run.all_trials().filter(move |t| t.phase == phase)
}

/// Trials of a run for whose scores there are predictions.
fn predicted(run: &Run) -> impl Iterator<Item = &TrialRecord> {
    trials(run, Phase::Search).filter(|t| !t.proxies.is_empty())
}

/// Names of what predicts the scores of the trials; those after so many steps by their number.
fn names<'a>(series: &Series<'a>) -> Vec<&'a str> {
    let names: BTreeSet<&str> = series.rows.iter().flat_map(|r| predicted(r)).flat_map(|t| t.proxies.keys()).map(String::as_str).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| (name.strip_prefix("step ").and_then(|n| n.parse::<u64>().ok()), name.to_string()));
    names
}

/// A score in words: after so many steps, or what the method says of it.
fn words(name: &str, series: &Series) -> String {
    match name.strip_prefix("step ") {
        Some(steps) => format!("score after {steps} steps"),
        None => series.prediction(name).unwrap_or(name).into(),
    }
}

/// What a paper reported of such predictions, as the method declares it.
fn reported<'a>(series: &Series, name: &str, claims: &'a [Claim]) -> [Option<&'a Claim>; 2] {
    let variant = series.claim(name);
    let fits = |c: &&Claim| {
        c.method == series.method && c.naslab_variant.as_deref() == Some(series.variant) && Some(c.variant.as_str()) == variant
    };
    let of = |metric| claims.iter().filter(fits).find(|c| c.metric == metric);
    [Metric::PearsonRandom100, Metric::PearsonTop50].map(of)
}

/// How to read the table.
const READING: &str = "The pairs of a seed are the networks that its run trained, and each seed is correlated on its own: of one seed the brackets are a bootstrap 95 % interval over its \
     pairs, of several the coefficient is the mean over seeds and the brackets are Student's 95 % interval of that mean (three seeds or more). Fewer than five pairs have no coefficient. Where the late score is a test score, a \
     seed is one pair. The top half is the half of a seed's networks with the best late scores: the Top-50 of a paper that has 100 networks.";

/// The table of the correlations.
pub(super) fn table(pairs: &[Pairs]) -> Grid {
    let claim = |p: &Pairs, i: usize| or_none(p.reported[i].and_then(|c| Some(format!("{} ({} on {})", c.value?, c.variant, c.dataset))));
    let grid = Grid::of(
        "Do early scores predict final ones?",
        5,
        pairs,
        &[
            ("method", &|p| p.series.name.clone()),
            ("data set", &|p| p.experiment.dataset.into()),
            ("preset", &|p| p.experiment.preset.into()),
            ("early", &|p| p.proxy.clone()),
            ("late", &|p| p.target.into()),
            ("seeds", &|p| p.seeds().to_string()),
            ("pairs", &|p| sizes(p, |s| s.all.n)),
            ("Pearson", &|p| coefficient(p.whole().all.pearson)),
            ("Spearman", &|p| coefficient(p.whole().all.spearman)),
            ("Kendall", &|p| coefficient(p.whole().all.kendall)),
            ("pairs of the top half", &|p| sizes(p, |s| s.top_n)),
            ("Pearson of the top half", &|p| coefficient(p.whole().top)),
            ("paper, 100 random networks", &|p| claim(p, 0)),
            ("paper, 50 best of them", &|p| claim(p, 1)),
        ],
    );
    grid.about(READING).without_equal(&["seeds", "pairs"])
}

/// How many pairs a sample has; two numbers where the samples differ.
fn sizes(pairs: &Pairs, of: fn(&Sample) -> usize) -> String {
    let all = Spread::of(pairs.samples.iter().map(|s| of(s) as f64));
    if all.high == Some(0.0) { NONE.into() } else { all.span() }
}

/// A coefficient and its interval.
pub fn coefficient(c: Coefficient) -> String {
    match (c.value, c.interval) {
        (Some(v), Some((low, high))) => format!("{v:.2} [{low:.2}, {high:.2}]"),
        (Some(v), None) => format!("{v:.2}"),
        _ => NONE.into(),
    }
}

line! {
    /// `correlations.csv`: one line a seed and kind of pair, and one for the mean over several seeds, which has neither seed nor number of pairs. An empty field is a coefficient or
    /// interval that does not exist.
    CorrelationLine(p: &Pairs, s: &Sample) {
        method: String = p.series.name.clone();
        dataset: String = p.experiment.dataset.into();
        preset: String = p.experiment.preset.into();
        proxy: String = p.proxy.clone();
        target: &'static str = p.target;
        seed: Option<u64> = s.seed;
        seeds: usize = s.seed.map_or_else(|| p.seeds(), |_| 1);
        n: Option<usize> = (s.all.n > 0).then_some(s.all.n);
        pearson: Option<f64> = s.all.pearson.value;
        pearson_low: Option<f64> = s.all.pearson.low();
        pearson_high: Option<f64> = s.all.pearson.high();
        spearman: Option<f64> = s.all.spearman.value;
        spearman_low: Option<f64> = s.all.spearman.low();
        spearman_high: Option<f64> = s.all.spearman.high();
        kendall: Option<f64> = s.all.kendall.value;
        kendall_low: Option<f64> = s.all.kendall.low();
        kendall_high: Option<f64> = s.all.kendall.high();
        top_half_n: Option<usize> = (s.top_n > 0).then_some(s.top_n);
        top_half_pearson: Option<f64> = s.top.value;
        top_half_pearson_low: Option<f64> = s.top.low();
        top_half_pearson_high: Option<f64> = s.top.high();
        paper_pearson_random_100: Option<f64> = p.reported[0].and_then(|c| c.value);
        paper_pearson_top_50: Option<f64> = p.reported[1].and_then(|c| c.value);
    }
}

/// The lines of all pairs.
pub(super) fn lines(pairs: &[Pairs]) -> impl Iterator<Item = CorrelationLine> {
    pairs.iter().flat_map(|p| p.samples.iter().chain(&p.mean).map(move |s| CorrelationLine::of(p, s)))
}
