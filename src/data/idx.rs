//! The IDX format, and Fashion-MNIST in it.
//!
//! Big-endian: two zero bytes, a type byte (8 is unsigned bytes), the number of dimensions, each dimension as 32 bits, the values.

use super::files::{Found, list, md5, stored};
use super::{DataSet, Images};
use crate::error::{Error, Result, input};
use crate::unpack::{Gunzip, is_gzip};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Name on the command line.
const NAME: &str = "fashion-mnist";
/// Type byte of unsigned bytes.
const UNSIGNED_BYTES: u8 = 8;

struct Published {
    stem: &'static str,
    dimensions: usize,
    /// MD5 of the unpacked file; packages compress the archives anew.
    md5: &'static str,
}

const TRAIN_IMAGES: Published = Published { stem: "train-images", dimensions: 3, md5: "f4a8712d7a061bf5bd6d2ca38dc4d50a" };
const TRAIN_LABELS: Published = Published { stem: "train-labels", dimensions: 1, md5: "9018921c3c673c538a1fc5bad174d6f9" };
const TEST_IMAGES: Published = Published { stem: "t10k-images", dimensions: 3, md5: "8181f5470baa50b63fa0f6fddb340f0a" };
const TEST_LABELS: Published = Published { stem: "t10k-labels", dimensions: 1, md5: "15d484375f8d13e6eb1aabb0c3f46965" };

/// In the order in which [`splits`] takes their content.
const FILES: [Published; 4] = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS];

const CLASSES: [&str; 10] = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

impl Published {
    /// Both spellings, gzipped or plain.
    fn names(&self) -> Vec<String> {
        let (stem, n) = (self.stem, self.dimensions);
        ["-", "."].iter().flat_map(|dash| ["-ubyte.gz", "-ubyte"].map(|end| format!("{stem}{dash}idx{n}{end}"))).collect()
    }

    fn find(&self, folders: &[PathBuf]) -> Option<PathBuf> {
        folders.iter().flat_map(|f| self.names().into_iter().map(|n| f.join(n))).find(|p| p.exists())
    }

    fn load(&self, folders: &[PathBuf], notes: &mut Vec<String>) -> Result<(PathBuf, Idx)> {
        let path = self.find(folders).ok_or_else(|| {
            let first = folders.first().cloned().unwrap_or_default();
            let name = &self.names()[0];
            let what = format!("no file {name} (or without -, or without .gz); looked in {}", list(folders));
            input!(first, "{what}. Install Debian's dataset-fashion-mnist, or name the folder with --data-dir")
        })?;
        let (idx, published) = self.content(&path)?;
        if !published {
            notes.push(format!("{}: not the published file (its MD5 differs); used as it is", path.display()));
        }
        Ok((path, idx))
    }

    /// What is in the file, and whether it is the published one.
    fn content(&self, path: &Path) -> Result<(Idx, bool)> {
        let mut bytes = stored(path)?;
        if is_gzip(&bytes) {
            bytes = unpacked(path, &bytes, self.dimensions)?;
        }
        let published = md5(&bytes) == self.md5;
        Ok((parse(path, bytes, self.dimensions)?, published))
    }
}

/// An IDX file of bytes.
#[derive(Debug, PartialEq, Eq)]
struct Idx {
    dimensions: Vec<usize>,
    values: Vec<u8>,
}

/// Reads the four files from the first folders that have them.
pub fn open(folders: &[PathBuf]) -> Result<DataSet> {
    if let Some(file) = folders.first().filter(|f| f.is_file()) {
        return Err(Error::input(file, "expected the folder of the four IDX files, found a file; name its folder with --data-dir"));
    }
    let mut notes = Vec::new();
    let files = FILES.iter().map(|file| file.load(folders, &mut notes)).collect::<Result<Vec<_>>>()?;
    let splits = splits(folders, files.try_into().expect("a set has four files"))?;
    Ok(DataSet::new(NAME, CLASSES, splits, notes))
}

/// Training and test from the four files, each with its path.
fn splits(folders: &[PathBuf], files: [(PathBuf, Idx); 4]) -> Result<[Images; 2]> {
    let [train_images, train_labels, test_images, test_labels] = files;
    let (train, test) = (join(train_images, train_labels)?, join(test_images, test_labels)?);
    if (train.height, train.width) != (test.height, test.width) {
        let first = folders.first().cloned().unwrap_or_default();
        return Err(input!(first, "training images are {}x{}, test images {}x{}", train.height, train.width, test.height, test.width));
    }
    Ok([train, test])
}

/// Looks for the four files, compares their content with the published one, and says what a run would say of the set that they are.
pub fn check(folders: &[PathBuf]) -> Vec<Found> {
    let (mut found, mut read) = (Vec::new(), Vec::new());
    for file in FILES {
        let Some(path) = file.find(folders) else {
            found.push(Found::missing(&file.names()[0], folders));
            continue;
        };
        let state = file.content(&path).map(|(idx, published)| {
            read.push((path.clone(), idx));
            let words = if published { "ok, the published file" } else { "readable, but not the published file" };
            words.to_string()
        });
        found.push(Found::there(&path, state));
    }
    // Files that are sound one by one may not be a set.
    if let Ok(files) = read.try_into() {
        found.extend(splits(folders, files).err().map(|e| Found::there(Path::new(NAME), Err(e))));
    }
    found
}

fn join((image_path, images): (PathBuf, Idx), (label_path, labels): (PathBuf, Idx)) -> Result<Images> {
    let (n, height, width) = (images.dimensions[0], images.dimensions[1], images.dimensions[2]);
    if labels.dimensions[0] != n {
        return Err(input!(label_path, "{} labels for the {n} images in {}", labels.dimensions[0], image_path.display()));
    }
    if n == 0 || height == 0 || width == 0 {
        return Err(input!(image_path, "expected images, found {n} of {height}x{width} pixels"));
    }
    if let Some(at) = labels.values.iter().position(|l| usize::from(*l) >= CLASSES.len()) {
        let (byte, label) = (8 + at, labels.values[at]);
        return Err(input!(label_path, "byte {byte}: label {label} out of range, expected 0 to {}", CLASSES.len() - 1));
    }
    Ok(Images { pixels: images.values, channels: 1, height, width, labels: labels.values.iter().map(|l| u16::from(*l)).collect() })
}

/// What is packed, to one byte behind what the header says; the rest is never held.
fn unpacked(path: &Path, packed: &[u8], dimensions: usize) -> Result<Vec<u8>> {
    let mut stream = Gunzip::new(packed);
    let mut out = Vec::new();
    let mut more = |out: &mut Vec<u8>, bytes: u64| {
        let read = stream.by_ref().take(bytes).read_to_end(out);
        read.map(drop).map_err(|e| input!(path, "damaged gzip archive after {} unpacked bytes ({e}); get the file again", out.len()))
    };
    more(&mut out, header(dimensions) as u64)?;
    let length = sizes(&out).and_then(|sizes| product(&sizes)).unwrap_or(0);
    more(&mut out, (length as u64).saturating_add(1))?;
    Ok(out)
}

/// Bytes of a header.
fn header(dimensions: usize) -> usize {
    4 + 4 * dimensions
}

/// The dimensions in a header.
fn sizes(header: &[u8]) -> Option<Vec<usize>> {
    let (sizes, _) = header.get(4..)?.as_chunks::<4>();
    Some(sizes.iter().map(|b| u32::from_be_bytes(*b) as usize).collect())
}

fn product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |a, b| a.checked_mul(*b))
}

/// Checks the header and the length; the values are what follows the header.
fn parse(path: &Path, mut bytes: Vec<u8>, dimensions: usize) -> Result<Idx> {
    let bad = |what: String| Err(Error::input(path, what));
    let header = header(dimensions);
    let expected = [0, 0, UNSIGNED_BYTES, dimensions as u8];
    // Before the length: a short file of another kind is not called truncated.
    if let Some(at) = expected.iter().zip(&bytes).position(|(e, f)| e != f) {
        let meaning = ["this is no IDX file", "this is no IDX file", "the type of the values", "the number of dimensions"][at];
        let what = format!("wrong magic number at byte {at}: expected {:02x}, found {:02x} ({meaning})", expected[at], bytes[at]);
        return bad(format!("{what}; get the file again, or look for mixed-up names"));
    }
    if bytes.len() < header {
        return bad(format!("truncated at byte {}: expected a header of {header} bytes; get the file again", bytes.len()));
    }
    let sizes = sizes(&bytes[..header]).unwrap_or_default();
    let Some(length) = product(&sizes) else {
        return bad(format!("byte 4: impossible dimensions {sizes:?}"));
    };
    let found = bytes.len() - header;
    if found != length {
        let word = if found < length { "truncated" } else { "too long" };
        return bad(format!("{word}: from byte {header} on, {sizes:?} needs {length} bytes, found {found}"));
    }
    bytes.drain(..header);
    Ok(Idx { dimensions: sizes, values: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(dimensions: &[usize], values: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, 8, dimensions.len() as u8];
        dimensions.iter().for_each(|d| out.extend((*d as u32).to_be_bytes()));
        out.extend_from_slice(values);
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(a in 0usize..5, b in 0usize..6, c in 0usize..7, seed in any::<u8>()) {
            let values: Vec<u8> = (0..a * b * c).map(|i| (i as u8).wrapping_mul(seed)).collect();
            let idx = parse(Path::new("x"), encode(&[a, b, c], &values), 3).unwrap();
            prop_assert_eq!(idx, Idx { dimensions: vec![a, b, c], values });
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), dimensions in 1usize..4) {
            let _ = parse(Path::new("x"), bytes, dimensions);
        }

        #[test]
        fn no_dimensions_panic(sizes in proptest::collection::vec(any::<u32>(), 3), rest in proptest::collection::vec(any::<u8>(), 0..16)) {
            let sizes: Vec<usize> = sizes.iter().map(|s| *s as usize).collect();
            let _ = parse(Path::new("x"), encode(&sizes, &rest), 3);
        }
    }
}
