//! Data sets as plain bytes: where their files are, how they are read, what is wrong with them.
//!
//! Channels, classes and size of the images always come from here; nothing else in the crate knows them.

mod cifar;
mod digits;
mod files;
mod idx;
mod noise;
mod volumes;

pub use files::Found;
pub use volumes::{
    Grid, SEGMENTATION_SETS, SegmentationInfo, SegmentationSet, Volume, check_segmentation, open_segmentation, read_grid, segmentation_info,
};

use crate::error::{Error, Result};
use crate::units::hex;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

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

/// What is known of a data set without its files.
#[derive(Clone, Copy, Debug)]
pub struct SetInfo {
    /// Name on the command line.
    pub name: &'static str,
    /// Name in print.
    pub title: &'static str,
    /// Size, classes, licence.
    pub summary: &'static str,
    /// Which files it needs.
    pub needs: &'static str,
    /// Folders that are searched where the user names none.
    pub folders: &'static [&'static str],
    open: fn(&[PathBuf]) -> Result<DataSet>,
    check: fn(&[PathBuf]) -> Vec<Found>,
}

/// Every data set.
pub const SETS: &[SetInfo] = &[
    SetInfo {
        name: "digits",
        title: "UCI optical digits",
        summary: "1,797 images of 8x8 pixels, 10 classes; CC BY 4.0, Alpaydin and Kaynak",
        needs: "nothing: it is part of the program",
        folders: &[],
        open: digits::open,
        check: digits::check,
    },
    SetInfo {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        summary: "70,000 images of 28x28 pixels, 10 classes; MIT, Zalando",
        needs: "the four IDX files, gzipped or plain (Debian: apt install dataset-fashion-mnist)",
        folders: &["/usr/share/datasets/fashion-mnist", "data/fashion-mnist"],
        open: idx::open,
        check: idx::check,
    },
    SetInfo {
        name: "cifar10",
        title: "CIFAR-10",
        summary: "60,000 colour images of 32x32 pixels, 10 classes; Krizhevsky",
        needs: "the binary version: cifar-10-binary.tar.gz, or its folder cifar-10-batches-bin",
        folders: &["data/cifar10", "data"],
        open: cifar::open,
        check: cifar::check,
    },
    SetInfo {
        name: noise::NAME,
        title: "Noise",
        summary: "random pixels in the number and shape of CIFAR-10, to measure time and memory; nothing can be learned",
        needs: "nothing: it is drawn when it is needed",
        folders: &[],
        open: noise::open,
        check: noise::check,
    },
];

/// Whether the pixels of a set have classes (or its images), by its name.
pub fn is_segmentation(name: &str) -> Result<bool> {
    if SEGMENTATION_SETS.iter().any(|s| s.name == name) {
        return Ok(true);
    }
    if SETS.iter().any(|s| s.name == name) {
        return Ok(false);
    }
    Err(Error::Usage(format!("there is no data set '{name}'; the data sets are {}", set_names().join(", "))))
}

/// Names of all data sets.
pub fn set_names() -> Vec<&'static str> {
    SETS.iter().map(|s| s.name).chain(SEGMENTATION_SETS.iter().map(|s| s.name)).collect()
}

/// What is known of a set by its name.
pub fn info(name: &str) -> Result<&'static SetInfo> {
    SETS.iter().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<&str> = SETS.iter().map(|s| s.name).collect();
        Error::Usage(format!("there is no data set '{name}'; the data sets are {}", names.join(", ")))
    })
}

/// The folders that are searched, in order: the user's (or its sub-folder with the set's name), else the usual ones.
fn looked_at(name: &str, usual: &[&str], data_dir: Option<&Path>) -> Vec<PathBuf> {
    match data_dir {
        Some(folder) => vec![folder.to_path_buf(), folder.join(name)],
        None => usual.iter().map(PathBuf::from).collect(),
    }
}

/// Reads a data set. Missing or damaged files are [`Error::Input`] with file, place, what was expected and what was found.
pub fn open(name: &str, data_dir: Option<&Path>) -> Result<DataSet> {
    let info = info(name)?;
    if let Some(folder) = data_dir.filter(|f| !f.exists()) {
        return Err(Error::input(folder, "there is no such folder (--data-dir)"));
    }
    let mut set = (info.open)(&looked_at(info.name, info.folders, data_dir))?;
    set.hash = hash(&[&set.train, &set.test]);
    Ok(set)
}

/// The files of a data set: where each was found and whether its content is the published one.
pub fn check(name: &str, data_dir: Option<&Path>) -> Result<Vec<Found>> {
    let info = info(name)?;
    Ok((info.check)(&looked_at(info.name, info.folders, data_dir)))
}

fn hash(splits: &[&Images]) -> String {
    let mut hash = Sha256::new();
    for images in splits {
        hash.update(format!("{images:?}").as_bytes());
        hash.update(&images.pixels);
        images.labels.iter().for_each(|l| hash.update(l.to_le_bytes()));
    }
    hex(&hash.finalize())
}
