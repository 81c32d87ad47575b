//! What the papers reported, on axes of its own: the very claims that stand beside the measured rows of the table are marked and named.

use super::Drawn;
use super::scatter::Across;
use super::series::{Experiment, Series};
use crate::plot::{About, Axis, Entry, Frame, Look, NEUTRAL, Panel, Paper, Point, draw_front, front, label, marker};
use crate::report::claims::{Beside, Claim, Confirmation, Cutout, Metric, beside};
use crate::units::{show_count, significant};

/// A claim on the axes.
struct Shown<'a> {
    claim: &'a Claim,
    at: (f64, f64),
    /// How the method looks in the runs here, the name of those that it stands beside, and the series of that.
    look: Look,
    name: String,
    /// It stands beside measured rows, or is the headline of a method that has none.
    marked: bool,
}

impl Shown<'_> {
    /// Read in the source itself, with cutout, and a mean of several trainings: what can be compared.
    fn comparable(&self) -> bool {
        let c = self.claim;
        c.status == Confirmation::Confirmed && c.cutout == Cutout::Yes && (c.spread.is_some() || c.runs.is_some_and(|n| n > 1))
    }
}

/// The panel of the claims about CIFAR-10, or about masks; `None` where papers report nothing of this kind.
pub fn reported(
    claims: &[Claim],
    groups: &[&Experiment],
    across: &Across,
    masks: bool,
    paper: Paper,
    notes: &mut Vec<String>,
) -> Option<Drawn> {
    let kind = |c: &&Claim| if masks { c.metric == Metric::Dice } else { c.metric == Metric::TestAccuracy && c.dataset == "cifar10" };
    let place = |c: &Claim| Some(((across.of_claim)(c).filter(|x| *x > 0.0)?, c.value?));
    let rows: Vec<(&Series, Option<&Claim>)> = groups.iter().flat_map(|g| g.series.iter().map(|s| (s, of_row(claims, g, s)))).collect();
    let shown = claims.iter().filter(kind).filter_map(|claim| Some(show(claim, place(claim)?, &rows))).collect::<Vec<Shown>>();
    if shown.is_empty() {
        return None;
    }
    let ends = shown.iter().flat_map(|s| [-1.0, 1.0].map(|sign| s.at.1 + sign * s.claim.spread.unwrap_or(0.0)));
    let axes = (Axis::log(shown.iter().map(|s| s.at.0)), Axis::percent(ends));
    let (what, score) = if masks { ("", "Dice (%)") } else { (": CIFAR-10", "test accuracy (%)") };
    let mut panel = Panel::new(paper, 0.72, axes.0, axes.1, [&format!("Reported by the papers{what}"), across.claim_label[0], score]);
    let comparable: Vec<(f64, f64)> = shown.iter().filter(|s| s.comparable()).map(|s| s.at).collect();
    let words = format!("Pareto front of comparable results: no other is both {} and better", across.less);
    let path = draw_front(&mut panel, &front(&comparable), &words);
    draw(&mut panel, &shown, across, path.windows(2).map(|ends| strip(ends[0], ends[1])).collect());
    let look = Look { dashed: false, ..NEUTRAL };
    let entry = |radius, filled, words: &str| Entry { radius, filled, ..Entry::of("", look, words) };
    panel.entries.extend([
        entry(
            5.5,
            true,
            "Large, named: the claim beside the measured runs in the table, or the headline result of a method without runs here.",
        ),
        entry(3.0, true, "Small: other reported results."),
        entry(4.5, false, "Hollow: without cutout, or not stated."),
        Entry::note(look, "In grey: not confirmed in its source, without cutout, a single run or the best of several; not on the front."),
        Entry::note(look, "Error bars: the ± that the paper prints."),
    ]);
    notes.push(format!(
        "First panels: measured here. Last panel: numbers reported in the papers (different axes{}).",
        if groups.iter().any(|g| g.dataset != "cifar10") { ", other data: the two cannot be compared" } else { "" }
    ));
    let list: Vec<String> =
        shown.iter().filter(|s| s.marked).map(|s| format!("{} {} at {}", s.name, value(s.claim), amount(s, across))).collect();
    Some(("reported".into(), panel, format!("Reported by the papers{what}, {score} against {}: {}", across.name, list.join(", "))))
}

/// The claim that stands beside a row of the table.
fn of_row<'a>(claims: &'a [Claim], group: &Experiment, series: &Series) -> Option<&'a Claim> {
    let metric = if group.of_segmentation() { Metric::Dice } else { Metric::TestAccuracy };
    let cutout = series.retraining().1;
    beside(claims, &Beside { method: series.method, variant: series.variant, dataset: group.dataset, metric, cutout })
}

fn show<'a>(claim: &'a Claim, at: (f64, f64), rows: &[(&Series, Option<&Claim>)]) -> Shown<'a> {
    let row = rows.iter().find(|(_, beside)| beside.is_some_and(|c| std::ptr::eq(c, claim)));
    let of_method = || rows.iter().filter(|(s, _)| s.method == claim.method);
    let nearest = row.or_else(|| of_method().min_by_key(|(s, _)| Some(s.variant) != claim.naslab_variant.as_deref()));
    let own = [&*claim.method, &*claim.variant].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    Shown {
        claim,
        at,
        look: nearest.map_or(NEUTRAL, |(s, _)| s.look()),
        name: row.map_or(own, |(s, _)| s.name.clone()),
        marked: row.is_some() || claim.headline && !of_method().any(|(_, beside)| beside.is_some()),
    }
}

fn value(claim: &Claim) -> String {
    format!("{} %", claim.value_text().unwrap_or_default())
}

/// Its cost or size.
fn amount(shown: &Shown, across: &Across) -> String {
    let x = shown.at.0;
    let number =
        if x < 1e4 { significant(x).trim_end_matches('0').trim_end_matches('.').to_string() } else { show_count(x.round() as u64) };
    format!("{number} {}", across.claim_label[1])
}

/// What an upright or level line takes.
fn strip(a: Point, b: Point) -> Frame {
    Frame { x0: a.0.min(b.0) - 1.5, y0: a.1.min(b.1) - 1.5, x1: a.0.max(b.0) + 1.5, y1: a.1.max(b.1) + 1.5 }
}

/// Marks of all claims and names of the marked ones, which keep clear of what is taken.
fn draw(panel: &mut Panel, shown: &[Shown], across: &Across, mut taken: Vec<Frame>) {
    let mut names = Vec::new();
    let hollow = |s: &Shown| s.claim.cutout != Cutout::Yes;
    // The large ones first, and hollow ones over filled ones, so that none is covered.
    for (marked, open) in [(true, false), (true, true), (false, false), (false, true)] {
        for s in shown.iter().filter(|s| s.marked == marked && hollow(s) == open) {
            let Some(at) = panel.at(s.at) else { continue };
            let (from, c) = (panel.drawn(), s.claim);
            let look = if s.comparable() || marked && c.status == Confirmation::Confirmed {
                s.look
            } else {
                Look { colour: NEUTRAL.colour, ..s.look }
            };
            let (x, y) = s.at;
            c.spread.into_iter().for_each(|by| panel.whisker((x, y - by), (x, y + by), look.colour));
            let radius = panel.of(if marked { 6.0 } else { 3.0 });
            marker(&mut panel.scene, look, at, radius, !open);
            taken.push(Frame { x0: at.0 - radius - 1.0, y0: at.1 - radius - 1.0, x1: at.0 + radius + 1.0, y1: at.1 + radius + 1.0 });
            let runs = match c.runs {
                Some(1) => ", a single run".into(),
                Some(n) => format!(", {n} runs"),
                None => String::new(),
            };
            if marked {
                names.push((format!("{}{}", s.name, if c.runs == Some(1) { ", 1 run" } else { "" }), at));
            }
            let tip = format!(
                "{} {}, reported: {} {}, {}, {}{runs}; {}: {}",
                c.method,
                c.variant,
                value(c),
                c.metric.words(),
                amount(s, across),
                c.cutout.words(),
                c.status.word(),
                c.source
            );
            panel.group(from, About::tip(&s.name, tip));
        }
    }
    label(panel, names, taken);
}

#[cfg(test)]
mod tests {
    use super::super::scatter::ACROSS;
    use super::*;
    use crate::report::claims::claims;

    #[test]
    fn headlines_of_methods_without_runs_have_names_that_cover_nothing() {
        let claims = claims().unwrap();
        for across in [&ACROSS[0], &ACROSS[2]] {
            for paper in [Paper::SCREEN, Paper::print(85.0)] {
                let (_, panel, title) = reported(&claims, &[], across, false, paper, &mut Vec::new()).unwrap();
                let scene = panel.finished(title);
                scene.assert_sound();
                let drawn =
                    |c: &&Claim| c.headline && c.metric == Metric::TestAccuracy && c.dataset == "cifar10" && (across.of_claim)(c).is_some();
                for claim in claims.iter().filter(drawn) {
                    let named = |words: &str| words.starts_with(&format!("{} {}", claim.method, claim.variant));
                    assert_eq!(scene.texts().filter(|t| named(&t.words)).count(), 1, "{}", claim.method);
                }
            }
        }
    }

    #[test]
    fn the_front_rests_on_comparable_means_alone() {
        let claims = claims().unwrap();
        let of = |c: &Claim| show(c, (1.0, c.value.unwrap_or(0.0)), &[]).comparable().then(|| c.variant.clone());
        let compared: Vec<String> =
            claims.iter().filter(|c| c.dataset == "cifar10" && c.metric == Metric::TestAccuracy).filter_map(of).collect();
        for out in ["macro", "A N=6 F=36", "A 7 @ 2304 best single run", "first-order, arXiv v1", "B"] {
            assert!(!compared.iter().any(|v| v == out), "{out}");
        }
        assert!(["second-order", "first-order", "A 6 @ 768", "Top-Best, F=32"].iter().all(|v| compared.iter().any(|c| c == v)));
    }
}
