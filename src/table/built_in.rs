//! The tables that are part of the program.

use super::about::{About, Fidelity, RowsOf, TableSet};
use super::grid::TableSpace;
use super::read::{self, unpacked};
use super::rows::{Column, Part, Row, Table};
use crate::error::{Result, input, usage};
use crate::units::hex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Names of the tables that are built in.
pub const BUILT_IN: [&str; 3] = [NAS_BENCH_201, "nas-bench-macro", "digits-201"];
/// That of the benchmark, which others of its space are set beside.
pub const NAS_BENCH_201: &str = "nas-bench-201";

const CELLS: &[u8] = include_bytes!("../../data/nas-bench-201/cells.csv.gz");
const CELLS_FILE: &str = "data/nas-bench-201/cells.csv.gz";
const CELLS_SHA256: &str = "df37e2e8d7544cc697135579cc03b24fc6fc33be322770609dc776badae4776c";
const NETWORKS: &[u8] = include_bytes!("../../data/nas-bench-macro/networks.json.gz");
const NETWORKS_FILE: &str = "data/nas-bench-macro/networks.json.gz";
const NETWORKS_SHA256: &str = "686dee8363cc21cca8c1f321ad5749454f2d9b9ca5972682e137e539bc522297";
const DIGITS: &[u8] = include_bytes!("../../data/digits-201/cells.csv.gz");
const DIGITS_ABOUT: &[u8] = include_bytes!("../../data/digits-201/cells.json");
const DIGITS_FILE: &str = "data/digits-201/cells.csv.gz";

/// A table by its name, or a user's own by the path of its file.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) for a name that no table has, [`Error::Input`](crate::error::Error::Input) for a file that is no table.
pub fn open(name: &str) -> Result<Table> {
    match name {
        NAS_BENCH_201 => nas_bench_201(),
        "nas-bench-macro" => nas_bench_macro(),
        "digits-201" => digits_201(),
        file if Path::new(file).exists() || file.contains(['/', '.']) => read::read(Path::new(file)),
        _ => Err(usage!("there is no table '{name}'; the built-in ones are {}, others are named by their file", BUILT_IN.join(", "))),
    }
}

fn set(name: &str, title: &str, column: &str, images: u64) -> TableSet {
    TableSet { name: name.into(), title: title.into(), column: column.into(), images }
}

fn words<const N: usize>(all: [&str; N]) -> Vec<String> {
    all.map(String::from).to_vec()
}

/// The text of a built-in file, which must be the one that was built in.
fn sound(file: &str, bytes: &[u8], sha256: &str) -> Result<Vec<u8>> {
    let text = unpacked(Path::new(file), bytes)?;
    let found = hex(&Sha256::digest(&text));
    if found == sha256 {
        Ok(text)
    } else {
        Err(input!(file, "SHA-256 {found} instead of {sha256}; this program was built from a changed file"))
    }
}

fn nas_bench_201() -> Result<Table> {
    let about = About {
        name: "nas-bench-201".into(),
        space: TableSpace::NasBench201,
        options: Vec::new(),
        rows: RowsOf::Architectures,
        made: None,
        sets: vec![
            set("cifar10", "CIFAR-10", "cifar10", 25_000),
            set("cifar100", "CIFAR-100", "cifar100", 50_000),
            set("imagenet16-120", "ImageNet16-120", "imagenet16", 151_700),
        ],
        fidelities: vec![Fidelity(12), Fidelity(200)],
        seconds_of_images: Some(25_000),
        device: "GTX 1080 Ti (as the table's authors state)".into(),
        source: "Dong, Yang: NAS-Bench-201, ICLR 2020; Dong, Liu, Musial, Gabrys: NATS-Bench, TPAMI 2021 (release NATS-tss-v1_0-3ffb9)"
            .into(),
        licence: "MIT".into(),
        remarks: words([
            "CIFAR-10: validation accuracies are of trainings on one half of the training images, test accuracies of trainings on all of them",
            "CIFAR-100 and ImageNet16-120: validation and test are the two halves of the test images, of the same trainings",
            "after 12 epochs: validation on CIFAR-10 is the mean of two trainings, all others are of one; after 200 epochs all are means of two or three",
            "the seconds of an epoch are one measurement for each cell on CIFAR-10; those of the other sets are scaled by the number of images",
            "the validation pass that the authors add to a training is left out: it is public for five cells only (3 to 4 % on CIFAR-10)",
        ]),
    };
    read::parse(Path::new(CELLS_FILE), &sound(CELLS_FILE, CELLS, CELLS_SHA256)?, CELLS_SHA256.into(), about)
}

fn digits_201() -> Result<Table> {
    let text = unpacked(Path::new(DIGITS_FILE), DIGITS)?;
    let about = serde_json::from_slice(DIGITS_ABOUT).map_err(|e| input!("data/digits-201/cells.json", "{e}"))?;
    read::parse(Path::new(DIGITS_FILE), &text, hex(&Sha256::digest(&text)), about)
}

/// A network in the file of NAS-Bench-Macro.
#[derive(Deserialize)]
struct Network {
    test_acc: [f64; 3],
    mean_acc: f64,
    params: u64,
    flops: u64,
}

fn nas_bench_macro() -> Result<Table> {
    let text = sound(NETWORKS_FILE, NETWORKS, NETWORKS_SHA256)?;
    let networks: BTreeMap<String, Network> = serde_json::from_slice(&text).map_err(|e| input!(NETWORKS_FILE, "not a table: {e}"))?;
    let about = About {
        name: "nas-bench-macro".into(),
        space: TableSpace::NasBenchMacro,
        options: Vec::new(),
        rows: RowsOf::Architectures,
        made: None,
        sets: vec![set("cifar10", "CIFAR-10", "cifar10", 50_000)],
        fidelities: vec![Fidelity(0)],
        seconds_of_images: None,
        device: "not stated".into(),
        source: "Su et al.: Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR 2021 (xiusu/NAS-Bench-Macro at 61a2bfc)"
            .into(),
        licence: "Apache-2.0".into(),
        remarks: words([
            "it has test accuracies only: a search that is told them chooses by the very number that is reported, so it never stands beside a claim (--allow-same)",
            "it has no times: cost is counted in trainings (--max-trainings)",
            "it has one schedule",
        ]),
    };
    let grid = about.grid()?;
    let mut at = vec![u32::MAX; grid.space.size()];
    let (mut rows, mut means, mut runs) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for ((key, network), index) in networks.iter().zip(0..) {
        let point = grid.space.read(key).map_err(|e| input!(NETWORKS_FILE, "{e}"))?;
        at[grid.space.number(point)] = index;
        let (params, macs) = (Some(network.params), Some(network.flops));
        rows.push(Row { index: u64::from(index), point, class: None, params, macs, runs: Some(3), seconds_per_epoch: None });
        means.push(network.mean_acc);
        runs.iter_mut().zip(network.test_acc).for_each(|(values, accuracy)| values.push(accuracy));
    }
    let column = |run, values| Column { set: 0, part: Part::Test, fidelity: Fidelity(0), run, values };
    let singles = runs.into_iter().zip(1..).map(|(values, run)| column(Some(run), values));
    let columns = [column(None, means)].into_iter().chain(singles).collect();
    Ok(Table { about, grid, sha256: NETWORKS_SHA256.into(), rows, columns, at })
}

#[cfg(test)]
mod tests {
    use super::super::{RunOf, Score};
    use super::*;
    use crate::seed::Streams;
    use crate::space::{BenchCell, BenchOp, Simplify};
    use std::collections::HashMap;

    fn values(table: &Table, set: usize, part: Part, epochs: u32) -> &[f64] {
        &table.column(set, part, Fidelity(epochs), None).unwrap().values
    }

    /// Best value and the indices that have it, worst, mean.
    fn summary(table: &Table, set: usize, part: Part, epochs: u32) -> (f64, Vec<u64>, f64, f64) {
        let all = values(table, set, part, epochs);
        let best = all.iter().copied().fold(f64::MIN, f64::max);
        let of = all.iter().zip(&table.rows).filter(|(v, _)| **v == best).map(|(_, r)| r.index).collect();
        (best, of, all.iter().copied().fold(f64::MAX, f64::min), all.iter().sum::<f64>() / all.len() as f64)
    }

    #[test]
    fn the_best_the_worst_and_the_mean_of_every_column() {
        let table = open("nas-bench-201").unwrap();
        assert_eq!((table.rows.len(), table.grid.size()), (15_625, 15_625));
        let expected = [
            (0, Part::Valid, 200, 91.6067, vec![6111], 9.712, 83.6869),
            (0, Part::Test, 200, 94.3733, vec![6111, 13714], 10.0, 87.0629),
            (1, Part::Valid, 200, 73.4933, vec![9930], 1.0, 61.2997),
            (1, Part::Test, 200, 73.5133, vec![9930], 1.0, 61.4055),
            (2, Part::Valid, 200, 46.7333, vec![10676], 0.8333, 33.8077),
            (2, Part::Test, 200, 47.3111, vec![857], 0.8333, 33.5864),
            (0, Part::Valid, 12, 84.892, vec![13714], 9.712, 68.8517),
            (0, Part::Test, 12, 89.16, vec![5374], 10.0, 75.9842),
        ];
        for (set, part, epochs, best, of, worst, mean) in expected {
            let found = summary(&table, set, part, epochs);
            assert_eq!((found.0, &found.1, found.2), (best, &of, worst), "{set} {part:?} {epochs}");
            assert!((found.3 - mean).abs() < 5e-5, "{} instead of {mean}", found.3);
        }
        let seconds: Vec<(f64, u64)> = table.rows.iter().map(|r| (r.seconds_per_epoch.unwrap(), r.index)).collect();
        let extreme = |pick: fn(&(f64, u64), &(f64, u64)) -> bool| *seconds.iter().reduce(|a, b| if pick(b, a) { b } else { a }).unwrap();
        assert_eq!((extreme(|a, b| a.0 < b.0), extreme(|a, b| a.0 > b.0)), ((2.711_155, 8604), (17.304_158, 1462)));
        let mean = seconds.iter().map(|(s, _)| s).sum::<f64>() / seconds.len() as f64;
        assert!((mean - 9.139_935).abs() < 5e-7);
        let of_runs = |n| table.rows.iter().filter(|r| r.runs == Some(n)).count();
        assert_eq!((of_runs(2), of_runs(3)), (7_456, 8_169));
    }

    #[test]
    fn counts_and_classes_are_those_of_the_cells() {
        let table = open("nas-bench-201").unwrap();
        let mut classes: HashMap<String, u64> = HashMap::new();
        for row in &table.rows {
            let cell: BenchCell = table.grid.space.write(row.point).parse().unwrap();
            let (n1, n3) = (cell.count(BenchOp::Conv1), cell.count(BenchOp::Conv3));
            assert_eq!(row.params, Some(73_306 + 28_000 * n1 + 243_040 * n3));
            assert_eq!(row.macs, Some(7_783_050 + 3_932_160 * n1 + 35_389_440 * n3));
            let next = classes.len() as u64;
            let class = *classes.entry(cell.authors_string(Simplify::SkipsAndZeros)).or_insert(next);
            assert_eq!(row.class, Some(class), "{cell}");
        }
        let dead: Vec<usize> = (0..table.rows.len()).filter(|r| values(&table, 0, Part::Test, 200)[*r] == 10.0).collect();
        assert_eq!(dead.len(), 341);
        for row in dead {
            let cell: BenchCell = table.grid.space.write(table.rows[row].point).parse().unwrap();
            assert!(!cell.has_path(), "{cell}");
        }
    }

    #[test]
    fn rows_that_papers_name() {
        let table = open("nas-bench-201").unwrap();
        let of = |index: &str| {
            let row = table.find(index).unwrap();
            [0, 1, 2].map(|set| [Part::Valid, Part::Test].map(|part| table.accuracy(row, set, part, Fidelity(200)).unwrap()))
        };
        assert_eq!(of("1835"), [[39.7693, 54.2967], [15.0333, 15.6067], [16.4333, 16.3222]]);
        assert_eq!(of("1462")[0], [90.1987, 93.76]);
        assert_eq!(of("11472")[0], [90.86, 93.91]);
        let skips = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|";
        assert_eq!(table.find(skips).unwrap(), table.find("1835").unwrap());
        for (text, words) in [("15625", "the largest is 15624"), ("|none~0|", "1 edges")] {
            let error = table.find(text).unwrap_err();
            assert!(error.to_string().contains(words) && error.exit_code() == 2, "{error}");
        }
        // Choosing by a validation accuracy, and what the choice is worth on test images.
        let chosen = |set, epochs| {
            let valid = values(&table, set, Part::Valid, epochs);
            let row = (1..valid.len()).fold(0, |best, r| if valid[r] > valid[best] { r } else { best });
            (values(&table, set, Part::Test, 200)[row], table.rows[row].index)
        };
        assert_eq!([chosen(0, 12), chosen(1, 12), chosen(2, 12)], [(94.3733, 13714), (72.28, 10165), (46.4778, 2581)]);
        assert_eq!([chosen(0, 200), chosen(1, 200), chosen(2, 200)], [(94.3733, 6111), (73.5133, 9930), (46.2, 10676)]);
    }

    #[test]
    fn one_of_the_trainings_answers_where_that_is_asked_for() {
        let table = open("nas-bench-201").unwrap();
        let queries = table.queries(0, Score::Validation, Fidelity(200), RunOf::Random).unwrap();
        let row = table.find("0").unwrap();
        let drawn: Vec<f64> = (0..60).map(|t| queries.answer(table.rows[row].point, Streams::new(1), t).unwrap().score.unwrap()).collect();
        for score in [82.092, 81.616, 82.24] {
            assert!(drawn.iter().filter(|d| **d == score).count() > 8, "{drawn:?}");
        }
        assert!(table.queries(0, Score::Validation, Fidelity(12), RunOf::Random).is_err(), "there are no single ones after 12 epochs");
    }

    #[test]
    fn the_networks_of_nas_bench_macro() {
        let table = open("nas-bench-macro").unwrap();
        let (best, _, worst, mean) = summary(&table, 0, Part::Test, 0);
        assert_eq!(table.rows.len(), 6_561);
        assert!((best - 93.1267).abs() < 5e-5 && (worst - 45.3633).abs() < 5e-5 && (mean - 90.2466).abs() < 5e-5, "{best} {worst} {mean}");
        let accuracy = |key: &str| table.accuracy(table.find(key).unwrap(), 0, Part::Test, Fidelity(0)).unwrap();
        assert_eq!((accuracy("22212220"), accuracy("00000000")), (best, worst));
        let error = table.queries(0, Score::Validation, Fidelity(0), RunOf::Mean).unwrap_err();
        assert!(error.to_string().contains("no validation accuracy"), "{error}");
        assert!(table.find("22212223").is_err());
    }
}
