//! Command lines at random: extreme, missing, repeated and foreign values for every command. All of them end soon, since they list, plan on data that are not there, or are refused.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

/// Exit codes that README documents for a process that no signal stopped.
const DOCUMENTED: [i32; 6] = [0, 1, 2, 3, 4, 5];

/// A command, what may follow it without a name, its options, and what makes it end soon.
type Kind = (&'static str, &'static [&'static str], &'static [&'static [&'static str]], &'static str);

const METHODS: &[&str] = &["random", "darts", "amoebanet", "nasnet", "enas", "ghn", "nas_unet", "all", "Darts", "évolution"];
const ARCHITECTURES: &[&str] = &["darts-v2", "enas-micro", "enas-macro", "nas-unet-v3", "unet-8", "nb201:|x|", "nb201-resnet", "none.json"];
const FOLDERS: &[&str] = &["none", "empty", "ü ö", "file", "."];
const TABLES: &[&str] = &["nas-bench-201", "digits-201", "none.csv.gz", "file"];

const CHOICE: &[&str] = &["--preset", "--dataset", "--data-dir", "--set"];
const LIMITS: &[&str] = &["--budget", "--budget-per-run", "--max-trials", "--max-memory", "--device", "--threads", "--jobs"];
const PLACE: &[&str] = &["--on", "--sbatch", "--trials-per-task", "--node-program", "--seeds", "--out"];
const OUTPUT: &[&str] = &["--quiet", "--checkpoint-every", "--tensorboard", "--trace", "--trace-limit"];
const NO_DATA: &str = "--dataset cifar10 --data-dir none";

const KINDS: &[Kind] = &[
    ("list", &[], &[], ""),
    ("plan", METHODS, &[CHOICE, LIMITS, PLACE], NO_DATA),
    ("bench", METHODS, &[CHOICE, LIMITS, &["--steps", "--kernels", "--json"]], NO_DATA),
    ("run", METHODS, &[CHOICE, LIMITS, PLACE, OUTPUT, &["--controls"]], NO_DATA),
    ("train", ARCHITECTURES, &[CHOICE, LIMITS, PLACE, OUTPUT], NO_DATA),
    ("resume", FOLDERS, &[OUTPUT, &["--data-dir", "--device", "--jobs", "--on", "--sbatch"]], ""),
    ("trial", &["none", "empty", "search-0", "rest", "search-18446744073709551616"], &[OUTPUT], ""),
    ("export", ARCHITECTURES, &[CHOICE, &["--out", "--format", "--weights", "--seed"]], NO_DATA),
    ("report", FOLDERS, &[&["--out", "--against", "--figure-width", "--figure-dpi"]], ""),
    (
        "check",
        FOLDERS,
        &[&["--baseline", "--update", "--mode", "--margin", "--time-ratio", "--memory-ratio", "--junit"]],
        "--no-calibration",
    ),
    ("draw", ARCHITECTURES, &[&["--out", "-o"]], ""),
    ("data list", &["digits"], &[], ""),
    ("data check", &["digits", "cifar10", "msd", "none"], &[&["--data-dir"]], "--data-dir none"),
    ("table list", &[], &[], ""),
    ("table check", TABLES, &[], ""),
    ("table show", &["nas-bench-201", "0", "15625", "-1", "|x|", "none"], &[], ""),
    (
        "table run",
        &["random", "amoebanet", "reinforce", "none"],
        &[&[
            "--dataset",
            "--seeds",
            "--simulated-budget",
            "--limit",
            "--fidelity",
            "--look-up",
            "--score",
            "--run",
            "--jobs",
            "--out",
            "--set",
        ]],
        "--max-trainings 3",
    ),
    ("table workers", &[], &[&["--dataset", "--workers", "--windows", "--seeds", "--set", "--trials"]], "--table none"),
    (
        "table build",
        &["t.csv.gz", "t.csv", "none/t.csv.gz"],
        &[CHOICE, &["--operations", "--epochs", "--runs", "--pilot", "--budget"]],
        NO_DATA,
    ),
    ("table verify", TABLES, &[&["--sample", "--seed", "--jobs"]], "--data-dir none"),
    ("member", FOLDERS, &[], ""),
    ("", &["--help", "--version", "lst", "-", "--", "ü"], &[], ""),
];

const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "3",
    "0.5",
    "1e308",
    "1e-308",
    "nan",
    "inf",
    "-inf",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "0..3",
    "3..0",
    "..",
    "0,0",
    "0,1,",
    "0..99999999999",
    "10m",
    "-3s",
    "1e300d",
    "2GiB",
    "0B",
    "1e300GiB",
    "8.5cm",
    "cpu",
    "cuda:99",
    "cpu:0,0",
    "smoke",
    "paper",
    "digits",
    "cifar10",
    "slurm",
    "local",
    "plain",
    "onnx",
    "exact",
    "ü ö",
    "\u{202e}\u{0}x",
    "'",
    "\"",
    "--",
    "=",
    "a=b",
    "out.svg",
    "out.png",
    "none/out.svg",
    "empty",
    "file",
    "search.cells=1000000",
    "search.cells=-5",
    "search.channels=9223372036854775807",
    "retrain.recipe.epochs=0",
    "retrain.recipe.batch=0",
    "retrain.recipe.learning_rate=nan",
    "search.space=\"nas-bench-201\"",
    "search.space=[",
    "search=1",
    ".=1",
];

fn pick<'a, T>(rng: &mut ChaCha8Rng, all: &'a [T]) -> &'a T {
    &all[rng.random_range(0..all.len())]
}

fn value(rng: &mut ChaCha8Rng) -> OsString {
    match rng.random_range(0..40) {
        0 => OsString::from_vec(vec![b'x', 0xff, 0xfe]),
        1 => "9".repeat(5000).into(),
        // An argument cannot hold a zero byte.
        _ => pick(rng, VALUES).replace('\0', "").into(),
    }
}

/// A command line.
fn line(rng: &mut ChaCha8Rng) -> Vec<OsString> {
    let (command, operands, groups, tail) = pick(rng, KINDS);
    let mut parts: Vec<Vec<OsString>> = Vec::new();
    let count = if operands.is_empty() { 0 } else { rng.random_range(0..3) };
    for _ in 0..count {
        let foreign = rng.random_range(0..8) == 0;
        parts.push(vec![if foreign { value(rng) } else { pick(rng, operands).into() }]);
    }
    for _ in 0..if groups.is_empty() { 0 } else { rng.random_range(0..4) } {
        let group = *pick(rng, groups);
        let flag = OsString::from(pick(rng, group));
        let mut part = vec![flag];
        part.extend((rng.random_range(0..10) > 0).then(|| value(rng)));
        parts.push(part.clone());
        // The same again.
        parts.extend((rng.random_range(0..8) == 0).then_some(part));
    }
    for i in (1..parts.len()).rev() {
        parts.swap(i, rng.random_range(0..=i));
    }
    let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
    [words(command), parts.concat(), words(tail)].concat()
}

/// Tries `steps` command lines in `folder`. A step is the start of a process: that libtorch registers its operators is nearly all of its half second.
pub fn walk(folder: &Path, steps: usize) {
    std::fs::create_dir(folder.join("empty")).unwrap();
    std::fs::write(folder.join("file"), "neither a run nor a table\n").unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut codes = std::collections::BTreeMap::new();
    for step in 0..steps {
        let line = line(&mut rng);
        let program = assert_cmd::cargo::cargo_bin("naslab");
        // A line that does not end is told by the exit code of timeout(1), which is not a documented one.
        let output = Command::new("timeout").arg("180").arg(program).args(&line).current_dir(folder).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let is_documented = output.status.code().is_some_and(|code| DOCUMENTED.contains(&code));
        let panicked = ["panicked", "this is a bug", "RUST_BACKTRACE"].iter().any(|word| text.contains(word));
        assert!(is_documented && !panicked, "step {step}: naslab {line:?}\n{:?}\n{text}", output.status);
        *codes.entry(output.status.code()).or_insert(0) += 1;
    }
    println!("{steps} command lines by exit code: {codes:?}");
    // A walk that only meets the parser of options would say little.
    assert!([Some(0), Some(2), Some(3)].iter().all(|code| codes.get(code).is_some_and(|n| *n > steps / 50)), "{codes:?}");
}
