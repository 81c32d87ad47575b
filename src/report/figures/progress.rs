//! How a search went: the score of every trial, the figures that methods report about themselves, and what early scores say about later ones.

use super::axis::Axis;
use super::few::{Few, OWN_AREAS, condense, note, thin};
use super::panel::{Entry, HEAD, Panel, WIDTH, finish, wide};
use super::scene::{Frame, Point, Scene};
use super::series::{Experiment, Series};
use super::style::{Look, marker};
use crate::report::load::Run;
use crate::report::proxies::{Pairs, coefficient};
use crate::units::show_count;
use std::collections::BTreeSet;

const PLOT_HEIGHT: f64 = 250.0;
/// Marks of trials in an area.
const MARKS: usize = 500;
/// Areas of the figure of what methods report: their legends name groups, so they are higher.
const FIGURES: usize = 16;
/// Curves of a group in an area.
const CURVES: usize = 12;

/// A plot area is as wide as high.
const SIDE: f64 = 250.0;
/// Pairs below which nothing is drawn: fewer show nothing.
const LEAST: usize = 5;

/// Figures that have an area of their own, with the label of their axis.
const KNOWN: [(&str, &str); 7] = [
    ("controller_entropy", "mean entropy of the controller's decisions (nats)"),
    ("baseline", "baseline of the rewards"),
    ("alpha_entropy", "mean entropy of alpha (nats)"),
    ("alpha_entropy_down", "mean entropy of alpha, operations that halve (nats)"),
    ("alpha_entropy_up", "mean entropy of alpha, operations that double (nats)"),
    ("alpha_entropy_normal", "mean entropy of alpha, operations that keep the size (nats)"),
    ("normal_skips", "skip connections in the normal cell"),
];
/// Lines that are drawn over the scores of trials, and what they are.
const TRIAL_LINES: [(&str, &str); 2] =
    [("population_mean", "mean of the population"), ("baseline", "baseline of the rewards (moving average)")];

/// Scores of all trials, one area for each method; `None` if no run has trials.
pub fn trials(rows: &[Run]) -> Option<Scene> {
    let few = Few::of(rows);
    let searched: Vec<(&Experiment, &Series)> = few.all().filter(|(_, s)| has_trials(s)).collect();
    if searched.is_empty() {
        return None;
    }
    let mut page = Scene::new("Score of every trial", WIDTH, 0.0);
    let mut top = 10.0;
    for (group, series) in searched.iter().take(OWN_AREAS) {
        top = trial_panel(&mut page, group, series, top);
    }
    let mut notes = vec![
        "Validation scores of briefly trained children in the order of their numbers, all seeds; a trial without a score is not shown. The areas of a data set and preset share their axes.".to_string(),
    ];
    if searched.iter().any(|(_, s)| scores(s).count() > MARKS) {
        notes.push("Where many marks lie close together, some are left out.".into());
    }
    notes.extend(note("areas", OWN_AREAS, searched.len()));
    notes.extend(few.notes.iter().cloned());
    Some(finish(page, top, &notes, 14.0))
}

fn has_trials(series: &Series) -> bool {
    series.rows.iter().any(|r| !r.trials.is_empty())
}

/// Number of a trial, counted from 1, and its score in per cent.
fn scores<'a>(series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
    let trials = series.rows.iter().flat_map(|r| &r.trials);
    trials.filter_map(|t| Some((t.id as f64 + 1.0, 100.0 * t.score.filter(|s| s.is_finite())?)))
}

fn trial_panel(page: &mut Scene, group: &Experiment, series: &Series, top: f64) -> f64 {
    let all = || group.rows().flat_map(|r| &r.trials);
    // The lines of those methods that have trials share the axes.
    let lines = || group.series.iter().filter(|s| has_trials(s)).flat_map(|s| TRIAL_LINES.map(|(key, _)| (s, key)));
    let on_lines = || {
        lines().flat_map(|(s, key)| s.rows.iter().flat_map(|r| &r.points).filter_map(move |p| Some((p.step as f64, *p.extra.get(key)?))))
    };
    let x = Axis::from_zero(all().map(|t| t.id as f64 + 1.0).chain(on_lines().map(|p| p.0)), 1.0);
    let y = Axis::linear(all().filter_map(|t| t.score).chain(on_lines().map(|p| p.1)).map(|v| 100.0 * v), 1.0).within_percent();
    let panel = Panel { frame: wide(top, PLOT_HEIGHT), x, y };
    let title = format!("{}: {}, preset {}", series.name, group.dataset, group.preset);
    let used = panel.axes(page, &title, "trial", &format!("score of the trial ({})", group.unit()));
    let look = series.look();
    let marks: Vec<Point> = scores(series).filter_map(|(x, y)| panel.at(x, y)).collect();
    if marks.is_empty() {
        panel.empty(page, "no trial has a score");
    }
    thin(marks, MARKS).into_iter().for_each(|at| marker(page, look, at, 2.6, false));
    let plain = |words: String, filled, lined| Entry { look, radius: 3.5, filled, lined, words };
    let mut entries = vec![plain(format!("a trial; {}", counted(series.rows.len(), "seed", "seeds")), false, false)];
    for (key, words) in TRIAL_LINES {
        let curves: Vec<Vec<Point>> = series.rows.iter().map(|r| curve(r, key, &panel, 100.0)).filter(|c| c.len() > 1).collect();
        if !curves.is_empty() {
            entries.push(plain(format!("{words}, one line a seed{}", first(curves.len())), true, true));
        }
        draw(page, look, curves, 1.6);
    }
    panel.legend(page, &entries, used)
}

/// What methods report about themselves while they search, one area for each figure; `None` if there is nothing.
pub fn diagnostics(rows: &[Run]) -> Option<Scene> {
    let few = Few::of(rows);
    let mut page = Scene::new("What the searches report about themselves", WIDTH, 0.0);
    let mut areas: Vec<(&Experiment, &str, &str)> = Vec::new();
    for group in &few.groups {
        let keys: BTreeSet<&str> = group.rows().flat_map(|r| &r.points).flat_map(|p| p.extra.keys()).map(String::as_str).collect();
        areas.extend(KNOWN.iter().filter(|(key, _)| keys.contains(key)).map(|(key, label)| (group, *key, *label)));
    }
    if areas.is_empty() {
        return None;
    }
    let mut top = 10.0;
    for (group, key, label) in areas.iter().take(FIGURES) {
        top = figure_panel(&mut page, group, key, label, top);
    }
    let notes: Vec<String> = note("areas", FIGURES, areas.len()).into_iter().chain(few.notes.iter().cloned()).collect();
    Some(finish(page, top, &notes, 10.0))
}

fn figure_panel(page: &mut Scene, group: &Experiment, key: &str, label: &str, top: f64) -> f64 {
    let values = || group.rows().flat_map(|r| &r.points).filter_map(|p| Some((p.step as f64, *p.extra.get(key)?)));
    let panel = Panel {
        frame: wide(top, PLOT_HEIGHT),
        x: Axis::from_zero(values().map(|(step, _)| step), 1.0),
        y: Axis::linear(values().map(|(_, v)| v), 0.1),
    };
    let title = format!("{label}: {}, preset {}", group.dataset, group.preset);
    let used = panel.axes(page, &title, "trials, or steps of the search", short(label));
    if values().all(|(_, v)| !v.is_finite()) {
        panel.empty(page, "no finite value was recorded");
    }
    let mut entries = Vec::new();
    for series in &group.series {
        let look = series.look();
        let curves: Vec<Vec<Point>> = series.rows.iter().flat_map(|r| parts(r, key, &panel)).collect();
        if curves.is_empty() {
            continue;
        }
        let words = format!("{}, {}{}", series.label(), counted(curves.len(), "search", "searches"), first(curves.len()));
        entries.push(Entry { look, radius: 4.0, filled: true, lined: true, words });
        draw(page, look, curves, 1.4);
    }
    panel.legend(page, &entries, used)
}

/// The first curves, each with a mark at its end.
fn draw(page: &mut Scene, look: Look, curves: Vec<Vec<Point>>, width: f64) {
    for path in curves.into_iter().take(CURVES) {
        let end = path[path.len() - 1];
        page.line(condense(&path), width, look.colour);
        marker(page, look, end, 3.5, true);
    }
}

/// Says that not all curves are drawn, if so.
fn first(curves: usize) -> String {
    if curves > CURVES { format!(" (the first {CURVES} drawn)") } else { String::new() }
}

fn counted(n: usize, one: &str, more: &str) -> String {
    format!("{} {}", show_count(n as u64), if n == 1 { one } else { more })
}

/// What stands before the first "of": an upright axis has little room.
fn short(label: &str) -> &str {
    label.split_once(" of ").map_or(label, |(first, _)| first)
}

fn curve(row: &Run, key: &str, panel: &Panel, scale: f64) -> Vec<Point> {
    row.points.iter().filter_map(|p| panel.at(p.step as f64, scale * p.extra.get(key)?)).collect()
}

/// One curve for each of a run's several searches.
fn parts(row: &Run, key: &str, panel: &Panel) -> Vec<Vec<Point>> {
    let numbers: BTreeSet<u64> = row.points.iter().map(|p| p.part).collect();
    let of = |part: u64| row.points.iter().filter(|p| p.part == part).filter_map(|p| panel.at(p.step as f64, *p.extra.get(key)?)).collect();
    numbers.into_iter().map(of).filter(|c: &Vec<Point>| !c.is_empty()).collect()
}

/// One area for each kind of pair; `None` if no group has five of them.
pub fn predicted(pairs: &[Pairs]) -> Option<Scene> {
    let drawn: Vec<&Pairs> = pairs.iter().filter(|p| p.scores && p.values.len() >= LEAST).collect();
    if drawn.is_empty() {
        return None;
    }
    let mut page = Scene::new("Early against late scores", WIDTH, 0.0);
    let mut top = 10.0;
    for two in drawn[..drawn.len().min(OWN_AREAS)].chunks(2) {
        let below = two.iter().enumerate().map(|(column, p)| pairs_area(&mut page, p, column, top));
        top = below.fold(top, f64::max);
    }
    let mut notes =
        vec!["All seeds together. The numbers in brackets are the 95 % bootstrap interval of Pearson's coefficient.".to_string()];
    if drawn.iter().any(|p| p.values.len() > MARKS) {
        notes.push("Where many marks lie close together, some are left out.".into());
    }
    notes.extend(note("areas", OWN_AREAS, drawn.len()));
    Some(finish(page, top, &notes, 14.0))
}

fn pairs_area(page: &mut Scene, p: &Pairs, column: usize, top: f64) -> f64 {
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
