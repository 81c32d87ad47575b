//! How a search went: the score of every trial, the figures that methods report about themselves, and what early scores say about later ones.

use super::few::Few;
use super::series::{Experiment, Series};
use super::{Drawn, Figure};
use crate::plot::{About, Axis, Entry, Look, NEUTRAL, Panel, Paper, marker};
use crate::report::load::Run;
use crate::report::proxies::{Pairs, Sample, coefficient};
use crate::units::show_count;
use std::collections::BTreeSet;

/// Seeds that are told apart in a panel: as many as there are shapes.
const SEEDS: usize = 8;
/// Pairs below which nothing is drawn: fewer show nothing.
const LEAST: usize = 5;
/// A figure that stays within this share of its value is flat.
const FLAT: f64 = 0.01;

/// Figures that have a panel of their own: title, and label of the axis with its unit.
const KNOWN: [(&str, &str, &str); 7] = [
    ("controller_entropy", "Entropy of the controller's decisions", "mean entropy (nats)"),
    ("baseline", "Baseline of the rewards", "moving average of the rewards"),
    ("alpha_entropy", "Entropy of alpha", "mean entropy (nats)"),
    ("alpha_entropy_down", "Entropy of alpha, down-sampling operations", "mean entropy (nats)"),
    ("alpha_entropy_up", "Entropy of alpha, up-sampling operations", "mean entropy (nats)"),
    ("alpha_entropy_normal", "Entropy of alpha, operations that keep the size", "mean entropy (nats)"),
    ("normal_skips", "Skip connections in the normal cell", "number of edges"),
];
/// Lines that are drawn over the scores of trials, and what they are.
const TRIAL_LINES: [(&str, &str); 2] =
    [("population_mean", "mean of the population"), ("baseline", "baseline of the rewards (moving average)")];

/// Scores of all trials, one panel per method; `None` if no run has trials.
pub fn trials(few: &Few, paper: Paper) -> Option<Figure> {
    let drawn: Vec<Drawn> = few.all().filter(|(_, s)| has_trials(s)).map(|(group, series)| trial_panel(group, series, paper)).collect();
    let note = "Validation scores of briefly trained children in the order of their numbers, which are those of the tables and begin at 0. A trial without a score is not shown. \
                The panels of a data set and preset share their axes.";
    (!drawn.is_empty()).then(|| Figure::new("trials", "Score of every trial", drawn, few.with(vec![note.into()])))
}

fn has_trials(series: &Series) -> bool {
    series.rows.iter().any(|r| !r.trials.is_empty())
}

/// What a run reported under this name in one of its searches: steps and values.
fn reported<'a>(run: &'a Run, key: &'a str, part: u64) -> impl Iterator<Item = (f64, f64)> + 'a {
    run.points.iter().filter(move |p| p.part == part).filter_map(move |p| Some((p.step as f64, *p.extra.get(key)?)))
}

/// The searches of a run, by number.
fn parts(run: &Run) -> BTreeSet<u64> {
    run.points.iter().map(|p| p.part).collect()
}

fn trial_panel(group: &Experiment, series: &Series, paper: Paper) -> Drawn {
    // Number of a trial, as in the tables, and its score in per cent.
    let scores =
        |r: &Run| r.trials.iter().filter_map(|t| Some((t.id as f64, 100.0 * t.score.filter(|s| s.is_finite())?))).collect::<Vec<_>>();
    // Reported after the trial that was the last of so many steps.
    let line = |r: &Run, key| reported(r, key, 0).map(|(steps, score)| (steps - 1.0, 100.0 * score)).collect::<Vec<_>>();
    // The lines of those methods that have trials share the axes.
    let searched = || group.series.iter().filter(|s| has_trials(s)).flat_map(|s| &s.rows);
    let all: Vec<(f64, f64)> =
        searched().flat_map(|r| [scores(r), line(r, TRIAL_LINES[0].0), line(r, TRIAL_LINES[1].0)].concat()).collect();
    let (x, y) = (Axis::from_zero(all.iter().map(|p| p.0), 1.0), Axis::percent(all.iter().map(|p| p.1)));
    let titles = [&*group.title(&series.name), "number of the trial", &format!("score of the trial ({})", group.unit())];
    let mut panel = Panel::new(paper, 0.55, x, y, titles);
    let mut best = Vec::new();
    for (i, run) in series.rows.iter().take(SEEDS).enumerate() {
        let (look, from) = (series.look().other(i), panel.drawn());
        TRIAL_LINES.iter().for_each(|(key, _)| panel.path(look, line(run, key), 1.2));
        panel.marks(look, scores(run).into_iter(), 3.0, false);
        let top = scores(run).into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let words = top.map_or_else(|| "none has a score".into(), |(id, score)| format!("best {score:.2} % (trial {id})"));
        panel.group(from, About::tip(&series.name, format!("{}: {} trials, {words}, run {}", series.run(run), run.trials.len(), run.name)));
        best.push(format!("seed {}: {words}", run.seed().unwrap_or_default()));
        panel.entries.push(Entry { filled: false, ..Entry::of(&series.name, look, format!("seed {}", run.seed().unwrap_or_default())) });
    }
    if series.rows.iter().all(|r| scores(r).is_empty()) {
        panel.empty("no trial has a score");
    }
    if series.rows.len() > SEEDS {
        panel.entries.push(Entry::note(NEUTRAL, format!("{} seeds (the first {SEEDS} drawn)", show_count(series.rows.len() as u64))));
    }
    for (_, words) in TRIAL_LINES.iter().filter(|(key, _)| series.rows.iter().any(|r| line(r, key).len() > 1)) {
        panel.entries.push(Entry::line(&series.name, series.look(), *words));
    }
    let name = format!("{}-{}-{}", group.dataset, group.preset, series.name);
    (name, panel, format!("Score of every trial of {} on {}, preset {}: {}", series.name, group.dataset, group.preset, best.join("; ")))
}

/// What methods report about themselves while they search, one panel per method and figure; `None` if there is nothing. Flat ones are named in the notes.
pub fn diagnostics(few: &Few, paper: Paper) -> Option<Figure> {
    let (mut drawn, mut flat) = (Vec::new(), Vec::new());
    for (group, series) in few.all() {
        for known in &KNOWN {
            let all = || series.rows.iter().flat_map(|r| parts(r).into_iter().flat_map(|part| reported(r, known.0, part)));
            let (low, high) =
                all().filter(|p| p.1.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p.1), h.max(p.1)));
            if low > high {
                continue;
            }
            if high - low <= FLAT * high.abs().max(low.abs()) {
                flat.push(format!("{}: {} stays at {high:.2}", series.name, known.1.to_lowercase()));
            } else {
                drawn.push(diagnostic(group, series, known, paper));
            }
        }
    }
    let note = (!flat.is_empty()).then(|| format!("Not drawn, since nothing changes by more than 1 %: {}.", flat.join("; ")));
    (!drawn.is_empty() || note.is_some())
        .then(|| Figure::new("diagnostics", "What the searches report about themselves", drawn, few.with(note.into_iter().collect())))
}

fn diagnostic(group: &Experiment, series: &Series, (key, title, label): &(&str, &str, &str), paper: Paper) -> Drawn {
    let curves: Vec<(&Run, Vec<(f64, f64)>)> =
        series.rows.iter().take(SEEDS).flat_map(|r| parts(r).into_iter().map(|part| (*r, reported(r, key, part).collect()))).collect();
    let values = || curves.iter().flat_map(|(_, c)| c.iter().copied());
    // Before its first step a search by gradient mixes all operations alike: the entropy is the logarithm of their number.
    let first = values().find(|_| key.starts_with("alpha")).map(|p| p.1);
    let most = first.map(|e| (e, e.exp().round())).filter(|(e, n)| *n > 1.0 && (e - n.ln()).abs() < 1e-2).map(|(_, n)| n);
    let counts = *key == "normal_skips";
    let heights = values().map(|v| v.1).chain(most.map(f64::ln));
    let y = if counts { Axis::counts(heights) } else { Axis::linear(heights, 0.1) };
    let across = if has_trials(series) { "trials done" } else { "steps of the search" };
    let mut panel =
        Panel::new(paper, 0.55, Axis::from_zero(values().map(|v| v.0), 1.0), y, [&format!("{title}: {}", series.name), across, label]);
    most.into_iter().for_each(|n| panel.reference(NEUTRAL, n.ln(), &format!("ln {n}, the largest entropy of {n} operations")));
    let look = series.look();
    for (run, curve) in &curves {
        let from = panel.drawn();
        let level = |pair: &[(f64, f64)]| [pair[0], (pair[1].0, pair[0].1), pair[1]];
        let path = if counts { curve.windows(2).flat_map(level).collect() } else { curve.clone() };
        panel.path(look, path, 1.4);
        let (radius, end) = (panel.of(3.5), curve.last().and_then(|p| panel.at(*p)));
        end.into_iter().for_each(|at| marker(&mut panel.scene, look, at, radius, true));
        let last = curve.last().map_or(f64::NAN, |p| p.1);
        panel.group(from, About::tip(&series.name, format!("{}: {label} {last:.3} at the end, run {}", series.run(run), run.name)));
    }
    let more = if series.rows.len() > SEEDS { format!(" (the first {SEEDS} drawn)") } else { String::new() };
    let words = format!("one line per search, {} seeds{more}", show_count(series.rows.len() as u64));
    panel.entries.push(Entry { lined: true, ..Entry::of(&series.name, look, words) });
    let ends: Vec<String> = curves.iter().filter_map(|(_, c)| Some(format!("{:.2}", c.last()?.1))).collect();
    let words = format!("{title} of {} on {}, preset {}: {} at the end", series.name, group.dataset, group.preset, ends.join(", "));
    (format!("{}-{}-{}-{title}", group.dataset, group.preset, series.name), panel, words)
}

/// One panel per kind of pair; `None` if no seed has five of them.
pub fn early_late(pairs: &[Pairs], paper: Paper) -> Option<Figure> {
    let drawn: Vec<Drawn> = pairs
        .iter()
        .filter(|p| p.scores && p.samples.iter().any(|s| s.values.len() >= LEAST))
        .map(|p| pairs_panel(p, pairs, paper))
        .collect();
    let notes = vec![
        "Each seed has marks and a coefficient of its own. Brackets: 95 % bootstrap interval of Pearson's coefficient over the pairs of one seed or, of a mean, Student's interval over \
         three seeds or more. Fewer than five pairs have no coefficient. The top half is the half of a seed's networks with the best late scores."
            .to_string(),
        "Filled marks: the architecture that was selected, where it is among them. Panels of a method share their x axis. Dashed line: both scores are equal.".into(),
    ];
    (!drawn.is_empty()).then(|| Figure::new("early-late", "Early against late scores", drawn, notes))
}

fn percents(sample: &Sample) -> impl Iterator<Item = (f64, f64)> {
    sample.values.iter().map(|(x, y)| (100.0 * x, 100.0 * y))
}

fn pairs_panel(p: &Pairs, all: &[Pairs], paper: Paper) -> Drawn {
    let drawn = |p: &Pairs| p.samples.iter().take(SEEDS).flat_map(percents).collect::<Vec<_>>();
    // All early scores of a method of the same kind of target are on one scale.
    let beside = all.iter().filter(|q| q.scores && std::ptr::eq(q.series, p.series) && q.target == p.target);
    let (xs, ys): (Vec<f64>, Vec<f64>) = (beside.flat_map(drawn).map(|v| v.0).collect(), drawn(p).into_iter().map(|v| v.1).collect());
    let [across, up] = [p.proxy.as_str(), p.target].map(|score| format!("{score} ({})", p.experiment.unit()));
    let title = format!("{}: {} and {}", p.experiment.title(&p.series.name), p.proxy, p.target);
    let (x, y) = (Axis::percent(xs.iter().copied()), Axis::percent(ys.iter().copied()));
    let mut panel = Panel::new(paper, 0.8, x, y, [&title, &across, &up]);
    let least = xs.iter().chain(&ys).copied().fold(f64::INFINITY, f64::min);
    let look = Look { dashed: true, ..NEUTRAL };
    // Only that part of the line that is within both axes.
    let steps = (0..=200).map(|i| least + (100.4 - least) / 200.0 * f64::from(i));
    let line: Vec<(f64, f64)> = steps.map(|v| (v, v)).filter(|v| panel.at(*v).is_some()).collect();
    let ends: Vec<(f64, f64)> = line.first().into_iter().chain(line.last()).copied().collect();
    panel.path(look, ends, 1.0);
    for (i, sample) in p.samples.iter().take(SEEDS).enumerate() {
        let (look, from) = (p.series.look().other(i), panel.drawn());
        panel.marks(look, percents(sample), 3.2, false);
        if let Some(at) = selected(p, sample).and_then(|at| panel.at(at)) {
            let radius = panel.of(4.0);
            marker(&mut panel.scene, look, at, radius, true);
        }
        let seed = sample.seed.map_or_else(|| "seeds".to_string(), |seed| format!("seed {seed}"));
        let words = format!("{seed}: n = {}, {}", sample.values.len(), pearson(sample));
        panel.group(from, About::tip(&p.series.name, format!("{}, {words}", p.series.name)));
        panel.entries.push(Entry { filled: false, ..Entry::of(&p.series.name, look, words) });
    }
    if let Some(mean) = &p.mean {
        let more = if p.samples.len() > SEEDS { format!(" (the first {SEEDS} drawn)") } else { String::new() };
        panel.entries.push(Entry::note(NEUTRAL, format!("mean over {} seeds{more}: {}", p.samples.len(), pearson(mean))));
    }
    if let [Some(all), Some(top)] = p.reported
        && let (Some(of_all), Some(of_top)) = (all.value, top.value)
    {
        let words = format!("paper, {}: Pearson {of_all:.2}, of the 50 best of 100 {of_top:.2}", all.dataset);
        panel.entries.push(Entry::note(NEUTRAL, words));
    }
    let result = p.mean.as_ref().or(p.samples.first()).map_or_else(String::new, pearson);
    (
        format!("{}-{}-{}-{}-{}", p.experiment.dataset, p.experiment.preset, p.series.name, p.proxy, p.target),
        panel,
        format!("{title}: {result}"),
    )
}

/// The pair of the architecture that a run selected: it has the scores of the run's result.
fn selected(p: &Pairs, sample: &Sample) -> Option<(f64, f64)> {
    let run = p.series.rows.iter().find(|r| sample.seed.is_some() && r.seed() == sample.seed)?;
    let result = run.result.as_ref()?;
    let late = if p.target == "selection score" { result.select_score } else { result.search_score }?;
    percents(sample).find(|v| v.1 == 100.0 * late)
}

/// Pearson's coefficient, and that of the top half, if there is one.
fn pearson(of: &Sample) -> String {
    let half = if of.top.value.is_some() { format!(", of the top half {}", coefficient(of.top)) } else { String::new() };
    format!("Pearson {}{half}", coefficient(of.all.pearson)).replace('-', "\u{2212}")
}
