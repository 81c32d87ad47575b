//! `naslab run` and `naslab resume`.

use super::cluster::{Devices, devices_on, with_jobs, words_of_output};
use super::member::{MemberPlan, Work};
use super::progress::{Row, results, scored, watch};
use super::run_args::{OutputArgs, ResumeArguments, RunSettingsArgs, Runs};
use super::slurm_suite::slurm_suite;
use super::suite::{Member, finished, suite};
use super::values::{MOST_THREADS, chosen, cores};
use crate::device;
use crate::error::{Error, Result, resource, usage};
use crate::lab::{CONTROL, Fixed, Method, Order, Place, Ready, SessionOptions, Signals, control_order, guard, order_of, prepare, suits};
use crate::memory;
use crate::message::say;
use crate::record::{Role, RunDir};
use crate::reproductions::{METHODS, method};
use crate::units::show_bytes;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

/// A method, and what it is to do.
type Arm = (&'static dyn Method, Order);

/// Most runs of a command.
pub const MOST_RUNS: usize = 10_000;

/// A run to be made.
pub struct Planned {
    /// By which method.
    pub method: &'static dyn Method,
    /// What was asked for by name: the method, or an architecture.
    pub name: String,
    /// Everything resolved but the data.
    pub order: Order,
}

/// Runs every method with every seed: seed by seed, so that what is stopped has something of every method.
pub fn run(methods: &[String], controls: bool, runs: &Runs) -> Result<()> {
    let (seeds, cluster) = (&runs.seeds.0, runs.cluster.resolve(None)?);
    let devices = devices_on(cluster.as_ref(), &runs.settings)?;
    let settings = &with_jobs(cluster.as_ref(), &devices, &runs.settings);
    let placed = |order| Order { cluster: cluster.clone(), devices: devices.several.clone(), ..order };
    let arm = |method| Ok((method, placed(order(method, settings, 0, devices.first)?)));
    let mut arms = chosen(methods, METHODS, method)?.into_iter().map(arm).collect::<Result<Vec<Arm>>>()?;
    if controls {
        add_controls(&mut arms)?;
    }
    if arms.len() * seeds.len() > MOST_RUNS {
        return Err(usage!("{} methods with {} seeds: a command makes at most {MOST_RUNS} runs", arms.len(), seeds.len()));
    }
    let limits = settings.shared_by(arms.len() * seeds.len()).limits();
    let names = arms.iter().map(|(method, order)| name(*method, order)).collect::<Result<Vec<String>>>()?;
    let planned = |seed: u64, (name, (method, order)): (&String, &Arm)| {
        let order = Order { seed, limits: limits.clone(), ..order.clone() };
        Planned { method: *method, name: name.clone(), order }
    };
    let all: Vec<Planned> = seeds.iter().flat_map(|seed| names.iter().zip(&arms).map(|arm| planned(*seed, arm))).collect();
    run_all(&all, runs)
}

/// What a run is called while it goes on: random search by its space, so that controls can be told apart.
fn name(method: &dyn Method, order: &Order) -> Result<String> {
    let card = method.card();
    Ok(match card.role {
        Role::Control => format!("{} {}", card.name, method.prepare(&order.settings)?.variant),
        _ => card.name.into(),
    })
}

/// The control of every search among `arms`, where it is not among them already.
fn add_controls(arms: &mut Vec<Arm>) -> Result<()> {
    let random = method(CONTROL)?;
    for i in 0..arms.len() {
        let (method, order) = &arms[i];
        let Some(control) = control_order(*method, order)? else { continue };
        let is_there = |(_, order): &Arm| order.settings == control.settings && order.dataset == control.dataset;
        if !arms.iter().any(is_there) {
            arms.push((random, control));
        }
    }
    Ok(())
}

/// Goes on with one run.
pub fn resume(a: &ResumeArguments) -> Result<()> {
    let run = RunDir::open(&a.directory)?;
    let manifest = run.manifest()?;
    if let Some(row) = run.result()?.zip(run.ledger()?) {
        say!("{} is finished; nothing to do", a.directory.display());
        return results_of(&[row]);
    }
    drop(run);
    let recorded = &manifest.device;
    let one = recorded.index.map_or_else(|| recorded.kind.clone(), |index| format!("{}:{index}", recorded.kind));
    // Several are named as they are typed: cuda:0,1.
    let numbers: Vec<&str> = manifest.devices.iter().filter_map(|name| name.split_once(':')).map(|(_, number)| number).collect();
    let same = if numbers.is_empty() { one } else { format!("{}:{}", recorded.kind, numbers.join(",")) };
    let cluster = a.cluster.resolve(manifest.cluster.clone())?;
    let device = a.device.clone().unwrap_or(same);
    let settings = RunSettingsArgs { device, threads: Some(recorded.threads), ..RunSettingsArgs::default() };
    let Devices { first: device, several: devices } = devices_on(cluster.as_ref(), &settings)?;
    let mut order = Order { cluster, devices, ..order_of(&manifest, device) };
    if a.data_dir.is_some() {
        order.data_dir.clone_from(&a.data_dir);
    }
    if let Some(jobs) = a.jobs {
        order.jobs = self::jobs(Some(jobs), device);
    } else if order.cluster.is_none() && manifest.cluster.is_some() {
        order.jobs = self::jobs(None, device);
    }
    let method = by_name(&manifest.method)?;
    let label = format!("{} seed {}", manifest.method, order.seed);
    let directory = conduct(method, &order, |_| a.directory.clone(), &a.output, &label)?;
    results_of(&[finished(&directory)?])
}

/// Prints what runs came to.
///
/// # Errors
/// If one of them has no test score.
fn results_of(rows: &[Row]) -> Result<()> {
    results(rows)?;
    scored(rows)
}

/// Makes one run here, or several as members, and prints what came out.
pub fn run_all(planned: &[Planned], runs: &Runs) -> Result<()> {
    if let [Planned { method, order, .. }] = planned {
        let label = format!("{} seed {}", method.card().name, order.seed);
        let directory = conduct(*method, order, |ready| ready.directory(&runs.out), &runs.output, &label)?;
        return results_of(&[finished(&directory)?]);
    }
    // What one run would be refused for is said before another is paid for.
    for p in planned {
        suits(&p.method.prepare(&p.order.settings)?, p.method.card().name, &p.order.dataset)?;
    }
    if planned[0].order.cluster.is_some() {
        return slurm_suite(planned, runs, &patient_signals()?);
    }
    let members: Vec<Member> = planned.iter().enumerate().map(|(i, p)| member(p, i + 1, planned.len(), runs)).collect();
    // One run a device.
    let Order { device, devices, .. } = &planned[0].order;
    let devices = if devices.is_empty() { vec![*device] } else { devices.iter().map(|(_, device)| *device).collect() };
    suite(&members, &devices, &catch_signals()?)
}

fn member(planned: &Planned, number: usize, of: usize, runs: &Runs) -> Member {
    let Planned { method, name, order } = planned;
    let (preset, seed) = (&order.preset, order.seed);
    let name = format!("{name} {preset} seed {seed}");
    // Of several devices a run of a suite has one, and what was asked for is spread over them.
    let several = order.devices.len() as u64;
    let output = OutputArgs { plain: several > 1, ..runs.output.clone() };
    let work = Work::Run { out: runs.out.clone().into(), output, label: format!("[{number}/{of}] {name}") };
    let order = Order { devices: Vec::new(), jobs: (order.jobs / several.max(1)).max(1), ..order.clone() };
    Member { name, plan: MemberPlan::new(*method, order, work), quiet: runs.output.quiet }
}

/// Makes a run, or the rest of it, in this process, in the directory that `place` gives; a finished one is left as it is. Returns the
/// directory.
pub fn conduct(
    method: &dyn Method,
    order: &Order,
    place: impl FnOnce(&Ready) -> PathBuf,
    output: &OutputArgs,
    label: &str,
) -> Result<PathBuf> {
    // A coordinator of a cluster is asked twice.
    let signals = if order.cluster.is_some() { patient_signals()? } else { catch_signals()? };
    conduct_as(method, order, place, output, label, (signals, None))
}

/// The same with these signals, as a task of a cluster if there is a place.
pub fn conduct_as(
    method: &dyn Method,
    order: &Order,
    directory: impl FnOnce(&Ready) -> PathBuf,
    output: &OutputArgs,
    label: &str,
    (signals, place): (Signals, Option<Place>),
) -> Result<PathBuf> {
    let one = || {
        let ready = prepare(method, order)?;
        let directory = directory(&ready);
        if directory.join("result.json").exists() && ready.is_same(&directory)? {
            if !output.quiet {
                say!("{label}: {} is finished, nothing to do", directory.display());
            }
            return Ok(directory);
        }
        let session = SessionOptions {
            checkpoint_seconds: output.checkpoint_seconds,
            jobs: order.jobs,
            devices: order.devices.clone(),
            cluster: order.cluster.clone(),
            place,
            rest_words: words_of_output(output),
            tensorboard: output.tensorboard,
            trace: output.trace_of(&directory),
            watch: watch(label, (output.quiet, output.plain)),
            signals,
        };
        ready.run(&directory, session)?;
        Ok(directory)
    };
    guard(one).unwrap_or_else(|message| Err(Error::Resource(message)))
}

/// A session that measures: without checkpoints or a word.
pub fn quietly(jobs: u64) -> Result<SessionOptions> {
    Ok(SessionOptions::quiet(jobs, catch_signals()?))
}

/// Everything resolved but the data.
pub fn order(method: &dyn Method, settings: &RunSettingsArgs, seed: u64, device: tch::Device) -> Result<Order> {
    let (choice, preset) = (&settings.choice, settings.choice.preset.as_deref().unwrap_or("smoke"));
    let resolved = method.resolve(preset, &choice.set)?;
    let dataset = choice.dataset.clone().unwrap_or_else(|| resolved.dataset.clone());
    let (data_dir, limits, jobs) = (choice.data_dir.clone(), settings.limits(), jobs(settings.jobs, device));
    Ok(Order { dataset, data_dir, seed, limits, device, jobs, ..Order::new(preset, resolved) })
}

/// The device that was asked for, with the number of threads that was asked for.
pub fn open_device(settings: &RunSettingsArgs) -> Result<tch::Device> {
    // Always said, so that a lone run and one after another are in the same state.
    set_threads(settings.threads.unwrap_or_else(threads))?;
    device::choose(&settings.device)
}

/// Threads of one operation, as they are set now.
pub fn threads() -> u32 {
    tch::get_num_threads().unsigned_abs()
}

/// Trials side by side: what was asked for, or every core, or one on a card.
pub fn jobs(asked: Option<u64>, device: tch::Device) -> u64 {
    let usual = if device == tch::Device::Cpu { None } else { Some(1) };
    cores(asked.or(usual))
}

/// Sets the threads of one operation, if they can be had: where libtorch cannot start one, it ends the process with the exit code of a regression.
pub fn set_threads(threads: u32) -> Result<()> {
    let n = i32::try_from(threads).ok().filter(|n| (1..=MOST_THREADS as i32).contains(n));
    let n = n.ok_or_else(|| usage!("--threads {threads}: must be from 1 to {MOST_THREADS}"))?;
    if !memory::is_left(LEAST_MEMORY) {
        let least = show_bytes(LEAST_MEMORY);
        return Err(resource!(
            "less than {least} of memory are left to this process, too little to begin; raise its limit (ulimit -v), or free some"
        ));
    }
    try_threads(threads + SPARE_THREADS).map_err(|e| Error::thread(&e))?;
    tch::set_num_threads(n);
    Ok(())
}

/// With less, libtorch and the C library abort where nothing can catch it.
const LEAST_MEMORY: u64 = 256 << 20;

/// Threads beside those of an operation: of signals, of the clock and of a forecast.
const SPARE_THREADS: u32 = 3;

/// Starts so many threads, none of which ends before all have begun.
fn try_threads(count: u32) -> std::io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let _closed = gate.lock();
        let wait = || drop(gate.lock());
        // libtorch's have the usual stack of the system.
        (0..count).try_for_each(|_| thread::Builder::new().stack_size(8 << 20).spawn_scoped(scope, wait).map(drop))
    })
}

/// SIGINT, SIGTERM and SIGHUP, caught.
pub fn catch_signals() -> Result<Signals> {
    Signals::install().map_err(|e| resource!("cannot catch signals: {e}"))
}

/// The same, where the first and the second mean different things.
fn patient_signals() -> Result<Signals> {
    Signals::patient().map_err(|e| resource!("cannot catch signals: {e}"))
}

/// A method, or the training of a given architecture.
pub fn by_name(name: &str) -> Result<&'static dyn Method> {
    if name == Fixed::NAME { Ok(&Fixed) } else { method(name) }
}
