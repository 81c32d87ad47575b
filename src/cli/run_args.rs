//! What is typed for commands that run something: settings, limits, places.

use super::values::{MOST_THREADS, MOST_TRIALS, Seeds, count_of_jobs, named};
use crate::export::Written;
use crate::lab::TraceTo;
use crate::nn::Kernels;
use crate::record::Limits;
use crate::units::{parse_bytes, parse_duration};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MOST_TRIALS))]
    pub max_trials: Option<u64>,
    /// Most memory, of the device or else of the process: 800MiB, 2GiB.
    #[arg(long = "max-memory", value_name = "SIZE", value_parser = parse_bytes)]
    pub max_memory_bytes: Option<u64>,
    /// auto, cpu, cuda, cuda:N, or several cards for children or runs side by side, as in cuda:0,1,2 or cuda:all; cuda never falls back to the CPU.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Threads of one operation on the CPU, outside of trials; results are reproducible for the same number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_THREADS)))]
    pub threads: Option<u32>,
    /// Trials to run side by side, each with one thread: all cores if not given, 1 on a card. On a cluster: tasks that may be in its queue, 8 if not
    /// given. Without a limit of time or memory the outcome does not depend on it.
    #[arg(long, value_name = "N", value_parser = count_of_jobs())]
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
    /// Lines also on a terminal, since others write there too.
    #[arg(skip)]
    #[serde(default)]
    pub plain: bool,
}

/// Where the work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum On {
    /// On this machine.
    #[default]
    Local,
    /// On the nodes of a Slurm cluster.
    Slurm,
}

/// A cluster that does the work.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// Where the work is done: on this machine, or by a Slurm cluster that shares the folder of the runs with it [default: local; of a resumed run, as before].
    #[arg(long, value_enum)]
    pub on: Option<On>,
    /// What sbatch is given as it is, such as "--partition=gpu --gres=gpu:1 --time=4:00:00".
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub sbatch: Option<String>,
    /// Trials that one task of a cluster trains, one after the other; more than 1 for short ones [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_TRIALS))]
    pub trials_per_task: Option<u64>,
    /// The naslab that the nodes are to start, where it is another file than this program; it may be a script.
    #[arg(long, value_name = "FILE")]
    pub node_program: Option<PathBuf>,
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
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub steps: u64,
    /// What does the arithmetic, in this order; each in a process of its own. A card has plain and grouped alone.
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
    /// A cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
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
    #[arg(long, value_name = "N", value_parser = count_of_jobs())]
    pub jobs: Option<u64>,
    /// A cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How it talks.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `naslab trial`
#[derive(Args, Debug)]
pub struct TrialArguments {
    /// The run directory.
    pub directory: PathBuf,
    /// Trials such as search-17 or select-0, or `rest` for all that is left of the run after them.
    #[arg(required = true, value_name = "ID")]
    pub trials: Vec<String>,
    /// How the rest of a run saves and talks.
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

impl ClusterArgs {
    /// Whether a cluster was asked for.
    pub fn is_slurm(&self) -> bool {
        self.on == Some(On::Slurm)
    }
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
    use super::super::args::{Arguments, Command};
    use clap::Parser;

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
}
