//! Searches of tables: opening one, a query, and whole searches of one seed.

use criterion::{Criterion, criterion_group, criterion_main};
use naslab::reproductions::ALGORITHMS;
use naslab::seed::Streams;
use naslab::table::{self, Fidelity, RunOf, Score, SimulatedSeconds, Study};
use std::hint::black_box;

fn tables(c: &mut Criterion) {
    c.bench_function("open nas-bench-201", |b| b.iter(|| table::open(black_box("nas-bench-201")).unwrap()));
    let table = table::open("nas-bench-201").unwrap();
    let queries = table.queries(0, Score::Validation, Fidelity(12), RunOf::Mean).unwrap();
    let (streams, points) = (Streams::new(0), table.rows.iter().map(|r| r.point).collect::<Vec<_>>());
    let mut next = (0..points.len()).cycle();
    c.bench_function("query", |b| b.iter(|| queries.answer(points[next.next().unwrap()], streams, 0)));
    let study = Study::within(SimulatedSeconds::new(12_000.0), &table);
    for algorithm in ALGORITHMS.iter().filter(|a| a.name != "nasnet") {
        let settings = algorithm.resolve(&[]).unwrap();
        let mut seeds = 0..;
        c.bench_function(&format!("{}, one seed of 12,000 simulated s", algorithm.name), |b| {
            b.iter(|| table::run((&table, 0), &study, (algorithm, &settings), &[seeds.next().unwrap()], 1).unwrap());
        });
    }
}

criterion_group!(benches, tables);
criterion_main!(benches);
