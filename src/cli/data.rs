//! `naslab data`

use super::args::{DataAction, DataArguments};
use super::show::{plain_table, print_out};
use crate::data::{self, SETS, info, set_names};
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
    for set in SETS {
        let labelled = if set.is_segmentation() { "every pixel" } else { "whole images" };
        let _ = writeln!(out, "{}: {}\n  {}\n  {}\n  labelled: {labelled}", set.name, set.title, set.summary, set.needs);
        for folder in set.folders {
            let _ = writeln!(out, "  looked for in {folder}");
        }
    }
    print_out(&out)
}

fn check(names: &[String], folder: Option<&Path>) -> Result<()> {
    for name in names {
        info(name)?;
    }
    let all: Vec<&str> = if names.is_empty() { set_names() } else { names.iter().map(String::as_str).collect() };
    let mut table = plain_table(&["set", "file", "size", "state"]);
    let mut bad = None;
    for name in all {
        for found in data::check(name, folder)? {
            table.add_row([name.to_string(), found.file.display().to_string(), show_bytes(found.bytes), found.state.clone()]);
            if !found.ok && bad.is_none() {
                bad = Some(Error::input(&found.file, found.state));
            }
        }
    }
    print_out(&format!("{table}\n"))?;
    // Without names this is an overview: a set that is not there is no error.
    bad.filter(|_| !names.is_empty()).map_or(Ok(()), Err)
}
