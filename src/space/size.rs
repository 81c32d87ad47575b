//! What the data demand of a network, and how large it is built.

use crate::error::{Error, Result, usage};
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
    /// Refuses what is no U.
    pub fn check(self) -> Result<()> {
        if !(1..=4096).contains(&self.channels) || !(2..=8).contains(&self.depth) {
            let Self { channels, depth } = self;
            return Err(usage!("a U-shaped network has 1 to 4096 channels and a depth of 2 to 8, not {channels} and {depth}"));
        }
        Ok(())
    }
}

impl TryFrom<NetSize> for UnetSize {
    type Error = Error;

    /// A U of `depth` has `2 depth + 1` cells and no auxiliary head.
    fn try_from(size: NetSize) -> Result<Self> {
        if size.auxiliary || size.cells < 5 || size.cells.is_multiple_of(2) {
            let (cells, head) = (size.cells, if size.auxiliary { " with one" } else { "" });
            return Err(usage!("a NAS-Unet has 2 depth + 1 cells, 5 at the least, and no auxiliary head; these are {cells} cells{head}"));
        }
        Ok(Self { channels: size.channels, depth: size.cells / 2 })
    }
}
