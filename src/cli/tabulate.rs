//! `naslab table build` and `naslab table verify`.

use super::progress::watch;
use super::run::{catch_signals, order};
use super::run_args::{ChoiceArgs, RunSettingsArgs};
use super::show::{print_out, table as lines};
use super::values::{cores, count_of_jobs};
use crate::error::{Result, usage};
use crate::lab::{Again, Effort, Spread, Tabulation, Wanted, verify as train_again};
use crate::reproductions::method;
use crate::space::nas_bench_201;
use crate::table::{self, About, Fidelity};
use crate::units::{parse_duration, show_count, show_seconds};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tch::Device;

/// `naslab table build`
#[derive(Args, Debug)]
pub struct TableBuild {
    /// The table to write, such as mine.csv.gz; what it says of itself stands beside it in mine.json, and mine.csv.gz.journal keeps what was trained until all is.
    pub file: PathBuf,
    /// Name of the table: that of the file if not given.
    #[arg(long)]
    pub name: Option<String>,
    /// Operations of its cells: none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3; all if none is named.
    #[arg(long, value_delimiter = ',')]
    pub operations: Vec<String>,
    /// Epochs of its schedules. Each is a training of its own, with a whole course of the learning rate.
    #[arg(long, value_delimiter = ',', default_value = "2,16", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub epochs: Vec<u32>,
    /// Trainings of each class by each schedule.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Trains only so many classes, drawn by the seed, and says how far classes differ beyond the noise of a training.
    #[arg(long, value_name = "CLASSES")]
    pub pilot: Option<usize>,
    /// Which images, and how a network is trained: the section `retrain` of DARTS's settings in this space, on the images that train in a search.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Of all random streams.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Real time after which no training begins: 4h. The same command goes on later.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub budget: Option<f64>,
    /// Trainings side by side, each on one thread; all cores if not given. The table does not depend on it.
    #[arg(long, value_name = "N", value_parser = count_of_jobs())]
    pub jobs: Option<u64>,
    /// Nothing but results and errors.
    #[arg(long, short)]
    pub quiet: bool,
}

/// `naslab table verify`
#[derive(Args, Debug)]
pub struct TableVerify {
    /// A file that naslab table build wrote, or the name of a built-in table that it made.
    pub table: String,
    /// Rows to train again, one run each.
    #[arg(long, default_value_t = 12)]
    pub sample: usize,
    /// Which rows are drawn.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder with the data set's files.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Trainings side by side; all cores if not given.
    #[arg(long, value_name = "N", value_parser = count_of_jobs())]
    pub jobs: Option<u64>,
}

/// Makes a table, or tries what one would be like.
pub fn build(a: &TableBuild) -> Result<()> {
    let file_name = a.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(stem) = file_name.strip_suffix(".csv.gz").filter(|stem| !stem.is_empty()) else {
        return Err(usage!("{}: a table is a file NAME.csv.gz", a.file.display()));
    };
    let darts = method(nas_bench_201::SPACE.home)?;
    let mut choice = a.choice.clone();
    choice.set.insert(0, format!("search.space=\"{}\"", nas_bench_201::SPACE.name));
    let settings = RunSettingsArgs { choice, jobs: a.jobs, ..RunSettingsArgs::default() };
    let order = order(darts, &settings, a.seed, Device::Cpu)?;
    let wanted = Wanted {
        name: a.name.clone().unwrap_or_else(|| stem.into()),
        options: a.operations.clone(),
        fidelities: a.epochs.iter().map(|e| Fidelity(*e)).collect(),
        runs: a.runs,
        seed: a.seed,
        dataset: order.dataset.clone(),
        data_dir: order.data_dir.clone(),
    };
    let tabulation = Tabulation::open(&wanted, &darts.prepare(&order.settings)?.protocol)?;
    let effort = Effort {
        jobs: order.jobs,
        budget: a.budget.map(Duration::from_secs_f64),
        signals: catch_signals()?,
        watch: watch(&wanted.name, (a.quiet, false)),
    };
    match a.pilot {
        Some(classes) => print_out(spreads(&tabulation.pilot(&a.file, classes, effort)?)),
        None => print_out(built(&tabulation.build(&a.file, effort)?, &a.file)),
    }
}

fn spreads(all: &[Spread]) -> String {
    let rows = all.iter().map(|s| {
        let [least, mean, most] = s.accuracy.map(|v| format!("{v:.2}"));
        let share = s.between.map_or_else(|| "-".into(), |share| format!("{:.1} %", 100.0 * share));
        [s.fidelity.words(), s.part.words().to_string(), least, mean, most, share, format!("{:.2} s", s.seconds)]
    });
    let header = ["schedule", "accuracy", "least", "mean", "largest", "variance between classes", "processor time"];
    lines(header, &[0, 1], rows)
}

fn built(about: &About, path: &Path) -> String {
    let made = about.made.as_ref().expect("a table that was built says how");
    format!(
        "{}: {} of {}, {} trainings, of which {} diverged; {} of processor time, SHA-256 of the rows {}\n",
        path.display(),
        about.name,
        made.dataset,
        show_count(made.trainings),
        show_count(made.failed),
        show_seconds(made.processor_seconds),
        &made.rows_sha256[..16]
    )
}

/// Checks a table, and trains rows of it again.
pub fn verify(a: &TableVerify) -> Result<()> {
    let table = table::open(&a.table)?;
    let jobs = cores(a.jobs);
    let found = train_again((&table, Path::new(&a.table)), a.data_dir.as_deref(), (a.sample, a.seed), (jobs, &catch_signals()?))?;
    let number = |v: Option<f64>| v.map_or_else(|| "diverged".into(), |v| format!("{v} %"));
    let row = |again: &Again| {
        let Again { cell, run, fidelity, part, recorded, here, images } = again;
        let apart = if *images == 0.0 { "equal".into() } else { format!("{images} images") };
        [cell.clone(), run.to_string(), format!("{}, {}", fidelity.words(), part.words()), number(*recorded), number(*here), apart]
    };
    print_out(lines(["cell", "run", "accuracy", "recorded", "here", "difference"], &[0, 2], found.again.iter().map(row)))?;
    found.judge()?;
    let kind = if found.same_kind {
        "the kind of processor and the libtorch that made the table"
    } else {
        "another kind of processor or libtorch than made the table"
    };
    print_out(format!("{}: rows, sizes and means are sound; {} trainings again, on {kind}\n", a.table, found.rows()))
}
