//! The algorithms that search a table: the same cores that draw children to train.

use super::grid::{Grid, Point};
use crate::error::{Result, usage};
use crate::proposals::Proposals;
use crate::record::Mark;
use crate::seed::Streams;
use crate::settings::apply;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A search of one seed.
pub type Begun = Box<dyn Proposals<Point>>;

/// An algorithm.
pub struct Algorithm {
    /// Its name on the command line and in records, that of the method.
    pub name: &'static str,
    /// For a reader.
    pub title: &'static str,
    /// Authors, title, year.
    pub paper: &'static str,
    /// In figures.
    pub mark: Mark,
    /// All settings with their defaults, TOML.
    pub defaults: &'static str,
    /// What its settings are called in tables: `ageing`.
    pub variant: fn(&Value) -> Result<String>,
    /// The search of one seed.
    pub begin: fn(&Value, &Grid, Streams) -> Result<Begun>,
}

impl Algorithm {
    /// Settings with `overrides` such as `search.sample=5`.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where one does not exist or does not fit.
    pub fn resolve(&self, overrides: &[String]) -> Result<Value> {
        let search: Value = toml::from_str(self.defaults).unwrap_or_else(|e| panic!("defaults of {}: {e}", self.name));
        let mut settings = json!({ "search": search });
        overrides.iter().try_for_each(|text| apply(&mut settings, text))?;
        Ok(settings["search"].take())
    }
}

/// Typed settings.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) that names what does not fit.
pub fn settings_of<S: DeserializeOwned>(name: &str, settings: &Value) -> Result<S> {
    S::deserialize(settings).map_err(|e| usage!("settings of {name}: {e}"))
}
