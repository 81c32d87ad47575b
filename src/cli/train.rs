//! `naslab train`, and reading an architecture by name or file.

use super::args::{RunSettingsArgs, Runs};
use super::run::{Planned, open_device, order, run_all};
use crate::error::{Error, Result, input};
use crate::lab::{Fixed, Method, Order, PAPER};
use crate::record::{ArchitectureRecord, Role, read_json};
use crate::reproductions::method;
use crate::space::{Architecture, published, published_names, spelled};
use serde_json::{Value, json};
use std::path::Path;
use tch::Device;

/// Trains one architecture with every seed, by the retraining protocol of the method that found it, or else of its space.
pub fn train(text: &str, runs: &Runs) -> Result<()> {
    let named = architecture(text)?;
    let (device, seeds) = (open_device(&runs.settings)?, &runs.seeds.0);
    let settings = runs.settings.shared_by(seeds.len());
    let planned = |seed: &u64| Ok(Planned { method: &Fixed, name: text.into(), order: named.order(&settings, *seed, device)? });
    run_all(&seeds.iter().map(planned).collect::<Result<Vec<_>>>()?, runs)
}

/// An architecture, its short name, and the method that found it, where that is known.
pub struct Named {
    /// Such as `darts-v2`.
    pub name: String,
    /// Itself.
    pub architecture: Architecture,
    /// Name of a method.
    pub method: Option<String>,
}

impl Named {
    /// The method whose protocol trains it: the one that found it, or else that of its space. Random search has no protocol of its own.
    pub fn home(&self) -> Result<&'static dyn Method> {
        let finder = self.method.as_ref().and_then(|m| method(m).ok()).filter(|m| m.card().role == Role::Search);
        finder.map_or_else(|| method(self.architecture.space().home), Ok)
    }

    /// The settings by which a method chooses the space of the architecture.
    fn choice(&self, method: &dyn Method) -> Result<Vec<String>> {
        for (_, set) in method.card().spaces {
            let set: Vec<String> = set.iter().map(|s| (*s).to_string()).collect();
            let prepared = method.prepare(&method.resolve(PAPER, &set)?.settings)?;
            if std::ptr::eq(prepared.example.space(), self.architecture.space()) {
                return Ok(set);
            }
        }
        Ok(Vec::new())
    }

    /// Its training from scratch, with everything resolved but the data.
    pub fn order(&self, settings: &RunSettingsArgs, seed: u64, device: Device) -> Result<Order> {
        let home = self.home()?;
        let mut settings = settings.clone();
        settings.choice.set.splice(0..0, self.choice(home)?);
        let mut order = order(home, &settings, seed, device)?;
        order.settings = Fixed::settings(order.settings, &self.name, &self.architecture);
        // It neither searches nor selects, and has no control.
        order.shrunk.retain(|s| !["search.", "select.", "control."].iter().any(|section| s.key.starts_with(section)));
        Ok(order)
    }
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
    let content = std::fs::read_to_string(path).map_err(|e| Error::reading(path, &e))?;
    let value: Value = serde_json::from_str(&content).map_err(|e| input!(path, "not JSON: {e}"))?;
    let method = value["method"].as_str().map(String::from);
    // A finding names its candidates and which of them was chosen; an exported document holds one.
    let inner = match (&value["candidates"], value["chosen"].as_u64(), &value["architecture"]) {
        (Value::Array(candidates), Some(chosen), _) => candidates.get(chosen as usize).map_or(Value::Null, |c| c["architecture"].clone()),
        (_, _, Value::Object(_)) => read_json::<ArchitectureRecord>(path).map(|record| json!(record.architecture))?,
        _ => value,
    };
    let architecture: Architecture =
        serde_json::from_value(inner).map_err(|e| input!(path, "not an architecture, an architecture.json or a finding.json: {e}"))?;
    architecture.check().map_err(|e| Error::input(path, e.to_string()))?;
    Ok(Named { name: format!("file-{}", &architecture.hash()[..8]), architecture, method })
}
