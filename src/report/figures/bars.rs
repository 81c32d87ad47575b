//! Horizontal bars in areas: a name on the left, parts one after the other, words at the end.

use super::axis::Axis;
use super::few::Few;
use super::panel::{HEAD, LEFT, LINE, TEXT, WIDTH, finish};
use super::render::text_width;
use super::scene::{Align, FAINT, Frame, GRID, INK, Scene};
use super::series::Experiment;
use super::style::{Fill, filled};
use super::words::{clip, fitted};

/// Where bars begin and where the longest may end; the names and the words at the end have the rest.
const BARS: (f64, f64) = (250.0, 630.0);
/// Height of a bar.
const THICK: f64 = 15.0;

/// A bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it stands for.
    pub name: String,
    /// Its parts from left to right, in the unit of the axis; nothing is drawn for a length of 0.
    pub parts: Vec<(f64, Fill)>,
    /// Behind its end.
    pub words: String,
}

/// Bars that share an axis.
#[derive(Clone, Debug)]
pub struct Area {
    /// Above it.
    pub title: String,
    /// Below the axis.
    pub label: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// Fills a page from `top` on: one area an experiment.
pub fn fill(mut page: Scene, few: &Few, title: &str, area: impl Fn(&Experiment) -> Area, notes: &[String], mut top: f64) -> Scene {
    for group in &few.groups {
        top = draw_area(&mut page, &area(group), top);
    }
    if few.groups.is_empty() {
        heading(&mut page, title, top + HEAD);
        page.text("no finished run", (LEFT, top + HEAD + LINE), TEXT, Align::Left, FAINT);
        top += HEAD + 2.0 * LINE;
    }
    finish(page, top, notes, 14.0)
}

/// Draws an area from `top` on; returns where the next thing may begin.
fn draw_area(page: &mut Scene, area: &Area, top: f64) -> f64 {
    let length = |bar: &Bar| bar.parts.iter().map(|p| p.0).sum::<f64>();
    let axis = Axis::from_zero(area.bars.iter().map(length), 1e-3);
    let names: Vec<Vec<String>> = area.bars.iter().map(|b| clip(&b.name, TEXT, false, BARS.0 - LEFT - 10.0, 3)).collect();
    let rows: Vec<f64> = names.iter().map(|lines| LINE * lines.len().max(1) as f64 + 7.0).collect();
    let first = top + HEAD;
    let last = first + rows.iter().sum::<f64>();
    heading(page, &area.title, first);
    let place = |value: f64| BARS.0 + axis.place(value).unwrap_or(0.0).clamp(0.0, 1.0) * (BARS.1 - BARS.0);
    for (value, words) in &axis.ticks {
        page.line(vec![(place(*value), first), (place(*value), last)], 0.8, GRID);
        page.text(words, (place(*value), last + 16.0), TEXT - 1.0, Align::Centre, INK);
    }
    let mut y = first;
    for ((bar, lines), height) in area.bars.iter().zip(names).zip(rows) {
        draw_bar(page, bar, lines, y + height / 2.0, &place);
        y += height;
    }
    page.line(vec![(BARS.0, first), (BARS.0, last), (BARS.1, last)], 1.1, INK);
    let labels = clip(&area.label, TEXT, false, WIDTH - 2.0 * LEFT - 100.0, 2);
    for (i, line) in labels.iter().enumerate() {
        page.text(line, ((BARS.0 + BARS.1) / 2.0, last + 36.0 + LINE * i as f64), TEXT, Align::Centre, INK);
    }
    last + 36.0 + LINE * labels.len() as f64
}

/// The title of an area whose data begin at `first`.
fn heading(page: &mut Scene, title: &str, first: f64) {
    let titles = clip(title, TEXT + 0.5, true, WIDTH - 2.0 * LEFT, 2);
    for (i, line) in titles.iter().rev().enumerate() {
        page.bold(line, (LEFT, first - 12.0 - LINE * i as f64), TEXT + 0.5, Align::Left, INK);
    }
}

fn draw_bar(page: &mut Scene, bar: &Bar, name: Vec<String>, middle: f64, place: &impl Fn(f64) -> f64) {
    let up = LINE * (name.len() as f64 - 1.0) / 2.0;
    for (i, line) in name.into_iter().enumerate() {
        page.text(line, (BARS.0 - 8.0, middle - up + 4.5 + LINE * i as f64), TEXT, Align::Right, INK);
    }
    let mut from = 0.0;
    for (length, fill) in bar.parts.iter().filter(|(length, _)| *length > 0.0) {
        let (x0, x1) = (place(from), place(from + length));
        filled(page, Frame { x0, x1, y0: middle - THICK / 2.0, y1: middle + THICK / 2.0 }, *fill);
        from += length;
    }
    let words = fitted(&bar.words, TEXT - 1.0, false, WIDTH - BARS.1 - 16.0);
    page.text(words, (place(from) + 6.0, middle + 4.5), TEXT - 1.0, Align::Left, if bar.parts.is_empty() { FAINT } else { INK });
}

/// Swatches and what they mean, as many in a line as fit, from `top` on; returns the height used.
pub fn swatches(page: &mut Scene, entries: &[(&str, Fill)], top: f64) -> f64 {
    const SWATCH: f64 = 26.0;
    let (mut x, mut y) = (LEFT, top);
    for (words, fill) in entries {
        let wide = SWATCH + 8.0 + text_width(words, TEXT, false);
        if x > LEFT && x + wide > WIDTH - LEFT {
            (x, y) = (LEFT, y + LINE + 4.0);
        }
        filled(page, Frame { x0: x, x1: x + SWATCH, y0: y + 2.0, y1: y + 2.0 + THICK }, *fill);
        page.text(*words, (x + SWATCH + 8.0, y + 14.0), TEXT, Align::Left, INK);
        x += wide + 22.0;
    }
    y + LINE + 4.0 - top
}
