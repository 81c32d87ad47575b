//! Settings: the paper's preset is complete, other presets and the user name only what they change.

use super::method::Card;
use crate::error::{Result, usage};
use crate::record::Shrunk;
use crate::settings::{apply, differences, overlay};
use serde_json::{Map, Value};

/// The preset that holds the paper's own settings.
pub const PAPER: &str = "paper";

/// Settings of one run, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Every key of the method.
    pub settings: Value,
    /// Data set to use where the user names none.
    pub dataset: String,
    /// Where the settings differ from the paper's.
    pub shrunk: Vec<Shrunk>,
}

/// Names of a method's presets.
pub fn preset_names(card: &Card) -> Vec<String> {
    presets(card).keys().cloned().collect()
}

/// Paper ← preset ← `overrides` (`key=value`, dotted keys, TOML values). Unknown keys are refused. What a preset has under `spaces`, by the name that `search.space` has, holds where that space
/// is searched: paper ← its space ← preset ← its space ← `overrides`.
pub fn resolve(card: &Card, preset: &str, overrides: &[String]) -> Result<Resolved> {
    let presets = presets(card);
    let chosen = presets.get(preset).ok_or_else(|| {
        let names: Vec<&str> = presets.keys().map(String::as_str).collect();
        usage!("{} has no preset '{preset}'; it has {}", card.name, names.join(", "))
    })?;
    let mut paper = presets[PAPER]["settings"].clone();
    let general = if preset == PAPER { &Value::Null } else { &chosen["settings"] };
    let mut choice = paper.clone();
    overlay(&mut choice, general, "")?;
    overrides.iter().try_for_each(|text| apply(&mut choice, text))?;
    let space = choice["search"]["space"].as_str().unwrap_or_default();
    overlay(&mut paper, &presets[PAPER]["spaces"][space], "")?;
    let mut settings = paper.clone();
    overlay(&mut settings, general, "")?;
    overlay(&mut settings, &chosen["spaces"][space], "")?;
    let dataset = chosen["dataset"].as_str().expect("every preset names its data set").to_string();
    Resolved { settings, dataset, shrunk: Vec::new() }.with(overrides, &paper)
}

impl Resolved {
    /// With `overrides` applied; `paper` are the settings of the preset `paper`.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] where a key does not exist, or a value does not fit.
    pub fn with(mut self, overrides: &[String], paper: &Value) -> Result<Self> {
        for text in overrides {
            apply(&mut self.settings, text)?;
        }
        self.shrunk = differences(paper, &self.settings);
        Ok(self)
    }
}

fn presets(card: &Card) -> Map<String, Value> {
    toml::from_str(card.presets).unwrap_or_else(|e| panic!("presets of {}: {e}", card.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Mark, Role, Shape};

    const CARD: Card = Card {
        name: "toy",
        title: "",
        paper: "",
        about: "",
        role: Role::Search,
        mark: Mark { colour: [0; 3], shape: Shape::Circle, dashed: false },
        spaces: &[],
        presets: r#"
            [paper]
            dataset = "cifar10"
            [paper.settings]
            channels = 16
            [paper.settings.retrain]
            rate = 0.025
            epochs = 600
            [smoke]
            dataset = "digits"
            [smoke.settings.retrain]
            epochs = 3
        "#,
    };

    const TWO_SPACES: Card = Card {
        presets: r#"
            [paper]
            dataset = "cifar10"
            [paper.settings]
            search = { space = "wide", cells = 8 }
            retrain = { epochs = 600, batch = 96 }
            [paper.spaces.narrow]
            search = { space = "narrow", cells = 17 }
            retrain = { epochs = 200 }
            [smoke]
            dataset = "digits"
            [smoke.settings]
            search = { cells = 3 }
            retrain = { batch = 32 }
            [smoke.spaces.narrow]
            search = { cells = 5 }
        "#,
        ..CARD
    };

    #[test]
    fn presets_and_overrides_change_only_what_they_name() {
        let r = resolve(&CARD, "smoke", &["channels=4".into(), "retrain.rate=1".into()]).unwrap();
        assert_eq!(r.dataset, "digits");
        assert_eq!(r.settings, serde_json::json!({"channels": 4, "retrain": {"rate": 1.0, "epochs": 3}}));
        let keys: Vec<&str> = r.shrunk.iter().map(|s| s.key.as_str()).collect();
        assert_eq!(keys, ["channels", "retrain.rate", "retrain.epochs"]);
        assert_eq!(resolve(&CARD, "paper", &[]).unwrap().shrunk, []);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let message = |preset: &str, set: &str| resolve(&CARD, preset, &[set.to_string()]).unwrap_err().to_string();
        assert!(message("huge", "channels=4").contains("paper, smoke"));
        assert!(message("smoke", "retrain.epoch=4").contains("no setting 'retrain.epoch'; known here: rate, epochs"));
        assert!(message("smoke", "retrain=4").contains("group"));
        assert!(message("smoke", "channels=wide").contains("expected a value like 16"));
        assert!(message("smoke", "channels=1.5").contains("expected a value like 16"));
        assert!(message("smoke", "channels").contains("key=value"));
    }

    #[test]
    fn a_space_has_settings_of_its_own_in_every_preset() {
        let of = |preset: &str, set: &[&str]| {
            let set: Vec<String> = set.iter().map(|s| (*s).to_string()).collect();
            let r = resolve(&TWO_SPACES, preset, &set).unwrap();
            let number = |key: &str| r.settings.pointer(key).unwrap().as_u64().unwrap();
            let keys: Vec<String> = r.shrunk.iter().map(|s| s.key.clone()).collect();
            (["/search/cells", "/retrain/epochs", "/retrain/batch"].map(number), keys.join(" "))
        };
        let narrow = "search.space=\"narrow\"";
        assert_eq!(of("paper", &[]), ([8, 600, 96], String::new()));
        assert_eq!(of("paper", &[narrow]), ([17, 200, 96], String::new()));
        assert_eq!(of("smoke", &[]), ([3, 600, 32], "search.cells retrain.batch".into()));
        assert_eq!(of("smoke", &[narrow]), ([5, 200, 32], "search.cells retrain.batch".into()));
        assert_eq!(of("smoke", &["search.cells=8", narrow]), ([8, 200, 32], "search.cells retrain.batch".into()));
        // A space without a section of its own, known or not, has the settings of all.
        assert_eq!(of("smoke", &["search.space=\"other\""]), ([3, 600, 32], "search.space search.cells retrain.batch".into()));
    }
}
