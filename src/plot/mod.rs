//! Drawings: a scene is a list of marks on a page, an SVG drawn by Plotters of it, and a PNG or a PDF made of that. There are panels with axes and legends, and architectures as graphs; nothing here
//! knows of a run.

mod architecture;
mod axis;
mod chain;
mod front;
mod graph;
mod layout;
mod names;
mod panel;
mod render;
mod scene;
mod style;
mod words;

pub(crate) use architecture::architecture;
pub use architecture::draw_architecture;
pub(crate) use axis::Axis;
pub(crate) use front::{draw_front, front};
pub(crate) use graph::Graph;
pub(crate) use names::label;
pub(crate) use panel::{Entry, Panel, Paper, small_print};
pub(crate) use render::{PNG_DPI, SCREEN_DPI, pdf, png, svg, svg_for_paper, text_width};
pub use scene::Colour;
pub(crate) use scene::{About, Align, FAINT, Frame, INK, Mark, PAPER, Picture, Point, Scene};
pub use style::palette;
pub(crate) use style::{Look, NEUTRAL, class_colour, marker, phase_colour};
pub(crate) use words::{clip, fitted};
