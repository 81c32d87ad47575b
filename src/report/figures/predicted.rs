//! Predicted against trained: what early scores of architectures say about later ones.

use super::axis::Axis;
use super::few::{OWN_AREAS, note, thin};
use super::panel::{Entry, HEAD, Panel, small_print};
use super::scene::{Frame, Scene};
use super::style::marker;
use crate::report::proxies::{Pairs, coefficient};

const WIDTH: f64 = 780.0;
/// A plot area is as wide as high.
const SIDE: f64 = 250.0;
/// Marks in an area.
const MARKS: usize = 500;
/// Pairs below which nothing is drawn: fewer show nothing.
const LEAST: usize = 5;

/// One area for each kind of pair; `None` if no group has five of them.
pub fn predicted(pairs: &[Pairs]) -> Option<Scene> {
    let drawn: Vec<&Pairs> = pairs.iter().filter(|p| p.scores && p.values.len() >= LEAST).collect();
    if drawn.is_empty() {
        return None;
    }
    let mut page = Scene::new("Early against late scores", WIDTH, 0.0);
    let mut top = 10.0;
    for two in drawn[..drawn.len().min(OWN_AREAS)].chunks(2) {
        let below = two.iter().enumerate().map(|(column, p)| area(&mut page, p, column, top));
        top = below.fold(top, f64::max);
    }
    let mut notes =
        vec!["All seeds together. The numbers in brackets are the 95 % bootstrap interval of Pearson's coefficient.".to_string()];
    if drawn.iter().any(|p| p.values.len() > MARKS) {
        notes.push("Where many marks lie close together, some are left out.".into());
    }
    notes.extend(note("areas", OWN_AREAS, drawn.len()));
    top += small_print(&mut page, &notes, 24.0, top, WIDTH - 48.0);
    page.height = (top + 14.0).ceil();
    Some(page)
}

fn area(page: &mut Scene, p: &Pairs, column: usize, top: f64) -> f64 {
    let x0 = 76.0 + column as f64 * (WIDTH / 2.0);
    let frame = Frame { x0, y0: top + HEAD, x1: x0 + SIDE, y1: top + HEAD + SIDE };
    let axis = |of: fn(&(f64, f64)) -> f64| Axis::linear(p.values.iter().map(|v| 100.0 * of(v)), 1.0).within_percent();
    let panel = Panel { frame, x: axis(|v| v.0), y: axis(|v| v.1) };
    let title = format!("{}: {}, preset {}", p.series.name, p.experiment.dataset, p.experiment.preset);
    let [across, up] = [p.proxy.as_str(), p.target].map(|score| format!("{score} ({})", p.experiment.unit()));
    let used = panel.axes(page, &title, &across, &up);
    let look = p.series.look();
    let marks = p.values.iter().filter_map(|(x, y)| panel.at(100.0 * x, 100.0 * y)).collect();
    thin(marks, MARKS).into_iter().for_each(|at| marker(page, look, at, 3.0, false));
    let words = format!("n = {}, Pearson {}", p.values.len(), coefficient(p.correlation.pearson));
    panel.legend(page, &[Entry { look, radius: 4.0, filled: false, lined: false, words }], used)
}
