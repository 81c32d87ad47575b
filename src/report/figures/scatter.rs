//! Test score against some quantity: what was measured here, and beside it, on axes of its own, what the papers reported.

use super::axis::Axis;
use super::few::{Few, thin};
use super::front::draw_front;
use super::grid::{Part, assemble, blank, plot_frame};
use super::names::label;
use super::panel::{Entry, Panel};
use super::scene::{Colour, FAINT, Frame, Point, Scene};
use super::series::{Experiment, Series};
use super::style::{Look, NEUTRAL, marker};
use crate::record::Phase;
use crate::report::claims::{Claim, Metric};
use crate::report::frame::metric_name;
use crate::report::load::Run;
use crate::units::show_count;

/// What runs across, on a logarithmic axis; less of it is better.
struct Across {
    /// Of the page.
    title: &'static str,
    /// What it is, within a sentence.
    name: &'static str,
    of_run: fn(&Run) -> Option<f64>,
    /// Label of the axis of an experiment; without one, that of an empty area.
    label: fn(Option<&Experiment>) -> String,
    of_claim: fn(&Claim) -> Option<f64>,
    /// Label of the axis of the claims.
    claim_label: &'static str,
    /// What less of it is called, such as `cheaper`.
    less: &'static str,
    /// What a reader must know.
    notes: [&'static str; 2],
}

const COST: Across = Across {
    title: "Test score against search cost, measured here and reported by the papers",
    name: "measured search cost",
    of_run: |run| run.days(Phase::Search),
    label: |group| format!("search cost, {}, log scale", group.map_or("device-days", |g| g.cost_unit)),
    of_claim: |claim| claim.gpu_days,
    claim_label: "search cost as reported, GPU-days of the papers' own cards, log scale",
    less: "cheaper",
    notes: [
        "Cost is that of the search alone, without selection and retraining.",
        "Areas do not share axes: a GPU-day of a paper is a day of its own card, and a day of the device used here is another quantity.",
    ],
};

const PARAMETERS: Across = Across {
    title: "Test score against the number of weights, measured here and reported by the papers",
    name: "number of weights",
    of_run: |run| run.result.as_ref().map(|r| r.parameters as f64),
    label: |_| "weights of the retrained network, log scale".into(),
    // Claims count in millions.
    of_claim: |claim| claim.params.map(|millions| 1e6 * millions),
    claim_label: "weights as reported, log scale",
    less: "smaller",
    notes: [
        "Weights are those of the retrained network without its auxiliary head.",
        "Areas do not share axes: presets shrink the networks, and the papers' networks are for another data set.",
    ],
};

/// Test score against search cost: one area for each data set, preset, unit of cost and metric, and one for the papers' claims on CIFAR-10.
pub fn accuracy_cost(runs: &[Run], claims: &[Claim]) -> Scene {
    scatter(runs, claims, &COST)
}

/// Test score against the number of weights, in the same areas.
pub fn accuracy_parameters(runs: &[Run], claims: &[Claim]) -> Scene {
    scatter(runs, claims, &PARAMETERS)
}

fn scatter(runs: &[Run], claims: &[Claim], across: &Across) -> Scene {
    let few = Few::of(runs);
    let mut parts: Vec<Part> = few.groups.iter().map(|g| measured(g, across, few.marks())).collect();
    if parts.is_empty() {
        parts.push(nothing(across));
    }
    parts.push(reported(runs, claims, across));
    assemble(across.title, parts, &notes(runs, &few, across))
}

fn score_label(metric: &str) -> String {
    format!("test {} after retraining (%)", metric_name(metric))
}

/// Place of a run on the axes, or why it has none.
fn place(row: &Run, across: &Across) -> Result<(f64, f64), String> {
    let score = row.final_percent().filter(|s| (0.0..=100.0).contains(s)).ok_or("no final score between 0 and 1")?;
    let x = (across.of_run)(row).filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| format!("no {}", across.name))?;
    Ok((x, score))
}

fn points(series: &Series, across: &Across) -> Vec<(f64, f64)> {
    series.rows.iter().filter_map(|r| place(r, across).ok()).collect()
}

fn mean(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    (!points.is_empty()).then(|| (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n))
}

fn measured(group: &Experiment, across: &Across, marks: usize) -> Part {
    let mut scene = blank();
    let runs: Vec<Vec<(f64, f64)>> = group.series.iter().map(|s| points(s, across)).collect();
    let means: Vec<(f64, f64)> = runs.iter().filter_map(|r| mean(r)).collect();
    let all = || runs.iter().flatten().chain(&means);
    let x = Axis::log(all().map(|p| p.0));
    let y = Axis::linear(all().map(|p| p.1), 1.0).within_percent();
    let panel = Panel { frame: plot_frame(), x, y };
    let title = format!("Measured here: {}, preset {}", group.dataset, group.preset);
    let below = panel.axes(&mut scene, &title, &(across.label)(Some(group)), &score_label(group.metric));
    if means.is_empty() {
        panel.empty(&mut scene, &format!("no run with a final score and a {}", across.name));
    }
    let words = format!("Pareto front of the means: no other is both {} and better", across.less);
    let front = draw_front(&mut scene, &panel, &means, &words);
    let mut entries: Vec<Entry> = group.series.iter().zip(&runs).map(|(s, p)| draw_series(&mut scene, &panel, s, p, marks)).collect();
    entries.extend(front.map(|(entry, _)| entry));
    Part { scene, entries, below }
}

fn draw_series(scene: &mut Scene, panel: &Panel, series: &Series, points: &[(f64, f64)], marks: usize) -> Entry {
    let look = series.look();
    let place = |p: (f64, f64)| panel.at(p.0, p.1);
    if points.len() > 1 {
        let pale = Look { colour: look.colour.lighter(0.45), ..look };
        thin(points.iter().filter_map(|p| place(*p)).collect(), marks).into_iter().for_each(|at| marker(scene, pale, at, 2.6, true));
        whiskers(scene, panel, points, look.colour);
    }
    if let Some(at) = mean(points).and_then(place) {
        marker(scene, look, at, 6.0, true);
    }
    Entry { look, radius: 5.5, filled: true, lined: false, words: format!("{}, n = {}", series.label(), show_count(points.len() as u64)) }
}

/// Least to greatest score, and least to greatest value across, through the mean.
fn whiskers(scene: &mut Scene, panel: &Panel, points: &[(f64, f64)], colour: Colour) {
    let Some((x, y)) = mean(points) else { return };
    let range = |get: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(get);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
    };
    let ((x0, x1), (y0, y1)) = (range(|p| p.0), range(|p| p.1));
    let ends = [panel.at(x, y0).zip(panel.at(x, y1)), panel.at(x0, y).zip(panel.at(x1, y))];
    // What the mark of the mean covers is not drawn.
    let visible = |(a, b): &(Point, Point)| (b.0 - a.0).abs().max((b.1 - a.1).abs()) > 14.0;
    for (i, (a, b)) in ends.into_iter().enumerate().filter_map(|(i, e)| e.filter(visible).map(|e| (i, e))) {
        scene.line(vec![a, b], 1.4, colour);
        let cap: Point = if i == 0 { (4.0, 0.0) } else { (0.0, 4.0) };
        for end in [a, b] {
            scene.line(vec![(end.0 - cap.0, end.1 - cap.1), (end.0 + cap.0, end.1 + cap.1)], 1.4, colour);
        }
    }
}

/// What stands in place of the measured points if there are none.
fn nothing(across: &Across) -> Part {
    let mut scene = blank();
    let panel = Panel { frame: plot_frame(), x: Axis::log([]), y: Axis::linear([0.0, 100.0], 1.0).within_percent() };
    let below = panel.axes(&mut scene, "Measured here", &(across.label)(None), &score_label("accuracy"));
    panel.empty(&mut scene, "no finished run");
    Part { scene, entries: Vec::new(), below }
}

fn reported(runs: &[Run], claims: &[Claim], across: &Across) -> Part {
    let mut scene = blank();
    let of = |c: &Claim| Some(((across.of_claim)(c).filter(|x| *x > 0.0)?, c.value?));
    let about = claims.iter().filter(|c| c.metric == Metric::TestAccuracy && c.dataset == "cifar10");
    let shown: Vec<(&Claim, (f64, f64))> = about.filter_map(|c| Some((c, of(c)?))).collect();
    let values: Vec<(f64, f64)> = shown.iter().map(|s| s.1).collect();
    let x = Axis::log(values.iter().map(|v| v.0));
    let y = Axis::linear(values.iter().map(|v| v.1), 1.0).within_percent();
    let panel = Panel { frame: plot_frame(), x, y };
    let below = panel.axes(&mut scene, "Reported by the papers: CIFAR-10", across.claim_label, "test accuracy (%)");
    if shown.is_empty() {
        panel.empty(&mut scene, "no paper's claim has both numbers");
    }
    let words = format!("Pareto front of what was reported: no other is both {} and better", across.less);
    let front = draw_front(&mut scene, &panel, &values, &words);
    let path = front.iter().flat_map(|(_, path)| path.windows(2));
    let taken = path.map(|ends| strip(ends[0], ends[1])).collect();
    draw_claims(&mut scene, &panel, runs, &shown, taken);
    let grey = Look { colour: FAINT, ..NEUTRAL };
    let entry = |radius: f64, words: &str| Entry { look: grey, radius, filled: false, lined: false, words: words.into() };
    let mut entries = vec![
        entry(6.0, "the headline result of a method, named"),
        entry(3.0, "another reported result; in grey, of a method without a run here"),
    ];
    entries.extend(front.map(|(entry, _)| entry));
    Part { scene, entries, below }
}

/// What an upright or level line takes.
fn strip(a: Point, b: Point) -> Frame {
    Frame { x0: a.0.min(b.0) - 1.5, y0: a.1.min(b.1) - 1.5, x1: a.0.max(b.0) + 1.5, y1: a.1.max(b.1) + 1.5 }
}

/// Marks of all claims and names of the headlines, which keep clear of what is taken.
fn draw_claims(scene: &mut Scene, panel: &Panel, runs: &[Run], shown: &[(&Claim, (f64, f64))], mut taken: Vec<Frame>) {
    let mut heads = Vec::new();
    // The headlines last, so that nothing covers them.
    for headline in [false, true] {
        for (claim, (x, y)) in shown.iter().filter(|(c, _)| c.headline == headline) {
            let Some(at) = panel.at(*x, *y) else { continue };
            let radius = if headline { 6.0 } else { 3.0 };
            marker(scene, look(runs, claim), at, radius, false);
            taken.push(Frame { x0: at.0 - radius - 1.0, y0: at.1 - radius - 1.0, x1: at.0 + radius + 1.0, y1: at.1 + radius + 1.0 });
            heads.extend(headline.then_some((claim.method.as_str(), at)));
        }
    }
    label(scene, heads, panel.frame, taken);
}

/// The look of the method's runs, of those of the same form first.
fn look(runs: &[Run], claim: &Claim) -> Look {
    let of_method = runs.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()).filter(|m| m.method == claim.method);
    let nearest = of_method.min_by_key(|m| (m.variant != claim.variant, &m.variant));
    nearest.map_or(NEUTRAL, |m| m.declaration.mark.into())
}

fn notes(runs: &[Run], few: &Few, across: &Across) -> Vec<String> {
    let mut notes: Vec<String> = across.notes.iter().map(ToString::to_string).collect();
    notes.push(
        "Small marks: search seeds; large filled marks: their mean; bars: least to greatest. Hollow marks are reported, not measured."
            .into(),
    );
    let all = || few.all().map(|(_, series)| series);
    if few.groups.iter().any(|g| g.dataset != "cifar10") {
        notes.push("The papers' numbers are for CIFAR-10; scores on other data sets cannot be compared with them.".into());
    }
    if all().any(|s| s.rows.len() > few.marks()) {
        notes.push("Where many marks of a group lie close together, some are left out.".into());
    }
    if all().flat_map(|s| points(s, across)).any(|(x, _)| x == 0.0) {
        notes.push(format!(
            "0 stands before the logarithmic scale, which has no place for it: a {} of exactly 0 was recorded.",
            across.name
        ));
    }
    notes.extend(few.missing("Not shown", |r| place(r, across).err()));
    notes.extend(few.notes.iter().cloned());
    let out = runs.iter().filter(|r| !r.counts()).count();
    if out > 0 {
        notes.push(format!(
            "Left out as unfinished, damaged or repeated: {}.",
            if out == 1 { "1 run".into() } else { format!("{} runs", show_count(out as u64)) }
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::claims::claims;

    #[test]
    fn every_headline_has_a_name_that_covers_nothing() {
        let claims = claims().unwrap();
        for (scene, of) in [(accuracy_cost(&[], &claims), COST.of_claim), (accuracy_parameters(&[], &claims), PARAMETERS.of_claim)] {
            scene.assert_sound();
            let drawn = |c: &&Claim| c.headline && c.metric == Metric::TestAccuracy && c.dataset == "cifar10" && of(c).is_some();
            for claim in claims.iter().filter(drawn) {
                assert_eq!(scene.texts().filter(|t| t.words == claim.method).count(), 1, "{}", claim.method);
            }
        }
    }
}
