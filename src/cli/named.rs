//! An architecture by its name or its file.

use crate::error::{Error, Result, input};
use crate::record::read_architecture;
use crate::space::{Architecture, published, published_names, spelled};
use crate::unpack::without_mark;
use serde_json::{Value, json};
use std::path::Path;

/// An architecture, its short name, and the method that found it, where that is known.
pub struct Named {
    /// Such as `darts-v2`.
    pub name: String,
    /// Itself.
    pub architecture: Architecture,
    /// Name of a method.
    #[cfg_attr(not(feature = "search"), allow(dead_code, reason = "only trainings ask for it"))]
    pub method: Option<String>,
}

/// A published architecture by name, one that is spelled out, or one from a file. Where a name begins with that of a method, the method published it.
pub fn architecture(text: &str) -> Result<Named> {
    if let Some(architecture) = published(text) {
        let method = text.split('-').next().map(String::from);
        return Ok(Named { name: text.to_string(), architecture, method });
    }
    let path = Path::new(text);
    if let Some(spelled) = spelled(text).filter(|_| !path.exists()) {
        let (name, architecture) = spelled?;
        return Ok(Named { name, architecture, method: None });
    }
    if !path.exists() {
        let names: Vec<&str> = published_names().collect();
        return Err(input!(path, "neither a file nor a published architecture; the published ones are {}", names.join(", ")));
    }
    let content = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    let value: Value = serde_json::from_slice(without_mark(&content)).map_err(|e| input!(path, "not JSON: {e}"))?;
    let method = value["method"].as_str().map(String::from);
    // A finding names its candidates and which of them was chosen; an exported document holds one.
    let inner = match (&value["candidates"], value["chosen"].as_u64(), &value["architecture"]) {
        (Value::Array(candidates), Some(chosen), _) => candidates.get(chosen as usize).map_or(Value::Null, |c| c["architecture"].clone()),
        (_, _, Value::Object(_)) => read_architecture(path).map(|record| json!(record.architecture))?,
        _ => value,
    };
    let architecture: Architecture =
        serde_json::from_value(inner).map_err(|e| input!(path, "not an architecture, an architecture.json or a finding.json: {e}"))?;
    architecture.check().map_err(|e| Error::input(path, e.to_string()))?;
    Ok(Named { name: format!("file-{}", &architecture.hash()[..8]), architecture, method })
}
