//! Several runs by one command: one budget over them, what is finished skipped, what is unfinished resumed, what fails shown.

use crate::common::{assert_same, naslab};
use naslab::record::{Manifest, write_atomic};
use predicates::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Two methods that share the settings of their trials, two seeds: tiny.
fn arguments(out: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        ["run", "random", "nasnet", "--seeds", "0..2", "--threads", "1", "--device", "cpu", "--jobs", "1"].map(String::from).into();
    all.extend(["--checkpoint-every", "0s", "--out"].map(String::from));
    all.push(out.display().to_string());
    let images = ["data.search_images=128", "data.valid_images=0", "data.retrain_images=160", "search.trials=6"];
    let sizes = [
        "select.channels=4",
        "select.cells=5",
        "select.recipe.epochs=1",
        "retrain.channels=4",
        "retrain.cells=5",
        "retrain.recipe.epochs=2",
    ];
    all.extend(images.iter().chain(&sizes).flat_map(|s| ["--set".to_string(), (*s).to_string()]));
    all
}

const NAMES: [&str; 4] = [
    "random-nasnet-space-digits-smoke-s0",
    "nasnet-ppo-digits-smoke-s0",
    "random-nasnet-space-digits-smoke-s1",
    "nasnet-ppo-digits-smoke-s1",
];

fn directories(out: &Path) -> [PathBuf; 4] {
    NAMES.map(|name| out.join(name))
}

fn manifest(run: &Path) -> Manifest {
    serde_json::from_str(&std::fs::read_to_string(run.join("manifest.json")).unwrap()).unwrap()
}

/// Waits until `done`, for a minute at most.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(out: &Path) -> std::process::Child {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("naslab"));
    command.args(arguments(out)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

/// Nobody works on the run: its lock can be had.
fn is_free(run: &Path) -> bool {
    naslab::record::RunDir::open(run).is_ok_and(|r| r.lock().is_ok())
}

#[test]
fn a_failure_does_not_stop_the_others_and_a_finished_run_is_not_repeated() {
    let out = tempfile::tempdir().unwrap();
    let mut with_budget = arguments(out.path());
    with_budget.extend(["--budget".into(), "2h".into()]);
    // A folder of another run is in the way of the second.
    let [first, second, third, fourth] = directories(out.path());
    std::fs::create_dir(&second).unwrap();
    write_atomic(&second.join("manifest.json"), b"{}").unwrap();
    let assert = naslab().args(&with_budget).assert().code(3);
    let failed = "1 of 4 runs failed, the reasons are above: nasnet smoke seed 0 ended with exit code 3";
    let table = predicate::str::contains("random nasnet-space").and(predicate::str::contains("nasnet ppo"));
    assert.stderr(predicate::str::contains(failed).and(predicate::str::contains("[3/4] random nasnet-space smoke seed 1"))).stdout(table);
    for run in [&first, &third, &fourth] {
        assert!(run.join("result.json").exists(), "{}", run.display());
        assert_eq!(manifest(run).limits.budget_seconds, Some(1800.0), "a quarter of the two hours");
    }

    std::fs::remove_dir_all(&second).unwrap();
    let before = std::fs::metadata(first.join("events.jsonl")).unwrap().modified().unwrap();
    naslab().args(&with_budget).assert().success().stderr(predicate::str::contains("is finished, nothing to do").count(3));
    assert!(second.join("result.json").exists());
    assert_eq!(std::fs::metadata(first.join("events.jsonl")).unwrap().modified().unwrap(), before);
    // Another share is another experiment, and is not mixed with the first.
    with_budget.pop();
    with_budget.push("4h".into());
    naslab().args(&with_budget).assert().code(2).stderr(predicate::str::contains("limits.budget_seconds is 1800.0 there and 3600.0 here"));
}

#[test]
fn a_suite_that_is_stopped_goes_on_where_it_was() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    naslab().args(arguments(whole.path())).assert().success();
    let runs = directories(broken.path());

    // Killed in the second run: the member ends with it.
    let mut child = start(broken.path());
    wait_for("the second run", || runs[1].join("checkpoint").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the member's end", || is_free(&runs[1]));
    assert!(!runs[1].join("result.json").exists() && !runs[2].exists());

    // Asked to end in the third.
    let child = start(broken.path());
    wait_for("the third run", || runs[2].join("checkpoint").exists());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(
        said.contains("random nasnet-space smoke seed 1 ended with exit code 143; 2 of 4 runs are finished, the same command goes on"),
        "{said}"
    );
    assert!(is_free(&runs[2]) && !runs[3].exists());

    naslab().args(arguments(broken.path())).assert().success();
    for (a, b) in directories(whole.path()).iter().zip(&runs) {
        assert_same(a, b, "after two breaks");
    }
}

#[test]
fn runs_are_spread_over_several_devices() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    naslab().args(arguments(one.path())).assert().success();
    let spread: Vec<String> = arguments(two.path()).into_iter().map(|a| if a == "cpu" { "cpu:0,1".into() } else { a }).collect();
    let table = predicate::str::contains("random nasnet-space").count(2).and(predicate::str::contains("nasnet ppo").count(2));
    naslab().args(spread).assert().success().stdout(table);
    for (a, b) in directories(one.path()).iter().zip(&directories(two.path())) {
        assert_same(a, b, "two devices");
        assert_eq!(manifest(b).jobs, 1, "a run has one device");
    }
}

#[test]
fn controls_share_the_budget_and_none_runs_twice() {
    let out = tempfile::tempdir().unwrap();
    let mut all: Vec<String> =
        ["run", "enas", "nasnet", "amoebanet", "random", "darts", "--controls", "--budget", "70m", "--max-trials", "1"]
            .map(String::from)
            .into();
    // Nothing is trained: the images are not there, so each run says where it would have been.
    all.extend(["--dataset", "cifar10", "--device", "cpu", "--data-dir"].map(String::from));
    all.extend([out.path().display().to_string(), "--out".into(), out.path().join("runs").display().to_string()]);
    let assert = naslab().args(&all).assert().code(3);
    let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    let failed = said.lines().last().unwrap();
    let labels: Vec<&str> = failed.split(": ").nth(2).unwrap().split("; ").filter_map(|f| f.split(" seed").next()).collect();
    assert_eq!(
        labels,
        [
            "enas smoke",
            "nasnet smoke",
            "amoebanet smoke",
            "random nasnet-space smoke",
            "darts smoke",
            "random enas-micro-space smoke",
            "random amoebanet-space smoke",
            "random darts-space smoke",
        ],
        "{said}"
    );
}

#[test]
fn a_mistake_is_told_before_anything_is_run() {
    let out = tempfile::tempdir().unwrap();
    let mut wrong = arguments(out.path());
    wrong.extend(["--set".into(), "search.population=3".into()]);
    naslab().args(wrong).assert().code(2).stderr(predicate::str::contains("there is no setting 'search.population'"));
    let second = |more: &[&str], says: &str| {
        naslab().args(["run", "random"]).args(more).arg("--out").arg(out.path()).assert().code(2).stderr(predicate::str::contains(says));
    };
    second(&["nas_unet", "--dataset", "digits"], "nas_unet classifies every pixel");
    second(&["nasnet", "--set", "search.trials=0"], "search.trials");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}
