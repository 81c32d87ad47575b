//! Forty MRI volumes of the hippocampus, part of the program (see `data/hippocampus/README.md`).

use super::listing::{Case, Listing, paired};
use super::nifti;
use crate::data::names;
use crate::error::Result;
use std::path::{Path, PathBuf};

/// Where the files are in the sources, and their names in messages.
const FOLDER: &str = "data/hippocampus";
const CLASSES: [&str; 3] = ["background", "Anterior", "Posterior"];

/// The number of a volume, its image and its label.
type Shipped = (&'static str, &'static [u8], &'static [u8]);

macro_rules! shipped {
    ($($number:literal)*) => {
        &[$((
            $number,
            include_bytes!(concat!("../../../data/hippocampus/imagesTr/hippocampus_", $number, ".nii.gz")),
            include_bytes!(concat!("../../../data/hippocampus/labelsTr/hippocampus_", $number, ".nii.gz")),
        )),*]
    };
}

/// The first 40 of the 260 published ones by number.
const VOLUMES: &[Shipped] = shipped!(
    "001" "003" "004" "006" "007" "008" "011" "014" "015" "017" "019" "020" "023" "024" "025" "026" "033" "034" "035" "036"
    "037" "038" "039" "040" "041" "042" "044" "045" "046" "048" "049" "050" "051" "052" "053" "056" "057" "058" "060" "064"
);

/// All volumes; the folders are not needed.
pub fn find(_folders: &[PathBuf]) -> Result<Option<Listing>> {
    let cases = VOLUMES.iter().map(case).collect();
    Ok(Some(Listing { folder: FOLDER.into(), classes: Some(names(CLASSES)), cases, test: None, left_out: Vec::new() }))
}

fn case((number, image, label): &'static Shipped) -> Case {
    let name = format!("hippocampus_{number}");
    let [image_path, label_path] = ["imagesTr", "labelsTr"].map(|part| Path::new(FOLDER).join(part).join(format!("{name}.nii.gz")));
    let parts = move |_: &[PathBuf]| {
        let (grid, labels) = (nifti::unpacked(&image_path, image)?, nifti::unpacked(&label_path, label)?);
        paired((&image_path, grid), (&label_path, labels), None)
    };
    Case { subject: name.clone(), name, files: Vec::new(), shipped: (image.len() + label.len()) as u64, parts: Box::new(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SegmentationSet, Volume, open_segmentation};
    use crate::units::hex;
    use sha2::{Digest, Sha256};
    use std::collections::BTreeMap;

    fn set() -> SegmentationSet {
        open_segmentation("hippocampus", None).unwrap()
    }

    #[test]
    fn the_shipped_files_are_those_of_the_list_of_sums() {
        let sums = include_str!("../../../data/hippocampus/SHA256SUMS").lines().map(|line| line.split_once("  ").unwrap());
        let listed: BTreeMap<&str, &str> = sums.map(|(sum, file)| (file, sum)).collect();
        assert_eq!((listed.len(), VOLUMES.len()), (80, 40));
        for (number, image, label) in VOLUMES {
            for (part, bytes) in [("imagesTr", image), ("labelsTr", label)] {
                let file = format!("{part}/hippocampus_{number}.nii.gz");
                assert_eq!(listed[file.as_str()], hex(&Sha256::digest(bytes)), "{file}");
            }
        }
    }

    #[test]
    fn the_counts_are_those_that_are_documented() {
        let set = set();
        assert_eq!((set.train.len(), set.test.len()), (32, 8));
        let tested: Vec<&str> = set.test.iter().map(|v| v.name.trim_start_matches("hippocampus_")).collect();
        assert_eq!(tested, TESTED);
        let counts = |volumes: &[Volume]| {
            let voxels = |class| volumes.iter().flat_map(|v| &v.mask).filter(|c| **c == class).count();
            let filled = |v: &Volume| v.mask.chunks(v.height * v.width).filter(|s| s.iter().any(|c| *c > 0)).count();
            [volumes.iter().map(|v| v.depth).sum(), volumes.iter().map(filled).sum(), voxels(0), voxels(1), voxels(2)]
        };
        assert_eq!([counts(&set.train), counts(&set.test)], COUNTS);
        let widest = |size: fn(&Volume) -> usize| {
            [set.train.iter().chain(&set.test).map(size).min(), set.train.iter().chain(&set.test).map(size).max()]
        };
        assert_eq!([widest(|v| v.width), widest(|v| v.height), widest(|v| v.depth)].map(|m| m.map(Option::unwrap)), SIZES);
        let all_classes = |v: &Volume| (0..3).all(|class| v.mask.contains(&class));
        assert!(set.train.iter().chain(&set.test).all(all_classes), "every volume has every class");
    }

    const TESTED: [&str; 8] = ["015", "026", "033", "034", "035", "041", "052", "056"];
    /// Slices, those with foreground, and voxels of each class; of the training and of the test.
    const COUNTS: [[usize; 5]; 2] = [[1144, 825, 1_950_532, 57_521, 52_828], [295, 219, 502_919, 14_515, 13_037]];
    /// Smallest and largest width, height and depth.
    const SIZES: [[usize; 2]; 3] = [[33, 42], [46, 54], [28, 43]];

    #[test]
    fn the_folder_is_a_task_of_the_decathlon_with_the_same_volumes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        let (shipped, read) = (set(), open_segmentation("msd", Some(&folder)).unwrap());
        assert_eq!((&shipped.classes, &shipped.hash), (&read.classes, &read.hash));
        assert!(shipped.train == read.train && shipped.test == read.test);
    }

    #[test]
    fn every_volume_is_sound_and_damage_is_named() {
        let listing = find(&[]).unwrap().unwrap();
        let found = listing.check();
        assert!(found.len() == 1 && found[0].ok && found[0].bytes == 3_188_520, "{found:?}");
        let error = nifti::unpacked(Path::new("a.nii.gz"), &VOLUMES[0].1[..1000]).unwrap_err().to_string();
        assert!(error.contains("a.nii.gz"), "{error}");
    }
}
