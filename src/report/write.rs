//! Writes the files of a report.

use super::claims::claims;
use super::figures::{self, Scene};
use super::frame::{Row, csv, frame, rows};
use super::load::load_runs;
use super::table::{SummaryRow, summarise, summary_csv};
use super::{html, proxies, segmentation, text, trials};
use crate::arch::{Architecture, Cell};
use crate::error::{Error, Result};
use crate::record::write_atomic;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Cells drawn for each row of the summary; `naslab draw` draws any other.
const CELLS_A_ROW: usize = 10;

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

/// A drawn cell and the name of its files.
pub(super) struct Drawing {
    /// File name without extension.
    pub name: String,
    /// As SVG.
    pub svg: String,
    png: Vec<u8>,
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
    let collapsed = text::collapsed(&all);
    warnings.extend(
        collapsed
            .rows
            .iter()
            .map(|r| format!("{}: {} of {} edges of its normal cell are skip connections; the search collapsed", r[0], r[1], r[2])),
    );
    let groups = figures::experiments(&all);
    let pairs = proxies::pairs(&groups);
    let relations = proxies::table(&pairs);
    let overlaps = [segmentation::whole(&all, &summary), segmentation::by_class(&all, &summary)];
    let cost = figures::accuracy_cost(&all, &claims);
    let anytime = figures::anytime(&all);
    let cells = draw_cells(&all, &mut warnings)?;
    let searches =
        [("trials", figures::trials(&all)), ("diagnostics", figures::diagnostics(&all)), ("predicted", figures::predicted(&pairs))];

    std::fs::create_dir_all(out).map_err(|e| Error::writing(out, &e))?;
    let mut files = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| write_file(out, name, bytes).map(|path| files.push(path));
    put("results.csv", &csv(&mut table)?)?;
    put("results-summary.csv", &summary_csv(&summary)?)?;
    put("results.md", text::markdown(&all, &summary, &overlaps, [&relations, &collapsed]).as_bytes())?;
    put("results.tex", text::latex(&summary, &overlaps).as_bytes())?;
    let (cost_svg, anytime_svg) = (figures::svg(&cost)?, figures::svg(&anytime)?);
    put("accuracy-cost.svg", cost_svg.as_bytes())?;
    put("accuracy-cost.png", &figures::png(&cost)?)?;
    put("anytime.svg", anytime_svg.as_bytes())?;
    put("anytime.png", &figures::png(&anytime)?)?;
    put("trials.csv", &trials::trials_csv(&all)?)?;
    put("correlations.csv", &proxies::correlations_csv(&pairs)?)?;
    if let Some(bytes) = segmentation::segmentation_csv(&all)? {
        put("segmentation.csv", &bytes)?;
    }
    let mut progress = Vec::new();
    for (name, scene) in searches {
        let Some(scene) = scene else { continue };
        let svg = figures::svg(&scene)?;
        put(&format!("{name}.svg"), svg.as_bytes())?;
        put(&format!("{name}.png"), &figures::png(&scene)?)?;
        progress.push(svg);
    }
    for cell in &cells {
        put(&format!("{}.svg", cell.name), cell.svg.as_bytes())?;
        put(&format!("{}.png", cell.name), &cell.png)?;
    }
    put(
        "report.html",
        html::page(
            &all,
            &summary,
            &claims,
            html::Tables { segmentation: &overlaps, more: [&relations, &collapsed] },
            &html::Figures { cost: cost_svg, anytime: anytime_svg, progress, cells },
        )
        .as_bytes(),
    )?;
    Ok(Summary { files, warnings, table: text::terminal(&summary), rows: summary })
}

fn draw_cells(rows: &[Row], warnings: &mut Vec<String>) -> Result<Vec<Drawing>> {
    let mut names = BTreeSet::new();
    let mut drawings = Vec::new();
    let mut drawn: Vec<((String, String), usize)> = Vec::new();
    let mut skipped = 0;
    for row in rows.iter().filter(|r| r.counts()) {
        let Some(result) = &row.result else { continue };
        let group = (
            format!("{}-{}-{}-{}", result.method, result.variant, result.dataset, result.preset),
            row.protocol.clone().unwrap_or_default(),
        );
        let count = match drawn.iter_mut().find(|(g, _)| *g == group) {
            Some((_, count)) => count,
            None => {
                drawn.push((group, 0));
                &mut drawn.last_mut().expect("one was just pushed").1
            }
        };
        *count += 1;
        if *count > CELLS_A_ROW {
            skipped += 1;
            continue;
        }
        let title = [&result.method, &result.variant, &result.dataset, &result.preset].into_iter().filter(|p| !p.is_empty());
        let title = format!("{}, seed {}", title.cloned().collect::<Vec<_>>().join(" "), result.seed);
        match figures::architecture(&result.architecture, &title) {
            Ok(None) => (),
            Ok(Some(scene)) => {
                drawings.push(Drawing { name: file_name(row, &mut names), svg: figures::svg(&scene)?, png: figures::png(&scene)? })
            }
            Err(e) => warnings.push(format!("{}: its cell cannot be drawn: {e}", row.run)),
        }
    }
    if skipped > 0 {
        warnings.push(format!(
            "{skipped} more cells are not drawn (the first {CELLS_A_ROW} of each row are); naslab draw RUN/finding.json draws any"
        ));
    }
    Ok(drawings)
}

/// `cell-darts-first-order-digits-smoke-s0`, with a number appended where that is taken.
fn file_name(row: &Row, taken: &mut BTreeSet<String>) -> String {
    let Some(r) = &row.result else { return "cell".into() };
    let parts = ["cell", &r.method, &r.variant, &r.dataset, &r.preset];
    let joined = parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("-");
    let clean: String = joined.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let base = format!("{clean}-s{}", r.seed);
    let free = std::iter::once(base.clone()).chain((2u32..).map(|i| format!("{base}-{i}"))).find(|n| !taken.contains(n));
    let name = free.unwrap_or(base);
    taken.insert(name.clone());
    name
}

/// Draws one cell into an `.svg` or `.png` file.
///
/// # Errors
/// [`Error::Usage`] for another extension or a cell that is not sound, [`Error::Resource`] if the file cannot be written.
pub fn draw_cell(cell: &Cell, title: &str, path: &Path) -> Result<()> {
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
