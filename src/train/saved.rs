//! State on its way to or from a checkpoint.

use crate::error::{Result, input};
use serde::{Serialize, de::DeserializeOwned};
use tch::{Tensor, no_grad};

/// Plain values and named tensors.
#[derive(Debug)]
pub struct Saved {
    /// Plain values.
    pub state: serde_json::Value,
    /// Named tensors.
    pub tensors: Vec<(String, Tensor)>,
}

impl Saved {
    /// Snapshot of `state` and `tensors` (shared, not copied: write it before the next step).
    pub fn new(state: &impl Serialize, tensors: &[(&str, &Tensor)]) -> Self {
        Self {
            state: serde_json::to_value(state).expect("progress is plain data"),
            tensors: tensors.iter().map(|(name, t)| ((*name).to_string(), t.detach())).collect(),
        }
    }

    /// The plain values.
    ///
    /// # Errors
    /// [`crate::error::Error::Input`] where another version wrote them.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.state).map_err(|e| input!("checkpoint", "written by another version: {e}"))
    }

    /// Copies the tensor `name` into `target`, which must have its shape.
    pub fn copy_to(&self, name: &str, target: &Tensor) -> Result<()> {
        let Some((_, source)) = self.tensors.iter().find(|(n, _)| n == name) else {
            return Err(input!("checkpoint", "no tensor '{name}'; it was written by another version"));
        };
        if source.size() != target.size() {
            return Err(input!("checkpoint", "tensor '{name}' is {:?}, expected {:?}", source.size(), target.size()));
        }
        no_grad(|| target.shallow_clone().copy_(source));
        Ok(())
    }
}
