//! Training a given architecture from scratch: a run whose search has its answer already.

use super::lab::Lab;
use super::method::{Card, Found, Method, Protocol, Search, read_settings};
use crate::error::Result;
use crate::record::{Candidate, EndReason};
use crate::space::Architecture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `naslab train`.
pub struct Fixed;

const CARD: Card = Card {
    name: Fixed::NAME,
    title: "Training from scratch",
    paper: "no search: a saved or published architecture",
    about: "trains a given architecture by the retraining protocol of its space",
    presets: "",
    control: None,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    name: String,
    architecture: Architecture,
}

struct Prepared {
    given: Given,
    protocol: Protocol,
}

impl Fixed {
    /// Name of the method in records.
    pub const NAME: &'static str = "train";

    /// Turns the settings of the method whose space `architecture` belongs to into settings of its training alone.
    pub fn settings(mut of_method: Value, name: &str, architecture: &Architecture) -> Value {
        of_method["search"] = json!({ "name": name, "architecture": architecture });
        of_method
    }
}

impl Method for Fixed {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Box<dyn Search>> {
        let (given, protocol) = read_settings(CARD.name, settings)?;
        Ok(Box::new(Prepared { given, protocol }))
    }
}

impl Search for Prepared {
    fn variant(&self) -> String {
        self.given.name.clone()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn run(&self, _lab: &mut Lab) -> Result<Found> {
        let candidate = Candidate {
            origin: self.given.name.clone(),
            architecture: self.given.architecture.clone(),
            search_score: None,
            select_score: None,
        };
        Ok(Found { candidates: vec![candidate], score_kind: "no search".into(), end: EndReason::Completed, extra: BTreeMap::new() })
    }

    fn keep(&self) -> u64 {
        1
    }

    fn example(&self) -> Architecture {
        self.given.architecture.clone()
    }

    fn forecast(&self, _lab: &mut Lab) -> Result<f64> {
        Ok(0.0)
    }
}
