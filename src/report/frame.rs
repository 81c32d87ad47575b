//! The long frame, one row a run: the Polars frame that is `results.csv`.

use super::load::Run;
use super::summary::NONE;
use crate::error::{Error, Result};
use crate::record::{LedgerRecord, Manifest, Phase, RunResult};
use crate::units::SECONDS_PER_DAY;
use polars::prelude::*;

/// The metric of a segmentation.
pub(super) const DICE: &str = "dice";

/// The unit and the device in a unit of cost, which are told apart by ` (`.
pub(super) fn unit_and_device(cost_unit: &str) -> (&str, &str) {
    cost_unit.split_once(" (").map_or((cost_unit, NONE), |(unit, device)| (unit, device.strip_suffix(')').unwrap_or(device)))
}

/// A metric as readers call it.
pub fn metric_name(metric: &str) -> &str {
    if metric == DICE { "Dice" } else { metric }
}

/// The long frame: one row a run, explicit types, nulls for what is not known.
pub fn frame(rows: &[Run]) -> Result<DataFrame> {
    DataFrame::new(rows.len(), columns(rows)).map_err(|e| trouble(&e))
}

/// A fault of Polars is a fault of ours.
pub(super) fn trouble(e: &PolarsError) -> Error {
    Error::Resource(format!("the table of runs could not be computed: {e}"))
}

fn text<'a, S: Into<String>>(name: &str, rows: &'a [Run], get: impl Fn(&'a Run) -> Option<S>) -> Column {
    Column::new(name.into(), rows.iter().map(|r| get(r).map(Into::into)).collect::<Vec<Option<String>>>())
}

fn real<'a>(name: &str, rows: &'a [Run], get: impl Fn(&'a Run) -> Option<f64>) -> Column {
    Column::new(name.into(), rows.iter().map(|r| get(r).filter(|v| v.is_finite())).collect::<Vec<Option<f64>>>())
}

fn whole<'a>(name: &str, rows: &'a [Run], get: impl Fn(&'a Run) -> Option<u64>) -> Column {
    Column::new(name.into(), rows.iter().map(get).collect::<Vec<Option<u64>>>())
}

fn of_manifest<'a, T>(get: impl Fn(&'a Manifest) -> T) -> impl Fn(&'a Run) -> Option<T> {
    move |r| r.manifest.as_ref().map(&get)
}

fn of_result<'a, T>(get: impl Fn(&'a RunResult) -> T) -> impl Fn(&'a Run) -> Option<T> {
    move |r| r.result.as_ref().map(&get)
}

fn of_ledger<'a, T>(get: impl Fn(&'a LedgerRecord) -> T) -> impl Fn(&'a Run) -> Option<T> {
    move |r| r.ledger.as_ref().map(&get)
}

fn columns(rows: &[Run]) -> Vec<Column> {
    let score = |get: fn(&RunResult) -> Option<f64>| move |r: &Run| r.result.as_ref().and_then(get);
    vec![
        text("run", rows, |r| Some(r.name.clone())),
        text("status", rows, |r| Some(r.status.word())),
        text("note", rows, |r| r.status.note()),
        text("method", rows, of_manifest(|m| m.method.as_str())),
        text("variant", rows, of_manifest(|m| m.variant.as_str())),
        text("dataset", rows, of_manifest(|m| m.dataset.as_str())),
        text("preset", rows, of_manifest(|m| m.preset.as_str())),
        whole("seed", rows, Run::seed),
        text("identity", rows, of_manifest(|m| m.identity.as_str())),
        text("protocol", rows, |r| r.protocol.as_deref()),
        text("metric", rows, of_result(|r| r.metric.as_str())),
        real("search_score", rows, score(|r| r.search_score)),
        text("search_score_kind", rows, of_result(|r| r.search_score_kind.as_str())),
        real("select_score", rows, score(|r| r.select_score)),
        real("final_score", rows, score(|r| r.final_score)),
        real("final_loss", rows, score(|r| r.final_loss)),
        whole("parameters", rows, of_result(|r| r.parameters)),
        whole("auxiliary_parameters", rows, of_result(|r| r.auxiliary_parameters)),
        text("architecture_hash", rows, of_result(|r| r.architecture_hash.as_str())),
        whole("retrain_epochs", rows, of_result(|r| r.retrain_epochs)),
        whole("trials", rows, of_result(|r| r.trials.values().sum())),
        whole("trials_completed", rows, of_result(|r| r.trials.get("completed").copied().unwrap_or(0))),
        text("search_end", rows, of_result(|r| r.search_end.words())),
        text("cut_selection", rows, |r| Some(r.result.as_ref()?.cut_selection?.words())),
        text("retrain_end", rows, of_result(|r| r.retrain_end.words())),
        text("cost_unit", rows, |r| r.cost_unit.as_deref()),
        real("search_cost_days", rows, |r| r.days(Phase::Search)),
        real("search_training_cost_days", rows, |r| r.training_seconds.map(|s| s / SECONDS_PER_DAY)),
        real("select_cost_days", rows, |r| r.days(Phase::Select)),
        real("retrain_cost_days", rows, |r| r.days(Phase::Retrain)),
        real("search_device_seconds", rows, |r| r.seconds(Phase::Search)),
        real("select_device_seconds", rows, |r| r.seconds(Phase::Select)),
        real("retrain_device_seconds", rows, |r| r.seconds(Phase::Retrain)),
        real("test_device_seconds", rows, |r| r.seconds(Phase::Test)),
        real("overhead_device_seconds", rows, |r| r.seconds(Phase::Overhead)),
        real("cpu_seconds", rows, |r| r.total(None, |l| l.cpu_seconds)),
        real("wall_seconds", rows, of_ledger(|l| l.wall_seconds)),
        whole("attempts", rows, |r| r.most(|l| Some(u64::from(l.attempt) + 1))),
        whole("steps", rows, of_ledger(|l| l.rows.iter().map(|r| r.steps).sum())),
        whole("samples", rows, of_ledger(|l| l.rows.iter().map(|r| r.samples).sum())),
        real("budget_seconds", rows, |r| r.manifest.as_ref()?.limits.budget_seconds),
        real("overshoot_seconds", rows, |r| r.ledger.as_ref()?.overshoot_seconds),
        whole("peak_host_bytes", rows, |r| r.most(|l| l.peak_host_bytes)),
        whole("peak_device_allocated_bytes", rows, |r| r.most(|l| l.peak_device_allocated)),
        whole("peak_device_reserved_bytes", rows, |r| r.most(|l| l.peak_device_reserved)),
        real("energy_joules", rows, |r| r.total(None, |l| l.energy_joules)),
        text("device_kind", rows, of_manifest(|m| m.device.kind.as_str())),
        text("device_name", rows, of_manifest(|m| m.device.name.as_str())),
        whole("device_cores", rows, of_manifest(|m| u64::from(m.device.cores))),
        whole("device_threads", rows, of_manifest(|m| u64::from(m.device.threads))),
        text("processor", rows, of_manifest(|m| m.device.processor.as_str())),
        text("program_version", rows, of_manifest(|m| m.program.version.as_str())),
        text("commit", rows, of_manifest(|m| m.program.commit.as_str())),
        text("dirty", rows, of_manifest(|m| if m.program.dirty { "yes" } else { "no" })),
        text("libtorch", rows, of_manifest(|m| m.libtorch.as_str())),
        text("data_hash", rows, of_manifest(|m| m.data.hash.as_str())),
        text("started", rows, of_manifest(|m| m.started.as_str())),
        text("finished", rows, of_ledger(|l| l.finished.as_str())),
    ]
}

/// The frame as CSV: a null is an empty field, numbers have full precision.
pub fn csv(frame: &mut DataFrame) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    CsvWriter::new(&mut out).finish(frame).map_err(|e| trouble(&e))?;
    Ok(out)
}
