//! Random search as the control of a search: in the space of that search, with its data, its training of children, its selection and its retraining. All of it is derived from
//! the settings of the search, so that the two cannot drift apart.

use super::launch::Order;
use super::method::{ChildTraining, Method, Protocol};
use super::settings::{PAPER, Resolved};
use super::trials::Policy;
use crate::error::{Result, usage};
use crate::record::{ControlRecord, settings_digest};
use crate::seed::{Rng, Streams};
use crate::settings::differences;
use crate::space::{self, Architecture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Name of the method whose runs are controls.
pub const CONTROL: &str = "random";

/// A registered space, and what of it is drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The registered space.
    pub space: String,
    /// Its parameters, such as `{"nodes": 4}`.
    pub parameters: Value,
}

impl Region {
    /// Of the space `space`.
    pub fn new(space: &str, parameters: Value) -> Self {
        Self { space: space.into(), parameters }
    }

    /// A uniform draw.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] where there is no such space, or its parameters do not fit.
    pub fn sample(&self, rng: &mut Rng) -> Result<Architecture> {
        space::named(&self.space)?.draw(&self.parameters, rng)
    }

    /// Some architecture of it, always the same.
    pub(super) fn example(&self) -> Result<Architecture> {
        self.sample(&mut Streams::new(0).rng("example", 0))
    }
}

/// Section `search` of the settings of random search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The space as reports name it, such as `darts` or `enas-macro`.
    pub space: String,
    /// Where architectures are drawn.
    pub region: Region,
    /// Architectures to draw.
    pub trials: u64,
    /// What is done with one that was drawn before.
    pub duplicates: Policy,
    /// How many of the best go to the selection phase.
    pub keep: usize,
    /// How each is trained.
    pub child: ChildTraining,
}

impl Control {
    /// The control of a search: so many architectures, each trained like its children; the `keep` best go on.
    pub fn new(space: &str, region: Region, trials: u64, keep: usize, child: &ChildTraining) -> Self {
        Self { space: space.into(), region, trials, duplicates: Policy::Redraw, keep, child: child.clone() }
    }

    /// The variant of random search. Where it draws one architecture, nothing is selected: the mean over seeds is that of random architectures, not of the best of some.
    pub fn variant(&self) -> String {
        let selects = if self.trials == 1 { "-unselected" } else { "" };
        format!("{}-space{selects}", self.space)
    }

    /// Complete settings of random search, with the protocol of the search that it is the control of.
    pub fn settings(&self, protocol: &Protocol) -> Value {
        let Protocol { data, select, retrain } = protocol;
        json!({ "search": self, "data": data, "select": select, "retrain": retrain })
    }

    /// How a report finds its runs.
    pub fn record(&self, protocol: &Protocol) -> ControlRecord {
        let settings_digest = settings_digest(&self.settings(protocol));
        ControlRecord { method: CONTROL.into(), variant: self.variant(), settings_digest }
    }
}

/// Settings of the control of `method` in one of its spaces by a preset, and the data set of that preset.
fn at_preset(method: &dyn Method, space: &str, preset: &str) -> Result<(Value, String)> {
    let (name, spaces) = (method.card().name, method.card().spaces);
    let choose = spaces.iter().find(|(name, _)| *name == space).map(|(_, set)| *set);
    let choose = choose.ok_or_else(|| usage!("{name} does not search the space '{space}'"))?;
    let choose: Vec<String> = choose.iter().map(|set| (*set).to_string()).collect();
    let Resolved { settings, dataset, .. } = method.resolve(preset, &choose)?;
    let prepared = method.prepare(&settings)?;
    let control = prepared.control.ok_or_else(|| usage!("{name} has no control"))?;
    Ok((control.settings(&prepared.protocol), dataset))
}

/// The control of `method` in one of its spaces by a preset and `overrides` of its own, with what differs from the paper's.
///
/// # Errors
/// [`crate::error::Error::Usage`], also where the method has no such space.
pub fn resolve_control(method: &dyn Method, space: &str, preset: &str, overrides: &[String]) -> Result<Resolved> {
    let ((settings, dataset), (paper, _)) = (at_preset(method, space, preset)?, at_preset(method, space, PAPER)?);
    Resolved { settings, dataset, shrunk: Vec::new() }.with(overrides, &paper)
}

/// The order of the control of what `order` asks of `method`; none for a method without one.
///
/// # Errors
/// [`crate::error::Error::Usage`]
pub fn control_order(method: &dyn Method, order: &Order) -> Result<Option<Order>> {
    let prepared = method.prepare(&order.settings)?;
    let Some(control) = prepared.control else { return Ok(None) };
    let settings = control.settings(&prepared.protocol);
    let (paper, _) = at_preset(method, &control.space, PAPER)?;
    Ok(Some(Order { shrunk: differences(&paper, &settings), settings, ..order.clone() }))
}
