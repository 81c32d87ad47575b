//! Writes the files of a report.

use super::claims::claims;
use super::figures::{self, Material, Panelled};
use super::frame::{RunLine, frame};
use super::grid::Grid;
use super::lines::csv;
use super::load::{nothing, read_runs, recorded};
use super::page::{Head, page};
use super::render::render;
use super::summary::{self, SummaryRow, summarise};
use super::tables::{COLLAPSED, Measured, tables};
use super::{control, drawings, gate, proxies, segmentation, studies, text, trials};
use crate::error::{Error, Result};
use crate::plot::{self, Paper};
use crate::record::write_output;
use std::path::{Path, PathBuf};

/// Folder of the panels for print, in that of the report.
const PRINT: &str = "print";

/// What a report has on demand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// A file of earlier results to compare with: a baseline, or the `results.csv` of another report.
    pub against: Option<PathBuf>,
    /// Every panel for print.
    pub print: Option<Print>,
}

/// How wide panels for print are, and how fine their pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Print {
    /// Width of a panel.
    pub millimetres: f64,
    /// Dots an inch of the PNG files.
    pub dpi: u32,
}

/// What a report consists of.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Files written.
    pub files: Vec<PathBuf>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// The summary for a terminal.
    pub table: String,
    /// The summary's rows.
    pub rows: Vec<SummaryRow>,
}

/// What the Markdown and the LaTeX file are made of.
#[derive(serde::Serialize)]
struct Texts<'a> {
    head: &'a Head,
    tables: &'a [Grid],
}

/// Reads the runs and the studies in and below `runs` and writes tables, figures and `report.html` into the folder `out`.
///
/// # Errors
/// [`Error::Input`] if neither a run nor a study is found, or the earlier results cannot be read, [`Error::Resource`] if `out` cannot be written.
pub fn write_report(runs: &[PathBuf], out: &Path, extras: &Extras) -> Result<Summary> {
    let mut warnings = Vec::new();
    let found = recorded(runs, &mut warnings)?;
    if found.is_empty() {
        return Err(nothing(runs));
    }
    let (studies, runs, claims) = (studies::load(&found, &mut warnings), &read_runs(&found, &mut warnings)[..], claims()?);
    let lines = csv("results.csv", runs.iter().map(RunLine::of))?;
    let summary = if runs.is_empty() { Vec::new() } else { summarise(runs, frame(lines.clone())?, &claims)? };
    let experiments = figures::experiments(runs);
    let (comparisons, pairs) = (control::comparisons(&summary), proxies::pairs(&experiments, &claims));
    let (against, compared) = extras.against.as_ref().map(|file| gate::compare(runs, file)).transpose()?.unzip();
    let measured = Measured {
        runs,
        summary: &summary,
        experiments: &experiments,
        comparisons: &comparisons,
        pairs: &pairs,
        studies: &studies,
        claims: &claims,
        against,
    };
    let tables = tables(&measured);
    let head = Head::new(runs, &comparisons, compared);
    warnings.extend(runs.iter().filter_map(|r| Some(format!("{} is {}: {}", r.name, r.status.word(), r.status.note()?))));
    warnings.extend(runs.iter().filter_map(|r| Some(format!("{}: {}", r.name, r.result.as_ref()?.cut_selection?.words()))));
    let collapsed = tables.iter().filter(|t| t.id == COLLAPSED).flat_map(|t| &t.rows);
    warnings.extend(
        collapsed.map(|r| format!("{}: {} of {} edges of its {} cell are skip connections; the search collapsed", r[0], r[2], r[3], r[1])),
    );

    std::fs::create_dir_all(out).map_err(|e| Error::writing(out, &e))?;
    let mut files = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| write_file(out, name, bytes).map(|path| files.push(path));
    let others = [
        ("results.csv", lines),
        ("results-summary.csv", csv("results-summary.csv", summary.iter().flat_map(summary::lines))?),
        ("trials.csv", csv("trials.csv", runs.iter().flat_map(trials::lines))?),
        ("correlations.csv", csv("correlations.csv", proxies::lines(&pairs))?),
        ("segmentation.csv", csv("segmentation.csv", segmentation::lines(runs))?),
        ("studies.csv", csv("studies.csv", studies::lines(&studies, &claims))?),
    ];
    others.iter().filter(|(_, bytes)| !bytes.is_empty()).try_for_each(|(name, bytes)| put(name, bytes))?;
    put("results.md", render("results.md", include_str!("results.md"), Texts { head: &head, tables: &tables })?.as_bytes())?;
    put("results.tex", render("results.tex", include_str!("results.tex"), Texts { head: &head, tables: &tables })?.as_bytes())?;
    let (cells, overlays) = (drawings::cells(runs, &mut warnings)?, drawings::overlays(runs, &mut warnings)?);
    let of_runs = cells.iter().map(|c| (c.run.clone(), c.name.clone())).collect();
    let material = Material { runs, claims: &claims, pairs: &pairs, studies: &studies, cells: &of_runs };
    let charts = figures::figures(&material, Paper::SCREEN);
    for figure in &charts {
        let sheet = figure.sheet();
        put(&format!("{}.svg", figure.name), plot::svg(&sheet)?.as_bytes())?;
        put(&format!("{}.png", figure.name), &plot::png(&sheet, plot::PNG_DPI)?)?;
    }
    if let Some(print) = extras.print {
        std::fs::create_dir_all(out.join(PRINT)).map_err(|e| Error::writing(out, &e))?;
        for figure in figures::figures(&material, Paper::print(print.millimetres)) {
            for Panelled { name, scene } in &figure.panels {
                let file = |ending: &str| format!("{PRINT}/{}-{name}.{ending}", figure.name);
                put(&file("svg"), plot::svg_for_paper(scene)?.as_bytes())?;
                put(&file("png"), &plot::png(scene, print.dpi)?)?;
                put(&file("pdf"), &plot::pdf(scene)?)?;
            }
        }
    }
    for drawing in cells.iter().chain(&overlays) {
        if let Some(svg) = &drawing.svg {
            put(&format!("{}.svg", drawing.name), svg.as_bytes())?;
        }
        put(&format!("{}.png", drawing.name), &drawing.png)?;
    }
    put("report.html", page(&head, &tables, &charts, &cells, &overlays)?.as_bytes())?;
    Ok(Summary { files, warnings, table: text::terminal(&summary), rows: summary })
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    write_output(&path, bytes)?;
    Ok(path)
}
