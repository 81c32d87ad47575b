//! One row a run: typed rows, and the long Polars frame that is `results.csv`.

use super::load::{CurvePoint, Loaded, Reported, Run, Status};
use crate::error::{Error, Result};
use crate::record::{DeviceRecord, EndReason, LedgerRecord, LedgerRow, Manifest, Phase, RunResult, TrialRecord};
use crate::units::{SECONDS_PER_DAY, hex};
use polars::prelude::*;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// The metric of a segmentation.
pub(super) const DICE: &str = "dice";

/// What a phase used, all attempts; `None` is not measured, or the run has no such phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PhaseSeconds {
    /// Finding candidates.
    pub search: Option<f64>,
    /// Choosing among them.
    pub select: Option<f64>,
    /// Training the chosen one from scratch.
    pub retrain: Option<f64>,
    /// Testing it.
    pub test: Option<f64>,
    /// Everything else.
    pub overhead: Option<f64>,
}

/// A run as the tables see it. `None` is not measured or not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Where the run is.
    pub folder: PathBuf,
    /// Its name: the folder relative to the one that was given.
    pub run: String,
    /// `finished`, `unfinished`, `repeated` or `damaged`.
    pub status: &'static str,
    /// Why it does not count, if it does not.
    pub note: Option<String>,
    /// Manifest, where it is readable.
    pub manifest: Option<Manifest>,
    /// Result, if the run finished.
    pub result: Option<RunResult>,
    /// First 8 hexadecimal digits of a SHA-256 over settings, limits and data: equal if runs differ in seed (and device) alone.
    pub protocol: Option<String>,
    /// Candidates that the search handed to the selection.
    pub candidates: Option<usize>,
    /// Device-seconds a phase.
    pub seconds: PhaseSeconds,
    /// Seconds of the search before it began to rank, where it has both parts.
    pub training_seconds: Option<f64>,
    /// Processor seconds.
    pub cpu_seconds: Option<f64>,
    /// Wall seconds, all attempts.
    pub wall_seconds: Option<f64>,
    /// Processes that worked on it.
    pub attempts: Option<u64>,
    /// Optimiser steps.
    pub steps: Option<u64>,
    /// Samples through forward and backward.
    pub samples: Option<u64>,
    /// Seconds by which the budget was overshot.
    pub overshoot_seconds: Option<f64>,
    /// Peak resident memory, bytes.
    pub peak_host_bytes: Option<u64>,
    /// Peak of memory handed out by the device allocator, bytes.
    pub peak_device_allocated: Option<u64>,
    /// Peak of memory held by the device allocator, bytes.
    pub peak_device_reserved: Option<u64>,
    /// Energy of the card, joules.
    pub energy_joules: Option<f64>,
    /// Unit of the cost columns, such as `CPU-days (2 cores, model)`.
    pub cost_unit: Option<String>,
    /// End of the run, RFC 3339.
    pub finished: Option<String>,
    /// Best search score against device time.
    pub curve: Vec<CurvePoint>,
    /// Trials of the search, as they were committed.
    pub trials: Vec<TrialRecord>,
    /// Trials of the selection, and those that a signal cut off.
    pub other_trials: Vec<TrialRecord>,
    /// What the method reported about itself during the search.
    pub points: Vec<Reported>,
}

impl Row {
    /// Every recorded trial.
    pub fn all_trials(&self) -> impl Iterator<Item = &TrialRecord> {
        self.trials.iter().chain(&self.other_trials)
    }

    /// Counts in means.
    pub fn counts(&self) -> bool {
        self.status == "finished"
    }

    /// Final score in per cent; `None` if there is none, or it is not a number.
    pub fn final_percent(&self) -> Option<f64> {
        self.result.as_ref().and_then(|r| r.final_score).filter(|s| s.is_finite()).map(|s| 100.0 * s)
    }

    /// Search cost in days of the device.
    pub fn search_days(&self) -> Option<f64> {
        days(self.seconds.search)
    }
}

/// The unit of device time on this device. Processor time is never called GPU-days.
pub fn cost_unit(device: &DeviceRecord) -> String {
    match device.kind.as_str() {
        "cuda" => format!("GPU-days ({})", device.name),
        "cpu" if device.cores == 1 => format!("CPU-days (1 core, {})", device.name),
        "cpu" => format!("CPU-days ({} cores, {})", device.cores, device.name),
        other => format!("device-days ({other}, {})", device.name),
    }
}

/// The unit and the device in a unit of cost, which are told apart by ` (`.
pub(super) fn unit_and_device(cost_unit: &str) -> (&str, &str) {
    cost_unit
        .split_once(" (")
        .map_or((cost_unit, super::summary::NONE), |(unit, device)| (unit, device.strip_suffix(')').unwrap_or(device)))
}

/// A metric as readers call it.
pub fn metric_name(metric: &str) -> &str {
    if metric == DICE { "Dice" } else { metric }
}

/// Rows of all runs, in their order.
pub fn rows(loaded: &Loaded) -> Vec<Row> {
    loaded.runs.iter().map(row).collect()
}

fn row(run: &Run) -> Row {
    let (status, note) = match &run.status {
        Status::Finished => ("finished", None),
        Status::Unfinished => ("unfinished", Some("no result yet; naslab resume goes on with it".into())),
        Status::Repeated(of) => ("repeated", Some(format!("the same run as {of}"))),
        Status::Damaged(what) => ("damaged", Some(what.clone())),
    };
    let of_search = |t: &TrialRecord| t.phase == Phase::Search && t.end != EndReason::Interrupted;
    let (trials, other_trials) = run.trials.iter().cloned().partition(of_search);
    let mut row = Row {
        folder: run.folder.clone(),
        run: run.name.clone(),
        status,
        note,
        manifest: run.manifest.clone(),
        result: run.result.clone(),
        protocol: run.manifest.as_ref().map(protocol),
        cost_unit: run.manifest.as_ref().map(|m| cost_unit(&m.device)),
        candidates: run.finding.as_ref().map(|f| f.candidates.len()),
        curve: run.curve.clone(),
        trials,
        other_trials,
        points: run.points.clone(),
        training_seconds: run.training_seconds,
        ..Row::default()
    };
    if let Some(ledger) = &run.ledger {
        account(&mut row, ledger);
    }
    row
}

fn protocol(m: &Manifest) -> String {
    // Under a limit of time or memory the outcome depends on how many trials ran side by side.
    let limited = m.limits.budget_seconds.is_some() || m.limits.max_memory_bytes.is_some();
    let jobs = limited.then_some(m.jobs);
    let text = serde_json::to_string(&(&m.settings, &m.limits, &m.data.hash, jobs)).expect("a manifest is plain data");
    hex(&Sha256::digest(text.as_bytes())[..4])
}

fn account(row: &mut Row, ledger: &LedgerRecord) {
    let of = |phase: Phase| {
        let rows: Vec<&LedgerRow> = ledger.rows.iter().filter(|r| r.phase == phase).collect();
        (!rows.is_empty()).then(|| rows.iter().map(|r| r.device_seconds).sum())
    };
    row.seconds = PhaseSeconds {
        search: of(Phase::Search),
        select: of(Phase::Select),
        retrain: of(Phase::Retrain),
        test: of(Phase::Test),
        overhead: of(Phase::Overhead),
    };
    let peak = |get: fn(&LedgerRow) -> Option<u64>| ledger.rows.iter().filter_map(get).max();
    row.cpu_seconds = total(ledger, |r| r.cpu_seconds);
    row.energy_joules = total(ledger, |r| r.energy_joules);
    row.wall_seconds = Some(ledger.wall_seconds);
    row.attempts = ledger.rows.iter().map(|r| u64::from(r.attempt) + 1).max();
    row.steps = Some(ledger.rows.iter().map(|r| r.steps).sum());
    row.samples = Some(ledger.rows.iter().map(|r| r.samples).sum());
    row.overshoot_seconds = ledger.overshoot_seconds;
    row.peak_host_bytes = peak(|r| r.peak_host_bytes);
    row.peak_device_allocated = peak(|r| r.peak_device_allocated);
    row.peak_device_reserved = peak(|r| r.peak_device_reserved);
    row.finished = Some(ledger.finished.clone());
}

/// A sum is known only if all its parts are.
fn total(ledger: &LedgerRecord, get: fn(&LedgerRow) -> Option<f64>) -> Option<f64> {
    let parts: Option<Vec<f64>> = ledger.rows.iter().map(get).collect();
    parts.filter(|p| !p.is_empty()).map(|p| p.iter().sum())
}

fn days(seconds: Option<f64>) -> Option<f64> {
    seconds.map(|s| s / SECONDS_PER_DAY)
}

/// The long frame: one row a run, explicit types, nulls for what is not known.
pub fn frame(rows: &[Row]) -> Result<DataFrame> {
    let mut columns = identity_columns(rows);
    columns.extend(score_columns(rows));
    columns.extend(cost_columns(rows));
    columns.extend(origin_columns(rows));
    DataFrame::new(rows.len(), columns).map_err(|e| trouble(&e))
}

/// A fault of Polars is a fault of ours.
pub(super) fn trouble(e: &PolarsError) -> Error {
    Error::Resource(format!("the table of runs could not be computed: {e}"))
}

fn text<'a>(name: &str, rows: &'a [Row], get: impl Fn(&'a Row) -> Option<&'a str>) -> Column {
    Column::new(name.into(), rows.iter().map(get).collect::<Vec<Option<&str>>>())
}

fn real(name: &str, rows: &[Row], get: impl Fn(&Row) -> Option<f64>) -> Column {
    Column::new(name.into(), rows.iter().map(|r| get(r).filter(|v| v.is_finite())).collect::<Vec<Option<f64>>>())
}

fn whole(name: &str, rows: &[Row], get: impl Fn(&Row) -> Option<u64>) -> Column {
    Column::new(name.into(), rows.iter().map(get).collect::<Vec<Option<u64>>>())
}

fn of_manifest<'a, T>(get: impl Fn(&'a Manifest) -> T) -> impl Fn(&'a Row) -> Option<T> {
    move |r| r.manifest.as_ref().map(&get)
}

fn of_result<'a, T>(get: impl Fn(&'a RunResult) -> T) -> impl Fn(&'a Row) -> Option<T> {
    move |r| r.result.as_ref().map(&get)
}

fn identity_columns(rows: &[Row]) -> Vec<Column> {
    vec![
        text("run", rows, |r| Some(r.run.as_str())),
        text("status", rows, |r| Some(r.status)),
        text("note", rows, |r| r.note.as_deref()),
        text("method", rows, of_manifest(|m| m.method.as_str())),
        text("variant", rows, of_manifest(|m| m.variant.as_str())),
        text("dataset", rows, of_manifest(|m| m.dataset.as_str())),
        text("preset", rows, of_manifest(|m| m.preset.as_str())),
        whole("seed", rows, |r| r.manifest.as_ref().map(|m| m.seed)),
        text("identity", rows, of_manifest(|m| m.identity.as_str())),
        text("protocol", rows, |r| r.protocol.as_deref()),
    ]
}

fn score_columns(rows: &[Row]) -> Vec<Column> {
    let score = |get: fn(&RunResult) -> Option<f64>| move |r: &Row| r.result.as_ref().and_then(get);
    vec![
        text("metric", rows, of_result(|r| r.metric.as_str())),
        real("search_score", rows, score(|r| r.search_score)),
        text("search_score_kind", rows, of_result(|r| r.search_score_kind.as_str())),
        real("select_score", rows, score(|r| r.select_score)),
        real("final_score", rows, score(|r| r.final_score)),
        real("final_loss", rows, score(|r| r.final_loss)),
        whole("parameters", rows, |r| r.result.as_ref().map(|r| r.parameters)),
        whole("auxiliary_parameters", rows, |r| r.result.as_ref().map(|r| r.auxiliary_parameters)),
        text("architecture_hash", rows, of_result(|r| r.architecture_hash.as_str())),
        whole("retrain_epochs", rows, |r| r.result.as_ref().map(|r| r.retrain_epochs)),
        whole("trials", rows, |r| r.result.as_ref().map(|r| r.trials.values().sum())),
        whole("trials_completed", rows, |r| r.result.as_ref().map(|r| r.trials.get("completed").copied().unwrap_or(0))),
        text("search_end", rows, of_result(|r| r.search_end.words())),
        text("retrain_end", rows, of_result(|r| r.retrain_end.words())),
    ]
}

fn cost_columns(rows: &[Row]) -> Vec<Column> {
    vec![
        text("cost_unit", rows, |r| r.cost_unit.as_deref()),
        real("search_cost_days", rows, |r| days(r.seconds.search)),
        real("search_training_cost_days", rows, |r| days(r.training_seconds)),
        real("select_cost_days", rows, |r| days(r.seconds.select)),
        real("retrain_cost_days", rows, |r| days(r.seconds.retrain)),
        real("search_device_seconds", rows, |r| r.seconds.search),
        real("select_device_seconds", rows, |r| r.seconds.select),
        real("retrain_device_seconds", rows, |r| r.seconds.retrain),
        real("test_device_seconds", rows, |r| r.seconds.test),
        real("overhead_device_seconds", rows, |r| r.seconds.overhead),
        real("cpu_seconds", rows, |r| r.cpu_seconds),
        real("wall_seconds", rows, |r| r.wall_seconds),
        whole("attempts", rows, |r| r.attempts),
        whole("steps", rows, |r| r.steps),
        whole("samples", rows, |r| r.samples),
        real("budget_seconds", rows, |r| r.manifest.as_ref().and_then(|m| m.limits.budget_seconds)),
        real("overshoot_seconds", rows, |r| r.overshoot_seconds),
        whole("peak_host_bytes", rows, |r| r.peak_host_bytes),
        whole("peak_device_allocated_bytes", rows, |r| r.peak_device_allocated),
        whole("peak_device_reserved_bytes", rows, |r| r.peak_device_reserved),
        real("energy_joules", rows, |r| r.energy_joules),
    ]
}

fn origin_columns(rows: &[Row]) -> Vec<Column> {
    vec![
        text("device_kind", rows, of_manifest(|m| m.device.kind.as_str())),
        text("device_name", rows, of_manifest(|m| m.device.name.as_str())),
        whole("device_cores", rows, |r| r.manifest.as_ref().map(|m| u64::from(m.device.cores))),
        whole("device_threads", rows, |r| r.manifest.as_ref().map(|m| u64::from(m.device.threads))),
        text("processor", rows, of_manifest(|m| m.device.processor.as_str())),
        text("program_version", rows, of_manifest(|m| m.program.version.as_str())),
        text("commit", rows, of_manifest(|m| m.program.commit.as_str())),
        text("dirty", rows, of_manifest(|m| if m.program.dirty { "yes" } else { "no" })),
        text("libtorch", rows, of_manifest(|m| m.libtorch.as_str())),
        text("data_hash", rows, of_manifest(|m| m.data.hash.as_str())),
        text("started", rows, of_manifest(|m| m.started.as_str())),
        text("finished", rows, |r| r.finished.as_deref()),
    ]
}

/// The frame as CSV: a null is an empty field, numbers have full precision.
pub fn csv(frame: &mut DataFrame) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    CsvWriter::new(&mut out).finish(frame).map_err(|e| trouble(&e))?;
    Ok(out)
}
