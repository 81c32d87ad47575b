//! The method that trains children on images.

use super::draws::Draws;
use crate::error::{Result, usage};
use crate::lab::{CONTROL, Card, Control, Method, Prepared, Resolved, Settings, TrialPlan, preset_names, read_settings, resolve_control};
use crate::record::Role;
use crate::seed::Rng;
use crate::settings::at_least;
use serde_json::Value;

/// The method's entry in the table.
pub struct Random;

const CARD: Card = Card {
    name: CONTROL,
    title: "Random search",
    paper: "the control arm; Li, Talwalkar: Random Search and Reproducibility for NAS. UAI 2019, arXiv 1902.07638",
    about: "uniform samples of a method's space (search.space), trained by that method's protocol; the best go on",
    role: Role::Control,
    mark: super::tabular::ALGORITHM.mark,
    presets: "",
    spaces: &[],
};

/// The space where none is named.
const USUAL: &str = "nasnet";

/// The space that the settings choose.
fn space(overrides: &[String]) -> &str {
    let mut pairs = overrides.iter().rev().filter_map(|text| text.split_once('='));
    pairs.find(|(key, _)| key.trim() == "search.space").map_or(USUAL, |(_, value)| value.trim().trim_matches('"'))
}

/// The method that searches a space.
fn home(space: &str) -> Result<&'static dyn Method> {
    let all = || super::super::METHODS.iter().flat_map(|m| m.card().spaces.iter().map(move |(name, _)| (*m, *name)));
    all().find(|(_, name)| *name == space).map(|(method, _)| method).ok_or_else(|| {
        let names: Vec<&str> = all().map(|(_, name)| name).collect();
        usage!("search.space = \"{space}\": there is no such space; the spaces are {}", names.join(", "))
    })
}

impl Method for Random {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn presets(&self) -> Vec<String> {
        home(USUAL).map_or_else(|_| Vec::new(), |method| preset_names(method.card()))
    }

    fn resolve(&self, preset: &str, overrides: &[String]) -> Result<Resolved> {
        let space = space(overrides);
        resolve_control(home(space)?, space, preset, overrides)
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<Control> = read_settings(CARD.name, settings)?;
        let (protocol, search) = (settings.protocol(), settings.search);
        at_least("search.trials", search.trials, 1)?;
        at_least("search.keep", search.keep as u64, 1)?;
        let plan = (TrialPlan::of_children(search.trials, &search.child, search.duplicates, u64::MAX), search.keep);
        let (variant, draws) = (search.variant(), search.region.clone());
        let prepared = Prepared::by_trials((&search.space, search.region), protocol, plan, {
            move |_| {
                let region = draws.clone();
                Draws(move |rng: &mut Rng| region.sample(rng).expect("the region was drawn from before"))
            }
        })?;
        Ok(Prepared { variant, control: None, ..prepared })
    }
}
