//! `naslab data`

use super::args::{DataAction, DataArguments};
use super::show::{plain_table, print_out};
use crate::data::{self, SEGMENTATION_SETS, SETS, is_segmentation, set_names};
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
    let classification = SETS.iter().map(|s| (s.name, s.title, s.summary, s.needs, s.folders, "whole images"));
    let segmentation = SEGMENTATION_SETS.iter().map(|s| (s.name, s.title, s.summary, s.needs, s.folders, "every pixel"));
    for (name, title, summary, needs, folders, labelled) in classification.chain(segmentation) {
        let _ = writeln!(out, "{name}: {title}\n  {summary}\n  {needs}\n  labelled: {labelled}");
        for folder in folders {
            let _ = writeln!(out, "  looked for in {folder}");
        }
    }
    print_out(&out)
}

fn check(names: &[String], folder: Option<&Path>) -> Result<()> {
    for name in names {
        is_segmentation(name)?;
    }
    let (names, wanted) = if names.is_empty() { (set_names(), false) } else { (names.iter().map(String::as_str).collect(), true) };
    let mut table = plain_table(&["set", "file", "size", "state"]);
    let mut bad = None;
    for name in names {
        let found = if is_segmentation(name)? { data::check_segmentation(name, folder)? } else { data::check(name, folder)? };
        for found in found {
            table.add_row([name.to_string(), found.file.display().to_string(), show_bytes(found.bytes), found.state.clone()]);
            if !found.ok && bad.is_none() {
                bad = Some(Error::input(&found.file, found.state));
            }
        }
    }
    print_out(&format!("{table}\n"))?;
    // Without names this is an overview: a set that is not there is no error.
    bad.filter(|_| wanted).map_or(Ok(()), Err)
}
