//! What a reproduction offers to the harness.

use super::lab::Lab;
use super::trials::{best, tally};
use crate::error::{Error, Result};
use crate::network;
use crate::nn::Network;
use crate::record::{Candidate, EndReason, TrialRecord};
use crate::space::{Architecture, InputShape, NetSize, UnetSize};
use crate::task::{Augment, Limit, Window};
use crate::train::Recipe;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is known of a method without running it.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Name on the command line.
    pub name: &'static str,
    /// Name in print.
    pub title: &'static str,
    /// Authors, title, venue.
    pub paper: &'static str,
    /// One line about the idea.
    pub about: &'static str,
    /// TOML: one table a preset, each with `dataset` and `settings`; `paper` is complete.
    pub presets: &'static str,
    /// What makes random search the control of this method; none where it is the control.
    pub control: Option<ControlArm>,
}

/// Random search in the space of a method, with its images, child training and final training.
#[derive(Clone, Copy, Debug)]
pub struct ControlArm {
    /// What is put behind the name of a preset, such as `-darts`.
    pub preset: &'static str,
    /// A setting, as `--set` takes it.
    pub set: Option<&'static str>,
}

/// A reproduction: a card, and settings that become a search.
pub trait Method: Sync {
    /// What is known without running it.
    fn card(&self) -> &'static Card;

    /// Reads and checks complete settings.
    fn prepare(&self, settings: &Value) -> Result<Box<dyn Search>>;
}

/// A search with its settings. Worker threads build networks by it.
pub trait Search: Sync {
    /// What is special about these settings, such as `first-order`; empty where the method has one form.
    fn variant(&self) -> String;

    /// How candidates are trained after the search.
    fn protocol(&self) -> &Protocol;

    /// Refuses images that the search's own settings cannot take; see [`check`] for the whole.
    fn check(&self, _input: InputShape) -> Result<()> {
        Ok(())
    }

    /// Searches until done or until the lab says stop, and returns the best so far.
    fn run(&self, lab: &mut Lab) -> Result<Found>;

    /// Device-seconds of the whole search, estimated from a few measured steps that change nothing.
    fn forecast(&self, lab: &mut Lab) -> Result<f64>;

    /// How many candidates the search returns at most.
    fn keep(&self) -> u64;

    /// Some architecture of the kind that the search returns, to check and to measure its training before there is a finding.
    fn example(&self) -> Architecture;

    /// The network of an architecture of this method.
    fn build(&self, architecture: &Architecture, input: InputShape, size: NetSize) -> Result<Box<dyn Network>> {
        network::build(architecture, input, size)
    }
}

/// Refuses images that a run of these settings cannot take, before anything is spent.
pub fn check(search: &dyn Search, input: InputShape) -> Result<()> {
    search.check(input)?;
    let Protocol { select, retrain, .. } = search.protocol();
    select.check_for("select", search, input)?;
    retrain.check_for("retrain", search, input)
}

/// What a search returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Best search score first, where there is one.
    pub candidates: Vec<Candidate>,
    /// What the search score means.
    pub score_kind: String,
    /// Why the search ended.
    pub end: EndReason,
    /// Figures of the method's own for the result.
    pub extra: BTreeMap<String, f64>,
}

impl Found {
    /// What a search by trials returns: the best `keep` of all that were ever trained.
    pub fn of_trials(history: &[TrialRecord], keep: usize, stop: Option<EndReason>, metric: &str) -> Self {
        Self {
            candidates: best(history, keep),
            score_kind: format!("validation {metric} of briefly trained children"),
            end: stop.unwrap_or(EndReason::Completed),
            extra: tally(history),
        }
    }
}

/// What happens around a search: how many images it sees, how its candidates are compared, how the chosen one is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// Images used.
    pub data: DataUse,
    /// Short training that chooses among several candidates; unused where the search returns one.
    pub select: ChildTraining,
    /// Training of the chosen architecture from scratch, before the test.
    pub retrain: ChildTraining,
}

/// How many images (or volumes, where every pixel has a class) are used; 0 is all, or half for those that validate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataUse {
    /// Images of the search, of which some train and some validate.
    pub search_images: usize,
    /// Those that validate; 0 is half.
    pub valid_images: usize,
    /// Images of the retraining.
    pub retrain_images: usize,
    /// What slices of volumes are brought to.
    #[serde(default)]
    pub window: Window,
}

/// Size and training of one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildTraining {
    /// Width of the first cell.
    pub channels: i64,
    /// Number of cells.
    pub cells: usize,
    /// Epochs, optimiser and regularisation.
    pub recipe: Recipe,
    /// Changes of the training images.
    pub augment: Augment,
    /// Steps after which the child is scored too, in rising order; these scores decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub early: Vec<u64>,
}

impl ChildTraining {
    /// The size to build.
    pub fn size(&self) -> NetSize {
        NetSize { channels: self.channels, cells: self.cells, auxiliary: self.recipe.auxiliary_weight > 0.0 }
    }

    /// Refuses what cannot be trained on these images, a size that the search's own networks do not have, and a loss that does not fit them.
    pub fn check_for(&self, section: &str, search: &dyn Search, input: InputShape) -> Result<()> {
        self.check(section, input)?;
        let (recipe, pixels) = (&self.recipe, search.example().classifies_pixels());
        if recipe.loss.dice != 0.0 && !pixels {
            return Err(Error::Usage(format!("{section}.recipe.loss.dice: the Dice loss needs a class for every pixel")));
        }
        if pixels && (recipe.drop_path > 0.0 || recipe.drop_by_depth) {
            return Err(Error::Usage(format!("{section}.recipe.drop_path: networks that classify every pixel have no drop path")));
        }
        if recipe.dropout > 0.0 && search.example().get::<UnetSize>().is_some() {
            return Err(Error::Usage(format!("{section}.recipe.dropout: a U-Net has none")));
        }
        search.build(&search.example(), input, self.size()).map(drop)
    }

    /// Refuses what cannot be trained on these images; `section` names the settings at fault.
    fn check(&self, section: &str, input: InputShape) -> Result<()> {
        if self.channels < 2 || self.cells < 3 {
            return Err(Error::Usage(format!("{section}: at least 2 channels and 3 cells, not {} and {}", self.channels, self.cells)));
        }
        self.recipe.check(&format!("{section}.recipe"))?;
        self.augment.check(&format!("{section}.augment"), input.height, input.width)
    }
}

impl Protocol {
    /// The limits on the images.
    pub fn limit(&self) -> Limit {
        Limit { search: self.data.search_images, valid: self.data.valid_images, retrain: self.data.retrain_images }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings<S> {
    search: S,
    data: DataUse,
    select: ChildTraining,
    retrain: ChildTraining,
}

/// Refuses a value of a setting below `least`.
pub fn at_least(key: &str, value: u64, least: u64) -> Result<()> {
    if value >= least { Ok(()) } else { Err(Error::Usage(format!("{key} = {value}: must be at least {least}"))) }
}

/// Reads complete settings: the method's own section `search`, and the protocol around it. What is wrong is named.
pub fn read_settings<S: serde::de::DeserializeOwned>(method: &str, values: &Value) -> Result<(S, Protocol)> {
    let all: Settings<S> = serde_json::from_value(values.clone()).map_err(|e| Error::Usage(format!("settings of {method}: {e}")))?;
    Ok((all.search, Protocol { data: all.data, select: all.select, retrain: all.retrain }))
}
