//! Images with a class for every voxel: medical volumes from their files, and the canvases of shipped digits.
//!
//! Training and test never share a subject. Intensities are scaled volume by volume, see [`Volume::intensities`].

mod canvas;
mod chaos;
mod dicom;
mod flat;
mod grid;
mod listing;
mod meta_image;
mod msd;
mod nerve;
mod nifti;
mod promise12;

pub use grid::Grid;

use super::files::{Found, list};
use super::looked_at;
use crate::error::{Error, Result};
use crate::units::hex;
use listing::Listing;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

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
    /// Size of a voxel along depth, height and width in millimetres, if the files state it.
    pub spacing: Option<[f32; 3]>,
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

/// What is known of a segmentation set without its files.
#[derive(Clone, Copy, Debug)]
pub struct SegmentationInfo {
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
    /// A file or folder by which the set is known.
    sign: &'static str,
    /// The volumes in the first of the folders that has any.
    find: fn(&[PathBuf]) -> Result<Option<Listing>>,
}

/// Every segmentation set.
pub const SEGMENTATION_SETS: &[SegmentationInfo] = &[
    SegmentationInfo {
        name: "digit-canvas",
        title: "Digits on a cluttered canvas",
        summary: "50 volumes of ten 64x64 canvases, 11 classes; made of the UCI optical digits, CC BY 4.0, Alpaydin and Kaynak",
        needs: "nothing: it is made by the program",
        folders: &[],
        sign: "digit-canvas",
        find: canvas::find,
    },
    SegmentationInfo {
        name: "msd",
        title: "Medical Segmentation Decathlon, any task of one channel",
        summary: "such as 260 MRI volumes of the hippocampus, 3 classes; CC BY-SA 4.0, Antonelli et al. and Simpson et al.",
        needs: "imagesTr/ and labelsTr/ (or images/ and labels/) with NAME.nii.gz in both; dataset.json names the classes",
        folders: &["data/msd"],
        sign: "imagesTr",
        find: msd::find,
    },
    SegmentationInfo {
        name: "promise12",
        title: "PROMISE12",
        summary: "50 MRI volumes of the prostate, 2 classes; Litjens et al.",
        needs: "CaseNN.mhd and CaseNN_segmentation.mhd with their .raw files, in one folder or in its sub-folders",
        folders: &["data/promise12"],
        sign: "Case00.mhd",
        find: promise12::find,
    },
    SegmentationInfo {
        name: "nerve",
        title: "Ultrasound Nerve Segmentation",
        summary: "5,635 ultrasound images of 580x420 pixels of 47 subjects, 2 classes; Kaggle, under the rules of the competition",
        needs: "train/SUBJECT_NUMBER.tif and SUBJECT_NUMBER_mask.tif, or the same as .png",
        folders: &["data/nerve"],
        sign: "1_1.tif",
        find: nerve::find,
    },
    SegmentationInfo {
        name: "chaos-ct",
        title: "CHAOS, CT",
        summary: "20 CT volumes of the abdomen, 2 classes; CC BY-SA 4.0, Kavur et al.",
        needs: "CT/PATIENT/DICOM_anon/*.dcm and CT/PATIENT/Ground/*.png",
        folders: &["data/chaos"],
        sign: "CT",
        find: chaos::find_ct,
    },
    SegmentationInfo {
        name: "chaos-mr",
        title: "CHAOS, MR",
        summary: "60 MRI volumes of the abdomen of 20 patients, 5 classes; CC BY-SA 4.0, Kavur et al.",
        needs: "MR/PATIENT/T1DUAL and MR/PATIENT/T2SPIR, each with DICOM_anon (T1DUAL: InPhase and OutPhase in it) and Ground",
        folders: &["data/chaos"],
        sign: "MR",
        find: chaos::find_mr,
    },
];

/// What is known of a segmentation set by its name.
pub fn segmentation_info(name: &str) -> Result<&'static SegmentationInfo> {
    SEGMENTATION_SETS.iter().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<&str> = SEGMENTATION_SETS.iter().map(|s| s.name).collect();
        Error::Usage(format!("there is no segmentation set '{name}'; the segmentation sets are {}", names.join(", ")))
    })
}

/// Reads a segmentation set. Missing or damaged files are [`Error::Input`] with file, place, what was expected and what was found.
pub fn open_segmentation(name: &str, data_dir: Option<&Path>) -> Result<SegmentationSet> {
    let info = segmentation_info(name)?;
    if let Some(folder) = data_dir.filter(|f| !f.exists()) {
        return Err(Error::input(folder, "there is no such folder (--data-dir)"));
    }
    let folders = looked_at(info.name, info.folders, data_dir);
    let listing = (info.find)(&folders)?.ok_or_else(|| {
        let what = format!("missing: {}; looked in {}. Name the folder with --data-dir", info.needs, list(&folders));
        Error::input(folders.first().cloned().unwrap_or_default(), what)
    })?;
    let mut set = listing.read(info.name)?;
    set.hash = hash(&set);
    Ok(set)
}

/// The state of a segmentation set's files: one line for all that is well, and one for each volume that is not.
pub fn check_segmentation(name: &str, data_dir: Option<&Path>) -> Result<Vec<Found>> {
    let info = segmentation_info(name)?;
    let folders = looked_at(info.name, info.folders, data_dir);
    Ok(match (info.find)(&folders) {
        Ok(Some(listing)) => listing.check(),
        Ok(None) => vec![Found::missing(info.sign, &folders)],
        Err(Error::Input { path, what }) => vec![Found::there(&path, what, false)],
        Err(e) => return Err(e),
    })
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
        () if ends(&[".dcm"]) => dicom::read(path).map(|s| Grid { shape: [1, s.size[0], s.size[1]], spacing: s.spacing, values: s.values }),
        () => Err(Error::input(path, "expected a name that ends in .nii, .nii.gz, .mhd, .mha, .png, .tif, .tiff or .dcm")),
    }
}

fn hash(set: &SegmentationSet) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}", set.classes).as_bytes());
    for (split, volumes) in [("train", &set.train), ("test", &set.test)] {
        hash.update(format!("{split} {}", volumes.len()).as_bytes());
        for volume in volumes {
            hash.update(format!("{volume:?}{:?}", volume.spacing).as_bytes());
            let bytes: Vec<u8> = volume.intensities.iter().flat_map(|v| v.to_le_bytes()).collect();
            hash.update(&bytes);
            hash.update(&volume.mask);
        }
    }
    hex(&hash.finalize())
}
