//! The command line as clap sees it.

#[cfg(feature = "search")]
use super::run_args::{BenchArguments, ClusterArgs, ExportArguments, ResumeArguments, RunSettingsArgs, Runs, TrialArguments};
use super::table::TableAction;
#[cfg(feature = "report")]
use super::values::{named, paper_width};
#[cfg(feature = "report")]
use crate::report::gate::Mode;
#[cfg(feature = "report")]
use clap::Args;
use clap::{Parser, Subcommand};
#[cfg(not(all(feature = "search", feature = "report")))]
use std::ffi::OsString;
use std::path::PathBuf;

/// Re-runs neural-architecture searches under one measured budget.
///
/// Exit codes: 0 ok, 1 a regression was found, 2 usage, 3 bad or missing input, 4 no result: the budget ended before any, or a search or a
/// retraining diverged, 5 resource failure (disk, memory, device), 129, 130 or 143 interrupted and resumable.
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
    #[cfg(feature = "search")]
    Plan {
        /// Name of the method.
        method: String,
        /// Settings and limits.
        #[command(flatten)]
        settings: RunSettingsArgs,
        /// A cluster.
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Measures steps of a search: time, operators and memory, by our kernels and by libtorch's operators one after the other.
    #[cfg(feature = "search")]
    Bench(BenchArguments),
    /// Search, select, retrain and test, for one or more methods and seeds.
    #[cfg(feature = "search")]
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
    #[cfg(feature = "search")]
    Resume(ResumeArguments),
    /// Trains a saved or published architecture from scratch.
    #[cfg(feature = "search")]
    Train {
        /// A published name (see `naslab list`), a cell such as 'nb201:|...|', or a JSON file: an architecture, or a finding.json.
        architecture: String,
        /// How and where.
        #[command(flatten)]
        runs: Runs,
    },
    /// What a task of a cluster does: trains trials of a run that `naslab run --on slurm` drew, and writes their outcomes into its folder.
    #[cfg(feature = "search")]
    Trial(TrialArguments),
    /// Writes a network for other programs: its architecture, its weights, an ONNX model.
    #[cfg(feature = "search")]
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
        /// Earlier results to compare with: a baseline of `naslab check`, or the results.csv of another report.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Also writes every panel for print into OUT/print, as SVG, PNG and PDF of this width, such as 8.5cm, 85mm, 3.35in or 241pt.
        #[arg(long, value_name = "WIDTH", value_parser = paper_width)]
        figure_width: Option<f64>,
        /// Dots an inch of these PNG files.
        #[arg(long, default_value_t = 300, requires = "figure_width", value_parser = clap::value_parser!(u32).range(72..=1200))]
        figure_dpi: u32,
    },
    /// Compares recorded runs with a baseline; exit code 1 if something is worse.
    #[cfg(feature = "report")]
    Check(CheckArguments),
    /// Draws an architecture as SVG, PNG or PDF.
    #[cfg(feature = "report")]
    Draw {
        /// A published name (see `naslab list`), a cell such as 'nb201:|...|', or a JSON file: an architecture, or a finding.json.
        architecture: String,
        /// File to write: .svg, .png or .pdf.
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
    #[cfg(feature = "search")]
    #[command(hide = true)]
    Member {
        /// What to do, a JSON file.
        plan: PathBuf,
    },
    /// A command that this program has not: it may have been built without libtorch or without tables and figures.
    #[cfg(not(all(feature = "search", feature = "report")))]
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[cfg(feature = "search")]
impl Command {
    /// Whether libtorch computes for it.
    pub fn computes(&self) -> bool {
        matches!(
            self,
            Self::Plan { .. }
                | Self::Bench(_)
                | Self::Run { .. }
                | Self::Resume(_)
                | Self::Train { .. }
                | Self::Trial(_)
                | Self::Member { .. }
                | Self::Table(TableAction::Build(_) | TableAction::Verify(_))
        )
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
