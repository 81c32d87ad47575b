//! The summary: one row per method, variant, data set, preset, protocol and device, with means over search seeds.

use super::claims::{Beside, Claim, Metric, apart, beside};
use super::frame::{DICE, trouble};
use super::grid::{Grid, field};
use super::load::Run;
use super::spread::{Spread, significant};
use super::statistics::{Interval, mean_interval};
use crate::error::Result;
use crate::record::{Manifest, Role};
use crate::units::{SECONDS_PER_DAY, show_count, show_seconds};
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

/// Method and variant as papers print them, such as `DARTS (first-order)`.
pub(super) fn full_name(m: &Manifest) -> String {
    let title = if m.declaration.title.is_empty() { &m.method } else { &m.declaration.title };
    if m.variant.is_empty() { title.clone() } else { format!("{title} ({})", m.variant) }
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
    /// Device-days of the search.
    pub search_days: Spread,
    /// The part of it that trains what ranks, where a search has such parts.
    pub training_days: Spread,
    /// Device-days of the selection.
    pub select_days: Spread,
    /// Device-days of the retraining.
    pub retrain_days: Spread,
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

/// A column, and where it goes in a row.
type Column<T> = (&'static str, fn(&mut SummaryRow) -> &mut T);
/// A column, and what of a row is written there.
type Written = (&'static str, fn(&SummaryRow) -> String);

/// Columns of words, and where they go.
const WORDS: [Column<String>; 8] = [
    ("dataset", |r| &mut r.dataset),
    ("preset", |r| &mut r.preset),
    ("method", |r| &mut r.method),
    ("variant", |r| &mut r.variant),
    ("metric", |r| &mut r.metric),
    ("protocol", |r| &mut r.protocol),
    ("cost_unit", |r| &mut r.cost_unit),
    ("search_score_kind", |r| &mut r.search_score_kind),
];

/// Columns that are summarised, and where that goes.
const FIGURES: [Column<Spread>; 9] = [
    ("final_score", |r| &mut r.final_score),
    ("search_score", |r| &mut r.search_score),
    ("select_score", |r| &mut r.select_score),
    ("parameters", |r| &mut r.parameters),
    ("search_cost_days", |r| &mut r.search_days),
    ("search_training_cost_days", |r| &mut r.training_days),
    ("select_cost_days", |r| &mut r.select_days),
    ("retrain_cost_days", |r| &mut r.retrain_days),
    ("energy_joules", |r| &mut r.energy_joules),
];

/// Summarises the runs that count; `frame` is their long frame.
pub fn summarise(runs: &[Run], frame: &DataFrame, claims: &[Claim]) -> Result<Vec<SummaryRow>> {
    let grouped = group(frame).map_err(|e| trouble(&e))?;
    let read = (0..grouped.height()).map(|i| read_row(&grouped, i)).collect::<PolarsResult<Vec<_>>>();
    let mut rows = read.map_err(|e| trouble(&e))?;
    rows.iter_mut().for_each(|row| complete(row, runs, claims));
    tell_protocols_apart(&mut rows);
    Ok(rows)
}

fn group(runs: &DataFrame) -> PolarsResult<DataFrame> {
    let figures = FIGURES.iter().map(|(name, _)| col(*name).cast(DataType::Float64));
    let keys: Vec<&str> = WORDS.iter().map(|(name, _)| *name).chain(DEVICE).collect();
    runs.clone()
        .lazy()
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
    for (name, place) in FIGURES {
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
    row.final_interval = mean_interval(&scores);
    row.final_scores = scores;
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
        self.manifest.as_ref().map_or_else(|| self.method.clone(), full_name)
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

    /// A device cost in days and in seconds.
    pub fn cost_text(days: Spread) -> String {
        or_none(days.mean.map(|d| format!("{} ({})", significant(d), show_seconds(d * SECONDS_PER_DAY))))
    }

    /// The search's cost, in its parts where it trains first and ranks then.
    pub fn search_cost_text(&self) -> String {
        let whole = Self::cost_text(self.search_days);
        let (Some(all), Some(training)) = (self.search_days.mean, self.training_days.mean) else { return whole };
        let seconds = |days: f64| show_seconds(days * SECONDS_PER_DAY);
        format!("{whole}: {} training, {} ranking", seconds(training), seconds(all - training))
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

    /// The claim beside it, with the paper's name of the variant, data set and cutout, since they may differ. No mask is trained with cutout.
    pub fn claim_text(&self) -> String {
        let Some(claim) = &self.claim else { return NONE.into() };
        let mut about = format!("{} on {}", if claim.variant.is_empty() { &claim.method } else { &claim.variant }, claim.dataset);
        if !claim.metric.of_segmentation() {
            about = format!("{about}, {}", claim.cutout.words());
        }
        claim.value_text().map_or_else(|| format!("not known ({about})"), |v| format!("{v} ({about})"))
    }
}

/// Columns of the CSV file behind words, number of seeds and spreads.
const LAST: [Written; 13] = [
    ("peak_bytes", |r| field(r.peak_bytes)),
    ("claim_variant", |r| of_claim(r, |c| Some(c.variant.clone()))),
    ("claim_dataset", |r| of_claim(r, |c| Some(c.dataset.clone()))),
    ("claim_value", |r| of_claim(r, |c| c.value)),
    ("claim_spread", |r| of_claim(r, |c| c.spread)),
    ("claim_params_millions", |r| of_claim(r, |c| c.params)),
    ("claim_gpu_days", |r| of_claim(r, |c| c.gpu_days)),
    ("claim_gpu_model", |r| of_claim(r, |c| c.gpu_model.clone())),
    ("final_score_mean_ci95_low", |r| field(r.final_interval.map(|i| i.0))),
    ("final_score_mean_ci95_high", |r| field(r.final_interval.map(|i| i.1))),
    ("retrained_with_cutout", |r| if r.cutout { "yes" } else { "no" }.into()),
    ("claim_status", |r| of_claim(r, |c| Some(c.status.word()))),
    ("claim_not_comparable", |r| field(r.apart())),
];

fn of_claim<T: ToString>(row: &SummaryRow, get: fn(&Claim) -> Option<T>) -> String {
    field(row.claim.as_ref().and_then(get))
}

/// The summary as CSV with full precision; unknown is an empty field.
pub fn summary_csv(rows: &[SummaryRow]) -> Result<Vec<u8>> {
    let mut head: Vec<String> = WORDS.iter().map(|(name, _)| name.to_string()).collect();
    head.push("seeds".into());
    head.extend(FIGURES.iter().flat_map(|(name, _)| ["n", "mean", "sd", "min", "max"].map(|s| format!("{name}_{s}"))));
    head.extend(LAST.iter().map(|(name, _)| name.to_string()));
    let fields = |row: &SummaryRow| {
        let mut copy = row.clone();
        let mut out: Vec<String> = WORDS.iter().map(|(_, place)| place(&mut copy).clone()).collect();
        out.push(row.seeds.to_string());
        for s in FIGURES.map(|(_, place)| *place(&mut copy)) {
            out.extend([s.n.to_string(), field(s.mean), field(s.deviation), field(s.low), field(s.high)]);
        }
        out.extend(LAST.iter().map(|(_, get)| get(row)));
        out
    };
    Grid { title: "results-summary.csv".into(), head, rows: rows.iter().map(fields).collect(), ..Grid::default() }.csv()
}
