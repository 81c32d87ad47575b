//! `report.html`: one file with all tables and figures in it; it works offline, in light and dark, and printed.

use super::claims::{Claim, Cutout, Metric};
use super::drawings::{Drawing, Overlay};
use super::frame::Row;
use super::grid::{Grid, unmark};
use super::tables::{Tables, reading};
use super::trials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// Charts as SVG, by the names of their files.
pub(super) type Charts = BTreeMap<&'static str, String>;

/// What is drawn.
pub(super) struct Figures {
    /// Charts; one that is not there had nothing to show.
    pub charts: Charts,
    /// The cells found.
    pub cells: Vec<Drawing>,
    /// Test slices of segmentations.
    pub overlays: Vec<Overlay>,
}

/// The page.
pub(super) fn page(rows: &[Row], claims: &[Claim], tables: &Tables, figures: &Figures) -> String {
    let sections: Vec<Section> = sections(rows, claims, tables, figures).into_iter().filter(|s| !s.content.is_empty()).collect();
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out +=
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n";
    let _ = write!(out, "<title>naslab report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n");
    out += "<h1>Architecture searches under one measured budget</h1>\n";
    let finished = rows.iter().filter(|r| r.counts()).count();
    let _ = writeln!(out, "<p>{finished} finished runs in {} groups; {} left out.</p>", tables.outcome.rows.len(), rows.len() - finished);
    out += "<nav>\n";
    sections.iter().for_each(|s| out += &format!("<a href=\"#{}\">{}</a>\n", slug(s.title), escape(s.title)));
    out += "</nav>\n";
    for s in &sections {
        let _ = write!(out, "<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", slug(s.title), escape(s.title), s.content);
    }
    let _ = write!(out, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

/// A part of the page; one without content is not shown.
struct Section {
    title: &'static str,
    content: String,
}

fn sections(rows: &[Row], claims: &[Claim], t: &Tables, f: &Figures) -> Vec<Section> {
    let section = |title, parts: Vec<String>| Section { title, content: parts.concat() };
    let chart = |name: &str, caption: &str| f.charts.get(name).map_or_else(String::new, |svg| figure(svg, caption));
    let areas = "Left or above: measured here. Last area: reported by the papers, on axes of its own.";
    let against = |what: &str| format!("Test score against {what}. {areas}");
    let outcome = if t.outcome.rows.is_empty() { "<p>No finished run.</p>\n".into() } else { body(&t.outcome) };
    let best = trials::best(rows);
    vec![
        section("Outcome", vec![outcome, table(&t.spreads)]),
        section(
            "Accuracy, cost and size",
            vec![chart("accuracy-cost", &against("search cost")), chart("accuracy-parameters", &against("weights"))],
        ),
        section("Against random search", vec![body(&t.control)]),
        section("Segmentation", vec![table(&t.segmentation), table(&t.classes)]),
        section("Test slices", f.overlays.iter().map(|o| figure(&picture(o), "")).collect()),
        section("Over time", vec![chart("anytime", "Best search score so far against device time."), table(&t.search_time)]),
        section("Cost", vec![body(&t.cost), chart("phases", ""), chart("memory", ""), table(&t.normalised)]),
        section("How to read this", vec![list(&reading(t))]),
        section("What differs from the paper\u{2019}s settings", vec![folded(&t.shrunk)]),
        section(
            "How the searches went",
            [chart("trials", ""), chart("diagnostics", ""), table(&trials::counts(rows))]
                .into_iter()
                .chain(best.iter().map(folded))
                .collect(),
        ),
        section("Early and late scores", vec![body(&t.relations), chart("predicted", "")]),
        section("Collapsed searches", vec![body(&t.collapsed)]),
        section("Cells found", side_by_side(f.cells.iter().map(|c| figure(&c.svg, "")))),
        section("Checklist of best practices", vec![body(&t.checklist)]),
        section("Provenance", vec![body(&t.provenance), folded(&runs(rows))]),
        section("Left out and missing", vec![table(&t.left_out), table(&t.missing)]),
        section("Reported by papers", vec![folded(&reported(claims))]),
    ]
}

/// Small figures, as many in a row as there is room for; nothing where there are none.
fn side_by_side(figures: impl Iterator<Item = String>) -> Vec<String> {
    let all: String = figures.collect();
    if all.is_empty() { Vec::new() } else { vec![format!("<div class=\"many\">\n{all}</div>\n")] }
}

/// What a section's address is called.
fn slug(title: &str) -> String {
    let dashed: String = title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    dashed.split('-').filter(|w| !w.is_empty()).collect::<Vec<_>>().join("-")
}

fn list(lines: &[String]) -> String {
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// A table with its title; nothing where it has no rows.
fn table(grid: &Grid) -> String {
    if grid.rows.is_empty() { String::new() } else { format!("<h3>{}</h3>\n{}", escape(&grid.title), body(grid)) }
}

/// A table that opens on a click; it is open in print.
fn folded(grid: &Grid) -> String {
    if grid.rows.is_empty() {
        return String::new();
    }
    format!("<details><summary>{} ({} rows)</summary>\n{}</details>\n", escape(&grid.title), grid.rows.len(), body(grid))
}

/// A table and its footnotes without the title.
fn body(grid: &Grid) -> String {
    if grid.rows.is_empty() {
        return String::new();
    }
    let class = |i: usize| if i < grid.left { "" } else { " class=\"n\"" };
    let name = slug(&grid.title);
    let mut out = String::from("<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr>");
    for (i, head) in grid.head.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(i), escape(head));
    }
    out += "</tr></thead>\n<tbody>\n";
    for row in &grid.rows {
        out += "<tr>";
        for (i, cell) in row.iter().enumerate() {
            let (text, note) = unmark(cell);
            let link = note.map_or_else(String::new, |n| format!("<sup><a href=\"#{name}-{n}\">{n}</a></sup>"));
            // A number and its spread stay on one line.
            let _ = write!(out, "<td{}>{}{link}</td>", class(i), escape(text).replace(" ± ", "\u{a0}±\u{a0}"));
        }
        out += "</tr>\n";
    }
    out += "</tbody>\n</table></div>\n";
    if !grid.notes.is_empty() {
        let note = |(i, text): (usize, &String)| format!("<li id=\"{name}-{}\">{}</li>\n", i + 1, escape(text));
        let _ = write!(out, "<ol class=\"notes\">\n{}</ol>\n", grid.notes.iter().enumerate().map(note).collect::<String>());
    }
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
        title: "All finished runs".into(),
        head: vec!["run", "commit", "search ended", "seed", "test score (%)", "search score (%)", "parameters", "search", "retraining"],
        rows: rows.iter().filter(|r| r.counts()).filter_map(row).collect(),
        left: 3,
        ..Grid::default()
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
        ..Grid::default()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
