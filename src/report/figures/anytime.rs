//! Best search score so far against device time: how good the answer would have been at any time.

use super::axis::Axis;
use super::few::Few;
use super::panel::{Entry, Panel, WIDE, page};
use super::scene::{Point, Scene};
use super::series::{Experiment, Series};
use crate::report::load::{CurvePoint, Run};
use crate::units::show_count;
use std::collections::BTreeSet;

/// One area for each data set, preset, unit of cost and metric, whatever the method; one line a run.
pub fn anytime(rows: &[Run]) -> Scene {
    let few = Few::of(rows);
    let mut notes: Vec<String> = few.groups.iter().filter_map(kinds_note).collect();
    notes.push("Search scores are scores on validation images while searching, not final scores.".into());
    notes.push("Device time of the search, all attempts; one line a search seed, with a mark at its end.".into());
    notes.extend(few.missing("No line", |r| r.curve.is_empty().then(|| "no search score was recorded".to_string())));
    page("Best search score so far against device time", 1, &few.groups, |g| area(g, few.curves()), few.with(notes))
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

fn area(group: &Experiment, most: usize) -> Panel {
    let curve_points = || group.rows().flat_map(|r| &r.curve);
    let (scale, unit) = unit(curve_points().map(|p| p.seconds).fold(0.0, f64::max));
    let x = Axis::from_zero(curve_points().map(|p| p.seconds / scale), 1e-3);
    let y = Axis::percent(curve_points().map(|p| 100.0 * p.best));
    let across = format!("device time spent on the search, {unit} {}", group.device());
    let mut panel =
        Panel::new(WIDE, x, y, [&group.title("Anytime curves"), &across, &format!("best search score so far ({})", group.unit())]);
    if curve_points().next().is_none() {
        panel.empty("no search score was recorded");
    }
    for series in &group.series {
        let runs = series.rows.iter().filter(|r| !r.curve.is_empty());
        let curves: Vec<Vec<Point>> = runs.map(|r| steps(&r.curve, &panel, scale)).collect();
        let n = show_count(curves.len() as u64);
        let more = panel.curves(series.look(), curves, most);
        let kind = kinds(series).into_iter().collect::<Vec<_>>().join(" or ");
        let kind = if kind.is_empty() { "no search score".into() } else { kind };
        let words = format!("{}, n = {n}{more}: {kind}", series.label());
        panel.entries.push(Entry { look: series.look(), radius: 5.0, filled: true, lined: true, words });
    }
    panel
}

/// The curve as steps: the score holds until a better one is found.
fn steps(curve: &[CurvePoint], panel: &Panel, scale: f64) -> Vec<Point> {
    let mut path: Vec<Point> = Vec::new();
    for at in curve.iter().filter_map(|p| panel.at((p.seconds / scale, 100.0 * p.best))) {
        if let [.., before, last] = path[..]
            && before.1 == last.1
            && last.1 == at.1
        {
            path.pop();
        }
        let last = path.last().map(|last| (at.0, last.1));
        path.extend(last.filter(|corner| *corner != at));
        path.push(at);
    }
    path
}
