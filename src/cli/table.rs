//! `naslab table`

use super::show::{print_out, table as lines};
use super::table_workers::{TableWorkers, workers};
#[cfg(feature = "search")]
use super::tabulate::{TableBuild, TableVerify, build, verify};
use super::values::{MOST_TRIALS, Seeds, chosen, cores, count_of_jobs, named};
use crate::error::{Result, usage};
use crate::message::say;
use crate::record::FORMAT;
use crate::reproductions::{ALGORITHMS, algorithm};
use crate::statistics::{mean, spread};
use crate::table::{
    self, Algorithm, BUILT_IN, Fidelity, Limit, Manifest, Report, RowsOf, RunOf, Score, SimulatedSeconds, Study, Table, read_study,
    write_study,
};
use crate::units::{show_count, show_seconds};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Instant;

/// `naslab table ...`
#[derive(Debug, Subcommand)]
pub enum TableAction {
    /// The built-in tables: their space, columns, source and licence.
    List,
    /// Reads tables and checks them.
    Check {
        /// Built-in names or files; the built-in ones if none is named.
        tables: Vec<String>,
    },
    /// One architecture: every column with its meaning.
    Show {
        /// A built-in name or a file.
        table: String,
        /// Its number in the table, or its string.
        cell: String,
    },
    /// Searches a table with one or more algorithms, many seeds each.
    Run(TableRun),
    /// Ageing evolution with virtual workers, whose trainings take their simulated seconds side by side: how well they are used, and what it finds.
    Workers(TableWorkers),
    /// Makes a table: trains every class of cells of the space of NAS-Bench-201. What was trained is kept; the same command goes on.
    #[cfg(feature = "search")]
    Build(TableBuild),
    /// Holds a table that naslab made to what it says of itself, and trains drawn rows of it again.
    #[cfg(feature = "search")]
    Verify(TableVerify),
}

/// `naslab table run`
#[derive(Args, Debug)]
pub struct TableRun {
    /// Algorithms: amoebanet, random, reinforce, nasnet, or all.
    #[arg(required = true)]
    pub algorithms: Vec<String>,
    /// A built-in name or a file.
    #[arg(long, default_value = "nas-bench-201")]
    pub table: String,
    /// Data set that is searched: the table's first if not given.
    #[arg(long)]
    pub dataset: Option<String>,
    /// Seeds: 0..500 (0 to 499), 7, or 1,4,9.
    #[arg(long, default_value = "0", value_parser = Seeds::parse)]
    pub seeds: Seeds,
    /// What the trainings of a seed may take, on the device of the table: 12000s, 3h.
    #[arg(long, value_name = "TIME")]
    pub simulated_budget: Option<SimulatedSeconds>,
    /// Most trainings of a seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MOST_TRIALS))]
    pub max_trainings: Option<u64>,
    /// fits: a training that would exceed the budget is not done; overshoots: it is done, and is the last.
    #[arg(long, default_value = "fits", value_parser = named([("fits", Limit::Fits), ("overshoots", Limit::Overshoots)]))]
    pub limit: Limit,
    /// Epochs of the trainings that the search is told of: the table's shortest schedule if not given.
    #[arg(long, value_name = "EPOCHS")]
    pub fidelity: Option<u32>,
    /// Epochs of the trainings that are looked up at the end: the table's longest schedule if not given.
    #[arg(long, value_name = "EPOCHS")]
    pub look_up: Option<u32>,
    /// What the search is told: validation accuracies, or those on test images (which proves nothing, and needs --allow-same).
    #[arg(long, default_value = "validation", value_parser = named([("validation", Score::Validation), ("test", Score::Test)]))]
    pub score: Score,
    /// Which of several trainings answers.
    #[arg(long, default_value = "mean", value_parser = named([("mean", RunOf::Mean), ("random", RunOf::Random)]))]
    pub run: RunOf,
    /// Permits a search that is told what is looked up; every output is labelled so.
    #[arg(long)]
    pub allow_same: bool,
    /// Changes one setting of the algorithm, such as search.sample=5; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Threads, each with a share of the seeds; all cores if not given. The outcome does not depend on it.
    #[arg(long, value_name = "N", value_parser = count_of_jobs())]
    pub jobs: Option<u64>,
    /// Folder of the studies.
    #[arg(long, default_value = "runs")]
    pub out: PathBuf,
    /// Refused: a study spends simulated seconds.
    #[arg(long, hide = true)]
    pub budget: Option<String>,
}

/// Lists, checks, shows or searches tables.
pub fn table(action: &TableAction) -> Result<()> {
    match action {
        TableAction::List => list(),
        TableAction::Check { tables } => check(tables),
        TableAction::Show { table, cell } => show(table, cell),
        TableAction::Run(a) => run(a),
        TableAction::Workers(a) => workers(a),
        #[cfg(feature = "search")]
        TableAction::Build(a) => build(a),
        #[cfg(feature = "search")]
        TableAction::Verify(a) => verify(a),
    }
}

fn list() -> Result<()> {
    let about = BUILT_IN.iter().map(|name| table::open(name).map(|t| describe(&t))).collect::<Result<String>>()?;
    let algorithms = ALGORITHMS.iter().map(|a| format!("  {:10} {}\n{:13}{}\n", a.name, a.title, "", a.paper));
    print_out(format!("tables\n{about}\nalgorithms (naslab table run NAME)\n{}", algorithms.collect::<String>()))
}

fn describe(table: &Table) -> String {
    let a = &table.about;
    let sets: Vec<String> = a.sets.iter().map(|s| format!("{} ({})", s.name, s.title)).collect();
    let schedules: Vec<String> = a.fidelities.iter().map(|f| f.words()).collect();
    let remarks: String = a.remarks.iter().map(|r| format!("    - {r}\n")).collect();
    format!(
        "  {}: {} architectures of the space {}{}\n    sets: {}\n    schedules: {}; times: {}\n    {}; {}\n{remarks}",
        a.name,
        show_count(table.grid.size() as u64),
        a.space.name(),
        if a.rows == RowsOf::Classes { format!(", in {} classes", show_count(table.rows.len() as u64)) } else { String::new() },
        sets.join(", "),
        schedules.join(", "),
        if a.seconds_of_images.is_some() { a.device.as_str() } else { "none" },
        a.source,
        a.licence,
    )
}

fn check(names: &[String]) -> Result<()> {
    let all: Vec<&str> = if names.is_empty() { BUILT_IN.to_vec() } else { names.iter().map(String::as_str).collect() };
    let (mut rows, mut bad) = (Vec::new(), None);
    for name in all {
        match table::open(name) {
            Ok(t) => {
                let what = format!(
                    "ok, {} {}, {} columns, SHA-256 {}",
                    show_count(t.rows.len() as u64),
                    t.about.rows.words(),
                    t.columns.len(),
                    &t.sha256[..16]
                );
                rows.push([name.to_string(), what]);
            }
            Err(e) => {
                rows.push([name.to_string(), "bad".into()]);
                bad.get_or_insert(e);
            }
        }
    }
    print_out(lines(["table", "found"], &[0, 1], rows))?;
    bad.map_or(Ok(()), Err)
}

fn show(name: &str, cell: &str) -> Result<()> {
    let table = table::open(name)?;
    let row = table.find(cell)?;
    let of = &table.rows[row];
    let number = |n: Option<u64>| n.map_or_else(|| "-".into(), show_count);
    let space = table.about.space.name();
    let what = match table.about.rows {
        RowsOf::Architectures => format!("in the space {space}"),
        RowsOf::Classes => format!("in the space {space}; it answers for all cells of its class"),
    };
    let mut rows = vec![
        ["index".to_string(), of.index.to_string(), "number in the table".into()],
        ["arch".into(), table.grid.space.write(of.point), what],
        ["class".into(), of.class.map_or_else(|| "-".into(), |c| c.to_string()), "cells that the authors count as one".into()],
        ["params".into(), number(of.params), "weights of the network for the first data set".into()],
        ["macs".into(), number(of.macs), "multiply-adds for an image of it".into()],
        ["runs".into(), number(of.runs), "trainings behind the means of the longest schedule".into()],
    ];
    for column in &table.columns {
        let set = &table.about.sets[column.set];
        let value = Some(column.values[row]).filter(|v| v.is_finite()).map_or_else(|| "-".into(), |v| format!("{v} %"));
        rows.push([column.name(&table.about), value, format!("{column} on {}", set.title)]);
    }
    for (set, at) in table.about.sets.iter().zip(0..) {
        for fidelity in &table.about.fidelities {
            let Some(seconds) = table.seconds(row, at, *fidelity) else { continue };
            let what = format!("a training of a search on {}, {}, {}", set.title, fidelity.words(), table.about.device);
            rows.push([format!("cost {}{}", set.name, fidelity.ending()), seconds.to_string(), what]);
        }
    }
    print_out(lines(["column", "value", "meaning"], &[0, 2], rows))
}

fn run(a: &TableRun) -> Result<()> {
    if a.budget.is_some() {
        return Err(usage!("--budget is real time; a study spends simulated seconds: --simulated-budget 12000s"));
    }
    let table = table::open(&a.table)?;
    let algorithms = chosen(&a.algorithms, ALGORITHMS, algorithm)?;
    let manifests: Vec<Manifest> = algorithms.iter().map(|algorithm| manifest(a, &table, algorithm)).collect::<Result<_>>()?;
    let set = searched(a, &table)?;
    for manifest in &manifests {
        manifest.study.check(&table, set)?;
        if !a.allow_same {
            manifest.study.check_apart()?;
        }
    }
    let mut ended = Vec::new();
    for (manifest, algorithm) in manifests.iter().zip(algorithms) {
        ended.push((manifest, search(a, (&table, set), manifest, algorithm)?));
    }
    print_out(summary(&table, &ended))
}

/// Place of the data set that is searched.
fn searched(a: &TableRun, table: &Table) -> Result<usize> {
    a.dataset.as_deref().map_or(Ok(0), |name| table.about.set(name))
}

fn manifest(a: &TableRun, table: &Table, algorithm: &Algorithm) -> Result<Manifest> {
    let about = &table.about;
    let settings = algorithm.resolve(&a.set)?;
    let schedule = |epochs: Option<u32>, usual: Option<&Fidelity>| {
        let found = epochs.map_or(usual.copied(), |e| about.fidelities.iter().copied().find(|f| f.0 == e));
        let known: Vec<String> = about.fidelities.iter().map(|f| f.words()).collect();
        found
            .ok_or_else(|| usage!("the table '{}' has nothing after {} epochs, only {}", about.name, epochs.unwrap_or(0), known.join(", ")))
    };
    let (fidelity, look_up) = (schedule(a.fidelity, about.fidelities.iter().min())?, schedule(a.look_up, about.fidelities.iter().max())?);
    let study = Study {
        score: a.score,
        fidelity,
        look_up,
        run: a.run,
        limit: a.limit,
        simulated_budget: a.simulated_budget,
        max_trainings: a.max_trainings,
    };
    Ok(Manifest {
        format: FORMAT,
        algorithm: algorithm.name.into(),
        title: algorithm.title.into(),
        variant: algorithm.variant(&settings)?,
        role: algorithm.role,
        mark: algorithm.mark,
        settings,
        table: a.table.clone(),
        table_sha256: table.sha256.clone(),
        space: about.space,
        device: about.device.clone(),
        dataset: about.sets[searched(a, table)?].clone(),
        label: study.label().map(String::from),
        study,
        seeds: a.seeds.0.clone(),
    })
}

/// What a study came to: now, or when it was run before.
fn search(a: &TableRun, (table, set): (&Table, usize), manifest: &Manifest, algorithm: &Algorithm) -> Result<Report> {
    let folder = a.out.join(manifest.folder());
    if let Some((before, report)) = read_study(&folder)?.filter(|(before, _)| before == manifest) {
        say!("{}: finished before, with {} seeds", folder.display(), before.seeds.len());
        return Ok(report);
    }
    let jobs = cores(a.jobs);
    let began = Instant::now();
    let done = table::run((table, set), &manifest.study, (algorithm, &manifest.settings), &manifest.seeds, jobs as usize)?;
    let seconds = began.elapsed().as_secs_f64();
    let folder = write_study(&a.out, manifest, table, &done, (seconds, jobs))?;
    say!("{}: {} seeds in {} of real time", folder.display(), done.len(), show_seconds(seconds));
    Ok(Report::of(manifest, table, &done))
}

/// Mean and deviation over the seeds.
fn summary(table: &Table, ended: &[(&Manifest, Report)]) -> String {
    let first = ended[0].0;
    let searched = format!(
        "{}: searched on {} by {} accuracies after {}, looked up after {}; mean ± standard deviation over the seeds, in per cent\n",
        first.table,
        first.dataset.title,
        first.study.score.part().words(),
        first.study.fidelity.words(),
        first.study.look_up.words()
    );
    let label = first.label.as_ref().map_or_else(String::new, |l| format!("NOTE: {l}\n"));
    let figure = |values: Vec<f64>| spread(&values).unwrap_or_else(|| "-".into());
    let rows = ended.iter().flat_map(|(manifest, report)| {
        table.about.sets.iter().enumerate().map(move |(set, of)| {
            let of_part = |part: usize| figure(report.seeds.iter().filter_map(|s| s.look_ups[set][part]).collect());
            let trainings: Vec<f64> = report.seeds.iter().map(|s| s.trainings as f64).collect();
            [
                manifest.name(),
                of.title.clone(),
                report.seeds.len().to_string(),
                format!("{:.1}", mean(&trainings).unwrap_or(0.0)),
                of_part(0),
                of_part(1),
            ]
        })
    });
    format!("{searched}{label}{}", lines(["algorithm", "set", "seeds", "trainings", "validation", "test"], &[0, 1], rows))
}
