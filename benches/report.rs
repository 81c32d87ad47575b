//! Time of building the whole report from recorded runs.

use criterion::{Criterion, criterion_group, criterion_main};
use naslab::report::{Extras, write_report};
use std::path::Path;
use std::process::Command;

fn report(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runs = folder.path().join("runs");
    let arguments = ["run", "random", "--preset", "smoke", "--max-trials", "2", "--seeds", "0..3", "--quiet", "--out"];
    let done = Command::new(env!("CARGO_BIN_EXE_naslab")).args(arguments).arg(&runs).output().expect("the binary starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let build = |out: &Path| write_report(std::slice::from_ref(&runs), out, &Extras::default()).expect("a report").files.len();
    c.bench_function("report of three runs", |b| b.iter(|| build(&folder.path().join("report"))));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = report
}
criterion_main!(benches);
