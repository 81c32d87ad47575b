//! Figures: each is first a [`Scene`] (a list of marks on a page), then SVG text or PNG bytes drawn by Plotters.

mod anytime;
mod axis;
mod cell;
mod chain;
mod cost;
mod graph;
mod layout;
mod overlay;
mod panel;
mod predicted;
mod progress;
mod render;
mod scene;
mod series;
mod style;

pub use anytime::anytime;
pub use cell::{architecture, cell};
pub use cost::accuracy_cost;
pub use overlay::overlay;
pub use predicted::predicted;
pub use progress::{diagnostics, trials};
pub use render::{png, svg};
pub use scene::Scene;
pub use series::{Experiment, Series, experiments};
