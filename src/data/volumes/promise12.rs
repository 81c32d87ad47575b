//! PROMISE12: MetaImage pairs, `CaseNN.mhd` and `CaseNN_segmentation.mhd`.

use super::listing::{Key, Listing, entries, name, pairs, stem, without_ending};
use crate::data::names;
use crate::error::Result;
use std::path::PathBuf;

const ENDINGS: [&str; 2] = [".mhd", ".mha"];
const VOXELS: [&str; 2] = [".raw", ".zraw"];
const MASK: &str = "_segmentation";
/// Volumes of the test, as in the code that came with NAS-Unet.
const TEST: [&str; 5] = ["Case05", "Case15", "Case25", "Case35", "Case45"];

/// Pairs cases and segmentations in the first folder that has any, its sub-folders included.
pub fn find(folders: &[PathBuf]) -> Result<Option<Listing>> {
    for folder in folders.iter().filter(|f| f.is_dir()) {
        let mut parts = vec![folder.clone()];
        parts.extend(entries(folder)?.into_iter().filter(|p| p.is_dir()));
        let paths = parts.iter().map(|p| entries(p)).collect::<Result<Vec<_>>>()?.concat();
        let key = |file: &str| {
            let (name, mask) = stem(file, &ENDINGS, MASK).filter(|(name, _)| name.starts_with("Case"))?;
            Some((Key::named(name), mask))
        };
        let (cases, mut left_out) = pairs(paths, None, |_, file| key(file), [".mhd beside it", "_segmentation.mhd beside it"])?;
        if !cases.is_empty() {
            // Voxels are read with the header that names them.
            left_out.retain(|path| without_ending(&name(path), &VOXELS).is_none());
            let classes = Some(names(["background", "prostate"]));
            return Ok(Some(Listing { folder: folder.clone(), classes, cases, test: Some(names(TEST)), left_out }));
        }
    }
    Ok(None)
}
