//! What a reproduction offers to the harness: a card, and settings that become a declaration and an engine.

use super::control::{Control, Region};
use super::lab::Lab;
use super::settings::{Resolved, preset_names, resolve};
use super::steps::Stepwise;
use super::trials::TrialPlan;
use crate::error::{Result, usage};
use crate::network;
use crate::proposals::Proposals;
use crate::record::{Declaration, Mark, Role};
use crate::seed::Streams;
use crate::settings::typed;
use crate::space::{Architecture, InputShape, NetSize, UnetSize};
use crate::task::{Augment, Limit, Window};
use crate::train::Recipe;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
    /// What its runs are for.
    pub role: Role,
    /// How it looks in figures.
    pub mark: Mark,
    /// TOML: one table a preset, each with `dataset` and `settings`; `paper` is complete.
    pub presets: &'static str,
    /// The spaces that it can search, the usual one first: the name, as its control has it, and the settings that choose it.
    pub spaces: &'static [(&'static str, &'static [&'static str])],
}

/// A reproduction.
pub trait Method: Sync {
    /// What is known without running it.
    fn card(&self) -> &'static Card;

    /// Reads and checks complete settings.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`], naming the setting at fault.
    fn prepare(&self, settings: &Value) -> Result<Prepared>;

    /// Names of its presets.
    fn presets(&self) -> Vec<String> {
        preset_names(self.card())
    }

    /// Complete settings from a preset and `overrides` (`key=value`).
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] where a preset or a key does not exist, or a value does not fit.
    fn resolve(&self, preset: &str, overrides: &[String]) -> Result<Resolved> {
        resolve(self.card(), preset, overrides)
    }
}

/// Settings, checked: the declaration of a run as plain data, and what does the search.
pub struct Prepared {
    /// What is special about these settings, such as `first-order`; empty where the method has one form.
    pub variant: String,
    /// What happens around the search.
    pub protocol: Protocol,
    /// How many candidates the search returns at most.
    pub keep: u64,
    /// Some architecture of the kind that the search returns, to check and to measure its training before there is a finding.
    pub example: Architecture,
    /// The space that is searched, as reports name it.
    pub space: String,
    /// Scores that it predicts for a trial before it is trained: names among its proxies, and words.
    pub predictions: BTreeMap<String, String>,
    /// What a paper reported of how well such scores predict: names among the proxies, and variants among the claims.
    pub claims: BTreeMap<String, String>,
    /// The random search that it is to be compared with.
    pub control: Option<Control>,
    /// Refuses images that the search's own settings cannot take.
    pub check: CheckImages,
    /// Whether the search has a network with a grouped form ([`crate::nn::Kernels::Grouped`]).
    pub has_groups: bool,
    /// What does the search.
    pub engine: Engine,
}

/// Refuses images that cannot be taken.
pub type CheckImages = Box<dyn Fn(InputShape) -> Result<()> + Send + Sync>;
/// Begins a search by steps.
pub type BeginSteps = Box<dyn Fn(&Lab) -> Result<Box<dyn Stepwise>> + Send + Sync>;
/// Begins a search by trials; its random streams are those of the run.
pub type BeginTrials = Box<dyn Fn(Streams) -> Box<dyn Proposals<Architecture>> + Send + Sync>;

/// What does a search.
pub enum Engine {
    /// Steps of a search that saves its own state; trials may follow.
    Steps {
        /// Begins it.
        begin: BeginSteps,
        /// Trials that it proposes after its last step.
        then: Option<TrialPlan>,
    },
    /// Children that are trained and scored, one after the other or side by side.
    Trials {
        /// Begins it.
        begin: BeginTrials,
        /// How many, and how they are trained.
        plan: TrialPlan,
    },
    /// Nothing: the architecture is given, by this name.
    Given(String),
}

impl Engine {
    /// A search by steps.
    pub fn by_steps<S: Stepwise + 'static>(begin: impl Fn(&Lab) -> Result<S> + Send + Sync + 'static) -> Self {
        Self::Steps { begin: Box::new(move |lab| Ok(Box::new(begin(lab)?))), then: None }
    }

    /// A search by trials.
    pub fn by_trials<P: Proposals<Architecture> + 'static>(plan: TrialPlan, begin: impl Fn(Streams) -> P + Send + Sync + 'static) -> Self {
        Self::Trials { begin: Box::new(move |streams| Box::new(begin(streams))), plan }
    }

    /// How its trials are trained, where it has some.
    pub fn trials(&self) -> Option<&TrialPlan> {
        match self {
            Self::Steps { then, .. } => then.as_ref(),
            Self::Trials { plan, .. } => Some(plan),
            Self::Given(_) => None,
        }
    }
}

impl Prepared {
    /// A search for one architecture that is like `example`, without a control.
    pub fn new(space: &str, example: Architecture, protocol: Protocol, engine: Engine) -> Self {
        Self {
            variant: String::new(),
            protocol,
            keep: 1,
            example,
            space: space.into(),
            predictions: BTreeMap::new(),
            claims: BTreeMap::new(),
            control: None,
            check: Box::new(|_| Ok(())),
            has_groups: false,
            engine,
        }
    }

    /// A search by trials of `region`, which reports call `space`; the `keep` best go to the selection phase. Its control has as many trials, trained alike.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] where the region is none.
    pub fn by_trials<P: Proposals<Architecture> + 'static>(
        (space, region): (&str, Region),
        protocol: Protocol,
        (plan, keep): (TrialPlan, usize),
        begin: impl Fn(Streams) -> P + Send + Sync + 'static,
    ) -> Result<Self> {
        let example = region.example()?;
        let control = Some(Control::new(space, region, plan.trials, keep, &plan.child));
        Ok(Self { keep: keep as u64, control, ..Self::new(space, example, protocol, Engine::by_trials(plan, begin)) })
    }

    /// A search by steps in `region`, which reports call `space`; it returns `keep` candidates at most. Its control trains each architecture like a candidate in the
    /// selection phase, and the best goes on.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] where the region is none, or the settings lack the section `control`.
    pub fn by_steps<S>((space, region): (&str, Region), settings: &Settings<S>, keep: u64, engine: Engine) -> Result<Self> {
        let example = region.example()?;
        let none = || usage!("control.trials must be at least 1: how many architectures random search tries");
        let size = settings.control.filter(|c| c.trials > 0).ok_or_else(none)?;
        let control = Some(Control::new(space, region, size.trials, 1, &settings.select));
        Ok(Self { keep, control, ..Self::new(space, example, settings.protocol(), engine) })
    }

    /// Refuses images that a run of these settings cannot take, before anything is spent.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`], naming the section of the settings.
    pub fn check(&self, input: InputShape) -> Result<()> {
        (self.check)(input)?;
        if let Some(plan) = self.engine.trials() {
            plan.child.check_for(plan.section, &self.example, input)?;
        }
        self.protocol.select.check_for("select", &self.example, input)?;
        self.protocol.retrain.check_for("retrain", &self.example, input)
    }

    /// `settings` with the defaults that the method filled in, as they are recorded: equal settings are then equal values.
    pub fn complete(&self, settings: &Value) -> Value {
        let (mut all, Protocol { data, select, retrain }) = (settings.clone(), &self.protocol);
        for (section, value) in [("data", json!(data)), ("select", json!(select)), ("retrain", json!(retrain))] {
            all[section] = value;
        }
        if let Some(plan) = self.engine.trials()
            && let Some(child) = all.pointer_mut(&format!("/{}", plan.section.replace('.', "/")))
        {
            *child = json!(plan.child);
        }
        all
    }

    /// What goes into the manifest.
    pub fn declaration(&self, card: &Card) -> Declaration {
        Declaration {
            title: card.title.into(),
            role: card.role,
            space: self.space.clone(),
            keep: self.keep,
            predictions: self.predictions.clone(),
            claims: self.claims.clone(),
            mark: card.mark,
            control: self.control.as_ref().map(|control| control.record(&self.protocol)),
        }
    }
}

/// What happens around a search: how many images it sees, how its candidates are compared, how the chosen one is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Steps after which the child is scored too, in rising order, with the statistics of the batch; these scores decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub early: Vec<u64>,
}

impl ChildTraining {
    /// The size to build.
    pub fn size(&self) -> NetSize {
        NetSize { channels: self.channels, cells: self.cells, auxiliary: self.recipe.auxiliary_weight > 0.0 }
    }

    /// Refuses what cannot be trained on these images, a size that networks like `example` do not have, and a loss that does not fit them.
    pub(super) fn check_for(&self, section: &str, example: &Architecture, input: InputShape) -> Result<()> {
        if self.channels < 2 || self.cells < 3 {
            return Err(usage!("{section}: at least 2 channels and 3 cells, not {} and {}", self.channels, self.cells));
        }
        self.recipe.check(&format!("{section}.recipe"))?;
        self.augment.check(&format!("{section}.augment"), input.height, input.width)?;
        let (recipe, pixels) = (&self.recipe, example.classifies_pixels());
        if recipe.loss.dice != 0.0 && !pixels {
            return Err(usage!("{section}.recipe.loss.dice: the Dice loss needs a class for every pixel"));
        }
        if pixels && (recipe.drop_path > 0.0 || recipe.drop_by_depth) {
            return Err(usage!("{section}.recipe.drop_path: networks that classify every pixel have no drop path"));
        }
        if recipe.dropout > 0.0 && example.get::<UnetSize>().is_some() {
            return Err(usage!("{section}.recipe.dropout: a U-Net has none"));
        }
        network::build(example, input, self.size()).map(drop)
    }
}

impl DataUse {
    /// The limits on the images.
    pub fn limit(&self) -> Limit {
        Limit { search: self.search_images, valid: self.valid_images, retrain: self.retrain_images }
    }
}

/// Complete settings of a method.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings<S> {
    /// The method's own.
    pub search: S,
    /// Images used.
    pub data: DataUse,
    /// Short training that chooses among several candidates.
    pub select: ChildTraining,
    /// Training of the chosen architecture.
    pub retrain: ChildTraining,
    /// The random search that a search by steps is compared with.
    pub control: Option<ControlSize>,
}

/// Section `control` of the settings of a search by steps; the control of a search by trials has as many trials as it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlSize {
    /// Architectures that random search draws; each is trained as the section `select` says, and the best goes on.
    pub trials: u64,
}

impl<S> Settings<S> {
    /// What happens around the search.
    pub fn protocol(&self) -> Protocol {
        Protocol { data: self.data, select: self.select.clone(), retrain: self.retrain.clone() }
    }
}

/// Reads complete settings; what is wrong is named.
///
/// # Errors
/// [`crate::error::Error::Usage`]
pub fn read_settings<S: serde::de::DeserializeOwned>(method: &str, values: &Value) -> Result<Settings<S>> {
    typed(method, values)
}
