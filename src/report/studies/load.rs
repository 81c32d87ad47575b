//! Reads studies.

use crate::error::{Error, Result};
use crate::report::load::Found;
use crate::table::{self, Fidelity, HistoryRow, Manifest, Part, Report, Table, read_history, read_study};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

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
    /// Accuracies of the seeds on one data set, per cent; empty where the table has none.
    pub fn looked_up(&self, set: usize, part: Part) -> Vec<f64> {
        let at = usize::from(part == Part::Test);
        self.report.seeds.iter().filter_map(|s| s.look_ups.get(set)?[at]).collect()
    }

    /// Place of the data set that was searched.
    pub fn searched(&self) -> Option<usize> {
        self.report.sets.iter().position(|s| *s == self.manifest.dataset.name)
    }

    /// Accuracies of the column that was looked up, by index.
    pub fn by_index(&self, table: &Table, set: usize, part: Part, fidelity: Fidelity) -> BTreeMap<u64, f64> {
        let value = |row: usize| Some((table.rows[row].index, table.accuracy(row, set, part, fidelity)?));
        (0..table.rows.len()).filter_map(value).collect()
    }
}

/// Reads the studies among `found`, by table, budget and name. One that is damaged is a notice and does not stop the others; one that repeats another counts once.
pub fn load(found: &[Found], notices: &mut Vec<String>) -> Vec<Study> {
    let mut tables: BTreeMap<String, Option<Arc<Table>>> = BTreeMap::new();
    let mut all: Vec<Study> = Vec::new();
    for (folder, _) in found {
        match read(folder, &mut tables, notices) {
            Ok(Some(study)) if all.iter().any(|s| s.manifest == study.manifest) => {
                notices.push(format!("{}: the same study as another", folder.display()))
            }
            Ok(Some(study)) => all.push(study),
            Ok(None) => (),
            Err(e) => notices.push(format!("{} is left out: {e}", folder.display())),
        }
    }
    let budget = |s: &Study| s.manifest.study.simulated_budget.map_or(0.0, |b| b.number());
    // Built-in tables come in their order, others after them.
    let place = |s: &Study| table::BUILT_IN.iter().position(|name| *name == s.manifest.table).unwrap_or(usize::MAX);
    all.sort_by(|a, b| {
        let tables = place(a).cmp(&place(b)).then(a.manifest.table.cmp(&b.manifest.table));
        tables.then(budget(a).total_cmp(&budget(b))).then(a.manifest.name().cmp(&b.manifest.name()))
    });
    all
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
