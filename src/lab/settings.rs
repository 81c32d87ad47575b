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

/// Paper ← preset ← `overrides` (`key=value`, dotted keys, TOML values). Unknown keys are refused.
pub fn resolve(card: &Card, preset: &str, overrides: &[String]) -> Result<Resolved> {
    let presets = presets(card);
    let chosen = presets.get(preset).ok_or_else(|| {
        let names: Vec<&str> = presets.keys().map(String::as_str).collect();
        usage!("{} has no preset '{preset}'; it has {}", card.name, names.join(", "))
    })?;
    let paper = &presets[PAPER]["settings"];
    let mut settings = paper.clone();
    overlay(&mut settings, &chosen["settings"], "")?;
    let dataset = chosen["dataset"].as_str().expect("every preset names its data set").to_string();
    Resolved { shrunk: differences(paper, &settings), settings, dataset }.with(overrides, paper)
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
}
