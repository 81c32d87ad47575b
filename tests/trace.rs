//! A trace: it changes no file of the run, and holds of every step the state, the batches and what was computed.

mod common;

use common::{assert_same, naslab, only_run, run_arguments, unbroken};
use naslab::record::{Blob, read_safetensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One step: tensors by name, and values that are none.
struct Step {
    tensors: BTreeMap<String, Blob>,
    values: BTreeMap<String, Value>,
}

impl Step {
    fn read(path: &Path) -> Self {
        let (blobs, metadata) = read_safetensors(path).unwrap();
        let values = metadata.into_iter().map(|(name, text)| (name, serde_json::from_str(&text).unwrap()));
        Self { tensors: blobs.into_iter().map(|b| (b.name.clone(), b)).collect(), values: values.collect() }
    }

    fn floats(&self, name: &str) -> Vec<f64> {
        self.tensors[name].bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
    }

    fn number(&self, name: &str) -> f64 {
        f64::from_le_bytes(self.tensors[name].bytes.as_slice().try_into().unwrap())
    }

    fn state(&self, when: &str) -> BTreeMap<&str, &[u8]> {
        self.tensors.iter().filter_map(|(name, b)| Some((name.strip_prefix(when)?, b.bytes.as_slice()))).collect()
    }
}

/// Makes a traced run and returns its directory and its trace.
fn traced(method: &str, folder: &Path, more: &[&str]) -> (PathBuf, PathBuf) {
    let (out, trace) = (folder.join("runs"), folder.join("trace"));
    naslab().args(run_arguments(method, &out)).arg("--trace").arg(&trace).args(more).assert().success();
    (only_run(&out), only_run(&trace))
}

fn steps(trace: &Path, phase: &str) -> Vec<Step> {
    let entries = std::fs::read_dir(trace.join(phase)).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "safetensors")).collect();
    paths.sort();
    paths.iter().map(|p| Step::read(p)).collect()
}

#[test]
fn a_trace_changes_no_file_of_a_run() {
    // Steps on 64 of 128 images in batches of 32 (NAS-Unet 12 of 24 in one), and what follows them in each method: see tests/common.
    for (method, searched) in [("darts", 8), ("nas_unet", 0), ("enas", 0), ("ghn", 0)] {
        let (plain, with) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (run, trace) = traced(method, with.path(), &[]);
        assert_same(&unbroken(method, plain.path()), &run, method);
        let found = steps(&trace, "search");
        assert!(found.len() == searched || (searched == 0 && found.len() > 2), "{method}: {} steps", found.len());
        assert!(found[0].tensors.contains_key("train.0.images") && found[0].tensors.contains_key("train.0.labels"), "{method}");
        assert!(found.iter().any(|s| s.state("before.")["weights"] != s.state("after.")["weights"]), "{method}");
        // 160 images in batches of 32, three epochs; or 40 slices.
        assert!(steps(&trace, "retrain").len() >= 9, "{method}");
    }
}

#[test]
fn the_steps_of_a_trace_follow_from_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let (_, trace) = traced("darts", folder.path(), &[]);
    let (search, retrain) = (steps(&trace, "search"), steps(&trace, "retrain"));
    for found in [&search, &retrain] {
        for step in found {
            // SGD with the momentum and weight decay of the paper: m' = 0.9 m + g + 3e-4 w, w' = w - lr m'.
            let [w, m, g] = ["before.weights", "before.velocity", "gradient"].map(|name| step.floats(name));
            let [w_after, m_after] = ["after.weights", "after.velocity"].map(|name| step.floats(name));
            let rate = step.number("learning_rate");
            for i in (0..w.len()).step_by(7) {
                let velocity = 0.9 * m[i] + g[i] + 3e-4 * w[i];
                assert!((m_after[i] - velocity).abs() < 1e-6 * (1.0 + velocity.abs()), "velocity {i}");
                assert!((w_after[i] - (w[i] - rate * velocity)).abs() < 1e-6, "weight {i}");
            }
        }
    }
    // Two searches of four steps: within one each step goes on from the last, the second starts anew.
    let starts: Vec<u64> = search.iter().map(|s| s.values["before"]["step"].as_u64().unwrap()).collect();
    assert_eq!(starts, [0, 1, 2, 3, 0, 1, 2, 3]);
    for k in [0, 1, 2, 4, 5, 6] {
        assert_eq!(search[k].state("after."), search[k + 1].state("before."), "step {k}");
    }
    assert!(search[4].floats("before.velocity").iter().all(|v| *v == 0.0));
    assert_ne!(search[3].state("after.")["weights"], search[4].state("before.")["weights"]);
    check_parts(&trace, &search[5]);
}

/// Shapes of what a step was given, and that the layout accounts for every number of the flat vectors.
fn check_parts(trace: &Path, step: &Step) {
    for part in ["train", "valid"] {
        assert_eq!(step.tensors[&format!("{part}.0.images")].shape, [32, 1, 8, 8]);
        assert_eq!(step.tensors[&format!("{part}.0.labels")].shape, [32]);
    }
    assert_eq!(step.tensors["alpha_gradient.0"].shape, [2, 14, 8]);
    assert_eq!(step.values["architecture"]["space"], "darts");
    let layout: Value = serde_json::from_slice(&std::fs::read(trace.join("search/layout.json")).unwrap()).unwrap();
    for (name, flat) in [("weights", "before.weights"), ("statistics", "before.statistics")] {
        let sizes = layout[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part[1].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).product::<u64>());
        assert_eq!(sizes.sum::<u64>() as usize, step.floats(flat).len());
    }
    assert_eq!(layout["weights"][0][0], "stem.conv.weight");
}

#[test]
fn a_trace_ends_at_its_limit_and_is_not_mixed_with_that_of_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let (run, trace) = traced("darts", folder.path(), &["--trace-limit", "1KiB"]);
    assert_eq!((steps(&trace, "search").len(), steps(&trace, "retrain").len()), (1, 1), "the step that reaches the limit is the last");
    std::fs::remove_dir_all(run).unwrap();
    let again = naslab()
        .args(run_arguments("darts", &folder.path().join("runs")))
        .args(["--set", "search.epochs=1", "--trace"])
        .arg(folder.path().join("trace"))
        .assert()
        .code(2);
    let said = String::from_utf8_lossy(&again.get_output().stderr).into_owned();
    assert!(said.contains("the trace of another run"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path().join("runs")).unwrap().count(), 0, "nothing was begun");
}
