//! The algorithms that search a table: the same cores that draw children to train.

use super::grid::{Grid, Point};
use crate::error::Result;
use crate::proposals::Proposals;
use crate::record::{Mark, Role};
use crate::seed::Streams;
use crate::settings::{apply, differences};
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
    /// A search, or the control of searches.
    pub role: Role,
    /// What its usual settings are called in tables: `ageing`.
    pub form: fn(&Value) -> Result<String>,
    /// The settings that `form` tells apart.
    pub told_by_form: &'static [&'static str],
    /// The search of one seed.
    pub begin: fn(&Value, &Grid, Streams) -> Result<Begun>,
}

impl Algorithm {
    /// Settings with `overrides` such as `search.sample=5`.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where one does not exist or does not fit.
    pub fn resolve(&self, overrides: &[String]) -> Result<Value> {
        let mut settings = json!({ "search": self.usual() });
        overrides.iter().try_for_each(|text| apply(&mut settings, text))?;
        Ok(settings["search"].take())
    }

    fn usual(&self) -> Value {
        toml::from_str(self.defaults).unwrap_or_else(|e| panic!("defaults of {}: {e}", self.name))
    }

    /// What settings are called: the form, and what else differs from the usual ones, such as `ageing, sample = 5`.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where they do not fit.
    pub fn variant(&self, settings: &Value) -> Result<String> {
        let changes = differences(&self.usual(), settings);
        let others = changes.iter().filter(|d| !self.told_by_form.contains(&d.key.as_str()));
        let others = others.map(|d| format!(", {} = {}", d.key, d.here.as_str().map_or_else(|| d.here.to_string(), str::to_string)));
        Ok((self.form)(settings)? + &others.collect::<String>())
    }
}
