//! Training a given architecture from scratch: a run without a search.

use super::method::{Card, Engine, Method, Prepared, Settings, read_settings};
use crate::error::Result;
use crate::record::{Mark, Role, Shape};
use crate::space::Architecture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `naslab train`.
pub struct Fixed;

const CARD: Card = Card {
    name: Fixed::NAME,
    title: "Training from scratch",
    paper: "no search: a saved or published architecture",
    about: "trains a given architecture by the retraining protocol of its space",
    role: Role::Training,
    mark: Mark { colour: [0x77, 0x77, 0x77], shape: Shape::Plus, dashed: true },
    presets: "",
    spaces: &[],
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    name: String,
    architecture: Architecture,
}

impl Fixed {
    /// Name of the method in records.
    pub const NAME: &'static str = "train";

    /// Turns the settings of the method whose space `architecture` belongs to into settings of its training alone.
    pub fn settings(mut of_method: Value, name: &str, architecture: &Architecture) -> Value {
        of_method["search"] = json!({ "name": name, "architecture": architecture });
        if let Value::Object(sections) = &mut of_method {
            sections.remove("control");
        }
        of_method
    }
}

impl Method for Fixed {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<Given> = read_settings(CARD.name, settings)?;
        let protocol = settings.protocol();
        let Given { name, architecture } = settings.search;
        Ok(Prepared { variant: name.clone(), ..Prepared::new("", architecture, protocol, Engine::Given(name)) })
    }
}
