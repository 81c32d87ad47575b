//! Data sets on disk: what is accepted, and what is refused with which words.

use crate::common::files::{BATCHES, contains, gzip, idx};
use naslab::data;
use std::path::Path;

const IDX_NAMES: [&str; 4] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Six training and two test images of 5x3 pixels.
fn small_idx() -> [Vec<u8>; 4] {
    let pixels: Vec<u8> = (0..120).collect();
    [idx(&[6, 5, 3], &pixels[..90]), idx(&[6], &[0, 1, 2, 3, 4, 9]), idx(&[2, 5, 3], &pixels[..30]), idx(&[2], &[5, 6])]
}

fn write_idx(folder: &Path, files: &[Vec<u8>; 4]) {
    IDX_NAMES.iter().zip(files).for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
}

fn refused(name: &str, folder: &Path, words: &[&str]) {
    let error = data::open(name, Some(folder)).expect_err("it must be refused");
    assert_eq!(error.exit_code(), 3);
    contains(&error.to_string(), words);
}

#[test]
fn idx_files_are_read_in_every_spelling() {
    for (dot, zip) in [(false, false), (true, false), (false, true), (true, true)] {
        let folder = tempfile::Builder::new().prefix("données-").tempdir().unwrap();
        for (name, bytes) in IDX_NAMES.iter().zip(small_idx()) {
            let name = if dot { name.replacen("-idx", ".idx", 1) } else { (*name).to_string() };
            let (name, bytes) = if zip { (format!("{name}.gz"), gzip(&bytes)) } else { (name, bytes) };
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let set = data::open("fashion-mnist", Some(folder.path())).unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.train.height, set.train.width), (6, 2, 5, 3));
        assert_eq!(set.train.labels, [0, 1, 2, 3, 4, 9]);
        assert_eq!(set.test.pixels, (0..30).collect::<Vec<u8>>());
        assert_eq!(set.notes.len(), 4, "each file is named as not the published one");
    }
}

#[test]
fn damaged_idx_files_are_named_with_place_expectation_and_finding() {
    let cases: [(usize, Vec<u8>, &[&str]); 9] = [
        (0, small_idx()[0][..50].to_vec(), &["train-images", "truncated", "byte 16", "needs 90 bytes", "found 34"]),
        (0, small_idx()[0][..7].to_vec(), &["truncated", "header of 16 bytes"]),
        (0, [small_idx()[0].clone(), vec![1]].concat(), &["too long", "found 91"]),
        (0, small_idx()[1].clone(), &["train-images", "wrong magic number at byte 3", "expected 03", "found 01"]),
        (0, b"<html>".to_vec(), &["wrong magic number at byte 0", "expected 00", "found 3c", "no IDX file"]),
        (1, idx(&[6], &[0, 1, 2, 10, 4, 9]), &["train-labels", "byte 11", "label 10", "0 to 9"]),
        (1, idx(&[5], &[0, 1, 2, 3, 4]), &["train-labels", "5 labels for the 6 images"]),
        (
            2,
            {
                let mut b = small_idx()[2].clone();
                b[2] = 0x0d;
                b
            },
            &["t10k-images", "wrong magic number at byte 2", "expected 08", "found 0d"],
        ),
        (3, Vec::new(), &["t10k-labels", "empty"]),
    ];
    for (at, bytes, words) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut files = small_idx();
        files[at] = bytes;
        write_idx(folder.path(), &files);
        refused("fashion-mnist", folder.path(), words);
        let state = data::check("fashion-mnist", Some(folder.path())).unwrap();
        assert!(state.len() >= 4 && state.iter().any(|f| !f.ok), "what a run refuses is not called well: {state:?}");
    }
}

#[test]
fn a_damaged_gzip_archive_and_a_folder_in_place_of_a_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), &small_idx());
    std::fs::remove_file(folder.path().join(IDX_NAMES[0])).unwrap();
    let path = folder.path().join(format!("{}.gz", IDX_NAMES[0]));
    let whole = gzip(&small_idx()[0]);
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    refused("fashion-mnist", folder.path(), &["train-images", "damaged gzip"]);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("fashion-mnist", folder.path(), &["expected a file, found a folder"]);
}

#[test]
fn missing_files_say_where_they_were_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display().to_string();
    refused("fashion-mnist", folder.path(), &["train-images-idx3-ubyte.gz", &shown, "--data-dir"]);
    refused("cifar10", folder.path(), &["cifar-10-binary.tar.gz", &shown]);
    refused("cifar10", Path::new("no/such/folder"), &["no such folder"]);
    let file = folder.path().join("a-file");
    std::fs::write(&file, b"x").unwrap();
    refused("fashion-mnist", &file, &["a-file", "expected the folder", "found a file"]);
    assert_eq!(data::open("mnist", None).unwrap_err().exit_code(), 2);
    for set in data::SETS.iter().filter(|s| !s.folders.is_empty()) {
        let found = data::check(set.name, Some(folder.path())).unwrap();
        assert!(found.iter().all(|f| !f.ok && f.state.contains("missing")), "{found:?}");
    }
}

fn records(n: usize, label: u8) -> Vec<u8> {
    (0..n).flat_map(|i| std::iter::once(label).chain((0..3072u32).map(move |p| (p as usize + i) as u8))).collect()
}

fn write_cifar(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    BATCHES.iter().enumerate().for_each(|(i, name)| std::fs::write(folder.join(name), records(2, i as u8)).unwrap());
}

#[test]
fn cifar_is_read_from_its_folder_its_parent_and_its_archive() {
    let parent = tempfile::tempdir().unwrap();
    let inner = parent.path().join("cifar-10-batches-bin");
    write_cifar(&inner);
    let archive_folder = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("cifar-10-batches-bin", &inner).unwrap();
    std::fs::write(archive_folder.path().join("cifar-10-binary.tar.gz"), gzip(&archive.into_inner().unwrap())).unwrap();
    let mut hashes = std::collections::HashSet::new();
    for folder in [inner.as_path(), parent.path(), archive_folder.path()] {
        let set = data::open("cifar10", Some(folder)).unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.train.channels), (10, 2, 3));
        assert_eq!(set.train.labels, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(set.train.pixels[3072..3075], [1, 2, 3], "planar: the red plane of the second image");
        assert!(set.notes.iter().any(|n| n.contains("2 records instead of 10000")), "{:?}", set.notes);
        hashes.insert(set.hash);
    }
    assert_eq!(hashes.len(), 1, "the same images have the same hash");
    let found = data::check("cifar10", Some(archive_folder.path())).unwrap();
    assert!(found.iter().all(|f| f.ok) && found[0].state.contains("c32a1d4ab5d03f1284b67883e8d87530"), "{found:?}");
}

#[test]
fn damaged_and_foreign_cifar_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write_cifar(folder.path());
    let batch = folder.path().join(BATCHES[2]);
    std::fs::write(&batch, &records(2, 0)[..4000]).unwrap();
    refused("cifar10", folder.path(), &["data_batch_3.bin", "truncated at byte 3073", "multiple of 3073", "found 4000"]);
    std::fs::write(&batch, records(2, 10)).unwrap();
    refused("cifar10", folder.path(), &["data_batch_3.bin", "byte 0", "label 10", "0 to 9"]);
    std::fs::remove_file(&batch).unwrap();
    refused("cifar10", folder.path(), &["data_batch_3.bin"]);
    for (name, what) in
        [("cifar-100-binary.tar.gz", "CIFAR-100"), ("data_batch_1", "Python version"), ("cifar-10-python.tar.gz", "Python version")]
    {
        let foreign = tempfile::tempdir().unwrap();
        std::fs::write(foreign.path().join(name), b"x").unwrap();
        refused("cifar10", foreign.path(), &[what, "cifar-10-binary.tar.gz"]);
    }
}

#[test]
fn cifar_class_names_come_from_the_meta_file_if_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    write_cifar(folder.path());
    let names = || data::open("cifar10", Some(folder.path())).unwrap().classes;
    assert_eq!((names().len(), names()[9].as_str()), (10, "truck"));
    let meta = folder.path().join("batches.meta.txt");
    let text: String = (0..10).map(|i| format!("class {i}\n")).collect();
    std::fs::write(&meta, format!("{text}\n")).unwrap();
    assert_eq!(names(), text.lines().collect::<Vec<_>>());
    std::fs::write(&meta, "cat\ndog\n").unwrap();
    refused("cifar10", folder.path(), &["batches.meta.txt", "expected 10 class names", "found 2"]);
}

fn tar_gz(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    gzip(&archive.into_inner().unwrap())
}

#[test]
fn foreign_and_damaged_archives_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cifar-10-binary.tar.gz");
    let mut files: Vec<(&str, Vec<u8>)> = BATCHES.iter().rev().map(|name| (*name, records(1, 3))).collect();
    let whole = tar_gz(&files);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(data::open("cifar10", Some(&path)).unwrap().train.len(), 5, "named as a file, the batches in any order");
    let mut wrong_sum = whole.clone();
    let crc = whole.len() - 8;
    wrong_sum[crc] ^= 1;
    let short = whole[..whole.len() - 3].to_vec();
    for damaged in [whole[..whole.len() / 2].to_vec(), wrong_sum, short, Vec::new()] {
        std::fs::write(&path, damaged).unwrap();
        refused("cifar10", folder.path(), &["cifar-10-binary.tar.gz", "damaged archive", "again"]);
    }
    files.remove(0);
    std::fs::write(&path, tar_gz(&files)).unwrap();
    refused("cifar10", folder.path(), &["the archive has no test_batch.bin"]);
    for (name, what) in [
        ("cifar-10-batches-py/data_batch_1", "Python version"),
        ("cifar-100-binary/train.bin", "CIFAR-100"),
        ("cifar-100-python/train", "CIFAR-100"),
    ] {
        std::fs::write(&path, tar_gz(&[(name, vec![0; 8])])).unwrap();
        refused("cifar10", folder.path(), &[what, "cifar-10-binary.tar.gz"]);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("cifar10", folder.path(), &["expected a file, found a folder"]);
}

#[test]
fn foreign_folders_and_batches_are_named() {
    for (name, what) in [("cifar-100-binary", "CIFAR-100"), ("cifar-10-batches-py", "Python version")] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        refused("cifar10", parent.path(), &[what]);
        refused("cifar10", &folder, &[what]);
        let found = data::check("cifar10", Some(&folder)).unwrap();
        assert!(!found[0].ok && found[0].state.contains(what), "{found:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    write_cifar(folder.path());
    let batch = folder.path().join(BATCHES[0]);
    std::fs::write(&batch, vec![0; 2 * 3074]).unwrap();
    refused("cifar10", folder.path(), &["data_batch_1.bin", "record size of CIFAR-100"]);
    std::fs::write(&batch, [0x80, 2, b'}']).unwrap();
    refused("cifar10", folder.path(), &["data_batch_1.bin", "Python version"]);
    std::fs::write(&batch, []).unwrap();
    refused("cifar10", folder.path(), &["data_batch_1.bin", "empty"]);
}

#[test]
fn the_real_fashion_mnist_is_the_published_one() {
    if data::open("fashion-mnist", None).is_err() {
        println!("skipped: Fashion-MNIST is not installed (Debian: dataset-fashion-mnist)");
        return;
    }
    let set = data::open("fashion-mnist", None).unwrap();
    assert_eq!((set.train.len(), set.test.len(), set.train.height, set.train.width), (60_000, 10_000, 28, 28));
    assert_eq!(set.notes, Vec::<String>::new());
    assert!(data::check("fashion-mnist", None).unwrap().iter().all(|f| f.ok && f.state.contains("published")));
    let per_class = (0..10).map(|c| set.train.labels.iter().filter(|l| **l == c).count()).collect::<Vec<_>>();
    assert_eq!(per_class, [6000; 10]);
}
