//! Best search score so far against device time: how good the answer would have been at any time.

use super::axis::Axis;
use super::panel::{Entry, Panel, small_print};
use super::scene::{Frame, Point, Scene};
use super::series::{Experiment, Series, experiments};
use super::style::marker;
use crate::report::frame::Row;
use crate::report::load::CurvePoint;

const WIDTH: f64 = 780.0;
const PLOT_HEIGHT: f64 = 330.0;
const TOP: f64 = 34.0;

/// One area for each data set, preset and unit of cost; one line a run.
pub fn anytime(rows: &[Row]) -> Scene {
    let groups = experiments(rows);
    let mut page = Scene::new("Best search score so far against device time", WIDTH, 0.0);
    let mut top = 10.0;
    for group in &groups {
        top = draw_group(&mut page, group, top);
    }
    if groups.is_empty() {
        top = draw_empty(&mut page, top);
    }
    let notes = [
        "Search scores are scores on validation images while searching. They are of different kinds (see the legend) and are not final scores: compare the shape of curves, and heights only within one kind."
            .to_string(),
        "Device time of the search, all attempts; one line a search seed, with a mark at its end.".to_string(),
    ];
    top += small_print(&mut page, &notes, 24.0, top, WIDTH - 48.0);
    page.height = (top + 14.0).ceil();
    page
}

/// Seconds in the unit that suits the longest curve.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s > 3.0 * 86_400.0 => (86_400.0, "days"),
        s if s > 3.0 * 3600.0 => (3600.0, "hours"),
        s if s > 600.0 => (60.0, "minutes"),
        _ => (1.0, "seconds"),
    }
}

fn plot_frame(top: f64) -> Frame {
    Frame { x0: 76.0, y0: top + TOP, x1: WIDTH - 30.0, y1: top + TOP + PLOT_HEIGHT }
}

fn draw_group(page: &mut Scene, group: &Experiment, top: f64) -> f64 {
    let curve_points = || group.rows().flat_map(|r| &r.curve);
    let longest = curve_points().map(|p| p.seconds).fold(0.0, f64::max);
    let (scale, unit) = unit(longest);
    let x = Axis::from_zero(curve_points().map(|p| p.seconds / scale), 1e-3);
    let y = Axis::linear(curve_points().map(|p| 100.0 * p.best), 1.0).within_percent();
    let panel = Panel { frame: plot_frame(top), x, y };
    let title = format!("Anytime curves: {}, preset {}", group.dataset, group.preset);
    let device = group.cost_unit.split_once("-days ").map_or(group.cost_unit, |(_, device)| device);
    let used = panel.axes(
        page,
        &title,
        &format!("device time spent on the search, {unit} {device}"),
        &format!("best search score so far ({})", group.unit()),
    );
    if curve_points().next().is_none() {
        panel.empty(page, "no search score was recorded");
    }
    let entries: Vec<Entry> = group.series.iter().flat_map(|s| draw_series(page, &panel, s, scale)).collect();
    panel.legend(page, &entries, used)
}

fn draw_series(page: &mut Scene, panel: &Panel, series: &Series, scale: f64) -> Vec<Entry> {
    let look = series.look();
    let curves: Vec<&Row> = series.rows.iter().copied().filter(|r| !r.curve.is_empty()).collect();
    for row in &curves {
        let path = steps(&row.curve, panel, scale);
        if look.dashed {
            page.dashes(&path, 1.3, look.colour, 5.0);
        } else {
            page.line(path.clone(), 1.3, look.colour);
        }
        if let Some(end) = path.last() {
            marker(page, look, *end, 4.0, true);
        }
    }
    let kind = series.rows.iter().find_map(|r| r.result.as_ref()).map_or("", |r| r.search_score_kind.as_str());
    let words = format!("{}, n = {}: {kind}", series.name, curves.len());
    vec![Entry { look, radius: 5.0, filled: true, lined: true, words }]
}

/// The curve as steps: the score holds until a better one is found. Points that a pixel cannot show are left out.
fn steps(curve: &[CurvePoint], panel: &Panel, scale: f64) -> Vec<Point> {
    let mut path: Vec<Point> = Vec::new();
    for point in curve {
        let Some(at) = panel.at(point.seconds / scale, 100.0 * point.best) else { continue };
        if let Some(last) = path.last().copied() {
            if last.1 == at.1 && path.len() > 1 && path[path.len() - 2].1 == at.1 {
                path.pop();
            } else if last.1 != at.1 {
                path.push((at.0, last.1));
            }
        }
        path.push(at);
    }
    path
}

fn draw_empty(page: &mut Scene, top: f64) -> f64 {
    let panel = Panel { frame: plot_frame(top), x: Axis::from_zero([], 1.0), y: Axis::linear([0.0, 100.0], 1.0).within_percent() };
    let used = panel.axes(page, "Anytime curves", "device time spent on the search (seconds)", "best search score so far (%)");
    panel.empty(page, "no finished run");
    panel.frame.y1 + used
}
