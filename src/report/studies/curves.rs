//! What is drawn of studies: test accuracy of the incumbent against simulated time, and how schedules of a table agree.

use super::load::Study;
use crate::statistics::correlation::{kendall, pearson, spearman};
use crate::statistics::mean;
use crate::table::{Fidelity, Part, Table};

/// Points of a curve.
const POINTS: usize = 80;

/// Test accuracy of the incumbent over the seeds of a study, looked up after the search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Simulated seconds, or trainings in a table without times.
    pub at: Vec<f64>,
    /// Mean over the seeds, per cent.
    pub mean: Vec<f64>,
    /// The tenth and the ninetieth percentile of the seeds.
    pub band: [Vec<f64>; 2],
    /// Best test accuracy of the table.
    pub best: f64,
    /// Whether `at` are simulated seconds.
    pub timed: bool,
}

/// One seed: when the incumbent changed, and its test accuracy.
type Steps = Vec<(f64, f64)>;

/// The curve of a study on the data set that was searched; `None` without its table, or where the table has no test accuracy.
pub fn curve(study: &Study) -> Option<Curve> {
    let (table, set, m) = (study.table.as_ref()?, study.searched()?, &study.manifest.study);
    let tested = study.by_index(table, set, Part::Test, m.look_up);
    let timed = table.about.seconds_of_images.is_some();
    let mut seeds: Vec<Steps> = Vec::new();
    let mut ends: f64 = 0.0;
    for seed in study.history.chunk_by(|a, b| a.seed == b.seed) {
        let (mut spent, mut best, mut steps) = (0.0, f64::NEG_INFINITY, Steps::new());
        for (query, number) in seed.iter().zip(1..) {
            spent = if timed { spent + query.simulated_seconds?.number() } else { f64::from(number) };
            if let Some(score) = query.score.filter(|s| *s > best) {
                best = score;
                steps.push((spent, *tested.get(&query.index)?));
            }
        }
        ends = ends.max(spent);
        seeds.push(steps);
    }
    let begin = seeds.iter().filter_map(|s| s.first()).map(|s| s.0).fold(0.0, f64::max);
    let end = m.simulated_budget.map_or(ends, |b| b.number());
    if !(begin > 0.0 && begin < end) {
        return None;
    }
    let at: Vec<f64> = (0..POINTS).map(|i| begin * (end / begin).powf(i as f64 / (POINTS - 1) as f64)).collect();
    let mut found = Curve { best: tested.values().copied().fold(0.0, f64::max), timed, ..Curve::default() };
    for time in &at {
        // The last point is the end of the budget itself, not what the powers make of it.
        let time = if *time > end * (1.0 - 1e-12) { f64::INFINITY } else { *time };
        let mut values: Vec<f64> = seeds.iter().filter_map(|s| s.iter().rev().find(|step| step.0 <= time)).map(|s| s.1).collect();
        values.sort_by(f64::total_cmp);
        found.mean.push(mean(&values)?);
        let quantile = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        found.band[0].push(quantile(0.1));
        found.band[1].push(quantile(0.9));
    }
    found.at = at;
    Some(found)
}

/// How well a short schedule orders the architectures of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Rank {
    /// Name of the table.
    pub table: String,
    /// Data set.
    pub set: String,
    /// What has a row: `architectures`, or `classes` of them.
    pub rows: &'static str,
    /// The short schedule, of which a search is told the validation accuracy.
    pub short: Fidelity,
    /// The long schedule, of which the test accuracy is looked up.
    pub long: Fidelity,
    /// Both accuracies of every architecture, per cent.
    pub pairs: Vec<(f64, f64)>,
    /// Pearson, Spearman, Kendall over all.
    pub all: [Option<f64>; 3],
    /// Spearman over the tenth that is best after the long schedule.
    pub best_tenth: Option<f64>,
}

/// Of all data sets of a table with two schedules.
pub fn ranks(table: &Table) -> Vec<Rank> {
    let (Some(short), Some(long)) = (table.about.fidelities.iter().min(), table.about.fidelities.iter().max()) else { return Vec::new() };
    if short == long {
        return Vec::new();
    }
    let of = |set: usize| {
        let pair = |row| Some((table.accuracy(row, set, Part::Valid, *short)?, table.accuracy(row, set, Part::Test, *long)?));
        let pairs: Vec<(f64, f64)> = (0..table.rows.len()).filter_map(pair).collect();
        let mut sorted = pairs.clone();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        sorted.truncate(pairs.len() / 10);
        let about = &table.about;
        Rank {
            table: about.name.clone(),
            set: about.sets[set].title.clone(),
            rows: about.rows.words(),
            short: *short,
            long: *long,
            all: [pearson(&pairs), spearman(&pairs), kendall(&pairs)],
            best_tenth: spearman(&sorted),
            pairs,
        }
    };
    (0..table.about.sets.len()).map(of).collect()
}

/// How accuracies of a table that this program trained agree with those of NAS-Bench-201 for the same cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// Name of the table, and its data set.
    pub here: [String; 2],
    /// Data set of NAS-Bench-201.
    pub there: String,
    /// After the longest schedule of each.
    pub schedules: [Fidelity; 2],
    /// Test accuracy of NAS-Bench-201 and here, of the cell that stands for each class, per cent.
    pub pairs: Vec<(f64, f64)>,
    /// Spearman's coefficient.
    pub spearman: Option<f64>,
}

/// With every data set of NAS-Bench-201; none for a table of another space, or that others made.
pub fn agreements(table: &Table, bench: &Table) -> Vec<Agreement> {
    if table.about.made.is_none() || table.about.space != bench.about.space {
        return Vec::new();
    }
    let longest = |t: &Table| t.about.fidelities.iter().max().copied();
    let (Some(here), Some(there)) = (longest(table), longest(bench)) else { return Vec::new() };
    let of = |(own, set): (usize, usize)| {
        let pair = |row: usize| {
            let same = bench.row_of(table.rows[row].point)?;
            Some((bench.accuracy(same, set, Part::Test, there)?, table.accuracy(row, own, Part::Test, here)?))
        };
        let pairs: Vec<(f64, f64)> = (0..table.rows.len()).filter_map(pair).collect();
        Agreement {
            here: [table.about.name.clone(), table.about.sets[own].title.clone()],
            there: bench.about.sets[set].title.clone(),
            schedules: [there, here],
            spearman: spearman(&pairs),
            pairs,
        }
    };
    let sets = |own| (0..bench.about.sets.len()).map(move |set| (own, set));
    (0..table.about.sets.len()).flat_map(sets).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_schedules_order_cells_as_another_program_found() {
        let table = crate::table::open("nas-bench-201").unwrap();
        let found = ranks(&table);
        // Spearman, Kendall, Pearson, and Spearman in the best tenth.
        let expected = [[0.7718, 0.5945, 0.8991, 0.504], [0.8247, 0.6448, 0.8717, 0.432], [0.8182, 0.6433, 0.8980, 0.298]];
        for (rank, [spearman, kendall, pearson, best]) in found.iter().zip(expected) {
            let near = |value: Option<f64>, expected: f64, within: f64| {
                assert!((value.unwrap() - expected).abs() < within, "{}: {value:?}", rank.set)
            };
            near(rank.all[1], spearman, 1e-4);
            near(rank.all[2], kendall, 1e-3);
            near(rank.all[0], pearson, 1e-4);
            // Ties at its border leave the tenth open.
            near(rank.best_tenth, best, 3e-3);
        }
        let valid = |epochs| &table.column(0, Part::Valid, Fidelity(epochs), None).unwrap().values;
        let pairs: Vec<(f64, f64)> = valid(12).iter().copied().zip(valid(200).iter().copied()).collect();
        let [s, k, p] = [spearman(&pairs), kendall(&pairs), pearson(&pairs)].map(Option::unwrap);
        assert!((s - 0.8226).abs() < 1e-4 && (k - 0.6485).abs() < 1e-3 && (p - 0.9119).abs() < 1e-4, "{s} {k} {p}");
    }

    #[test]
    fn our_own_table_agrees_with_the_benchmark_as_its_readme_says() {
        let [own, bench] = ["digits-201", "nas-bench-201"].map(|name| crate::table::open(name).unwrap());
        let found = agreements(&own, &bench);
        assert!(found.iter().all(|a| a.pairs.len() == 1_011));
        let rounded: Vec<String> = found.iter().map(|a| format!("{:.3}", a.spearman.unwrap())).collect();
        assert_eq!(rounded, ["0.345", "0.387", "0.366"]);
        assert!(agreements(&bench, &own).is_empty());
    }
}
