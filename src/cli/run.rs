//! `naslab run` and `naslab resume`.

use super::args::{Choices, Manners, ResumeArguments, RunArguments, Runs, parse_seeds};
use super::show;
use super::suite::{Member, become_member, finished, share, suite, tell_directory};
use crate::device;
use crate::error::{Error, Result};
use crate::lab::{Fixed, Method, Order, SessionOptions, Signals, Watch, guard, order_of, prepare, suits};
use crate::record::RunDir;
use crate::reproductions::{METHODS, method};
use crate::units::parse_duration;
use std::path::{Path, PathBuf};

/// A run to be made.
pub struct Planned {
    /// By which method.
    pub method: &'static dyn Method,
    /// As it was chosen, with its share of the budget.
    pub choices: Choices,
    /// Everything resolved but the data.
    pub order: Order,
}

/// Runs every method with every seed: seed by seed, so that what is stopped has something of every method.
pub fn run(a: &RunArguments) -> Result<()> {
    let (methods, seeds) = (chosen(&a.methods)?, parse_seeds(&a.runs.seeds)?);
    let arms: Vec<(&'static dyn Method, Choices)> = methods.iter().map(|m| (*m, a.runs.choices.clone())).collect();
    let budget = share(&a.runs.choices, arms.len() * seeds.len())?;
    let device = open_device(&a.runs.choices)?;
    let mut planned = Vec::new();
    for seed in seeds {
        for (method, choices) in &arms {
            let choices = Choices { budget: budget.clone(), ..choices.clone() };
            planned.push(Planned { method: *method, order: order(*method, &choices, seed, device)?, choices });
        }
    }
    run_all(&planned, &a.runs, |method| ["run".into(), method.card().name.into()])
}

/// Goes on with one run.
pub fn resume(a: &ResumeArguments) -> Result<()> {
    let run = RunDir::open(&a.directory)?;
    let manifest = run.manifest()?;
    if let (Some(result), Some(ledger)) = (run.result()?, run.ledger()?) {
        eprintln!("{} is finished; nothing to do", a.directory.display());
        return show::results(&[show::Row { result, ledger }]);
    }
    drop(run);
    let recorded = &manifest.device;
    let same = recorded.index.map_or_else(|| recorded.kind.clone(), |index| format!("{}:{index}", recorded.kind));
    let kind = a.device.clone().unwrap_or(same);
    set_threads(manifest.device.threads)?;
    let device = device::choose(&kind)?;
    let mut order = order_of(&manifest, device);
    if a.data_dir.is_some() {
        order.data_dir.clone_from(&a.data_dir);
    }
    if let Some(jobs) = a.jobs {
        order.jobs = self::jobs(Some(jobs), device)?;
    }
    let method = by_name(&manifest.method)?;
    let label = format!("{} seed {}", manifest.method, order.seed);
    let directory = one(method, &order, Place::Exactly(&a.directory), &a.manners, &label, &catch_signals()?)?;
    show::results(&[finished(&directory)?])
}

/// Makes one run here, or several as members that `command` starts, and prints what came out.
pub fn run_all(planned: &[Planned], runs: &Runs, command: impl Fn(&dyn Method) -> [String; 2]) -> Result<()> {
    let signals = catch_signals()?;
    if let [one] = planned {
        return alone(one.method, &one.order, runs, &signals);
    }
    // What one run would be refused for is said before another is paid for.
    for p in planned {
        suits(&p.method.prepare(&p.order.settings)?, p.method.card().name, &p.order.dataset)?;
    }
    let member = |p: &Planned| Member { command: command(p.method), seed: p.order.seed, choices: p.choices.clone() };
    suite(&planned.iter().map(member).collect::<Vec<_>>(), runs, &signals)
}

fn alone(method: &dyn Method, order: &Order, runs: &Runs, signals: &Signals) -> Result<()> {
    let name = format!("{} seed {}", method.card().name, order.seed);
    let member = |place| format!("[{place}] {} {} seed {}", method.card().name, order.preset, order.seed);
    let label = runs.member.as_ref().map_or(name, member);
    let run = || one(method, order, Place::Below(&runs.out), &runs.manners, &label, signals);
    if runs.member.is_some() {
        become_member();
    }
    let directory = guard(run).unwrap_or_else(|message| Err(Error::Resource(message)))?;
    if runs.member.is_some() { tell_directory(&directory) } else { show::results(&[finished(&directory)?]) }
}

/// Where a run's directory is.
enum Place<'a> {
    Below(&'a Path),
    Exactly(&'a Path),
}

fn one(method: &dyn Method, order: &Order, place: Place, manners: &Manners, label: &str, signals: &Signals) -> Result<PathBuf> {
    let ready = prepare(method, order)?;
    let directory = match place {
        Place::Below(out) => ready.directory(out),
        Place::Exactly(directory) => directory.to_path_buf(),
    };
    let manner = manner(manners, order.jobs, show::watch(label, manners.quiet), signals)?;
    if directory.join("result.json").exists() && ready.is_same(&directory)? {
        if !manners.quiet {
            eprintln!("{label}: {} is finished, nothing to do", directory.display());
        }
        return Ok(directory);
    }
    ready.run(&directory, manner)?;
    Ok(directory)
}

/// Everything resolved but the data.
pub fn order(method: &dyn Method, choices: &Choices, seed: u64, device: tch::Device) -> Result<Order> {
    let resolved = method.resolve(&choices.preset, &choices.set)?;
    Ok(Order {
        preset: choices.preset.clone(),
        settings: resolved.settings,
        shrunk: resolved.shrunk,
        dataset: choices.dataset.clone().unwrap_or(resolved.dataset),
        data_dir: choices.data_dir.clone(),
        seed,
        limits: choices.limits()?,
        device,
        jobs: jobs(choices.jobs, device)?,
    })
}

/// The device that was asked for, with the number of threads that was asked for.
pub fn open_device(choices: &Choices) -> Result<tch::Device> {
    // Always said, so that a lone run and one after another are in the same state.
    set_threads(choices.threads.unwrap_or_else(|| tch::get_num_threads().unsigned_abs()))?;
    device::choose(&choices.device)
}

/// Trials side by side: what was asked for, or every core of the device.
fn jobs(asked: Option<u64>, device: tch::Device) -> Result<u64> {
    match asked {
        Some(0) => Err(Error::Usage("--jobs 0: must be at least 1".into())),
        Some(n) => Ok(n),
        None if device == tch::Device::Cpu => Ok(std::thread::available_parallelism().map_or(1, |n| n.get() as u64)),
        None => Ok(1),
    }
}

fn set_threads(threads: u32) -> Result<()> {
    match i32::try_from(threads) {
        Ok(n) if n > 0 => {
            tch::set_num_threads(n);
            Ok(())
        }
        _ => Err(Error::Usage(format!("--threads {threads}: must be from 1 to {}", i32::MAX))),
    }
}

/// How a run saves, talks and stops.
pub fn manner(manners: &Manners, jobs: u64, watch: Watch, signals: &Signals) -> Result<SessionOptions> {
    let checkpoint_seconds = parse_duration(&manners.checkpoint_every)?;
    Ok(SessionOptions { checkpoint_seconds, jobs, tensorboard: manners.tensorboard, watch, signals: signals.clone() })
}

/// SIGINT and SIGTERM, caught.
pub fn catch_signals() -> Result<Signals> {
    Signals::install().map_err(|e| Error::Resource(format!("cannot catch signals: {e}")))
}

/// Methods by their names; `all` is all.
pub fn chosen(names: &[String]) -> Result<Vec<&'static dyn Method>> {
    if names.iter().any(|n| n == "all") {
        return Ok(METHODS.to_vec());
    }
    names.iter().map(|n| method(n)).collect()
}

/// A method, or the training of a given architecture.
pub fn by_name(name: &str) -> Result<&'static dyn Method> {
    if name == Fixed::NAME { Ok(&Fixed) } else { method(name) }
}
