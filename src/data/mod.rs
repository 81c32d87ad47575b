//! Data sets as plain bytes: where their files are, how they are read, what is wrong with them.
//!
//! Channels, classes and size of the images always come from here; nothing else in the crate knows them.

mod cifar;
mod digits;
mod files;
mod idx;
mod noise;
mod sets;
mod volumes;

pub use files::Found;
pub use sets::{SETS, SetInfo, check, info, is_segmentation, set_names};
pub use volumes::{Geometry, Grid, SegmentationSet, Volume, open_segmentation, read_grid};

use crate::error::{Result, usage};
use crate::units::hex;
use sets::Reader;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Images of one split, 8 bits a channel, planar: [N, C, H, W].
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    /// N · C · H · W bytes.
    pub pixels: Vec<u8>,
    /// Channels of an image.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Class of every image.
    pub labels: Vec<u16>,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Images({} x {}x{}x{})", self.len(), self.channels, self.height, self.width)
    }
}

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// Name on the command line.
    pub name: String,
    /// Names of the classes; their number is the number of classes.
    pub classes: Vec<String>,
    /// Images to learn from.
    pub train: Images,
    /// Images for the test.
    pub test: Images,
    /// How many of the first training images a search may use.
    pub search_items: usize,
    /// SHA-256 over shapes, pixels and labels of both splits.
    pub hash: String,
    /// What a user should know, such as an unusual number of records.
    pub notes: Vec<String>,
}

impl DataSet {
    /// A set of which a search may use all training images.
    fn new<C: ToString>(name: &str, classes: impl IntoIterator<Item = C>, [train, test]: [Images; 2], notes: Vec<String>) -> Self {
        let mut hash = Sha256::new();
        for images in [&train, &test] {
            hash.update(format!("{images:?}").as_bytes());
            hash.update(&images.pixels);
            images.labels.iter().for_each(|l| hash.update(l.to_le_bytes()));
        }
        let (classes, search_items, hash) = (names(classes), train.len(), hex(&hash.finalize()));
        Self { name: name.into(), classes, train, test, search_items, hash, notes }
    }
}

/// Names of classes as a set has them.
fn names<C: ToString>(classes: impl IntoIterator<Item = C>) -> Vec<String> {
    classes.into_iter().map(|c| c.to_string()).collect()
}

/// Reads a set of images. Missing or damaged files are [`crate::Error::Input`] with file, place, what was expected and what was found.
pub fn open(name: &str, data_dir: Option<&Path>) -> Result<DataSet> {
    let info = info(name)?;
    let Reader::Images { open, .. } = info.reader else {
        return Err(usage!("'{name}' has classes of every pixel, not of whole images"));
    };
    open(&info.existing(data_dir)?)
}
