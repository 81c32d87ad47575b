//! `naslab plan`

use super::cluster::{JOBS, devices_on, with_jobs};
use super::run::{order, quietly};
use super::run_args::{ClusterArgs, RunSettingsArgs};
use super::show::print_out;
use crate::error::Result;
use crate::lab::{Forecast, Order, SessionOptions, prepare};
use crate::record::{Limits, Manifest};
use crate::reproductions::method;
use crate::units::{SECONDS_PER_DAY, show_bytes, show_seconds};

/// Prints what a run would do and what it would cost.
pub fn plan(name: &str, settings: &RunSettingsArgs, cluster: &ClusterArgs) -> Result<()> {
    let (method, on_cluster) = (method(name)?, cluster.is_slurm());
    if !on_cluster {
        cluster.says_nothing()?;
    }
    // What a forecast measures is measured here.
    let one = RunSettingsArgs { jobs: Some(1), ..settings.clone() };
    let devices = devices_on(None, settings)?;
    let settings = &with_jobs(None, &devices, settings);
    let order = order(method, if on_cluster { &one } else { settings }, 0, devices.first)?;
    let order = Order { devices: devices.several, ..order };
    let ready = prepare(method, &order)?;
    print_out(describe(&ready.manifest))?;
    print_out(ready.notes().iter().map(|note| format!("note: {note}\n")).collect::<String>())?;
    // The forecast itself is not limited: it is there to say whether the limits can be kept.
    let forecast = ready.forecast(SessionOptions { devices: order.devices.clone(), ..quietly(order.jobs)? })?;
    print_out(show_forecast(&forecast, &ready.manifest))?;
    match on_cluster {
        true => print_out(show_on_cluster(&forecast, settings.jobs.unwrap_or(JOBS), ready.side_by_side())),
        false => Ok(()),
    }
}

fn describe(m: &Manifest) -> String {
    let (data, device, limits) = (&m.data, &m.device, limits(&m.limits));
    let counts: Vec<String> = data.counts.iter().map(|(part, n)| format!("{part} {n}")).collect();
    let size = format!("{}x{}x{}, {} classes", data.channels, data.height, data.width, data.classes);
    let mut shrunk: String = m.shrunk.iter().map(|s| format!("          {} = {} (paper: {})\n", s.key, s.here, s.paper)).collect();
    if shrunk.is_empty() {
        shrunk = "          nothing differs from the paper's settings\n".into();
    }
    let settings = toml::to_string(&m.settings).unwrap_or_else(|_| m.settings.to_string());
    [
        format!("method    {} {}\n", m.method, m.variant),
        format!("data      {}: {size}; images: {}\n", m.dataset, counts.join(", ")),
        format!("device    {} ({}), {} threads, libtorch {}\n", device.kind, device.name, device.threads, m.libtorch),
        format!("limits    {limits}\npreset    {}\n{shrunk}\nsettings\n{settings}\n", m.preset),
    ]
    .concat()
}

fn limits(l: &Limits) -> String {
    let time = l.budget_seconds.map(|s| format!("device time of search and selection {}", show_seconds(s)));
    let trials = l.max_trials.map(|n| format!("{n} trials"));
    let memory = l.max_memory_bytes.map(|b| format!("memory {}", show_bytes(b)));
    let list: Vec<String> = [time, trials, memory].into_iter().flatten().collect();
    if list.is_empty() { "none".into() } else { list.join(", ") }
}

/// What so many tasks side by side would take, where a search has trials; else it is one job.
fn show_on_cluster(f: &Forecast, jobs: u64, side_by_side: Option<[u64; 2]>) -> String {
    let not_known = "the time in the queue is not known, and nodes may be faster or slower than this machine";
    let Some(most) = side_by_side else {
        let all = show_seconds(f.search_seconds + f.select_seconds + f.retrain_seconds);
        return format!("on a cluster: one job of {all}; {not_known}\n");
    };
    // The last round may be short of tasks: this is the least that it takes.
    let line = |what: &str, seconds: f64, most: u64| {
        let tasks = jobs.min(most).max(1);
        let how = if tasks == 1 { "one after the other".into() } else { format!("with {tasks} tasks side by side") };
        format!("{what:10}{} {how}\n", show_seconds(seconds / tasks as f64))
    };
    let parts =
        [line("search", f.search_seconds, most[0]), line("select", f.select_seconds, most[1]), line("retrain", f.retrain_seconds, 1)];
    format!("on a cluster with --jobs {jobs}; {not_known}\n{}", parts.concat())
}

/// Cores that other programs may keep busy without a word.
const BUSY: f64 = 0.25;

fn show_forecast(f: &Forecast, m: &Manifest) -> String {
    let unit = if m.device.kind == "cuda" { "GPU-days".into() } else { format!("CPU-days ({} cores)", m.device.cores) };
    let line = |what: &str, s: f64| format!("{what:10}{} = {:.4} {unit}\n", show_seconds(s), s / SECONDS_PER_DAY);
    let memory = f.peak_bytes.map_or("not measured".into(), |b| format!("{} at least", show_bytes(b)));
    let mut out = String::from("forecast, from a few measured steps\n");
    out.extend([("search", f.search_seconds), ("select", f.select_seconds), ("retrain", f.retrain_seconds)].map(|(what, s)| line(what, s)));
    out += &format!("memory    {memory}\n");
    if let Some(others) = f.others.filter(|cores| *cores >= BUSY) {
        let cores = m.device.cores;
        out +=
            &format!("note: other programs kept {others:.1} of {cores} cores busy meanwhile; on an idle machine all of this takes less\n");
    }
    let needed = f.search_seconds + f.select_seconds;
    if let Some(budget) = m.limits.budget_seconds.filter(|b| *b < needed) {
        let (budget, share) = (show_seconds(budget), 100.0 * budget / needed);
        out +=
            &format!("warning: the budget of {budget} ends search and selection after about {share:.0} % of them, with the best so far\n");
    }
    out
}
