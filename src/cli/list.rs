//! `naslab list` and `naslab data`

use super::args::DataAction;
use super::show::{print_out, table};
use crate::data::{self, SETS, info, set_names};
use crate::error::{Error, Result};
use crate::space::published_names;
use crate::units::show_bytes;
use std::path::Path;

/// Prints methods, presets, data sets and published architectures.
pub fn list() -> Result<()> {
    let sets = SETS.iter().map(|set| format!("  {:14} {}: {}\n", set.name, set.title, set.summary));
    let published: Vec<&str> = published_names().collect();
    #[cfg(feature = "report")]
    let claims = {
        let all = crate::report::claims()?;
        let recalled = all.iter().filter(|c| c.recalled()).count();
        format!(
            "\nclaims: {} reported results in data/claims.csv; {recalled} of them are recalled, not read again in their source\n",
            all.len()
        )
    };
    #[cfg(not(feature = "report"))]
    let claims = "";
    print_out(format!(
        "{}\
         data sets (naslab data list says where the files are looked for)\n{}\n\
         published architectures (naslab train NAME, naslab draw NAME)\n  {}\n{claims}",
        methods(),
        sets.collect::<String>(),
        published.join(", ")
    ))
}

/// Methods and their presets.
fn methods() -> String {
    #[cfg(feature = "search")]
    {
        let all = crate::reproductions::METHODS.iter().map(|method| {
            let (card, presets) = (method.card(), method.presets().join(", "));
            format!("  {:10} {}\n{:13}{}\n{:13}presets: {presets}\n", card.name, card.about, "", card.paper, "")
        });
        format!("methods\n{}\n", all.collect::<String>())
    }
    #[cfg(not(feature = "search"))]
    "methods: none, this naslab was built without libtorch (feature 'search'); searches of tables are there (naslab table list)\n\n".into()
}

/// Lists or checks data sets.
pub fn data(action: &DataAction) -> Result<()> {
    match action {
        DataAction::List => print_out(SETS.iter().map(needs).collect::<String>()),
        DataAction::Check { sets, data_dir } => check(sets, data_dir.as_deref()),
    }
}

fn needs(set: &data::SetInfo) -> String {
    let labelled = if set.is_segmentation() { "every pixel" } else { "whole images" };
    let folders: String = set.folders.iter().map(|folder| format!("  looked for in {folder}\n")).collect();
    format!("{}: {}\n  {}\n  {}\n  labelled: {labelled}\n{folders}", set.name, set.title, set.summary, set.needs)
}

fn check(names: &[String], folder: Option<&Path>) -> Result<()> {
    names.iter().try_for_each(|name| info(name).map(drop))?;
    let all: Vec<&str> = if names.is_empty() { set_names() } else { names.iter().map(String::as_str).collect() };
    let (mut rows, mut bad) = (Vec::new(), None);
    for name in all {
        for found in data::check(name, folder)? {
            rows.push([name.to_string(), found.file.display().to_string(), show_bytes(found.bytes), found.state.clone()]);
            if !found.ok && bad.is_none() {
                bad = Some(Error::input(&found.file, found.state));
            }
        }
    }
    print_out(table(["set", "file", "size", "state"], &[0, 1, 2, 3], rows))?;
    // Without names this is an overview: a set that is not there is no error.
    bad.filter(|_| !names.is_empty()).map_or(Ok(()), Err)
}
