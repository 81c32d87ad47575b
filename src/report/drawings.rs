//! Drawings of single runs: the cells found, and test slices with what was predicted for them.

use super::figures;
use super::frame::Row;
use crate::error::Result;
use crate::record::{RunDir, RunResult};
use std::collections::BTreeSet;

/// Cells drawn for each row of the summary; `naslab draw` draws any other.
const CELLS_A_ROW: usize = 10;
/// Runs of each row of the summary whose test slices are drawn.
const OVERLAYS_A_ROW: usize = 3;

/// Letters of a file's name; file systems allow 255 bytes with number, extension and what marks a temporary file.
const LONGEST: usize = 180;

/// A drawn cell and the name of its files.
pub(super) struct Drawing {
    /// File name without extension.
    pub name: String,
    /// As SVG.
    pub svg: String,
    /// As PNG.
    pub png: Vec<u8>,
}

/// Test slices of a run.
pub(super) struct Overlay {
    /// File name without extension.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Pixels of the page.
    pub width: f64,
    /// Pixels of the page.
    pub height: f64,
    /// As PNG: a slice is no drawing of lines.
    pub png: Vec<u8>,
}

/// The cells of the first runs of each row.
pub(super) fn cells(rows: &[Row], warnings: &mut Vec<String>) -> Result<Vec<Drawing>> {
    let mut names = BTreeSet::new();
    let mut drawings = Vec::new();
    let (drawn, skipped) = first_of_each(finished(rows), CELLS_A_ROW);
    for (row, result) in drawn {
        match figures::architecture(&result.architecture, &title(result)) {
            Ok(None) => (),
            Ok(Some(scene)) => {
                let name = file_name("cell", result, &mut names);
                drawings.push(Drawing { name, svg: figures::svg(&scene)?, png: figures::png(&scene)? });
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

/// Test slices of the first segmentations of each row. What is missing or damaged is a warning.
pub(super) fn overlays(rows: &[Row], warnings: &mut Vec<String>) -> Result<Vec<Overlay>> {
    let mut names = BTreeSet::new();
    let mut drawings = Vec::new();
    let (drawn, skipped) = first_of_each(finished(rows).filter(|(_, r)| r.segmentation.is_some()), OVERLAYS_A_ROW);
    for (row, result) in drawn {
        let classes: Vec<&str> = result.segmentation.iter().flat_map(|s| &s.classes).map(|c| c.name.as_str()).collect();
        let title = format!("{}: test slices", title(result));
        let scene = RunDir::open(&row.folder).and_then(|run| run.examples()).and_then(|e| figures::overlay(&e, &classes, &title));
        match scene {
            Ok(scene) => {
                let name = file_name("overlay", result, &mut names);
                drawings.push(Overlay { name, title, width: scene.width, height: scene.height, png: figures::png(&scene)? });
            }
            Err(e) => warnings.push(format!("{}: its test slices cannot be drawn: {e}", row.run)),
        }
    }
    if skipped > 0 {
        warnings
            .push(format!("test slices of {skipped} more runs are not drawn (those of the first {OVERLAYS_A_ROW} runs of each row are)"));
    }
    Ok(drawings)
}

fn finished(rows: &[Row]) -> impl Iterator<Item = (&Row, &RunResult)> {
    rows.iter().filter(|r| r.counts()).filter_map(|r| Some((r, r.result.as_ref()?)))
}

/// The first `most` runs of each experiment, and how many more there are.
fn first_of_each<'a>(runs: impl Iterator<Item = (&'a Row, &'a RunResult)>, most: usize) -> (Vec<(&'a Row, &'a RunResult)>, usize) {
    let mut counts: Vec<([&str; 5], usize)> = Vec::new();
    let (mut first, mut skipped) = (Vec::new(), 0);
    for (row, r) in runs {
        let group = [r.method.as_str(), &r.variant, &r.dataset, &r.preset, row.protocol.as_deref().unwrap_or_default()];
        let at = counts.iter().position(|(g, _)| *g == group).unwrap_or_else(|| {
            counts.push((group, 0));
            counts.len() - 1
        });
        counts[at].1 += 1;
        if counts[at].1 > most {
            skipped += 1;
        } else {
            first.push((row, r));
        }
    }
    (first, skipped)
}

fn title(r: &RunResult) -> String {
    let parts = [&r.method, &r.variant, &r.dataset, &r.preset].into_iter().filter(|p| !p.is_empty());
    format!("{}, seed {}", parts.cloned().collect::<Vec<_>>().join(" "), r.seed)
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
