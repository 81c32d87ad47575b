//! The summary: one row per method, variant, data set, preset, protocol and device, with means over search seeds.

use super::claims::{Claim, beside, beside_dice};
use super::frame::{DICE, trouble};
use super::spread::{Spread, significant};
use super::statistics::{Interval, mean_interval};
use crate::error::{Error, Result};
use crate::units::{show_bytes, show_count, show_seconds};
use polars::prelude::*;

/// What does not apply: the spread of one value, the cost of a phase that the run does not have.
pub(super) const NONE: &str = "–";
/// What could not be measured.
pub(super) const NOT_MEASURED: &str = "not measured";

/// Columns that must agree for two runs to be seeds of the same experiment.
const KEYS: [&str; 11] = [
    "dataset",
    "preset",
    "method",
    "variant",
    "metric",
    "protocol",
    "cost_unit",
    "device_kind",
    "device_name",
    "device_cores",
    "search_score_kind",
];

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
    /// What a paper reported for this, if it did.
    pub claim: Option<Claim>,
}

/// Column with the place of a run in the list of all.
const PLACE: &str = "place";
/// Column with the final scores of a group.
const SCORES: &str = "final_scores";

/// The columns that are summarised.
const FIGURES: [&str; 9] = [
    "final_score",
    "search_score",
    "select_score",
    "parameters",
    "search_cost_days",
    "search_training_cost_days",
    "select_cost_days",
    "retrain_cost_days",
    "energy_joules",
];

/// Summarises the runs that count.
pub fn summarise(runs: &DataFrame, claims: &[Claim]) -> Result<Vec<SummaryRow>> {
    let grouped = group(runs).map_err(|e| trouble(&e))?;
    let mut rows =
        (0..grouped.height()).map(|i| read_row(&grouped, i, claims)).collect::<PolarsResult<Vec<_>>>().map_err(|e| trouble(&e))?;
    tell_protocols_apart(&mut rows);
    Ok(rows)
}

fn group(runs: &DataFrame) -> PolarsResult<DataFrame> {
    let mut figures = vec![col("run").count().alias("seeds"), col(PLACE), col("final_score").cast(DataType::Float64).alias(SCORES)];
    for name in FIGURES {
        let values = || col(name).cast(DataType::Float64);
        figures.extend([
            values().count().alias(format!("{name}_n")),
            values().mean().alias(format!("{name}_mean")),
            values().std(1).alias(format!("{name}_sd")),
            values().min().alias(format!("{name}_min")),
            values().max().alias(format!("{name}_max")),
        ]);
    }
    for name in ["peak_host_bytes", "peak_device_allocated_bytes"] {
        figures.push(col(name).max());
    }
    let keys: Vec<Expr> = KEYS.iter().map(|k| col(*k)).collect();
    runs.clone()
        .lazy()
        .with_row_index(PLACE, None)
        .filter(col("status").eq(lit("finished")))
        .group_by_stable(keys)
        .agg(figures)
        .sort(KEYS, SortMultipleOptions::default().with_maintain_order(true))
        .collect()
}

fn read_row(frame: &DataFrame, i: usize, claims: &[Claim]) -> PolarsResult<SummaryRow> {
    let word = |name: &str| Ok::<_, PolarsError>(frame.column(name)?.str()?.get(i).unwrap_or_default().to_string());
    let bytes = |name: &str| Ok::<_, PolarsError>(frame.column(name)?.u64()?.get(i));
    let spread = |name: &str| read_spread(frame, name, i);
    let (method, variant) = (word("method")?, word("variant")?);
    let (metric, dataset) = (word("metric")?, word("dataset")?);
    let claim = if metric == DICE { beside_dice(claims, &method, &dataset) } else { beside(claims, &method, &variant) };
    let peak = if word("device_kind")? == "cuda" { bytes("peak_device_allocated_bytes")? } else { bytes("peak_host_bytes")? };
    let final_scores = read_scores(frame, i)?;
    Ok(SummaryRow {
        dataset,
        preset: word("preset")?,
        metric,
        protocol: word("protocol")?,
        cost_unit: word("cost_unit")?,
        search_score_kind: word("search_score_kind")?,
        seeds: u64::from(frame.column("seeds")?.u32()?.get(i).unwrap_or(0)),
        final_score: spread("final_score")?,
        final_interval: mean_interval(&final_scores),
        final_scores,
        search_score: spread("search_score")?,
        select_score: spread("select_score")?,
        parameters: spread("parameters")?,
        search_days: spread("search_cost_days")?,
        training_days: spread("search_training_cost_days")?,
        select_days: spread("select_cost_days")?,
        retrain_days: spread("retrain_cost_days")?,
        peak_bytes: peak,
        energy_joules: spread("energy_joules")?,
        members: read_members(frame, i)?,
        claim: claim.cloned(),
        method,
        variant,
    })
}

fn read_members(frame: &DataFrame, i: usize) -> PolarsResult<Vec<usize>> {
    let Some(places) = frame.column(PLACE)?.list()?.get_as_series(i) else { return Ok(Vec::new()) };
    Ok(places.u32()?.iter().flatten().map(|place| place as usize).collect())
}

/// Sorted, so that nothing computed from them depends on the names of folders.
fn read_scores(frame: &DataFrame, i: usize) -> PolarsResult<Vec<f64>> {
    let Some(scores) = frame.column(SCORES)?.list()?.get_as_series(i) else { return Ok(Vec::new()) };
    let mut scores: Vec<f64> = scores.f64()?.iter().flatten().filter(|s| s.is_finite()).collect();
    scores.sort_by(f64::total_cmp);
    Ok(scores)
}

fn read_spread(frame: &DataFrame, name: &str, i: usize) -> PolarsResult<Spread> {
    let real = |suffix: &str| Ok::<_, PolarsError>(frame.column(&format!("{name}_{suffix}"))?.f64()?.get(i).filter(|v| v.is_finite()));
    let n = u64::from(frame.column(&format!("{name}_n"))?.u32()?.get(i).unwrap_or(0));
    let deviation = if n > 1 { real("sd")? } else { None };
    Ok(Spread { n, mean: real("mean")?, deviation, low: real("min")?, high: real("max")? })
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
        if self.variant.is_empty() { self.method.clone() } else { format!("{} ({})", self.method, self.variant) }
    }

    /// The preset's own name, without the digits of a protocol.
    pub fn plain_preset(&self) -> &str {
        self.preset.split(" [").next().unwrap_or_default()
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
        days.mean.map_or_else(|| NONE.into(), |d| format!("{} ({})", significant(d), show_seconds(d * crate::units::SECONDS_PER_DAY)))
    }

    /// The search's cost, in its parts where it trains first and ranks then.
    pub fn search_cost_text(&self) -> String {
        let whole = Self::cost_text(self.search_days);
        let (Some(all), Some(training)) = (self.search_days.mean, self.training_days.mean) else { return whole };
        let seconds = |days: f64| show_seconds(days * crate::units::SECONDS_PER_DAY);
        format!("{whole}: {} training, {} ranking", seconds(training), seconds(all - training))
    }

    /// The search's cost in this unit, and in seconds.
    pub fn search_cost_in(&self, unit: &str) -> String {
        let show = |d: f64| format!("{} {unit} ({})", significant(d), show_seconds(d * crate::units::SECONDS_PER_DAY));
        self.search_days.mean.map_or_else(|| NONE.into(), show)
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

    /// Peak memory; says whose.
    pub fn memory_text(&self) -> String {
        self.peak_bytes.map_or_else(|| NOT_MEASURED.into(), show_bytes)
    }

    /// Joules a run.
    pub fn energy_text(&self) -> String {
        self.energy_joules.mean.map_or_else(|| NOT_MEASURED.into(), |j| format!("{} J", significant(j)))
    }

    /// The claim beside it, with variant and data set, since they may differ.
    pub fn claim_text(&self) -> String {
        let Some(claim) = &self.claim else { return NONE.into() };
        let about = format!("{} on {}", if claim.variant.is_empty() { &claim.method } else { &claim.variant }, claim.dataset);
        claim.value_text().map_or_else(|| format!("not known ({about})"), |v| format!("{v} ({about})"))
    }

    /// Millions of weights of the claim.
    pub fn claim_params_text(&self) -> String {
        self.claim.as_ref().and_then(|c| c.params).map_or_else(|| NONE.into(), |p| format!("{p} M"))
    }

    /// GPU-days of the claim, with the card.
    pub fn claim_days_text(&self) -> String {
        let Some(claim) = &self.claim else { return NONE.into() };
        let card = claim.gpu_model.as_deref().unwrap_or("card unknown");
        claim.gpu_days.map_or_else(|| NONE.into(), |d| format!("{d} ({card})"))
    }
}

/// The summary as CSV with full precision; unknown is an empty field.
pub fn summary_csv(rows: &[SummaryRow]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| Error::Resource(format!("the summary could not be written: {e}"));
    let mut header: Vec<String> =
        ["dataset", "preset", "method", "variant", "metric", "protocol", "cost_unit", "search_score_kind", "seeds"]
            .map(String::from)
            .into();
    for name in FIGURES {
        header.extend(["n", "mean", "sd", "min", "max"].map(|s| format!("{name}_{s}")));
    }
    header.extend(
        [
            "peak_bytes",
            "claim_variant",
            "claim_dataset",
            "claim_value",
            "claim_spread",
            "claim_params_millions",
            "claim_gpu_days",
            "claim_gpu_model",
            "final_score_mean_ci95_low",
            "final_score_mean_ci95_high",
        ]
        .map(String::from),
    );
    writer.write_record(&header).map_err(failed)?;
    for row in rows {
        writer.write_record(csv_fields(row)).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| Error::Resource(format!("the summary could not be written: {e}")))
}

fn csv_fields(row: &SummaryRow) -> Vec<String> {
    let real = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
    let words = [&row.dataset, &row.preset, &row.method, &row.variant, &row.metric, &row.protocol, &row.cost_unit, &row.search_score_kind];
    let mut out: Vec<String> = words.into_iter().cloned().collect();
    out.push(row.seeds.to_string());
    let spreads = [
        row.final_score,
        row.search_score,
        row.select_score,
        row.parameters,
        row.search_days,
        row.training_days,
        row.select_days,
        row.retrain_days,
        row.energy_joules,
    ];
    for s in spreads {
        out.extend([s.n.to_string(), real(s.mean), real(s.deviation), real(s.low), real(s.high)]);
    }
    let claim = row.claim.as_ref();
    out.push(row.peak_bytes.map_or_else(String::new, |b| b.to_string()));
    out.push(claim.map_or_else(String::new, |c| c.variant.clone()));
    out.push(claim.map_or_else(String::new, |c| c.dataset.clone()));
    out.extend(
        [claim.and_then(|c| c.value), claim.and_then(|c| c.spread), claim.and_then(|c| c.params), claim.and_then(|c| c.gpu_days)].map(real),
    );
    out.push(claim.and_then(|c| c.gpu_model.clone()).unwrap_or_default());
    out.extend([row.final_interval.map(|i| i.0), row.final_interval.map(|i| i.1)].map(real));
    out
}
