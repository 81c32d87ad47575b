//! One line a run, and the same as a long Polars frame.

use super::lines::{finite, line};
use super::load::Run;
use super::summary::NONE;
use crate::error::{Error, Result};
use crate::record::{LedgerRecord, Manifest, Phase, RunResult};
use crate::units::{SECONDS_PER_DAY, show_seconds};
use polars::prelude::*;
use std::io::Cursor;

/// Name of the metric of segmentations in the files.
pub(super) const DICE: &str = "dice";

/// The unit and the device in a unit of cost, which are told apart by ` (`.
pub(super) fn unit_and_device(cost_unit: &str) -> (&str, &str) {
    cost_unit.split_once(" (").map_or((cost_unit, NONE), |(unit, device)| (unit, device.strip_suffix(')').unwrap_or(device)))
}

/// A metric as readers call it.
pub fn metric_name(metric: &str) -> &str {
    if metric == DICE { "Dice" } else { metric }
}

/// A fault of Polars is a fault of ours.
pub(super) fn trouble(e: &PolarsError) -> Error {
    Error::Resource(format!("the table of runs could not be computed: {e}"))
}

fn of_manifest<'a, T>(run: &'a Run, get: impl Fn(&'a Manifest) -> T) -> Option<T> {
    run.manifest.as_ref().map(get)
}

fn of_result<'a, T>(run: &'a Run, get: impl Fn(&'a RunResult) -> T) -> Option<T> {
    run.result.as_ref().map(get)
}

fn of_ledger<'a, T>(run: &'a Run, get: impl Fn(&'a LedgerRecord) -> T) -> Option<T> {
    run.ledger.as_ref().map(get)
}

fn score(run: &Run, get: impl Fn(&RunResult) -> Option<f64>) -> Option<f64> {
    finite(run.result.as_ref().and_then(get))
}

fn cpu(run: &Run, phase: Phase) -> Option<f64> {
    run.total(Some(phase), |r| r.cpu_seconds)
}

/// What a phase, or all of them, used of unlike devices; empty if they are alike.
pub(super) fn unlike(run: &Run, phase: Option<Phase>) -> String {
    let part = |(model, seconds): (&str, f64)| format!("{model}: {}", show_seconds(seconds));
    let models = run.ledger.iter().find(|l| l.is_unlike(phase)).map(|l| l.models(phase));
    models.unwrap_or_default().into_iter().map(part).collect::<Vec<_>>().join("; ")
}

line! {
    /// `results.csv`. It has all columns of a baseline, so the gate and a later report can compare with it.
    RunLine(r: &Run) {
        run: String = r.name.clone();
        status: &'static str = r.status.word();
        note: Option<String> = r.status.note();
        method: Option<String> = of_manifest(r, |m| m.method.clone());
        variant: Option<String> = of_manifest(r, |m| m.variant.clone());
        dataset: Option<String> = of_manifest(r, |m| m.dataset.clone());
        preset: Option<String> = of_manifest(r, |m| m.preset.clone());
        seed: Option<u64> = r.seed();
        identity: Option<String> = of_manifest(r, |m| m.identity.clone());
        protocol: Option<String> = r.protocol.clone();
        metric: Option<String> = of_result(r, |r| r.metric.clone());
        search_score: Option<f64> = score(r, |r| r.search_score);
        search_score_kind: Option<String> = of_result(r, |r| r.search_score_kind.clone());
        select_score: Option<f64> = score(r, |r| r.select_score);
        final_score: Option<f64> = score(r, |r| r.final_score);
        final_loss: Option<f64> = score(r, |r| r.final_loss);
        test_examples: Option<u64> = r.tested();
        parameters: Option<u64> = of_result(r, |r| r.parameters);
        auxiliary_parameters: Option<u64> = of_result(r, |r| r.auxiliary_parameters);
        architecture_hash: Option<String> = of_result(r, |r| r.architecture_hash.clone());
        retrain_epochs: Option<u64> = of_result(r, |r| r.retrain_epochs);
        trials: Option<u64> = of_result(r, |r| r.trials.values().sum());
        trials_completed: Option<u64> = of_result(r, |r| r.trials.get("completed").copied().unwrap_or(0));
        search_end: Option<&'static str> = of_result(r, |r| r.search_end.words());
        cut_selection: Option<String> = r.result.as_ref().and_then(|r| Some(r.cut_selection?.words().to_string()));
        retrain_end: Option<&'static str> = of_result(r, |r| r.retrain_end.words());
        cost_unit: Option<String> = r.cost_unit.clone();
        search_cost_days: Option<f64> = r.days(Some(Phase::Search));
        select_cost_days: Option<f64> = r.days(Some(Phase::Select));
        retrain_cost_days: Option<f64> = r.days(Some(Phase::Retrain));
        total_cost_days: Option<f64> = r.days(None);
        search_training_device_days: Option<f64> = r.training_seconds.map(|s| s / SECONDS_PER_DAY);
        search_device_seconds: Option<f64> = r.seconds(Phase::Search);
        select_device_seconds: Option<f64> = r.seconds(Phase::Select);
        retrain_device_seconds: Option<f64> = r.seconds(Phase::Retrain);
        test_device_seconds: Option<f64> = r.seconds(Phase::Test);
        overhead_device_seconds: Option<f64> = r.seconds(Phase::Overhead);
        search_cpu_seconds: Option<f64> = cpu(r, Phase::Search);
        select_cpu_seconds: Option<f64> = cpu(r, Phase::Select);
        retrain_cpu_seconds: Option<f64> = cpu(r, Phase::Retrain);
        cpu_seconds: Option<f64> = r.total(None, |l| l.cpu_seconds);
        wall_seconds: Option<f64> = of_ledger(r, |l| l.wall_seconds);
        tasks: Option<usize> = of_ledger(r, |l| l.tasks.len());
        queued_seconds: Option<f64> = of_ledger(r, |l| l.tasks.iter().filter_map(|t| t.queued_seconds).sum());
        unlike_devices: Option<String> = Some(unlike(r, None)).filter(|parts| !parts.is_empty());
        attempts: Option<u64> = r.most(|l| Some(u64::from(l.attempt) + 1));
        steps: Option<u64> = of_ledger(r, |l| l.rows.iter().map(|r| r.steps).sum());
        samples: Option<u64> = of_ledger(r, |l| l.rows.iter().map(|r| r.samples).sum());
        budget_seconds: Option<f64> = r.budget();
        budget_used: Option<f64> = r.budget_used();
        overshoot_seconds: Option<f64> = r.ledger.as_ref().and_then(|l| l.overshoot_seconds);
        peak_memory_bytes: Option<u64> = r.peak();
        peak_host_bytes: Option<u64> = r.most(|l| l.peak_host_bytes);
        peak_device_allocated_bytes: Option<u64> = r.most(|l| l.peak_device_allocated);
        peak_device_reserved_bytes: Option<u64> = r.most(|l| l.peak_device_reserved);
        energy_joules: Option<f64> = r.total(None, |l| l.energy_joules);
        device_kind: Option<String> = of_manifest(r, |m| m.device.kind.clone());
        device_name: Option<String> = of_manifest(r, |m| m.device.name.clone());
        device_cores: Option<u32> = of_manifest(r, |m| m.device.cores);
        threads: Option<u32> = of_manifest(r, |m| m.device.threads);
        jobs: Option<u64> = of_manifest(r, |m| m.jobs);
        processor: Option<String> = of_manifest(r, |m| m.device.processor.clone());
        program_version: Option<String> = of_manifest(r, |m| m.program.version.clone());
        commit: Option<String> = of_manifest(r, |m| m.program.commit.clone());
        dirty: Option<&'static str> = of_manifest(r, |m| if m.program.dirty { "yes" } else { "no" });
        libtorch: Option<String> = of_manifest(r, |m| m.libtorch.clone());
        data_hash: Option<String> = of_manifest(r, |m| m.data.hash.clone());
        started: Option<String> = of_manifest(r, |m| m.started.clone());
        finished: Option<String> = of_ledger(r, |l| l.finished.clone());
        calibration_seconds: Option<f64> = None;
    }
}

/// The frame of the lines, all columns as words: those that are computed with are cast where they are.
pub(super) fn frame(lines: Vec<u8>) -> Result<DataFrame> {
    let options = CsvReadOptions::default().with_infer_schema_length(Some(0));
    options.into_reader_with_file_handle(Cursor::new(lines)).finish().map_err(|e| trouble(&e))
}
