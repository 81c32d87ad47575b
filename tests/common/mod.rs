//! What the integration tests share: tiny settings a method, and the binary.

pub mod files;

use assert_cmd::Command;
use naslab::record::{Event, TrialRecord, read_events};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Settings that keep a method's steps and shrink its sizes until a run takes a few seconds.
pub fn tiny(method: &str) -> Vec<&'static str> {
    let images = if method == "nas_unet" {
        ["data.search_images=4", "data.valid_images=0", "data.retrain_images=4"]
    } else {
        ["data.search_images=128", "data.valid_images=0", "data.retrain_images=160"]
    };
    let mut set = images.to_vec();
    set.extend(["select.channels=4", "select.recipe.epochs=1", "retrain.channels=4", "retrain.recipe.epochs=3"]);
    let cells =
        if ["darts", "ghn"].contains(&method) { ["select.cells=3", "retrain.cells=3"] } else { ["select.cells=5", "retrain.cells=5"] };
    set.extend(cells);
    match method {
        "darts" => set.extend(["search.channels=2", "search.epochs=2", "search.searches=2"]),
        "random" => set.extend(["search.trials=4"]),
        "amoebanet" => set.extend(["search.trials=8", "search.population=3", "search.sample=2"]),
        "nasnet" => set.extend(["search.trials=6", "search.batch=2"]),
        "enas" => set.extend(["search.epochs=2", "search.derive=4", "search.controller.updates=2", "search.controller.aggregate=2"]),
        "nas_unet" => set.extend([
            "search.channels=2",
            "search.epochs=3",
            "search.searches=2",
            "search.augment.elastic=0.5",
            "retrain.augment.elastic=0.5",
            "retrain.augment.crop_padding=2",
            "retrain.augment.flip_vertical=true",
        ]),
        "ghn" => set.extend(["search.epochs=2", "search.batch=32", "search.candidates=6", "search.keep=2", "search.probes=1"]),
        other => panic!("tests/common: give tiny settings for '{other}'"),
    }
    set
}

/// `naslab run METHOD --preset smoke` with tiny settings, one thread, a checkpoint after every step.
pub fn run_arguments(method: &str, out: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        ["run", method, "--preset", "smoke", "--quiet", "--threads", "1", "--device", "cpu", "--checkpoint-every", "0s", "--out"]
            .map(String::from)
            .into();
    all.push(out.display().to_string());
    all.extend(tiny(method).iter().flat_map(|s| ["--set".to_string(), (*s).to_string()]));
    all
}

/// The binary under test.
pub fn naslab() -> Command {
    Command::cargo_bin("naslab").expect("the binary is built with the tests")
}

/// The binary as a child process that can be killed.
#[allow(dead_code, reason = "not every test binary kills a run")]
pub fn spawn(arguments: &[String]) -> std::process::Child {
    std::process::Command::new(assert_cmd::cargo::cargo_bin("naslab"))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// The only run directory below `out`.
pub fn only_run(out: &Path) -> PathBuf {
    let runs: Vec<PathBuf> = std::fs::read_dir(out).expect("the folder of the runs").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

/// Runs a method to its end without a break and returns the run directory.
pub fn unbroken(method: &str, out: &Path) -> PathBuf {
    naslab().args(run_arguments(method, out)).assert().success();
    only_run(out)
}

/// The trials of a run.
#[allow(dead_code, reason = "not every test binary looks at trials")]
pub fn trials(run: &Path) -> Vec<TrialRecord> {
    let (events, _) = read_events(&run.join("events.jsonl")).expect("a sound log");
    let trial = |e| if let Event::Trial(t) = e { Some(t) } else { None };
    events.into_iter().filter_map(|e| trial(e.event)).collect()
}

/// The same without what depends on the machine's speed.
#[allow(dead_code, reason = "not every test binary looks at trials")]
pub fn history(run: &Path) -> Vec<TrialRecord> {
    trials(run).into_iter().map(|t| TrialRecord { device_seconds: 0.0, spent_seconds: 0.0, ..t }).collect()
}

/// Files that two equal runs have in common to the byte.
pub const SAME: [&str; 3] = ["finding.json", "result.json", "weights.safetensors"];

/// Panics unless both runs have the same finding, result and weights.
pub fn assert_same(a: &Path, b: &Path, what: &str) {
    for name in SAME {
        let read = |run: &Path| std::fs::read(run.join(name)).unwrap_or_else(|e| panic!("{what}: {}: {e}", run.join(name).display()));
        assert!(read(a) == read(b), "{what}: {name} differs between {} and {}", a.display(), b.display());
    }
    let examples = |run: &Path| std::fs::read(run.join("examples.safetensors")).ok();
    assert!(examples(a) == examples(b), "{what}: examples.safetensors differs between {} and {}", a.display(), b.display());
}

/// A test of `module` as the test program knows it: behind its own name.
pub fn test_name(module: &str, test: &str) -> String {
    let inner = module.split_once("::").map(|(_, inner)| format!("{inner}::"));
    inner.unwrap_or_default() + test
}
