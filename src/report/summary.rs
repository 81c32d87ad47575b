//! The summary: one row per method, variant, data set, preset, protocol and device, with means over search seeds.

use super::claims::{Beside, Claim, Metric, apart, beside};
use super::frame::{DICE, trouble};
use super::lines::line;
use super::load::Run;
use super::spread::Spread;
use crate::error::Result;
use crate::record::{Manifest, Phase, Role};
use crate::statistics::inference::{Interval, mean_interval};
use crate::statistics::mean;
use crate::units::show_count;
use polars::prelude::*;

/// What does not apply: the spread of one value, the cost of a phase that the run does not have.
pub(super) const NONE: &str = "–";
/// What could not be measured.
pub(super) const NOT_MEASURED: &str = "not measured";

/// A value, or the mark of what does not apply.
pub(super) fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NONE.into(), |v| v.to_string())
}

/// A value, or that it was not measured.
pub(super) fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOT_MEASURED.into(), |v| v.to_string())
}

/// Columns that must agree for two runs to be seeds of the same experiment, besides all [`WORDS`].
const DEVICE: [&str; 3] = ["device_kind", "device_name", "device_cores"];

/// Method and variant as papers print them.
pub(super) fn full_name(m: &Manifest) -> String {
    named(if m.declaration.title.is_empty() { &m.method } else { &m.declaration.title }, &m.variant)
}

/// A name, and the form of what it names.
pub(super) fn named(name: &str, variant: &str) -> String {
    if variant.is_empty() { name.into() } else { format!("{name} ({variant})") }
}

/// A row of the summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SummaryRow {
    /// Data set.
    pub dataset: String,
    /// Preset, with the protocol's digits appended where two protocols share the name.
    pub preset: String,
    /// Method.
    pub method: String,
    /// Form of the method.
    pub variant: String,
    /// `accuracy` or `dice`.
    pub metric: String,
    /// Digits of the protocol.
    pub protocol: String,
    /// Unit of the costs.
    pub cost_unit: String,
    /// What the search score means.
    pub search_score_kind: String,
    /// Finished runs: one a search seed.
    pub seeds: u64,
    /// Score on the test split after retraining, a fraction. Never filled from another score.
    pub final_score: Spread,
    /// The scores behind it, ascending.
    pub final_scores: Vec<f64>,
    /// 95 % interval of its mean; `None` for fewer than three seeds.
    pub final_interval: Option<Interval>,
    /// Score at search time, a fraction.
    pub search_score: Spread,
    /// Validation score in the selection, a fraction.
    pub select_score: Spread,
    /// Weights of the retrained network without auxiliary head.
    pub parameters: Spread,
    /// Cost of the search in days of the unit.
    pub search_days: Spread,
    /// That of the selection.
    pub select_days: Spread,
    /// That of the retraining.
    pub retrain_days: Spread,
    /// That of all phases.
    pub total_days: Spread,
    /// Seconds by the clock on the wall, from the start of a run to its end.
    pub wall_seconds: Spread,
    /// The part of the search that trains what ranks, where a search has such parts: a fraction of its device time.
    pub training_share: Option<f64>,
    /// Test images or volumes, of each run.
    pub tested: Spread,
    /// Peak bytes: of the device allocator on CUDA, of the process on a CPU; the largest of the runs.
    pub peak_bytes: Option<u64>,
    /// Joules of the card a run.
    pub energy_joules: Spread,
    /// Its runs: places in the list of all runs.
    pub members: Vec<usize>,
    /// Manifest of its first run; settings, limits, data and declaration are those of all.
    pub manifest: Option<Manifest>,
    /// Whether its retraining cut squares out of the training images (cutout).
    pub cutout: bool,
    /// What a paper reported for this method and variant, if it did; [`SummaryRow::apart`] says whether the two can be compared.
    pub claim: Option<Claim>,
}

/// Column with the places of a group's runs in the list of all.
const PLACE: &str = "place";

/// Where a column goes in a row.
type Place<T> = fn(&mut SummaryRow) -> &mut T;

/// Columns of words, and where they go.
const WORDS: [(&str, Place<String>); 8] = [
    ("dataset", |r| &mut r.dataset),
    ("preset", |r| &mut r.preset),
    ("method", |r| &mut r.method),
    ("variant", |r| &mut r.variant),
    ("metric", |r| &mut r.metric),
    ("protocol", |r| &mut r.protocol),
    ("cost_unit", |r| &mut r.cost_unit),
    ("search_score_kind", |r| &mut r.search_score_kind),
];

/// Columns that are summarised with their units, and where that goes.
const FIGURES: [(&str, &str, Place<Spread>); 10] = [
    ("final_score", "fraction", |r| &mut r.final_score),
    ("search_score", "fraction", |r| &mut r.search_score),
    ("select_score", "fraction", |r| &mut r.select_score),
    ("parameters", "weights", |r| &mut r.parameters),
    ("search_cost_days", "days", |r| &mut r.search_days),
    ("select_cost_days", "days", |r| &mut r.select_days),
    ("retrain_cost_days", "days", |r| &mut r.retrain_days),
    ("total_cost_days", "days", |r| &mut r.total_days),
    ("wall_seconds", "seconds", |r| &mut r.wall_seconds),
    ("energy_joules", "joules", |r| &mut r.energy_joules),
];

/// Summarises the runs that count; `frame` is their long frame.
pub(super) fn summarise(runs: &[Run], frame: DataFrame, claims: &[Claim]) -> Result<Vec<SummaryRow>> {
    let grouped = group(frame).map_err(|e| trouble(&e))?;
    let read = (0..grouped.height()).map(|i| read_row(&grouped, i)).collect::<PolarsResult<Vec<_>>>();
    let mut rows = read.map_err(|e| trouble(&e))?;
    rows.iter_mut().for_each(|row| complete(row, runs, claims));
    tell_protocols_apart(&mut rows);
    Ok(rows)
}

fn group(runs: DataFrame) -> PolarsResult<DataFrame> {
    let figures = FIGURES.iter().map(|(name, ..)| col(*name).cast(DataType::Float64));
    let keys: Vec<&str> = WORDS.iter().map(|(name, _)| *name).chain(DEVICE).collect();
    runs.lazy()
        .with_row_index(PLACE, None)
        .filter(col("status").eq(lit("finished")))
        .group_by_stable(keys.iter().map(|key| col(*key)).collect::<Vec<Expr>>())
        .agg(figures.chain([col(PLACE)]).collect::<Vec<Expr>>())
        .sort(keys, SortMultipleOptions::default().with_maintain_order(true))
        .collect()
}

fn read_row(frame: &DataFrame, i: usize) -> PolarsResult<SummaryRow> {
    let mut row = SummaryRow::default();
    for (name, place) in WORDS {
        *place(&mut row) = frame.column(name)?.str()?.get(i).unwrap_or_default().to_string();
    }
    for (name, _, place) in FIGURES {
        if let Some(values) = frame.column(name)?.list()?.get_as_series(i) {
            *place(&mut row) = Spread::of(values.f64()?.iter().flatten());
        }
    }
    if let Some(places) = frame.column(PLACE)?.list()?.get_as_series(i) {
        row.members = places.u32()?.iter().flatten().map(|place| place as usize).collect();
    }
    Ok(row)
}

/// Fills in what comes from the runs themselves and from the claims.
fn complete(row: &mut SummaryRow, runs: &[Run], claims: &[Claim]) {
    let members: Vec<&Run> = row.members.iter().map(|i| &runs[*i]).collect();
    let mut scores: Vec<f64> = members.iter().filter_map(|r| r.result.as_ref()?.final_score).filter(|s| s.is_finite()).collect();
    // Sorted, so that nothing computed from them depends on the names of folders.
    scores.sort_by(f64::total_cmp);
    row.seeds = members.len() as u64;
    // No score is below 0 or above 1.
    row.final_interval = mean_interval(&scores).map(|(low, high)| (low.max(0.0), high.min(1.0)));
    row.final_scores = scores;
    row.tested = Spread::of(members.iter().filter_map(|r| Some(r.tested()? as f64)));
    row.training_share = mean(&members.iter().filter_map(|r| Some(r.training_seconds? / r.seconds(Phase::Search)?)).collect::<Vec<f64>>());
    row.peak_bytes = members.iter().filter_map(|r| r.peak()).max();
    row.manifest = members.first().and_then(|r| r.manifest.clone());
    let cutout = |m: &Manifest| m.settings.pointer("/retrain/augment/cutout").and_then(serde_json::Value::as_u64);
    row.cutout = row.manifest.as_ref().and_then(cutout).is_some_and(|side| side > 0);
    let metric = if row.metric == DICE { Metric::Dice } else { Metric::TestAccuracy };
    let run = Beside { method: &row.method, variant: &row.variant, dataset: &row.dataset, metric, cutout: row.cutout };
    row.claim = beside(claims, &run).cloned();
}

/// Runs of one preset with other settings, limits or data are another experiment; the table must show that.
fn tell_protocols_apart(rows: &mut [SummaryRow]) {
    let label = |r: &SummaryRow| (r.dataset.clone(), r.preset.clone(), r.method.clone(), r.variant.clone());
    let before: Vec<_> = rows.iter().map(|r| (label(r), r.protocol.clone())).collect();
    for row in rows.iter_mut() {
        if before.iter().any(|(l, p)| *l == label(row) && *p != row.protocol) {
            row.preset = format!("{} [{}]", row.preset, row.protocol);
        }
    }
}

impl SummaryRow {
    /// Method and variant in words.
    pub fn name(&self) -> String {
        self.manifest.as_ref().map_or_else(|| named(&self.method, &self.variant), full_name)
    }

    /// What its runs are for.
    pub fn role(&self) -> Role {
        self.manifest.as_ref().map_or(Role::Search, |m| m.declaration.role)
    }

    /// What rows of one family share: data set, metric, the preset by its own name, without the digits of a protocol, and unit of cost.
    pub fn family(&self) -> [&str; 4] {
        let preset = self.manifest.as_ref().map_or(&self.preset, |m| &m.preset);
        [&self.dataset, &self.metric, preset, &self.cost_unit]
    }

    /// Number of seeds; says so where some have no final score.
    pub fn seeds_text(&self) -> String {
        if self.final_score.n == self.seeds {
            self.seeds.to_string()
        } else {
            format!("{} ({} with final score)", self.seeds, self.final_score.n)
        }
    }

    /// Standard error of one run's accuracy, since the test images are a sample (binomial); `None` of overlaps, whose images are not independent.
    pub fn error_of_one(&self) -> Option<f64> {
        let (p, n) = (self.final_score.mean?, self.tested.mean?);
        (self.metric != DICE && n > 0.0).then(|| (p * (1.0 - p) / n).max(0.0).sqrt())
    }

    /// Weights: one number, or mean and range.
    pub fn parameters_text(&self) -> String {
        let p = self.parameters;
        match (p.mean, p.low, p.high) {
            (Some(mean), Some(low), Some(high)) if low < high => {
                format!("{} ({}–{})", show_count(mean.round() as u64), show_count(low as u64), show_count(high as u64))
            }
            (Some(mean), ..) => show_count(mean.round() as u64),
            _ => NOT_MEASURED.into(),
        }
    }

    /// Why its claim cannot be compared with it; `None` if it can, or if there is no claim.
    pub fn apart(&self) -> Option<&'static str> {
        self.claim.as_ref().and_then(|claim| apart(claim, &self.dataset, self.cutout))
    }
}

line! {
    /// `results-summary.csv`: one line a row of the summary and figure, all in the unit that it names. Reported ones are figures of their own.
    SummaryLine(row: &SummaryRow, name: &'static str, in_unit: &'static str, spread: Spread, interval: Option<Interval>, about: Option<String>) {
        dataset: String = row.dataset.clone();
        preset: String = row.preset.clone();
        method: String = row.method.clone();
        variant: String = row.variant.clone();
        metric: String = row.metric.clone();
        protocol: String = row.protocol.clone();
        cost_unit: String = row.cost_unit.clone();
        seeds: u64 = row.seeds;
        retrained_with_cutout: bool = row.cutout;
        figure: &'static str = name;
        unit: &'static str = in_unit;
        n: Option<u64> = (spread.n > 0).then_some(spread.n);
        mean: Option<f64> = spread.mean;
        sd: Option<f64> = spread.deviation;
        min: Option<f64> = spread.low;
        max: Option<f64> = spread.high;
        ci95_low: Option<f64> = interval.map(|i| i.0);
        ci95_high: Option<f64> = interval.map(|i| i.1);
        note: Option<String> = about;
    }
}

/// The lines of a row.
pub(super) fn lines(row: &SummaryRow) -> Vec<SummaryLine> {
    let mut copy = row.clone();
    let mut lines: Vec<SummaryLine> = Vec::new();
    for (name, unit, place) in FIGURES {
        let interval = row.final_interval.filter(|_| name == "final_score");
        lines.push(SummaryLine::of(row, name, unit, *place(&mut copy), interval, None));
    }
    let peak = Spread { high: row.peak_bytes.map(|b| b as f64), ..Spread::default() };
    lines.push(SummaryLine::of(row, "peak_memory", "bytes", peak, None, None));
    let Some(claim) = &row.claim else { return lines };
    let one = |mean: Option<f64>| Spread { mean, ..Spread::default() };
    let score =
        Spread { n: claim.runs.map_or(0, u64::from), deviation: claim.spread.map(|s| s / 100.0), ..one(claim.value.map(|v| v / 100.0)) };
    let about = [Some(claim.about()), Some(claim.status.word().into()), row.apart().map(String::from)];
    let about = about.into_iter().flatten().collect::<Vec<_>>().join("; ");
    lines.push(SummaryLine::of(row, "reported_final_score", "fraction", score, None, Some(about)));
    lines.push(SummaryLine::of(row, "reported_parameters", "weights", one(claim.params.map(|p| 1e6 * p)), None, None));
    lines.push(SummaryLine::of(row, "reported_search_cost", "GPU-days", one(claim.gpu_days), None, claim.gpu_model.clone()));
    lines
}
