//! From what was asked to a run that is finished: plan, open or resume, conduct.

use super::child::input;
use super::conduct::conduct;
use super::lab::Lab;
use super::memory::guard;
use super::method::{Engine, Method, Prepared};
use super::open::{Opened, open};
use super::session::{KeptBack, Session, SessionOptions, Start};
use super::settings::Resolved;
use super::steps;
use super::stopwatch::{Stopwatch, Timing};
use super::trace::Trace;
use super::trials::{self, TrialPlan};
use crate::budget::{Others, Probes};
use crate::device;
use crate::error::{Error, Result, usage};
use crate::record::{ClusterRecord, DataRecord, DeviceRecord, FORMAT, Limits, Manifest, Program, RunDir, RunResult, Shrunk, run_name};
use crate::seed::Streams;
use crate::settings::differences;
use crate::task::{Part, Test};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tch::Device;

/// What is to be done, with everything resolved but the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Name of the preset.
    pub preset: String,
    /// Complete settings.
    pub settings: Value,
    /// Where they differ from the paper's.
    pub shrunk: Vec<Shrunk>,
    /// Name of the data set.
    pub dataset: String,
    /// Where the user says the data are.
    pub data_dir: Option<PathBuf>,
    /// Seed of the run.
    pub seed: u64,
    /// Limits of the run.
    pub limits: Limits,
    /// Device to work on.
    #[serde(with = "device::by_name")]
    pub device: Device,
    /// Children to train side by side; on a cluster, tasks that may be in its queue.
    pub jobs: u64,
    /// The devices over which children are spread, by their names, where there are several; `device` is the first.
    #[serde(default, skip)]
    pub devices: Vec<(String, Device)>,
    /// The cluster that does the work, if one does. What is done here is done on the processor then.
    #[serde(default)]
    pub cluster: Option<ClusterRecord>,
}

impl Order {
    /// The device that this process works on.
    fn here(&self) -> Device {
        if self.cluster.is_some() { Device::Cpu } else { self.device }
    }

    /// Settings by the preset `preset`: seed 0, no limits, one child after the other on the CPU, the data where they usually are.
    pub fn new(preset: &str, resolved: Resolved) -> Self {
        let Resolved { settings, dataset, shrunk } = resolved;
        let (data_dir, limits) = (None, Limits::default());
        Self {
            preset: preset.into(),
            settings,
            shrunk,
            dataset,
            data_dir,
            seed: 0,
            limits,
            device: Device::Cpu,
            jobs: 1,
            devices: Vec::new(),
            cluster: None,
        }
    }
}

/// A run that is ready to start: data read, sizes checked, nothing spent.
pub struct Ready {
    pub(super) prepared: Prepared,
    pub(super) data: Opened,
    pub(super) device: Device,
    pub(super) start: Start,
    /// What the run directory will begin with.
    pub manifest: Manifest,
}

/// Device-seconds and memory that a run is expected to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Search.
    pub search_seconds: f64,
    /// Short training of the candidates.
    pub select_seconds: f64,
    /// Retraining of the chosen architecture.
    pub retrain_seconds: f64,
    /// Peak so far: device memory where it is measured, else host memory.
    pub peak_bytes: Option<u64>,
    /// Cores that other programs kept busy meanwhile.
    pub others: Option<f64>,
}

/// What steps of a search took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// One for each kind of step.
    pub timings: Vec<Timing>,
    /// Peak meanwhile: device memory where it is measured, else host memory of the process.
    pub peak_bytes: Option<u64>,
}

/// Reads the data and checks that the settings suit them.
pub fn prepare(method: &dyn Method, order: &Order) -> Result<Ready> {
    let device = order.here();
    let meters = order.devices.iter().map(|(_, device)| *device).collect::<Vec<_>>();
    let start = Start::now(Box::new(if meters.is_empty() { Probes::new(device) } else { Probes::of_all(&meters) }));
    let prepared = method.prepare(&order.settings)?;
    let data = open(&prepared, method.card().name, &order.dataset, order.data_dir.as_deref(), device)?;
    prepared.check(input(&*data.task))?;
    let manifest = manifest(method, &prepared, order, &data);
    Ok(Ready { prepared, data, device, start, manifest })
}

/// The order that a run directory was made by.
pub fn order_of(manifest: &Manifest, device: Device) -> Order {
    Order {
        preset: manifest.preset.clone(),
        settings: manifest.settings.clone(),
        shrunk: manifest.shrunk.clone(),
        dataset: manifest.dataset.clone(),
        data_dir: manifest.data.folder.clone(),
        seed: manifest.seed,
        limits: manifest.limits.clone(),
        device,
        jobs: manifest.jobs,
        devices: Vec::new(),
        cluster: manifest.cluster.clone(),
    }
}

impl Ready {
    /// Whether the search has a network with a grouped form.
    pub fn has_groups(&self) -> bool {
        self.prepared.has_groups
    }

    /// Remarks about the data.
    pub fn notes(&self) -> &[String] {
        &self.data.notes
    }

    /// The run's directory below `out`.
    pub fn directory(&self, out: &Path) -> PathBuf {
        let m = &self.manifest;
        out.join(run_name(&m.method, &m.variant, &m.dataset, &m.preset, m.seed))
    }

    /// Whether `directory` holds this very run; another run there is an error that names the difference.
    pub fn is_same(&self, directory: &Path) -> Result<bool> {
        self.reopen(directory).map(|_| true)
    }

    /// Runs in `directory`: a new run, or the rest of an unfinished one with the same identity.
    pub fn run(self, directory: &Path, options: SessionOptions) -> Result<RunResult> {
        match options.cluster.clone() {
            Some(cluster) => self.run_on_cluster(directory, &cluster, options),
            None => self.in_a_session(directory, options, conduct),
        }
    }

    /// Opens the run, or opens it again, and works on it.
    pub(super) fn in_a_session<T>(
        self,
        directory: &Path,
        mut options: SessionOptions,
        work: impl FnOnce(&Manifest, &Prepared, Closed, &mut Lab) -> Result<T>,
    ) -> Result<T> {
        if let Some(trace) = &options.trace {
            // Before anything is begun.
            trace.check(&self.manifest)?;
        }
        let run = self.lock(directory)?;
        let Self { prepared, data, device, start, manifest: here } = self;
        let Opened { task, test, classes, notes, .. } = data;
        let (trace, task) = Trace::open(options.trace.take(), &here, task)?;
        let manifest = run.manifest()?;
        let mut session = Session::open(run, manifest.limits.clone(), options, start, device)?;
        session.trace = trace;
        for note in &notes {
            session.notice(note)?;
        }
        if manifest.program != here.program {
            let (then, now) = (&manifest.program, &here.program);
            session
                .notice(&format!("begun by naslab {} ({}), continued by {} ({})", then.version, then.commit, now.version, now.commit))?;
        }
        let stopwatch = Stopwatch::brief();
        let mut lab = Lab { device, streams: Streams::new(manifest.seed), task: &*task, session: &mut session, stopwatch: &stopwatch };
        share_budget(&prepared, &mut lab)?;
        let result = work(&manifest, &prepared, (test, classes), &mut lab);
        if result.is_err() {
            // The error is what matters; the account of what led to it is written if it can be.
            session.ledger.settle();
            let _ = session.account();
        }
        result
    }

    /// The run in `directory`, made where there is none yet, for this process alone.
    pub(super) fn lock(&self, directory: &Path) -> Result<RunDir> {
        if directory.join("manifest.json").exists() {
            return self.reopen(directory)?.lock();
        }
        RunDir::create(directory, &self.manifest)
    }

    /// Measures a few steps of the search and of the retraining in a folder that is thrown away.
    pub fn forecast(&self, options: SessionOptions) -> Result<Forecast> {
        let Prepared { example, protocol, .. } = &self.prepared;
        let others = Others::now();
        self.in_a_lab(options, &Stopwatch::brief(), |lab| {
            let search_seconds = forecast_steps(&self.prepared, lab)? + forecast_trials(&self.prepared, lab)?;
            let select_seconds = forecast_selection(&self.prepared, lab)?;
            let retraining = lab.child(&protocol.retrain, Part::Retrain, lab.streams.child("forecast", 0));
            let retrain_seconds = retraining.forecast(example, lab.stopwatch)?;
            lab.session.ledger.settle();
            let (peak_bytes, others) = (lab.session.ledger.peak_bytes(), others.as_ref().and_then(Others::cores));
            Ok(Forecast { search_seconds, select_seconds, retrain_seconds, peak_bytes, others })
        })
    }

    /// Trials of the search, and of the selection, that may be under way at a time; `None` where the search goes by steps.
    pub fn side_by_side(&self) -> Option<[u64; 2]> {
        match &self.prepared.engine {
            Engine::Trials { plan, .. } => Some([plan.side_by_side.min(plan.trials), self.prepared.keep]),
            Engine::Steps { .. } | Engine::Given(_) => None,
        }
    }

    /// Measures `steps` steps of each kind that the search makes, in a folder that is thrown away.
    pub fn measure(&self, options: SessionOptions, steps: usize) -> Result<Measured> {
        let stopwatch = Stopwatch::thorough(steps);
        let peak_bytes = self.in_a_lab(options, &stopwatch, |lab| {
            lab.session.ledger.reset_peaks();
            forecast_steps(&self.prepared, lab)?;
            forecast_trials(&self.prepared, lab)?;
            lab.session.ledger.settle();
            Ok(lab.session.ledger.peak_bytes())
        })?;
        Ok(Measured { timings: stopwatch.into_timings(), peak_bytes })
    }

    pub(super) fn in_a_lab<T>(&self, options: SessionOptions, stopwatch: &Stopwatch, f: impl FnOnce(&mut Lab) -> Result<T>) -> Result<T> {
        let folder = tempfile::tempdir().map_err(|e| Error::writing(std::env::temp_dir(), &e))?;
        let run = RunDir::create(&folder.path().join("forecast"), &self.manifest)?;
        let (device, start) = (self.device, Start::now(Box::new(Probes::new(self.device))));
        // What a forecast measures is not limited: it is there to say whether the limits can be kept.
        let session = &mut Session::open(run, Limits::default(), options, start, device)?;
        f(&mut Lab { device, streams: Streams::new(self.manifest.seed), task: &*self.data.task, session, stopwatch })
    }

    fn reopen(&self, directory: &Path) -> Result<RunDir> {
        let run = RunDir::open(directory)?;
        let there = run.manifest()?;
        if there.identity == self.manifest.identity {
            return Ok(run);
        }
        let differing = difference(&there, &self.manifest);
        Err(usage!("{} holds another run: {differing}. Choose another --out, or remove that folder", directory.display()))
    }
}

/// The test part, which is opened once, and the names of the classes.
pub(super) type Closed = (Box<dyn Test>, Vec<String>);

/// Device-seconds of the steps of a search, from a few measured ones that change nothing.
fn forecast_steps(prepared: &Prepared, lab: &mut Lab) -> Result<f64> {
    match &prepared.engine {
        Engine::Steps { begin, .. } => begin(lab).and_then(|search| steps::forecast(lab, search)),
        _ => Ok(0.0),
    }
}

/// Of the trials of a search, or of those that follow its steps.
fn forecast_trials(prepared: &Prepared, lab: &Lab) -> Result<f64> {
    prepared.engine.trials().map_or(Ok(0.0), |plan| trials::forecast(lab, &prepared.example, plan))
}

/// Of the short trainings of the candidates.
fn forecast_selection(prepared: &Prepared, lab: &Lab) -> Result<f64> {
    let plan = TrialPlan::of_selection(prepared.keep, &prepared.protocol.select);
    if prepared.keep > 1 { trials::forecast(lab, &prepared.example, &plan) } else { Ok(0.0) }
}

/// Candidates may be larger than the example that the forecast was made with.
const MARGIN: f64 = 1.25;

/// Before a limited search begins or goes on: what it leaves to the selection, at most half of the budget. Before anything is spent also whether it can end within the rest.
fn share_budget(prepared: &Prepared, lab: &mut Lab) -> Result<()> {
    let searches = lab.session.recorder.carried.is_null();
    let Some(budget) = lab.session.limits.budget_seconds.filter(|_| searches) else { return Ok(()) };
    let begins = lab.session.ledger.spent() == 0.0;
    if lab.session.cluster.is_some() && lab.session.recorder.run.manifest()?.device.kind == "cuda" {
        lab.session.kept = KeptBack { selection: budget / 4.0, trials: 0.0 };
        return lab.session.notice("no forecast, since the cards are elsewhere: a quarter of the budget is kept back for the selection");
    }
    let forecast = || -> Result<[f64; 3]> {
        let steps = if begins { forecast_steps(prepared, lab)? } else { 0.0 };
        Ok([steps, forecast_trials(prepared, lab)?, forecast_selection(prepared, lab)?])
    };
    // Memory that runs out here may still suffice for other trials; the search will tell.
    let [steps, trials, selection] = match guard(forecast) {
        Ok(seconds) => seconds?,
        Err(message) => return lab.session.notice(&format!("no forecast: {message}")),
    };
    let selection = (selection * MARGIN).min(budget / 2.0);
    lab.session.kept = KeptBack { selection, trials: trials * MARGIN };
    if !begins || steps + trials <= budget - selection {
        return Ok(());
    }
    let [needed, given, left] = [steps + trials, budget, budget - selection].map(crate::units::show_seconds);
    let share = if selection > 0.0 {
        format!(", of which the search may use {left} so that its candidates can be compared,")
    } else {
        String::new()
    };
    lab.session.notice(&format!(
        "the whole search would take about {needed} on this machine; the budget of {given}{share} will end it early, with the best so far"
    ))
}

/// What decides the outcome of a run and differs between two manifests.
fn difference(there: &Manifest, here: &Manifest) -> String {
    let list = differences(&there.deciding(), &here.deciding());
    if list.is_empty() {
        return "it was written by another version".into();
    }
    list.iter().map(|d| format!("{} is {} there and {} here", d.key, d.paper, d.here)).collect::<Vec<_>>().join("; ")
}

/// The cards of a cluster are not seen from here; each task names its own.
fn describe(order: &Order) -> DeviceRecord {
    match device::card(order.device) {
        Some(index) if order.cluster.is_some() => {
            let (index, name) = (u32::try_from(index).ok(), "cards of a cluster".into());
            DeviceRecord { kind: "cuda".into(), index, name, memory_bytes: None, ..device::describe(Device::Cpu) }
        }
        _ => device::describe(order.device),
    }
}

fn manifest(method: &dyn Method, prepared: &Prepared, order: &Order, data: &Opened) -> Manifest {
    let shape = data.task.shape();
    let device = describe(order);
    let how = if order.device == Device::Cpu { "; all cores count as one device" } else { ", read after the device finished its work" };
    let mut manifest = Manifest {
        format: FORMAT,
        method: method.card().name.to_string(),
        variant: prepared.variant.clone(),
        declaration: prepared.declaration(method.card()),
        dataset: order.dataset.clone(),
        preset: order.preset.clone(),
        seed: order.seed,
        settings: prepared.complete(&order.settings),
        shrunk: order.shrunk.clone(),
        limits: order.limits.clone(),
        identity: String::new(),
        program: Program::current(),
        libtorch: crate::shim::libtorch_version(),
        clock: format!("device time is the wall time of the phases search, select, retrain and test{how}"),
        jobs: order.jobs,
        devices: order.devices.iter().map(|(name, _)| name.clone()).collect(),
        cluster: order.cluster.clone(),
        device,
        data: DataRecord {
            // Absolute, so that a resume finds it from anywhere.
            folder: order.data_dir.as_deref().map(|d| std::path::absolute(d).unwrap_or_else(|_| d.to_path_buf())),
            hash: data.hash.clone(),
            split_hash: data.task.split_hash().to_string(),
            counts: data.task.counts(&*data.test),
            channels: shape.channels as u32,
            height: shape.height as u32,
            width: shape.width as u32,
            classes: shape.classes as u32,
            normalisation: data.task.normalisation(),
        },
        started: jiff::Timestamp::now().to_string(),
    };
    manifest.identity = manifest.digest();
    manifest
}
