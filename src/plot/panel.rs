//! A panel: a plot with axes, title and legend, as wide as its paper.

use super::axis::Axis;
use super::render::{SCREEN_DPI, text_width};
use super::scene::{About, Align, Colour, FAINT, Frame, GRID, INK, PAPER, Point, Scene};
use super::style::{Look, marker, stroke};
use super::words::thin;
use super::words::{clip, fitted, wrap};

/// Lines that a title, the label of an axis and an entry of a legend may have.
const LINES: usize = 3;
/// Marks of one kind in a panel, and points of a curve.
const MARKS: usize = 300;

/// What panels are laid out for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paper {
    /// Width of a panel, pixels.
    pub width: f64,
    /// Size of ordinary text, pixels; numbers at ticks are a little smaller.
    pub text: f64,
}

impl Paper {
    /// A page in a browser.
    pub const SCREEN: Self = Self { width: 480.0, text: 13.0 };

    /// Print of this width: no type is smaller than 7 points.
    pub fn print(millimetres: f64) -> Self {
        Self { width: millimetres / 25.4 * SCREEN_DPI, text: 7.7 / 72.0 * SCREEN_DPI }
    }

    /// Size of small text.
    pub fn small(self) -> f64 {
        0.92 * self.text
    }

    /// Height of a line of text.
    pub fn line(self) -> f64 {
        (1.35 * self.text).round()
    }

    /// A length that is this on the screen.
    pub fn of(self, pixels: f64) -> f64 {
        pixels * self.text / Self::SCREEN.text
    }

    /// Free room at the edges.
    fn margin(self) -> f64 {
        self.of(8.0)
    }
}

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
    /// The series that it belongs to; empty for none.
    pub series: String,
}

impl Entry {
    /// Words about a series with a filled mark.
    pub fn of(series: &str, look: Look, words: impl Into<String>) -> Self {
        Self { look, radius: 4.5, filled: true, lined: false, words: words.into(), series: series.into() }
    }

    /// Words alone.
    pub fn note(look: Look, words: impl Into<String>) -> Self {
        Self { radius: 0.0, ..Self::of("", look, words) }
    }

    /// The words of a line.
    pub fn line(series: &str, look: Look, words: impl Into<String>) -> Self {
        Self { radius: 0.0, lined: true, ..Self::of(series, look, words) }
    }
}

/// A plot area with what stands around it.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is drawn.
    pub scene: Scene,
    /// Where the data go.
    pub frame: Frame,
    /// What it is laid out for.
    pub paper: Paper,
    x: Axis,
    y: Axis,
    /// The legend below it.
    pub entries: Vec<Entry>,
    /// Marks are left out.
    pub thinned: bool,
}

impl Panel {
    /// A panel with its title, and the labels of its axes: that of the upright one stands above it. The plot is `share` as high as wide.
    pub fn new(paper: Paper, share: f64, x: Axis, y: Axis, texts: [&str; 3]) -> Self {
        let widest = y.ticks.iter().map(|(_, words)| text_width(words, paper.small(), false)).fold(0.0, f64::max);
        let names = y.is_of_names();
        let left = paper.margin() + if names { 0.0 } else { widest + paper.of(7.0) };
        let right = paper.width - paper.of(if names { 8.0 } else { 22.0 });
        Self::within(paper, [left, right], share * (right - left), x, y, texts)
    }

    /// The same with given ends and height of the plot.
    pub fn within(paper: Paper, [left, right]: [f64; 2], height: f64, x: Axis, y: Axis, [title, across, up]: [&str; 3]) -> Self {
        let (margin, line) = (paper.margin(), paper.line());
        let mut scene = Scene::new("", paper.width, margin);
        for (words, bold) in [(title, true), (up, false)] {
            for words in clip(words, paper.text, bold, paper.width - 2.0 * margin, LINES) {
                scene.height += line;
                let at = (margin, scene.height - 0.35 * paper.text);
                if bold { scene.bold(words, at, paper.text, Align::Left, INK) } else { scene.text(words, at, paper.text, Align::Left, INK) }
            }
        }
        let top = scene.height + paper.of(9.0);
        let f = Frame { x0: left, y0: top, x1: right, y1: top + height };
        scene.height = f.y1 + paper.of(5.0) + paper.small();
        grid(&mut scene, paper, f, &x, &y);
        for words in clip(across, paper.text, false, paper.width - 2.0 * margin, LINES) {
            scene.height += line;
            let half = text_width(&words, paper.text, false) / 2.0 + margin;
            let middle = ((f.x0 + f.x1) / 2.0).clamp(half.min(paper.width / 2.0), (paper.width - half).max(paper.width / 2.0));
            scene.text(words, (middle, scene.height), paper.text, Align::Centre, INK);
        }
        scene.height += paper.of(8.0);
        Self { scene, frame: f, paper, x, y, entries: Vec::new(), thinned: false }
    }

    /// The place of a point; `None` if it has none (NaN, zero on a log axis, outside of the axes).
    pub fn at(&self, (x, y): (f64, f64)) -> Option<Point> {
        let (right, up) = (self.x.place(x)?, self.y.place(y)?);
        let inside = [right, up].iter().all(|share| (-1e-6..=1.000_001).contains(share));
        inside.then(|| self.spot(right, up))
    }

    /// The nearest place within the axes; `None` of what is no number.
    pub fn near(&self, (x, y): (f64, f64)) -> Option<Point> {
        Some(self.spot(self.x.place(x)?.clamp(0.0, 1.0), self.y.place(y)?.clamp(0.0, 1.0)))
    }

    fn spot(&self, right: f64, up: f64) -> Point {
        let f = self.frame;
        (f.x0 + right * (f.x1 - f.x0), f.y1 - up * (f.y1 - f.y0))
    }

    /// A length that is this on the screen.
    pub fn of(&self, pixels: f64) -> f64 {
        self.paper.of(pixels)
    }

    /// A name, cut if what follows it would have no room.
    pub fn cut(&self, name: &str) -> String {
        fitted(name, self.paper.text, false, 0.55 * self.paper.width)
    }

    /// Groups what was drawn since there were `from` marks.
    pub fn group(&mut self, from: usize, about: About) {
        self.scene.group(from, about);
    }

    /// How many marks there are.
    pub fn drawn(&self) -> usize {
        self.scene.marks.len()
    }

    /// Says in the middle of the plot why nothing is in it.
    pub fn empty(&mut self, why: &str) {
        let (f, text) = (self.frame, self.paper.text);
        for (i, words) in wrap(why, text, f.x1 - f.x0 - self.of(30.0)).into_iter().enumerate() {
            let at = ((f.x0 + f.x1) / 2.0, (f.y0 + f.y1) / 2.0 + self.paper.line() * i as f64);
            self.scene.text(words, at, text, Align::Centre, FAINT);
        }
    }

    /// Draws marks; of very many that lie close together some are left out. Returns whether there is any.
    pub fn marks(&mut self, look: Look, points: impl Iterator<Item = (f64, f64)>, radius: f64, filled: bool) -> bool {
        let places: Vec<Point> = points.filter_map(|p| self.at(p)).collect();
        self.thinned |= places.len() > MARKS;
        let (any, radius) = (!places.is_empty(), self.of(radius));
        thin(places, MARKS).into_iter().for_each(|at| marker(&mut self.scene, look, at, radius, filled));
        any
    }

    /// Small dots with a light edge, which are seen on larger marks too.
    pub fn dot(&mut self, at: Point, colour: Colour) {
        self.scene.disc(at, self.of(3.4), PAPER);
        self.scene.disc(at, self.of(2.5), colour);
    }

    /// A path through those points that have a place.
    pub fn path(&mut self, look: Look, points: impl IntoIterator<Item = (f64, f64)>, width: f64) {
        let path: Vec<Point> = points.into_iter().filter_map(|p| self.at(p)).collect();
        let (width, dash) = (self.of(width).max(0.7), self.of(5.0));
        stroke(&mut self.scene, look, thin(path, MARKS), width, dash);
    }

    /// What lies between two curves over the same places.
    pub fn band(&mut self, (colour, opacity): (Colour, f64), low: &[(f64, f64)], high: &[(f64, f64)]) {
        let points: Vec<Point> = low.iter().chain(high.iter().rev()).filter_map(|p| self.near(*p)).collect();
        if points.len() > 2 {
            self.scene.tint(points, colour, opacity);
        }
    }

    /// A bar with caps from one point to another, cut at the axes.
    pub fn whisker(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour) {
        let (Some(a), Some(b), cap, width) = (self.near(from), self.near(to), self.of(3.5), self.of(1.3)) else { return };
        let cap = if (a.0 - b.0).abs() < 1e-9 { (cap, 0.0) } else { (0.0, cap) };
        // An end that is cut off has no cap.
        for end in [from, to].map(|end| self.at(end)).into_iter().flatten() {
            self.scene.line(vec![(end.0 - cap.0, end.1 - cap.1), (end.0 + cap.0, end.1 + cap.1)], width, colour);
        }
        self.scene.line(vec![a, b], width, colour);
    }

    /// A level line with what it is in the legend; where it is not within the axes the legend says so.
    pub fn reference(&mut self, look: Look, height: f64, words: &str) {
        let Some(up) = self.y.place(height).filter(|up| (0.0..=1.0).contains(up)) else {
            return self.entries.push(Entry::note(look, format!("{words}: outside of this axis")));
        };
        let (ends, width, dash) = (vec![self.spot(0.0, up), self.spot(1.0, up)], self.of(1.1), self.of(3.0));
        self.scene.dashes(ends, width, look.colour, dash);
        self.entries.push(Entry::line("", Look { dashed: true, ..look }, words));
    }

    /// The panel with its legend, and what it shows in words.
    pub fn finished(mut self, title: String) -> Scene {
        legend(&mut self);
        self.scene.title = title;
        self.scene.height = (self.scene.height + self.paper.margin()).ceil();
        self.scene
    }
}

/// Grid lines, their numbers, and the two axes.
fn grid(scene: &mut Scene, paper: Paper, f: Frame, x_axis: &Axis, y_axis: &Axis) {
    let (thin, size, names) = (paper.of(0.8).max(0.7), paper.small(), y_axis.is_of_names());
    let across = |share: f64| f.x0 + share * (f.x1 - f.x0);
    let mut free = f64::NEG_INFINITY;
    for (x, words) in x_axis.ticks.iter().filter_map(|(v, words)| Some((across(x_axis.place(*v)?), words))) {
        let half = text_width(words, size, false) / 2.0;
        let (from, to) = if names { (f.y1, f.y1 + paper.of(4.0)) } else { (f.y0, f.y1) };
        scene.line(vec![(x, from), (x, to)], if names { paper.of(1.0) } else { thin }, if names { INK } else { GRID });
        let middle = x.clamp(half, scene.width - half);
        if middle - half > free {
            scene.text(words, (middle, f.y1 + paper.of(5.0) + size), size, Align::Centre, INK);
            free = middle + half + paper.of(5.0);
        }
    }
    for x in x_axis.minor.iter().filter_map(|v| x_axis.place(*v)).map(across) {
        scene.line(vec![(x, f.y1), (x, f.y1 - paper.of(4.0))], paper.of(1.0).max(0.7), INK);
    }
    for (share, words) in y_axis.ticks.iter().filter(|_| !names).filter_map(|(v, words)| Some((y_axis.place(*v)?, words))) {
        let y = f.y1 - share * (f.y1 - f.y0);
        scene.line(vec![(f.x0, y), (f.x1, y)], thin, GRID);
        scene.text(words, (f.x0 - paper.of(6.0), y + 0.35 * size), size, Align::Right, INK);
    }
    scene.line(vec![(f.x0, f.y0), (f.x0, f.y1), (f.x1, f.y1)], paper.of(1.1), INK);
    if let Some(share) = x_axis.broken_at() {
        for x in [-2.5, 2.5].map(|shift| across(share) + paper.of(shift)) {
            scene.line(vec![(x - paper.of(2.0), f.y1 + paper.of(5.0)), (x + paper.of(2.0), f.y1 - paper.of(5.0))], paper.of(1.1), INK);
        }
    }
}

/// Draws the legend of a panel below it, in two columns where all its words fit.
fn legend(panel: &mut Panel) {
    let (paper, entries) = (panel.paper, std::mem::take(&mut panel.entries));
    let (line, margin, indent) = (paper.line(), paper.margin(), paper.of(30.0));
    let half = (paper.width - 2.0 * margin) / 2.0;
    let narrow = entries.len() > 2 && entries.iter().all(|e| text_width(&e.words, paper.text, false) < half - indent - paper.of(6.0));
    let scene = &mut panel.scene;
    let mut top = scene.height;
    for (i, entry) in entries.iter().enumerate() {
        let from = scene.marks.len();
        let left = if narrow && i % 2 == 1 { margin + half } else { margin };
        if !(narrow && i % 2 == 1) {
            top = scene.height;
        }
        let middle = (left + paper.of(12.0), top + line / 2.0);
        if entry.lined {
            stroke(scene, entry.look, vec![(left, middle.1), (left + paper.of(24.0), middle.1)], paper.of(1.6), paper.of(4.0));
        }
        if entry.radius > 0.0 {
            marker(scene, entry.look, middle, paper.of(entry.radius), entry.filled);
        }
        let mut bottom = top;
        for words in clip(&entry.words, paper.text, false, paper.width - left - indent - margin, LINES) {
            scene.text(words, (left + indent, bottom + line / 2.0 + 0.35 * paper.text), paper.text, Align::Left, INK);
            bottom += line;
        }
        scene.height = scene.height.max(bottom);
        if !entry.series.is_empty() {
            scene.group(from, About { entry: true, ..About::series(&entry.series) });
        }
    }
}

/// Draws small print from `top` on, with this margin; returns the height used.
pub fn small_print(scene: &mut Scene, words: &[String], margin: f64, top: f64) -> f64 {
    let (size, line) = (Paper::SCREEN.small(), Paper::SCREEN.line());
    let lines: Vec<String> = words.iter().flat_map(|w| wrap(w, size, scene.width - 2.0 * margin)).collect();
    for (i, words) in lines.iter().enumerate() {
        scene.text(words, (margin, top + size + line * i as f64), size, Align::Left, FAINT);
    }
    line * lines.len() as f64
}
