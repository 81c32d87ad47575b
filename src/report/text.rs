//! The summary as plain text.

use super::claims::Claim;
use super::frame::metric_name;
use super::grid::Grid;
use super::spread::percent;
use super::summary::{SummaryRow, or_none};
use crate::units::{SECONDS_PER_DAY, show_seconds};
use comfy_table::{Cell, CellAlignment, Table, presets};

/// The summary for a terminal.
pub(super) fn terminal(summary: &[SummaryRow]) -> String {
    if summary.is_empty() {
        return "no finished run\n".into();
    }
    let seconds = |r: &SummaryRow| r.search_days.mean.map(|d| show_seconds(d * SECONDS_PER_DAY));
    // That the data are others can be seen.
    let apart =
        |r: &SummaryRow, c: &Claim| r.apart().filter(|_| c.dataset == r.dataset).map_or_else(String::new, |why| format!(" ({why})"));
    let paper = |r: &SummaryRow| r.claim.as_ref().and_then(|c| Some(format!("{} on {}{}", c.value_text()?, c.dataset, apart(r, c))));
    let grid = Grid::of(
        "Summary",
        4,
        summary,
        &[
            ("method", &|r| r.name()),
            ("data set", &|r| r.dataset.clone()),
            ("preset", &|r| r.preset.clone()),
            ("score", &|r| metric_name(&r.metric).into()),
            ("seeds", &|r| r.seeds_text()),
            ("test score (%)", &|r| percent(r.final_score)),
            ("search score (%)", &|r| percent(r.search_score)),
            ("parameters", &|r| r.parameters_text()),
            ("search", &|r| or_none(seconds(r))),
            ("paper (%)", &|r| or_none(paper(r))),
        ],
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(grid.head);
    let numbers = |i: usize| if i < grid.left { CellAlignment::Left } else { CellAlignment::Right };
    for row in grid.rows {
        table.add_row(row.into_iter().enumerate().map(|(i, words)| Cell::new(words).set_alignment(numbers(i))));
    }
    format!("{table}\n")
}
