//! Checkpoints and weights: one safetensors file each. A checkpoint's file name carries its generation and digest, and two generations are kept.

use super::atomic::{TEMPORARY, write_atomic};
use crate::error::{Error, Result};
use safetensors::tensor::{Dtype as FileDtype, SafeTensors, TensorView, serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Generations kept.
const KEPT: usize = 2;
/// Metadata key of the plain state.
const STATE: &str = "state";

/// Kind of a tensor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 64-bit integer.
    I64,
    /// Byte.
    U8,
    /// Boolean.
    Bool,
}

const DTYPES: [(Dtype, FileDtype); 5] = [
    (Dtype::F32, FileDtype::F32),
    (Dtype::F64, FileDtype::F64),
    (Dtype::I64, FileDtype::I64),
    (Dtype::U8, FileDtype::U8),
    (Dtype::Bool, FileDtype::BOOL),
];

/// A tensor as bytes, little-endian, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// Unique in its file.
    pub name: String,
    /// Kind of the numbers.
    pub dtype: Dtype,
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// The numbers.
    pub bytes: Vec<u8>,
}

/// Everything that the next step of a run depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Plain values.
    pub state: Value,
    /// Tensors, by name.
    pub blobs: Vec<Blob>,
}

/// Writes a checkpoint as the newest generation in `folder` and removes all but the newest two.
pub fn save(folder: &Path, checkpoint: &Checkpoint) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::writing(folder, &e))?;
    let generations = generations(folder)?;
    let next = generations.last().map_or(0, |g| g.number + 1);
    let metadata = BTreeMap::from([(STATE.to_string(), checkpoint.state.to_string())]);
    let bytes = encode(&checkpoint.blobs, &metadata)?;
    write_atomic(&folder.join(format!("{next:020}-{}.safetensors", digest(&bytes))), &bytes)?;
    let old = generations.len().saturating_sub(KEPT - 1);
    for generation in &generations[..old] {
        std::fs::remove_file(&generation.path).map_err(|e| Error::writing(&generation.path, &e))?;
    }
    Ok(())
}

/// The newest sound checkpoint in `folder`, and notices about damaged ones. Leftovers of interrupted writes are removed.
pub fn load(folder: &Path) -> Result<(Option<Checkpoint>, Vec<String>)> {
    if !folder.exists() {
        return Ok((None, Vec::new()));
    }
    remove_temporaries(folder);
    let generations = generations(folder)?;
    let mut notices = Vec::new();
    for generation in generations.iter().rev() {
        match open(generation) {
            Ok(checkpoint) => return Ok((Some(checkpoint), notices)),
            Err(what) => notices.push(format!("{}: damaged checkpoint left aside ({what})", generation.path.display())),
        }
    }
    if notices.is_empty() {
        return Ok((None, notices));
    }
    Err(Error::input(folder, format!("no checkpoint is sound: {}; start the run anew in another folder", notices.join("; "))))
}

/// Writes tensors and metadata as one safetensors file.
pub fn write_tensors(path: &Path, blobs: &[Blob], metadata: &BTreeMap<String, String>) -> Result<()> {
    write_atomic(path, &encode(blobs, metadata)?)
}

struct Generation {
    number: u64,
    digest: String,
    path: PathBuf,
}

fn generations(folder: &Path) -> Result<Vec<Generation>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    let mut all: Vec<Generation> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let (number, digest) = path.file_name()?.to_str()?.strip_suffix(".safetensors")?.split_once('-')?;
            Some(Generation { number: number.parse().ok()?, digest: digest.to_string(), path: path.clone() })
        })
        .collect();
    all.sort_by_key(|g| g.number);
    Ok(all)
}

fn remove_temporaries(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok);
    for entry in entries.filter(|e| e.file_name().to_string_lossy().starts_with(TEMPORARY)) {
        // A leftover that cannot be removed does no harm.
        let _ = std::fs::remove_file(entry.path());
    }
}

fn open(generation: &Generation) -> std::result::Result<Checkpoint, String> {
    let bytes = std::fs::read(&generation.path).map_err(|e| e.to_string())?;
    let found = digest(&bytes);
    if found != generation.digest {
        return Err(format!("SHA-256 begins with {found}, expected {}", generation.digest));
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| e.to_string())?;
    let text = metadata.metadata().as_ref().and_then(|m| m.get(STATE)).ok_or("it has no state")?;
    let state = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
    let blobs = tensors.iter().map(|(name, view)| blob(name, &view)).collect::<std::result::Result<_, _>>()?;
    Ok(Checkpoint { state, blobs })
}

fn blob(name: &str, view: &TensorView) -> std::result::Result<Blob, String> {
    let (dtype, _) =
        DTYPES.iter().find(|(_, f)| *f == view.dtype()).ok_or_else(|| format!("{name} has numbers of kind {:?}", view.dtype()))?;
    Ok(Blob { name: name.to_string(), dtype: *dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() })
}

fn encode(blobs: &[Blob], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let views = blobs.iter().map(|b| {
        let (_, dtype) = DTYPES.iter().find(|(d, _)| *d == b.dtype).expect("every dtype has its twin");
        let view = TensorView::new(*dtype, b.shape.clone(), &b.bytes).map_err(|e| Error::Resource(format!("{}: {e}", b.name)))?;
        Ok((b.name.as_str(), view))
    });
    let views: Vec<(&str, TensorView)> = views.collect::<Result<_>>()?;
    let metadata: HashMap<String, String> = metadata.clone().into_iter().collect();
    serialize(views, Some(metadata)).map_err(|e| Error::Resource(format!("cannot encode tensors: {e}")))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().map(|b| format!("{b:02x}")).collect()
}
