//! CIFAR-10, binary version: records of a label byte and 3 x 1,024 planar bytes, red, green, blue.

use super::files::{Found, list, md5};
use super::{DataSet, Images};
use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
/// A label byte, then three planes.
const RECORD: usize = 1 + 3 * SIDE * SIDE;
/// Records of a published batch.
const BATCH: usize = 10_000;
const FOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
const ARCHIVE_BYTES: u64 = 170_052_171;
const ARCHIVE_MD5: &str = "c32a1d4ab5d03f1284b67883e8d87530";
const TRAIN: [&str; 5] = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Where the set was found.
enum Place {
    Folder(PathBuf),
    Archive(PathBuf),
}

/// Other versions that people have, and how they show.
const OTHERS: [(&str, &str); 6] = [
    ("cifar-100-binary", "CIFAR-100"),
    ("cifar-100-binary.tar.gz", "CIFAR-100"),
    ("fine_label_names.txt", "CIFAR-100"),
    ("cifar-10-batches-py", "the Python version of CIFAR-10"),
    ("cifar-10-python.tar.gz", "the Python version of CIFAR-10"),
    ("data_batch_1", "the Python version of CIFAR-10"),
];

fn find(folders: &[PathBuf]) -> Result<Place> {
    for folder in folders {
        let folder_of = [folder.clone(), folder.join(FOLDER)].into_iter().find(|f| f.join(TRAIN[0]).exists() || f.join(TEST).exists());
        if let Some(found) = folder_of {
            return Ok(Place::Folder(found));
        }
        if folder.is_file() && folder.file_name().is_some_and(|n| n == ARCHIVE) {
            return Ok(Place::Archive(folder.clone()));
        }
        if folder.join(ARCHIVE).exists() {
            return Ok(Place::Archive(folder.join(ARCHIVE)));
        }
    }
    for folder in folders {
        if let Some((name, what)) = OTHERS.iter().find(|(name, _)| folder.join(name).exists()) {
            return Err(Error::input(
                folder.join(name),
                format!("this is {what}; naslab reads the binary version of CIFAR-10 ({ARCHIVE})"),
            ));
        }
    }
    let first = folders.first().cloned().unwrap_or_default();
    Err(Error::input(first, format!("no {FOLDER} and no {ARCHIVE}; looked in {}. Name its folder with --data-dir", list(folders))))
}

/// Reads the set from a folder or, without unpacking to disk, from the archive.
pub fn open(folders: &[PathBuf]) -> Result<DataSet> {
    let mut notes = Vec::new();
    let (train, test) = match find(folders)? {
        Place::Folder(folder) => from_folder(&folder, &mut notes)?,
        Place::Archive(path) => from_archive(&path, &mut notes)?,
    };
    let classes = CLASSES.map(String::from).to_vec();
    let search_items = train.len();
    Ok(DataSet { name: "cifar10".into(), classes, train, test, search_items, hash: String::new(), notes })
}

/// Looks for the batches or the archive and checks them.
pub fn check(folders: &[PathBuf]) -> Vec<Found> {
    match find(folders) {
        Ok(Place::Folder(folder)) => TRAIN.iter().chain([&TEST]).map(|name| check_batch(&folder.join(name))).collect(),
        Ok(Place::Archive(path)) => vec![check_archive(&path)],
        Err(Error::Input { path, what }) if path.exists() && !folders.contains(&path) => vec![Found::there(&path, what, false)],
        Err(_) => vec![Found::missing(ARCHIVE, folders)],
    }
}

fn check_batch(path: &Path) -> Found {
    let mut notes = Vec::new();
    let state = std::fs::read(path).map_err(|e| Error::reading(path, &e)).and_then(|bytes| records(path, &bytes, &mut notes, &mut empty()));
    match state {
        Ok(()) => Found::there(path, notes.pop().unwrap_or_else(|| format!("ok, {BATCH} records")), true),
        Err(e) => Found::there(path, e.to_string(), false),
    }
}

fn check_archive(path: &Path) -> Found {
    match std::fs::read(path) {
        Ok(bytes) if bytes.len() as u64 == ARCHIVE_BYTES && md5(&bytes) == ARCHIVE_MD5 => {
            Found::there(path, "ok, the published archive", true)
        }
        Ok(bytes) => Found::there(
            path,
            format!(
                "not the published archive: expected {ARCHIVE_BYTES} bytes with MD5 {ARCHIVE_MD5}, found {} bytes with MD5 {}",
                bytes.len(),
                md5(&bytes)
            ),
            false,
        ),
        Err(e) => Found::there(path, e.to_string(), false),
    }
}

fn empty() -> Images {
    Images { pixels: Vec::new(), channels: 3, height: SIDE, width: SIDE, labels: Vec::new() }
}

fn from_folder(folder: &Path, notes: &mut Vec<String>) -> Result<(Images, Images)> {
    let (mut train, mut test) = (empty(), empty());
    for name in TRAIN.iter().chain([&TEST]) {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|e| Error::reading(&path, &e))?;
        records(&path, &bytes, notes, if *name == TEST { &mut test } else { &mut train })?;
    }
    Ok((train, test))
}

fn from_archive(path: &Path, notes: &mut Vec<String>) -> Result<(Images, Images)> {
    let bytes = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    if md5(&bytes) != ARCHIVE_MD5 {
        notes.push(format!("{}: not the published archive (its MD5 differs)", path.display()));
    }
    let damaged = |e: std::io::Error| Error::input(path, format!("damaged archive: {e}; get it again"));
    let mut batches: [Option<Vec<u8>>; 6] = Default::default();
    for entry in tar::Archive::new(GzDecoder::new(&bytes[..])).entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name == "train.bin" {
            return Err(Error::input(path, format!("this is CIFAR-100; naslab reads the binary version of CIFAR-10 ({ARCHIVE})")));
        }
        if let Some(at) = TRAIN.iter().chain([&TEST]).position(|n| *n == name) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(damaged)?;
            batches[at] = Some(content);
        }
    }
    let (mut train, mut test) = (empty(), empty());
    for (name, batch) in TRAIN.iter().chain([&TEST]).zip(batches) {
        let batch = batch.ok_or_else(|| Error::input(path, format!("the archive has no {name}")))?;
        records(&path.join(name), &batch, notes, if *name == TEST { &mut test } else { &mut train })?;
    }
    Ok((train, test))
}

/// Appends the records of one batch. Any whole number of records is accepted.
fn records(path: &Path, bytes: &[u8], notes: &mut Vec<String>, out: &mut Images) -> Result<()> {
    let n = bytes.len() / RECORD;
    if n == 0 || bytes.len() % RECORD != 0 {
        let pickled = bytes.starts_with(&[0x80]);
        let hint = if pickled { "; this looks like the Python version" } else { "" };
        return Err(Error::input(
            path,
            format!("truncated at byte {}: expected a multiple of {RECORD} bytes, found {} bytes{hint}", n * RECORD, bytes.len()),
        ));
    }
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        if usize::from(record[0]) >= CLASSES.len() {
            let what = format!("byte {}: label {} out of range, expected 0 to {}", i * RECORD, record[0], CLASSES.len() - 1);
            return Err(Error::input(path, what));
        }
        out.labels.push(u16::from(record[0]));
        out.pixels.extend_from_slice(&record[1..]);
    }
    if n != BATCH {
        notes.push(format!("{}: {n} records instead of {BATCH}", path.display()));
    }
    Ok(())
}
