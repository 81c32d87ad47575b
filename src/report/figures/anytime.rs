//! Best search score so far against device time: how good the answer would have been at any time.

use super::axis::Axis;
use super::few::{Few, condense};
use super::panel::{Entry, Panel, WIDTH, finish, wide};
use super::scene::{Point, Scene};
use super::series::{Experiment, Series};
use super::style::{marker, stroke};
use crate::report::load::{CurvePoint, Run};
use crate::units::show_count;
use std::collections::BTreeSet;

const PLOT_HEIGHT: f64 = 330.0;

/// One area for each data set, preset, unit of cost and metric, whatever the method; one line a run.
pub fn anytime(rows: &[Run]) -> Scene {
    let few = Few::of(rows);
    let mut page = Scene::new("Best search score so far against device time", WIDTH, 0.0);
    let mut top = 10.0;
    for group in &few.groups {
        top = draw_group(&mut page, group, few.curves(), top);
    }
    if few.groups.is_empty() {
        top = draw_empty(&mut page, top);
    }
    finish(page, top, &notes(&few), 14.0)
}

fn notes(few: &Few) -> Vec<String> {
    let mut notes: Vec<String> = few.groups.iter().filter_map(kinds_note).collect();
    notes.push("Search scores are scores on validation images while searching, not final scores.".into());
    notes.push("Device time of the search, all attempts; one line a search seed, with a mark at its end.".into());
    notes.extend(few.missing("No line", |r| r.curve.is_empty().then(|| "no search score was recorded".to_string())));
    notes.extend(few.notes.iter().cloned());
    notes
}

/// What a reader of an area with several kinds of scores must know.
fn kinds_note(group: &Experiment) -> Option<String> {
    let kinds: BTreeSet<&str> = group.series.iter().flat_map(kinds).collect();
    let listed = kinds.iter().copied().collect::<Vec<_>>().join("; ");
    (kinds.len() > 1).then(|| {
        format!(
            "{}, preset {}: the curves show {} kinds of search score, which are not the same quantity ({listed}). Compare heights within one \
             kind alone; between kinds, compare when curves rise. How briefly children are trained differs between methods too.",
            group.dataset,
            group.preset,
            kinds.len()
        )
    })
}

/// What the search scores of a group are; more than one only if its runs differ.
fn kinds<'a>(series: &'a Series) -> BTreeSet<&'a str> {
    let named = series.rows.iter().filter(|r| !r.curve.is_empty()).filter_map(|r| r.result.as_ref());
    named.map(|r| r.search_score_kind.as_str()).filter(|kind| !kind.is_empty()).collect()
}

/// Seconds in the unit that suits the longest curve.
pub fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s > 3.0 * 86_400.0 => (86_400.0, "days"),
        s if s > 3.0 * 3600.0 => (3600.0, "hours"),
        s if s > 600.0 => (60.0, "minutes"),
        _ => (1.0, "seconds"),
    }
}

fn draw_group(page: &mut Scene, group: &Experiment, most: usize, top: f64) -> f64 {
    let curve_points = || group.rows().flat_map(|r| &r.curve);
    let longest = curve_points().map(|p| p.seconds).fold(0.0, f64::max);
    let (scale, unit) = unit(longest);
    let x = Axis::from_zero(curve_points().map(|p| p.seconds / scale), 1e-3);
    let y = Axis::linear(curve_points().map(|p| 100.0 * p.best), 1.0).within_percent();
    let panel = Panel { frame: wide(top, PLOT_HEIGHT), x, y };
    let title = format!("Anytime curves: {}, preset {}", group.dataset, group.preset);
    let used = panel.axes(
        page,
        &title,
        &format!("device time spent on the search, {unit} {}", group.device()),
        &format!("best search score so far ({})", group.unit()),
    );
    if curve_points().next().is_none() {
        panel.empty(page, "no search score was recorded");
    }
    let entries: Vec<Entry> = group.series.iter().map(|s| draw_series(page, &panel, s, scale, most)).collect();
    panel.legend(page, &entries, used)
}

/// The curves of the first `most` seeds.
fn draw_series(page: &mut Scene, panel: &Panel, series: &Series, scale: f64, most: usize) -> Entry {
    let look = series.look();
    let curves: Vec<&Run> = series.rows.iter().copied().filter(|r| !r.curve.is_empty()).collect();
    for row in curves.iter().take(most) {
        let path = steps(&row.curve, panel, scale);
        stroke(page, look, &path, 1.3, 5.0);
        if let Some(end) = path.last() {
            marker(page, look, *end, 4.0, true);
        }
    }
    let words = |n: usize| show_count(n as u64);
    let drawn = if curves.len() > most { format!(" (the first {} drawn)", words(most)) } else { String::new() };
    let kind = kinds(series).into_iter().collect::<Vec<_>>().join(" or ");
    let kind = if kind.is_empty() { "no search score".into() } else { kind };
    Entry { look, radius: 5.0, filled: true, lined: true, words: format!("{}, n = {}{drawn}: {kind}", series.label(), words(curves.len())) }
}

/// The curve as steps: the score holds until a better one is found. Of points that a pixel cannot show some are left out.
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
    condense(&path)
}

fn draw_empty(page: &mut Scene, top: f64) -> f64 {
    let panel = Panel { frame: wide(top, PLOT_HEIGHT), x: Axis::from_zero([], 1.0), y: Axis::linear([0.0, 100.0], 1.0).within_percent() };
    let used = panel.axes(page, "Anytime curves", "device time spent on the search (seconds)", "best search score so far (%)");
    panel.empty(page, "no finished run");
    panel.frame.y1 + used
}
