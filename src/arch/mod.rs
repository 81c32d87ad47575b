//! Genotypes, the cell spaces that several methods share, their networks, counting and the canonical hash.

mod darts_network;
pub mod darts_space;
mod enas_network;
pub mod enas_space;
mod genotype;
mod ghn_network;
pub mod ghn_space;
mod map;
mod nas_unet_backbone;
mod nas_unet_network;
pub mod nas_unet_space;
mod nasnet_network;
pub mod nasnet_space;
mod unet_network;

pub use darts_network::{DartsNetwork, Preprocess, Stem, is_reduction};
pub use enas_network::{Auxiliary as EnasAuxiliary, Classifier as EnasClassifier, MacroNetwork, MicroNetwork};
pub use genotype::{Architecture, Cell, CellPair, Edge};
pub use ghn_network::GhnNetwork;
pub use map::Map;
pub use nas_unet_backbone::{NasUnetBackbone, NasUnetPreprocess, unused_head_weights};
pub use nas_unet_network::NasUnetNetwork;
pub use nas_unet_space::{Direction, OpSet, UnetCells, UnetEdge};
pub use nasnet_network::{NasnetNetwork, Stem as NasnetStem};
pub use unet_network::UnetNetwork;

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

/// How large a U-shaped network is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetSize {
    /// Width of a cell, or of the first stage of a U-Net.
    pub channels: i64,
    /// Cells (or poolings) on the way down, 2 to 8.
    pub depth: usize,
}

impl UnetSize {
    /// Ronneberger et al. 2015: 64, 128, ... 1024 channels.
    pub const ORIGINAL_UNET: Self = Self { channels: 64, depth: 4 };

    /// Refuses what is no U.
    pub fn check(self) -> Result<()> {
        if !(1..=4096).contains(&self.channels) || !(2..=8).contains(&self.depth) {
            return Err(Error::Usage(format!(
                "a U-shaped network has 1 to 4096 channels and a depth of 2 to 8, not {} and {}",
                self.channels, self.depth
            )));
        }
        Ok(())
    }
}

impl TryFrom<NetSize> for UnetSize {
    type Error = Error;

    /// A U of `depth` has `2 depth + 1` cells and no auxiliary head.
    fn try_from(size: NetSize) -> Result<Self> {
        if size.auxiliary || size.cells < 5 || size.cells.is_multiple_of(2) {
            return Err(Error::Usage(format!(
                "a NAS-Unet has 2 depth + 1 cells, 5 at the least, and no auxiliary head; these are {} cells{}",
                size.cells,
                if size.auxiliary { " with one" } else { "" }
            )));
        }
        Ok(Self { channels: size.channels, depth: size.cells / 2 })
    }
}

/// The network of an architecture, declared and without memory. A U-Net has a size of its own; the others take `size`.
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
        Architecture::Unet(size) => Ok(Box::new(UnetNetwork::declare(input, *size)?)),
        Architecture::NasUnet(cells) => Ok(Box::new(NasUnetNetwork::declare(cells, input, size.try_into()?)?)),
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
    darts_space::PUBLISHED
        .iter()
        .chain(&nasnet_space::PUBLISHED)
        .chain(&enas_space::PUBLISHED)
        .chain(&nas_unet_space::PUBLISHED)
        .chain(&unet_network::PUBLISHED)
}
