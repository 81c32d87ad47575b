//! CIFAR-10, binary version: records of a label byte and 3 x 1,024 planar bytes, red, green, blue.

use super::files::{Found, Md5Reader, list, size, stored};
use super::{DataSet, Images, names};
use crate::error::{Error, Result, input};
use crate::unpack::Gunzip;
use std::collections::BTreeMap;
use std::io::{BufReader, Read};
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

/// Other versions that people have, and how they show.
const OTHERS: [(&str, &[&str]); 2] = [("CIFAR-100", &CIFAR_100), ("the Python version of CIFAR-10", &PYTHON)];
const CIFAR_100: [&str; 6] =
    ["cifar-100-binary", "cifar-100-binary.tar.gz", "cifar-100-python", "cifar-100-python.tar.gz", "fine_label_names.txt", "train.bin"];
const PYTHON: [&str; 4] = ["cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1", "batches.meta"];
/// A record of CIFAR-100 has two labels.
const RECORD_100: usize = RECORD + 1;
/// Class names, one a line; without the file the built-in ones serve.
const META: &str = "batches.meta.txt";

/// What a file or folder of this name, in the folder or an archive, is instead.
fn other(name: &std::ffi::OsStr) -> Option<&'static str> {
    OTHERS.iter().find(|(_, names)| names.iter().any(|n| name == *n)).map(|(what, _)| *what)
}

fn foreign(path: &Path, what: &str) -> Error {
    input!(path, "this is {what}; naslab reads the binary version of CIFAR-10: get {ARCHIVE}")
}

/// The folder of the batches, or the archive.
fn find(folders: &[PathBuf]) -> Result<PathBuf> {
    for folder in folders {
        let batches = |f: &PathBuf| f.join(TRAIN[0]).exists() || f.join(TEST).exists();
        let archive = |f: &PathBuf| f.ends_with(ARCHIVE) && f.exists();
        let [below, packed] = [FOLDER, ARCHIVE].map(|name| folder.join(name));
        let unpacked = [folder, &below].into_iter().find(|f| batches(f));
        if let Some(found) = unpacked.or([folder, &packed].into_iter().find(|f| archive(f))) {
            return Ok(found.clone());
        }
    }
    for folder in folders {
        let named = folder.file_name().and_then(other).map(|what| (folder.clone(), what));
        let inside = OTHERS.iter().flat_map(|(what, names)| names.iter().map(|name| (folder.join(name), *what)));
        if let Some((path, what)) = named.into_iter().chain(inside).find(|(path, _)| path.exists()) {
            return Err(foreign(&path, what));
        }
    }
    let first = folders.first().cloned().unwrap_or_default();
    Err(input!(first, "no {FOLDER} and no {ARCHIVE}; looked in {}. Name its folder with --data-dir", list(folders)))
}

/// Reads the set from a folder or, without unpacking to disk, from the archive.
pub fn open(folders: &[PathBuf]) -> Result<DataSet> {
    let place = find(folders)?;
    if place.ends_with(ARCHIVE) {
        return from_archive(&place);
    }
    join(&place, Vec::new(), |name| {
        let path = place.join(name);
        (name != META || path.exists()).then(|| stored(&path)).transpose()
    })
}

/// Looks for the batches or the archive and says what they are.
pub fn check(folders: &[PathBuf]) -> Vec<Found> {
    match find(folders) {
        Ok(path) if path.ends_with(ARCHIVE) => vec![Found::there(&path, check_archive(&path))],
        Ok(folder) => check_folder(&folder),
        Err(e) if matches!(&e, Error::Input { path, what } if path.exists() && what.starts_with("this is")) => {
            vec![Found::there(Path::new(ARCHIVE), Err(e))]
        }
        Err(_) => vec![Found::missing(ARCHIVE, folders)],
    }
}

/// The batches, and the names of the classes if these are wrong.
fn check_folder(folder: &Path) -> Vec<Found> {
    let mut found: Vec<Found> = TRAIN.iter().chain([&TEST]).map(|name| check_batch(&folder.join(name))).collect();
    let meta = folder.join(META);
    if meta.exists()
        && let Err(e) = stored(&meta).and_then(|bytes| class_names(&meta, &bytes))
    {
        found.push(Found::there(&meta, Err(e)));
    }
    found
}

fn check_batch(path: &Path) -> Found {
    let mut notes = Vec::new();
    let state = stored(path).and_then(|bytes| records(path, &bytes, &mut notes, &mut empty()));
    Found::there(path, state.map(|()| notes.pop().unwrap_or_else(|| format!("ok, {BATCH} records"))))
}

fn check_archive(path: &Path) -> Result<String> {
    let (mut files, sum) = unpacked(path)?;
    join(path, Vec::new(), |name| Ok(files.remove(name)))?;
    if sum == ARCHIVE_MD5 {
        return Ok("ok, the published archive".into());
    }
    let (expected, bytes) = (format!("{ARCHIVE_BYTES} bytes with MD5 {ARCHIVE_MD5}"), size(path));
    Ok(format!("not the published archive: expected {expected}, found {bytes} bytes with MD5 {sum}"))
}

fn empty() -> Images {
    Images { pixels: Vec::new(), channels: 3, height: SIDE, width: SIDE, labels: Vec::new() }
}

fn from_archive(path: &Path) -> Result<DataSet> {
    let (mut files, sum) = unpacked(path)?;
    let differs = || format!("{}: not the published archive (its MD5 differs)", path.display());
    let notes = (sum != ARCHIVE_MD5).then(differs).into_iter().collect();
    join(path, notes, |name| Ok(files.remove(name)))
}

/// The files in an archive by name, and the MD5 of the archive.
fn unpacked(path: &Path) -> Result<(BTreeMap<&'static str, Vec<u8>>, String)> {
    let damaged = |e: std::io::Error| input!(path, "damaged archive: {e}; get {ARCHIVE} again");
    let mut archive = tar::Archive::new(Gunzip::new(BufReader::new(Md5Reader::open(path)?)));
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
    let sum = rest.into_inner().into_inner().finish().map_err(damaged)?;
    Ok((files, sum))
}

/// The set from the content of its files; `place` is where they are.
fn join(place: &Path, mut notes: Vec<String>, mut content: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<DataSet> {
    let (mut train, mut test) = (empty(), empty());
    for name in TRAIN.iter().chain([&TEST]) {
        let batch = content(name)?.ok_or_else(|| input!(place, "the archive has no {name}; get {ARCHIVE} again"))?;
        records(&place.join(name), &batch, &mut notes, if *name == TEST { &mut test } else { &mut train })?;
    }
    let classes = content(META)?.map(|meta| class_names(&place.join(META), &meta)).transpose()?;
    Ok(DataSet::new("cifar10", classes.unwrap_or_else(|| names(CLASSES)), [train, test], notes))
}

/// The lines that are not empty, as many as there are classes.
fn class_names(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(bytes);
    let names: Vec<String> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(String::from).collect();
    let (expected, found) = (CLASSES.len(), names.len());
    if found != expected {
        return Err(input!(path, "expected {expected} class names, one a line, found {found}; remove the file to use the usual names"));
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
        let (end, found) = (n * RECORD, bytes.len());
        return Err(input!(path, "truncated at byte {end}: expected a multiple of {RECORD} bytes, found {found} bytes{hint}"));
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
