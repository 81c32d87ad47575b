//! `naslab bench`

use super::member::{MemberPlan, Work, ended};
use super::run::{open_device, order};
use super::run_args::BenchArguments;
use super::show::{print_out, table};
use super::values::chosen;
use crate::error::{Result, resource, usage};
use crate::lab::{Measured, Order, prepare};
use crate::message::say;
use crate::nn::Kernels;
use crate::record::{is_node, write_json_output};
use crate::reproductions::{METHODS, method};
use crate::units::{show_bytes, show_count};
use serde::Serialize;
use std::process::Stdio;
use tch::Device;

/// One process's measurements.
#[derive(Debug, Serialize)]
struct Entry {
    method: String,
    kernels: Kernels,
    measured: Measured,
}

/// Measures every method by every form, each in a process of its own, so that no peak of memory is another's.
pub fn bench(a: &BenchArguments) -> Result<()> {
    let methods = chosen(&a.methods, METHODS, method)?;
    let device = open_device(&a.settings)?;
    let mut forms = a.forms.clone();
    if device != Device::Cpu {
        say!("note: naslab's own kernels are for processors; on a card the forms are plain and grouped, in libtorch's operators");
        forms.retain(|form| matches!(form, Kernels::Plain | Kernels::Grouped));
        if forms.is_empty() {
            return Err(usage!("--kernels: a card has the forms plain and grouped"));
        }
    }
    let mut plans = Vec::new();
    for method in methods {
        let order = order(method, &a.settings, 0, device)?;
        if order.settings.pointer("/search/form").is_some_and(|form| form == "grouped") {
            return Err(usage!("--set search.form: a measurement has every form; choose with --kernels"));
        }
        // What does not fit is refused before anything is measured.
        let has_groups = prepare(method, &Order { device: Device::Cpu, ..order.clone() })?.has_groups();
        let own: Vec<Kernels> = forms.iter().copied().filter(|form| has_groups || *form != Kernels::Grouped).collect();
        if own.is_empty() {
            return Err(usage!("--kernels grouped: {} has no grouped form with these settings; leave it out", method.card().name));
        }
        plans.extend(own.into_iter().map(|form| (method, order.clone(), form)));
    }
    // A file that cannot be written is told before the measurements, which are minutes; a pipe or a device gets the end alone.
    let is_file = a.json.as_deref().is_some_and(|path| !is_node(path));
    if is_file {
        save(&[], a)?;
    }
    let mut entries = Vec::new();
    let mut failed = None;
    for (method, order, form) in plans {
        let plan = MemberPlan::new(method, order, Work::Measure { kernels: form, steps: a.steps as usize });
        let name = method.card().name;
        say!("{name}: {}", form.name());
        match measured(&plan, name, form) {
            Ok(measured) => entries.push(Entry { method: name.into(), kernels: form, measured }),
            Err(error) => {
                // What is measured is kept, and the others may succeed.
                say!("naslab: {error}");
                failed = failed.or(Some(error));
            }
        }
        if is_file {
            save(&entries, a)?;
        }
    }
    if !is_file {
        save(&entries, a)?;
    }
    print_out(describe(&entries))?;
    failed.map_or(Ok(()), Err)
}

fn save(entries: &[Entry], a: &BenchArguments) -> Result<()> {
    let Some(path) = &a.json else { return Ok(()) };
    write_json_output(path, entries)
}

fn measured(plan: &MemberPlan, method: &str, form: Kernels) -> Result<Measured> {
    let (mut command, _plan_file) = plan.command()?;
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| resource!("cannot start a measurement: {e}"))?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).map_err(|e| resource!("cannot read what a measurement printed: {e}"));
    }
    Err(ended(&format!("the measurement of {method} by {}", form.name()), output.status))
}

/// A row for each kind of step and form; what the plain form took is the measure.
fn describe(entries: &[Entry]) -> String {
    let rows = entries.iter().flat_map(|entry| {
        let plain = entries.iter().find(|e| e.method == entry.method && e.kernels == Kernels::Plain).map(|e| &e.measured);
        (0..entry.measured.timings.len()).map(move |i| row(entry, plain, i))
    });
    let header = [
        "method",
        "step",
        "kernels",
        "median",
        "fastest",
        "slowest",
        "steps/s",
        "operators",
        "energy",
        "peak memory",
        "times as fast",
        "memory",
    ];
    table(header, &[0, 1, 2], rows)
}

fn row(entry: &Entry, plain: Option<&Measured>, i: usize) -> [String; 12] {
    let dash = || "-".to_string();
    let (timing, peak) = (&entry.measured.timings[i], entry.measured.peak_bytes);
    let seconds = |s: f64| if s < 1.0 { format!("{:.2} ms", 1e3 * s) } else { format!("{s:.3} s") };
    let (fastest, slowest) = timing.seconds.iter().fold((f64::INFINITY, 0.0f64), |(low, high), s| (low.min(*s), high.max(*s)));
    let faster = plain.and_then(|p| p.timings.get(i)).map(|p| format!("{:.2}", p.median() / timing.median()));
    let share = plain.and_then(|p| Some(format!("{:.0} %", 100.0 * peak? as f64 / p.peak_bytes? as f64)));
    [
        entry.method.clone(),
        timing.what.clone(),
        entry.kernels.name().into(),
        seconds(timing.median()),
        seconds(fastest),
        seconds(slowest),
        format!("{:.3}", 1.0 / timing.median()),
        timing.operators.map_or_else(dash, show_count),
        timing.joules.map_or_else(dash, |joules| format!("{joules:.1} J")),
        peak.map_or_else(dash, show_bytes),
        faster.unwrap_or_else(dash),
        share.unwrap_or_else(dash),
    ]
}
