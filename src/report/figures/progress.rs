//! How a search went: the score of every trial, the figures that methods report about themselves, and what early scores say about later ones.

use super::axis::Axis;
use super::few::Few;
use super::panel::{Entry, Panel, SQUARE, WIDE, page};
use super::scene::{Point, Scene};
use super::series::{Experiment, Series};
use crate::report::load::Run;
use crate::report::proxies::{Pairs, Sample, coefficient};
use crate::units::show_count;
use std::collections::BTreeSet;

/// Curves of a group in an area.
const CURVES: usize = 12;
/// Pairs below which nothing is drawn: fewer show nothing.
const LEAST: usize = 5;
/// Seeds whose pairs are drawn in an area: as many as there are shapes.
const SEEDS: usize = 8;

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
    let note = "Validation scores of briefly trained children in the order of their numbers, all seeds; a trial without a score is not shown. The areas of a data set and preset share their axes.";
    let draw = |(group, series): &(&Experiment, &Series)| trial_panel(group, series);
    (!searched.is_empty()).then(|| page("Score of every trial", 1, &searched, draw, few.with(vec![note.into()])))
}

fn has_trials(series: &Series) -> bool {
    series.rows.iter().any(|r| !r.trials.is_empty())
}

/// What a run reported under this name: steps and values.
fn reported<'a>(run: &'a Run, key: &'a str) -> impl Iterator<Item = (f64, f64)> + 'a {
    run.points.iter().filter_map(move |p| Some((p.step as f64, *p.extra.get(key)?)))
}

fn trial_panel(group: &Experiment, series: &Series) -> Panel {
    // Number of a trial, as in the tables, and its score in per cent.
    let scores = |r: &Run| r.trials.iter().filter_map(|t| Some((t.id as f64, 100.0 * t.score?))).collect::<Vec<_>>();
    // Reported after the trial that was the last of so many steps.
    let line = |r: &Run, key| reported(r, key).map(|(steps, score)| (steps - 1.0, 100.0 * score)).collect::<Vec<_>>();
    // The lines of those methods that have trials share the axes.
    let searched = || group.series.iter().filter(|s| has_trials(s)).flat_map(|s| &s.rows);
    let all: Vec<(f64, f64)> =
        searched().flat_map(|r| [scores(r), line(r, TRIAL_LINES[0].0), line(r, TRIAL_LINES[1].0)].concat()).collect();
    let (x, y) = (Axis::from_zero(all.iter().map(|p| p.0), 1.0), Axis::percent(all.iter().map(|p| p.1)));
    let mut panel = Panel::new(WIDE, x, y, [&group.title(&series.name), "trial", &format!("score of the trial ({})", group.unit())]);
    let look = series.look();
    if !panel.marks(look, series.rows.iter().flat_map(|r| scores(r)), 2.6, false) {
        panel.empty("no trial has a score");
    }
    let entry = |words: String, lined| Entry { look, radius: 3.5, filled: lined, lined, words };
    panel.entries.push(entry(format!("a trial; {}", counted(series.rows.len(), "seed", "seeds")), false));
    for (key, words) in TRIAL_LINES {
        let curves = series.rows.iter().map(|r| line(r, key).into_iter().filter_map(|p| panel.at(p)).collect());
        let curves: Vec<Vec<Point>> = curves.filter(|c: &Vec<Point>| c.len() > 1).collect();
        if !curves.is_empty() {
            let more = panel.curves(look, curves, CURVES);
            panel.entries.push(entry(format!("{words}, one line a seed{more}"), true));
        }
    }
    panel
}

/// What methods report about themselves while they search, one area for each figure; `None` if there is nothing.
pub fn diagnostics(rows: &[Run]) -> Option<Scene> {
    let few = Few::of(rows);
    let mut areas: Vec<(&Experiment, &str, &str)> = Vec::new();
    for group in &few.groups {
        let known = KNOWN.iter().filter(|(key, _)| group.rows().any(|r| reported(r, key).next().is_some()));
        areas.extend(known.map(|(key, label)| (group, *key, *label)));
    }
    (!areas.is_empty()).then(|| page("What the searches report about themselves", 1, &areas, figure_panel, few.with(Vec::new())))
}

fn figure_panel((group, key, label): &(&Experiment, &str, &str)) -> Panel {
    let values = || group.rows().flat_map(|r| reported(r, key));
    let (x, y) = (Axis::from_zero(values().map(|v| v.0), 1.0), Axis::linear(values().map(|v| v.1), 0.1));
    // An upright axis has little room.
    let short = label.split_once(" of ").map_or(*label, |(first, _)| first);
    let mut panel = Panel::new(WIDE, x, y, [&group.title(label), "trials, or steps of the search", short]);
    if values().all(|(_, v)| !v.is_finite()) {
        panel.empty("no finite value was recorded");
    }
    for series in &group.series {
        let curves: Vec<Vec<Point>> = series.rows.iter().flat_map(|r| parts(r, key, &panel)).collect();
        if !curves.is_empty() {
            let searches = counted(curves.len(), "search", "searches");
            let words = format!("{}, {searches}{}", series.label(), panel.curves(series.look(), curves, CURVES));
            panel.entries.push(Entry { look: series.look(), radius: 4.0, filled: true, lined: true, words });
        }
    }
    panel
}

fn counted(n: usize, one: &str, more: &str) -> String {
    format!("{} {}", show_count(n as u64), if n == 1 { one } else { more })
}

/// One curve for each of a run's several searches.
fn parts(row: &Run, key: &str, panel: &Panel) -> Vec<Vec<Point>> {
    let numbers: BTreeSet<u64> = row.points.iter().map(|p| p.part).collect();
    let points = |part| row.points.iter().filter(move |p| p.part == part);
    let of = |part| points(part).filter_map(|p| panel.at((p.step as f64, *p.extra.get(key)?))).collect();
    numbers.into_iter().map(of).filter(|c: &Vec<Point>| !c.is_empty()).collect()
}

/// One area for each kind of pair; `None` if no seed has five of them.
pub fn predicted(pairs: &[Pairs]) -> Option<Scene> {
    let drawn: Vec<&Pairs> = pairs.iter().filter(|p| p.scores && p.samples.iter().any(|s| s.values.len() >= LEAST)).collect();
    let note = "Each seed has marks and a coefficient of its own. The numbers in brackets are the 95 % bootstrap interval of Pearson's coefficient, over the pairs of one seed or, of a \
                mean, over three seeds or more. The top half is the half of a seed's networks with the best late scores.";
    (!drawn.is_empty()).then(|| page("Early against late scores", 2, &drawn, |p| pairs_area(p), vec![note.into()]))
}

fn pairs_area(p: &Pairs) -> Panel {
    let percent = |s: &Sample| s.values.iter().map(|(x, y)| (100.0 * x, 100.0 * y)).collect::<Vec<_>>();
    let all: Vec<(f64, f64)> = p.samples.iter().take(SEEDS).flat_map(percent).collect();
    let [across, up] = [p.proxy.as_str(), p.target].map(|score| format!("{score} ({})", p.experiment.unit()));
    let title = p.experiment.title(&p.series.name);
    let axes = (Axis::percent(all.iter().map(|v| v.0)), Axis::percent(all.iter().map(|v| v.1)));
    let mut panel = Panel::new(SQUARE, axes.0, axes.1, [&title, &across, &up]);
    let base = p.series.look();
    let entry = |look, radius, words| Entry { look, radius, filled: false, lined: false, words };
    for (i, sample) in p.samples.iter().take(SEEDS).enumerate() {
        panel.marks(base.other(i), percent(sample).into_iter(), 3.0, false);
        let seed = sample.seed.map_or_else(String::new, |seed| format!("seed {seed}: "));
        let words = format!("{seed}n = {}, {}", sample.values.len(), pearson(sample));
        panel.entries.push(entry(base.other(i), 4.0, words));
    }
    if let Some(mean) = &p.mean {
        let more = if p.samples.len() > SEEDS { format!(" (the first {SEEDS} drawn)") } else { String::new() };
        panel.entries.push(entry(base, 0.0, format!("mean over {} seeds{more}: {}", p.samples.len(), pearson(mean))));
    }
    if let [Some(all), Some(top)] = p.reported
        && let (Some(of_all), Some(of_top)) = (all.value, top.value)
    {
        let words = format!("paper, {}: Pearson {of_all:.2}, of the 50 best of 100 {of_top:.2}", all.dataset);
        panel.entries.push(entry(base, 0.0, words));
    }
    panel
}

/// Pearson's coefficient, and that of the top half, if there is one.
fn pearson(of: &Sample) -> String {
    let half = if of.top.value.is_some() { format!(", of the top half {}", coefficient(of.top)) } else { String::new() };
    format!("Pearson {}{half}", coefficient(of.all.pearson))
}
