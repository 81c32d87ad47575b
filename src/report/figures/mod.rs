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
