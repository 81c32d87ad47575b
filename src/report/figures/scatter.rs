//! Test score against some quantity: what was measured here, and beside it, on axes of its own, what the papers reported.

use super::axis::Axis;
use super::few::Few;
use super::front::draw_front;
use super::names::label;
use super::panel::{Entry, HALF, Panel, page};
use super::scene::{Colour, FAINT, Frame, Point, Scene};
use super::series::{Experiment, Series};
use super::style::{Look, NEUTRAL, marker};
use crate::record::{Phase, Role};
use crate::report::claims::{Claim, Metric};
use crate::report::frame::metric_name;
use crate::report::load::Run;
use crate::report::statistics;
use crate::units::show_count;

/// What runs across, on a logarithmic axis; less of it is better.
struct Across {
    /// Of the page.
    title: &'static str,
    /// What it is, within a sentence.
    name: &'static str,
    of_run: fn(&Run) -> Option<f64>,
    /// Label of the axis of an experiment.
    label: fn(&Experiment) -> String,
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
    // The training of a given architecture searches nothing; what its record has there is the time between two readings of a clock.
    of_run: |run| if run.manifest.as_ref()?.declaration.role == Role::Training { Some(0.0) } else { run.days(Some(Phase::Search)) },
    label: |group| format!("search cost, {}, log scale", group.cost_unit),
    of_claim: |claim| claim.gpu_days,
    claim_label: "search cost as reported, GPU-days of the papers' own cards, log scale",
    less: "cheaper",
    notes: [
        "Cost is that of the search alone, without selection and retraining; the control of a search by steps has no selection: its search trains children as the method's \
         selection trains candidates.",
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
    let areas: Vec<Option<&Experiment>> = few.groups.iter().map(Some).chain([None]).collect();
    let draw = |group: &Option<&Experiment>| group.map_or_else(|| reported(runs, claims, across), |g| measured(g, across));
    page(across.title, 2, &areas, draw, notes(runs, &few, across))
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
    let of = |get: fn(&(f64, f64)) -> f64| statistics::mean(&points.iter().map(get).collect::<Vec<f64>>());
    of(|p| p.0).zip(of(|p| p.1))
}

fn measured(group: &Experiment, across: &Across) -> Panel {
    let runs: Vec<Vec<(f64, f64)>> = group.series.iter().map(|s| points(s, across)).collect();
    let means: Vec<(f64, f64)> = runs.iter().filter_map(|r| mean(r)).collect();
    let all = || runs.iter().flatten().chain(&means);
    let (x, y) = (Axis::log(all().map(|p| p.0)), Axis::percent(all().map(|p| p.1)));
    let up = format!("test {} after retraining (%)", metric_name(group.metric));
    let mut panel = Panel::new(HALF, x, y, [&group.title("Measured here"), &(across.label)(group), &up]);
    if means.is_empty() {
        panel.empty(&format!("no run with a final score and a {}", across.name));
    }
    draw_front(&mut panel, &means, &format!("Pareto front of the means: no other is both {} and better", across.less));
    group.series.iter().zip(&runs).for_each(|(series, points)| draw_series(&mut panel, series, points));
    panel
}

fn draw_series(panel: &mut Panel, series: &Series, points: &[(f64, f64)]) {
    let look = series.look();
    if let Some(mean) = mean(points) {
        if points.len() > 1 {
            let pale = Look { colour: look.colour.lighter(0.45), ..look };
            panel.marks(pale, points.iter().copied(), 2.6, true);
            whiskers(panel, points, mean, look.colour);
        }
        panel.marks(look, [mean].into_iter(), 6.0, true);
    }
    let words = format!("{}, n = {}", series.label(), show_count(points.len() as u64));
    panel.entries.push(Entry { look, radius: 5.5, filled: true, lined: false, words });
}

/// Least to greatest score, and least to greatest value across, through the mean.
fn whiskers(panel: &mut Panel, points: &[(f64, f64)], (x, y): (f64, f64), colour: Colour) {
    let of = |get: fn(&(f64, f64)) -> f64, pick: fn(f64, f64) -> f64| points.iter().map(get).reduce(pick).unwrap_or(0.0);
    let up = [f64::min, f64::max].map(|pick| (x, of(|p| p.1, pick)));
    let across = [f64::min, f64::max].map(|pick| (of(|p| p.0, pick), y));
    for ([from, to], cap) in [(up, (4.0, 0.0)), (across, (0.0, 4.0))] {
        let ends: Vec<Point> = [from, to].into_iter().filter_map(|p| panel.at(p)).collect();
        for end in &ends {
            panel.scene.line(vec![(end.0 - cap.0, end.1 - cap.1), (end.0 + cap.0, end.1 + cap.1)], 1.4, colour);
        }
        panel.scene.line(ends, 1.4, colour);
    }
}

fn reported(runs: &[Run], claims: &[Claim], across: &Across) -> Panel {
    let of = |c: &Claim| Some(((across.of_claim)(c).filter(|x| *x > 0.0)?, c.value?));
    // No front rests on a number from memory.
    let about = claims.iter().filter(|c| !c.recalled() && c.metric == Metric::TestAccuracy && c.dataset == "cifar10");
    let shown: Vec<(&Claim, (f64, f64))> = about.filter_map(|c| Some((c, of(c)?))).collect();
    let values: Vec<(f64, f64)> = shown.iter().map(|s| s.1).collect();
    let (x, y) = (Axis::log(values.iter().map(|v| v.0)), Axis::percent(values.iter().map(|v| v.1)));
    let mut panel = Panel::new(HALF, x, y, ["Reported by the papers: CIFAR-10", across.claim_label, "test accuracy (%)"]);
    let words = format!("Pareto front of what was reported: no other is both {} and better", across.less);
    let front = draw_front(&mut panel, &values, &words);
    draw_claims(&mut panel, runs, &shown, front.windows(2).map(|ends| strip(ends[0], ends[1])).collect());
    let look = Look { colour: FAINT, ..NEUTRAL };
    let entry = |radius: f64, words: &str| Entry { look, radius, filled: false, lined: false, words: words.into() };
    panel.entries.push(entry(6.0, "the headline result of a method, named"));
    panel.entries.push(entry(3.0, "another reported result; in grey, of a method without a run here"));
    panel
}

/// What an upright or level line takes.
fn strip(a: Point, b: Point) -> Frame {
    Frame { x0: a.0.min(b.0) - 1.5, y0: a.1.min(b.1) - 1.5, x1: a.0.max(b.0) + 1.5, y1: a.1.max(b.1) + 1.5 }
}

/// Marks of all claims and names of the headlines, which keep clear of what is taken.
fn draw_claims(panel: &mut Panel, runs: &[Run], shown: &[(&Claim, (f64, f64))], mut taken: Vec<Frame>) {
    let mut heads = Vec::new();
    // The headlines last, so that nothing covers them.
    for headline in [false, true] {
        for (claim, place) in shown.iter().filter(|(c, _)| c.headline == headline) {
            let Some(at) = panel.at(*place) else { continue };
            let radius = if headline { 6.0 } else { 3.0 };
            marker(&mut panel.scene, look(runs, claim), at, radius, false);
            taken.push(Frame { x0: at.0 - radius - 1.0, y0: at.1 - radius - 1.0, x1: at.0 + radius + 1.0, y1: at.1 + radius + 1.0 });
            heads.extend(headline.then_some((claim.method.as_str(), at)));
        }
    }
    label(&mut panel.scene, heads, panel.frame, taken);
}

/// The look of the method's runs, of those of the same form first.
fn look(runs: &[Run], claim: &Claim) -> Look {
    let of_method = runs.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()).filter(|m| m.method == claim.method);
    let nearest = of_method.min_by_key(|m| (Some(&m.variant) != claim.naslab_variant.as_ref(), &m.variant));
    nearest.map_or(NEUTRAL, |m| m.declaration.mark.into())
}

fn notes(runs: &[Run], few: &Few, across: &Across) -> Vec<String> {
    let mut notes: Vec<String> = across.notes.iter().map(ToString::to_string).collect();
    notes.push(
        "Small marks: search seeds; large filled marks: their mean; bars: least to greatest. Hollow marks are reported, not measured."
            .into(),
    );
    if few.groups.iter().any(|g| g.dataset != "cifar10") {
        notes.push("The papers' numbers are for CIFAR-10; scores on other data sets cannot be compared with them.".into());
    }
    if few.all().flat_map(|(_, s)| points(s, across)).any(|(x, _)| x == 0.0) {
        notes.push(format!(
            "0 stands before the logarithmic scale, which has no place for it: a {} of exactly 0 was recorded.",
            across.name
        ));
    }
    notes.extend(few.missing("Not shown", |r| place(r, across).err()));
    let out = runs.iter().filter(|r| !r.counts()).count();
    if out > 0 {
        notes.push(format!("Runs left out as unfinished, damaged or repeated: {}.", show_count(out as u64)));
    }
    few.with(notes)
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
