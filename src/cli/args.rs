//! The command line as clap sees it.

use super::table::TableAction;
use super::values::{Seeds, named};
use crate::export::Written;
use crate::lab::TraceTo;
use crate::nn::Kernels;
use crate::record::Limits;
#[cfg(feature = "report")]
use crate::report::gate::Mode;
use crate::units::{parse_bytes, parse_duration};
use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Re-runs neural-architecture searches under one measured budget.
///
/// Exit codes: 0 ok, 1 a regression was found, 2 usage, 3 bad or missing input, 4 the budget ended before any result, 5 resource failure (disk,
/// memory, device), 130 or 143 interrupted and resumable.
#[derive(Debug, Parser)]
#[command(name = "naslab", version, max_term_width = 120)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Methods, presets, data sets and published architectures.
    List,
    /// The resolved settings of a run and a measured forecast of its cost; spends a few steps.
    Plan {
        /// Name of the method.
        method: String,
        /// Settings and limits.
        #[command(flatten)]
        settings: RunSettingsArgs,
    },
    /// Measures steps of a search: time, operators and memory, by our kernels and by libtorch's operators one after the other.
    Bench(BenchArguments),
    /// Search, select, retrain and test, for one or more methods and seeds.
    Run {
        /// Names of methods, or all.
        #[arg(required = true)]
        methods: Vec<String>,
        /// Also random search in the space of each method, with its images and trainings.
        #[arg(long)]
        controls: bool,
        /// How and where.
        #[command(flatten)]
        runs: Runs,
    },
    /// Goes on with an unfinished run.
    Resume(ResumeArguments),
    /// Trains a saved or published architecture from scratch.
    Train {
        /// A published name (see `naslab list`), a cell such as 'nb201:|...|', or a JSON file: an architecture, or a finding.json.
        architecture: String,
        /// How and where.
        #[command(flatten)]
        runs: Runs,
    },
    /// Writes a network for other programs: its architecture, its weights, an ONNX model.
    Export(ExportArguments),
    /// Tables, figures and report.html from recorded runs.
    #[cfg(feature = "report")]
    Report {
        /// Folders with run directories.
        #[arg(default_value = "runs")]
        runs: Vec<PathBuf>,
        /// Folder of the tables and figures.
        #[arg(long, default_value = "reports")]
        out: PathBuf,
    },
    /// Compares recorded runs with a baseline; exit code 1 if something is worse.
    #[cfg(feature = "report")]
    Check(CheckArguments),
    /// Draws an architecture as SVG or PNG.
    #[cfg(feature = "report")]
    Draw {
        /// A published name (see `naslab list`), a cell such as 'nb201:|...|', or a JSON file: an architecture, or a finding.json.
        architecture: String,
        /// File to write: .svg or .png.
        #[arg(short, long)]
        out: PathBuf,
    },
    /// What each data set needs, where it is looked for and what was found.
    #[command(subcommand)]
    Data(DataAction),
    /// Tabular benchmarks: measured trainings of every architecture of a space, from which searches are answered.
    #[command(subcommand)]
    Table(TableAction),
    /// One of several runs or measurements of a command, as its plan file says.
    #[command(hide = true)]
    Member {
        /// What to do, a JSON file.
        plan: PathBuf,
    },
}

/// Settings of a method, as all commands that need some take them.
#[derive(Args, Clone, Debug, Default)]
pub struct ChoiceArgs {
    /// Named settings: smoke (minutes on a CPU), small (an hour or so), paper (nothing shrunk) [default: smoke].
    #[arg(long)]
    pub preset: Option<String>,
    /// Data set; the preset names one.
    #[arg(long)]
    pub dataset: Option<String>,
    /// Folder with the data set's files.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Changes one setting, such as retrain.recipe.epochs=5; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Settings and limits that `plan`, `bench`, `run` and `train` share.
#[derive(Args, Clone, Debug, Default)]
pub struct RunSettingsArgs {
    /// Which settings.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Device time for search and selection: 90s, 10m, 2h, 0.5d. Several runs of one command share it equally.
    #[arg(long = "budget", value_name = "TIME", value_parser = parse_duration)]
    pub budget_seconds: Option<f64>,
    /// The same for each run of the command, however many there are.
    #[arg(long = "budget-per-run", value_name = "TIME", value_parser = parse_duration, conflicts_with = "budget_seconds")]
    pub budget_per_run_seconds: Option<f64>,
    /// Most trials of a search by trials.
    #[arg(long, value_name = "N")]
    pub max_trials: Option<u64>,
    /// Most memory, of the device or else of the process: 800MiB, 2GiB.
    #[arg(long = "max-memory", value_name = "SIZE", value_parser = parse_bytes)]
    pub max_memory_bytes: Option<u64>,
    /// auto, cpu, cuda or cuda:N; cuda never falls back to the CPU.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Threads of one operation on the CPU, outside of trials; results are reproducible for the same number.
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
    /// Trials to run side by side, each with one thread: all cores if not given, 1 on a card. Without a limit of time or memory the outcome does
    /// not depend on it.
    #[arg(long, value_name = "N")]
    pub jobs: Option<u64>,
}

/// How runs save and talk.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct OutputArgs {
    /// Nothing but results and errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// Time between two checkpoints; 0s for one after every step.
    #[arg(long = "checkpoint-every", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub checkpoint_seconds: f64,
    /// Writes what is recorded to an event file for TensorBoard too, as it happens: tensorboard/ in the run's folder.
    #[arg(long)]
    pub tensorboard: bool,
    /// Also writes state, batches and outcome of every step of a search by steps and of the retraining below DIR, for scripts/replay.py; this is large.
    #[arg(long, value_name = "DIR")]
    pub trace: Option<PathBuf>,
    /// Most room that the trace of a run takes, half for the search and half for the retraining.
    #[arg(long = "trace-limit", value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    pub trace_bytes: u64,
}

/// `naslab bench`
#[derive(Args, Debug)]
pub struct BenchArguments {
    /// Names of methods, or all.
    #[arg(required = true)]
    pub methods: Vec<String>,
    /// Settings; limits are not needed.
    #[command(flatten)]
    pub settings: RunSettingsArgs,
    /// Measured steps of each kind, after one that is not.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub steps: usize,
    /// What does the arithmetic on a processor, in this order; each in a process of its own.
    #[arg(long = "kernels", value_delimiter = ',', default_values = Kernels::ALL.map(Kernels::name))]
    #[arg(value_parser = named(Kernels::ALL.map(|k| (k.name(), k))))]
    pub forms: Vec<Kernels>,
    /// Also writes what was measured to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What `run` and `train` have in common: one run or several, and their place.
#[derive(Args, Debug, Clone)]
pub struct Runs {
    /// Settings and limits.
    #[command(flatten)]
    pub settings: RunSettingsArgs,
    /// Seeds: 0..3 (0, 1, 2), 7, or 1,4,9.
    #[arg(long, default_value = "0", value_parser = Seeds::parse)]
    pub seeds: Seeds,
    /// Folder of the run directories.
    #[arg(long, default_value = "runs")]
    pub out: PathBuf,
    /// How it talks.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `naslab resume`
#[derive(Args, Debug)]
pub struct ResumeArguments {
    /// The run directory.
    pub directory: PathBuf,
    /// Where the data are now, if they moved.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Device; the kind must be that of the run.
    #[arg(long)]
    pub device: Option<String>,
    /// Trials to run side by side; as in the first attempt if not given.
    #[arg(long, value_name = "N")]
    pub jobs: Option<u64>,
    /// How it talks.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `naslab export`
#[derive(Args, Debug)]
pub struct ExportArguments {
    /// The folder of a run, a published name (see `naslab list`), a cell such as 'nb201:|...|', or a JSON file: an architecture, or a finding.json.
    pub source: String,
    /// Folder to write into, made if it is not there; for TensorBoard alone it need not be named and is tensorboard/ in the run's folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What to write, separated by commas; export.json, which says what the network expects, is always written.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "architecture,weights,onnx")]
    pub format: Vec<Written>,
    /// Weights of an architecture, a safetensors file; without it they are initialised, not trained.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Seed of the initialisation [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Settings, from which an architecture's network has its size, the size of its images and its classes.
    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// `naslab check`
#[cfg(feature = "report")]
#[derive(Args, Debug)]
pub struct CheckArguments {
    /// Folders with run directories.
    #[arg(default_value = "runs")]
    pub runs: Vec<PathBuf>,
    /// The baseline, a CSV file.
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,
    /// Writes the baseline from the runs.
    #[arg(long, conflicts_with_all = ["mode", "margin", "time_ratio", "memory_ratio", "junit"])]
    pub update: bool,
    /// How findings and scores are compared: exact on a CPU of the baseline's model with its number of threads, else statistical.
    #[arg(long, value_parser = named([("exact", Mode::Exact), ("statistical", Mode::Statistical)]))]
    pub mode: Option<Mode>,
    /// Percentage points by which a mean score may be lower, in the statistical mode.
    #[arg(long, value_name = "POINTS", default_value_t = 1.0, allow_negative_numbers = true)]
    pub margin: f64,
    /// Longest time of a phase relative to the baseline's.
    #[arg(long, value_name = "RATIO", default_value_t = 1.3)]
    pub time_ratio: f64,
    /// Largest peak memory relative to the baseline's.
    #[arg(long, value_name = "RATIO", default_value_t = 1.2)]
    pub memory_ratio: f64,
    /// Takes processor seconds as they are, without measuring how fast the machine is.
    #[arg(long)]
    pub no_calibration: bool,
    /// Writes the outcome as JUnit XML too.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// `naslab data ...`
#[derive(Debug, Subcommand)]
pub enum DataAction {
    /// All data sets, what they need and where they are looked for.
    List,
    /// Looks for the files and checks their content.
    Check {
        /// Names of data sets; all if none is named.
        sets: Vec<String>,
        /// Folder with the files.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

impl OutputArgs {
    /// Where the run in `directory` is traced: in a folder of its name.
    pub fn trace_of(&self, directory: &Path) -> Option<TraceTo> {
        // `.` has no name of its own.
        let whole = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
        let folder = self.trace.as_ref()?.join(whole.file_name().unwrap_or_default());
        Some(TraceTo { folder, limit: self.trace_bytes })
    }
}

impl RunSettingsArgs {
    /// The same with an equal share of the budget for each of `runs`. What one leaves over is not given to another: no run depends on those
    /// before it.
    pub fn shared_by(&self, runs: usize) -> Self {
        let share = self.budget_seconds.map(|seconds| seconds / runs as f64);
        Self { budget_seconds: share.or(self.budget_per_run_seconds), budget_per_run_seconds: None, ..self.clone() }
    }

    /// The limits of one run.
    pub fn limits(&self) -> Limits {
        Limits {
            budget_seconds: self.budget_seconds.or(self.budget_per_run_seconds),
            max_trials: self.max_trials,
            max_memory_bytes: self.max_memory_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_or_given_to_each_run() {
        let of = |words: &[&str]| {
            let all = ["naslab", "run", "all"].iter().chain(words);
            match Arguments::try_parse_from(all).map(|a| a.command) {
                Ok(Command::Run { runs, .. }) => Some(runs.settings),
                _ => None,
            }
        };
        let each = |words: &[&str], runs| of(words).unwrap().shared_by(runs).limits().budget_seconds;
        assert_eq!(each(&["--budget", "10m"], 1), Some(600.0));
        assert_eq!(each(&["--budget", "10m"], 21), Some(600.0 / 21.0));
        assert_eq!(each(&["--budget-per-run", "28s"], 21), Some(28.0));
        assert_eq!(each(&[], 21), None);
        assert!(of(&["--budget", "10m", "--budget-per-run", "28s"]).is_none());
        assert!(of(&["--max-memory", "much"]).is_none() && of(&["--checkpoint-every", "30"]).is_none());
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
