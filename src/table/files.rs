//! The folder of a study: `study.json` (what was asked), `history.csv.gz` (every query), `result.json` (what came out), `ledger.json` (what it cost here). It is written as a whole or not
//! at all. All but the ledger are the same bytes for the same study, whoever runs it.

use super::about::TableSet;
use super::cost::Limit;
use super::grid::TableSpace;
use super::query::{Answer, RunOf};
use super::rows::{Part, Table};
use super::study::{Done, Seed, Study};
use super::units::SimulatedSeconds;
use crate::error::{Error, Result, input};
use crate::record::{FORMAT, Mark, Program, Role, read_json, settings_digest, write_json};
use crate::units::show_count;
use crate::unpack::Gunzip;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file that makes a folder a study.
pub const STUDY: &str = "study.json";

/// `study.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Number of the form.
    pub format: u32,
    /// Name of the algorithm.
    pub algorithm: String,
    /// For a reader.
    pub title: String,
    /// What its settings are called.
    pub variant: String,
    /// A search, or the control of searches.
    pub role: Role,
    /// In figures.
    pub mark: Mark,
    /// All settings.
    pub settings: Value,
    /// Name of the table, or the path of its file.
    pub table: String,
    /// SHA-256 of the table.
    pub table_sha256: String,
    /// Its space.
    pub space: TableSpace,
    /// What its times were measured on.
    pub device: String,
    /// The data set that was searched.
    pub dataset: TableSet,
    /// What was asked, and what ended a search.
    pub study: Study,
    /// What every output says beside its numbers.
    pub label: Option<String>,
    /// The seeds. The streams of a search are those of its seed, by purpose and trial.
    pub seeds: Vec<u64>,
}

/// The simulated account of a study, apart from all real ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Name of the table.
    pub table: String,
    /// Its SHA-256.
    pub table_sha256: String,
    /// What its times were measured on.
    pub device: String,
    /// How the budget ended a search.
    pub limit: Limit,
    /// Of a seed.
    pub budget_seconds: Option<SimulatedSeconds>,
    /// Of all seeds; `None` in a table without times.
    pub seconds: Option<SimulatedSeconds>,
    /// Of all seeds.
    pub trainings: u64,
}

/// What one seed came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// The seed.
    pub seed: u64,
    /// Trainings it asked for.
    pub trainings: u64,
    /// What they took; `None` in a table without times.
    pub simulated_seconds: Option<SimulatedSeconds>,
    /// Number of the architecture with the highest score.
    pub index: u64,
    /// That score, per cent.
    pub score: f64,
    /// Its accuracies on every data set of the table, per cent: validation and test after the schedule that is looked up.
    pub look_ups: Vec<[Option<f64>; 2]>,
}

/// `result.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Number of the form.
    pub format: u32,
    /// What it cost, simulated.
    pub account: Account,
    /// Data sets of the look-ups.
    pub sets: Vec<String>,
    /// The seeds.
    pub seeds: Vec<Ended>,
}

/// `ledger.json`: what the study cost on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    format: u32,
    /// Real seconds from the first draw to the last answer.
    search_seconds: f64,
    jobs: u64,
    program: Program,
}

/// A line of `history.csv.gz`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The seed.
    pub seed: u64,
    /// Number of the query.
    pub trial: u64,
    /// Number of the architecture in the table.
    pub index: u64,
    /// The score that was told, per cent.
    pub score: Option<f64>,
    /// What this training took.
    pub simulated_seconds: Option<SimulatedSeconds>,
}

impl Manifest {
    /// Name of the study's folder: equal studies have equal names.
    pub fn folder(&self) -> String {
        let amount = match (self.study.simulated_budget, self.study.max_trainings) {
            (Some(budget), _) => format!("{}s", budget.number()),
            (None, most) => format!("{}trainings", most.unwrap_or_default()),
        };
        let table = Path::new(&self.table).file_stem().unwrap_or_default().to_string_lossy().replace(".csv", "");
        let digest = settings_digest(&serde_json::to_value(self).expect("a manifest is plain data"));
        format!("table-{}-{table}-{}-{amount}-{}", self.algorithm, self.dataset.name, &digest[..8])
    }

    /// What the study is called where it is looked for among reported numbers: `ageing, 12000 s on cifar10, fits, 12 to 200 epochs`.
    pub fn key(&self) -> String {
        let Study { fidelity, look_up, run, limit, simulated_budget, max_trainings, .. } = &self.study;
        let single = if *run == RunOf::Random { ", single trainings" } else { "" };
        let budget = simulated_budget.map(|b| format!("{} s", b.number()));
        let ends: Vec<String> = budget.into_iter().chain(max_trainings.map(|n| format!("{n} trainings"))).collect();
        let (ends, limit) = (ends.join(" and "), limit.name());
        format!("{}, {ends} on {}, {limit}, {} to {} epochs{single}", self.variant, self.dataset.name, fidelity.0, look_up.0)
    }

    /// Method and variant.
    pub fn name(&self) -> String {
        format!("{} ({})", self.algorithm, self.variant)
    }

    /// Name of the table, without the folders of its file.
    pub fn table_name(&self) -> String {
        Path::new(&self.table).file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What ended a search, for a reader: `12,000 simulated s, fits`.
    pub fn ends(&self) -> String {
        let Study { limit, simulated_budget, max_trainings, .. } = &self.study;
        let budget = simulated_budget.map(|b| format!("{} simulated s, {}", show_count(b.number() as u64), limit.name()));
        budget.into_iter().chain(max_trainings.map(|n| format!("{n} trainings"))).collect::<Vec<String>>().join("; ")
    }

    /// Whether two studies differ in the algorithm, its settings and the seeds alone.
    pub fn is_beside(&self, other: &Self) -> bool {
        (&self.table_sha256, &self.dataset.name, &self.study) == (&other.table_sha256, &other.dataset.name, &other.study)
    }
}

impl Report {
    /// What came out of a study.
    pub fn of(manifest: &Manifest, table: &Table, done: &Done) -> Self {
        let timed = table.about.seconds_of_images.is_some();
        let account = Account {
            table: manifest.table.clone(),
            table_sha256: manifest.table_sha256.clone(),
            device: manifest.device.clone(),
            limit: manifest.study.limit,
            budget_seconds: manifest.study.simulated_budget,
            seconds: timed.then(|| done.iter().map(Seed::seconds).sum()),
            trainings: done.iter().map(|s| s.trials.len() as u64).sum(),
        };
        let sets = table.about.sets.iter().map(|s| s.name.clone()).collect();
        Self { format: FORMAT, account, sets, seeds: done.iter().filter_map(|s| Ended::of(manifest, table, s)).collect() }
    }
}

impl Ended {
    /// `None` for a seed of which no training was scored.
    fn of(manifest: &Manifest, table: &Table, seed: &Seed) -> Option<Self> {
        let best = seed.incumbent()?;
        let row = best.row as usize;
        let look = |set| [Part::Valid, Part::Test].map(|part| table.accuracy(row, set, part, manifest.study.look_up));
        Some(Self {
            seed: seed.seed,
            trainings: seed.trials.len() as u64,
            simulated_seconds: table.about.seconds_of_images.map(|_| seed.seconds()),
            index: table.rows[row].index,
            score: best.score?,
            look_ups: (0..table.about.sets.len()).map(look).collect(),
        })
    }
}

/// Writes the folder of a study below `out`.
///
/// # Errors
/// [`Error::Resource`] where it cannot be written; nothing is left of it then.
pub fn write_study(out: &Path, manifest: &Manifest, table: &Table, done: &Done, (seconds, jobs): (f64, u64)) -> Result<PathBuf> {
    let folder = out.join(manifest.folder());
    let failed = |e: &std::io::Error| Error::writing(&folder, e);
    std::fs::create_dir_all(out).map_err(|e| failed(&e))?;
    let draft = tempfile::Builder::new().prefix(".tmp-").tempdir_in(out).map_err(|e| failed(&e))?;
    let at = |name: &str| draft.path().join(name);
    write_json(&at(STUDY), manifest)?;
    write_json(&at("result.json"), &Report::of(manifest, table, done))?;
    write_json(&at("ledger.json"), &Ledger { format: FORMAT, search_seconds: seconds, jobs, program: Program::current() })?;
    std::fs::write(at("history.csv.gz"), history(table, done)?).map_err(|e| failed(&e))?;
    // A folder made in private becomes one like any other.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(draft.path(), mode).map_err(|e| failed(&e))?;
    std::fs::rename(draft.path(), &folder).map_err(|e| failed(&e))?;
    // What was a draft is no longer there to be removed.
    let _ = draft.keep();
    Ok(folder)
}

/// Every query as a gzipped CSV, without a date in it.
fn history(table: &Table, done: &Done) -> Result<Vec<u8>> {
    let failed = |e: String| Error::Resource(format!("history.csv.gz: {e}"));
    let mut writer = csv::Writer::from_writer(GzEncoder::new(Vec::new(), Compression::new(6)));
    for seed in done {
        for (Answer { row, score, seconds }, trial) in seed.trials.iter().zip(0..) {
            let index = table.rows[*row as usize].index;
            let line = HistoryRow { seed: seed.seed, trial, index, score: *score, simulated_seconds: *seconds };
            writer.serialize(line).map_err(|e| failed(e.to_string()))?;
        }
    }
    let mut gzip = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    gzip.flush().map_err(|e| failed(e.to_string()))?;
    gzip.finish().map_err(|e| failed(e.to_string()))
}

/// What a study's folder says; `None` for a folder that is no study.
///
/// # Errors
/// [`Error::Input`] where it is damaged, or was written by another version of the format.
pub fn read_study(folder: &Path) -> Result<Option<(Manifest, Report)>> {
    let file = folder.join(STUDY);
    if !file.exists() {
        return Ok(None);
    }
    let manifest: Manifest = read_json(&file)?;
    let report: Report = read_json(&folder.join("result.json"))?;
    Ok(Some((manifest, report)))
}

/// Every query of a study, by seed.
///
/// # Errors
/// [`Error::Input`] where the file is damaged.
pub fn read_history(folder: &Path) -> Result<Vec<HistoryRow>> {
    let path = folder.join("history.csv.gz");
    let bytes = std::fs::read(&path).map_err(|e| Error::reading(&path, &e))?;
    let mut reader = csv::Reader::from_reader(Gunzip::new(&bytes[..]));
    reader.deserialize().collect::<std::result::Result<_, _>>().map_err(|e| input!(path, "damaged: {e}"))
}
