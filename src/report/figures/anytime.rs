//! Best search score so far against device time: how good the answer would have been at any time.

use super::few::Few;
use super::series::{Experiment, Series, unit};
use super::{Drawn, Figure};
use crate::plot::{About, Axis, Entry, Panel, Paper, marker};
use crate::record::Phase;
use crate::report::load::Run;
use crate::units::show_count;
use std::collections::{BTreeMap, BTreeSet};

/// Points of a median and its band.
const POINTS: usize = 80;
/// From so many seeds on there is a median and a band, not a line per seed.
const BAND: usize = 3;
/// Bands of a panel; of more series there are medians alone.
const BANDS: usize = 4;
/// Searches that differ more in time share a logarithmic axis.
const APART: f64 = 3.0;

/// One panel per data set, preset, device and kind of search score.
pub fn anytime(few: &Few, cells: &BTreeMap<String, String>, paper: Paper) -> Figure {
    let mut drawn = Vec::new();
    for group in &few.groups {
        let kinds: BTreeSet<&str> = group.series.iter().flat_map(|s| curves(s).map(|(_, kind)| kind)).collect();
        drawn.extend(kinds.into_iter().map(|kind| area(group, kind, cells, paper)));
    }
    let mut notes: Vec<String> = [
        "Search scores are scores on validation images while searching, not final scores. Each panel has one kind of score; the kinds cannot be compared, and how long \
         children are trained differs between methods too: compare a search with its own control.",
        "A curve is the running maximum: of the scores of trials, or of what a search with shared weights reports after each epoch; it ends with the candidates that the search \
         returned. From three seeds on: the median over seeds, with a band from the least to the greatest in panels of up to four groups.",
        "Dots at the end: the search score of the architecture that was selected, one per seed, as in the table. It is below the curve where selection did not choose the best.",
    ]
    .map(String::from)
    .into();
    notes.extend(few.missing("No curve", |r| curve(r).is_empty().then(|| "no search score was recorded".to_string())));
    Figure::new("anytime", "Best search score so far against device time", drawn, few.with(notes))
}

/// Seconds and the best score in per cent.
type Curve = Vec<(f64, f64)>;

/// That of a run, with the candidates that the search returned.
fn curve(run: &Run) -> Curve {
    let mut points: Curve = run.curve.iter().map(|p| (p.seconds, 100.0 * p.best)).collect();
    let found = run.finding.iter().flat_map(|f| &f.candidates).filter_map(|c| c.search_score).filter(|s| s.is_finite());
    let (last, best) = (points.last().copied(), found.map(|s| 100.0 * s).reduce(f64::max));
    let end = run.seconds(Phase::Search).filter(|s| s.is_finite());
    if let (Some((seconds, height)), Some(best)) = (last, best) {
        points.push((end.unwrap_or(seconds).max(seconds), height.max(best)));
    }
    points
}

/// Runs with a curve and the kind of their scores.
fn curves<'a>(series: &'a Series<'a>) -> impl Iterator<Item = (&'a Run, &'a str)> {
    let kind = |r: &'a Run| r.result.as_ref().map_or("", |result| &*result.search_score_kind);
    series.rows.iter().filter(|r| !curve(r).is_empty()).map(move |r| (*r, kind(r)))
}

/// Value of a curve at a time: what was best until then.
fn at(curve: &[(f64, f64)], seconds: f64) -> Option<f64> {
    curve.iter().take_while(|p| p.0 <= seconds).last().map(|p| p.1)
}

fn area(group: &Experiment, kind: &str, cells: &BTreeMap<String, String>, paper: Paper) -> Drawn {
    let of = |s: &Series| curves(s).filter(|(_, k)| *k == kind).map(|(r, _)| curve(r)).collect::<Vec<Curve>>();
    let shown: Vec<(&Series, Vec<Curve>)> = group.series.iter().map(|s| (s, of(s))).filter(|(_, curves)| !curves.is_empty()).collect();
    let all = || shown.iter().flat_map(|(_, curves)| curves.iter().flatten());
    let selected = || shown.iter().flat_map(|(s, _)| s.rows.iter()).filter_map(|r| r.result.as_ref()?.search_score);
    let ends: Vec<f64> = shown.iter().flat_map(|(_, curves)| curves.iter().filter_map(|c| Some(c.last()?.0))).collect();
    let (shortest, longest) = ends.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(*v), h.max(*v)));
    let ((scale, unit), log) = (unit(longest), longest > APART * shortest);
    let times = all().map(|p| p.0 / scale).filter(|t| !log || *t > 0.0);
    let x = if log { Axis::log(times) } else { Axis::from_zero(times, 1e-3) };
    let y = Axis::percent(all().map(|p| p.1).chain(selected().map(|s| 100.0 * s)));
    let label = format!("device time of the search, {unit} {}{}", group.device(), if log { ", log scale" } else { "" });
    let mut panel = Panel::new(
        paper,
        0.62,
        x,
        y,
        [&group.title("Anytime curves"), &label, &format!("{}, best so far (%)", kind.replace("dice", "Dice"))],
    );
    let mut results = Vec::new();
    for (series, curves) in &shown {
        draw(&mut panel, series, (curves, shown.len() <= BANDS), scale, cells);
        let n = curves.len();
        let end = curves.iter().filter_map(|c| c.last()).map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        results.push(format!("{} up to {end:.1} %", series.name));
        panel.entries.push(Entry {
            lined: true,
            ..Entry::of(&series.name, series.look(), format!("{}, n = {}", panel.cut(&series.name), show_count(n as u64)))
        });
    }
    let title = format!("Best {kind} so far against device time on {}, preset {}: {}", group.dataset, group.preset, results.join(", "));
    (format!("{}-{}-{kind}", group.dataset, group.preset), panel, title)
}

fn draw(panel: &mut Panel, series: &Series, (paths, bands): (&[Curve], bool), scale: f64, cells: &BTreeMap<String, String>) {
    let (look, from) = (series.look(), panel.drawn());
    if paths.len() < BAND {
        paths.iter().for_each(|path| panel.path(look, steps(path, scale), 1.4));
    } else {
        // From the moment at which all have a score.
        let begin = paths.iter().filter_map(|p| p.first()).map(|p| p.0).fold(0.0, f64::max);
        let mut times: Vec<f64> = paths.iter().flat_map(|p| p.iter().map(|q| q.0)).filter(|t| *t >= begin).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let step = times.len().div_ceil(POINTS).max(1);
        let last = times.last().copied();
        let times = times.into_iter().step_by(step).chain(last.filter(|_| step > 1));
        let mut lines: [Curve; 3] = Default::default();
        for time in times {
            let mut values: Vec<f64> = paths.iter().filter_map(|p| at(p, time)).collect();
            values.sort_by(f64::total_cmp);
            let n = values.len();
            let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
            for (line, value) in lines.iter_mut().zip([values[0], median, values[n - 1]]) {
                line.push((time, value));
            }
        }
        let [low, middle, high] = lines.map(|line| steps(&line, scale));
        if bands {
            panel.band((look.colour, 0.15), &low, &high);
        }
        let (end, radius) = (middle.last().and_then(|p| panel.at(*p)), panel.of(4.0));
        panel.path(look, middle, 2.0);
        end.into_iter().for_each(|at| marker(&mut panel.scene, look, at, radius, true));
    }
    panel.group(from, About::series(&series.name));
    for run in &series.rows {
        let (Some(end), Some(score)) = (curve(run).last().copied(), run.result.as_ref().and_then(|r| r.search_score)) else { continue };
        let from = panel.drawn();
        panel.at((end.0 / scale, 100.0 * score)).into_iter().for_each(|at| panel.dot(at, look.colour));
        let tip = format!("{}: selected architecture {:.2} %, best seen {:.2} %, run {}", series.run(run), 100.0 * score, end.1, run.name);
        panel.group(from, About { cell: cells.get(&run.name).cloned().unwrap_or_default(), ..About::tip(&series.name, tip) });
    }
}

/// The curve as steps: the score holds until a better one is found.
fn steps(curve: &[(f64, f64)], scale: f64) -> Curve {
    let mut path: Curve = Vec::new();
    for (seconds, height) in curve.iter().map(|(x, y)| (x / scale, *y)) {
        if let [.., before, last] = path[..]
            && before.1 == last.1
            && last.1 == height
        {
            path.pop();
        }
        path.extend(path.last().copied().filter(|last| last.1 != height).map(|last| (seconds, last.1)));
        path.push((seconds, height));
    }
    path
}
