//! Genotypes, the cell spaces that several methods share, their networks, counting and the canonical hash.

mod darts_network;
pub mod darts_space;
mod enas_network;
pub mod enas_space;
mod genotype;
mod ghn_network;
pub mod ghn_space;
mod map;
mod nasnet_network;
pub mod nasnet_space;

pub use darts_network::{DartsNetwork, Preprocess, Stem, is_reduction};
pub use enas_network::{Auxiliary as EnasAuxiliary, Classifier as EnasClassifier, MacroNetwork, MicroNetwork};
pub use genotype::{Architecture, Cell, CellPair, Edge};
pub use ghn_network::GhnNetwork;
pub use map::Map;
pub use nasnet_network::{NasnetNetwork, Stem as NasnetStem};

use crate::error::{Error, Result};
use crate::nn::Network;
use serde::{Deserialize, Serialize};

/// What the data demand of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// Channels of an image.
    pub channels: i64,
    /// Height in pixels.
    pub height: i64,
    /// Width in pixels.
    pub width: i64,
    /// Number of classes.
    pub classes: i64,
}

/// How large a network is built from an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetSize {
    /// Width of the first cell.
    pub channels: i64,
    /// Number of cells.
    pub cells: usize,
    /// With the auxiliary head.
    pub auxiliary: bool,
}

/// The network of an architecture, declared and without memory.
pub fn build(architecture: &Architecture, input: InputShape, size: NetSize) -> Result<Box<dyn Network>> {
    if size.channels < 2 || size.cells < 3 {
        return Err(Error::Usage(format!("a network needs at least 2 channels and 3 cells, not {} and {}", size.channels, size.cells)));
    }
    architecture.check()?;
    match architecture {
        Architecture::Darts(pair) => Ok(Box::new(DartsNetwork::declare(pair, input, size)?)),
        Architecture::Nasnet(pair) => Ok(Box::new(NasnetNetwork::declare(pair, input, size)?)),
        Architecture::EnasMicro(pair) => Ok(Box::new(MicroNetwork::declare(pair, input, size)?)),
        Architecture::EnasMacro(net) => Ok(Box::new(MacroNetwork::declare(net, input, size, false)?)),
        Architecture::Ghn(cell) => Ok(Box::new(GhnNetwork::declare(cell, input, size, true)?)),
    }
}

/// Names of the published architectures.
pub fn published_names() -> impl Iterator<Item = &'static str> {
    all_published().map(|(name, _)| *name)
}

/// A published architecture by name.
pub fn published(name: &str) -> Option<Architecture> {
    all_published().find(|(n, _)| *n == name).map(|(_, make)| make())
}

fn all_published() -> impl Iterator<Item = &'static darts_space::Named> {
    darts_space::PUBLISHED.iter().chain(&nasnet_space::PUBLISHED).chain(&enas_space::PUBLISHED)
}
