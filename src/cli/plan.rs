//! `naslab plan`

use super::args::PlanArguments;
use super::run::{open_device, order, quietly};
use super::show::print_out;
use crate::error::Result;
use crate::lab::{Forecast, prepare};
use crate::record::{Limits, Manifest};
use crate::reproductions::method;
use crate::units::{SECONDS_PER_DAY, show_bytes, show_seconds};
use std::fmt::Write;

/// Prints what a run would do and what it would cost.
pub fn plan(a: &PlanArguments) -> Result<()> {
    let method = method(&a.method)?;
    let device = open_device(&a.settings)?;
    let order = order(method, &a.settings, 0, device)?;
    let ready = prepare(method, &order)?;
    print_out(&describe(&ready.manifest))?;
    for note in ready.notes() {
        print_out(&format!("note: {note}\n"))?;
    }
    // The forecast itself is not limited: it is there to say whether the limits can be kept.
    let forecast = ready.forecast(quietly(order.jobs)?)?;
    print_out(&show_forecast(&forecast, &ready.manifest))
}

fn describe(m: &Manifest) -> String {
    let mut out = String::new();
    let counts: Vec<String> = m.data.counts.iter().map(|(part, n)| format!("{part} {n}")).collect();
    let _ = writeln!(out, "method    {} {}", m.method, m.variant);
    let _ = writeln!(
        out,
        "data      {}: {}x{}x{}, {} classes; images: {}",
        m.dataset,
        m.data.channels,
        m.data.height,
        m.data.width,
        m.data.classes,
        counts.join(", ")
    );
    let _ = writeln!(out, "device    {} ({}), {} threads, libtorch {}", m.device.kind, m.device.name, m.device.threads, m.libtorch);
    let _ = writeln!(out, "limits    {}", limits(&m.limits));
    let _ = writeln!(out, "preset    {}", m.preset);
    if m.shrunk.is_empty() {
        let _ = writeln!(out, "          nothing differs from the paper's settings");
    }
    for s in &m.shrunk {
        let _ = writeln!(out, "          {} = {} (paper: {})", s.key, s.here, s.paper);
    }
    let _ = writeln!(out, "\nsettings\n{}", toml::to_string(&m.settings).unwrap_or_else(|_| m.settings.to_string()));
    out
}

fn limits(l: &Limits) -> String {
    let list: Vec<String> = [
        l.budget_seconds.map(|s| format!("device time of search and selection {}", show_seconds(s))),
        l.max_trials.map(|n| format!("{n} trials")),
        l.max_memory_bytes.map(|b| format!("memory {}", show_bytes(b))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if list.is_empty() { "none".into() } else { list.join(", ") }
}

fn show_forecast(f: &Forecast, m: &Manifest) -> String {
    let unit = if m.device.kind == "cuda" { "GPU-days".into() } else { format!("CPU-days ({} cores)", m.device.cores) };
    let line = |what: &str, s: f64| format!("{what:10}{} = {:.4} {unit}\n", show_seconds(s), s / SECONDS_PER_DAY);
    let mut out = String::from("forecast, from a few measured steps\n");
    out += &line("search", f.search_seconds);
    out += &line("select", f.select_seconds);
    out += &line("retrain", f.retrain_seconds);
    out += &format!("memory    {}\n", f.peak_bytes.map_or("not measured".into(), |b| format!("{} at least", show_bytes(b))));
    if let Some(budget) = m.limits.budget_seconds.filter(|b| *b < f.search_seconds + f.select_seconds) {
        out += &format!(
            "warning: the budget of {} ends search and selection after about {:.0} % of them, with the best so far\n",
            show_seconds(budget),
            100.0 * budget / (f.search_seconds + f.select_seconds)
        );
    }
    out
}
