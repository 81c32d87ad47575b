//! One run of a method, for programs that use this library.

use crate::error::{Error, Result, usage};
use crate::lab::{Order, SessionOptions, Signals, guard, prepare};
use crate::record::{LedgerRecord, Limits, RunDir, RunResult};
use crate::reproductions::method;
use crate::space::Architecture;
use crate::{device, units};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One run of a method: search, selection, retraining, test.
///
/// ```no_run
/// use std::time::Duration;
///
/// let run = naslab::Run::method("darts").preset("smoke").seed(1).budget(Duration::from_secs(600));
/// let done = run.in_dir("runs")?;
/// println!("{:?} after {:.0} s of search", done.final_score(), done.spent().as_secs_f64());
/// # Ok::<(), naslab::error::Error>(())
/// ```
///
/// It takes no signals: a process that is ended leaves an unfinished run, and the same call goes on with it.
#[derive(Clone, Debug)]
pub struct Run {
    method: String,
    preset: String,
    changes: Vec<String>,
    dataset: Option<String>,
    data_dir: Option<PathBuf>,
    seed: u64,
    limits: Limits,
    device: String,
    jobs: u64,
}

impl Run {
    /// Of the method of this name, as `naslab list` has it: with the preset `smoke`, seed 0, no limits, one child after the other on the processor.
    pub fn method(name: &str) -> Self {
        Self {
            method: name.into(),
            preset: "smoke".into(),
            changes: Vec::new(),
            dataset: None,
            data_dir: None,
            seed: 0,
            limits: Limits::default(),
            device: "cpu".into(),
            jobs: 1,
        }
    }

    /// With the settings of this name.
    pub fn preset(mut self, name: &str) -> Self {
        self.preset = name.into();
        self
    }

    /// Changes one setting, such as `search.trials` to 4; text is written with quotation marks, `"\"darts\""`.
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.changes.push(format!("{key}={value}"));
        self
    }

    /// On another data set than the preset names.
    pub fn dataset(mut self, name: &str) -> Self {
        self.dataset = Some(name.into());
        self
    }

    /// With the files of the data set in this folder.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// Of this seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Device time that search and selection may use together.
    pub fn budget(mut self, time: Duration) -> Self {
        self.limits.budget_seconds = Some(time.as_secs_f64());
        self
    }

    /// Trials of the search at most.
    pub fn max_trials(mut self, trials: u64) -> Self {
        self.limits.max_trials = Some(trials);
        self
    }

    /// Bytes of memory at most: of the card, or else of this process.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.limits.max_memory_bytes = Some(bytes);
        self
    }

    /// On this device: `auto`, `cpu`, `cuda` or `cuda:1`.
    pub fn device(mut self, name: &str) -> Self {
        self.device = name.into();
        self
    }

    /// So many children side by side. Without a limit the outcome does not depend on it.
    pub fn jobs(mut self, jobs: u64) -> Self {
        self.jobs = jobs;
        self
    }

    /// Makes the run in a folder of its own inside this one, which `naslab report` reads; goes on where an earlier call was ended; reads what is finished.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name or a setting that does not exist, [`Error::Input`] for data that are missing, [`Error::NoResult`] where the budget ended before anything was found,
    /// [`Error::Resource`] for a disk, memory or device that failed.
    pub fn in_dir(self, folder: impl AsRef<Path>) -> Result<Done> {
        if self.jobs == 0 {
            return Err(usage!("a run needs at least one job"));
        }
        let method = method(&self.method)?;
        let resolved = method.resolve(&self.preset, &self.changes)?;
        let order = Order {
            dataset: self.dataset.unwrap_or_else(|| resolved.dataset.clone()),
            data_dir: self.data_dir,
            seed: self.seed,
            limits: self.limits,
            device: device::choose(&self.device)?,
            jobs: self.jobs,
            ..Order::new(&self.preset, resolved)
        };
        let work = || {
            let ready = prepare(method, &order)?;
            let directory = ready.directory(folder.as_ref());
            if !(directory.join("result.json").exists() && ready.is_same(&directory)?) {
                ready.run(
                    &directory,
                    SessionOptions { checkpoint_seconds: 30.0, ..SessionOptions::quiet(order.jobs, Signals::default()) },
                )?;
            }
            Done::read(directory)
        };
        guard(work).unwrap_or_else(|message| Err(Error::Resource(message)))
    }
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Done {
    directory: PathBuf,
    result: RunResult,
    ledger: LedgerRecord,
}

impl Done {
    fn read(directory: PathBuf) -> Result<Self> {
        let run = RunDir::open(&directory)?;
        match (run.result()?, run.ledger()?) {
            (Some(result), Some(ledger)) => Ok(Self { directory, result, ledger }),
            _ => Err(Error::input(directory, "it has no result")),
        }
    }

    /// Its folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The architecture that was found.
    pub fn architecture(&self) -> &Architecture {
        &self.result.architecture
    }

    /// Score on the test images after retraining, a fraction; `None` if the retraining did not end well.
    pub fn final_score(&self) -> Option<f64> {
        self.result.final_score
    }

    /// Device time of search and selection.
    pub fn spent(&self) -> Duration {
        Duration::from_secs_f64(self.ledger.spent_seconds)
    }

    /// All that is recorded of what came out.
    pub fn result(&self) -> &RunResult {
        &self.result
    }

    /// All that is recorded of what was used.
    pub fn ledger(&self) -> &LedgerRecord {
        &self.ledger
    }
}

/// A sentence: method, score, cost.
impl Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let score =
            self.final_score().map_or_else(|| "no test score".into(), |s| format!("test {} {:.2} %", self.result.metric, 100.0 * s));
        write!(
            f,
            "{} {}: {score}, search and selection took {}",
            self.result.method,
            self.result.variant,
            units::show_seconds(self.ledger.spent_seconds)
        )
    }
}
