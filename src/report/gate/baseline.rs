//! One row a run: what the gate remembers of it. The same rows come from a baseline file and from run directories.

use super::super::lines::csv;
use super::super::load::{Run, Status, load_runs};
use super::super::summary::named;
use crate::error::{Error, Result};
use crate::record::{Phase, write_output};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the gate knows of a run. `None`, an empty field, is not measured, or the run has no such phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Method.
    pub method: String,
    /// Form of the method.
    pub variant: String,
    /// Data set.
    pub dataset: String,
    /// Preset.
    pub preset: String,
    /// Seed of the run.
    pub seed: u64,
    /// Digits of a hash over settings, limits and data.
    pub protocol: String,
    /// `accuracy` or `dice`.
    pub metric: String,
    /// Canonical hash of the finding.
    pub architecture_hash: String,
    /// Test score after retraining, a fraction.
    pub final_score: Option<f64>,
    /// Search-time score of the finding, a fraction.
    pub search_score: Option<f64>,
    /// Weights of the retrained network.
    pub parameters: u64,
    /// Device-seconds of the search.
    pub search_device_seconds: Option<f64>,
    /// Device-seconds of the selection.
    pub select_device_seconds: Option<f64>,
    /// Device-seconds of the retraining.
    pub retrain_device_seconds: Option<f64>,
    /// Processor seconds of the search, all threads.
    pub search_cpu_seconds: Option<f64>,
    /// Processor seconds of the selection.
    pub select_cpu_seconds: Option<f64>,
    /// Processor seconds of the retraining.
    pub retrain_cpu_seconds: Option<f64>,
    /// Peak bytes: of the device allocator on CUDA, of the process on a CPU.
    pub peak_memory_bytes: Option<u64>,
    /// `cpu` or `cuda`.
    pub device_kind: String,
    /// Model of the processor or the card.
    pub device_name: String,
    /// Threads of one operation.
    pub threads: u32,
    /// Version of libtorch.
    pub libtorch: String,
    /// Processor seconds of a fixed piece of work on the machine that wrote the row.
    pub calibration_seconds: Option<f64>,
}

/// What the seeds of a group have in common: data set, preset, method, form, metric, digits of the protocol and kind of device.
pub type Key = [String; 7];

/// A group for a reader.
pub fn words([dataset, preset, method, variant, _, _, device]: &Key) -> String {
    format!("{}, {dataset}, {preset}, {device}", named(method, variant))
}

impl Entry {
    /// The group of the run.
    pub fn key(&self) -> Key {
        let parts = [&self.dataset, &self.preset, &self.method, &self.variant, &self.metric, &self.protocol, &self.device_kind];
        parts.map(String::clone)
    }

    /// Of a finished run.
    pub fn of(run: &Run, calibration_seconds: Option<f64>) -> Option<Self> {
        let (m, r) = (run.manifest.as_ref()?, run.result.as_ref()?);
        let on_processor = |phase| run.total(Some(phase), |l| l.cpu_seconds);
        Some(Self {
            method: m.method.clone(),
            variant: m.variant.clone(),
            dataset: m.dataset.clone(),
            preset: m.preset.clone(),
            seed: m.seed,
            protocol: run.protocol.clone()?,
            metric: r.metric.clone(),
            architecture_hash: r.architecture_hash.clone(),
            final_score: r.final_score,
            search_score: r.search_score,
            parameters: r.parameters,
            search_device_seconds: run.seconds(Phase::Search),
            select_device_seconds: run.seconds(Phase::Select),
            retrain_device_seconds: run.seconds(Phase::Retrain),
            search_cpu_seconds: on_processor(Phase::Search),
            select_cpu_seconds: on_processor(Phase::Select),
            retrain_cpu_seconds: on_processor(Phase::Retrain),
            peak_memory_bytes: run.peak(),
            device_kind: m.device.kind.clone(),
            device_name: m.device.name.clone(),
            threads: m.device.threads,
            libtorch: m.libtorch.clone(),
            calibration_seconds,
        })
    }

    /// What is wrong with it, if anything.
    fn fault(&self) -> Option<String> {
        const FRACTION: (&str, fn(f64) -> bool) = ("a fraction from 0 to 1", |v| (0.0..=1.0).contains(&v));
        const SECONDS: (&str, fn(f64) -> bool) = ("a number of seconds", |v| v >= 0.0 && v.is_finite());
        const POSITIVE: (&str, fn(f64) -> bool) = ("a number of seconds above 0", |v| v > 0.0 && v.is_finite());
        let figures = [
            ("final_score", self.final_score, FRACTION),
            ("search_score", self.search_score, FRACTION),
            ("search_device_seconds", self.search_device_seconds, SECONDS),
            ("select_device_seconds", self.select_device_seconds, SECONDS),
            ("retrain_device_seconds", self.retrain_device_seconds, SECONDS),
            ("search_cpu_seconds", self.search_cpu_seconds, SECONDS),
            ("select_cpu_seconds", self.select_cpu_seconds, SECONDS),
            ("retrain_cpu_seconds", self.retrain_cpu_seconds, SECONDS),
            ("calibration_seconds", self.calibration_seconds, POSITIVE),
        ];
        figures.into_iter().find_map(|(name, value, (what, sound))| {
            value.filter(|v| !sound(*v)).map(|v| format!("{name} is {v}, must be {what}, or empty where it is not known"))
        })
    }
}

/// The runs in and below `runs`, sorted by group and seed, and what a reader should know.
///
/// # Errors
/// [`Error::Input`] if there is no run, or one that is damaged, unfinished or there twice.
pub fn current(runs: &[PathBuf], calibration_seconds: Option<f64>) -> Result<(Vec<Entry>, Vec<String>)> {
    let loaded = load_runs(runs)?;
    let mut notices = loaded.notices.clone();
    let mut found: BTreeMap<(Key, u64), (Entry, &str)> = BTreeMap::new();
    for run in &loaded.runs {
        let refuse = |what: String| Error::input(&run.folder, what);
        match &run.status {
            Status::Damaged(what) => return Err(refuse(format!("the run is damaged ({what}); remove it and run it again"))),
            Status::Unfinished => {
                return Err(refuse(format!("the run is unfinished; go on with it: naslab resume {}", run.folder.display())));
            }
            Status::Repeated(of) => notices.push(format!("{} is the same run as {of} and counts once", run.name)),
            Status::Finished => {
                let entry = Entry::of(run, calibration_seconds).ok_or_else(|| refuse("the run has no account".into()))?;
                if let Some(what) = entry.fault() {
                    return Err(refuse(what));
                }
                let (words, seed) = (words(&entry.key()), entry.seed);
                if let Some((_, other)) = found.insert((entry.key(), seed), (entry, &run.name)) {
                    return Err(refuse(format!("{words}: seed {seed} is there twice, also as {other}; name folders with one of them")));
                }
            }
        }
    }
    Ok((found.into_values().map(|(entry, _)| entry).collect(), notices))
}

/// Reads a baseline file.
///
/// # Errors
/// [`Error::Input`] with line and column, if it is missing, empty, lacks a column, has a number that is none, or a run twice.
pub fn read_baseline(path: &Path) -> Result<Vec<Entry>> {
    let bad = |what: String| Error::input(path, what);
    let text = std::fs::read_to_string(path)
        .map_err(|e| bad(format!("cannot read the baseline: {e}; make one with naslab check --update --baseline {}", path.display())))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| bad(e.to_string()))?.clone();
    let empty = || bad("the baseline is empty; make one with naslab check --update".into());
    if header.is_empty() {
        return Err(empty());
    }
    let written = csv(&path.display().to_string(), [Entry::default()])?;
    let needed = csv::Reader::from_reader(&written[..]).headers().cloned().unwrap_or_default();
    let missing: Vec<&str> = needed.iter().filter(|c| !header.iter().any(|h| h == *c)).collect();
    if !missing.is_empty() {
        return Err(bad(format!("the baseline lacks columns: {}", missing.join(", "))));
    }
    let mut entries: BTreeMap<(Key, u64), Entry> = BTreeMap::new();
    // The results.csv of a report may stand for a baseline; it also has the runs that are not finished.
    let status = header.iter().position(|h| h == "status");
    for record in reader.records() {
        let record = record.map_err(|e| bad(e.to_string()))?;
        if status.is_some_and(|at| record.get(at) != Some("finished")) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let at = |what: String| bad(format!("line {line}: {what}"));
        let entry: Entry = record.deserialize(Some(&header)).map_err(|e| at(name_field(&e, &header)))?;
        if let Some(what) = entry.fault() {
            return Err(at(what));
        }
        let (words, seed) = (words(&entry.key()), entry.seed);
        if entries.insert((entry.key(), seed), entry).is_some() {
            return Err(at(format!("{words}: seed {seed} is there twice")));
        }
    }
    if entries.is_empty() { Err(empty()) } else { Ok(entries.into_values().collect()) }
}

/// The message with the column's name.
fn name_field(e: &csv::Error, header: &csv::StringRecord) -> String {
    let csv::ErrorKind::Deserialize { err, .. } = e.kind() else { return e.to_string() };
    let column = err.field().and_then(|i| header.get(usize::try_from(i).ok()?)).unwrap_or("a field");
    format!("{column}: {}", err.kind())
}

/// Writes a baseline file, whole or not at all.
///
/// # Errors
/// [`Error::Resource`] if it cannot be written.
pub fn write_baseline(path: &Path, entries: &[Entry]) -> Result<()> {
    write_output(path, &csv(&path.display().to_string(), entries)?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run with round figures.
    pub fn entry(method: &str, seed: u64) -> Entry {
        Entry {
            method: method.into(),
            variant: String::new(),
            dataset: "digits".into(),
            preset: "smoke".into(),
            seed,
            protocol: "abcd".into(),
            metric: "accuracy".into(),
            architecture_hash: format!("hash {seed}"),
            final_score: Some(0.9 + 0.01 * seed as f64),
            search_score: Some(0.1 + 0.2),
            parameters: 1000,
            search_device_seconds: Some(10.0),
            select_device_seconds: None,
            retrain_device_seconds: Some(5.0),
            search_cpu_seconds: Some(20.0),
            select_cpu_seconds: None,
            retrain_cpu_seconds: Some(10.0),
            peak_memory_bytes: Some(100 << 20),
            device_kind: "cpu".into(),
            device_name: "Example \"CPU\", 2 cores".into(),
            threads: 1,
            libtorch: "2.11.0".into(),
            calibration_seconds: Some(0.05),
        }
    }

    #[test]
    fn a_baseline_reads_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.csv");
        let entries = [entry("darts", 0), entry("darts", 1), entry("enas", 0)];
        write_baseline(&path, &entries).unwrap();
        assert_eq!(read_baseline(&path).unwrap(), entries);
        let header = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_string();
        assert!(header.starts_with("method,variant,dataset,preset,seed,protocol,metric,"), "{header}");
    }
}
