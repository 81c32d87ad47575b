//! `naslab data`

use super::args::{DataAction, DataArguments};
use super::show::{plain_table, print_out};
use crate::data::{self, SEGMENTATION_SETS, SETS};
use crate::error::{Error, Result};
use crate::units::show_bytes;
use std::fmt::Write;
use std::path::Path;

/// Lists or checks data sets.
pub fn data(a: &DataArguments) -> Result<()> {
    match &a.action {
        DataAction::List => list(),
        DataAction::Check { sets, data_dir } => check(sets, data_dir.as_deref()),
    }
}

fn list() -> Result<()> {
    let mut out = String::new();
    let classification = SETS.iter().map(|s| (s.name, s.title, s.summary, s.needs, s.folders, ""));
    let note = "\n  segmentation: read and checked here, no search uses it yet";
    let segmentation = SEGMENTATION_SETS.iter().map(|s| (s.name, s.title, s.summary, s.needs, s.folders, note));
    for (name, title, summary, needs, folders, note) in classification.chain(segmentation) {
        let _ = writeln!(out, "{name}: {title}\n  {summary}\n  {needs}{note}");
        for folder in folders {
            let _ = writeln!(out, "  looked for in {folder}");
        }
    }
    print_out(&out)
}

fn check(names: &[String], folder: Option<&Path>) -> Result<()> {
    let segmentation = || SEGMENTATION_SETS.iter().map(|s| s.name);
    let all: Vec<String> = SETS.iter().map(|s| s.name).chain(segmentation()).map(String::from).collect();
    if let Some(name) = names.iter().find(|n| !all.contains(n)) {
        return Err(Error::Usage(format!("there is no data set '{name}'; the data sets are {}", all.join(", "))));
    }
    let (names, wanted) = if names.is_empty() { (&all[..], false) } else { (names, true) };
    let mut table = plain_table(&["set", "file", "size", "state"]);
    let mut bad = None;
    for name in names {
        let found = if segmentation().any(|n| n == name) { data::check_segmentation(name, folder)? } else { data::check(name, folder)? };
        for found in found {
            table.add_row([name.clone(), found.file.display().to_string(), show_bytes(found.bytes), found.state.clone()]);
            if !found.ok && bad.is_none() {
                bad = Some(Error::input(&found.file, found.state));
            }
        }
    }
    print_out(&format!("{table}\n"))?;
    // Without names this is an overview: a set that is not there is no error.
    bad.filter(|_| wanted).map_or(Ok(()), Err)
}
