//! Figures: each is first a [`Scene`] (a list of marks on a page), then SVG text or PNG bytes drawn by Plotters.

mod anytime;
mod axis;
mod bars;
mod cell;
mod chain;
mod cost;
mod few;
mod front;
mod graph;
mod grid;
mod layout;
mod memory;
mod missing;
mod names;
mod overlay;
mod panel;
mod parameters;
mod phases;
mod predicted;
mod progress;
mod render;
mod scatter;
mod scene;
mod series;
mod style;
mod words;

pub use anytime::anytime;
pub use cell::{architecture, cell};
pub use cost::accuracy_cost;
pub use memory::memory;
pub use overlay::overlay;
pub use parameters::accuracy_parameters;
pub use phases::phases;
pub use predicted::predicted;
pub use progress::{diagnostics, trials};
pub use render::{png, svg};
pub use scene::Scene;
pub use series::{Experiment, Series, experiments};

#[cfg(test)]
mod tests;
