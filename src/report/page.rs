//! `report.html`: one file with all tables and figures in it; it works offline, in light and dark, and printed.

use super::control::{self, Comparison};
use super::drawings::Drawing;
use super::figures::Figure;
use super::grid::Grid;
use super::load::Run;
use super::render::render;
use super::spread::Spread;
use super::tables::commit;
use crate::error::Result;
use crate::plot;
use crate::units::show_seconds;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("report.html");
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// What a reader is told first.
#[derive(Serialize)]
pub(super) struct Head {
    /// What came out, in sentences.
    pub verdict: Vec<String>,
    /// Of what, when, by what, within which budget.
    pub facts: Vec<(&'static str, String)>,
}

impl Head {
    /// Of these runs; `more` are sentences of other parts.
    pub fn new(runs: &[Run], comparisons: &[Comparison], more: impl IntoIterator<Item = String>) -> Self {
        let finished: Vec<&Run> = runs.iter().filter(|r| r.counts()).collect();
        let set = |get: &dyn Fn(&Run) -> Option<String>| finished.iter().filter_map(|r| get(r)).collect::<BTreeSet<String>>();
        let list = |all: BTreeSet<String>| all.into_iter().collect::<Vec<_>>().join("; ");
        // A minute is precise enough: 2026-01-31 12:00.
        let minute = |time: &str| time.get(..16).unwrap_or(time).replacen('T', " ", 1);
        let started = set(&|r| Some(minute(&r.manifest.as_ref()?.started)));
        let ended = set(&|r| Some(minute(&r.ledger.as_ref()?.finished)));
        let program = set(&|r| {
            let p = &r.manifest.as_ref()?.program;
            Some(format!("naslab {} (commit {})", p.version, commit(p)))
        });
        let left_out = runs.len() - finished.len();
        let verdict: Vec<String> = control::sentence(comparisons).into_iter().chain(more).collect();
        let facts = [
            ("Runs", Some(format!("{} finished, {left_out} left out", finished.len()))),
            ("Measured", started.first().zip(ended.last()).map(|(from, to)| format!("{from} to {to} UTC"))),
            ("By", Some(list(program))),
            ("On", Some(list(set(&|r| r.cost_unit.as_deref().map(|u| super::frame::unit_and_device(u).1.to_string()))))),
            ("Budget per run", budget(&finished)),
        ];
        Self { verdict, facts: facts.into_iter().filter_map(|(name, fact)| Some((name, fact.filter(|f| !f.is_empty())?))).collect() }
    }
}

/// The budget of search and selection, how much of it the runs used, and by how much they overshot.
fn budget(finished: &[&Run]) -> Option<String> {
    let budgets = Spread::of(finished.iter().filter_map(|r| r.budget()));
    let (least, most) = (budgets.low?, budgets.high?);
    let limit = if least < most { format!("{} to {}", show_seconds(least), show_seconds(most)) } else { show_seconds(least) };
    let used = Spread::of(finished.iter().filter_map(|r| r.budget_percent()));
    let cut = finished.iter().filter(|r| r.budget_ended()).count();
    let over = finished.iter().filter_map(|r| r.ledger.as_ref()?.overshoot_seconds).fold(0.0, f64::max);
    let with = budgets.n;
    Some(format!(
        "{limit} of device time for search and selection ({with} runs); used {} %; it ended {cut} searches; largest overshoot {}",
        used.span(),
        show_seconds(over)
    ))
}

/// What the template puts in order.
#[derive(Serialize)]
struct Page<'a> {
    style: String,
    script: &'a str,
    head: &'a Head,
    tables: BTreeMap<&'a str, &'a Grid>,
    figures: BTreeMap<&'a str, Chart<'a>>,
    cells: Vec<Shown<'a>>,
    overlays: Vec<Shown<'a>>,
}

/// A figure with the names and the SVG of its panels.
#[derive(Serialize)]
struct Chart<'a> {
    title: &'a str,
    notes: &'a [String],
    panels: Vec<(&'a str, String)>,
}

/// A drawing of a run: an SVG, or a PNG as text.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    title: &'a str,
    width: f64,
    height: f64,
    svg: Option<&'a str>,
    png: Option<String>,
}

/// The page.
pub(super) fn page(head: &Head, tables: &[Grid], figures: &[Figure], cells: &[Drawing], overlays: &[Drawing]) -> Result<String> {
    let page = Page {
        style: format!("{STYLE}{}", dark()),
        script: SCRIPT,
        head,
        tables: tables.iter().map(|t| (t.id.as_str(), t)).collect(),
        figures: figures.iter().map(chart).collect::<Result<_>>()?,
        cells: cells.iter().map(shown).collect(),
        overlays: overlays.iter().map(shown).collect(),
    };
    render("report.html", PAGE, page)
}

fn chart(f: &Figure) -> Result<(&str, Chart<'_>)> {
    let panels = f.panels.iter().map(|p| Ok((p.name.as_str(), plot::svg(&p.scene)?))).collect::<Result<_>>()?;
    Ok((f.name, Chart { title: &f.title, notes: &f.notes, panels }))
}

fn shown(d: &Drawing) -> Shown<'_> {
    let png = d.svg.is_none().then(|| STANDARD.encode(&d.png));
    Shown { name: &d.name, title: &d.title, width: d.width.round(), height: d.height.round(), svg: d.svg.as_deref(), png }
}

/// What the colours of the drawings become in the dark.
fn dark() -> String {
    let rules = plot::palette().into_iter().map(|(light, dark)| {
        let [light, dark] = [light, dark].map(|c| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2));
        format!("svg [fill=\"{light}\"] {{ fill: {dark}; }} svg [stroke=\"{light}\"] {{ stroke: {dark}; }}\n")
    });
    format!("@media screen and (prefers-color-scheme: dark) {{\n{}}}\n", rules.collect::<String>())
}
