//! The tables as Markdown, LaTeX and plain text.

use super::claims::Claim;
use super::frame::metric_name;
use super::grid::{Grid, mark, unmark};
use super::spread::percent;
use super::summary::{SummaryRow, or_none};
use super::tables::{Tables, reading};
use crate::units::{SECONDS_PER_DAY, show_seconds};
use comfy_table::{Cell, CellAlignment, Table, presets};
use std::fmt::Write;

/// `results.md`.
pub(super) fn markdown(tables: &Tables) -> String {
    let mut out = String::from("# Results\n");
    for grid in tables.all() {
        if grid.rows.is_empty() && grid.title != tables.get("outcome").title {
            continue;
        }
        let _ = writeln!(out, "\n## {}\n", grid.title);
        out += &markdown_table(grid);
        for (i, note) in grid.notes.iter().enumerate() {
            let _ = writeln!(out, "\n{} {}", mark(i + 1), markdown_escape(note));
        }
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
    let mut out = line(grid.head.clone());
    out += &line((0..grid.head.len()).map(|i| if i < grid.left { "---" } else { "---:" }.to_string()).collect());
    for row in &grid.rows {
        out += &line(row.iter().map(|c| markdown_escape(c)).collect());
    }
    out
}

fn markdown_escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// `results.tex`: the tables of numbers, for `booktabs`.
pub(super) fn latex(tables: &Tables) -> String {
    let mut out = String::from("% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.\n");
    let always = ["outcome", "search-time", "cost"].map(|name| tables.get(name));
    let if_any = ["control", "spreads", "studies", "studies-control", "segmentation", "classes", "normalised"].map(|name| tables.get(name));
    for grid in always.into_iter().chain(if_any.into_iter().filter(|g| !g.rows.is_empty())) {
        let columns: String = (0..grid.head.len()).map(|i| if i < grid.left { 'l' } else { 'r' }).collect();
        let line = |cells: &[String]| format!("{} \\\\\n", cells.iter().map(|c| latex_escape(c)).collect::<Vec<_>>().join(" & "));
        let _ = write!(
            out,
            "\n\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\resizebox{{\\linewidth}}{{!}}{{%\n",
            latex_escape(&grid.title)
        );
        let _ = write!(out, "\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n", line(&grid.head));
        grid.rows.iter().for_each(|r| out += &line(r));
        out += "\\bottomrule\n\\end{tabular}}\n";
        for (i, note) in grid.notes.iter().enumerate() {
            let _ = writeln!(out, "\\par\\footnotesize {} {}", latex_escape(&mark(i + 1)), latex_escape(note));
        }
        out += "\\end{table}\n";
    }
    out
}

fn latex_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out += "\\textbackslash{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '±' => out += "$\\pm$",
            '–' => out += "--",
            '−' => out += "$-$",
            '×' => out += "$\\times$",
            '<' => out += "\\textless{}",
            '>' => out += "\\textgreater{}",
            '\n' | '\r' => out.push(' '),
            other => match unmark(&other.to_string()).1 {
                Some(number) => out += &format!("\\textsuperscript{{{number}}}"),
                None => out.push(other),
            },
        }
    }
    out
}

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
        let grid = Grid { title: "t".into(), head: vec!["a".into()], rows: vec![vec!["x|y\nz<b>".into()]], left: 1, ..Grid::default() };
        assert_eq!(markdown_table(&grid), "| a |\n| --- |\n| x\\|y z&lt;b> |\n");
    }
}
