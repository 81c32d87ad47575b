//! How much memory the runs of a group needed at most: one bar a group.

use super::bars::{Area, Bar, LEFT, WIDTH, draw_area, nothing};
use super::few::Few;
use super::missing::missing;
use super::panel::small_print;
use super::scene::{Colour, Scene};
use super::series::{Experiment, Series};
use super::style::{Fill, Hatch};
use crate::report::frame::Row;
use crate::units::show_bytes;

const TITLE: &str = "Peak memory";
const FILL: Fill = Fill { colour: Colour(0x56, 0xB4, 0xE9), hatch: Hatch::Plain };

/// Which memory is meant: that of the card where a card did the arithmetic. One is never put in place of the other.
fn of_card(row: &Row) -> bool {
    row.manifest.as_ref().is_some_and(|m| m.device.kind == "cuda")
}

fn peak(row: &Row) -> Option<u64> {
    if of_card(row) { row.peak_device_allocated } else { row.peak_host_bytes }
}

/// One area for each data set, preset, device and metric, one bar a group.
pub fn memory(rows: &[Row]) -> Scene {
    let few = Few::of(rows);
    let mut page = Scene::new("Peak memory of each group", WIDTH, 0.0);
    let mut top = 6.0;
    for group in &few.groups {
        top = draw_area(&mut page, &area(group), top);
    }
    if few.groups.is_empty() {
        top = nothing(&mut page, TITLE, "no finished run", top);
    }
    let mut notes =
        vec!["The largest of a group's runs, all phases. Memory of the host is that of the whole process, libtorch included.".to_string()];
    let all = few.groups.iter().flat_map(|g| g.series.iter().map(move |s| (g, s)));
    notes.extend(missing("No bar", all, |r| peak(r).is_none().then(|| "not measured".to_string())));
    notes.extend(few.notes.iter().cloned());
    top += small_print(&mut page, &notes, LEFT, top, WIDTH - 2.0 * LEFT);
    page.height = (top + 14.0).ceil();
    page
}

fn area(group: &Experiment) -> Area {
    let largest = |s: &Series| s.rows.iter().filter_map(|r| peak(r)).max();
    let (scale, unit) = unit(group.series.iter().filter_map(largest).max().unwrap_or(0));
    let bar = |s: &Series| {
        let bytes = largest(s);
        Bar {
            name: s.name.clone(),
            parts: bytes.map(|b| (b as f64 / scale, FILL)).into_iter().collect(),
            words: bytes.map_or_else(|| "not measured".into(), show_bytes),
        }
    };
    let which = if group.rows().any(of_card) { "memory of the card, handed out by its allocator" } else { "memory of the host, resident" };
    Area {
        title: format!("{TITLE}: {}, preset {}", group.dataset, group.preset),
        label: format!("peak {which}, largest over runs, {unit} {}", group.device()),
        bars: group.series.iter().map(bar).collect(),
    }
}

/// Bytes of the unit that suits the largest peak, and its name.
fn unit(bytes: u64) -> (f64, &'static str) {
    match bytes {
        b if b >= 4 << 40 => (f64::from(1u32 << 20).powi(2), "TiB"),
        b if b >= 4 << 30 => (f64::from(1u32 << 30), "GiB"),
        _ => (f64::from(1u32 << 20), "MiB"),
    }
}
