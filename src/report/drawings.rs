//! Drawings of single runs: the cells found, and test slices with what was predicted for them.

use super::figures::{self, Scene};
use super::load::Run;
use crate::error::Result;
use crate::record::{RunDir, RunResult};
use std::collections::{BTreeMap, BTreeSet};

/// Cells drawn for each row of the summary; `naslab draw` draws any other.
const CELLS_A_ROW: usize = 10;
/// Runs of each row of the summary whose test slices are drawn.
const OVERLAYS_A_ROW: usize = 3;

/// Letters of a file's name; file systems allow 255 bytes with number, extension and what marks a temporary file.
const LONGEST: usize = 180;

/// A drawing of a run.
pub(super) struct Drawing {
    /// File name without extension.
    pub name: String,
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
    let mut kind = Kind { name: "cell", what: "its cell", lines: true, names: BTreeSet::new() };
    let (drawn, skipped) = first_of_each(finished(runs), CELLS_A_ROW);
    let mut drawings = Vec::new();
    for (run, result) in drawn {
        if let Some(scene) = figures::architecture(&result.architecture, &title(result)).transpose() {
            drawings.extend(kind.draw(run, result, scene, warnings)?);
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
pub(super) fn overlays(runs: &[Run], warnings: &mut Vec<String>) -> Result<Vec<Drawing>> {
    let mut kind = Kind { name: "overlay", what: "its test slices", lines: false, names: BTreeSet::new() };
    let (drawn, skipped) = first_of_each(finished(runs).filter(|(_, r)| r.segmentation.is_some()), OVERLAYS_A_ROW);
    let mut drawings = Vec::new();
    for (run, result) in drawn {
        let classes: Vec<&str> = result.segmentation.iter().flat_map(|s| &s.classes).map(|c| c.name.as_str()).collect();
        let title = format!("{}: test slices", title(result));
        let scene = RunDir::open(&run.folder).and_then(|run| run.examples()).and_then(|e| figures::overlay(&e, &classes, &title));
        drawings.extend(kind.draw(run, result, scene, warnings)?);
    }
    if skipped > 0 {
        warnings
            .push(format!("test slices of {skipped} more runs are not drawn (those of the first {OVERLAYS_A_ROW} runs of each row are)"));
    }
    Ok(drawings)
}

/// What is drawn of a run.
struct Kind {
    /// How names of files begin.
    name: &'static str,
    /// In a sentence.
    what: &'static str,
    /// It is worth an SVG.
    lines: bool,
    /// Names that are taken.
    names: BTreeSet<String>,
}

impl Kind {
    /// `None`, and a warning, where there is no scene.
    fn draw(&mut self, run: &Run, result: &RunResult, scene: Result<Scene>, warnings: &mut Vec<String>) -> Result<Option<Drawing>> {
        let scene = match scene {
            Ok(scene) => scene,
            Err(e) => {
                warnings.push(format!("{}: {} cannot be drawn: {e}", run.name, self.what));
                return Ok(None);
            }
        };
        let svg = if self.lines { Some(figures::svg(&scene)?) } else { None };
        let png = figures::png(&scene)?;
        let name = file_name(self.name, result, &mut self.names);
        Ok(Some(Drawing { name, title: scene.title, width: scene.width, height: scene.height, svg, png }))
    }
}

fn finished(runs: &[Run]) -> impl Iterator<Item = (&Run, &RunResult)> {
    runs.iter().filter(|r| r.counts()).filter_map(|r| Some((r, r.result.as_ref()?)))
}

/// The first `most` runs of each experiment, and how many more there are.
fn first_of_each<'a>(runs: impl Iterator<Item = (&'a Run, &'a RunResult)>, most: usize) -> (Vec<(&'a Run, &'a RunResult)>, usize) {
    let mut counts: BTreeMap<[&str; 5], usize> = BTreeMap::new();
    let (first, more): (Vec<_>, Vec<_>) = runs.partition(|(run, r)| {
        let group = [&r.method, &r.variant, &r.dataset, &r.preset, run.protocol.as_deref().unwrap_or_default()];
        let count = counts.entry(group).or_default();
        *count += 1;
        *count <= most
    });
    (first, more.len())
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
