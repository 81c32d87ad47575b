//! A plot area with axes, title and legend, and pages of such areas.

use super::axis::Axis;
use super::few::{note, thin};
use super::render::text_width;
use super::scene::{Align, FAINT, Frame, GRID, INK, Point, Scene};
use super::style::{Look, marker, stroke};
use super::words::{clip, fitted, wrap};

/// Size of ordinary text.
pub const TEXT: f64 = 12.0;
/// Height of a line of text.
pub const LINE: f64 = 17.0;
/// Room to the right of a plot area.
pub const RIGHT: f64 = 26.0;
/// Room above a plot area, for a title of two lines.
const HEAD: f64 = 46.0;
const MARGIN: f64 = 14.0;
/// Lines that a title, the label of an axis and an entry of a legend may have.
const LINES: usize = 2;
/// Areas of a page.
const AREAS: usize = 16;
/// Marks of one kind in an area, and points of a curve.
const MARKS: usize = 400;

/// Room to the left of a plot area, its width, room to the right, and its height.
pub type Size = [f64; 4];
/// Of an area as wide as a page.
pub const WIDE: Size = [76.0, 650.0, RIGHT, 290.0];
/// Of an area with another one beside it.
pub const HALF: Size = [76.0, 438.0, RIGHT, 300.0];
/// Of a square one with another one beside it.
pub const SQUARE: Size = [76.0, 274.0, RIGHT, 274.0];

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
    /// What is drawn.
    pub scene: Scene,
    /// Where the data go.
    pub frame: Frame,
    x: Axis,
    y: Axis,
    /// The legend below it.
    pub entries: Vec<Entry>,
    /// Marks are left out.
    thinned: bool,
}

impl Panel {
    /// An area with its title and labelled axes.
    pub fn new([left, width, right, height]: Size, x: Axis, y: Axis, [title, across, up]: [&str; 3]) -> Self {
        let f = Frame { x0: left, y0: HEAD, x1: left + width, y1: HEAD + height };
        let mut scene = Scene::new("", f.x1 + right, 0.0);
        grid(&mut scene, f, &x, &y);
        let titles = clip(title, TEXT + 0.5, true, scene.width - left - 6.0, LINES);
        let first = f.y0 - 14.0 - LINE * (titles.len() as f64 - 1.0);
        for (i, line) in titles.into_iter().enumerate() {
            scene.bold(line, (f.x0, first + LINE * i as f64), TEXT + 0.5, Align::Left, INK);
        }
        scene.height = f.y1 + 36.0;
        for line in clip(across, TEXT, false, width + 20.0, LINES) {
            scene.text(line, ((f.x0 + f.x1) / 2.0, scene.height), TEXT, Align::Centre, INK);
            scene.height += LINE;
        }
        let widest = y.ticks.iter().map(|(_, words)| text_width(words, TEXT - 1.0, false)).fold(31.0, f64::max);
        scene.upward(fitted(up, TEXT, false, height + 40.0), (f.x0 - widest - 15.0, (f.y0 + f.y1) / 2.0), TEXT, INK);
        Self { scene, frame: f, x, y, entries: Vec::new(), thinned: false }
    }

    /// The place of a point; `None` if it has none (NaN, zero on a log axis, outside of the axes).
    pub fn at(&self, (x, y): (f64, f64)) -> Option<Point> {
        let (right, up) = (self.x.place(x)?, self.y.place(y)?);
        let inside = [right, up].iter().all(|share| (-1e-6..=1.000_001).contains(share));
        let f = self.frame;
        inside.then_some((f.x0 + right * (f.x1 - f.x0), f.y1 - up * (f.y1 - f.y0)))
    }

    /// Says in the middle of the area why nothing is in it.
    pub fn empty(&mut self, why: &str) {
        let f = self.frame;
        for (i, line) in wrap(why, TEXT, f.x1 - f.x0 - 30.0).into_iter().enumerate() {
            self.scene.text(line, ((f.x0 + f.x1) / 2.0, (f.y0 + f.y1) / 2.0 + LINE * i as f64), TEXT, Align::Centre, FAINT);
        }
    }

    /// Draws marks; of very many that lie close together some are left out. Returns whether there is any.
    pub fn marks(&mut self, look: Look, points: impl Iterator<Item = (f64, f64)>, radius: f64, filled: bool) -> bool {
        let places: Vec<Point> = points.filter_map(|p| self.at(p)).collect();
        self.thinned |= places.len() > MARKS;
        let any = !places.is_empty();
        thin(places, MARKS).into_iter().for_each(|at| marker(&mut self.scene, look, at, radius, filled));
        any
    }

    /// Draws the first `most` of the curves, each with a mark at its end; says so if there are more.
    pub fn curves(&mut self, look: Look, curves: Vec<Vec<Point>>, most: usize) -> String {
        let more = if curves.len() > most { format!(" (the first {most} drawn)") } else { String::new() };
        for path in curves.into_iter().take(most) {
            let end = path.last().copied();
            stroke(&mut self.scene, look, &thin(path, MARKS), 1.4, 5.0);
            end.into_iter().for_each(|at| marker(&mut self.scene, look, at, 3.5, true));
        }
        more
    }
}

/// Grid lines, their numbers, and the two axes.
fn grid(scene: &mut Scene, f: Frame, x_axis: &Axis, y_axis: &Axis) {
    for (value, words) in &x_axis.ticks {
        let Some(share) = x_axis.place(*value) else { continue };
        let x = f.x0 + share * (f.x1 - f.x0);
        scene.line(vec![(x, f.y0), (x, f.y1)], 0.8, GRID);
        scene.text(words, (x, f.y1 + 16.0), TEXT - 1.0, Align::Centre, INK);
    }
    for (value, words) in &y_axis.ticks {
        let Some(share) = y_axis.place(*value) else { continue };
        let y = f.y1 - share * (f.y1 - f.y0);
        if !y_axis.is_of_names() {
            scene.line(vec![(f.x0, y), (f.x1, y)], 0.8, GRID);
        }
        scene.text(words, (f.x0 - 7.0, y + 4.0), TEXT - 1.0, Align::Right, INK);
    }
    scene.line(vec![(f.x0, f.y0), (f.x0, f.y1), (f.x1, f.y1)], 1.1, INK);
    if let Some(share) = x_axis.broken_at() {
        for x in [-2.5, 2.5].map(|shift| f.x0 + share * (f.x1 - f.x0) + shift) {
            scene.line(vec![(x - 2.0, f.y1 + 5.0), (x + 2.0, f.y1 - 5.0)], 1.1, INK);
        }
    }
}

/// Draws the legend of an area below it.
fn legend(panel: &mut Panel) {
    let (left, scene) = (panel.frame.x0 - 20.0, &mut panel.scene);
    for entry in &panel.entries {
        let middle = (left + 15.0, scene.height + 8.0);
        if entry.lined {
            stroke(scene, entry.look, &[(left, middle.1), (left + 30.0, middle.1)], 1.6, 4.0);
        }
        if entry.radius > 0.0 {
            marker(scene, entry.look, middle, entry.radius, entry.filled);
        }
        for line in clip(&entry.words, TEXT, false, scene.width - left - 44.0, LINES) {
            scene.text(line, (left + 38.0, scene.height + 12.0), TEXT, Align::Left, INK);
            scene.height += LINE;
        }
    }
}

/// A page of areas in columns, one for each item but no more than fit, and small print under all.
pub fn page<T>(title: &str, columns: usize, items: &[T], draw: impl Fn(&T) -> Panel, mut notes: Vec<String>) -> Scene {
    let mut panels: Vec<Panel> = items.iter().take(AREAS).map(draw).collect();
    if panels.iter().any(|p| p.thinned) {
        notes.push("Where many marks lie close together, some are left out.".into());
    }
    notes.extend(note("areas", AREAS, items.len()));
    panels.iter_mut().for_each(legend);
    let column = panels.first().map_or(WIDE[..3].iter().sum(), |p| p.scene.width);
    let mut page = Scene::new(title, column * columns as f64 + 2.0 * MARGIN, MARGIN);
    if panels.is_empty() {
        page.bold(title, (2.0 * MARGIN, HEAD), TEXT + 0.5, Align::Left, INK);
        page.height += HEAD + LINE;
    }
    let mut top = page.height;
    for (i, panel) in panels.into_iter().enumerate() {
        if i % columns == 0 {
            top = page.height;
        }
        page.height = page.height.max(top + panel.scene.height + 12.0);
        page.place(panel.scene, (MARGIN + column * (i % columns) as f64, top));
    }
    let top = page.height;
    page.height += small_print(&mut page, &notes, 2.0 * MARGIN, top) + MARGIN;
    page.height = page.height.ceil();
    page
}

/// Draws small print from `top` on, with this margin; returns the height used.
pub fn small_print(scene: &mut Scene, words: &[String], margin: f64, top: f64) -> f64 {
    let lines: Vec<String> = words.iter().flat_map(|w| wrap(w, TEXT - 1.0, scene.width - 2.0 * margin)).collect();
    for (i, line) in lines.iter().enumerate() {
        scene.text(line, (margin, top + 12.0 + (LINE - 2.0) * i as f64), TEXT - 1.0, Align::Left, FAINT);
    }
    (LINE - 2.0) * lines.len() as f64
}
