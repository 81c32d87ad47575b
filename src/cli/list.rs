//! `naslab list`

use super::show::print_out;
use crate::data::SETS;
use crate::error::Result;
use crate::reproductions::METHODS;
use crate::space::published_names;
use std::fmt::Write;

/// Prints methods, presets, data sets and published architectures.
pub fn list() -> Result<()> {
    let mut out = String::from("methods\n");
    for method in METHODS {
        let card = method.card();
        let _ = writeln!(out, "  {:10} {}", card.name, card.about);
        let _ = writeln!(out, "  {:10} {}", "", card.paper);
        let _ = writeln!(out, "  {:10} presets: {}", "", method.presets().join(", "));
    }
    let _ = writeln!(out, "\ndata sets (naslab data list says where the files are looked for)");
    for set in SETS {
        let _ = writeln!(out, "  {:14} {}: {}", set.name, set.title, set.summary);
    }
    let _ = writeln!(
        out,
        "\npublished architectures (naslab train NAME, naslab draw NAME)\n  {}",
        published_names().collect::<Vec<_>>().join(", ")
    );
    out += &claims();
    print_out(&out)
}

#[cfg(feature = "report")]
fn claims() -> String {
    format!("\nclaims: {} results that papers reported, in data/claims.csv\n", crate::report::claims().map_or(0, |c| c.len()))
}

#[cfg(not(feature = "report"))]
fn claims() -> String {
    String::new()
}
