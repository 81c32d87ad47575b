//! What decides the outcome of a run, the digest that a manifest has of it, and whether a record is as it was written.

use super::model::{ArchitectureRecord, Manifest, RunResult};
use crate::space::Architecture;
use crate::units::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

impl Manifest {
    /// All that decides the outcome.
    pub fn deciding(&self) -> Value {
        json!({
            "method": self.method, "settings": self.settings, "seed": self.seed, "dataset": self.dataset, "data": self.data.hash,
            "split": self.data.split_hash, "limits": self.limits, "device": self.device.kind, "threads": self.device.threads,
            "libtorch": self.libtorch, "format": self.format,
        })
    }

    /// SHA-256 of [`Manifest::deciding`]: what `identity` has to be.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.deciding().to_string().as_bytes()))
    }
}

/// A record that holds a digest of its own content, by which an edited one is known.
pub(super) trait Sealed {
    /// What is not as it was written, if something is.
    fn fault(&self) -> Option<String>;
}

impl Sealed for Manifest {
    fn fault(&self) -> Option<String> {
        let digest = self.digest();
        (digest != self.identity).then(|| {
            format!(
                "its method, settings, seed, data, limits, device or libtorch were edited after it was written: their digest is {digest}, its identity {}; \
                     restore the file from a copy, or run these settings anew with --set",
                self.identity
            )
        })
    }
}

impl Sealed for RunResult {
    fn fault(&self) -> Option<String> {
        differs("architecture_hash", &self.architecture_hash, &self.architecture)
    }
}

impl Sealed for ArchitectureRecord {
    fn fault(&self) -> Option<String> {
        differs("hash", &self.hash, &self.architecture)
    }
}

/// An architecture that is none is named by who uses it.
fn differs(field: &str, written: &str, architecture: &Architecture) -> Option<String> {
    let hash = architecture.check().is_ok().then(|| architecture.hash()).filter(|hash| hash != written)?;
    Some(format!(
        "the architecture was edited after the file was written, or its {field} was: that is {written}, the architecture's is {hash}; \
             restore the file from a copy, or give the architecture in a file of its own, without method and hash"
    ))
}
