//! Time of the steps of every method at its `smoke` settings, by our kernels and by libtorch's operators, and of a child's training step.
//! `naslab bench` measures the same at any settings, with memory.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use naslab::lab::{Order, SessionOptions, Signals, prepare};
use naslab::nn::{Kernels, use_kernels};
use naslab::reproductions::METHODS;
use std::time::Duration;

fn steps(c: &mut Criterion) {
    tch::set_num_threads(1);
    let signals = Signals::install().expect("signals can be caught");
    let options = || SessionOptions::quiet(1, signals.clone());
    for method in METHODS {
        let name = method.card().name;
        let resolved = method.resolve("smoke", &[]).expect("every method has the preset");
        let order = Order::new("smoke", resolved);
        let ready = prepare(*method, &order).expect("the data are part of the program");
        let kinds = ready.measure(options(), 1).expect("it can be measured").timings;
        let mut group = c.benchmark_group(name);
        for (i, kind) in kinds.iter().enumerate() {
            for (form, kernels) in [("own", Kernels::Own), ("plain", Kernels::Plain)] {
                group.bench_function(BenchmarkId::new(&kind.what, form), |b| {
                    use_kernels(kernels);
                    b.iter_custom(|steps| {
                        let measured = ready.measure(options(), steps as usize).expect("it can be measured");
                        Duration::from_secs_f64(measured.timings[i].seconds.iter().sum())
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = steps
}
criterion_main!(benches);
