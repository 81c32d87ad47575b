//! The data sets by name: what they are, where their files are looked for, how they are read.

use super::files::Found;
use super::volumes::{self, Listing};
use super::{DataSet, cifar, digits, idx, noise};
use crate::error::{Error, Result, usage};
use std::path::{Path, PathBuf};

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
    pub(super) reader: Reader,
}

/// How the files in the first of some folders become a set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// Images with a class each; `check` names what `open` would refuse, and reads no more than that.
    Images { open: fn(&[PathBuf]) -> Result<DataSet>, check: fn(&[PathBuf]) -> Vec<Found> },
    /// Volumes with a class for every voxel; `sign` is a file or folder by which the set is known.
    Volumes { sign: &'static str, find: fn(&[PathBuf]) -> Result<Option<Listing>> },
}

/// Every data set.
pub const SETS: &[SetInfo] = &[
    SetInfo {
        name: "digits",
        title: "UCI optical digits",
        summary: "1,797 images of 8x8 pixels, 10 classes; CC BY 4.0, Alpaydin and Kaynak",
        needs: "nothing: it is part of the program",
        folders: &[],
        reader: Reader::Images { open: digits::open, check: digits::check },
    },
    SetInfo {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        summary: "70,000 images of 28x28 pixels, 10 classes; MIT, Zalando",
        needs: "the four IDX files, gzipped or plain (Debian: apt install dataset-fashion-mnist)",
        folders: &["/usr/share/datasets/fashion-mnist", "data/fashion-mnist"],
        reader: Reader::Images { open: idx::open, check: idx::check },
    },
    SetInfo {
        name: "cifar10",
        title: "CIFAR-10",
        summary: "60,000 colour images of 32x32 pixels, 10 classes; Krizhevsky",
        needs: "the binary version: cifar-10-binary.tar.gz, or its folder cifar-10-batches-bin",
        folders: &["data/cifar10", "data"],
        reader: Reader::Images { open: cifar::open, check: cifar::check },
    },
    SetInfo {
        name: noise::NAME,
        title: "Noise",
        summary: "random pixels in the number and shape of CIFAR-10, to measure time and memory; nothing can be learned",
        needs: "nothing: it is drawn when it is needed",
        folders: &[],
        reader: Reader::Images { open: noise::open, check: noise::check },
    },
    SetInfo {
        name: "hippocampus",
        title: "Hippocampus, the first 40 volumes of task 4 of the Medical Segmentation Decathlon",
        summary: "40 MRI volumes of about 36 slices of 50x35 pixels, 3 classes; CC BY-SA 4.0, Antonelli et al. and Simpson et al.",
        needs: "nothing: it is part of the program",
        folders: &[],
        reader: Reader::Volumes { sign: "hippocampus", find: volumes::hippocampus::find },
    },
    SetInfo {
        name: "msd",
        title: "Medical Segmentation Decathlon, any task of one channel",
        summary: "such as 260 MRI volumes of the hippocampus, 3 classes; CC BY-SA 4.0, Antonelli et al. and Simpson et al.",
        needs: "imagesTr/ and labelsTr/ (or images/ and labels/) with NAME.nii.gz in both; dataset.json names the classes",
        folders: &["data/msd"],
        reader: Reader::Volumes { sign: "imagesTr", find: volumes::msd::find },
    },
    SetInfo {
        name: "promise12",
        title: "PROMISE12",
        summary: "50 MRI volumes of the prostate, 2 classes; Litjens et al.",
        needs: "CaseNN.mhd and CaseNN_segmentation.mhd with their .raw files, in one folder or in its sub-folders",
        folders: &["data/promise12"],
        reader: Reader::Volumes { sign: "Case00.mhd", find: volumes::promise12::find },
    },
    SetInfo {
        name: "nerve",
        title: "Ultrasound Nerve Segmentation",
        summary: "5,635 ultrasound images of 580x420 pixels of 47 subjects, 2 classes; Kaggle, under the rules of the competition",
        needs: "train/SUBJECT_NUMBER.tif and SUBJECT_NUMBER_mask.tif, or the same as .png",
        folders: &["data/nerve"],
        reader: Reader::Volumes { sign: "1_1.tif", find: volumes::nerve::find },
    },
    SetInfo {
        name: "chaos-ct",
        title: "CHAOS, CT",
        summary: "20 CT volumes of the abdomen, 2 classes; CC BY-SA 4.0, Kavur et al.",
        needs: "CT/PATIENT/DICOM_anon/*.dcm and CT/PATIENT/Ground/*.png",
        folders: &["data/chaos"],
        reader: Reader::Volumes { sign: "CT", find: volumes::chaos::find_ct },
    },
    SetInfo {
        name: "chaos-mr",
        title: "CHAOS, MR",
        summary: "60 MRI volumes of the abdomen of 20 patients, 5 classes; CC BY-SA 4.0, Kavur et al.",
        needs: "MR/PATIENT/T1DUAL and MR/PATIENT/T2SPIR, each with DICOM_anon (T1DUAL: InPhase and OutPhase in it) and Ground",
        folders: &["data/chaos"],
        reader: Reader::Volumes { sign: "MR", find: volumes::chaos::find_mr },
    },
];

impl SetInfo {
    /// Whether its pixels have classes, or its images.
    pub fn is_segmentation(&self) -> bool {
        matches!(self.reader, Reader::Volumes { .. })
    }

    /// The folders that are searched, in order: the user's (or its sub-folder with the set's name), else the usual ones.
    pub(super) fn looked_at(&self, data_dir: Option<&Path>) -> Vec<PathBuf> {
        match data_dir {
            Some(folder) => vec![folder.to_path_buf(), folder.join(self.name)],
            None => self.folders.iter().map(PathBuf::from).collect(),
        }
    }

    /// The same for reading: a folder that the user names has to be there.
    pub(super) fn existing(&self, data_dir: Option<&Path>) -> Result<Vec<PathBuf>> {
        match data_dir.filter(|f| !f.exists()) {
            Some(folder) => Err(Error::input(folder, "there is no such folder (--data-dir)")),
            None => Ok(self.looked_at(data_dir)),
        }
    }
}

/// Names of all data sets.
pub fn set_names() -> Vec<&'static str> {
    SETS.iter().map(|s| s.name).collect()
}

/// What is known of a set by its name.
pub fn info(name: &str) -> Result<&'static SetInfo> {
    let unknown = || usage!("there is no data set '{name}'; the data sets are {}", set_names().join(", "));
    SETS.iter().find(|s| s.name == name).ok_or_else(unknown)
}

/// Whether the pixels of a set have classes (or its images), by its name.
pub fn is_segmentation(name: &str) -> Result<bool> {
    info(name).map(SetInfo::is_segmentation)
}

/// The files of a data set: where each was found and whether its content is the published one; of volumes one line for all that is well, and one for
/// each that is not.
pub fn check(name: &str, data_dir: Option<&Path>) -> Result<Vec<Found>> {
    let info = info(name)?;
    let folders = info.looked_at(data_dir);
    match info.reader {
        Reader::Images { check, .. } => Ok(check(&folders)),
        Reader::Volumes { sign, find } => match find(&folders) {
            Ok(Some(listing)) => Ok(listing.check()),
            Ok(None) => Ok(vec![Found::missing(sign, &folders)]),
            Err(e) => Ok(vec![Found::there(Path::new(sign), Err(e))]),
        },
    }
}
