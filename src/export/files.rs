//! The files of an export.

use super::onnx::{IMAGES, LOGITS, OPSET, onnx};
use crate::error::{Error, Result};
use crate::lab::{Built, blobs, metadata};
use crate::nn::{AUXILIARY, count};
use crate::record::{ArchitectureRecord, FORMAT, Manifest, Program, RunResult, encode_safetensors, write_json_output, write_output};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What an export writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// architecture.json
    Architecture,
    /// weights.safetensors
    Weights,
    /// model.onnx
    Onnx,
    /// An event file for TensorBoard, of a finished or unfinished run
    Tensorboard,
}

/// What a user of the network has to know: `export.json`, and the metadata of the ONNX file. `weights` says where they are from, `trained` is nothing if
/// only who gave them knows, and `result` is that of the run that trained them.
pub fn facts(
    manifest: &Manifest,
    architecture: &ArchitectureRecord,
    built: &Built,
    (weights, trained): (&str, Option<bool>),
    result: Option<&RunResult>,
) -> Value {
    let (size, normalisation) = (built.input, &manifest.data.normalisation);
    json!({
        "format": FORMAT,
        "naslab": Program::current(),
        "method": manifest.method,
        "dataset": manifest.dataset,
        "architecture_hash": architecture.hash,
        "weights": weights,
        "trained": trained,
        // Without the auxiliary head.
        "parameters": count(&*built.network).0,
        // On the test split.
        "final_score": result.and_then(|r| r.final_score),
        "metric": result.map(|r| &r.metric),
        // The number of images is free.
        "input": {"name": IMAGES, "shape": ["batch", size.channels, size.height, size.width], "normalisation": normalisation},
        // Unnormalised scores, of the whole image or of every pixel.
        "output": {"name": LOGITS, "classes": size.classes, "every_pixel": architecture.architecture.classifies_pixels()},
        "opset": OPSET,
    })
}

/// Writes the files of these kinds and `export.json` into `folder`, which is made if it is not there, and returns their paths. Files of these names are
/// replaced, each whole or not at all; nothing is written before everything is translated.
///
/// # Errors
/// As [`onnx`](super::onnx()); [`Error::Resource`] if something cannot be written.
pub fn write(folder: &Path, kinds: &[Written], built: &Built, architecture: &ArchitectureRecord, facts: &Value) -> Result<Vec<PathBuf>> {
    let model = kinds.contains(&Written::Onnx).then(|| onnx(built, facts)).transpose()?;
    std::fs::create_dir_all(folder).map_err(|e| Error::writing(folder, &e))?;
    let mut paths = Vec::new();
    let mut path = |name: &str| {
        paths.push(folder.join(name));
        folder.join(name)
    };
    if kinds.contains(&Written::Architecture) {
        write_json_output(&path("architecture.json"), architecture)?;
    }
    if kinds.contains(&Written::Weights) {
        let mut blobs = blobs(built.network.table(), &built.weights)?;
        blobs.retain(|b| !b.name.starts_with(AUXILIARY));
        write_output(&path("weights.safetensors"), &encode_safetensors(&blobs, &metadata(&architecture.architecture))?)?;
    }
    if let Some(model) = model {
        write_output(&path("model.onnx"), &model)?;
    }
    write_json_output(&path("export.json"), facts)?;
    Ok(paths)
}
