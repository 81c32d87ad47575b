//! Small files of the formats that naslab reads, for the tests of its readers.

use flate2::{Compression, write::GzEncoder};
use naslab::record::{Declaration, FORMAT, Manifest};
use std::io::Write;

pub fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of bytes.
pub fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 8, dimensions.len() as u8];
    dimensions.iter().for_each(|d| out.extend(d.to_be_bytes()));
    out.extend_from_slice(values);
    out
}

/// The batches of CIFAR-10, the test last.
pub const BATCHES: [&str; 6] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"];

/// A batch of one image.
pub fn batch(label: u8) -> Vec<u8> {
    std::iter::once(label).chain((0..3072u32).map(|i| (i % 251) as u8)).collect()
}

/// The archive of CIFAR-10 before it is packed, with one image in each batch.
pub fn cifar_tar() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, label) in BATCHES.iter().zip(0..) {
        let (mut header, content) = (tar::Header::new_gnu(), batch(label));
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("cifar-10-batches-bin/{name}"), &content[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// What the file beside a table of one's own says of it.
pub const ABOUT: &str = r#"{ "name": "mine", "space": "nas-bench-201", "options": ["skip_connect", "nor_conv_3x3"],
    "sets": [{ "name": "own", "title": "Own images", "column": "own", "images": 100 }], "fidelities": [1, 2], "seconds_of_images": 100,
    "device": "a test", "source": "a test", "licence": "CC0" }"#;

/// One of the 64 cells of two operations.
pub fn arch(i: usize) -> String {
    let op = |bit: usize| if i >> bit & 1 == 1 { "nor_conv_3x3" } else { "skip_connect" };
    format!("|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|", op(0), op(1), op(2), op(3), op(4), op(5))
}

/// A table of these cells, and the file beside it.
pub fn table() -> (String, &'static str) {
    let mut text = "arch,seconds_per_epoch,own_valid_1,own_test_1,own_valid_2,own_test_2\n".to_string();
    for i in 0..64usize {
        text += &format!("{},1.5,{i},{i},{i}.25,{i}.5\n", arch(i));
    }
    (text, ABOUT)
}

/// The manifest of a run on the digits, with the digest that belongs to it.
pub fn manifest() -> Manifest {
    let mut manifest: Manifest = serde_json::from_value(serde_json::json!({
        "format": FORMAT, "method": "darts", "variant": "first-order", "dataset": "digits", "preset": "smoke", "seed": 3,
        "declaration": Declaration::default(), "settings": {"search": {"rate": 0.025, "epochs": 3}}, "shrunk": [], "jobs": 1,
        "identity": "", "libtorch": "2.11.0", "clock": "monotonic",
        "limits": {"budget_seconds": 20.0, "max_trials": null, "max_memory_bytes": null},
        "program": {"version": "0.1.0", "commit": "unknown", "dirty": false},
        "device": {"kind": "cpu", "name": "a", "memory_bytes": null, "processor": "a", "cores": 2, "threads": 2},
        "data": {"folder": null, "hash": "2a", "split_hash": "3b", "counts": {"train": 5}, "channels": 1, "height": 8, "width": 8, "classes": 10,
            "normalisation": {"pixels": "bytes", "mean": [0.5], "std": [0.25]}},
        "started": "2026-01-31T12:00:00Z",
    }))
    .unwrap();
    manifest.identity = manifest.digest();
    manifest
}
