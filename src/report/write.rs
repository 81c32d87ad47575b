//! Writes the files of a report.

use super::claims::claims;
use super::figures::{self, Scene};
use super::frame::{csv, frame, rows};
use super::load::load_runs;
use super::summary::{SummaryRow, summarise, summary_csv};
use super::tables::Tables;
use super::{drawings, html, proxies, segmentation, text, trials};
use crate::error::{Error, Result};
use crate::record::write_atomic;
use crate::space::{Architecture, Cell};
use std::path::{Path, PathBuf};

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

/// Reads the runs in and below `runs` and writes tables, figures and `report.html` into the folder `out`.
///
/// # Errors
/// [`Error::Input`] if no run is found, [`Error::Resource`] if `out` cannot be written.
pub fn write_report(runs: &[PathBuf], out: &Path) -> Result<Summary> {
    let loaded = load_runs(runs)?;
    let claims = claims()?;
    let all = rows(&loaded);
    let mut table = frame(&all)?;
    let summary = summarise(&table, &claims)?;
    let mut warnings = loaded.notices.clone();
    warnings.extend(all.iter().filter_map(|r| r.note.as_ref().map(|n| format!("{} is {}: {n}", r.run, r.status))));
    let groups = figures::experiments(&all);
    let pairs = proxies::pairs(&groups);
    let tables = Tables::new(&all, &summary, &groups, &pairs);
    warnings.extend(
        tables
            .collapsed
            .rows
            .iter()
            .map(|r| format!("{}: {} of {} edges of its normal cell are skip connections; the search collapsed", r[0], r[1], r[2])),
    );
    let cells = drawings::cells(&all, &mut warnings)?;
    let overlays = drawings::overlays(&all, &mut warnings)?;
    let always = [
        ("accuracy-cost", figures::accuracy_cost(&all, &claims)),
        ("accuracy-parameters", figures::accuracy_parameters(&all, &claims)),
        ("anytime", figures::anytime(&all)),
        ("phases", figures::phases(&all)),
        ("memory", figures::memory(&all)),
    ];
    let if_any =
        [("trials", figures::trials(&all)), ("diagnostics", figures::diagnostics(&all)), ("predicted", figures::predicted(&pairs))];
    let scenes = always.into_iter().chain(if_any.into_iter().filter_map(|(name, scene)| Some((name, scene?))));

    std::fs::create_dir_all(out).map_err(|e| Error::writing(out, &e))?;
    let mut files = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| write_file(out, name, bytes).map(|path| files.push(path));
    put("results.csv", &csv(&mut table)?)?;
    put("results-summary.csv", &summary_csv(&summary)?)?;
    put("results.md", text::markdown(&tables).as_bytes())?;
    put("results.tex", text::latex(&tables).as_bytes())?;
    put("trials.csv", &trials::trials_csv(&all)?)?;
    put("correlations.csv", &proxies::correlations_csv(&pairs)?)?;
    if let Some(bytes) = segmentation::segmentation_csv(&all)? {
        put("segmentation.csv", &bytes)?;
    }
    let mut charts = html::Charts::new();
    for (name, scene) in scenes {
        let svg = figures::svg(&scene)?;
        put(&format!("{name}.svg"), svg.as_bytes())?;
        put(&format!("{name}.png"), &figures::png(&scene)?)?;
        charts.insert(name, svg);
    }
    for cell in &cells {
        put(&format!("{}.svg", cell.name), cell.svg.as_bytes())?;
        put(&format!("{}.png", cell.name), &cell.png)?;
    }
    for overlay in &overlays {
        put(&format!("{}.png", overlay.name), &overlay.png)?;
    }
    put("report.html", html::page(&all, &claims, &tables, &html::Figures { charts, cells, overlays }).as_bytes())?;
    Ok(Summary { files, warnings, table: text::terminal(&summary), rows: summary })
}

/// Draws one cell into an `.svg` or `.png` file.
///
/// # Errors
/// [`Error::Usage`] for another extension or a cell that is not sound, [`Error::Resource`] if the file cannot be written.
pub fn draw_cell(cell: &Cell<&'static str>, title: &str, path: &Path) -> Result<()> {
    draw(path, || figures::cell(cell, title))
}

/// Draws the cells of an architecture, one below the other, into an `.svg` or `.png` file.
///
/// # Errors
/// As [`draw_cell`], and [`Error::Usage`] for an architecture that has no drawing.
pub fn draw_architecture(architecture: &Architecture, title: &str, path: &Path) -> Result<()> {
    draw(path, || figures::architecture(architecture, title)?.ok_or_else(|| Error::Usage(format!("{title}: there is no drawing of it"))))
}

fn draw(path: &Path, scene: impl FnOnce() -> Result<Scene>) -> Result<()> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let bytes = match extension.as_deref() {
        Some("svg") => figures::svg(&scene()?)?.into_bytes(),
        Some("png") => figures::png(&scene()?)?,
        _ => return Err(Error::Usage(format!("{}: name a file that ends in .svg or .png", path.display()))),
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    write_file(folder, &name, &bytes).map(drop)
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    write_atomic(&path, bytes)?;
    Ok(path)
}
