//! Checkpoints and weights, each as one safetensors file.
//!
//! A checkpoint's file is `<generation, 20 digits>-<first 16 hexadecimal digits of the file's SHA-256>.safetensors`, so that a
//! damaged one is seen by its name; two generations are kept. The plain part of the state is JSON in the metadata.

use super::atomic::{remove_temporaries, sync_folder, write_atomic};
use crate::error::{Error, Result, input, usage};
use crate::units::hex;
pub use safetensors::Dtype;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Generations kept.
const KEPT: usize = 2;
/// Metadata key of the plain state.
const STATE: &str = "state";
/// End of the names of checkpoints.
const SUFFIX: &str = ".safetensors";
/// What a damaged checkpoint's name gets, so that it no longer counts as a generation.
const DAMAGED: &str = "damaged";

/// Kinds of numbers that tensors have here.
const KINDS: [Dtype; 5] = [Dtype::F32, Dtype::F64, Dtype::I64, Dtype::U8, Dtype::BOOL];

/// A tensor as plain bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Unique in its file.
    pub name: String,
    /// Kind of the numbers.
    pub dtype: Dtype,
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// The numbers, row-major, little-endian.
    pub bytes: Vec<u8>,
}

/// Everything that the next step of a run depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Plain values.
    pub state: Value,
    /// Tensors. After a load they are in the order of the file, so look them up by name.
    pub blobs: Vec<Blob>,
}

/// The checkpoints of one run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in `folder`, which is made by the first save.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Saves a new generation, and then removes all but the newest two. Returns its number.
    ///
    /// # Errors
    /// [`Error::Resource`] for a failed write, which leaves the earlier generations as they were; [`Error::Usage`] as
    /// [`write_safetensors`].
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<u64> {
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::writing(&self.folder, &e))?;
        let earlier = self.generations()?;
        let next = earlier.last().map_or(0, |g| g.number + 1);
        let metadata = BTreeMap::from([(STATE.to_string(), checkpoint.state.to_string())]);
        let bytes = encode_safetensors(&checkpoint.blobs, &metadata)?;
        write_atomic(&self.folder.join(format!("{next:020}-{}{SUFFIX}", digest(&bytes))), &bytes)?;
        for old in earlier.iter().rev().skip(KEPT - 1) {
            std::fs::remove_file(&old.path).map_err(|e| Error::writing(&old.path, &e))?;
        }
        Ok(next)
    }

    /// The newest sound generation, and notices about damaged ones, which are set aside under another name so that they do
    /// not push a sound one out. What interrupted saves left is removed; only the process that works on the run may load.
    ///
    /// # Errors
    /// [`Error::Input`] if there are checkpoints and none is sound.
    pub fn load(&self) -> Result<(Option<Checkpoint>, Vec<String>)> {
        if let Ok(false) = self.folder.try_exists() {
            return Ok((None, Vec::new()));
        }
        remove_temporaries(&self.folder);
        let mut damaged = Vec::new();
        for generation in self.generations()?.into_iter().rev() {
            match generation.open() {
                Ok(checkpoint) => return Ok((Some(checkpoint), self.set_aside(&damaged))),
                Err(what) => damaged.push((generation.path, what)),
            }
        }
        if damaged.is_empty() {
            return Ok((None, Vec::new()));
        }
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let all: Vec<String> = damaged.iter().map(|(path, what)| format!("{}: {what}", name(path))).collect();
        let advice = "restore one from a copy, or start the run anew in another folder";
        Err(input!(&self.folder, "no checkpoint is sound ({}); {advice}", all.join("; ")))
    }

    /// The files of all generations, newest first, each with the plain state in its header. Nothing else is
    /// read and nothing is changed, so another process may work on them; [`Checkpoints::open`] tells whether
    /// one is sound.
    pub fn look(&self) -> Vec<(PathBuf, Value)> {
        let mut all = self.generations().unwrap_or_default();
        all.reverse();
        let seen = |generation: Generation| state_in(&generation.path).map(|state| (generation.path, state));
        all.into_iter().filter_map(seen).collect()
    }

    /// The generation in this file. Nothing is changed here either.
    ///
    /// # Errors
    /// [`Error::Input`] if it is not sound, or gone.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        let generation = Generation::of(path.to_path_buf()).ok_or_else(|| Error::input(path, "its name is not that of a checkpoint"))?;
        generation.open().map_err(|what| Error::input(path, what))
    }

    /// Renames damaged generations; one that cannot be renamed stays, which costs no more than a later fallback.
    fn set_aside(&self, damaged: &[(PathBuf, String)]) -> Vec<String> {
        let notice = |(path, what): &(PathBuf, String)| {
            let _ = std::fs::rename(path, path.with_added_extension(DAMAGED)).and_then(|()| sync_folder(&self.folder));
            format!("{}: damaged ({what}), set aside; an earlier checkpoint is used", path.display())
        };
        damaged.iter().map(notice).collect()
    }

    /// All generations, oldest first.
    fn generations(&self) -> Result<Vec<Generation>> {
        let reading = |e: std::io::Error| Error::reading(&self.folder, &e);
        let entries = std::fs::read_dir(&self.folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(reading)?;
        let mut all: Vec<Generation> = entries.into_iter().filter_map(|entry| Generation::of(entry.path())).collect();
        all.sort_by_key(|g| g.number);
        Ok(all)
    }
}

struct Generation {
    number: u64,
    digest: String,
    path: PathBuf,
}

impl Generation {
    /// `None` for a file that is no checkpoint.
    fn of(path: PathBuf) -> Option<Self> {
        let (number, digest) = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.split_once('-')?;
        let (number, digest) = (number.parse().ok()?, digest.to_string());
        Some(Self { number, digest, path })
    }

    fn open(&self) -> std::result::Result<Checkpoint, String> {
        let bytes = std::fs::read(&self.path).map_err(|e| format!("cannot read: {e}"))?;
        let found = digest(&bytes);
        if found != self.digest {
            return Err(format!("its SHA-256 begins with {found}, not with {}", self.digest));
        }
        let (blobs, metadata) = decode(&bytes)?;
        let state = metadata.get(STATE).ok_or("it has no state")?;
        let state = serde_json::from_str(state).map_err(|e| format!("its state is damaged: {e}"))?;
        Ok(Checkpoint { state, blobs })
    }
}

/// The plain state in the header of a checkpoint.
fn state_in(path: &Path) -> Option<Value> {
    let mut file = File::open(path).ok()?;
    let (mut length, mut header) = ([0; 8], Vec::new());
    file.read_exact(&mut length).ok()?;
    file.take(u64::from_le_bytes(length)).read_to_end(&mut header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    serde_json::from_str(header["__metadata__"][STATE].as_str()?).ok()
}

/// The first 16 hexadecimal digits of the SHA-256.
fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

/// Writes tensors and metadata as one safetensors file, whole or not at all. Equal content gives equal bytes.
///
/// # Errors
/// [`Error::Resource`] for a failed write; [`Error::Usage`] for a name used twice, or bytes that do not fit their shape.
pub fn write_safetensors(path: &Path, blobs: &[Blob], metadata: &BTreeMap<String, String>) -> Result<()> {
    write_atomic(path, &encode_safetensors(blobs, metadata)?)
}

/// Reads the tensors, in the order of the file, and the metadata of a safetensors file.
///
/// # Errors
/// [`Error::Input`] for a file that is missing, damaged, or has numbers of another kind than those that naslab uses.
pub fn read_safetensors(path: &Path) -> Result<(Vec<Blob>, BTreeMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    decode(&bytes).map_err(|what| Error::input(path, what))
}

/// The bytes of such a file.
///
/// # Errors
/// [`Error::Usage`] for a name used twice, or bytes that do not fit their shape.
pub fn encode_safetensors(blobs: &[Blob], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut names = BTreeSet::new();
    let mut views = Vec::with_capacity(blobs.len());
    for blob in blobs {
        if !names.insert(blob.name.as_str()) {
            return Err(usage!("two tensors of one file are named '{}'", blob.name));
        }
        let view = TensorView::new(blob.dtype, blob.shape.clone(), &blob.bytes);
        views.push((&blob.name, view.map_err(|e| usage!("tensor '{}' cannot be stored: {e}", blob.name))?));
    }
    let unordered: HashMap<String, String> = metadata.clone().into_iter().collect();
    let bytes = safetensors::serialize(views, Some(unordered)).map_err(|e| usage!("tensors cannot be stored: {e}"))?;
    Ok(order_metadata(bytes, metadata))
}

/// The library keeps metadata in a hash map; their order must not differ between equal files.
fn order_metadata(mut bytes: Vec<u8>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("a file begins with the length of its header"));
    let header = &mut bytes[8..][..length as usize];
    let mut json: Value = serde_json::from_slice(header).expect("the header is JSON");
    json["__metadata__"] = serde_json::to_value(metadata).expect("texts by text");
    let ordered = json.to_string();
    // The same entries in another order take the same room; spaces pad the header.
    header.fill(b' ');
    header[..ordered.len()].copy_from_slice(ordered.as_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> std::result::Result<(Vec<Blob>, BTreeMap<String, String>), String> {
    let broken = |e: safetensors::SafeTensorError| format!("not a whole safetensors file: {e}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    let blob = |name: String| {
        let view = tensors.tensor(&name).map_err(broken)?;
        let dtype = view.dtype();
        if !KINDS.contains(&dtype) {
            return Err(format!("tensor '{name}' has numbers of the kind {dtype:?}, which naslab does not use"));
        }
        Ok(Blob { name, dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() })
    };
    let blobs = header.offset_keys().into_iter().map(blob).collect::<std::result::Result<_, _>>()?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((blobs, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checkpoint(step: u64) -> Checkpoint {
        let floats: Vec<u8> = [step as f32, -0.0, f32::NAN, f32::MIN_POSITIVE].iter().flat_map(|x| x.to_le_bytes()).collect();
        let blob = |name: &str, dtype, shape: &[usize], bytes: &[u8]| Blob {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            bytes: bytes.to_vec(),
        };
        Checkpoint {
            state: json!({"step": step, "loss": 0.1 + 0.2, "big": u64::MAX}),
            blobs: vec![
                blob("w.z", Dtype::F32, &[2, 2], &floats),
                blob("w.a", Dtype::F64, &[], &std::f64::consts::PI.to_le_bytes()),
                blob("order", Dtype::I64, &[1], &(-3i64).to_le_bytes()),
                blob("mask", Dtype::BOOL, &[3], &[0, 1, 1]),
                blob("image", Dtype::U8, &[1, 3], &[7, 8, 255]),
                blob("none", Dtype::F32, &[0, 5], &[]),
            ],
        }
    }

    fn assert_same(found: &Checkpoint, expected: &Checkpoint) {
        assert_eq!(found.state, expected.state);
        assert_eq!(found.blobs.len(), expected.blobs.len());
        for blob in &expected.blobs {
            assert!(found.blobs.contains(blob), "{}", blob.name);
        }
    }

    #[test]
    fn a_checkpoint_reads_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().join("checkpoint"));
        assert_eq!(checkpoints.load().unwrap(), (None, Vec::new()));
        checkpoints.save(&checkpoint(5)).unwrap();
        let (found, notices) = checkpoints.load().unwrap();
        assert_same(&found.unwrap(), &checkpoint(5));
        assert!(notices.is_empty());
    }

    #[test]
    fn two_generations_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path());
        for step in 0..5 {
            assert_eq!(checkpoints.save(&checkpoint(step)).unwrap(), step);
        }
        let numbers: Vec<u64> = checkpoints.generations().unwrap().iter().map(|g| g.number).collect();
        assert_eq!(numbers, [3, 4]);
        assert_same(&checkpoints.load().unwrap().0.unwrap(), &checkpoint(4));
    }

    #[test]
    fn a_look_reads_headers_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path());
        assert_eq!(Checkpoints::new(folder.path().join("none")).look(), Vec::new());
        for step in 0..2 {
            checkpoints.save(&checkpoint(step)).unwrap();
        }
        let seen = checkpoints.look();
        assert_eq!(seen.iter().map(|(_, state)| state["step"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(0)]);
        // The end of the newest is damaged, and another process is about to write.
        let mut bytes = std::fs::read(&seen[0].0).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&seen[0].0, bytes).unwrap();
        std::fs::write(folder.path().join(".tmp-other"), "").unwrap();
        assert_eq!(checkpoints.look(), seen);
        assert_eq!(Checkpoints::open(&seen[0].0).unwrap_err().exit_code(), 3);
        assert_same(&Checkpoints::open(&seen[1].0).unwrap(), &checkpoint(0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_empty_checkpoint_has_its_state() {
        let folder = tempfile::tempdir().unwrap();
        let empty = Checkpoint { state: json!(null), blobs: Vec::new() };
        Checkpoints::new(folder.path()).save(&empty).unwrap();
        assert_eq!(Checkpoints::new(folder.path()).load().unwrap().0, Some(empty));
    }

    #[test]
    fn equal_weights_are_equal_bytes_whatever_the_order_of_metadata() {
        let metadata: BTreeMap<String, String> = (0..12).map(|i| (format!("key \"{i}\" ü"), format!("{i}"))).collect();
        let first = encode_safetensors(&checkpoint(1).blobs, &metadata).unwrap();
        for _ in 0..8 {
            assert_eq!(encode_safetensors(&checkpoint(1).blobs, &metadata).unwrap(), first);
        }
        let (blobs, found) = decode(&first).unwrap();
        assert_eq!((blobs.len(), found), (6, metadata));
    }

    #[test]
    fn tensors_that_cannot_be_stored_are_named() {
        let mut twice = checkpoint(1).blobs;
        twice[1].name = "w.z".into();
        assert!(encode_safetensors(&twice, &BTreeMap::new()).unwrap_err().to_string().contains("'w.z'"));
        let mut short = checkpoint(1).blobs;
        short[0].bytes.pop();
        assert!(encode_safetensors(&short, &BTreeMap::new()).unwrap_err().to_string().contains("'w.z'"));
    }

    #[test]
    fn weights_that_are_cut_short_are_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        write_safetensors(&path, &checkpoint(1).blobs, &BTreeMap::new()).unwrap();
        assert_eq!(read_safetensors(&path).unwrap().0.len(), 6);
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 7, 8, 60, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(read_safetensors(&path).unwrap_err().exit_code(), 3, "{length}");
        }
    }
}
