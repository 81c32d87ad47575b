//! Finds recorded runs below given folders and reads what they left.

use super::curve::{anytime, training};
use crate::error::{Error, Result};
use crate::record::{
    DeviceRecord, EndReason, Event, FindingRecord, LedgerRecord, LedgerRow, Manifest, Phase, RunDir, RunResult, TrialRecord, read_events,
};
use crate::table::STUDY;
use crate::units::{SECONDS_PER_DAY, hex};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How deep below a given folder runs are looked for.
const DEPTH: usize = 6;
/// The file that makes a folder a run.
const MANIFEST: &str = "manifest.json";

/// How much of a run can be used.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Status {
    /// It has a result.
    Finished,
    /// It has none yet; it can be resumed. Not in any mean.
    #[default]
    Unfinished,
    /// It repeats another run (same identity), named here. Not in any mean, else that seed would count twice.
    Repeated(String),
    /// Its files are damaged or from another version, as said here. Not in any mean.
    Damaged(String),
}

impl Status {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Unfinished => "unfinished",
            Self::Repeated(_) => "repeated",
            Self::Damaged(_) => "damaged",
        }
    }

    /// Why the run does not count, if it does not.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Finished => None,
            Self::Unfinished => Some("no result yet; naslab resume goes on with it".into()),
            Self::Repeated(of) => Some(format!("the same run as {of}")),
            Self::Damaged(what) => Some(what.clone()),
        }
    }
}

/// One point of an anytime curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Device-seconds spent in the search so far, all attempts.
    pub seconds: f64,
    /// Best search score so far, a fraction.
    pub best: f64,
}

/// Figures that a method reported about itself during the search.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// Which of several searches.
    pub part: u64,
    /// Steps, or trials, done.
    pub step: u64,
    /// The figures by name.
    pub extra: BTreeMap<String, f64>,
}

/// A run as recorded. `None` is not measured or not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Where it is.
    pub folder: PathBuf,
    /// Its folder relative to the folder that was given, with `/` between the parts.
    pub name: String,
    /// How much of it can be used.
    pub status: Status,
    /// `manifest.json`; `None` only if damaged.
    pub manifest: Option<Manifest>,
    /// `finding.json`.
    pub finding: Option<FindingRecord>,
    /// `result.json`.
    pub result: Option<RunResult>,
    /// `ledger.json`.
    pub ledger: Option<LedgerRecord>,
    /// First 8 hexadecimal digits of a SHA-256 over settings, limits and data: equal if runs differ in seed (and device) alone.
    pub protocol: Option<String>,
    /// Unit of the cost columns, such as `core-days (model, 2 cores)`.
    pub cost_unit: Option<String>,
    /// Best search score against device time; empty if nothing was recorded.
    pub curve: Vec<CurvePoint>,
    /// Trials of the search, as they were committed.
    pub trials: Vec<TrialRecord>,
    /// Trials of the selection, and those that a signal cut off.
    pub other_trials: Vec<TrialRecord>,
    /// What the method reported about itself.
    pub points: Vec<Reported>,
    /// Device-seconds of the search before it began to rank with what it had trained.
    pub training_seconds: Option<f64>,
}

impl Run {
    /// Counts in means.
    pub fn counts(&self) -> bool {
        self.status == Status::Finished
    }

    /// Every recorded trial.
    pub fn all_trials(&self) -> impl Iterator<Item = &TrialRecord> {
        self.trials.iter().chain(&self.other_trials)
    }

    /// Seed of the run.
    pub fn seed(&self) -> Option<u64> {
        self.manifest.as_ref().map(|m| m.seed)
    }

    /// Final score in per cent; `None` if there is none, or it is not a number.
    pub fn final_percent(&self) -> Option<f64> {
        self.result.as_ref().and_then(|r| r.final_score).filter(|s| s.is_finite()).map(|s| 100.0 * s)
    }

    /// Device-seconds of a phase, all attempts; `None` if the run has no such phase.
    pub fn seconds(&self, phase: Phase) -> Option<f64> {
        self.total(Some(phase), |r| Some(r.device_seconds))
    }

    /// What a phase cost, or all phases together, in seconds: of the card where one did the arithmetic, else of the cores that worked, so that two children side by side cost two cores.
    /// `None` if the run has no such phase, if it was not measured, and where it was spent on unlike devices, whose seconds have no sum.
    pub fn cost(&self, phase: Option<Phase>) -> Option<f64> {
        self.total(phase, if self.on_card() { |r| Some(r.device_seconds) } else { |r| r.cpu_seconds }).filter(|_| !self.is_unlike(phase))
    }

    /// Whether a phase, or all of them, was spent on unlike devices.
    pub fn is_unlike(&self, phase: Option<Phase>) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.is_unlike(phase))
    }

    /// [`Run::cost`] in days.
    pub fn days(&self, phase: Option<Phase>) -> Option<f64> {
        self.cost(phase).map(|s| s / SECONDS_PER_DAY)
    }

    /// Test images, or test volumes that count: what the final score is a mean over.
    pub fn tested(&self) -> Option<u64> {
        let of_masks = self.result.as_ref()?.segmentation.as_ref().map(|s| s.scored_volumes);
        of_masks.or_else(|| self.manifest.as_ref()?.data.counts.get("test").copied())
    }

    /// Device-seconds that search and selection may use; `None` without a limit.
    pub fn budget(&self) -> Option<f64> {
        self.manifest.as_ref()?.limits.budget_seconds
    }

    /// The share of them that was used.
    pub fn budget_used(&self) -> Option<f64> {
        Some(self.ledger.as_ref()?.spent_seconds / self.budget()?)
    }

    /// The same in per cent, to a tenth: what is printed of it.
    pub fn budget_percent(&self) -> Option<f64> {
        self.budget_used().map(|share| (1000.0 * share).round() / 10.0)
    }

    /// Whether the budget ended its search.
    pub fn budget_ended(&self) -> bool {
        self.result.as_ref().is_some_and(|r| r.search_end == EndReason::BudgetReached)
    }

    /// Sum of a figure over the ledger's rows of one phase, or of all; known only if all its parts are.
    pub fn total(&self, phase: Option<Phase>, get: fn(&LedgerRow) -> Option<f64>) -> Option<f64> {
        let rows = self.ledger.iter().flat_map(|l| &l.rows).filter(|r| phase.is_none_or(|p| p == r.phase));
        let parts: Option<Vec<f64>> = rows.map(get).collect();
        parts.filter(|p| !p.is_empty()).map(|p| p.iter().sum())
    }

    /// Largest value of a figure over the ledger's rows.
    pub fn most(&self, get: fn(&LedgerRow) -> Option<u64>) -> Option<u64> {
        self.ledger.iter().flat_map(|l| &l.rows).filter_map(get).max()
    }

    /// Whether a card did the arithmetic.
    pub fn on_card(&self) -> bool {
        self.manifest.as_ref().is_some_and(|m| m.device.kind == "cuda")
    }

    /// Peak bytes: of the device allocator where a card did the arithmetic, else of the process. One is never put in place of the other.
    pub fn peak(&self) -> Option<u64> {
        self.most(if self.on_card() { |r| r.peak_device_allocated } else { |r| r.peak_host_bytes })
    }
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The runs, by path.
    pub runs: Vec<Run>,
    /// What a reader should know.
    pub notices: Vec<String>,
}

/// Reads all runs in and below `paths`, sorted by path. A run that cannot be read is listed as damaged, it does not stop the others.
///
/// # Errors
/// [`Error::Input`] if a given folder cannot be read or no run is found.
pub fn load_runs(paths: &[PathBuf]) -> Result<Loaded> {
    let mut notices = Vec::new();
    let runs = read_runs(&recorded(paths, &mut notices)?, &mut notices);
    if runs.is_empty() { Err(nothing(paths)) } else { Ok(Loaded { runs, notices }) }
}

/// A folder with a record, and its path relative to the folder that was given.
pub(super) type Found = (PathBuf, String);

/// Every folder in and below `paths` that has a run or a study, once, sorted by path.
///
/// # Errors
/// [`Error::Input`] if a given folder cannot be read.
pub(super) fn recorded(paths: &[PathBuf], notices: &mut Vec<String>) -> Result<Vec<Found>> {
    let mut seen = BTreeSet::new();
    let mut found: Vec<Found> = Vec::new();
    for root in paths {
        let mut folders = Vec::new();
        walk(root, 0, &mut folders, notices)?;
        folders.retain(|f| seen.insert(f.canonicalize().unwrap_or_else(|_| f.clone())));
        found.extend(folders.into_iter().map(|f| (f.clone(), relative(root, &f))));
    }
    found.sort();
    Ok(found)
}

/// Reads the runs among `found`.
pub(super) fn read_runs(found: &[Found], notices: &mut Vec<String>) -> Vec<Run> {
    let of_runs = found.iter().filter(|(folder, _)| folder.join(MANIFEST).is_file());
    let mut runs: Vec<Run> = of_runs.map(|(folder, name)| read_run(folder, name.clone(), notices)).collect();
    mark_repeats(&mut runs);
    runs
}

/// The error where nothing is recorded.
pub(super) fn nothing(paths: &[PathBuf]) -> Error {
    let looked: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
    let what =
        format!("no recorded run: looked for folders with a {MANIFEST} in and below {}; make one with naslab run", looked.join(", "));
    Error::input(paths.first().cloned().unwrap_or_default(), what)
}

fn walk(folder: &Path, depth: usize, out: &mut Vec<PathBuf>, notices: &mut Vec<String>) -> Result<()> {
    if [MANIFEST, STUDY].iter().any(|file| folder.join(file).is_file()) {
        out.push(folder.to_path_buf());
        return Ok(());
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if depth == 0 => return Err(Error::reading(folder, &e)),
        Err(e) => {
            notices.push(format!("{}: cannot look for runs here: {e}", folder.display()));
            return Ok(());
        }
    };
    let mut below: Vec<PathBuf> = entries.filter_map(std::result::Result::ok).map(|e| e.path()).filter(|p| p.is_dir()).collect();
    below.sort();
    if depth < DEPTH {
        for folder in below {
            walk(&folder, depth + 1, out, notices)?;
        }
    }
    Ok(())
}

fn relative(root: &Path, folder: &Path) -> String {
    let below = folder.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty());
    let parts = below.map(|p| p.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("/"));
    let own = || folder.canonicalize().ok().and_then(|f| f.file_name().map(|n| n.to_string_lossy().into_owned()));
    parts.or_else(own).unwrap_or_else(|| folder.to_string_lossy().into_owned())
}

fn read_run(folder: &Path, name: String, notices: &mut Vec<String>) -> Run {
    let mut run = Run { folder: folder.to_path_buf(), name, ..Run::default() };
    let outcome = fill(&mut run, folder, notices);
    run.protocol = run.manifest.as_ref().map(protocol);
    run.cost_unit = run.manifest.as_ref().map(|m| cost_unit(&m.device));
    run.status = match outcome {
        Err(what) => Status::Damaged(what),
        Ok(()) if run.result.is_some() => Status::Finished,
        Ok(()) => Status::Unfinished,
    };
    run
}

fn protocol(m: &Manifest) -> String {
    // Under a limit of time or memory the outcome depends on how many trials ran side by side.
    let limited = m.limits.budget_seconds.is_some() || m.limits.max_memory_bytes.is_some();
    let jobs = limited.then_some(m.jobs);
    let text = serde_json::to_string(&(&m.settings, &m.limits, &m.data.hash, jobs)).expect("a manifest is plain data");
    hex(&Sha256::digest(text.as_bytes())[..4])
}

/// The unit of cost on this device. Processor time is never called GPU-days.
fn cost_unit(device: &DeviceRecord) -> String {
    match device.kind.as_str() {
        "cuda" => format!("GPU-days ({})", device.name),
        "cpu" => {
            format!("core-days ({}, {})", device.name, if device.cores == 1 { "1 core".into() } else { format!("{} cores", device.cores) })
        }
        other => format!("device-days ({other}, {})", device.name),
    }
}

fn fill(run: &mut Run, folder: &Path, notices: &mut Vec<String>) -> std::result::Result<(), String> {
    let text = |e: Error| e.to_string();
    let record = RunDir::open(folder).map_err(text)?;
    run.manifest = Some(record.manifest().map_err(text)?);
    run.finding = record.finding().map_err(text)?;
    run.result = record.result().map_err(text)?;
    run.ledger = record.ledger().map_err(text)?;
    notices.extend(run.result.iter().filter_map(RunResult::unscored).map(|why| format!("{}: {why}", run.name)));
    if run.result.is_some() && run.ledger.is_none() {
        return Err("it has a result.json but no ledger.json".into());
    }
    let log = folder.join("events.jsonl");
    if log.exists() {
        let (events, torn) = read_events(&log).map_err(text)?;
        notices.extend(torn.into_iter().map(|t| format!("{}: {t}", run.name)));
        let events: Vec<Event> = events.into_iter().map(|e| e.event).collect();
        run.curve = anytime(&events);
        run.training_seconds = training(&events);
        for event in events {
            match event {
                Event::Trial(t) if t.phase == Phase::Search && t.end != EndReason::Interrupted => run.trials.push(t),
                Event::Trial(t) => run.other_trials.push(t),
                Event::Progress { phase: Phase::Search, part, step, extra, .. } if !extra.is_empty() => {
                    run.points.push(Reported { part, step, extra });
                }
                _ => (),
            }
        }
    }
    // The parts of a run must be about the same run.
    match (&run.manifest, &run.result) {
        (Some(m), Some(r)) if m.identity != r.identity || m.seed != r.seed => {
            Err(format!("result.json (seed {}) does not belong to this {MANIFEST} (seed {})", r.seed, m.seed))
        }
        _ => Ok(()),
    }
}

/// A run that is there twice is one run.
fn mark_repeats(runs: &mut [Run]) {
    let mut first: Vec<(String, String)> = Vec::new();
    for run in runs.iter_mut().filter(|r| r.status == Status::Finished) {
        let identity = run.result.as_ref().map(|r| r.identity.clone()).unwrap_or_default();
        match first.iter().find(|(i, _)| *i == identity) {
            Some((_, original)) => run.status = Status::Repeated(original.clone()),
            None => first.push((identity, run.name.clone())),
        }
    }
}
