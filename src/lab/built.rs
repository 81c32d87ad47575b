//! The network that a run retrains, outside of the run: with the weights that it starts from, or with those of a file.

use super::blobs::{to_blob, to_tensor};
use super::conduct::RETRAIN;
use super::method::Protocol;
use crate::error::{Error, Result, input};
use crate::network;
use crate::nn::{AUXILIARY, Network, Table, Weights};
use crate::record::{Blob, Dtype, Manifest, read_safetensors};
use crate::seed::Streams;
use crate::space::{Architecture, InputShape};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor, no_grad};

/// A network and its weights, on the processor.
pub struct Built {
    /// The network.
    pub network: Box<dyn Network>,
    /// Its weights.
    pub weights: Weights,
    /// What it is given, and its classes.
    pub input: InputShape,
}

/// The network that the run of `manifest` retrains if it finds `architecture`. Its weights come from the file `weights`, or are those that the retraining
/// starts from.
///
/// # Errors
/// [`Error::Input`] if the file does not hold the weights of this network. Of the auxiliary head, which scores nothing, it need not have any.
pub fn build(manifest: &Manifest, protocol: &Protocol, architecture: &Architecture, weights: Option<&Path>) -> Result<Built> {
    let [channels, height, width, classes] =
        [manifest.data.channels, manifest.data.height, manifest.data.width, manifest.data.classes].map(i64::from);
    let input = InputShape { channels, height, width, classes };
    let network = network::build(architecture, input, protocol.retrain.size())?;
    let mut rng = Streams::new(manifest.seed).child(RETRAIN, 0).rng("init", 0);
    let fresh = Weights::initialised(network.table(), protocol.retrain.recipe.initialisation, &mut rng, Device::Cpu, Kind::Float);
    if let Some(path) = weights {
        load(network.table(), &fresh, path)?;
    }
    Ok(Built { network, weights: fresh, input })
}

/// Weights and statistics by name, in the order of their declaration.
///
/// # Errors
/// As libtorch has them.
pub fn blobs(table: &Table, weights: &Weights) -> Result<Vec<Blob>> {
    named(table, weights).map(|(name, tensor)| to_blob(name, tensor)).collect()
}

/// What a file of weights says about itself.
pub fn metadata(architecture: &Architecture) -> BTreeMap<String, String> {
    BTreeMap::from([("architecture".to_string(), serde_json::to_string(architecture).expect("plain data"))])
}

fn named<'a>(table: &'a Table, weights: &'a Weights) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
    table.names().zip(weights.params()).chain(table.stat_names().zip(weights.stats()))
}

/// Copies the tensors of a file over `weights`.
fn load(table: &Table, weights: &Weights, path: &Path) -> Result<()> {
    let (blobs, _) = read_safetensors(path)?;
    let mut given: BTreeMap<&str, &Blob> = blobs.iter().map(|b| (b.name.as_str(), b)).collect();
    for (name, tensor) in named(table, weights) {
        let Some(blob) = given.remove(name) else {
            if name.starts_with(AUXILIARY) {
                continue;
            }
            return Err(foreign(path, &format!("it has no tensor '{name}'")));
        };
        let shape: Vec<i64> = blob.shape.iter().map(|side| *side as i64).collect();
        if shape != tensor.size() || !matches!(blob.dtype, Dtype::F32 | Dtype::F64) {
            let what = format!("its tensor '{name}' is {:?} {shape:?}, the network's is F32 {:?}", blob.dtype, tensor.size());
            return Err(foreign(path, &what));
        }
        let from = to_tensor(blob, Device::Cpu)?;
        no_grad(|| tensor.detach().copy_(&from));
    }
    let more = given.keys().find(|name| !name.starts_with(AUXILIARY));
    more.map_or(Ok(()), |name| Err(foreign(path, &format!("the network has no '{name}'"))))
}

fn foreign(path: &Path, what: &str) -> Error {
    input!(path, "not the weights of this network: {what}; its size comes from the preset, see --preset, --dataset and --set")
}
