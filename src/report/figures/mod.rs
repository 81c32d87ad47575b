//! Figures: panels with what a reader must know of them.

mod anytime;
mod few;
mod overlay;
mod progress;
mod reported;
mod scatter;
mod series;
mod tabular;
mod usage;

pub use overlay::overlay;
pub use series::{Experiment, Series, experiments};

use super::claims::Claim;
use super::load::Run;
use super::proxies::Pairs;
use super::studies::Study;
use crate::plot::{Align, INK, Panel, Paper, Scene, small_print};
use few::{Few, note};
use std::collections::BTreeMap;

/// Panels of a figure.
const PANELS: usize = 24;
/// So many stand below each other on a page of all.
const BELOW_EACH_OTHER: usize = 3;

/// A figure: panels that stand beside each other, with what a reader must know.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// File name without ending.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// Sentences for the caption.
    pub notes: Vec<String>,
    /// In reading order.
    pub panels: Vec<Panelled>,
}

/// A panel of a figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Panelled {
    /// For files and addresses: letters, digits and dashes, unique in the figure.
    pub name: String,
    /// The panel with its legend; its title names the result in words.
    pub scene: Scene,
}

/// What figures are drawn from.
#[derive(Clone, Copy)]
pub struct Material<'a> {
    /// All runs.
    pub runs: &'a [Run],
    /// What papers reported.
    pub claims: &'a [Claim],
    /// Early and late scores.
    pub pairs: &'a [Pairs<'a>],
    /// Searches of tables.
    pub studies: &'a [Study],
    /// Names of the drawings of the cells found, by the names of their runs.
    pub cells: &'a BTreeMap<String, String>,
}

/// A panel that is drawn: what names it, and what it shows in words.
type Drawn = (String, Panel, String);

impl Figure {
    fn new(name: &'static str, title: &str, drawn: Vec<Drawn>, mut notes: Vec<String>) -> Self {
        notes.extend(note("panels", PANELS, drawn.len()));
        if drawn.iter().take(PANELS).any(|(_, panel, _)| panel.thinned) {
            notes.push("Where many marks lie close together, some are left out.".into());
        }
        let mut panels: Vec<Panelled> = Vec::new();
        for (what, panel, words) in drawn.into_iter().take(PANELS) {
            let base = slug(&what);
            let taken = |name: &String| panels.iter().any(|p| p.name == *name);
            let name = std::iter::once(base.clone()).chain((2..).map(|i| format!("{base}-{i}"))).find(|n| !taken(n)).unwrap_or_default();
            panels.push(Panelled { name, scene: panel.finished(words) });
        }
        Self { name, title: title.into(), notes, panels }
    }

    /// All panels on one page, with the notes as small print: a few below each other, so that they can be read on a phone, and more in two columns.
    pub fn sheet(&self) -> Scene {
        const MARGIN: f64 = 8.0;
        let column = self.panels.iter().map(|p| p.scene.width).fold(Paper::SCREEN.width, f64::max);
        let columns = if self.panels.len() > BELOW_EACH_OTHER { 2 } else { 1 };
        let mut page = Scene::new(&self.title, column * columns as f64 + 2.0 * MARGIN, MARGIN);
        if self.panels.is_empty() {
            let text = Paper::SCREEN.text;
            page.height += 2.0 * text;
            page.bold(&self.title, (2.0 * MARGIN, page.height), text, Align::Left, INK);
            page.height += text;
        }
        for row in self.panels.chunks(columns) {
            let top = page.height;
            for (i, panel) in row.iter().enumerate() {
                page.place(panel.scene.clone(), (MARGIN + column * i as f64, top));
                page.height = page.height.max(top + panel.scene.height);
            }
        }
        let top = page.height;
        page.height = (top + small_print(&mut page, &self.notes, 2.0 * MARGIN, top) + 2.0 * MARGIN).ceil();
        page
    }
}

/// Words as part of a name: small letters, digits and dashes.
pub fn slug(words: &str) -> String {
    const LONGEST: usize = 60;
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let dashed: String = words.chars().map(letter).take(LONGEST).collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "panel".into() } else { parts.join("-") }
}

/// All charts in the order of a reader, laid out for this paper; one that has nothing to show and does not say so is left out.
pub fn figures(of: &Material, paper: Paper) -> Vec<Figure> {
    let few = Few::of(of.runs);
    let mut all = Vec::new();
    if !of.runs.is_empty() {
        all.extend(scatter::figures(of, &few, paper));
        all.extend([usage::cost(&few, paper), anytime::anytime(&few, of.cells, paper)]);
    }
    all.extend(
        [progress::trials(&few, paper), progress::diagnostics(&few, paper), progress::early_late(of.pairs, paper)].into_iter().flatten(),
    );
    all.extend(tabular::studies(of.studies, of.claims, paper));
    all
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod told_tests;
