//! Predicted against trained: what early scores of architectures say about later ones.

use super::axis::Axis;
use super::panel::{Entry, Panel, small_print};
use super::scene::{Frame, Scene};
use super::style::marker;
use crate::report::proxies::{Pairs, coefficient};

const WIDTH: f64 = 780.0;
/// A plot area is as wide as high.
const SIDE: f64 = 250.0;
const TOP: f64 = 44.0;
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
    for two in drawn.chunks(2) {
        let below = two.iter().enumerate().map(|(column, p)| area(&mut page, p, column, top));
        top = below.fold(top, f64::max);
    }
    let notes = ["All seeds together. The number in brackets is the 95 % bootstrap interval of Pearson's coefficient.".to_string()];
    top += small_print(&mut page, &notes, 24.0, top, WIDTH - 48.0);
    page.height = (top + 14.0).ceil();
    Some(page)
}

fn area(page: &mut Scene, p: &Pairs, column: usize, top: f64) -> f64 {
    let x0 = 76.0 + column as f64 * (WIDTH / 2.0);
    let frame = Frame { x0, y0: top + TOP, x1: x0 + SIDE, y1: top + TOP + SIDE };
    let axis = |of: fn(&(f64, f64)) -> f64| Axis::linear(p.values.iter().map(|v| 100.0 * of(v)), 1.0).within_percent();
    let panel = Panel { frame, x: axis(|v| v.0), y: axis(|v| v.1) };
    let title = format!("{}: {}, preset {}", p.series.name, p.experiment.dataset, p.experiment.preset);
    let [across, up] = [p.proxy.as_str(), p.target].map(|score| format!("{score} ({})", p.experiment.unit()));
    let used = panel.axes(page, &title, &across, &up);
    let look = p.series.look();
    for (x, y) in &p.values {
        if let Some(at) = panel.at(100.0 * x, 100.0 * y) {
            marker(page, look, at, 3.0, false);
        }
    }
    let words = format!("n = {}, Pearson {}", p.values.len(), coefficient(p.correlation.pearson));
    panel.legend(page, &[Entry { look, radius: 4.0, filled: false, lined: false, words }], used)
}
