//! Figures: each is first a [`Scene`] (a list of marks on a page), then SVG text or PNG bytes drawn by Plotters.

mod anytime;
mod axis;
mod cell;
mod chain;
mod few;
mod front;
mod graph;
mod layout;
mod names;
mod overlay;
mod panel;
mod progress;
mod render;
mod scatter;
mod scene;
mod series;
mod style;
mod tabular;
mod usage;
mod words;

pub use anytime::anytime;
pub use cell::architecture;
pub use graph::Graph;
pub use overlay::overlay;
pub use progress::{diagnostics, predicted, trials};
pub use render::{png, svg};
pub use scatter::{accuracy_cost, accuracy_parameters};
pub use scene::Scene;
pub use series::{Experiment, Series, experiments};
pub use tabular::studies;
pub use usage::{memory, phases};

#[cfg(test)]
mod tests;

use super::claims::Claim;
use super::load::Run;
use super::proxies::Pairs;
use super::studies::Study;

/// A figure.
pub struct Figure {
    pub name: &'static str,
    pub title: String,
    pub notes: Vec<String>,
    pub panels: Vec<Panelled>,
}
pub struct Panelled {
    pub name: String,
    pub scene: Scene,
}
impl Figure {
    pub fn sheet(&self) -> Scene {
        self.panels[0].scene.clone()
    }
}
pub fn palette() -> Vec<(scene::Colour, scene::Colour)> {
    Vec::new()
}
pub fn figures(runs: &[Run], claims: &[Claim], pairs: &[Pairs], all: &[Study]) -> Vec<Figure> {
    let any = !runs.is_empty();
    let list = [
        ("accuracy-cost", any.then(|| accuracy_cost(runs, claims))),
        ("accuracy-parameters", any.then(|| accuracy_parameters(runs, claims))),
        ("anytime", any.then(|| anytime(runs))),
        ("phases", any.then(|| phases(runs))),
        ("memory", any.then(|| memory(runs))),
        ("trials", trials(runs)),
        ("diagnostics", diagnostics(runs)),
        ("predicted", predicted(pairs)),
    ];
    list.into_iter()
        .filter_map(|(name, scene)| Some((name, scene?)))
        .chain(studies(all, claims))
        .map(|(name, scene)| Figure {
            name,
            title: scene.title.clone(),
            notes: Vec::new(),
            panels: vec![Panelled { name: "all".into(), scene }],
        })
        .collect()
}
