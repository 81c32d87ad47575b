//! `naslab table workers`

use super::show::{print_out, table as lines};
use super::values::{MOST_TRIALS, Seeds};
use crate::error::{Result, usage};
use crate::reproductions::algorithm;
use crate::seed::Streams;
use crate::statistics::{mean, spread};
use crate::table::{self, Commit, Fidelity, Part, RunOf, Score, Shift, Table, work};
use crate::units::show_count;
use clap::Args;
use serde_json::Value;

/// The search that is watched.
const SEARCH: &str = "amoebanet";

/// `naslab table workers`
#[derive(Args, Debug)]
pub struct TableWorkers {
    /// A built-in name or a file, with times.
    #[arg(long, default_value = "nas-bench-201")]
    pub table: String,
    /// Data set that is searched: the table's first if not given.
    #[arg(long)]
    pub dataset: Option<String>,
    /// Numbers of workers.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,450,1000,10000", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub workers: Vec<u64>,
    /// Windows: trials that may be drawn and not committed, for each worker.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub windows: Vec<u64>,
    /// Trainings of a search.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=MOST_TRIALS))]
    pub trials: u64,
    /// Seeds: 0..10 (0 to 9), 7, or 1,4,9.
    #[arg(long, default_value = "0..5", value_parser = Seeds::parse)]
    pub seeds: Seeds,
    /// Changes one setting of the search, such as search.population=100; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Prints a row for each number of workers and each way to commit.
pub fn workers(a: &TableWorkers) -> Result<()> {
    let (table, settings) = (table::open(&a.table)?, algorithm(SEARCH)?.resolve(&a.set)?);
    let set = a.dataset.as_deref().map_or(Ok(0), |name| table.about.set(name))?;
    let schedules = || table.about.fidelities.iter().copied();
    let (told, look_up) = (schedules().min().unwrap_or(Fidelity(0)), schedules().max().unwrap_or(Fidelity(0)));
    let mut rows = Vec::new();
    for workers in &a.workers {
        let ordered = a.windows.iter().map(|window| Commit::Ordered { window: *window });
        for commit in ordered.chain([Commit::Arrival]) {
            let shifts = a
                .seeds
                .0
                .iter()
                .map(|seed| shift(&table, (set, told), &settings, (*workers, commit), a.trials, *seed))
                .collect::<Result<Vec<_>>>()?;
            rows.push(row((&table, set, look_up), (*workers, commit), &shifts));
        }
    }
    let about = format!(
        "{}: ageing evolution, {} trainings after {} on {}, {} seeds; mean, of accuracies (in per cent) with the standard deviation\n",
        a.table,
        show_count(a.trials),
        told.words(),
        table.about.sets[set].title,
        a.seeds.0.len()
    );
    let header = ["workers", "committed", "used", "simulated hours", "told", "looked up"];
    print_out(format!("{about}{}", lines(header, &[1], rows)))
}

fn shift(
    table: &Table,
    (set, told): (usize, Fidelity),
    settings: &Value,
    (workers, commit): (u64, Commit),
    trials: u64,
    seed: u64,
) -> Result<Shift> {
    let queries = table.queries(set, Score::Validation, told, RunOf::Mean)?;
    let mut settings = settings.clone();
    // As many children are drawn before the first is known as the window permits.
    settings["in_flight"] = match commit {
        Commit::Ordered { window } => window.checked_mul(workers).ok_or_else(|| usage!("--windows {window}: too many trials"))?,
        Commit::Arrival => u64::MAX,
    }
    .into();
    let streams = Streams::new(seed);
    let mut search = (algorithm(SEARCH)?.begin)(&settings, &table.grid, streams)?;
    work(&queries, &mut *search, (workers, commit), trials, streams)
}

fn row((table, set, look_up): (&Table, usize, Fidelity), (workers, commit): (u64, Commit), shifts: &[Shift]) -> [String; 6] {
    let best =
        |shift: &Shift| shift.trials.iter().filter(|t| t.score.is_some()).copied().reduce(|a, b| if b.score > a.score { b } else { a });
    let found: Vec<_> = shifts.iter().filter_map(best).collect();
    let test = table.column(set, Part::Test, look_up, None);
    let figure = |values: Vec<f64>| spread(&values).unwrap_or_else(|| "-".into());
    let of = |get: fn(&Shift) -> f64| mean(&shifts.iter().map(get).collect::<Vec<_>>()).unwrap_or(0.0);
    let how = match commit {
        Commit::Ordered { window } => format!("in order, window {window}"),
        Commit::Arrival => "as they arrive".into(),
    };
    [
        show_count(workers),
        how,
        format!("{:.1} %", 100.0 * of(|s| s.utilisation)),
        format!("{:.2}", of(|s| s.seconds.number()) / 3600.0),
        figure(found.iter().filter_map(|t| t.score).collect()),
        figure(found.iter().filter_map(|t| test.map(|column| column.values[t.row as usize])).collect()),
    ]
}
