//! What the runs of a group used, one bar a group: device time of each phase, and memory at the most.

use super::anytime::unit;
use super::axis::Axis;
use super::few::Few;
use super::panel::{Entry, Panel, TEXT, page};
use super::scene::{Align, Colour, FAINT, Frame, INK, Scene};
use super::series::{Experiment, Series};
use super::style::Look;
use super::words::fitted;
use crate::record::{Phase, Shape};
use crate::report::load::Run;
use crate::report::statistics::mean;
use crate::units::{show_bytes, show_count, show_seconds};

const PLAIN: Colour = Colour(0x56, 0xB4, 0xE9);
/// Height of a bar, and of its row.
const BAR: (f64, f64) = (15.0, 24.0);
/// Room for names, bars, and the words at their ends.
const ROOM: [f64; 3] = [236.0, 380.0, 136.0];

/// A bar: its name, its parts from left to right with their colours, and the words behind its end.
type Bar = (String, Vec<(f64, Colour)>, String);

/// The phases in the order in which they run, as readers call them, in colours that differ in grey print too.
const PARTS: [(Phase, &str, Colour); 5] = [
    (Phase::Search, "search", Colour(0x00, 0x26, 0x40)),
    (Phase::Select, "selection", Colour(0xD5, 0x5E, 0x00)),
    (Phase::Retrain, "retraining", Colour(0x8C, 0xCB, 0xF0)),
    (Phase::Test, "test", Colour(0x4B, 0x4B, 0x4B)),
    (Phase::Overhead, "overhead", Colour(0xE6, 0xE6, 0xE6)),
];

/// An area of bars that share an axis; nothing is drawn for a length of 0.
fn bars(title: &str, label: &str, bars: Vec<Bar>) -> Panel {
    let [left, width, right] = ROOM;
    let axis = Axis::from_zero(bars.iter().map(|(_, parts, _)| parts.iter().map(|p| p.0).sum()), 1e-3);
    let names = Axis::names(bars.iter().map(|(name, ..)| fitted(name, TEXT - 1.0, false, left - 20.0)));
    let mut panel = Panel::new([left, width, right, BAR.1 * bars.len() as f64], axis, names, [title, label, ""]);
    for (i, (_, parts, words)) in bars.into_iter().enumerate() {
        let place = |panel: &Panel, length: f64| panel.at((length, i as f64)).unwrap_or((left, 0.0));
        let (mut length, mut end) = (0.0, place(&panel, 0.0));
        let colour = if parts.is_empty() { FAINT } else { INK };
        for (part, colour) in parts.into_iter().filter(|(part, _)| *part > 0.0) {
            length += part;
            let (from, to) = (end.0, place(&panel, length));
            panel.scene.pill(Frame { x0: from, y0: to.1 - BAR.0 / 2.0, x1: to.0, y1: to.1 + BAR.0 / 2.0 }, 0.0, colour, INK, 0.9);
            end = to;
        }
        panel.scene.text(fitted(&words, TEXT - 1.0, false, right), (end.0 + 6.0, end.1 + 4.5), TEXT - 1.0, Align::Left, colour);
    }
    panel
}

/// Seconds of a run; what is no number of seconds counts as not recorded.
fn seconds(run: &Run, phase: Phase) -> Option<f64> {
    run.seconds(phase).filter(|s| s.is_finite() && *s >= 0.0)
}

/// One area for each data set, preset, unit of cost and metric, one bar a group.
pub fn phases(runs: &[Run]) -> Scene {
    let few = Few::of(runs);
    let mut notes = vec![
        "Device time of all attempts as the ledger has it; the number behind a bar is the sum of its phases. Each phase is a mean over the runs that recorded it."
            .to_string(),
    ];
    for (phase, name, _) in PARTS {
        let why = |r: &Run| seconds(r, phase).is_none().then(|| "the run has no such phase or it was not measured".to_string());
        notes.extend(few.missing(&format!("No {name} drawn"), why));
    }
    page("Device time of each phase", 1, &few.groups, phases_area, few.with(notes))
}

fn phases_area(group: &Experiment) -> Panel {
    // Means over those runs that recorded a phase.
    let of = |s: &Series, phase| mean(&s.rows.iter().filter_map(|r| seconds(r, phase)).collect::<Vec<f64>>());
    let total = |s: &Series| PARTS.iter().filter_map(|(phase, ..)| of(s, *phase)).sum::<f64>();
    let (scale, unit) = unit(group.series.iter().map(total).fold(0.0, f64::max));
    let bar = |s: &Series| {
        let parts: Vec<_> = PARTS.iter().filter_map(|(phase, _, colour)| Some((of(s, *phase)? / scale, *colour))).collect();
        let n = show_count(s.rows.len() as u64);
        let words = if parts.is_empty() { "not measured".into() } else { format!("{} (n = {n})", show_seconds(total(s))) };
        (s.name.clone(), parts, words)
    };
    let label = format!("device time, mean over runs, {unit} {}", group.device());
    let mut panel = bars(&group.title("Device time of each phase"), &label, group.series.iter().map(bar).collect());
    for (_, name, colour) in PARTS.into_iter().filter(|(phase, ..)| group.rows().any(|r| seconds(r, *phase).is_some())) {
        let look = Look { colour, shape: Shape::Square, dashed: false };
        panel.entries.push(Entry { look, radius: 5.5, filled: true, lined: false, words: name.into() });
    }
    panel
}

/// One area for each data set, preset, device and metric, one bar a group.
pub fn memory(runs: &[Run]) -> Scene {
    let few = Few::of(runs);
    let mut notes =
        vec!["The largest of a group's runs, all phases. Memory of the host is that of the whole process, libtorch included.".to_string()];
    notes.extend(few.missing("No bar", |r| r.peak().is_none().then(|| "not measured".to_string())));
    page("Peak memory of each group", 1, &few.groups, memory_area, few.with(notes))
}

fn memory_area(group: &Experiment) -> Panel {
    let largest = |s: &Series| s.rows.iter().filter_map(|r| r.peak()).max();
    let (scale, unit) = bytes_in(group.series.iter().filter_map(largest).max().unwrap_or(0));
    let bar = |s: &Series| {
        let parts = largest(s).map(|bytes| (bytes as f64 / scale, PLAIN)).into_iter().collect();
        (s.name.clone(), parts, largest(s).map_or_else(|| "not measured".into(), show_bytes))
    };
    let which =
        if group.rows().any(Run::on_card) { "memory of the card, handed out by its allocator" } else { "memory of the host, resident" };
    let label = format!("peak {which}, largest over runs, {unit} {}", group.device());
    bars(&group.title("Peak memory"), &label, group.series.iter().map(bar).collect())
}

/// Bytes of the unit that suits the largest peak, and its name.
fn bytes_in(bytes: u64) -> (f64, &'static str) {
    match bytes {
        b if b >= 4 << 40 => (f64::from(1u32 << 20).powi(2), "TiB"),
        b if b >= 4 << 30 => (f64::from(1u32 << 30), "GiB"),
        _ => (f64::from(1u32 << 20), "MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 0 is black, 255 the paper: five greys between them, none of which is lost on either, cannot be much further apart.
    #[test]
    fn phases_differ_in_grey_print() {
        let grey = |Colour(r, g, b): Colour| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
        for (i, (_, name, a)) in PARTS.iter().enumerate() {
            for (_, other, b) in &PARTS[i + 1..] {
                let apart = (grey(*a) - grey(*b)).abs();
                assert!(apart > 40.0, "{name} and {other}: {apart}");
            }
        }
    }
}
