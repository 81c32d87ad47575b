//! Time of one training step: a child trained from scratch, and the search network with both of its gradients.

use criterion::{Criterion, criterion_group, criterion_main};
use naslab::arch::{InputShape, NetSize, build, published};
use naslab::nn::{Loss, Weights, cross_entropy};
use naslab::reproductions::darts::{alpha, supernet::Supernet};
use naslab::seed::Streams;
use naslab::train::{OptimizerKind, Recipe, Trainer};
use std::hint::black_box;
use tch::{Device, Kind, Tensor};

const DIGITS: InputShape = InputShape { channels: 1, height: 8, width: 8, classes: 10 };
const BATCH: i64 = 32;

fn batch() -> (Tensor, Tensor) {
    let images = Tensor::randn([BATCH, DIGITS.channels, DIGITS.height, DIGITS.width], (Kind::Float, Device::Cpu));
    (images, Tensor::arange(BATCH, (Kind::Int64, Device::Cpu)).remainder(DIGITS.classes))
}

fn child_step(c: &mut Criterion) {
    let recipe = Recipe {
        epochs: u64::MAX / 2,
        batch: BATCH as usize,
        learning_rate: 0.025,
        learning_rate_end: 0.0,
        momentum: 0.9,
        weight_decay: 3e-4,
        decay_all: true,
        by_step: false,
        clip: 5.0,
        nesterov: false,
        restart: 0,
        restart_factor: 1,
        dropout: 0.0,
        auxiliary_weight: 0.0,
        drop_path: 0.2,
        drop_by_depth: false,
        optimizer: OptimizerKind::Sgd,
        loss: Loss::default(),
    };
    let architecture = published("darts-v2").expect("a published cell");
    let network = build(&architecture, DIGITS, NetSize { channels: 8, cells: 5, auxiliary: false }).expect("it suits the digits");
    let mut trainer = Trainer::new(network, &recipe, 1, Streams::new(0), Device::Cpu);
    let (images, labels) = batch();
    c.bench_function("child step, darts-v2 C=8 L=5, digits, batch 32", |b| b.iter(|| trainer.step(&images, &labels)));
}

fn supernet_gradients(c: &mut Criterion) {
    let net = Supernet::declare(DIGITS, 4, 3);
    let weights = Weights::init(&net.table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Float);
    let logits = alpha::initial(&mut Streams::new(0).rng("alpha", 0), Device::Cpu, Kind::Float);
    let (images, labels) = batch();
    let loss = || cross_entropy(&net.forward(&weights, &logits, &images, true), &labels);
    c.bench_function("search network, alpha and weight gradients, C=4 L=3, digits, batch 32", |b| {
        b.iter(|| {
            drop(black_box(Tensor::run_backward(&[loss()], &[&logits], false, false)));
            drop(black_box(weights.gradient(&loss())));
        });
    });
}

criterion_group! {
    name = steps;
    config = Criterion::default().sample_size(20);
    targets = child_step, supernet_gradients
}
criterion_main!(steps);
