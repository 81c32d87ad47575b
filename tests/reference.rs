//! Networks of this crate compute what reference networks compute that are stated in PyTorch from the authors' released code (`scripts/reference_logits.py`).
//!
//! Weights and images follow the rule of `scripts/reference/layers.py`; `tests/fixtures/reference/README.md` says where a reference is not the release.

use naslab::network::build;
use naslab::nn::{Network, Output, Pass, Weights, plainly};
use naslab::seed::Streams;
use naslab::space::{Architecture, InputShape, NetSize, published};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad};

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    method: String,
    name: String,
    /// A published name, or an architecture file.
    architecture: Value,
    /// Number, channels, height, width.
    images: [i64; 4],
    classes: i64,
    size: NetSize,
    /// Trainable scalars, those of the auxiliary head among them.
    weights: u64,
    /// Parameters and running statistics.
    tensors: usize,
    /// Logits of an image a row, as of all others.
    evaluation: Vec<Vec<f64>>,
    /// None where both passes are one.
    training: Option<Vec<Vec<f64>>>,
    auxiliary: Option<Vec<Vec<f64>>>,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference/logits.json");
    serde_json::from_slice::<Fixture>(&std::fs::read(path).unwrap()).unwrap().cases
}

/// Output `i` of SplitMix64 after the seed `h`.
fn split_mix(h: u64, i: u64) -> u64 {
    let z = h.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Numbers in [-1, 1) that follow from a name, in double precision.
fn uniform(name: &str, shape: &[i64]) -> Tensor {
    let h = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let u = |i| (split_mix(h, i) >> 44) as f64 / f64::from(1 << 19) - 1.0;
    Tensor::from_slice(&(0..shape.iter().product::<i64>() as u64).map(u).collect::<Vec<_>>()).view(shape)
}

/// A parameter or a running statistic.
fn entries(name: &str, shape: &[i64]) -> Tensor {
    let u = uniform(name, shape);
    if name.ends_with("gate.squeeze.bias") {
        return u + 3.0;
    }
    if name.ends_with("running_mean") || name.ends_with("bias") {
        return u / 4.0;
    }
    if shape.len() == 1 {
        return u / 2.0 + 1.0;
    }
    let inputs: i64 = shape[1..].iter().product();
    let k = (0..).find(|k| 6 * 4i64.pow(*k) >= inputs).expect("a kernel is finite");
    u / f64::from(1 << k)
}

fn weights(network: &dyn Network, kind: Kind) -> Weights {
    let table = network.table();
    let w = Weights::init(table, &mut Streams::new(0).rng("init", 0), Device::Cpu, kind);
    let named = table.names().zip(w.params()).chain(table.stat_names().zip(w.stats()));
    no_grad(|| named.for_each(|(name, tensor)| tensor.shallow_clone().copy_(&entries(name, &tensor.size()))));
    w
}

fn images(shape: [i64; 4], kind: Kind) -> Tensor {
    (uniform("images", &shape) / 2.0 + uniform("levels", &[shape[0], shape[1], 1, 1])).to_kind(kind)
}

/// The largest difference of the logits, in terms of the largest logit.
fn difference(expected: &[Vec<f64>], got: &Tensor) -> f64 {
    let expected = Tensor::from_slice2(expected);
    let got = got.to_kind(Kind::Double).flatten(1, -1);
    assert_eq!(expected.size(), got.size());
    ((&got - &expected).abs().max() / expected.abs().max()).double_value(&[])
}

/// The largest difference of all logits of a case.
fn compare(case: &Case, network: &dyn Network, kind: Kind) -> f64 {
    // Batch norm moves the statistics while training, so each pass has weights of its own.
    let run = |pass: &mut Pass| network.forward(&weights(network, kind), &images(case.images, kind), pass);
    let [scored, trained]: [Output; 2] = [Pass::evaluation(), Pass::by_batch()].map(|mut pass| run(&mut pass));
    assert!(scored.auxiliary.is_none());
    assert_eq!(trained.auxiliary.is_some(), case.auxiliary.is_some());
    let training = case.training.as_ref().unwrap_or(&case.evaluation);
    let auxiliary = case.auxiliary.iter().zip(&trained.auxiliary).map(|(expected, got)| difference(expected, got));
    [difference(&case.evaluation, &scored.logits), difference(training, &trained.logits)].into_iter().chain(auxiliary).fold(0.0, f64::max)
}

fn check(method: &str) {
    tch::set_num_threads(1);
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.method == method).collect();
    assert!(!cases.is_empty());
    for case in cases {
        let architecture: Architecture = match &case.architecture {
            Value::String(name) => published(name).unwrap(),
            document => serde_json::from_value(document.clone()).unwrap(),
        };
        let [_, channels, height, width] = case.images;
        let input = InputShape { channels, height, width, classes: case.classes };
        let network = build(&architecture, input, case.size).unwrap();
        let table = network.table();
        assert_eq!((table.count(), table.names().count() + table.stat_names().count()), (case.weights, case.tensors), "{}", case.name);
        for (kind, within) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
            let [ours, plain] = [compare(&case, &*network, kind), plainly(|| compare(&case, &*network, kind))];
            println!("{method}, {}, {kind:?}: {ours:.1e}, with libtorch's operators alone {plain:.1e}", case.name);
            assert!(ours < within && plain < within, "{}, {kind:?}: {ours:e} and {plain:e} of the largest logit", case.name);
        }
    }
}

#[test]
fn darts() {
    check("darts");
}

#[test]
fn nasnet_a() {
    check("nasnet");
}

#[test]
fn amoebanet_a() {
    check("amoebanet");
}

#[test]
fn enas_micro() {
    check("enas_micro");
}

#[test]
fn enas_macro() {
    check("enas_macro");
}

#[test]
fn nas_unet() {
    check("nas_unet");
}

#[test]
fn the_unet_that_nas_unet_is_compared_with() {
    check("unet");
}
