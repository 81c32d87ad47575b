//! A plot area with axes, title and legend.

use super::axis::Axis;
use super::render::text_width;
use super::scene::{Align, FAINT, Frame, GRID, INK, Point, Scene};
use super::style::{Look, marker, stroke};
use super::words::{clip, fitted, wrap};

/// Width of a page with one area beside the other, or one.
pub const WIDTH: f64 = 780.0;
/// Left end of small print, names and legends on it.
pub const LEFT: f64 = 24.0;
/// Size of ordinary text.
pub const TEXT: f64 = 12.0;
/// Height of a line of text.
pub const LINE: f64 = 17.0;
/// Room above a plot area, for a title of two lines.
pub const HEAD: f64 = 46.0;
/// Lines that a title, the label of an axis and an entry of a legend may have.
const LINES: usize = 2;

/// An entry of a legend.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Of its mark.
    pub look: Look,
    /// Of the mark; 0 for no mark.
    pub radius: f64,
    /// Filled or hollow mark.
    pub filled: bool,
    /// With a piece of line through the mark.
    pub lined: bool,
    /// What it stands for.
    pub words: String,
}

/// A plot area.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Where the data go.
    pub frame: Frame,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
}

impl Panel {
    /// The place of a point; `None` if it has none (NaN, zero on a log axis, outside of the axes).
    pub fn at(&self, x: f64, y: f64) -> Option<Point> {
        let (right, up) = (self.x.place(x)?, self.y.place(y)?);
        if ![right, up].iter().all(|share| (-1e-6..=1.000_001).contains(share)) {
            return None;
        }
        Some((self.frame.x0 + right * (self.frame.x1 - self.frame.x0), self.frame.y1 - up * (self.frame.y1 - self.frame.y0)))
    }

    /// Draws grid, numbers, title and labels; returns the height that is used below the plot.
    pub fn axes(&self, scene: &mut Scene, title: &str, x_label: &str, y_label: &str) -> f64 {
        self.grid(scene);
        let f = self.frame;
        let titles = clip(title, TEXT + 0.5, true, f.x1 - f.x0 + 16.0, LINES);
        let first = f.y0 - 14.0 - LINE * (titles.len() as f64 - 1.0);
        for (i, line) in titles.into_iter().enumerate() {
            scene.bold(line, (f.x0, first + LINE * i as f64), TEXT + 0.5, Align::Left, INK);
        }
        let labels = clip(x_label, TEXT, false, f.x1 - f.x0 + 20.0, LINES);
        let used = 36.0 + LINE * labels.len() as f64;
        for (i, line) in labels.into_iter().enumerate() {
            scene.text(line, ((f.x0 + f.x1) / 2.0, f.y1 + 36.0 + LINE * i as f64), TEXT, Align::Centre, INK);
        }
        let widest = self.y.ticks.iter().map(|(_, words)| text_width(words, TEXT - 1.0, false)).fold(0.0, f64::max);
        let left = f.x0 - (widest + 15.0).max(46.0);
        scene.upward(fitted(y_label, TEXT, false, f.y1 - f.y0 + 40.0), (left, (f.y0 + f.y1) / 2.0), TEXT, INK);
        used
    }

    /// Grid lines, their numbers, and the two axes.
    fn grid(&self, scene: &mut Scene) {
        let f = self.frame;
        for (value, words) in &self.x.ticks {
            let Some(share) = self.x.place(*value) else { continue };
            let x = f.x0 + share * (f.x1 - f.x0);
            scene.line(vec![(x, f.y0), (x, f.y1)], 0.8, GRID);
            scene.text(words, (x, f.y1 + 16.0), TEXT - 1.0, Align::Centre, INK);
        }
        for (value, words) in &self.y.ticks {
            let Some(share) = self.y.place(*value) else { continue };
            let y = f.y1 - share * (f.y1 - f.y0);
            scene.line(vec![(f.x0, y), (f.x1, y)], 0.8, GRID);
            scene.text(words, (f.x0 - 7.0, y + 4.0), TEXT - 1.0, Align::Right, INK);
        }
        scene.line(vec![(f.x0, f.y0), (f.x0, f.y1), (f.x1, f.y1)], 1.1, INK);
        if let Some(share) = self.x.broken_at() {
            for x in [-2.5, 2.5].map(|shift| f.x0 + share * (f.x1 - f.x0) + shift) {
                scene.line(vec![(x - 2.0, f.y1 + 5.0), (x + 2.0, f.y1 - 5.0)], 1.1, INK);
            }
        }
    }

    /// Draws the legend below the axes, which use `used` pixels there; returns where the next thing may begin.
    pub fn legend(&self, scene: &mut Scene, entries: &[Entry], used: f64) -> f64 {
        let (left, below, width) = (self.frame.x0, self.frame.y1 + used, self.frame.x1 - self.frame.x0 - 4.0);
        below + legend(scene, entries, left, below, width) + 14.0
    }

    /// Says in the middle of the area why nothing is in it.
    pub fn empty(&self, scene: &mut Scene, why: &str) {
        let f = self.frame;
        for (i, line) in wrap(why, TEXT, f.x1 - f.x0 - 30.0).into_iter().enumerate() {
            scene.text(line, ((f.x0 + f.x1) / 2.0, (f.y0 + f.y1) / 2.0 + LINE * i as f64), TEXT, Align::Centre, FAINT);
        }
    }
}

/// Draws entries one below the other from `top` on, wrapped at `width`; returns the height used.
pub fn legend(scene: &mut Scene, entries: &[Entry], left: f64, top: f64, width: f64) -> f64 {
    let mut y = top;
    for entry in entries {
        let middle = (left + 15.0, y + 8.0);
        if entry.lined {
            stroke(scene, entry.look, &[(left, middle.1), (left + 30.0, middle.1)], 1.6, 4.0);
        }
        if entry.radius > 0.0 {
            marker(scene, entry.look, middle, entry.radius, entry.filled);
        }
        for line in clip(&entry.words, TEXT, false, width - 40.0, LINES) {
            scene.text(line, (left + 38.0, y + 12.0), TEXT, Align::Left, INK);
            y += LINE;
        }
    }
    y - top
}

/// Height that [`legend`] will use.
pub fn legend_height(entries: &[Entry], width: f64) -> f64 {
    entries.iter().map(|e| clip(&e.words, TEXT, false, width - 40.0, LINES).len() as f64 * LINE).sum()
}

/// Where the data of an area as wide as the page go.
pub fn wide(top: f64, height: f64) -> Frame {
    Frame { x0: 86.0, y0: top + HEAD, x1: WIDTH - 30.0, y1: top + HEAD + height }
}

/// Ends a page, drawn down to `top`, with small print and a margin.
pub fn finish(mut page: Scene, top: f64, notes: &[String], margin: f64) -> Scene {
    let used = small_print(&mut page, notes, LEFT, top, WIDTH - 2.0 * LEFT);
    page.height = (top + used + margin).ceil();
    page
}

/// Draws small print from `top` on; returns the height used.
pub fn small_print(scene: &mut Scene, words: &[String], left: f64, top: f64, width: f64) -> f64 {
    let lines: Vec<String> = words.iter().flat_map(|w| wrap(w, TEXT - 1.0, width)).collect();
    for (i, line) in lines.iter().enumerate() {
        scene.text(line, (left, top + 12.0 + (LINE - 2.0) * i as f64), TEXT - 1.0, Align::Left, FAINT);
    }
    (LINE - 2.0) * lines.len() as f64
}
