//! The operations of cell networks, forward and gradient: our kernels beside libtorch's operators. Channels, sizes and batch are those of the DARTS paper's
//! search.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use naslab::network::{Candidate, Form};
use naslab::nn::{Table, Weights, plainly};
use naslab::seed::Streams;
use naslab::space::DartsOp as Op;
use std::hint::black_box;
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 64;

fn operations(c: &mut Criterion) {
    for (channels, side, stride) in [(16, 32, 1), (32, 16, 1), (64, 8, 1), (32, 32, 2)] {
        let mut group = c.benchmark_group(format!("{channels} channels, {side}x{side}, stride {stride}"));
        for op in [Op::SepConv3, Op::SepConv5, Op::DilConv3, Op::DilConv5, Op::MaxPool3, Op::AvgPool3] {
            let mut table = Table::default();
            let candidate = Candidate::declare(&mut table, op.name(), op, channels, stride, Form::Evaluation);
            let weights = Weights::init(&table, &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Float);
            let x = Tensor::randn([BATCH, channels, side, side], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let step = || {
                let y = candidate.forward(&weights, &x, true);
                let inputs: Vec<&Tensor> = weights.params().iter().chain([&x]).collect();
                black_box(Tensor::run_backward(&[y.sum(Kind::Float)], &inputs, false, false))
            };
            group.bench_function(BenchmarkId::new(op.name(), "own"), |b| b.iter(step));
            group.bench_function(BenchmarkId::new(op.name(), "plain"), |b| b.iter(|| plainly(step)));
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = operations
}
criterion_main!(benches);
