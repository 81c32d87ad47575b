//! Searches of tables through the binary: what they find, that files depend on nothing but what was asked, and what is refused.

use crate::common::files::{ABOUT, arch, gzip};
use crate::common::naslab;
use naslab::reproductions::algorithm;
use naslab::seed::Streams;
use naslab::table::{self, Commit, Fidelity, Limit, Part, RunOf, Score, Seed, SimulatedSeconds, Study, work};
use std::path::{Path, PathBuf};

/// A study of `naslab table run`, as its folder.
fn study(out: &Path, words: &[&str]) -> PathBuf {
    naslab().args(["table", "run"]).args(words).arg("--out").arg(out).assert().success();
    let mut found: Vec<PathBuf> = std::fs::read_dir(out).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn refused(words: &[&str], code: i32, expected: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let assert = naslab().args(["table", "run"]).args(words).arg("--out").arg(out.path().join("runs")).assert().code(code);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for word in expected {
        assert!(said.contains(word), "'{word}' is not in: {said}");
    }
    assert!(!out.path().join("runs").exists(), "{words:?} left something");
}

/// A study of 500 seeds as another program ran it (1,000 seeds), with the means that it found.
struct Reference {
    algorithm: &'static str,
    set: &'static str,
    limit: Limit,
    budget: f64,
    /// Changed settings.
    change: &'static [&'static str],
    trainings: f64,
    /// Validation on the set that was searched.
    valid: f64,
    /// Test on CIFAR-10, CIFAR-100, ImageNet16-120, where it was reported.
    test: [Option<f64>; 3],
}

const fn fits(algorithm: &'static str, change: &'static [&'static str], trainings: f64, valid: f64, test: [f64; 3]) -> Reference {
    let test = [Some(test[0]), Some(test[1]), Some(test[2])];
    Reference { algorithm, set: "cifar10", limit: Limit::Fits, budget: 12_000.0, change, trainings, valid, test }
}

const fn overshoots(algorithm: &'static str, at: usize, trainings: f64, valid: f64, test: f64) -> Reference {
    let (set, budget) = [("cifar10", 20_000.0), ("cifar100", 40_000.0), ("imagenet16-120", 120_000.0)][at];
    let mut tests = [None; 3];
    tests[at] = Some(test);
    Reference { algorithm, set, limit: Limit::Overshoots, budget, change: &[], trainings, valid, test: tests }
}

const REFERENCES: [Reference; 14] = [
    fits("amoebanet", &[], 102.3, 91.165, [93.935, 71.91, 45.44]),
    fits("random", &[], 108.8, 90.979, [93.760, 71.17, 44.80]),
    fits("reinforce", &[], 106.6, 91.022, [93.805, 71.33, 44.93]),
    fits("reinforce", &["search.learning_rate=0.05"], 100.5, 91.143, [93.914, 71.76, 45.38]),
    fits("reinforce", &["search.learning_rate=0.5"], 99.8, 90.308, [93.200, 70.13, 43.55]),
    overshoots("amoebanet", 0, 169.7, 91.305, 94.073),
    overshoots("amoebanet", 1, 167.1, 72.304, 72.282),
    overshoots("amoebanet", 2, 162.5, 45.717, 45.793),
    overshoots("random", 0, 182.8, 91.077, 93.855),
    overshoots("random", 1, 182.8, 71.453, 71.573),
    overshoots("random", 2, 180.8, 45.011, 45.250),
    overshoots("reinforce", 0, 176.4, 91.141, 93.924),
    overshoots("reinforce", 1, 175.8, 71.797, 71.897),
    overshoots("reinforce", 2, 174.7, 45.355, 45.597),
];

/// How far means of 500 seeds may be from those of 1,000 of another program, in points.
const MARGINS: [f64; 3] = [0.1, 0.3, 0.35];

#[test]
fn five_hundred_seeds_find_what_another_program_found() {
    let table = table::open("nas-bench-201").unwrap();
    let seeds: Vec<u64> = (0..500).collect();
    for r in REFERENCES {
        let algorithm = algorithm(r.algorithm).unwrap();
        let settings = algorithm.resolve(&r.change.iter().map(|c| (*c).to_string()).collect::<Vec<_>>()).unwrap();
        let set = table.about.set(r.set).unwrap();
        let (fidelity, look_up, simulated_budget) = (Fidelity(12), Fidelity(200), Some(SimulatedSeconds::new(r.budget)));
        let (score, run, limit) = (Score::Validation, RunOf::Mean, r.limit);
        let study = Study { score, fidelity, look_up, run, limit, simulated_budget, max_trainings: None };
        let done = table::run((&table, set), &study, (algorithm, &settings), &seeds, 2).unwrap();
        let what = format!("{} {:?} on {}", r.algorithm, r.change, r.set);
        let mean = |of: &dyn Fn(&Seed) -> f64| done.iter().map(of).sum::<f64>() / done.len() as f64;
        let found = |set: usize, part: Part| mean(&|s| table.accuracy(s.incumbent().unwrap().row as usize, set, part, look_up).unwrap());
        let trainings = mean(&|s| s.trials.len() as f64);
        assert!((trainings - r.trainings).abs() < 2.0, "{what}: {trainings} trainings instead of {}", r.trainings);
        let valid = found(set, Part::Valid);
        assert!((valid - r.valid).abs() < MARGINS[set], "{what}: validation {valid} instead of {}", r.valid);
        for (at, expected) in r.test.iter().enumerate() {
            let Some(expected) = expected else { continue };
            let test = found(at, Part::Test);
            assert!((test - expected).abs() < MARGINS[at], "{what}: test {test} instead of {expected}");
        }
        // What a budget means.
        for seed in &done {
            let last = seed.trials.last().unwrap().seconds.unwrap().number();
            let spent = seed.seconds().number();
            match r.limit {
                Limit::Fits => assert!(spent <= r.budget),
                Limit::Overshoots => assert!(spent >= r.budget && spent - last < r.budget),
            }
        }
    }
}

#[test]
fn the_same_study_gives_the_same_files_for_any_number_of_jobs() {
    for algorithm in ["amoebanet", "random", "reinforce"] {
        let words = [algorithm, "--seeds", "0..40", "--simulated-budget", "4000s"];
        let [one, seven] = ["1", "7"].map(|jobs| {
            let out = tempfile::tempdir().unwrap();
            let folder = study(out.path(), &[&words[..], &["--jobs", jobs]].concat());
            ["study.json", "history.csv.gz", "result.json"].map(|f| std::fs::read(folder.join(f)).unwrap())
        });
        assert!(one == seven, "{algorithm}");
    }
}

#[test]
fn a_study_is_not_run_twice_and_one_with_another_setting_is_another() {
    let out = tempfile::tempdir().unwrap();
    let words = ["random", "--seeds", "0..3", "--max-trainings", "10"];
    let folder = study(out.path(), &words);
    let before = std::fs::metadata(folder.join("result.json")).unwrap().modified().unwrap();
    let again = naslab().args(["table", "run"]).args(words).arg("--out").arg(out.path()).assert().success();
    assert!(String::from_utf8_lossy(&again.get_output().stderr).contains("finished before"));
    assert_eq!(std::fs::metadata(folder.join("result.json")).unwrap().modified().unwrap(), before);
    naslab().args(["table", "run", "random", "--seeds", "0..4", "--max-trainings", "10", "--out"]).arg(out.path()).assert().success();
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 2);
}

#[test]
fn what_cannot_be_searched_or_proves_nothing_is_refused() {
    refused(&["random", "--simulated-budget", "12000"], 2, &["unit", "12000s"]);
    refused(&["random", "--budget", "2h"], 2, &["real time", "--simulated-budget"]);
    refused(&["random", "--simulated-budget", "30s"], 4, &["nothing could be trained", "32.5 simulated seconds"]);
    refused(&["random"], 2, &["what ends the search?"]);
    refused(&["random", "--max-trainings", "5", "--fidelity", "200"], 2, &["after 200 epochs alike", "--allow-same"]);
    refused(&["random", "--max-trainings", "5", "--fidelity", "100"], 2, &["nothing after 100 epochs", "12 epochs, 200 epochs"]);
    refused(&["random", "--max-trainings", "5", "--score", "test"], 2, &["test accuracies", "--allow-same"]);
    refused(&["random", "--max-trainings", "5", "--dataset", "mnist"], 2, &["no data set 'mnist'", "imagenet16-120"]);
    refused(&["random", "--max-trainings", "5", "--run", "random"], 2, &["no single trainings"]);
    refused(&["darts", "--max-trainings", "5"], 2, &["no algorithm 'darts'", "reinforce"]);
    refused(&["random", "--max-trainings", "5", "--set", "search.rate=1"], 2, &["there is no setting 'search.rate'"]);
    refused(&["reinforce", "--max-trainings", "5", "--set", "search.baseline_decay=2.0"], 2, &["from 0 to below 1"]);
    refused(&["random", "--max-trainings", "5", "--table", "nas-bench-macro"], 2, &["no validation accuracy"]);
    let of_macro = ["random", "--table", "nas-bench-macro", "--score", "test", "--allow-same"];
    refused(&[&of_macro[..], &["--simulated-budget", "5h"]].concat(), 2, &["has no times", "--max-trainings"]);
    refused(&["random", "--max-trainings", "5", "--table", "nix.csv"], 3, &["nix.csv: cannot read"]);
    refused(&["random", "--max-trainings", "5", "--table", "nb201"], 2, &["there is no table 'nb201'", "nas-bench-201"]);
}

#[test]
fn a_search_that_was_told_test_accuracies_says_so_everywhere() {
    let out = tempfile::tempdir().unwrap();
    let words = ["amoebanet", "--table", "nas-bench-macro", "--score", "test", "--allow-same", "--max-trainings", "20", "--seeds", "0..5"];
    let assert = naslab().args(["table", "run"]).args(words).arg("--out").arg(out.path()).assert().success();
    assert!(String::from_utf8_lossy(&assert.get_output().stdout).contains("NOTE: searched on test accuracies"));
    let study = std::fs::read_dir(out.path()).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(study.join("study.json")).unwrap();
    assert!(text.contains("\"label\": \"searched on test accuracies\""), "{text}");
    let result = std::fs::read_to_string(study.join("result.json")).unwrap();
    assert!(result.contains("\"seconds\": null") && result.contains("\"trainings\": 100"), "{result}");
}

#[cfg(feature = "report")]
#[test]
fn a_report_sets_studies_beside_reported_numbers_and_beside_random_search() {
    let out = tempfile::tempdir().unwrap();
    let runs = out.path().join("runs");
    let run = |words: &[&str]| {
        naslab().args(["table", "run"]).args(words).args(["--seeds", "0..60", "--out"]).arg(&runs).assert().success();
    };
    run(&["amoebanet", "random", "--simulated-budget", "12000s"]);
    run(&["reinforce", "--simulated-budget", "12000s", "--set", "search.learning_rate=0.5"]);
    run(&["amoebanet", "--simulated-budget", "12000s", "--set", "search.sample=5"]);
    run(&["random", "--table", "nas-bench-macro", "--score", "test", "--allow-same", "--max-trainings", "20"]);
    // A damaged study does not stop the others.
    let damaged = runs.join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("study.json"), "{").unwrap();
    let assert = naslab().arg("report").arg(&runs).arg("--out").arg(out.path().join("reports")).assert().success();
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains("damaged is left out"));
    let read = |name: &str| std::fs::read_to_string(out.path().join("reports").join(name)).unwrap();

    let text = read("studies.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    // Four studies on three data sets with two accuracies, and one with test accuracies alone.
    assert_eq!(rows.len(), 4 * 3 * 2 + 1);
    let of = |method: &str, variant: &str, set: &str| {
        rows.iter()
            .find(|r| (&r[0], &r[1], &r[8], &r[9]) == (method, variant, set, "test"))
            .unwrap_or_else(|| panic!("{method} {variant} {set}"))
    };
    let evolution = of("amoebanet", "ageing", "cifar10");
    assert_eq!((&evolution[16], &evolution[17]), ("93.92", "reproduced"));
    let simulated: f64 = evolution[13].parse().unwrap();
    assert!((60.0 * 11_000.0..60.0 * 12_000.0).contains(&simulated), "{simulated}");
    assert_eq!(&of("reinforce", "rate 0.5", "cifar10")[17], "settings not known");
    // Other settings, and a search that was told test accuracies, stand beside nothing.
    assert_eq!(&of("amoebanet", "ageing, sample = 5", "cifar10")[16], "");
    let of_macro = rows.iter().find(|r| &r[2] == "nas-bench-macro").unwrap();
    assert_eq!((&of_macro[7], &of_macro[13], &of_macro[16]), ("searched on test accuracies", "", ""));

    let page = read("report.html");
    for words in [
        "Searches of tables",
        "settings not known",
        "An asterisk marks numbers that could not be confirmed",
        "Searches of tables against random search",
        "never added to the seconds",
    ] {
        assert!(page.contains(words), "'{words}' is not in the page");
    }
    for figure in ["table-incumbents", "table-regret", "table-seeds", "table-schedules"] {
        assert!(read(&format!("{figure}.svg")).contains("<svg"));
    }
    let figure = read("table-incumbents.svg");
    for words in ["simulated seconds spent on trainings", "reported, amoebanet ageing, 12000 s: 93.92", "trainings (log scale)"] {
        assert!(figure.contains(words), "'{words}' is not in the figure");
    }
    let schedules = read("table-schedules.svg");
    assert!(schedules.contains("Spearman 0.772, Kendall 0.594"), "the coefficients of CIFAR-10");
}

/// A table of the 64 cells of two operations, each line changed by `change`.
fn own_table(folder: &Path, change: impl Fn(usize, String) -> Option<String>) -> PathBuf {
    let mut text = String::new();
    let header = "arch,seconds_per_epoch,own_valid_1,own_test_1,own_valid_2,own_test_2,own_valid_2_run1,own_valid_2_run2,runs";
    text.extend(change(0, header.into()).map(|l| l + "\n"));
    for i in 0..64usize {
        let line = format!("{},{}.5,{i},{i},{i}.25,{i}.5,{i},{i}.5,2", arch(i), 1 + i % 3);
        text.extend(change(i + 1, line).map(|l| l + "\n"));
    }
    std::fs::write(folder.join("mine.json"), ABOUT).unwrap();
    let path = folder.join("mine.csv");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_table_of_ones_own_is_searched_like_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = own_table(folder.path(), |_, line| Some(line));
    naslab().args(["table", "check"]).arg(&path).assert().success();
    let out = tempfile::tempdir().unwrap();
    let table = path.to_str().unwrap();
    let words = ["random", "--table", table, "--dataset", "own", "--simulated-budget", "60s", "--seeds", "0..3"];
    let history = study(out.path(), &words).join("history.csv.gz");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&std::fs::read(history).unwrap()[..]), &mut text).unwrap();
    // One epoch of 1.5, 2.5 or 3.5 s, and the accuracy after one epoch is the number of the row.
    for line in text.lines().skip(1) {
        let fields: Vec<f64> = line.split(',').map(|f| f.parse().unwrap()).collect();
        assert_eq!((fields[3], fields[4]), (fields[2], 1.5 + fields[2] % 3.0), "{line}");
    }
    // Gzipped, it is the same table.
    let packed = folder.path().join("mine.csv.gz");
    std::fs::write(&packed, gzip(&std::fs::read(&path).unwrap())).unwrap();
    naslab().args(["table", "show"]).arg(&packed).arg("63").assert().success();
}

#[test]
fn what_is_no_table_is_named_with_line_and_column() {
    let replace = |line: usize, from: &'static str, to: &'static str| {
        move |i: usize, text: String| Some(if i == line { text.replacen(from, to, 1) } else { text })
    };
    let refused = |change: &dyn Fn(usize, String) -> Option<String>, expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = own_table(folder.path(), change);
        let assert = naslab().args(["table", "check"]).arg(&path).assert().code(3);
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        for word in expected {
            assert!(said.contains(word), "'{word}' is not in: {said}");
        }
    };
    refused(&replace(0, "own_test_2,", ""), &["line 1", "'own_test_2' is missing"]);
    refused(&replace(0, "own_test_2", "own_test_3"), &["'own_test_3'", "neither known nor"]);
    refused(&replace(0, "own_test_2", "own_valid_2"), &["'own_valid_2' is there twice"]);
    refused(&replace(0, "arch", "cell"), &["'cell'"]);
    refused(&replace(7, ",2", ""), &["line: 8", "8 fields"]);
    refused(&replace(3, ",2,2", ",NaN,2"), &["line 4", "no accuracy"]);
    refused(&replace(3, ",2,2", ",2,200"), &["line 4", "'own_test_1'", "200 is no accuracy"]);
    refused(&replace(5, "2.5,", "-1,"), &["line 6", "'seconds_per_epoch'", "above 0"]);
    refused(&replace(5, "2.5,", "soon,"), &["line 6", "'soon' is no number"]);
    refused(&replace(9, "skip_connect~0", "identity~0"), &["line 10", "there is no operation 'identity'"]);
    refused(&replace(9, "skip_connect~0", "none~0"), &["line 10", "not said to have"]);
    refused(&|i, line| (i != 17).then_some(line), &["1 of 64 architectures are missing", "the first is |"]);
    refused(
        &|i, line| Some(if i == 2 { line.replacen("nor_conv_3x3~0", "skip_connect~0", 1) } else { line }),
        &["line 3", "was there before"],
    );
    refused(
        &|i, line| Some(if i == 4 { line.strip_suffix("2").unwrap().to_string() + "3" } else { line }),
        &["line 5", "says 3, and 2 single trainings"],
    );

    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], expected: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let assert = naslab().args(["table", "check"]).arg(&path).assert().code(3);
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(said.contains(expected), "'{expected}' is not in: {said}");
    };
    check("NATS-tss-v1_0.pickle.pbz2", b"BZh91AY", "a pickle or an archive");
    check("nas-bench-201.pth", b"PK\x03\x04rest", "a pickle or an archive");
    check("table.pkl", b"\x80\x04rest", "a CSV file with the columns arch");
    check("lonely.csv", b"arch\n", "there is no");
    std::fs::write(folder.path().join("cut.json"), ABOUT).unwrap();
    let whole = gzip(&[b'x'; 10_000]);
    check("cut.csv.gz", &whole[..whole.len() / 2], "truncated or damaged gzip");
}

#[test]
fn simulated_seconds_never_become_real_ones() {
    // The type has no conversion, and nothing takes its number into a sum with another.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let units = std::fs::read_to_string(root.join("src/table/units.rs")).unwrap();
    for conversion in ["From<SimulatedSeconds>", "From<f64>", "Into<f64>", "Deref", "Add<f64>", "Mul"] {
        assert!(!units.contains(conversion), "{conversion}");
    }
    let mut folders = vec![root.join("src"), root.join("reproductions")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let of_both = |line: &&str| line.contains("simulated") && line.contains("device_seconds");
                assert!(text.lines().find(of_both).is_none(), "{}: simulated and real seconds in one line", path.display());
            }
        }
    }
}

#[cfg(feature = "search")]
mod building {
    use super::*;

    /// `naslab table build` of the cells without convolutions, tiny: 5 classes, 2 runs, 2 schedules.
    fn build(file: &Path, more: &[&str]) -> assert_cmd::Command {
        let mut command = naslab();
        command.args(["table", "build"]).arg(file).args(["--operations", "none,skip_connect", "--epochs", "1,2", "--runs", "2", "--quiet"]);
        for set in ["data.search_images=60", "data.valid_images=20", "data.retrain_images=2", "retrain.channels=2"] {
            command.args(["--set", set]);
        }
        command.args(more);
        command
    }

    #[test]
    fn a_table_is_built_resumed_searched_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(format!("{name}.csv.gz"));
        // Nothing may begin within no time: what is there is kept, and the same command goes on. So does one whose last line was torn.
        build(&path("a"), &["--budget", "0s"]).assert().code(4);
        build(&path("a"), &["--pilot", "2", "--jobs", "1"]).assert().success();
        let journal = folder.path().join("a.csv.gz.journal");
        let whole = std::fs::read(&journal).unwrap();
        let lines = whole.iter().filter(|b| **b == b'\n').count();
        assert_eq!(lines, 1 + 2 * 2, "what is being built, and two classes twice");
        std::fs::write(&journal, &whole[..whole.len() - 30]).unwrap();
        build(&path("a"), &["--jobs", "2"]).assert().success();
        assert!(!journal.exists());
        // Another number of jobs, and no interruption: the same rows.
        build(&path("b"), &["--jobs", "1", "--name", "a"]).assert().success();
        let [a, b] = ["a", "b"].map(|name| table::read(&path(name)).unwrap());
        assert_eq!((a.rows.len(), a.grid.size()), (5, 64), "the input none, one, two, three or four times");
        let of = |t: &table::Table| t.about.made.as_ref().unwrap().rows_sha256.clone();
        assert_eq!((of(&a), &a.columns), (of(&b), &b.columns));
        assert!(a.rows.iter().all(|r| r.seconds_per_epoch.is_some_and(|s| s > 0.0)));
        // Every cell is answered by its class.
        let skips = table::open("nas-bench-201").unwrap().find("1835").unwrap();
        let point = table::open("nas-bench-201").unwrap().rows[skips].point;
        let row = a.row_of(point).unwrap();
        assert_eq!(a.grid.space.class(a.rows[row].point), a.grid.space.class(point));
        // A second time there is nothing to do; another table is not written over it.
        build(&path("a"), &["--name", "a"]).assert().success();
        let other = build(&path("a"), &["--seed", "1"]).assert().code(2);
        assert!(String::from_utf8_lossy(&other.get_output().stderr).contains("holds another table"));
        let out = folder.path().join("runs");
        let words = ["--table", path("a").to_str().unwrap(), "--dataset", "digits", "--max-trainings", "20"].map(String::from);
        let words: Vec<&str> = ["random"].into_iter().chain(words.iter().map(String::as_str)).collect();
        study(&out, &words);
        verified(&path("a"), 0, "trainings again, on the kind of processor");
        // A changed accuracy, a wrong size, a mean that is none.
        let text = unpacked(&path("a"));
        for (column, value, said) in [(8, "12.5", "the rows have SHA-256"), (2, "1", "the rows have SHA-256")] {
            let changed = with_field(&text, column, value);
            std::fs::write(path("b"), gzip(changed.as_bytes())).unwrap();
            verified(&path("b"), 3, said);
            // With its sum mended, what is recorded still has to be what a training comes to.
            let about = folder.path().join("b.json");
            let json = std::fs::read_to_string(folder.path().join("a.json")).unwrap();
            let sum = table::rows_sha256(&a.about, &changed_table(&path("b")).rows, &changed_table(&path("b")).columns).unwrap();
            std::fs::write(&about, json.replace(&of(&a), &sum)).unwrap();
            let (code, said) =
                if column == 2 { (3, "weights are recorded, and its network has") } else { (3, "is not the mean of its runs") };
            verified(&path("b"), code, said);
        }
    }

    fn changed_table(path: &Path) -> table::Table {
        table::read(path).unwrap()
    }

    fn verified(path: &Path, code: i32, said: &str) {
        let assert = naslab().args(["table", "verify", "--sample", "3", "--jobs", "1"]).arg(path).assert().code(code);
        let output = assert.get_output();
        let all = [&output.stdout[..], &output.stderr[..]].concat();
        let all = String::from_utf8_lossy(&all);
        assert!(all.contains(said), "'{said}' is not in: {all}");
    }

    fn unpacked(path: &Path) -> String {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&std::fs::read(path).unwrap()[..]), &mut text).unwrap();
        text
    }

    /// `text` with another value in a column of its first row.
    fn with_field(text: &str, column: usize, value: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        let mut fields: Vec<&str> = lines[1].split(',').collect();
        fields[column] = value;
        lines[1] = fields.join(",");
        lines.join("\n") + "\n"
    }

    #[test]
    fn what_makes_no_table_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |file: &str, more: &[&str], code, said: &str| {
            let assert = build(&folder.path().join(file), more).assert().code(code);
            let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
            assert!(error.contains(said), "'{said}' is not in: {error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{file} left something");
        };
        refused("a.csv", &[], 2, "NAME.csv.gz");
        refused("a.csv.gz", &["--operations", "sep_conv_3x3"], 2, "'sep_conv_3x3' is none of none, skip_connect");
        refused("a.csv.gz", &["--dataset", "hippocampus"], 2, "one for every pixel");
        refused("a.csv.gz", &["--set", "retrain.cells=4"], 2, "3 N + 2 cells");
        let silent = naslab().args(["table", "verify", "nas-bench-201"]).assert().code(2);
        assert!(String::from_utf8_lossy(&silent.get_output().stderr).contains("does not say how it was made"));
    }
}

#[test]
fn one_virtual_worker_has_the_history_of_a_study_and_many_are_used() {
    let table = table::open("nas-bench-201").unwrap();
    let queries = table.queries(0, Score::Validation, Fidelity(12), RunOf::Mean).unwrap();
    let (search, streams) = (algorithm("amoebanet").unwrap(), Streams::new(3));
    let shift = |workers: u64, commit: Commit, in_flight: u64| {
        let mut settings = search.resolve(&[]).unwrap();
        settings["in_flight"] = in_flight.into();
        let mut begun = (search.begin)(&settings, &table.grid, streams).unwrap();
        work(&queries, &mut *begun, (workers, commit), 200, streams).unwrap()
    };
    let one = shift(1, Commit::Ordered { window: 1 }, 1);
    let study = Study { max_trainings: Some(200), simulated_budget: None, ..Study::within(SimulatedSeconds::new(1.0), &table) };
    let mut begun = (search.begin)(&search.resolve(&[]).unwrap(), &table.grid, streams).unwrap();
    let trials = table::run_seed(&queries, &study, &mut *begun, streams).unwrap();
    assert_eq!(one.trials, trials);
    let sum: f64 = trials.iter().map(|t| t.seconds.unwrap().number()).sum();
    assert!((one.seconds.number() - sum).abs() < 1e-6 * sum && (one.utilisation - 1.0).abs() < 1e-9);
    // Of ten workers some wait for an earlier trial where the window is small, and none where outcomes count as they arrive.
    let used = |commit, in_flight| shift(10, commit, in_flight).utilisation;
    let [narrow, wide] = [1, 4].map(|window| used(Commit::Ordered { window }, 10 * window));
    let arrival = used(Commit::Arrival, u64::MAX);
    assert!(narrow < wide && wide <= arrival + 1e-9 && arrival <= 1.0 + 1e-9, "{narrow} {wide} {arrival}");
    // All outcomes are there in the end, each once.
    let ten = shift(10, Commit::Arrival, u64::MAX);
    assert_eq!(ten.trials.len(), 200);
    assert!(
        work(
            &queries,
            &mut *(search.begin)(&search.resolve(&[]).unwrap(), &table.grid, streams).unwrap(),
            (0, Commit::Arrival),
            1,
            streams
        )
        .is_err()
    );
    naslab()
        .args(["table", "workers", "--workers", "1,8", "--trials", "60", "--seeds", "0..2"])
        .assert()
        .success()
        .stdout(predicates::str::contains("as they arrive").count(2));
}
