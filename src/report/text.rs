//! The tables as Markdown, LaTeX and plain text.

use super::control;
use super::frame::{Row, metric_name};
use super::spread::percent;
use super::table::{NONE, SummaryRow};
use crate::arch::Architecture;
use comfy_table::{Cell, CellAlignment, Table, presets};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A table: header and rows of cells. The first [`Grid::left`] columns are words, the others numbers.
pub(super) struct Grid {
    /// What it is about.
    pub title: String,
    /// Column heads.
    pub head: Vec<&'static str>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// Columns set left.
    pub left: usize,
}

/// Tables that more than one file of a report shows and that cost something to make; an empty one is not shown.
pub(super) struct Tables {
    /// Methods against random search.
    pub control: Grid,
    /// Overlaps of segmentations: of all classes, and class by class.
    pub segmentation: [Grid; 2],
    /// What early scores say about late ones.
    pub relations: Grid,
    /// Searches that collapsed.
    pub collapsed: Grid,
}

/// Scores and sizes, with what the paper reported.
pub(super) fn outcome(summary: &[SummaryRow]) -> Grid {
    let row = |r: &SummaryRow| {
        vec![
            r.name(),
            r.dataset.clone(),
            r.preset.clone(),
            metric_name(&r.metric).to_string(),
            r.seeds_text(),
            percent(r.final_score),
            r.parameters_text(),
            r.claim_text(),
            r.claim_params_text(),
        ]
    };
    Grid {
        title: "Outcome".into(),
        head: vec!["method", "data set", "preset", "score", "seeds", "test score (%)", "parameters", "paper (%)", "paper's parameters"],
        rows: summary.iter().map(row).collect(),
        left: 4,
    }
}

/// Scores at search time: another thing than the final ones, so they have a table of their own.
pub(super) fn search_time(summary: &[SummaryRow]) -> Grid {
    let row = |r: &SummaryRow| {
        vec![r.name(), r.dataset.clone(), r.preset.clone(), r.search_score_kind.clone(), percent(r.search_score), percent(r.select_score)]
    };
    Grid {
        title: "Search-time scores".into(),
        head: vec!["method", "data set", "preset", "search score is", "search score (%)", "selection score (%)"],
        rows: summary.iter().map(row).collect(),
        left: 4,
    }
}

/// What it cost.
pub(super) fn cost(summary: &[SummaryRow]) -> Grid {
    let row = |r: &SummaryRow| {
        vec![
            r.name(),
            r.dataset.clone(),
            r.preset.clone(),
            r.cost_unit.clone(),
            r.search_cost_text(),
            SummaryRow::cost_text(r.select_days),
            SummaryRow::cost_text(r.retrain_days),
            r.memory_text(),
            r.energy_text(),
            r.claim_days_text(),
        ]
    };
    Grid {
        title: "Cost of a run".into(),
        head: vec![
            "method",
            "data set",
            "preset",
            "unit",
            "search",
            "selection",
            "retraining",
            "peak memory",
            "energy",
            "paper's search, GPU-days",
        ],
        rows: summary.iter().map(row).collect(),
        left: 4,
    }
}

/// Where settings differ from the paper's, once for all seeds of a row.
pub(super) fn shrunk(rows: &[Row]) -> Grid {
    let mut seen: BTreeMap<(String, String, String, String), (String, String)> = BTreeMap::new();
    for m in rows.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()) {
        for s in &m.shrunk {
            let key = (m.method.clone(), m.dataset.clone(), m.preset.clone(), s.key.clone());
            seen.entry(key).or_insert_with(|| (plain(&s.paper), plain(&s.here)));
        }
    }
    let rows = seen.into_iter().map(|((method, dataset, preset, key), (paper, here))| vec![method, dataset, preset, key, paper, here]);
    Grid {
        title: "What differs from the paper's settings".into(),
        head: vec!["method", "data set", "preset", "setting", "paper", "here"],
        rows: rows.collect(),
        left: 4,
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// Found normal cells of DARTS of which more than half the edges are skip connections: a known failure of searches that go on for too long.
pub(super) fn collapsed(rows: &[Row]) -> Grid {
    let row = |r: &Row| {
        let Architecture::Darts(pair) = &r.result.as_ref()?.architecture else { return None };
        let edges = || pair.normal.nodes.iter().flatten();
        let (skips, all) = (edges().filter(|e| e.op.name() == "skip_connect").count(), edges().count());
        (2 * skips > all).then(|| vec![r.run.clone(), skips.to_string(), all.to_string()])
    };
    Grid {
        title: "Collapsed searches".into(),
        head: vec!["run", "skip connections in the normal cell", "edges"],
        rows: rows.iter().filter(|r| r.counts()).filter_map(row).collect(),
        left: 1,
    }
}

/// Runs that are in no mean, and why.
pub(super) fn left_out(rows: &[Row]) -> Grid {
    let row = |r: &Row| vec![r.run.clone(), r.status.to_string(), r.note.clone().unwrap_or_default()];
    Grid {
        title: "Runs left out".into(),
        head: vec!["run", "status", "why"],
        rows: rows.iter().filter(|r| !r.counts()).map(row).collect(),
        left: 3,
    }
}

/// How to read the tables.
pub(super) fn reading(tables: &Tables) -> Vec<String> {
    let mut lines: Vec<String> = vec![
        "Scores are means over search seeds, ± the sample standard deviation (n − 1) over seeds. \
         The test score is that of the retrained network on the test split; where there is none the field is empty, \
         and a search-time score never stands in for it."
            .into(),
        format!("“{NONE}” is what does not apply: the spread of one seed, the cost of a phase that the run does not have."),
        "“not measured” is unknown, not zero.".into(),
        "GPU-days are device-seconds on CUDA / 86,400; on a CPU the same quantity is in CPU-days of the cores named. \
         Days of different devices are different quantities, and the papers' GPU-days are days of their own cards."
            .into(),
        "The paper's numbers are for the data set named with them; other data sets cannot be compared with them.".into(),
        "Peak memory is that of the device allocator on CUDA and of the process on a CPU, the largest over the runs.".into(),
    ];
    if !tables.control.rows.is_empty() {
        lines.push(control::READING.into());
    }
    if !tables.segmentation[0].rows.is_empty() {
        lines.push(
            "Dice and IoU of a segmentation are computed for every class of a volume; the scores are means over the test volumes, foreground means \
             all classes but the background, and of two empty masks both are 1. What the public code of NAS-Unet prints as Dice is computed from \
             probabilities, for all classes, and averaged over slices; what it prints as mIoU leaves out the last class."
                .into(),
        );
    }
    lines
}

/// `results.md`.
pub(super) fn markdown(rows: &[Row], summary: &[SummaryRow], tables: &Tables) -> String {
    let mut out = String::from("# Results\n");
    let [whole, by_class] = &tables.segmentation;
    let first = [&outcome(summary), &tables.control, whole, by_class, &search_time(summary), &cost(summary)];
    for grid in first.into_iter().chain([&tables.relations, &tables.collapsed, &shrunk(rows), &left_out(rows)]) {
        if grid.rows.is_empty() && grid.title != "Outcome" {
            continue;
        }
        let _ = writeln!(out, "\n## {}\n", grid.title);
        out += &markdown_table(grid);
    }
    out += "\n## How to read this\n\n";
    for line in reading(tables) {
        let _ = writeln!(out, "- {line}");
    }
    out
}

fn markdown_table(grid: &Grid) -> String {
    if grid.rows.is_empty() {
        return "No finished run.\n".into();
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(grid.head.iter().map(ToString::to_string).collect());
    out += &line((0..grid.head.len()).map(|i| if i < grid.left { "---" } else { "---:" }.to_string()).collect());
    for row in &grid.rows {
        out += &line(
            row.iter().map(|c| c.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")).collect(),
        );
    }
    out
}

/// `results.tex`: tables for `booktabs`; those of segmentations only where there are some.
pub(super) fn latex(summary: &[SummaryRow], tables: &Tables) -> String {
    let mut out = String::from("% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.\n");
    let first = [&outcome(summary), &search_time(summary), &cost(summary)];
    for grid in first.into_iter().chain(tables.segmentation.iter().filter(|g| !g.rows.is_empty())) {
        let columns: String = (0..grid.head.len()).map(|i| if i < grid.left { 'l' } else { 'r' }).collect();
        let line = |cells: &[String]| format!("{} \\\\\n", cells.iter().map(|c| latex_escape(c)).collect::<Vec<_>>().join(" & "));
        let head: Vec<String> = grid.head.iter().map(ToString::to_string).collect();
        let _ = write!(
            out,
            "\n\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\resizebox{{\\linewidth}}{{!}}{{%\n",
            latex_escape(&grid.title)
        );
        let _ = write!(out, "\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n", line(&head));
        grid.rows.iter().for_each(|r| out += &line(r));
        out += "\\bottomrule\n\\end{tabular}}\n\\end{table}\n";
    }
    out
}

fn latex_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out += "\\textbackslash{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '±' => out += "$\\pm$",
            '–' => out += "--",
            '−' => out += "$-$",
            '×' => out += "$\\times$",
            '<' => out += "\\textless{}",
            '>' => out += "\\textgreater{}",
            '\n' | '\r' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// The summary for a terminal.
pub(super) fn terminal(summary: &[SummaryRow]) -> String {
    if summary.is_empty() {
        return "no finished run\n".into();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "method",
        "data set",
        "preset",
        "score",
        "seeds",
        "test score (%)",
        "search score (%)",
        "parameters",
        "search",
        "paper (%)",
    ]);
    for r in summary {
        let search = r.search_days.mean.map_or_else(|| NONE.into(), |d| crate::units::show_seconds(d * crate::units::SECONDS_PER_DAY));
        let paper = r.claim.as_ref().and_then(|c| Some(format!("{} on {}", c.value_text()?, c.dataset))).unwrap_or_else(|| NONE.into());
        let cells = [
            r.name(),
            r.dataset.clone(),
            r.preset.clone(),
            metric_name(&r.metric).to_string(),
            r.seeds_text(),
            percent(r.final_score),
            percent(r.search_score),
            r.parameters_text(),
            search,
            paper,
        ];
        table.add_row(
            cells
                .into_iter()
                .enumerate()
                .map(|(i, c)| Cell::new(c).set_alignment(if i < 4 { CellAlignment::Left } else { CellAlignment::Right })),
        );
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latex_specials_are_escaped() {
        assert_eq!(
            latex_escape("a_b & 5 % ± {x} ~^\\ –"),
            "a\\_b \\& 5 \\% $\\pm$ \\{x\\} \\textasciitilde{}\\textasciicircum{}\\textbackslash{} --"
        );
    }

    #[test]
    fn a_cell_cannot_break_a_markdown_table() {
        let grid = Grid { title: "t".into(), head: vec!["a"], rows: vec![vec!["x|y\nz<b>".into()]], left: 1 };
        assert_eq!(markdown_table(&grid), "| a |\n| --- |\n| x\\|y z&lt;b> |\n");
    }
}
