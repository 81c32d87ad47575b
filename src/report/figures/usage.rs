//! What the runs of a group used, one bar per group: cost of each phase, and memory at the most.

use super::few::Few;
use super::series::{Experiment, Series, unit};
use super::{Drawn, Figure};
use crate::plot::{About, Align, Axis, Colour, Entry, FAINT, Frame, INK, Look, PAPER, Panel, Paper, fitted, phase_colour, text_width};
use crate::record::{Phase, Shape};
use crate::report::load::Run;
use crate::statistics::inference::{Interval, mean_interval};
use crate::statistics::mean;
use crate::units::{show_bytes, show_count};

/// A bar.
struct Bar {
    series: String,
    /// From left to right, with their colours.
    parts: Vec<(f64, Colour)>,
    /// The words behind its end.
    words: String,
    /// 95 % interval of the mean of the whole.
    interval: Option<Interval>,
}

/// The phases in the order in which they run, as readers call them.
const PARTS: [(Phase, &str); 5] = [
    (Phase::Search, "search"),
    (Phase::Select, "selection"),
    (Phase::Retrain, "retraining"),
    (Phase::Test, "test"),
    (Phase::Overhead, "overhead"),
];

/// A panel of bars that share an axis, each below its name; nothing is drawn for a length of 0.
fn bars(paper: Paper, titles: [&str; 2], bars: &[Bar]) -> Panel {
    let (size, row) = (paper.small(), 2.0 * paper.line());
    let longest = bars.iter().map(|b| text_width(&b.words, size, false)).fold(0.0, f64::max).min(0.45 * paper.width);
    let whole = |b: &Bar| b.parts.iter().map(|p| p.0).sum::<f64>();
    let axis = Axis::from_zero(bars.iter().flat_map(|b| [whole(b), b.interval.map_or(0.0, |i| i.1)]), 1e-3);
    let names = Axis::names(bars.iter().map(|b| b.series.clone()));
    let ends = [paper.of(8.0), paper.width - longest - paper.of(14.0)];
    let mut panel = Panel::within(paper, ends, row * bars.len() as f64, axis, names, [titles[0], titles[1], ""]);
    for (i, bar) in bars.iter().enumerate() {
        let (from, middle) = (panel.drawn(), i as f64 + 0.22);
        let place = |panel: &Panel, length: f64| panel.near((length, middle)).unwrap_or_default();
        let name = fitted(&bar.series, size, false, paper.width - paper.of(16.0));
        let top = panel.frame.y0 + row * i as f64;
        panel.scene.text(name, (panel.frame.x0 + paper.of(3.0), top + 1.05 * size), size, Align::Left, INK);
        let (mut length, mut end, half) = (0.0, place(&panel, 0.0), 0.24 * row);
        for (part, colour) in bar.parts.iter().filter(|(part, _)| *part > 0.0) {
            length += part;
            let (left, to) = (end.0, place(&panel, length));
            panel.scene.pill(Frame { x0: left, y0: to.1 - half, x1: to.0, y1: to.1 + half }, 0.0, (*colour, 1.0), INK, paper.of(0.9));
            end = to;
        }
        let mut right = end.0;
        if let Some((low, high)) = bar.interval {
            let ends = [low.max(0.0), high].map(|v| place(&panel, v));
            panel.scene.line(ends.into(), paper.of(3.2), PAPER);
            panel.whisker((low.max(0.0), middle), (high, middle), INK);
            right = right.max(place(&panel, high).0);
        }
        let colour = if bar.parts.is_empty() { FAINT } else { INK };
        let words = fitted(&bar.words, size, false, paper.width - right - paper.of(8.0));
        panel.scene.text(words, (right + paper.of(6.0), end.1 + 0.35 * size), size, Align::Left, colour);
        panel.group(from, About::tip(&bar.series, format!("{}: {}", bar.series, bar.words)));
    }
    panel
}

/// Cost of a phase of a run in seconds; what is no number of seconds counts as not recorded. A run on unlike devices has no sum, so it has no bar either.
fn seconds(run: &Run, phase: Phase) -> Option<f64> {
    run.cost(Some(phase)).filter(|s| s.is_finite() && *s >= 0.0 && !run.is_unlike(None))
}

/// Cost of the phases, and peak memory, of each data set, preset, device and metric.
pub fn cost(few: &Few, paper: Paper) -> Figure {
    let drawn = few.groups.iter().flat_map(|group| [phases(group, paper), memory(group, paper)]).collect();
    let mut notes = vec![
        "Cost summed over all attempts; the number behind a bar is the sum of its phases, each a mean over the runs that recorded it. Error bars: Student's 95 % interval of the \
         mean total, from three seeds on."
            .to_string(),
        "Memory is the largest of a group's runs, all phases. On a processor it is that of the whole process, of which libtorch itself takes most in small runs; memory of an idle process \
         is not recorded."
            .into(),
    ];
    for (phase, name) in &PARTS[..4] {
        let words = |r: &Run| if r.is_unlike(None) { "on unlike devices, whose times are not added" } else { "or it was not measured" };
        let why = |r: &Run| seconds(r, *phase).is_none().then(|| words(r).to_string());
        notes.extend(few.missing(&format!("No {name} phase"), why));
    }
    notes.extend(few.missing("No bar", |r| r.peak().is_none().then(|| "memory not measured".to_string())));
    Figure::new("cost", "Cost of each phase, and peak memory", drawn, few.with(notes))
}

fn phases(group: &Experiment, paper: Paper) -> Drawn {
    // Means over those runs that recorded a phase.
    let of = |s: &Series, phase| mean(&s.rows.iter().filter_map(|r| seconds(r, phase)).collect::<Vec<f64>>());
    let total = |s: &Series| PARTS.iter().filter_map(|(phase, _)| of(s, *phase)).sum::<f64>();
    let (scale, unit) = unit(group.series.iter().map(total).fold(0.0, f64::max));
    let bar = |s: &Series| {
        let parts: Vec<_> =
            PARTS.iter().enumerate().filter_map(|(i, (phase, _))| Some((of(s, *phase)? / scale, phase_colour(i)))).collect();
        let of_run = |r: &Run| PARTS.iter().filter_map(|(phase, _)| seconds(r, *phase)).sum::<f64>() / scale;
        let totals: Vec<f64> = s.rows.iter().filter(|r| !r.is_unlike(None)).map(|r| of_run(r)).collect();
        let n = show_count(totals.len() as u64);
        let words = if parts.is_empty() { "not measured".into() } else { format!("{:.1} (n = {n})", total(s) / scale) };
        Bar { series: s.name.clone(), interval: mean_interval(&totals).filter(|_| !parts.is_empty()), parts, words }
    };
    let all: Vec<Bar> = group.series.iter().map(bar).collect();
    let label = group.cost_label("cost, mean over runs", unit);
    let mut panel = bars(paper, [&group.title("Cost of each phase"), &label], &all);
    for (i, (_, name)) in
        PARTS.iter().enumerate().filter(|(_, (phase, _))| group.rows().any(|r| seconds(r, *phase).is_some_and(|s| s > 0.0)))
    {
        let look = Look { colour: phase_colour(i), shape: Shape::Square, dashed: false };
        panel.entries.push(Entry::of("", look, *name));
    }
    named("phases", group, panel, &label, &all)
}

fn named(what: &str, group: &Experiment, panel: Panel, label: &str, bars: &[Bar]) -> Drawn {
    let list: Vec<String> = bars.iter().map(|b| format!("{} {}", b.series, b.words)).collect();
    let words = format!("{label} on {}, preset {}: {}", group.dataset, group.preset, list.join(", "));
    (format!("{what}-{}-{}", group.dataset, group.preset), panel, words)
}

fn memory(group: &Experiment, paper: Paper) -> Drawn {
    let largest = |s: &Series| s.rows.iter().filter_map(|r| r.peak()).max();
    let (scale, unit) = bytes_in(group.series.iter().filter_map(largest).max().unwrap_or(0));
    let bar = |s: &Series| {
        let n = s.rows.iter().filter(|r| r.peak().is_some()).count() as u64;
        let words = largest(s).map_or_else(|| "not measured".into(), |bytes| format!("{} (n = {})", show_bytes(bytes), show_count(n)));
        let parts = largest(s).map(|bytes| (bytes as f64 / scale, phase_colour(2))).into_iter().collect();
        Bar { series: s.name.clone(), parts, words, interval: None }
    };
    let all: Vec<Bar> = group.series.iter().map(bar).collect();
    let which = if group.rows().any(Run::on_card) {
        "memory of the card, handed out by its allocator"
    } else {
        "memory of the process, libtorch included"
    };
    let label = format!("peak {which}, largest over runs, {unit} {}", group.device());
    let panel = bars(paper, [&group.title("Peak memory"), &label], &all);
    named("memory", group, panel, &label, &all)
}

/// Bytes of the unit that suits the largest peak, and its name.
fn bytes_in(bytes: u64) -> (f64, &'static str) {
    match bytes {
        b if b >= 4 << 40 => (f64::from(1u32 << 20).powi(2), "TiB"),
        b if b >= 4 << 30 => (f64::from(1u32 << 30), "GiB"),
        _ => (f64::from(1u32 << 20), "MiB"),
    }
}
