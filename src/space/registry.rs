//! The spaces by name.

use super::{Architecture, Genotype, darts, enas_macro, enas_micro, ghn, nas_bench_201, nas_unet, nasnet, read, unet};
use crate::error::{Result, usage};
use crate::seed::Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::{PoisonError, RwLock};

/// A name and the architecture that it stands for.
pub type Named = (&'static str, fn() -> Architecture);

/// Draws an architecture uniformly, given the parameters of the draw.
pub type Sample = fn(&Value, &mut Rng) -> Result<Architecture>;

/// Reads an architecture that is spelled out, and gives it a name that fits file names.
pub type Spelled = fn(&str) -> Result<(String, Architecture)>;

/// A space of architectures.
#[derive(Debug)]
pub struct Space {
    /// What a file calls it.
    pub name: &'static str,
    /// Name of the method whose protocol trains an architecture that no known method found.
    pub home: &'static str,
    /// Whether its networks classify every pixel; the others classify the whole image.
    pub pixels: bool,
    /// Reads an architecture from the fields of a file; see [`super::read`].
    pub read: fn(Value) -> serde_json::Result<Architecture>,
    /// Draws an architecture; see [`Space::draw`].
    pub sample: Sample,
    /// Architectures that the authors released.
    pub published: &'static [Named],
    /// Where an architecture can be spelled out in one word: what stands before the colon, and what reads the rest.
    pub spelled: Option<(&'static str, Spelled)>,
}

/// The spaces of this crate.
static BUILT_IN: [&Space; 8] = [
    &darts::SPACE,
    &nasnet::SPACE,
    &enas_micro::SPACE,
    &enas_macro::SPACE,
    &ghn::SPACE,
    &nas_bench_201::SPACE,
    &nas_unet::SPACE,
    &unet::SPACE,
];

/// The spaces that were added.
static ADDED: RwLock<Vec<&'static Space>> = RwLock::new(Vec::new());

impl Space {
    /// The space of the genotypes of type `G`, whose networks classify the whole image and of which none is published.
    pub const fn of<G: Genotype>(name: &'static str, home: &'static str, sample: Sample) -> Self {
        Self { name, home, pixels: false, read: read::<G>, sample, published: &[], spelled: None }
    }

    /// Draws an architecture uniformly; `parameters` is an object such as `{"nodes": 4}`.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) that names a parameter that the space does not have, lacks, or that no architecture has.
    pub fn draw(&self, parameters: &Value, rng: &mut Rng) -> Result<Architecture> {
        let drawn = (self.sample)(parameters, rng)?;
        drawn.check().map_err(|e| usage!("{parameters} for the space '{}': {e}", self.name))?;
        Ok(drawn)
    }
}

/// All spaces; those of this crate first.
pub fn all() -> impl Iterator<Item = &'static Space> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner).clone();
    BUILT_IN.into_iter().chain(added)
}

/// The space of this name.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) that lists the known ones.
pub fn named(name: &str) -> Result<&'static Space> {
    all().find(|s| s.name == name).ok_or_else(|| {
        let known: Vec<&str> = all().map(|s| s.name).collect();
        usage!("unknown space '{name}'; the known ones are {}", known.join(", "))
    })
}

/// Adds a space, so that files can name it. To add one twice changes nothing.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) if another space has its name.
pub fn register(space: &'static Space) -> Result<()> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    match BUILT_IN.iter().chain(added.iter()).find(|s| s.name == space.name) {
        Some(known) if std::ptr::eq(*known, space) => Ok(()),
        Some(_) => Err(usage!("there is a space '{}' already", space.name)),
        None => {
            added.push(space);
            Ok(())
        }
    }
}

/// Names of the published architectures.
pub fn published_names() -> impl Iterator<Item = &'static str> {
    all().flat_map(|s| s.published).map(|(name, _)| *name)
}

/// A published architecture by name.
pub fn published(name: &str) -> Option<Architecture> {
    all().flat_map(|s| s.published).find(|(n, _)| *n == name).map(|(_, make)| make())
}

/// An architecture that is spelled out, such as `nb201:|...|`, with a name for it; `None` for what begins with no space's prefix.
pub fn spelled(text: &str) -> Option<Result<(String, Architecture)>> {
    let (prefix, rest) = text.split_once(':')?;
    all().filter_map(|s| s.spelled).find(|(p, _)| *p == prefix).map(|(_, read)| read(rest))
}

/// The parameters of a draw from `space`.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) that names the parameter at fault.
pub fn parameters<P: DeserializeOwned>(space: &Space, given: &Value) -> Result<P> {
    P::deserialize(given).map_err(|e| usage!("{given} for the space '{}': {e}", space.name))
}

/// No parameters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The parameter of spaces whose cells have any number of nodes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// Nodes of a cell.
    pub nodes: usize,
}
