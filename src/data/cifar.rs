//! CIFAR-10, binary version: records of a label byte and 3 x 1,024 planar bytes, red, green, blue.

use super::files::{Found, Md5Reader, list, read};
use super::{DataSet, Images};
use crate::error::{Error, Result, input};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
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
const OTHERS: [(&str, &str); 10] = [
    ("cifar-100-binary", CIFAR_100),
    ("cifar-100-binary.tar.gz", CIFAR_100),
    ("cifar-100-python", CIFAR_100),
    ("cifar-100-python.tar.gz", CIFAR_100),
    ("fine_label_names.txt", CIFAR_100),
    ("train.bin", CIFAR_100),
    ("cifar-10-batches-py", PYTHON),
    ("cifar-10-python.tar.gz", PYTHON),
    ("data_batch_1", PYTHON),
    ("batches.meta", PYTHON),
];
const CIFAR_100: &str = "CIFAR-100";
const PYTHON: &str = "the Python version of CIFAR-10";
/// A record of CIFAR-100 has two labels.
const RECORD_100: usize = RECORD + 1;
/// Class names, one a line; without the file the built-in ones serve.
const META: &str = "batches.meta.txt";

/// What a file or folder of this name, in the folder or an archive, is instead.
fn other(name: &std::ffi::OsStr) -> Option<&'static str> {
    OTHERS.iter().find(|(n, _)| name == *n).map(|(_, what)| *what)
}

fn foreign(path: &Path, what: &str) -> Error {
    input!(path, "this is {what}; naslab reads the binary version of CIFAR-10: get {ARCHIVE}")
}

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
        if let Some(what) = folder.file_name().and_then(other).filter(|_| folder.exists()) {
            return Err(foreign(folder, what));
        }
        if let Some((name, what)) = OTHERS.iter().find(|(name, _)| folder.join(name).exists()) {
            return Err(foreign(&folder.join(name), what));
        }
    }
    let first = folders.first().cloned().unwrap_or_default();
    Err(input!(first, "no {FOLDER} and no {ARCHIVE}; looked in {}. Name its folder with --data-dir", list(folders)))
}

/// Reads the set from a folder or, without unpacking to disk, from the archive.
pub fn open(folders: &[PathBuf]) -> Result<DataSet> {
    let mut notes = Vec::new();
    let (train, test, classes) = match find(folders)? {
        Place::Folder(folder) => from_folder(&folder, &mut notes)?,
        Place::Archive(path) => from_archive(&path, &mut notes)?,
    };
    let search_items = train.len();
    Ok(DataSet { name: "cifar10".into(), classes, train, test, search_items, hash: String::new(), notes })
}

/// Looks for the batches or the archive and checks them.
pub fn check(folders: &[PathBuf]) -> Vec<Found> {
    match find(folders) {
        Ok(Place::Folder(folder)) => TRAIN.iter().chain([&TEST]).map(|name| check_batch(&folder.join(name))).collect(),
        Ok(Place::Archive(path)) => vec![check_archive(&path)],
        Err(Error::Input { path, what }) if path.exists() && what.starts_with("this is") => vec![Found::there(&path, what, false)],
        Err(_) => vec![Found::missing(ARCHIVE, folders)],
    }
}

fn check_batch(path: &Path) -> Found {
    let mut notes = Vec::new();
    let state = read(path).and_then(|bytes| records(path, &bytes, &mut notes, &mut empty()));
    match state {
        Ok(()) => Found::there(path, notes.pop().unwrap_or_else(|| format!("ok, {BATCH} records")), true),
        Err(e) => Found::there(path, e.to_string(), false),
    }
}

fn check_archive(path: &Path) -> Found {
    let sum = Md5Reader::open(path).and_then(|file| file.finish().map_err(|e| Error::reading(path, &e)));
    match sum {
        Ok(sum) if sum == ARCHIVE_MD5 => Found::there(path, "ok, the published archive", true),
        Ok(sum) => {
            let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
            let what = format!(
                "not the published archive: expected {ARCHIVE_BYTES} bytes with MD5 {ARCHIVE_MD5}, found {bytes} bytes with MD5 {sum}"
            );
            Found::there(path, what, false)
        }
        Err(e) => Found::there(path, e.to_string(), false),
    }
}

fn empty() -> Images {
    Images { pixels: Vec::new(), channels: 3, height: SIDE, width: SIDE, labels: Vec::new() }
}

type Parts = (Images, Images, Vec<String>);

fn from_folder(folder: &Path, notes: &mut Vec<String>) -> Result<Parts> {
    join(folder, notes, |name| {
        let path = folder.join(name);
        (name != META || path.exists()).then(|| read(&path)).transpose()
    })
}

fn from_archive(path: &Path, notes: &mut Vec<String>) -> Result<Parts> {
    let damaged = |e: std::io::Error| input!(path, "damaged archive: {e}; get {ARCHIVE} again");
    let mut archive = tar::Archive::new(GzDecoder::new(Md5Reader::open(path)?));
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let inner = entry.path().map_err(damaged)?.into_owned();
        if let Some(what) = inner.iter().find_map(other) {
            return Err(foreign(path, what));
        }
        if let Some(name) = TRAIN.iter().chain([&TEST, &META]).find(|n| inner.file_name().is_some_and(|name| name == **n)) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(damaged)?;
            files.insert(*name, content);
        }
    }
    // The trailer of the gzip stream is checked at its end, which the tar reader does not reach.
    let mut rest = archive.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(damaged)?;
    if rest.into_inner().finish().map_err(damaged)? != ARCHIVE_MD5 {
        notes.push(format!("{}: not the published archive (its MD5 differs)", path.display()));
    }
    join(path, notes, |name| Ok(files.remove(name)))
}

/// Training and test images and the names of the classes from the files of the set; `place` is where they are.
fn join(place: &Path, notes: &mut Vec<String>, mut content: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Parts> {
    let (mut train, mut test) = (empty(), empty());
    for name in TRAIN.iter().chain([&TEST]) {
        let batch = content(name)?.ok_or_else(|| input!(place, "the archive has no {name}; get {ARCHIVE} again"))?;
        records(&place.join(name), &batch, notes, if *name == TEST { &mut test } else { &mut train })?;
    }
    let classes = match content(META)? {
        Some(meta) => class_names(&place.join(META), &meta)?,
        None => CLASSES.map(String::from).to_vec(),
    };
    Ok((train, test, classes))
}

/// The lines that are not empty, as many as there are classes.
fn class_names(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(bytes);
    let names: Vec<String> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect();
    if names.len() != CLASSES.len() {
        let what =
            format!("expected {} class names, one a line, found {}; remove the file to use the usual names", CLASSES.len(), names.len());
        return Err(Error::input(path, what));
    }
    Ok(names)
}

/// Appends the records of one batch. Any whole number of records is accepted.
fn records(path: &Path, bytes: &[u8], notes: &mut Vec<String>, out: &mut Images) -> Result<()> {
    let n = bytes.len() / RECORD;
    if n == 0 || !bytes.len().is_multiple_of(RECORD) {
        let hint = match bytes.len() {
            _ if bytes.starts_with(&[0x80]) => "; this looks like the Python version, a pickle",
            l if l > 0 && l.is_multiple_of(RECORD_100) => "; this has the record size of CIFAR-100",
            _ => "; get the file again",
        };
        let what = format!("truncated at byte {}: expected a multiple of {RECORD} bytes, found {} bytes{hint}", n * RECORD, bytes.len());
        return Err(Error::input(path, what));
    }
    // Exactly: doubling would take up to twice the 150 MB of a full set.
    out.pixels.reserve_exact(n * (RECORD - 1));
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        if usize::from(record[0]) >= CLASSES.len() {
            return Err(input!(path, "byte {}: label {} out of range, expected 0 to {}", i * RECORD, record[0], CLASSES.len() - 1));
        }
        out.labels.push(u16::from(record[0]));
        out.pixels.extend_from_slice(&record[1..]);
    }
    if n != BATCH {
        notes.push(format!("{}: {n} records instead of {BATCH}", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), records_of in 0usize..3) {
            bytes.resize(bytes.len() + records_of * RECORD, 7);
            let (mut notes, mut out) = (Vec::new(), empty());
            let result = records(Path::new("x"), &bytes, &mut notes, &mut out);
            prop_assert_eq!(out.pixels.len(), out.labels.len() * (RECORD - 1));
            prop_assert!(result.is_err() || out.labels.len() * RECORD == bytes.len());
            let _ = class_names(Path::new("x"), &bytes);
        }
    }
}
