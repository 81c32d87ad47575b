//! The files of an export.

use super::onnx::{IMAGES, LOGITS, OPSET, onnx};
use crate::error::{Error, Result};
use crate::lab::{Built, blobs, metadata};
use crate::nn::AUXILIARY;
use crate::record::{ArchitectureRecord, FORMAT, Manifest, Normalisation, Program, write_atomic, write_json, write_safetensors};
use crate::space::{Architecture, InputShape};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a user of the network has to know: `export.json`, and the metadata of the ONNX file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Version of this record.
    pub format: u32,
    /// The program that exported it.
    pub naslab: Program,
    /// Method whose settings made the network.
    pub method: String,
    /// Name of the data set that the size and the normalisation are from.
    pub dataset: String,
    /// SHA-256 of the architecture's canonical form.
    pub architecture_hash: String,
    /// Where the weights are from, in words.
    pub weights: String,
    /// Whether they were trained; `None` if only who gave them knows.
    pub trained: Option<bool>,
    /// Number of weights, without the auxiliary head.
    pub parameters: u64,
    /// Score on the test split, where it was measured with these weights.
    pub final_score: Option<f64>,
    /// What that score is.
    pub metric: Option<String>,
    /// What goes in.
    pub input: Input,
    /// What comes out.
    pub output: Output,
    /// Version of the ONNX operators.
    pub opset: i64,
}

/// What goes in: (pixel - mean) / deviation, channel by channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Input {
    /// Name in the ONNX file.
    pub name: String,
    /// Sizes; the number of images is free.
    pub shape: (String, i64, i64, i64),
    /// `None` where the run did not record it.
    pub normalisation: Option<Normalisation>,
}

/// What comes out: unnormalised scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Output {
    /// Name in the ONNX file.
    pub name: String,
    /// Number of classes.
    pub classes: i64,
    /// Whether every pixel has scores, or the whole image.
    pub every_pixel: bool,
}

impl Facts {
    /// What is known from the manifest and the architecture; the rest says where the weights are from.
    pub fn new(manifest: &Manifest, architecture: &Architecture, input: InputShape, weights: String, trained: Option<bool>) -> Self {
        Self {
            format: FORMAT,
            naslab: Program::current(),
            method: manifest.method.clone(),
            dataset: manifest.dataset.clone(),
            architecture_hash: architecture.hash(),
            weights,
            trained,
            parameters: 0,
            final_score: None,
            metric: None,
            input: Input {
                name: IMAGES.into(),
                shape: ("batch".into(), input.channels, input.height, input.width),
                normalisation: manifest.data.normalisation.clone(),
            },
            output: Output { name: LOGITS.into(), classes: input.classes, every_pixel: architecture.classifies_pixels() },
            opset: OPSET,
        }
    }

    /// Every fact as text: text as it is, everything else as JSON.
    fn entries(&self) -> BTreeMap<String, String> {
        let value = serde_json::to_value(self).expect("plain data");
        let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), String::from);
        value.as_object().expect("a record").iter().map(|(k, v)| (k.clone(), text(v))).collect()
    }
}

/// A kind of file that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// `architecture.json`
    Architecture,
    /// `weights.safetensors`
    Weights,
    /// `model.onnx`
    Onnx,
}

/// Writes the files of these kinds and `export.json` into `folder`, which is made if it is not there, and returns their paths. Files of these names are
/// replaced, each whole or not at all; nothing is written before everything is translated.
///
/// # Errors
/// As [`onnx`](super::onnx()); [`Error::Resource`] if something cannot be written.
pub fn write(folder: &Path, kinds: &[Written], built: &Built, architecture: &ArchitectureRecord, facts: &Facts) -> Result<Vec<PathBuf>> {
    let model = kinds.contains(&Written::Onnx).then(|| onnx(built, &facts.entries())).transpose()?;
    std::fs::create_dir_all(folder).map_err(|e| Error::writing(folder, &e))?;
    let mut paths = Vec::new();
    let mut path = |name: &str| {
        paths.push(folder.join(name));
        folder.join(name)
    };
    if kinds.contains(&Written::Architecture) {
        write_json(&path("architecture.json"), architecture)?;
    }
    if kinds.contains(&Written::Weights) {
        let mut blobs = blobs(built.network.table(), &built.weights)?;
        blobs.retain(|b| !b.name.starts_with(AUXILIARY));
        write_safetensors(&path("weights.safetensors"), &blobs, &metadata(&architecture.architecture))?;
    }
    if let Some(model) = model {
        write_atomic(&path("model.onnx"), &model)?;
    }
    write_json(&path("export.json"), facts)?;
    Ok(paths)
}
