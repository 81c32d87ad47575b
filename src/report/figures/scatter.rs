//! Test score against some quantity: what was measured here, and beside it, on axes of its own, what the papers reported.

use super::few::Few;
use super::reported::reported;
use super::series::{Experiment, Series, unit};
use super::{Drawn, Figure, Material};
use crate::plot::{About, Axis, Entry, NEUTRAL, Panel, Paper, draw_front, front, marker};
use crate::record::{Phase, Role};
use crate::report::claims::Claim;
use crate::report::frame::metric_name;
use crate::report::load::Run;
use crate::statistics::inference::{Interval, mean_interval};
use crate::statistics::mean;
use crate::units::show_count;
use std::collections::BTreeMap;

/// What runs across, on a logarithmic axis; less of it is better.
pub struct Across {
    /// Of the file: of accuracies, and of masks.
    files: [&'static str; 2],
    /// What it is, within a sentence.
    pub name: &'static str,
    /// Seconds, or a number.
    of_run: fn(&Run) -> Option<f64>,
    /// It is a cost in seconds.
    cost: bool,
    /// What papers reported of it, if they do.
    pub of_claim: fn(&Claim) -> Option<f64>,
    /// Label of the axis of the claims, and the unit.
    pub claim_label: [&'static str; 2],
    /// What less of it is called, such as `cheaper`.
    pub less: &'static str,
    /// What a reader must know.
    note: &'static str,
}

pub const ACROSS: [Across; 3] = [
    Across {
        files: ["accuracy-cost", "dice-cost"],
        name: "search cost",
        // The training of a given architecture searches nothing; what its record has there is the time between two readings of a clock.
        of_run: |run| if run.manifest.as_ref()?.declaration.role == Role::Training { Some(0.0) } else { run.cost(Some(Phase::Search)) },
        cost: true,
        of_claim: |claim| claim.gpu_days,
        claim_label: ["search cost as reported, GPU-days of the papers' own cards, log scale", "GPU-days of search"],
        less: "cheaper",
        note: "Cost is that of the search alone; the next figure has the total of all phases.",
    },
    Across {
        files: ["accuracy-total-cost", "dice-total-cost"],
        name: "total cost",
        of_run: |run| run.cost(None),
        cost: true,
        of_claim: |_| None,
        claim_label: [""; 2],
        less: "cheaper",
        note: "Total cost is that of all phases: search, selection, retraining, test and what was spent between them. Papers report the cost of the search alone, so this figure has no reported panel.",
    },
    Across {
        files: ["accuracy-parameters", "dice-parameters"],
        name: "number of weights",
        of_run: |run| run.result.as_ref().map(|r| r.parameters as f64),
        cost: false,
        // Claims count in millions.
        of_claim: |claim| claim.params.map(|millions| 1e6 * millions),
        claim_label: ["weights as reported, log scale", "weights"],
        less: "smaller",
        note: "Weights are those of the retrained network without its auxiliary head. Presets shrink the networks, and the papers' networks are for other data.",
    },
];

/// Test score against cost and size: accuracies beside the papers' claims on CIFAR-10, then the overlap of masks.
pub fn figures(of: &Material, few: &Few, paper: Paper) -> Vec<Figure> {
    let mut all = Vec::new();
    for masks in [false, true] {
        let groups: Vec<&Experiment> = few.groups.iter().filter(|g| g.of_segmentation() == masks).collect();
        if !(masks && groups.is_empty()) {
            all.extend(ACROSS.iter().map(|across| figure(of, few, &groups, across, masks, paper)));
        }
    }
    all
}

fn figure(of: &Material, few: &Few, groups: &[&Experiment], across: &Across, masks: bool, paper: Paper) -> Figure {
    let mut notes = vec![across.note.to_string()];
    let mut drawn: Vec<Drawn> = groups.iter().map(|group| measured(group, across, of.cells, paper, &mut notes)).collect();
    drawn.extend(reported(of.claims, groups, across, masks, paper, &mut notes));
    notes.push(
        "Small dots: individual seeds. Large marks: their mean, filled if the final training used cutout, else hollow. Error bars: Student's 95 % interval of the mean score, from three seeds on."
            .into(),
    );
    notes.extend(groups.iter().filter_map(|g| trainings(g)));
    if groups.iter().flat_map(|g| g.rows()).any(|r| place(r, across).is_ok_and(|(x, _)| x == 0.0)) {
        notes.push(format!("A {} of exactly 0 has no place on a logarithmic scale; it stands before it.", across.name));
    }
    let of_these = |r: &Run| r.result.as_ref().is_some_and(|r| groups.iter().any(|g| g.metric == r.metric));
    notes.extend(few.missing("Not shown", |r| place(r, across).err().filter(|_| of_these(r))));
    let out = of.runs.iter().filter(|r| !r.counts()).count();
    if out > 0 {
        notes.push(format!("Runs left out as unfinished, damaged or repeated: {}.", show_count(out as u64)));
    }
    let beside = if drawn.len() > groups.len() { ", measured here and reported by the papers" } else { "" };
    let score = if masks { "Dice" } else { "accuracy" };
    Figure::new(across.files[usize::from(masks)], &format!("Test {score} against {}{beside}", across.name), drawn, few.with(notes))
}

/// How final trainings differ within an experiment, if they do: the commonest last.
fn trainings(group: &Experiment) -> Option<String> {
    let mut by: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for series in &group.series {
        let (epochs, cutout) = series.retraining();
        let epochs = epochs.map_or_else(|| "an unknown number of".into(), |e| e.to_string());
        by.entry(format!("{epochs} epochs {} cutout", if cutout { "with" } else { "without" })).or_default().push(&series.name);
    }
    let mut by: Vec<_> = by.into_iter().map(|(how, names)| (names.len(), format!("{} {how}", names.join(", ")), how)).collect();
    by.sort();
    let (n, _, how) = by.pop().filter(|_| !by.is_empty())?;
    let others = if n > 1 { format!("all others {how}") } else { format!("the other one {how}") };
    let words: Vec<String> = by.into_iter().map(|(_, words, _)| words).chain([others]).collect();
    Some(format!("Final trainings differ ({}, {}): {}.", group.dataset, group.preset, words.join("; ")))
}

/// Place of a run on the axes, or why it has none.
fn place(row: &Run, across: &Across) -> Result<(f64, f64), String> {
    let score = row.final_percent().filter(|s| (0.0..=100.0).contains(s)).ok_or("no final score between 0 and 1")?;
    let x = (across.of_run)(row).filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| format!("no {}", across.name))?;
    Ok((x, score))
}

/// A series on the axes.
struct Placed<'a> {
    series: &'a Series<'a>,
    runs: Vec<(&'a Run, (f64, f64))>,
    mean: Option<(f64, f64)>,
    /// 95 % interval of the mean score.
    interval: Option<Interval>,
}

impl<'a> Placed<'a> {
    fn of(series: &'a Series<'a>, across: &Across, scale: f64) -> Self {
        let at = |r| place(r, across).ok().map(|(x, y)| (x / scale, y));
        let runs: Vec<(&Run, (f64, f64))> = series.rows.iter().filter_map(|r| Some((*r, at(r)?))).collect();
        let [xs, ys]: [Vec<f64>; 2] = [runs.iter().map(|r| r.1.0).collect(), runs.iter().map(|r| r.1.1).collect()];
        Self { series, mean: mean(&xs).zip(mean(&ys)), interval: mean_interval(&ys), runs }
    }
}

/// A panel of an experiment; says in the notes why it has no front.
fn measured(group: &Experiment, across: &Across, cells: &BTreeMap<String, String>, paper: Paper, notes: &mut Vec<String>) -> Drawn {
    let largest = group.rows().filter_map(|r| place(r, across).ok()).map(|p| p.0).fold(0.0, f64::max);
    let (scale, unit) = if across.cost { unit(largest) } else { (1.0, "") };
    let placed: Vec<Placed> = group.series.iter().map(|s| Placed::of(s, across, scale)).collect();
    let all = || placed.iter().flat_map(|p| p.runs.iter().map(|r| r.1).chain(p.mean));
    let ends = placed.iter().flat_map(|p| p.interval).flat_map(|(low, high)| [low, high]);
    let axes = (Axis::log(all().map(|p| p.0)), Axis::percent(all().map(|p| p.1).chain(ends)));
    let label = if across.cost { group.cost_label(across.name, unit) } else { "weights of the retrained network".into() };
    let up = format!("test {} after retraining (%)", metric_name(group.metric));
    let titles = [&*group.title("Measured here"), &format!("{label}, log scale"), &up];
    let mut panel = Panel::new(paper, 0.72, axes.0, axes.1, titles);
    if placed.iter().all(|p| p.mean.is_none()) {
        panel.empty(&format!("no run with a final score and a {}", across.name));
    }
    let about = |x: f64| if across.cost { group.cost_text(x * scale) } else { format!("{} weights", show_count(x.round() as u64)) };
    let chance = group.series.iter().find_map(|s| s.manifest()).map(|m| m.data.classes).filter(|n| *n > 1 && !group.of_segmentation());
    chance.into_iter().for_each(|n| panel.reference(NEUTRAL, 100.0 / n as f64, &format!("chance level, {:.0} %", 100.0 / n as f64)));
    notes.extend(means_front(&mut panel, &placed, group, across));
    placed.iter().for_each(|p| draw(&mut panel, p, across, cells, &about));
    let words = |p: &Placed| p.mean.map(|(x, y)| format!("{} {y:.2} % at {}", p.series.name, about(x)));
    let results: Vec<String> = placed.iter().filter_map(words).collect();
    let what = format!("Test {} against {} on {}, preset {}", metric_name(group.metric), across.name, group.dataset, group.preset);
    (format!("{}-{}", group.dataset, group.preset), panel, format!("{what}: {}", results.join(", ")))
}

/// Draws the front of the means where its neighbours are told apart; else says why it does not.
fn means_front(panel: &mut Panel, placed: &[Placed], group: &Experiment, across: &Across) -> Option<String> {
    let means: Vec<(f64, f64)> = placed.iter().filter_map(|p| p.mean).collect();
    let path = front(&means);
    let of = |at: &(f64, f64)| placed.iter().find(|p| p.mean == Some(*at));
    let close = path.windows(2).find_map(|pair| {
        let [a, b] = [of(&pair[0])?, of(&pair[1])?];
        let apart = a.interval.zip(b.interval).is_some_and(|(a, b)| a.1 < b.0 || b.1 < a.0);
        (!apart).then_some([a, b])
    });
    if let Some([a, b]) = close {
        return Some(format!(
            "{}, {}: no Pareto front is drawn, since the means do not tell its neighbours {} and {} apart (95 % intervals that overlap or are missing).",
            group.dataset, group.preset, a.series.name, b.series.name
        ));
    }
    draw_front(panel, &path, &format!("Pareto front of the means: no other is both {} and better", across.less));
    None
}

fn draw(panel: &mut Panel, p: &Placed, across: &Across, cells: &BTreeMap<String, String>, about: &dyn Fn(f64) -> String) {
    let (look, name, cutout) = (p.series.look(), &p.series.name, p.series.retraining().1);
    let tell = |what: String, (x, y): (f64, f64)| format!("{what}: {y:.2} % test score, {} ({})", about(x), across.name);
    if let Some((x, y)) = p.mean.filter(|_| p.runs.len() > 1) {
        let from = panel.drawn();
        p.interval.into_iter().for_each(|(low, high)| panel.whisker((x, low), (x, high), look.colour));
        let radius = panel.of(6.0);
        panel.at((x, y)).into_iter().for_each(|at| marker(&mut panel.scene, look, at, radius, cutout));
        let interval = p.interval.map_or_else(String::new, |(low, high)| format!(", 95 % interval of the mean {low:.2} to {high:.2} %"));
        panel.group(from, About::tip(name, tell(format!("{name}, mean of {} seeds", p.runs.len()), (x, y)) + &interval));
    }
    for (run, at) in &p.runs {
        let (from, alone) = (panel.drawn(), p.runs.len() == 1);
        let radius = panel.of(6.0);
        match panel.at(*at) {
            Some(at) if alone => marker(&mut panel.scene, look, at, radius, cutout),
            Some(at) => panel.dot(at, look.colour),
            None => (),
        }
        let tip = format!("{}, run {}", tell(p.series.run(run), *at), run.name);
        panel.group(from, About { cell: cells.get(&run.name).cloned().unwrap_or_default(), ..About::tip(name, tip) });
    }
    let words = format!("{}, n = {}", panel.cut(&p.series.name), show_count(p.runs.len() as u64));
    panel.entries.push(Entry { radius: 5.0, filled: cutout, ..Entry::of(name, look, words) });
}
