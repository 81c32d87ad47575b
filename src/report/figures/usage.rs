//! What the runs of a group used, one bar a group: device time of each phase, and memory at the most.

use super::anytime::unit;
use super::bars::{Area, Bar, fill, swatches};
use super::few::Few;
use super::panel::WIDTH;
use super::scene::{Colour, Scene};
use super::series::{Experiment, Series};
use super::style::{Fill, Hatch};
use crate::record::Phase;
use crate::report::load::Run;
use crate::report::statistics::mean;
use crate::units::{show_bytes, show_count, show_seconds};

const PHASES: &str = "Device time of each phase";
const MEMORY: &str = "Peak memory";
const PLAIN: Fill = Fill { colour: Colour(0x56, 0xB4, 0xE9), hatch: Hatch::Plain };

/// A phase as readers call it, and how its bar is filled.
type Part = (Phase, &'static str, Fill);

/// In the order in which they run; in grey print from dark to light, and with lines.
const PARTS: [Part; 5] = [
    (Phase::Search, "search", Fill { colour: Colour(0x00, 0x4C, 0x7D), hatch: Hatch::Plain }),
    (Phase::Select, "selection", Fill { colour: Colour(0xE6, 0x9F, 0x00), hatch: Hatch::Rising }),
    (Phase::Retrain, "retraining", Fill { colour: Colour(0xB5, 0xDE, 0xF5), hatch: Hatch::Plain }),
    (Phase::Test, "test", Fill { colour: Colour(0x88, 0x88, 0x88), hatch: Hatch::Plain }),
    (Phase::Overhead, "overhead", Fill { colour: Colour(0xFF, 0xFF, 0xFF), hatch: Hatch::Falling }),
];

/// Seconds of a run; what is no number of seconds counts as not recorded.
fn seconds(run: &Run, phase: Phase) -> Option<f64> {
    run.seconds(phase).filter(|s| s.is_finite() && *s >= 0.0)
}

/// Mean over those runs of a group that recorded the phase.
fn mean_seconds(series: &Series, phase: Phase) -> Option<f64> {
    mean(&series.rows.iter().filter_map(|r| seconds(r, phase)).collect::<Vec<f64>>())
}

/// One area for each data set, preset, unit of cost and metric, one bar a group.
pub fn phases(runs: &[Run]) -> Scene {
    let few = Few::of(runs);
    let mut page = Scene::new(PHASES, WIDTH, 0.0);
    let present = |(phase, ..): &&Part| few.groups.iter().flat_map(Experiment::rows).any(|r| seconds(r, *phase).is_some());
    let legend: Vec<(&str, Fill)> = PARTS.iter().filter(present).map(|(_, name, fill)| (*name, *fill)).collect();
    let mut top = 14.0;
    if !legend.is_empty() {
        top += swatches(&mut page, &legend, top);
    }
    fill(page, &few, PHASES, phases_area, &notes(&few), top)
}

fn phases_area(group: &Experiment) -> Area {
    let total = |s: &Series| PARTS.iter().filter_map(|(phase, ..)| mean_seconds(s, *phase)).sum::<f64>();
    let (scale, unit) = unit(group.series.iter().map(total).fold(0.0, f64::max));
    let bar = |s: &Series| {
        let parts: Vec<(f64, Fill)> = PARTS.iter().filter_map(|(phase, _, fill)| Some((mean_seconds(s, *phase)? / scale, *fill))).collect();
        let n = show_count(s.rows.len() as u64);
        let words = if parts.is_empty() { "not measured".into() } else { format!("{} (n = {n})", show_seconds(total(s))) };
        Bar { name: s.name.clone(), parts, words }
    };
    Area {
        title: format!("{PHASES}: {}, preset {}", group.dataset, group.preset),
        label: format!("device time, mean over runs, {unit} {}", group.device()),
        bars: group.series.iter().map(bar).collect(),
    }
}

fn notes(few: &Few) -> Vec<String> {
    let mut notes = vec![
        "Device time of all attempts as the ledger has it; the number behind a bar is the sum of its phases. Each phase is a mean over the runs that recorded it."
            .to_string(),
    ];
    for (phase, name, _) in PARTS {
        let why = |r: &Run| seconds(r, phase).is_none().then(|| "the run has no such phase or it was not measured".to_string());
        notes.extend(few.missing(&format!("No {name} drawn"), why));
    }
    notes.extend(few.notes.iter().cloned());
    notes
}

/// One area for each data set, preset, device and metric, one bar a group.
pub fn memory(runs: &[Run]) -> Scene {
    let few = Few::of(runs);
    let mut notes =
        vec!["The largest of a group's runs, all phases. Memory of the host is that of the whole process, libtorch included.".to_string()];
    notes.extend(few.missing("No bar", |r| r.peak().is_none().then(|| "not measured".to_string())));
    notes.extend(few.notes.iter().cloned());
    fill(Scene::new("Peak memory of each group", WIDTH, 0.0), &few, MEMORY, memory_area, &notes, 6.0)
}

fn memory_area(group: &Experiment) -> Area {
    let largest = |s: &Series| s.rows.iter().filter_map(|r| r.peak()).max();
    let (scale, unit) = bytes_in(group.series.iter().filter_map(largest).max().unwrap_or(0));
    let bar = |s: &Series| {
        let bytes = largest(s);
        Bar {
            name: s.name.clone(),
            parts: bytes.map(|b| (b as f64 / scale, PLAIN)).into_iter().collect(),
            words: bytes.map_or_else(|| "not measured".into(), show_bytes),
        }
    };
    let which =
        if group.rows().any(Run::on_card) { "memory of the card, handed out by its allocator" } else { "memory of the host, resident" };
    Area {
        title: format!("{MEMORY}: {}, preset {}", group.dataset, group.preset),
        label: format!("peak {which}, largest over runs, {unit} {}", group.device()),
        bars: group.series.iter().map(bar).collect(),
    }
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

    #[test]
    fn neighbouring_phases_differ_in_grey_print() {
        let grey = |Colour(r, g, b): Colour| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
        for (i, (_, name, a)) in PARTS.iter().enumerate() {
            for (_, other, b) in &PARTS[i + 1..] {
                let apart = (grey(a.colour) - grey(b.colour)).abs();
                assert!(apart > 60.0 || a.hatch != b.hatch, "{name} and {other}: {apart}");
            }
        }
    }
}
