//! `report.html`: one file with all tables and figures in it; it works offline, in light and dark, and printed.

use super::claims::{Claim, Metric};
use super::drawings::Drawing;
use super::grid::{Grid, field, unmark};
use super::load::Run;
use super::tables::{Tables, reading};
use super::trials;
use crate::record::Phase;
use crate::units::{show_count, show_seconds};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The page, with names in double braces where its parts go.
const PAGE: &str = include_str!("report.html");
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
    pub overlays: Vec<Drawing>,
}

/// The page.
pub(super) fn page(rows: &[Run], claims: &[Claim], tables: &Tables, figures: &Figures) -> String {
    let sections: Vec<Section> = sections(rows, claims, tables, figures).into_iter().filter(|s| !s.1.is_empty()).collect();
    let finished = rows.iter().filter(|r| r.counts()).count();
    let left_out = rows.len() - finished;
    let about = format!("{finished} finished runs in {} groups; {left_out} left out.", tables.get("outcome").rows.len());
    let link = |(title, _): &Section| format!("<a href=\"#{}\">{}</a>\n", slug(title), escape(title));
    let part = |(title, content): &Section| format!("<section id=\"{}\">\n<h2>{}</h2>\n{content}</section>\n", slug(title), escape(title));
    let (links, parts): (String, String) = (sections.iter().map(link).collect(), sections.iter().map(part).collect());
    let fields = [("style", STYLE), ("script", SCRIPT), ("about", &about), ("links", &links), ("sections", &parts)];
    fields.into_iter().fold(PAGE.to_string(), |page, (name, text)| page.replacen(&format!("{{{{{name}}}}}"), text, 1))
}

/// Title and content of a part of the page; one without content is not shown.
type Section = (&'static str, String);

fn sections(rows: &[Run], claims: &[Claim], t: &Tables, f: &Figures) -> Vec<Section> {
    let section = |title, parts: Vec<String>| (title, parts.concat());
    let chart = |name: &str, caption: &str| f.charts.get(name).map_or_else(String::new, |svg| figure(svg, caption));
    let areas = "Left or above: measured here. Last area: reported by the papers, on axes of its own.";
    let against = |what: &str| format!("Test score against {what}. {areas}");
    let outcome = t.get("outcome");
    let outcome = if outcome.rows.is_empty() { "<p>No finished run.</p>\n".into() } else { body(outcome) };
    let best = trials::best(rows).iter().map(folded).collect();
    let cells: String = f.cells.iter().map(|c| figure(c.svg.as_deref().unwrap_or_default(), "")).collect();
    // Small figures, as many in a row as there is room for.
    let cells = if cells.is_empty() { cells } else { format!("<div class=\"many\">\n{cells}</div>\n") };
    vec![
        section("Outcome", vec![outcome, table(t.get("spreads"))]),
        section(
            "Accuracy, cost and size",
            vec![chart("accuracy-cost", &against("search cost")), chart("accuracy-parameters", &against("weights"))],
        ),
        section("Against random search", vec![body(t.get("control"))]),
        section(
            "Searches of tables",
            vec![
                table(t.get("studies")),
                chart("table-incumbents", "Beside the papers' numbers for the same table, data set and simulated budget."),
                table(t.get("studies-control")),
                chart("table-regret", ""),
                chart("table-seeds", ""),
                chart("table-schedules", ""),
                chart("table-agreement", ""),
            ],
        ),
        section("Segmentation", vec![table(t.get("segmentation")), table(t.get("classes"))]),
        section("Test slices", f.overlays.iter().map(|o| figure(&picture(o), "")).collect()),
        section("Over time", vec![chart("anytime", "Best search score so far against device time."), table(t.get("search-time"))]),
        section("Cost", vec![body(t.get("cost")), chart("phases", ""), chart("memory", ""), table(t.get("normalised"))]),
        section("How to read this", vec![list(&reading(t))]),
        section("What differs from the paper\u{2019}s settings", vec![folded(t.get("shrunk"))]),
        section("How the searches went", vec![chart("trials", ""), chart("diagnostics", ""), table(&trials::counts(rows)), best]),
        section("Early and late scores", vec![body(t.get("relations")), chart("predicted", "")]),
        section("Collapsed searches", vec![body(t.get("collapsed"))]),
        section("Cells found", vec![cells]),
        section("Checklist of best practices", vec![body(t.get("checklist"))]),
        section("Provenance", vec![body(t.get("provenance")), folded(&runs(rows))]),
        section("Left out and missing", vec![table(t.get("left-out")), table(t.get("missing"))]),
        section("Reported by papers", vec![folded(&reported(claims))]),
    ]
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
    let n = grid.rows.len();
    if n == 0 {
        String::new()
    } else {
        format!("<details><summary>{} ({n} rows)</summary>\n{}</details>\n", escape(&grid.title), body(grid))
    }
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
fn picture(o: &Drawing) -> String {
    let data = STANDARD.encode(&o.png);
    let (width, height) = (o.width.round(), o.height.round());
    format!("<img alt=\"{}\" width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{data}\">\n", escape(&o.title))
}

/// Every finished run.
fn runs(rows: &[Run]) -> Grid {
    let percent = |v: Option<f64>| field(v.map(|v| format!("{:.2}", 100.0 * v)));
    let time = |r: &Run, phase| field(r.seconds(phase).map(show_seconds));
    let commit = |r: &Run| r.manifest.as_ref().map(|m| m.program.commit.chars().take(10).collect::<String>());
    Grid::of(
        "All finished runs",
        3,
        rows.iter().filter(|r| r.counts()).filter_map(|r| Some((r, r.result.as_ref()?))),
        &[
            ("run", &|(r, _)| r.name.clone()),
            ("commit", &|(r, _)| field(commit(r))),
            ("search ended", &|(_, result)| result.search_end.words().into()),
            ("seed", &|(_, result)| result.seed.to_string()),
            ("test score (%)", &|(_, result)| percent(result.final_score)),
            ("search score (%)", &|(_, result)| percent(result.search_score)),
            ("parameters", &|(_, result)| show_count(result.parameters)),
            ("search", &|(r, _)| time(r, Phase::Search)),
            ("retraining", &|(r, _)| time(r, Phase::Retrain)),
        ],
    )
}

/// Every claim on CIFAR-10 accuracy and on segmentation, with its source.
fn reported(claims: &[Claim]) -> Grid {
    let of_cifar = |c: &Claim| c.dataset == "cifar10" && c.metric == Metric::TestAccuracy;
    Grid::of(
        "Reported by papers (CIFAR-10 test accuracy, segmentation, and each method's headline)",
        8,
        claims.iter().filter(|c| c.headline || c.metric.of_segmentation() || of_cifar(c)),
        &[
            ("method", &|c| c.method.clone()),
            ("variant", &|c| c.variant.clone()),
            ("data set", &|c| c.dataset.clone()),
            ("value is", &|c| c.metric.words().into()),
            ("source", &|c| c.source.clone()),
            ("status", &|c| c.status.word().into()),
            ("note", &|c| c.note().unwrap_or_default()),
            ("cutout", &|c| c.cutout.words().into()),
            ("value (%)", &|c| c.value_text().unwrap_or_default()),
            ("runs", &|c| field(c.runs)),
            ("parameters (M)", &|c| field(c.params)),
            ("GPU-days", &|c| field(c.gpu_days)),
        ],
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
