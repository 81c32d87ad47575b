//! Finds studies below given folders.

use crate::error::{Error, Result};
use crate::table::{self, Fidelity, HistoryRow, Manifest, Part, Report, Table, read_history, read_study};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How deep below a given folder studies are looked for.
const DEPTH: usize = 6;
/// The file that makes a folder a study.
const STUDY: &str = "study.json";

/// A study as recorded.
#[derive(Clone, Debug)]
pub struct Study {
    /// What was asked.
    pub manifest: Manifest,
    /// What came out.
    pub report: Report,
    /// Every query.
    pub history: Vec<HistoryRow>,
    /// The table, if it is still the one that was searched.
    pub table: Option<Arc<Table>>,
}

impl Study {
    /// Method and variant.
    pub fn name(&self) -> String {
        format!("{} ({})", self.manifest.algorithm, self.manifest.variant)
    }

    /// Accuracies of the seeds on one data set, per cent; empty where the table has none.
    pub fn looked_up(&self, set: usize, part: Part) -> Vec<f64> {
        let at = usize::from(part == Part::Test);
        self.report.seeds.iter().filter_map(|s| s.look_ups.get(set)?[at]).collect()
    }

    /// Place of the data set that was searched.
    pub fn searched(&self) -> Option<usize> {
        self.report.sets.iter().position(|s| *s == self.manifest.dataset.name)
    }

    /// What has to be equal before two studies are set side by side: all but the algorithm and the seeds.
    pub fn terms(&self) -> String {
        let m = &self.manifest;
        format!(
            "{:?}",
            (&m.table_sha256, &m.dataset.name, m.score, m.fidelity, m.look_up, m.run, m.limit, m.simulated_budget, m.max_trainings)
        )
    }

    /// What ended a search, and where, for a reader: `12,000 simulated s on CIFAR-10`.
    pub fn terms_words(&self) -> String {
        let m = &self.manifest;
        let budget =
            m.simulated_budget.map(|b| format!("{} simulated s ({})", crate::units::show_count(b.number() as u64), m.limit.name()));
        let most = m.max_trainings.map(|n| format!("{n} trainings"));
        let ends: Vec<String> = budget.into_iter().chain(most).collect();
        format!("{}, {}, {}", Path::new(&m.table).file_name().unwrap_or_default().to_string_lossy(), m.dataset.title, ends.join(", "))
    }

    /// Accuracies of the column that was looked up, by index.
    pub fn by_index(&self, table: &Table, set: usize, part: Part, fidelity: Fidelity) -> BTreeMap<u64, f64> {
        let value = |row: usize| Some((table.rows[row].index, table.accuracy(row, set, part, fidelity)?));
        (0..table.rows.len()).filter_map(value).collect()
    }
}

/// Reads all studies in and below `paths`, by algorithm and path. One that is damaged is a notice and does not stop the others; one that repeats another counts once.
pub fn load(paths: &[PathBuf], notices: &mut Vec<String>) -> Vec<Study> {
    let mut folders = BTreeSet::new();
    paths.iter().for_each(|root| walk(root, 0, &mut folders));
    let mut tables: BTreeMap<String, Option<Arc<Table>>> = BTreeMap::new();
    let mut all: Vec<Study> = Vec::new();
    for folder in folders {
        match read(&folder, &mut tables, notices) {
            Ok(Some(study)) if all.iter().any(|s| s.manifest == study.manifest) => {
                notices.push(format!("{}: the same study as another", folder.display()))
            }
            Ok(Some(study)) => all.push(study),
            Ok(None) => (),
            Err(e) => notices.push(format!("{} is left out: {e}", folder.display())),
        }
    }
    let budget = |s: &Study| s.manifest.simulated_budget.map_or(0.0, |b| b.number());
    all.sort_by(|a, b| a.manifest.table.cmp(&b.manifest.table).then(budget(a).total_cmp(&budget(b))).then(a.name().cmp(&b.name())));
    all
}

fn walk(folder: &Path, depth: usize, out: &mut BTreeSet<PathBuf>) {
    if folder.join(STUDY).is_file() {
        out.insert(folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()));
        return;
    }
    let below = std::fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok).map(|e| e.path());
    if depth < DEPTH {
        below.filter(|p| p.is_dir()).for_each(|p| walk(&p, depth + 1, out));
    }
}

fn read(folder: &Path, tables: &mut BTreeMap<String, Option<Arc<Table>>>, notices: &mut Vec<String>) -> Result<Option<Study>> {
    let Some((manifest, report)) = read_study(folder)? else { return Ok(None) };
    let history = read_history(folder)?;
    let recorded: u64 = report.seeds.iter().map(|s| s.trainings).sum();
    if history.len() as u64 != report.account.trainings || recorded > report.account.trainings {
        return Err(Error::input(folder, format!("{} queries in the history, {} in the account", history.len(), report.account.trainings)));
    }
    let table = tables.entry(manifest.table.clone()).or_insert_with(|| match table::open(&manifest.table) {
        Ok(table) => Some(Arc::new(table)),
        Err(e) => {
            notices.push(format!("the table of {}: {e}; its curves are left out", folder.display()));
            None
        }
    });
    let table = table.clone().filter(|t| {
        let same = t.sha256 == manifest.table_sha256;
        if !same {
            notices.push(format!("{}: the table {} has changed since; curves are left out", folder.display(), manifest.table));
        }
        same
    });
    Ok(Some(Study { manifest, report, history, table }))
}
