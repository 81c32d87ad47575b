//! `report.html`: one file with all tables and figures in it; it works offline, in light and dark, and printed.

use super::claims::{Claim, Cutout, Metric};
use super::drawings::{Drawing, Overlay};
use super::frame::Row;
use super::table::SummaryRow;
use super::text::{Grid, Tables, cost, left_out, outcome, reading, search_time, shrunk};
use super::trials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");

/// Figures, as SVG where they are lines.
pub(super) struct Figures {
    /// Test score against cost.
    pub cost: String,
    /// Anytime curves.
    pub anytime: String,
    /// How the searches went, where there is something to show.
    pub progress: Vec<String>,
    /// The cells found.
    pub cells: Vec<Drawing>,
    /// Test slices of segmentations.
    pub overlays: Vec<Overlay>,
}

/// The page.
pub(super) fn page(rows: &[Row], summary: &[SummaryRow], claims: &[Claim], tables: &Tables, figures: &Figures) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>naslab report</title>\n";
    let _ = write!(out, "<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Architecture searches under one measured budget</h1>\n");
    let finished = rows.iter().filter(|r| r.counts()).count();
    let _ = writeln!(out, "<p>{finished} finished runs in {} groups; {} left out.</p>", summary.len(), rows.len() - finished);
    out += &table(&outcome(summary), "No finished run.");
    out += &figure(
        &figures.cost,
        "Test score against search cost. Left or above: measured here. Last area: reported by the papers, on axes of its own.",
    );
    out += &optional(&tables.control);
    tables.segmentation.iter().for_each(|grid| out += &optional(grid));
    if !figures.overlays.is_empty() {
        out += "<h2>Test slices</h2>\n";
        figures.overlays.iter().for_each(|o| out += &figure(&picture(o), ""));
    }
    out += &table(&search_time(summary), "No finished run.");
    out += &figure(&figures.anytime, "Best search score so far against device time.");
    out += &table(&cost(summary), "No finished run.");
    out += "<h2>How to read this</h2>\n<ul>\n";
    for line in reading(tables) {
        let _ = writeln!(out, "<li>{}</li>", escape(&line));
    }
    out += "</ul>\n";
    out += &optional(&shrunk(rows));
    let counts = trials::counts(rows);
    if !figures.progress.is_empty() || !counts.rows.is_empty() {
        out += "<h2>How the searches went</h2>\n";
        figures.progress.iter().for_each(|svg| out += &figure(svg, ""));
        out += &optional(&counts);
        trials::best(rows).iter().for_each(|grid| out += &folded(grid));
    }
    [&tables.relations, &tables.collapsed].into_iter().for_each(|grid| out += &optional(grid));
    if !figures.cells.is_empty() {
        out += "<h2>Cells found</h2>\n";
        figures.cells.iter().for_each(|c| out += &figure(&c.svg, ""));
    }
    out += &optional(&left_out(rows));
    out += &table(&runs(rows), "No run.");
    out += &table(&reported(claims), "No claim.");
    out += "</main>\n</body>\n</html>\n";
    out
}

fn optional(grid: &Grid) -> String {
    if grid.rows.is_empty() { String::new() } else { table(grid, "") }
}

/// A table that opens on a click; it is open in print.
fn folded(grid: &Grid) -> String {
    format!("<details><summary>{}</summary>\n{}</details>\n", escape(&grid.title), body(grid))
}

fn table(grid: &Grid, empty: &str) -> String {
    let mut out = format!("<h2>{}</h2>\n", escape(&grid.title));
    if grid.rows.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", escape(empty));
        return out;
    }
    out += &body(grid);
    out
}

fn body(grid: &Grid) -> String {
    let mut out = String::new();
    let class = |i: usize| if i < grid.left { "" } else { " class=\"n\"" };
    out += "<div class=\"wide\"><table>\n<thead><tr>";
    for (i, head) in grid.head.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(i), escape(head));
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in &grid.rows {
        out += "<tr>";
        for (i, cell) in row.iter().enumerate() {
            let _ = write!(out, "<td{}>{}</td>", class(i), escape(cell));
        }
        out += "</tr>\n";
    }
    out += "</tbody>\n</table></div>\n";
    out
}

fn figure(svg: &str, caption: &str) -> String {
    let caption = if caption.is_empty() { String::new() } else { format!("<figcaption>{}</figcaption>\n", escape(caption)) };
    format!("<figure>\n{svg}{caption}</figure>\n")
}

/// A picture within the page, so that the page needs no other file.
fn picture(o: &Overlay) -> String {
    let data = STANDARD.encode(&o.png);
    let (width, height) = (o.width.round(), o.height.round());
    format!("<img alt=\"{}\" width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{data}\">\n", escape(&o.title))
}

/// Every finished run.
fn runs(rows: &[Row]) -> Grid {
    let percent = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{:.2}", 100.0 * v));
    let row = |r: &Row| {
        let result = r.result.as_ref()?;
        Some(vec![
            r.run.clone(),
            r.manifest.as_ref().map_or_else(String::new, |m| m.program.commit.chars().take(10).collect()),
            result.search_end.words().to_string(),
            result.seed.to_string(),
            percent(result.final_score),
            percent(result.search_score),
            crate::units::show_count(result.parameters),
            r.seconds.search.map_or_else(String::new, crate::units::show_seconds),
            r.seconds.retrain.map_or_else(String::new, crate::units::show_seconds),
        ])
    };
    Grid {
        title: "Runs".into(),
        head: vec!["run", "commit", "search ended", "seed", "test score (%)", "search score (%)", "parameters", "search", "retraining"],
        rows: rows.iter().filter(|r| r.counts()).filter_map(row).collect(),
        left: 3,
    }
}

/// Every claim on CIFAR-10 accuracy and on segmentation, with its source.
fn reported(claims: &[Claim]) -> Grid {
    let number = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
    let cutout = |c: &Claim| match c.cutout {
        Cutout::Yes => "yes",
        Cutout::No => "no",
        Cutout::Unknown => "unknown",
    };
    let row = |c: &Claim| {
        vec![
            c.method.clone(),
            c.variant.clone(),
            c.dataset.clone(),
            c.metric.words().to_string(),
            c.source.clone(),
            c.erratum.clone().unwrap_or_default(),
            cutout(c).to_string(),
            c.value_text().unwrap_or_default(),
            c.runs.map_or_else(String::new, |n| n.to_string()),
            number(c.params),
            number(c.gpu_days),
        ]
    };
    let shown =
        claims.iter().filter(|c| c.headline || c.metric.of_segmentation() || (c.dataset == "cifar10" && c.metric == Metric::TestAccuracy));
    Grid {
        title: "Reported by papers (CIFAR-10 test accuracy, segmentation, and each method's headline)".into(),
        head: vec![
            "method",
            "variant",
            "data set",
            "value is",
            "source",
            "note",
            "cutout",
            "value (%)",
            "runs",
            "parameters (M)",
            "GPU-days",
        ],
        rows: shown.map(row).collect(),
        left: 7,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
