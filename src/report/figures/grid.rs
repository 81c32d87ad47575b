//! Plot areas side by side in two columns, each with its legend below, and small print under all.

use super::panel::{Entry, HEAD, legend, legend_height, small_print};
use super::scene::{Frame, Scene};

const CELL_WIDTH: f64 = 540.0;
const PLOT_HEIGHT: f64 = 300.0;
const LEFT: f64 = 76.0;
/// Room to the right of a plot area.
pub const RIGHT: f64 = 26.0;
const MARGIN: f64 = 14.0;

/// A plot area ready to be put on the page, and the legend below it.
pub struct Part {
    /// The area.
    pub scene: Scene,
    /// Its legend.
    pub entries: Vec<Entry>,
    /// Height of numbers and label below the plot.
    pub below: f64,
}

/// An empty area for a part.
pub fn blank() -> Scene {
    Scene::new("", CELL_WIDTH, HEAD + PLOT_HEIGHT)
}

/// Where the data of a part go.
pub fn plot_frame() -> Frame {
    Frame { x0: LEFT, y0: HEAD, x1: CELL_WIDTH - RIGHT, y1: HEAD + PLOT_HEIGHT }
}

/// Puts the parts on a page.
pub fn assemble(title: &str, parts: Vec<Part>, notes: &[String]) -> Scene {
    let columns = parts.len().min(2);
    let width = CELL_WIDTH * columns as f64 + 2.0 * MARGIN;
    let room = CELL_WIDTH - LEFT - RIGHT + 30.0;
    let mut page = Scene::new(title, width, 0.0);
    let mut top = MARGIN;
    let mut parts = parts.into_iter().peekable();
    while parts.peek().is_some() {
        let mut height: f64 = 0.0;
        for (column, part) in parts.by_ref().take(columns).enumerate() {
            let left = MARGIN + CELL_WIDTH * column as f64;
            let below = HEAD + PLOT_HEIGHT + part.below;
            height = height.max(below + legend_height(&part.entries, room));
            page.place(part.scene, (left, top));
            legend(&mut page, &part.entries, left + LEFT - 20.0, top + below, room);
        }
        top += height + 10.0;
    }
    top += small_print(&mut page, notes, MARGIN + 14.0, top, width - 2.0 * MARGIN - 28.0);
    page.height = (top + MARGIN).ceil();
    page
}
