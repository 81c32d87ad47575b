//! What `naslab export` writes: onnxruntime gets from it what the network itself computes.

use crate::common;
use crate::python;
use naslab::export::onnx;
use naslab::lab::{Built, blobs};
use naslab::network;
use naslab::nn::{Pass, Weights};
use naslab::record::{Dtype, RunDir, read_safetensors, write_safetensors};
use naslab::seed::Streams;
use naslab::space::{
    Architecture, BenchCell, BenchOp, InputShape, NetSize, SegmentOp, UnetSize, darts, enas_macro, enas_micro, ghn, nas_unet, nasnet,
    published,
};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad};

const IMAGE: InputShape = InputShape { channels: 3, height: 16, width: 13, classes: 5 };
const SLICE: InputShape = InputShape { channels: 1, height: 21, width: 34, classes: 3 };

/// Numbers between -1 and 1 that are the same in every run.
fn numbers(count: i64, seed: f64) -> Tensor {
    let t = ((Tensor::arange(count, (Kind::Double, Device::Cpu)) + seed) * 12.9898).sin() * 43_758.545;
    ((&t - t.floor()) * 2.0 - 1.0).to_kind(Kind::Float)
}

/// A network whose weights and statistics all have values of their own, as after a training.
fn built(architecture: &Architecture, input: InputShape, size: NetSize) -> Built {
    let network = network::build(architecture, input, size).unwrap();
    let weights = Weights::init(network.table(), &mut Streams::new(1).rng("init", 0), Device::Cpu, Kind::Float);
    no_grad(|| {
        let mut flat = weights.flat().shallow_clone();
        let _ = flat.g_add_(&(numbers(flat.size()[0], 0.5) * 0.2));
        // The statistics move towards those of the images, so that the maps neither grow nor vanish.
        for step in 0..12 {
            network.forward(&weights, &images(8, input, f64::from(step)), &mut Pass::by_batch());
        }
    });
    Built { network, weights, input }
}

fn images(n: i64, input: InputShape, seed: f64) -> Tensor {
    numbers(n * input.channels * input.height * input.width, seed).view([n, input.channels, input.height, input.width])
}

fn tensor(t: &Tensor) -> Value {
    let values = Vec::<f32>::try_from(&t.reshape([-1])).unwrap();
    json!({ "shape": t.size(), "values": values })
}

/// Images of several batch sizes with the logits that the network itself has for them, by the kernels that runs use.
fn cases(built: &Built, input: InputShape) -> Value {
    let case = |n: i64| {
        let images = images(n, input, n as f64);
        let logits = no_grad(|| built.network.forward(&built.weights, &images, &mut Pass::evaluation()).logits);
        let spread = logits.std(true).double_value(&[]);
        assert!(spread > 1e-3 && spread < 100.0, "logits that say something: {spread}");
        json!({ "images": tensor(&images), "logits": tensor(&logits) })
    };
    Value::Array([1, 3].map(case).into())
}

/// Lets onnxruntime run the `model.onnx` of these folders and compare.
fn compare(folders: &[std::path::PathBuf]) {
    let arguments: Vec<&OsStr> = folders.iter().map(|f| f.as_os_str()).collect();
    if let Some(printed) = python::python("compare_onnx.py", &arguments) {
        assert_eq!(printed.lines().count(), folders.len(), "{printed}");
        print!("{printed}");
    }
}

fn size(channels: i64, cells: usize) -> NetSize {
    NetSize { channels, cells, auxiliary: false }
}

fn image_architectures() -> Vec<(String, Architecture, NetSize)> {
    let named = ["darts-v1", "darts-v2", "nasnet-a", "amoebanet-a", "enas-micro", "enas-macro", "nb201-best-imagenet16", "nb201-resnet"];
    let mut all: Vec<(String, Architecture, NetSize)> =
        named.map(|name| (name.to_string(), published(name).unwrap(), size(8, if name.starts_with("darts") { 4 } else { 5 }))).into();
    // A convolution that reads zeros, and a sum of nothing.
    all.push(("nas-bench-201-zeros".into(), BenchCell([0, 3, 2, 1, 0, 2].map(|op| BenchOp::ALL[op])).into(), size(6, 5)));
    for seed in 0..3 {
        let mut rng = Streams::new(seed).rng("sample", 0);
        let mut add = |name: &str, architecture, size| all.push((format!("{name}-{seed}"), architecture, size));
        add("darts", darts::sample(&mut rng).into(), size(4, 4));
        add("nasnet", nasnet::sample(&nasnet::NASNET_OPS, true, &mut rng).into(), size(8, 5));
        add("enas-micro", enas_micro::sample(4, &mut rng).into(), size(6, 5));
        add("enas-macro", enas_macro::sample(6, &mut rng).into(), size(6, 6));
        add("ghn", ghn::sample(5, &mut rng).into(), size(6, 5));
        add("nas-bench-201", BenchCell::sample(&BenchOp::ALL, &mut rng).into(), size(6, 5));
    }
    all
}

fn pixel_architectures() -> Vec<(String, Architecture, NetSize)> {
    let mut all: Vec<(String, Architecture, NetSize)> = nas_unet::SPACE
        .published
        .iter()
        .enumerate()
        .map(|(i, (name, make))| ((*name).to_string(), make(), size([4, 16][i % 2], 5)))
        .collect();
    all.push(("unet".into(), UnetSize { channels: 3, depth: 3 }.into(), size(4, 5)));
    for seed in 0..7 {
        let architecture = Architecture::from(nas_unet::sample(4, &mut Streams::new(seed).rng("sample", 0)));
        // The other name of a convolution, which searches do not return.
        let text = serde_json::to_string(&architecture).unwrap();
        let text = if seed % 2 == 0 { text } else { text.replace("\"conv\"", "\"shuffle_conv\"") };
        all.push((format!("nas-unet-{seed}"), serde_json::from_str(&text).unwrap(), size(5, 7)));
    }
    all
}

fn check_all(all: &[(String, Architecture, NetSize)], input: InputShape) {
    let folder = tempfile::tempdir().unwrap();
    let mut folders = Vec::new();
    for (name, architecture, size) in all {
        let built = built(architecture, input, *size);
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("model.onnx"), onnx(&built, &json!({})).unwrap()).unwrap();
        std::fs::write(path.join("cases.json"), cases(&built, input).to_string()).unwrap();
        folders.push(path);
    }
    compare(&folders);
}

#[test]
fn onnxruntime_has_the_logits_of_every_space_that_classifies_images() {
    check_all(&image_architectures(), IMAGE);
}

#[test]
fn onnxruntime_has_the_logits_of_every_space_that_classifies_pixels() {
    let all = pixel_architectures();
    let text: String = all.iter().map(|(_, a, _)| serde_json::to_string(a).unwrap()).collect();
    let ops = SegmentOp::ALL.iter();
    let absent: Vec<&str> = ops.map(|op| op.name()).filter(|name| !text.contains(&format!("\"{name}\""))).collect();
    assert_eq!(absent, ["none"], "a finished cell has every operation but none");
    check_all(&all, SLICE);
}

#[test]
fn the_auxiliary_head_is_left_out_and_every_other_weight_is_there_by_name() {
    let input = InputShape { channels: 3, height: 32, width: 32, classes: 10 };
    let built = built(&published("darts-v2").unwrap(), input, NetSize { channels: 4, cells: 5, auxiliary: true });
    let bytes = onnx(&built, &json!({"key": "value"})).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(!holds("auxiliary") && holds("key") && holds("value"));
    for blob in blobs(built.network.table(), &built.weights).unwrap().iter().filter(|b| !b.name.starts_with("auxiliary")) {
        assert!(holds(&blob.name), "{}", blob.name);
        assert!(bytes.windows(blob.bytes.len()).any(|w| w == blob.bytes), "the numbers of {}", blob.name);
    }
}

/// The settings of the network that the exports by name below have.
const TINY: [&str; 4] = ["--set", "retrain.channels=4", "--set", "retrain.cells=5"];

#[test]
fn an_architecture_by_name_is_exported_with_given_weights_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, out) = (folder.path().join("given.safetensors"), folder.path().join("out"));
    let digits = InputShape { channels: 1, height: 8, width: 8, classes: 10 };
    let built = built(&published("nasnet-a").unwrap(), digits, size(4, 5));
    write_safetensors(&weights, &blobs(built.network.table(), &built.weights).unwrap(), &BTreeMap::new()).unwrap();
    let mut command = common::naslab();
    command.args(["export", "nasnet-a"]).args(TINY).arg("--weights").arg(&weights).arg("--out").arg(&out);
    command.assert().success().stdout(contains("[batch, 1, 8, 8]").and(contains("given.safetensors"))).stderr("");
    std::fs::write(out.join("cases.json"), cases(&built, digits).to_string()).unwrap();
    compare(std::slice::from_ref(&out));
    let (given, _) = read_safetensors(&weights).unwrap();
    let (written, _) = read_safetensors(&out.join("weights.safetensors")).unwrap();
    assert_eq!(written, given);
    let facts: Value = serde_json::from_slice(&std::fs::read(out.join("export.json")).unwrap()).unwrap();
    assert_eq!(facts["input"]["shape"], json!(["batch", 1, 8, 8]));
    assert_eq!(facts["architecture_hash"], json!(published("nasnet-a").unwrap().hash()));
    let mean = facts["input"]["normalisation"]["mean"][0].as_f64().unwrap();
    assert!((mean - 4.886).abs() < 0.01, "the mean of the digits' training images: {mean}");
    // The document is an architecture for every command.
    let again = folder.path().join("again");
    let mut command = common::naslab();
    command.args(["export"]).arg(out.join("architecture.json")).args(TINY).arg("--weights").arg(&weights).arg("--out").arg(&again);
    command.assert().success();
    for name in ["architecture.json", "weights.safetensors"] {
        assert_eq!(std::fs::read(out.join(name)).unwrap(), std::fs::read(again.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn weights_that_are_not_given_are_those_that_a_training_starts_from() {
    let folder = tempfile::tempdir().unwrap();
    let export = |out: &str, seed: &str| {
        let out = folder.path().join(out);
        let mut command = common::naslab();
        command.args(["export", "darts-v2", "--set", "retrain.channels=4", "--seed", seed, "--format", "weights", "--out"]).arg(&out);
        command.assert().success().stderr(contains("not trained").and(contains(format!("seed {seed}"))));
        assert!(!out.join("model.onnx").exists());
        std::fs::read(out.join("weights.safetensors")).unwrap()
    };
    let first = export("a", "1");
    assert!(first == export("b", "1") && first != export("c", "2"));
    // A run of no epoch ends with the weights that it began with.
    let runs = folder.path().join("runs");
    let train = [
        "train",
        "darts-v2",
        "--set",
        "retrain.channels=4",
        "--set",
        "retrain.recipe.epochs=1",
        "--set",
        "retrain.recipe.learning_rate=0.0",
    ];
    let still = ["--set", "retrain.recipe.learning_rate_end=0.0", "--seeds", "1", "--quiet", "--device", "cpu", "--out"];
    common::naslab().args(train).args(still).arg(&runs).assert().success();
    let (trained, _) = read_safetensors(&common::only_run(&runs).join("weights.safetensors")).unwrap();
    let (fresh, _) = read_safetensors(&folder.path().join("a/weights.safetensors")).unwrap();
    let moved = |name: &str| name.contains("running");
    for blob in fresh.iter().filter(|b| !moved(&b.name)) {
        assert!(trained.iter().any(|t| t == blob), "{} is not what the training starts from", blob.name);
    }
}

fn floats(bytes: &[u8]) -> Tensor {
    Tensor::from_slice(&bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>())
}

/// The network that a run retrained, by the library alone.
fn of_run(run: &Path, size: NetSize) -> (Built, InputShape) {
    let dir = RunDir::open(run).unwrap();
    let (manifest, result) = (dir.manifest().unwrap(), dir.result().unwrap().unwrap());
    let [channels, height, width, classes] =
        [manifest.data.channels, manifest.data.height, manifest.data.width, manifest.data.classes].map(i64::from);
    let input = InputShape { channels, height, width, classes };
    let built = built(&result.architecture, input, size);
    let (blobs, _) = read_safetensors(&run.join("weights.safetensors")).unwrap();
    let table = built.network.table();
    let named = table.names().zip(built.weights.params()).chain(table.stat_names().zip(built.weights.stats()));
    for (name, tensor) in named {
        let blob = blobs.iter().find(|b| b.name == name).unwrap();
        assert_eq!(blob.dtype, Dtype::F32);
        no_grad(|| tensor.detach().copy_(&floats(&blob.bytes).view_(tensor.size())));
    }
    (built, input)
}

#[test]
fn a_finished_run_is_exported_with_what_it_trained() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, out) = (folder.path().join("runs"), folder.path().join("out"));
    let run = common::unbroken("darts", &runs);
    let exported = common::naslab().arg("export").arg(&run).arg("--out").arg(&out).assert().success();
    exported.stdout(contains("trained for 3 epochs").and(contains("test accuracy"))).stderr("");
    let (built, input) = of_run(&run, size(4, 3));
    std::fs::write(out.join("cases.json"), cases(&built, input).to_string()).unwrap();
    compare(std::slice::from_ref(&out));
    let facts: Value = serde_json::from_slice(&std::fs::read(out.join("export.json")).unwrap()).unwrap();
    let result = RunDir::open(&run).unwrap().result().unwrap().unwrap();
    assert_eq!(facts["final_score"].as_f64(), result.final_score);
    assert_eq!((facts["trained"].as_bool(), facts["parameters"].as_u64()), (Some(true), Some(result.parameters)));
    refusals_about_runs(&run, folder.path());
}

#[test]
fn a_segmenter_is_exported_in_the_size_of_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let window = [
        "--set",
        "data.window.height=21",
        "--set",
        "data.window.width=34",
        "--set",
        "data.valid_images=0",
        "--set",
        "data.search_images=4",
    ];
    common::naslab()
        .args(["export", "unet-8"])
        .args(window)
        .arg("--out")
        .arg(&out)
        .assert()
        .success()
        .stdout(contains("classes of every pixel"));
    let facts: Value = serde_json::from_slice(&std::fs::read(out.join("export.json")).unwrap()).unwrap();
    assert_eq!(facts["input"]["shape"], json!(["batch", 1, 21, 34]));
    assert_eq!((&facts["output"]["every_pixel"], &facts["output"]["classes"]), (&json!(true), &json!(3)));
    assert!(facts["input"]["normalisation"]["pixels"].as_str().unwrap().contains("percentile"));
}

/// What an export of a run, and into one, refuses.
fn refusals_about_runs(run: &Path, folder: &Path) {
    let mut export = common::naslab();
    export.arg("export").arg(run).arg("--out").arg(run).assert().code(2).stderr(contains("holds a run; choose another folder"));
    let mut export = common::naslab();
    export
        .arg("export")
        .arg(run)
        .args(["--preset", "paper", "--out", "x"])
        .assert()
        .code(2)
        .stderr(contains("--preset is for an architecture"));
    let unfinished = folder.join("unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::copy(run.join("manifest.json"), unfinished.join("manifest.json")).unwrap();
    let mut export = common::naslab();
    export
        .arg("export")
        .arg(&unfinished)
        .args(["--out", "x"])
        .assert()
        .code(3)
        .stderr(contains("not finished").and(contains("naslab resume")));
}

#[test]
fn bad_input_says_what_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("file"), "").unwrap();
    let cases: [(&[&str], i32, &str); 8] = [
        (&["darts-v2", "--out", &path("file")], 2, "is a file; name a folder"),
        (&["darts-v9", "--out", &path("x")], 3, "darts-v2"),
        (&["darts-v2"], 2, "--out DIR"),
        (&[&path(""), "--out", &path("x")], 3, "no run here"),
        (&["darts-v2", "--out", &path("x"), "--weights", &path("none.safetensors")], 3, "none.safetensors: cannot read"),
        (&["darts-v2", "--out", &path("x"), "--dataset", "cifar99"], 2, "cifar99"),
        (&["darts-v2", "--out", &path("x"), "--preset", "huge"], 2, "huge"),
        (&["darts-v2", "--out", "/proc/naslab-export"], 5, "/proc/naslab-export: cannot write"),
    ];
    for (arguments, code, text) in cases {
        common::naslab().arg("export").args(arguments).assert().code(code).stderr(contains(text));
    }
    // The weights of a narrower network.
    let narrow = path("narrow");
    let size = |channels: &str| format!("retrain.channels={channels}");
    common::naslab().args(["export", "darts-v2", "--out", &narrow, "--set", &size("2")]).assert().success();
    let weights = format!("{narrow}/weights.safetensors");
    let wrong = ["export", "darts-v2", "--out", &path("x"), "--weights", &weights, "--set", &size("4")];
    common::naslab().args(wrong).assert().code(3).stderr(contains("not the weights of this network").and(contains("--set")));
    assert!(!folder.path().join("x").exists());
}
