//! What the phases of a run cost: one stacked bar a group.

use super::anytime::unit;
use super::bars::{Area, Bar, LEFT, WIDTH, draw_area, nothing, swatches};
use super::few::Few;
use super::missing::missing;
use super::panel::small_print;
use super::scene::{Colour, Scene};
use super::series::{Experiment, Series};
use super::style::{Fill, Hatch};
use crate::report::frame::Row;
use crate::units::{show_count, show_seconds};

const TITLE: &str = "Device time of each phase";

/// A phase, as readers call it, and its look.
struct Phase {
    name: &'static str,
    of: fn(&Row) -> Option<f64>,
    fill: Fill,
}

/// In the order in which they run; in grey print from dark to light, and with lines.
const PHASES: [Phase; 5] = [
    Phase { name: "search", of: |r| r.seconds.search, fill: Fill { colour: Colour(0x00, 0x4C, 0x7D), hatch: Hatch::Plain } },
    Phase { name: "selection", of: |r| r.seconds.select, fill: Fill { colour: Colour(0xE6, 0x9F, 0x00), hatch: Hatch::Rising } },
    Phase { name: "retraining", of: |r| r.seconds.retrain, fill: Fill { colour: Colour(0xB5, 0xDE, 0xF5), hatch: Hatch::Plain } },
    Phase { name: "test", of: |r| r.seconds.test, fill: Fill { colour: Colour(0x88, 0x88, 0x88), hatch: Hatch::Plain } },
    Phase { name: "overhead", of: |r| r.seconds.overhead, fill: Fill { colour: Colour(0xFF, 0xFF, 0xFF), hatch: Hatch::Falling } },
];

impl Phase {
    /// Seconds of a run; what is no number of seconds counts as not recorded.
    fn seconds(&self, row: &Row) -> Option<f64> {
        (self.of)(row).filter(|s| s.is_finite() && *s >= 0.0)
    }

    /// Mean over those runs of a group that recorded it.
    fn mean(&self, series: &Series) -> Option<f64> {
        let all: Vec<f64> = series.rows.iter().filter_map(|r| self.seconds(r)).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }
}

/// One area for each data set, preset, unit of cost and metric, one bar a group.
pub fn phases(rows: &[Row]) -> Scene {
    let few = Few::of(rows);
    let mut page = Scene::new(TITLE, WIDTH, 0.0);
    let present = |p: &&Phase| few.groups.iter().flat_map(Experiment::rows).any(|r| p.seconds(r).is_some());
    let legend: Vec<(&str, Fill)> = PHASES.iter().filter(present).map(|p| (p.name, p.fill)).collect();
    let mut top = 14.0;
    if !legend.is_empty() {
        top += swatches(&mut page, &legend, top);
    }
    for group in &few.groups {
        top = draw_area(&mut page, &area(group), top);
    }
    if few.groups.is_empty() {
        top = nothing(&mut page, TITLE, "no finished run", top);
    }
    top += small_print(&mut page, &notes(&few), LEFT, top, WIDTH - 2.0 * LEFT);
    page.height = (top + 14.0).ceil();
    page
}

fn area(group: &Experiment) -> Area {
    let total = |s: &Series| PHASES.iter().filter_map(|p| p.mean(s)).sum::<f64>();
    let (scale, unit) = unit(group.series.iter().map(total).fold(0.0, f64::max));
    let bar = |s: &Series| {
        let parts: Vec<(f64, Fill)> = PHASES.iter().filter_map(|p| Some((p.mean(s)? / scale, p.fill))).collect();
        let n = show_count(s.rows.len() as u64);
        let words = if parts.is_empty() { "not measured".into() } else { format!("{} (n = {n})", show_seconds(total(s))) };
        Bar { name: s.name.clone(), parts, words }
    };
    Area {
        title: format!("{TITLE}: {}, preset {}", group.dataset, group.preset),
        label: format!("device time, mean over runs, {unit} {}", group.device()),
        bars: group.series.iter().map(bar).collect(),
    }
}

fn notes(few: &Few) -> Vec<String> {
    let mut notes = vec![
        "Device time of all attempts as the ledger has it; the number behind a bar is the sum of its phases. Each phase is a mean over the runs that recorded it."
            .to_string(),
    ];
    for phase in &PHASES {
        let all = few.groups.iter().flat_map(|g| g.series.iter().map(move |s| (g, s)));
        notes.extend(missing(&format!("No {} drawn", phase.name), all, |r| {
            phase.seconds(r).is_none().then(|| "the run has no such phase or it was not measured".to_string())
        }));
    }
    notes.extend(few.notes.iter().cloned());
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_phases_differ_in_grey_print() {
        let grey = |Colour(r, g, b): Colour| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
        for (i, a) in PHASES.iter().enumerate() {
            for b in &PHASES[i + 1..] {
                let apart = (grey(a.fill.colour) - grey(b.fill.colour)).abs();
                assert!(apart > 60.0 || a.fill.hatch != b.fill.hatch, "{} and {}: {apart}", a.name, b.name);
            }
        }
    }
}
