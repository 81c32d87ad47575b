//! Drawings of single runs: the cells found, and test slices with what was predicted for them.

use super::figures;
use super::frame::metric_name;
use super::load::Run;
use super::summary::full_name;
use crate::error::Result;
use crate::plot::{self, Scene};
use crate::record::{RunDir, RunResult};
use crate::units::show_count;
use std::collections::{BTreeMap, BTreeSet};

/// Cells drawn for each row of the summary; `naslab draw` draws any other.
const CELLS_A_ROW: usize = 10;
/// Runs of each row of the summary whose test slices are drawn.
const OVERLAYS_A_ROW: usize = 1;

/// Letters of a file's name; file systems allow 255 bytes with number, extension and what marks a temporary file.
const LONGEST: usize = 180;

/// A drawing of a run.
pub(super) struct Drawing {
    /// File name without extension.
    pub name: String,
    /// Name of the run.
    pub run: String,
    /// What it shows.
    pub title: String,
    /// Pixels of the page.
    pub width: f64,
    /// Pixels of the page.
    pub height: f64,
    /// As SVG; a test slice has none, it is no drawing of lines.
    pub svg: Option<String>,
    /// As PNG.
    pub png: Vec<u8>,
}

/// The cells of the first runs of each row.
pub(super) fn cells(runs: &[Run], warnings: &mut Vec<String>) -> Result<Vec<Drawing>> {
    let scene = |run: &Run, result: &RunResult| plot::architecture(&result.architecture, &title(run, result), &about(result)).transpose();
    let (drawings, skipped) = draw("cell", "its cell", CELLS_A_ROW, finished(runs), scene, warnings)?;
    if skipped > 0 {
        warnings.push(format!(
            "{skipped} more cells are not drawn (the first {CELLS_A_ROW} of each row are); naslab draw RUN/finding.json draws any"
        ));
    }
    Ok(drawings)
}

/// Test slices of the first segmentations of each row. What is missing or damaged is a warning.
pub(super) fn overlays(runs: &[Run], warnings: &mut Vec<String>) -> Result<Vec<Drawing>> {
    let segmented = finished(runs).filter(|(_, r)| r.segmentation.is_some());
    let scene = |run: &Run, result: &RunResult| {
        let classes: Vec<&str> = result.segmentation.iter().flat_map(|s| &s.classes).map(|c| c.name.as_str()).collect();
        let examples = RunDir::open(&run.folder).and_then(|run| run.examples());
        Some(examples.and_then(|e| figures::overlay(&e, &classes, &format!("{}: test slices", title(run, result)))))
    };
    let (drawings, skipped) = draw("overlay", "its test slices", OVERLAYS_A_ROW, segmented, scene, warnings)?;
    if skipped > 0 {
        warnings.push(format!("test slices of {skipped} more runs are not drawn (those of the first run of each row are)"));
    }
    Ok(drawings)
}

/// Draws the first `most` runs of each experiment; returns with them how many more there are. A scene that cannot be made is a warning.
fn draw<'a>(
    kind: &str,
    what: &str,
    most: usize,
    runs: impl Iterator<Item = (&'a Run, &'a RunResult)>,
    scene: impl Fn(&Run, &RunResult) -> Option<Result<Scene>>,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Drawing>, usize)> {
    let (mut counts, mut names): (BTreeMap<_, usize>, _) = (BTreeMap::new(), BTreeSet::new());
    let (mut drawings, mut skipped) = (Vec::new(), 0);
    for (run, result) in runs {
        let count = counts.entry((&result.method, &result.variant, &result.dataset, &result.preset, &run.protocol)).or_default();
        if *count == most {
            skipped += 1;
            continue;
        }
        match scene(run, result) {
            None => (),
            Some(Err(e)) => warnings.push(format!("{}: {what} cannot be drawn: {e}", run.name)),
            Some(Ok(scene)) => {
                // A test slice is no drawing of lines.
                let svg = if kind == "cell" { Some(plot::svg(&scene)?) } else { None };
                let (name, png) = (file_name(kind, result, &mut names), plot::png(&scene, plot::PNG_DPI)?);
                *count += 1;
                drawings.push(Drawing {
                    name,
                    run: run.name.clone(),
                    title: scene.title,
                    width: scene.width,
                    height: scene.height,
                    svg,
                    png,
                });
            }
        }
    }
    Ok((drawings, skipped))
}

fn finished(runs: &[Run]) -> impl Iterator<Item = (&Run, &RunResult)> {
    runs.iter().filter(|r| r.counts()).filter_map(|r| Some((r, r.result.as_ref()?)))
}

fn title(run: &Run, r: &RunResult) -> String {
    let name = run.manifest.as_ref().map_or_else(|| r.method.clone(), full_name);
    format!("{name}, {}, {}, seed {}", r.dataset, r.preset, r.seed)
}

/// What a cell came to.
fn about(r: &RunResult) -> String {
    let score = r.final_score.map_or_else(|| "no test score".into(), |s| format!("Test {} {:.2} %", metric_name(&r.metric), 100.0 * s));
    let hash: String = r.architecture_hash.chars().take(8).collect();
    format!("{score} after retraining, {} weights, architecture {hash}", show_count(r.parameters))
}

/// `cell-darts-first-order-digits-smoke-s0` for the kind `cell`, with a number appended where that is taken.
fn file_name(kind: &str, r: &RunResult, taken: &mut BTreeSet<String>) -> String {
    let parts = [kind, &r.method, &r.variant, &r.dataset, &r.preset];
    let joined = parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("-");
    let clean: String = joined.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let base = format!("{}-s{}", &clean[..clean.len().min(LONGEST)], r.seed);
    let free = std::iter::once(base.clone()).chain((2u32..).map(|i| format!("{base}-{i}"))).find(|n| !taken.contains(n));
    let name = free.unwrap_or(base);
    taken.insert(name.clone());
    name
}
