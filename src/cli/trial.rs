//! `naslab trial`: what a task of a cluster does.

use super::cluster::own_processors;
use super::run::{by_name, conduct_as, jobs, set_threads};
use super::run_args::{OutputArgs, TrialArguments};
use crate::device;
use crate::error::{Error, Result, resource, usage};
use crate::lab::{
    Method, Order, Place, REST, Ready, Signals, TrialFile, guard, order_of, parse_trial, prepare, refuse, requeue_if_warned, sent_at,
};
use crate::record::{Manifest, Phase, RunDir};
use std::path::{Path, PathBuf};
use tch::Device;

/// Trains the trials that are named, or does the rest of the run.
pub fn trial(a: &TrialArguments) -> Result<()> {
    let signals = task_signals()?;
    if a.trials == [REST] {
        return rest(a, signals);
    }
    let bad = |name: &str| usage!("'{name}' is no trial; trials are called search-17 or select-0, and the rest of the run {REST}");
    let trials = a.trials.iter().map(|name| parse_trial(name).ok_or_else(|| bad(name))).collect::<Result<Vec<_>>>()?;
    let run = RunDir::open(&a.directory)?;
    let (ready, trials) = match run.manifest().and_then(|manifest| ready(&a.directory, &manifest, &trials)) {
        // A card that cannot be opened is the matter of one node; other data or another program is that of all.
        Err(why @ (Error::Usage(_) | Error::Input { .. })) => {
            refuse(&a.directory, &trials, &why)?;
            return Err(why);
        }
        other => other?,
    };
    guard(|| ready.train_trials(&a.directory, &trials, &signals)).unwrap_or_else(|message| Err(Error::Resource(message)))
}

/// This run on this device, and those of the trials that are still to be trained.
fn ready(directory: &Path, manifest: &Manifest, trials: &[(Phase, u64)]) -> Result<(Ready, Vec<TrialFile>)> {
    let (method, order) = (by_name(&manifest.method)?, order_here(manifest)?);
    let ready = prepare(method, &order)?;
    let wanted = ready.check_trials(directory, trials)?;
    Ok((ready, wanted))
}

/// The order of the run on the device of this task, without a cluster.
fn order_here(manifest: &Manifest) -> Result<Order> {
    set_threads(manifest.device.threads)?;
    let device = if manifest.device.kind == "cuda" { device::open(Device::Cuda(0))? } else { Device::Cpu };
    let jobs = jobs(Some(if device == Device::Cpu { own_processors() } else { 1 }), device);
    Ok(Order { jobs, cluster: None, ..order_of(manifest, device) })
}

/// Goes on with the run to its end, in this process.
fn rest(a: &TrialArguments, signals: Signals) -> Result<()> {
    let manifest = RunDir::open(&a.directory)?.manifest()?;
    let place = Place::of_this_process(sent_at(&a.directory).as_deref());
    let label = format!("{} seed {}", manifest.method, manifest.seed);
    let order = order_here(&manifest)?;
    let done = conduct_as(by_name(&manifest.method)?, &order, |_| a.directory.clone(), &a.output, &label, (signals.clone(), Some(place)));
    requeue_if_warned(&signals);
    done.map(drop)
}

/// Makes a run as a job of a cluster. Returns its directory.
pub fn conduct_as_task(
    method: &dyn Method,
    order: &Order,
    directory: impl FnOnce(&Ready) -> PathBuf,
    output: &OutputArgs,
    label: &str,
) -> Result<PathBuf> {
    let signals = task_signals()?;
    let done = conduct_as(method, order, directory, output, label, (signals.clone(), Some(Place::of_this_process(None))));
    requeue_if_warned(&signals);
    done
}

fn task_signals() -> Result<Signals> {
    Signals::of_a_task().map_err(|e| resource!("cannot catch signals: {e}"))
}
