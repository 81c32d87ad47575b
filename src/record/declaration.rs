//! What a method says of a run before it begins: all that a report needs to know of a method, so that it knows none by name.

use super::model::Manifest;
use crate::units::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Part of the manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declaration {
    /// Name of the method in print, such as `DARTS`.
    pub title: String,
    /// What the run is for.
    pub role: Role,
    /// The space that architectures come from, such as `darts` or `enas-macro`; empty for the training of a given architecture.
    pub space: String,
    /// How many candidates the search returns at most.
    pub keep: u64,
    /// Scores that the method predicts for a trial before it is trained: their names among its proxies, and what they are in words.
    pub predictions: BTreeMap<String, String>,
    /// What a paper reported of how well the scores of a trial predict: their names among its proxies, and the variants of the claims.
    pub claims: BTreeMap<String, String>,
    /// How it looks in figures.
    pub mark: Mark,
    /// The random search that it is to be compared with; none for a control and for the training of a given architecture.
    pub control: Option<ControlRecord>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A search.
    #[default]
    Search,
    /// Random search, the control of others.
    Control,
    /// The training of a given architecture.
    Training,
}

/// How the runs of a control are known: by the method that makes them, and by the digest of all their settings, so that a control of another space, of other data
/// or of another training is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// Name of the method, as in `naslab list`.
    pub method: String,
    /// Its variant.
    pub variant: String,
    /// [`settings_digest`] of its manifest's settings.
    pub settings_digest: String,
}

impl ControlRecord {
    /// Whether a run is one of this control.
    pub fn is(&self, run: &Manifest) -> bool {
        run.method == self.method && settings_digest(&run.settings) == self.settings_digest
    }
}

/// Colour and shape in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// Of points.
    pub shape: Shape,
    /// Whether lines are dashed.
    pub dashed: bool,
}

/// Shape of a point in a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A disc.
    #[default]
    Circle,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// Point up.
    Triangle,
    /// Point down.
    Wedge,
    /// Five points.
    Star,
    /// Diagonal cross.
    Cross,
    /// Upright cross.
    Plus,
}

/// SHA-256 (hexadecimal) of settings; the order of keys means nothing.
pub fn settings_digest(settings: &Value) -> String {
    let mut sorted = settings.clone();
    sorted.sort_all_objects();
    hex(&Sha256::digest(sorted.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_means_nothing_and_every_value_counts() {
        let a = json!({"search": {"trials": 12, "space": "darts"}, "data": [{"x": 1, "y": 2}]});
        let b = json!({"data": [{"y": 2, "x": 1}], "search": {"space": "darts", "trials": 12}});
        assert_eq!(settings_digest(&a), settings_digest(&b));
        assert_ne!(settings_digest(&a), settings_digest(&json!({"search": {"trials": 13, "space": "darts"}, "data": [{"x": 1, "y": 2}]})));
    }
}
