//! Images with a class for every voxel: medical volumes from their files, and some that are part of the program.
//!
//! Training and test never share a subject. Intensities are scaled volume by volume, see [`Volume::intensities`].

pub mod chaos;
mod dicom;
mod directory;
mod flat;
mod geometry;
mod grid;
pub mod hippocampus;
mod listing;
mod meta_image;
pub mod msd;
pub mod nerve;
mod nifti;
pub mod promise12;

pub use geometry::Geometry;
pub use grid::Grid;
pub use listing::Listing;

use super::files::list;
use super::sets::{Reader, info};
use crate::error::{Error, Result, usage};
use crate::units::hex;
use sha2::{Digest, Sha256};
use std::path::Path;

/// One scan with its mask; a single image has depth 1.
#[derive(Clone, PartialEq)]
pub struct Volume {
    /// Its name within the set.
    pub name: String,
    /// Whose scan it is; one subject may have several volumes.
    pub subject: String,
    /// Slices.
    pub depth: usize,
    /// Rows of a slice.
    pub height: usize,
    /// Columns of a slice.
    pub width: usize,
    /// [D, H, W] from 0 to 1: the volume's own 1st percentile is 0, its 99th is 1, what lies beyond is clamped. All 0 if both are equal.
    pub intensities: Vec<f32>,
    /// [D, H, W] class numbers; 0 is the background.
    pub mask: Vec<u8>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volume({} of {}, {}x{}x{})", self.name, self.subject, self.depth, self.height, self.width)
    }
}

/// A segmentation set in memory.
#[derive(Clone, Debug)]
pub struct SegmentationSet {
    /// Name on the command line.
    pub name: String,
    /// Names of the classes; the first is the background.
    pub classes: Vec<String>,
    /// Volumes to learn from, sorted by name.
    pub train: Vec<Volume>,
    /// Volumes for the test, sorted by name; no subject is in both.
    pub test: Vec<Volume>,
    /// SHA-256 over classes, names, shapes, intensities and masks of both splits.
    pub hash: String,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// Reads a segmentation set. Missing or damaged files are [`Error::Input`] with file, place, what was expected and what was found.
pub fn open_segmentation(name: &str, data_dir: Option<&Path>) -> Result<SegmentationSet> {
    let info = info(name)?;
    let Reader::Volumes { find, .. } = info.reader else {
        return Err(usage!("'{name}' has classes of whole images, not of every pixel"));
    };
    let folders = info.existing(data_dir)?;
    let listing = find(&folders)?.ok_or_else(|| {
        let what = format!("missing: {}; looked in {}. Name the folder with --data-dir", info.needs, list(&folders));
        Error::input(folders.first().cloned().unwrap_or_default(), what)
    })?;
    let mut set = listing.read(info.name)?;
    set.hash = hash(&set);
    Ok(set)
}

/// Reads the numbers of one file, unscaled: `.nii`, `.nii.gz`, `.mhd`, `.mha`, `.png`, `.tif`, `.tiff` or `.dcm`.
pub fn read_grid(path: &Path) -> Result<Grid> {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|e| name.ends_with(e));
    match () {
        () if ends(&[".nii", ".nii.gz"]) => nifti::read(path),
        () if ends(&[".mhd", ".mha"]) => meta_image::read(path),
        () if ends(&[".png"]) => flat::read_png(path),
        () if ends(&[".tif", ".tiff"]) => flat::read_tiff(path),
        () if ends(&[".dcm"]) => dicom::read(path).map(|s| Grid { shape: [1, s.size[0], s.size[1]], values: s.values, geometry: None }),
        () => Err(Error::input(path, "expected a name that ends in .nii, .nii.gz, .mhd, .mha, .png, .tif, .tiff or .dcm")),
    }
}

fn hash(set: &SegmentationSet) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}", set.classes).as_bytes());
    for (split, volumes) in [("train", &set.train), ("test", &set.test)] {
        hash.update(format!("{split} {}", volumes.len()).as_bytes());
        for volume in volumes {
            hash.update(format!("{volume:?}").as_bytes());
            let bytes: Vec<u8> = volume.intensities.iter().flat_map(|v| v.to_le_bytes()).collect();
            hash.update(&bytes);
            hash.update(&volume.mask);
        }
    }
    hex(&hash.finalize())
}
