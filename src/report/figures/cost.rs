//! Test score against search cost: what was measured here, and beside it, on axes of its own, what the papers reported.

use super::axis::Axis;
use super::panel::{Entry, Panel, TEXT, legend, legend_height, small_print};
use super::render::text_width;
use super::scene::{Align, FAINT, Frame, INK, Point, Scene};
use super::series::{Experiment, Series, experiments};
use super::style::{look, marker};
use crate::report::claims::{Claim, Metric};
use crate::report::frame::{Row, metric_name};

const CELL_WIDTH: f64 = 540.0;
const PLOT_HEIGHT: f64 = 300.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 44.0;
const MARGIN: f64 = 14.0;

/// A plot area ready to be put on the page, and the legend below it.
struct Part {
    scene: Scene,
    entries: Vec<Entry>,
    /// Height of numbers and label below the plot.
    below: f64,
}

/// One area for each data set, preset and unit of cost, and one for the papers' claims on CIFAR-10.
pub fn accuracy_cost(rows: &[Row], claims: &[Claim]) -> Scene {
    let groups = experiments(rows);
    let mut parts: Vec<Part> = groups.iter().map(measured).collect();
    if parts.is_empty() {
        parts.push(nothing());
    }
    parts.push(reported(claims));
    let notes = notes(rows, &groups);
    assemble(parts, &notes)
}

fn assemble(parts: Vec<Part>, notes: &[String]) -> Scene {
    let columns = parts.len().min(2);
    let width = CELL_WIDTH * columns as f64 + 2.0 * MARGIN;
    let room = CELL_WIDTH - LEFT - RIGHT + 30.0;
    let mut page = Scene::new("Test score against search cost, measured here and reported by the papers", width, 0.0);
    let mut top = MARGIN;
    let mut parts = parts.into_iter().peekable();
    while parts.peek().is_some() {
        let mut height: f64 = 0.0;
        for (column, part) in parts.by_ref().take(columns).enumerate() {
            let left = MARGIN + CELL_WIDTH * column as f64;
            let below = TOP + PLOT_HEIGHT + part.below;
            height = height.max(below + legend_height(&part.entries, room));
            page.place(part.scene, (left, top));
            legend(&mut page, &part.entries, left + LEFT - 20.0, top + below, room);
        }
        top += height + 10.0;
    }
    top += small_print(&mut page, notes, MARGIN + 14.0, top, width - 2.0 * MARGIN - 28.0);
    page.height = (top + MARGIN).ceil();
    page
}

fn plot_frame() -> Frame {
    Frame { x0: LEFT, y0: TOP, x1: CELL_WIDTH - RIGHT, y1: TOP + PLOT_HEIGHT }
}

fn score_label(metric: &str) -> String {
    format!("test {} after retraining (%)", metric_name(metric))
}

/// Cost and score of the runs that have a place on the axes.
fn points(series: &Series) -> Vec<(f64, f64)> {
    let both = series.rows.iter().filter_map(|r| Some((r.search_days()?, r.final_percent()?)));
    both.filter(|(days, score)| days.is_finite() && *days > 0.0 && score.is_finite()).collect()
}

fn measured(group: &Experiment) -> Part {
    let mut scene = Scene::new("", CELL_WIDTH, TOP + PLOT_HEIGHT);
    let all: Vec<(f64, f64)> = group.series.iter().flat_map(points).collect();
    let x = Axis::log(all.iter().map(|p| p.0));
    let y = Axis::linear(all.iter().map(|p| p.1), 1.0).within_percent();
    let panel = Panel { frame: plot_frame(), x, y };
    let title = format!("Measured here: {}, preset {}", group.dataset, group.preset);
    let below = panel.axes(&mut scene, &title, &format!("search cost, {}, log scale", group.cost_unit), &score_label(group.metric));
    if all.is_empty() {
        panel.empty(&mut scene, "no run with a final score and a search cost above zero");
    }
    let entries = group.series.iter().map(|s| draw_series(&mut scene, &panel, s)).collect();
    Part { scene, entries, below }
}

fn draw_series(scene: &mut Scene, panel: &Panel, series: &Series) -> Entry {
    let look = series.look();
    let points = points(series);
    let place = |p: (f64, f64)| panel.at(p.0, p.1);
    if points.len() > 1 {
        let pale = super::style::Look { colour: look.colour.lighter(0.45), ..look };
        points.iter().filter_map(|p| place(*p)).for_each(|at| marker(scene, pale, at, 2.6, true));
        whiskers(scene, panel, &points, look.colour);
    }
    if let Some(at) = mean(&points).and_then(place) {
        marker(scene, look, at, 6.0, true);
    }
    Entry { look, radius: 5.5, filled: true, lined: false, words: format!("{}, n = {}", series.name, points.len()) }
}

fn mean(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    (!points.is_empty()).then(|| (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n))
}

/// Least to greatest score, and least to greatest cost, through the mean.
fn whiskers(scene: &mut Scene, panel: &Panel, points: &[(f64, f64)], colour: super::scene::Colour) {
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
fn nothing() -> Part {
    let mut scene = Scene::new("", CELL_WIDTH, TOP + PLOT_HEIGHT);
    let panel = Panel { frame: plot_frame(), x: Axis::log([]), y: Axis::linear([0.0, 100.0], 1.0).within_percent() };
    let below = panel.axes(&mut scene, "Measured here", "search cost, device-days, log scale", &score_label("accuracy"));
    panel.empty(&mut scene, "no finished run");
    Part { scene, entries: Vec::new(), below }
}

fn reported(claims: &[Claim]) -> Part {
    let mut scene = Scene::new("", CELL_WIDTH, TOP + PLOT_HEIGHT);
    let shown: Vec<(&Claim, f64, f64)> = claims
        .iter()
        .filter(|c| c.metric == Metric::TestAccuracy && c.dataset == "cifar10")
        .filter_map(|c| Some((c, c.gpu_days.filter(|d| *d > 0.0)?, c.value?)))
        .collect();
    let x = Axis::log(shown.iter().map(|s| s.1));
    let y = Axis::linear(shown.iter().map(|s| s.2), 1.0).within_percent();
    let panel = Panel { frame: plot_frame(), x, y };
    let label_x = "search cost as reported, GPU-days of the papers' own cards, log scale";
    let below = panel.axes(&mut scene, "Reported by the papers: CIFAR-10", label_x, "test accuracy (%)");
    let mut taken = Vec::new();
    let mut heads = Vec::new();
    for (claim, days, value) in &shown {
        let Some(at) = panel.at(*days, *value) else { continue };
        let radius = if claim.headline { 6.0 } else { 3.0 };
        marker(&mut scene, look(&claim.method), at, radius, false);
        taken.push(Frame { x0: at.0 - radius - 1.0, y0: at.1 - radius - 1.0, x1: at.0 + radius + 1.0, y1: at.1 + radius + 1.0 });
        if claim.headline {
            heads.push((claim.method.as_str(), at));
        }
    }
    heads.iter().for_each(|(name, at)| label(&mut scene, name, *at, panel.frame, &mut taken));
    let grey = super::style::Look { colour: FAINT, ..look("darts") };
    let entry = |radius: f64, words: &str| Entry { look: grey, radius, filled: false, lined: false, words: words.into() };
    let entries =
        vec![entry(6.0, "the headline result of a method, named"), entry(3.0, "another reported result of the method with that shape")];
    Part { scene, entries, below }
}

/// Writes a name beside its mark, where it covers neither a mark nor another name.
fn label(scene: &mut Scene, words: &str, at: Point, within: Frame, taken: &mut Vec<Frame>) {
    let width = text_width(words, TEXT, false);
    let near = |dx: f64, dy: f64| {
        let x0 = if dx > 0.0 {
            at.0 + dx
        } else if dx < 0.0 {
            at.0 + dx - width
        } else {
            at.0 - width / 2.0
        };
        Frame { x0, y0: at.1 + dy - 0.6 * TEXT, x1: x0 + width, y1: at.1 + dy + 0.6 * TEXT }
    };
    let places =
        [(11.0, 0.0), (-11.0, 0.0), (0.0, -15.0), (0.0, 16.0)]
            .into_iter()
            .chain((1..8).flat_map(|k| {
                [-1.0, 1.0].into_iter().flat_map(move |s| [(11.0, s * 9.0 * f64::from(k)), (-11.0, s * 9.0 * f64::from(k))])
            }));
    let free = |f: &Frame| {
        f.x0 > within.x0 + 2.0
            && f.x1 < within.x1 + RIGHT - 4.0
            && f.y0 > within.y0 - 8.0
            && f.y1 < within.y1
            && !taken.iter().any(|t| t.overlaps(f))
    };
    let spot = places.map(|(dx, dy)| near(dx, dy)).find(|f| free(f)).unwrap_or_else(|| near(11.0, 0.0));
    scene.text(words, (spot.x0, (spot.y0 + spot.y1) / 2.0 + 0.35 * TEXT), TEXT, Align::Left, INK);
    taken.push(spot);
}

fn notes(rows: &[Row], groups: &[Experiment]) -> Vec<String> {
    let mut notes = vec![
        "Small marks: search seeds; large filled marks: their mean; bars: least to greatest. Cost is that of the search alone, without selection and retraining."
            .to_string(),
        "Areas do not share axes: a GPU-day of a paper is a day of its own card, and a day of the device used here is another quantity. Hollow marks are reported, not measured."
            .to_string(),
    ];
    if groups.iter().any(|g| g.dataset != "cifar10") {
        notes.push("The papers' numbers are for CIFAR-10; scores on other data sets cannot be compared with them.".into());
    }
    let finished = rows.iter().filter(|r| r.counts()).count();
    let shown: usize = groups.iter().flat_map(|g| &g.series).map(|s| points(s).len()).sum();
    if finished > shown {
        notes.push(format!(
            "Not shown, for want of a final score or of a search cost above zero: {}.",
            counted(finished - shown, "finished run")
        ));
    }
    let out = rows.iter().filter(|r| !r.counts()).count();
    if out > 0 {
        notes.push(format!("Left out as unfinished, damaged or repeated: {}.", counted(out, "run")));
    }
    notes
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::claims::claims;

    #[test]
    fn every_headline_has_a_name_that_covers_nothing() {
        let scene = accuracy_cost(&[], &claims().unwrap());
        let names = ["amoebanet", "nasnet", "enas", "ghn", "darts", "random"];
        let frames: Vec<Frame> = scene.texts().map(super::super::scene::Text::frame).collect();
        for name in names {
            assert_eq!(scene.texts().filter(|t| t.words == name).count(), 1, "{name}");
        }
        for (i, f) in frames.iter().enumerate() {
            assert!(f.x0 >= 0.0 && f.y0 >= 0.0 && f.x1 <= scene.width && f.y1 <= scene.height, "text {i} is cut: {f:?}");
            assert!(!frames[i + 1..].iter().any(|g| f.overlaps(g)), "text {i} covers another");
        }
    }
}
