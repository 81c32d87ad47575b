//! `naslab data`

use super::args::{DataAction, DataArguments};
use super::show::{plain_table, print_out};
use crate::data::{self, SETS};
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
        let _ = writeln!(out, "{}: {}\n  {}\n  {}", set.name, set.title, set.summary, set.needs);
        for folder in data::looked_at(set, None) {
            let _ = writeln!(out, "  looked for in {}", folder.display());
        }
    }
    print_out(&out)
}

fn check(names: &[String], folder: Option<&Path>) -> Result<()> {
    let all: Vec<String> = SETS.iter().map(|s| s.name.to_string()).collect();
    let (names, wanted) = if names.is_empty() { (&all[..], false) } else { (names, true) };
    let mut table = plain_table(&["set", "file", "size", "state"]);
    let mut bad = None;
    for name in names {
        for found in data::check(name, folder)? {
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
