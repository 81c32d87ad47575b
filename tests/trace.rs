//! A trace: it changes no file of the run, and holds of every step the state, the batches and what was computed.

use crate::common::{assert_same, naslab, only_run, run_arguments, unbroken};
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
        let blob = &self.tensors[name];
        let double = blob.bytes.len() == 8 * blob.shape.iter().product::<usize>();
        let number = |b: &[u8]| {
            if double { f64::from_le_bytes(b.try_into().unwrap()) } else { f64::from(f32::from_le_bytes(b.try_into().unwrap())) }
        };
        blob.bytes.chunks_exact(if double { 8 } else { 4 }).map(number).collect()
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

/// What a step of SGD or Adam had before it and left, and the gradient that it was given.
struct Made {
    weights: [Vec<f64>; 2],
    memory: Vec<[Vec<f64>; 2]>,
    gradient: Vec<f64>,
    rate: f64,
}

impl Made {
    fn of(step: &Step, weights: &str, memory: &[&str], gradient: &str) -> Self {
        let around = |name: &str| ["before", "after"].map(|when| step.floats(&format!("{when}.{name}")));
        let memory = memory.iter().map(|name| around(name)).collect();
        Self { weights: around(weights), memory, gradient: step.floats(gradient), rate: step.number("learning_rate") }
    }

    /// Panics unless the step is that of Adam with these betas, after `steps` others; `epsilon` is added to the root of the corrected second moment.
    fn check_adam(&self, (b1, b2): (f64, f64), steps: i32, epsilon: impl Fn(f64) -> f64, within: f64) {
        let ([w, w_after], [m, m_after], [v, v_after]) = (&self.weights, &self.memory[0], &self.memory[1]);
        let [c1, c2] = [b1, b2].map(|b: f64| 1.0 - b.powi(steps + 1));
        for (i, g) in self.gradient.iter().enumerate() {
            let (mean, square) = (b1 * m[i] + (1.0 - b1) * g, b2 * v[i] + (1.0 - b2) * g * g);
            assert!((m_after[i] - mean).abs() <= within * (1e-3 + mean.abs()), "mean {i}: {mean}, not {}", m_after[i]);
            assert!((v_after[i] - square).abs() <= within * (1e-6 + square), "square {i}: {square}, not {}", v_after[i]);
            let moved = self.rate * (mean / c1) / ((square / c2).sqrt() + epsilon(c2));
            let moved = w[i] - moved;
            assert!((w_after[i] - moved).abs() <= within * (1.0 + w[i].abs()), "weight {i}: {moved}, not {}", w_after[i]);
        }
        let [moved, gradient] =
            [(0..w.len()).filter(|i| w[*i] != w_after[*i]).count(), self.gradient.iter().filter(|g| **g != 0.0).count()];
        assert!(moved > 0 && gradient > 0, "{moved} weights moved, {gradient} have a gradient");
    }
}

/// Where a parameter stands in the flat vectors of a search.
fn place(trace: &Path, name: &str) -> std::ops::Range<usize> {
    let layout: Value = serde_json::from_slice(&std::fs::read(trace.join("search/layout.json")).unwrap()).unwrap();
    let mut start = 0;
    for part in layout["weights"].as_array().unwrap() {
        let size = part[1].as_array().unwrap().iter().map(|side| side.as_u64().unwrap() as usize).product::<usize>();
        if part[0] == name {
            return start..start + size;
        }
        start += size;
    }
    panic!("no {name} in the layout")
}

#[test]
fn ghn_s_trace_has_the_drawn_block_its_prediction_and_the_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let (_, trace) = traced("ghn", folder.path(), &[]);
    let search = steps(&trace, "search");
    let (training, ranking): (Vec<&Step>, Vec<&Step>) = search.iter().partition(|step| step.tensors.contains_key("gradient"));
    // Two epochs of two batches; six blocks.
    assert_eq!((training.len(), ranking.len()), (4, 6));
    for step in &training {
        let made = Made::of(step, "weights", &["mean", "square"], "gradient");
        let done = step.values["before"]["adam_steps"].as_i64().unwrap() as i32;
        made.check_adam((0.9, 0.999), done, |_| 1e-8, 2e-5);
        assert!(made.gradient.iter().map(|g| g * g).sum::<f64>().sqrt() < 5.0 + 1e-4, "clipped");
        let said = step.values["after"]["loss_sum"].as_f64().unwrap() - step.values["before"]["loss_sum"].as_f64().unwrap();
        assert!(said < 0.0 || (said - step.number("loss")).abs() < 1e-9, "but for the last of an epoch, which sets the sum to zero");
    }
    for (group, nodes) in [(&training, 2), (&ranking, 5)] {
        let blocks: Vec<&Value> = group.iter().map(|step| &step.values["architecture"]).collect();
        assert!(blocks.iter().all(|b| b["space"] == "ghn" && b["nodes"].as_array().unwrap().len() == nodes));
        assert!(blocks.iter().any(|b| *b != blocks[0]), "a fresh one each step");
        for step in group {
            // Stem, three blocks of two inputs, the nodes and an output, head.
            assert_eq!(step.tensors["states"].shape, [2 + 3 * (nodes + 3), 16]);
            assert_eq!(step.tensors["child.stem.conv0.weight"].shape, [8, 1, 3, 3]);
            check_decoded(&trace, step);
        }
    }
    let scores: Vec<f64> = ranking.iter().map(|step| step.number("score")).collect();
    let kept: Vec<f64> = serde_json::from_value(ranking[5].values["after"]["scores"].clone()).unwrap();
    assert_eq!(scores, kept);
}

/// The classifier's bias follows from the last state by the two layers of the head: W₂ ReLU(W₁ h + b₁) + b₂.
fn check_decoded(trace: &Path, step: &Step) {
    let weights = step.floats("before.weights");
    let [w1, b1, w2, b2] =
        ["hidden.weight", "hidden.bias", "branch.head.bias.weight", "branch.head.bias.bias"].map(|name| &weights[place(trace, name)]);
    let states = step.floats("states");
    let state = &states[states.len() - 16..];
    let layer = |w: &[f64], b: &[f64], x: &[f64]| -> Vec<f64> {
        b.iter().zip(w.chunks_exact(x.len())).map(|(b, row)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    };
    let hidden: Vec<f64> = layer(w1, b1, state).into_iter().map(|h| h.max(0.0)).collect();
    for (i, (ours, traced)) in layer(w2, b2, &hidden).into_iter().zip(step.floats("child.head.bias")).enumerate() {
        assert!((ours - traced).abs() < 1e-5 * (1.0 + ours.abs()), "bias {i}: {ours}, not {traced}");
    }
}

#[test]
fn enas_s_trace_has_the_drawn_children_and_both_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let (_, trace) = traced("enas", folder.path(), &[]);
    let search = steps(&trace, "search");
    let with = |name: &str| search.iter().filter(|step| step.tensors.contains_key(name)).collect::<Vec<_>>();
    let (shared, updates, derived) = (with("gradient"), with("controller_gradient"), with("score"));
    // Two epochs of one batch and two updates; four children.
    assert_eq!((shared.len(), updates.len(), derived.len(), search.len()), (2, 4, 4, 10));
    for step in &shared {
        // SGD with Nesterov's momentum: m' = 0.9 m + d, w' = w - lr (d + 0.9 m') with d = g + 2e-4 w.
        let Made { weights: [w, w_after], memory, gradient, rate } = Made::of(step, "weights", &["velocity"], "gradient");
        let [m, m_after] = &memory[0];
        for i in (0..w.len()).step_by(7) {
            let decayed = gradient[i] + 2e-4 * w[i];
            let velocity = 0.9 * m[i] + decayed;
            assert!((m_after[i] - velocity).abs() < 1e-6 * (1.0 + velocity.abs()), "velocity {i}");
            assert!((w_after[i] - (w[i] - rate * (decayed + 0.9 * velocity))).abs() < 1e-6, "weight {i}");
        }
        assert_eq!(step.values["architecture"]["space"], "enas_micro");
        assert!(gradient.iter().any(|g| *g != 0.0));
    }
    for step in &updates {
        let done = step.values["before"]["adam_steps"].as_i64().unwrap() as i32;
        Made::of(step, "controller", &["mean", "square"], "controller_gradient").check_adam(
            (0.0, 0.999),
            done,
            |c2| 1e-3 / c2.sqrt(),
            1e-9,
        );
        let children = step.values["children"].as_array().unwrap();
        assert!(children.len() == 2 && children.iter().all(|c| c["space"] == "enas_micro"));
        // Two cells of three nodes of four decisions.
        assert_eq!(step.tensors["decisions"].shape, [2, 24]);
        check_rewards(step);
    }
    assert!(derived.iter().all(|step| step.values["architecture"]["space"] == "enas_micro"));
}

/// The baseline moves by a tenth of its distance to each reward, and is subtracted thereafter; a reward is the score and a little entropy.
fn check_rewards(step: &Step) {
    let [scores, rewards, baselines] = ["scores", "rewards", "baselines"].map(|name| step.floats(name));
    let mut baseline = step.values["before"]["baseline"].as_f64().unwrap();
    for i in 0..2 {
        baseline += 0.1 * (rewards[i] - baseline);
        assert!((baselines[i] - baseline).abs() < 1e-12, "baseline {i}");
        assert!((0.0..0.01).contains(&(rewards[i] - scores[i])), "reward {i}");
    }
    assert_eq!(step.values["after"]["baseline"], baselines[1]);
    let likely = step.floats("log_probabilities");
    assert!(likely.iter().all(|p| (-60.0..-5.0).contains(p)), "{likely:?}");
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
