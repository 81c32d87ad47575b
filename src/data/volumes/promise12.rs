//! PROMISE12: MetaImage pairs, `CaseNN.mhd` and `CaseNN_segmentation.mhd`.

use super::listing::{Listing, Test, entries, name, note, pairs};
use crate::error::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;

const ENDINGS: [&str; 2] = [".mhd", ".mha"];
const MASK: &str = "_segmentation";
/// Volumes of the test, as in the code that came with NAS-Unet.
const TEST: [&str; 5] = ["Case05", "Case15", "Case25", "Case35", "Case45"];

/// Pairs cases and segmentations in the first folder that has any, its sub-folders included.
pub fn find(folders: &[PathBuf]) -> Result<Option<Listing>> {
    for folder in folders.iter().filter(|f| f.is_dir()) {
        let (mut images, mut masks) = (BTreeMap::new(), BTreeMap::new());
        let mut parts = vec![folder.clone()];
        parts.extend(entries(folder)?.into_iter().filter(|p| p.is_dir()));
        for path in parts.iter().map(|p| entries(p)).collect::<Result<Vec<_>>>()?.concat() {
            let file = name(&path);
            let Some(stem) = ENDINGS.iter().find_map(|e| file.strip_suffix(e)).filter(|s| s.starts_with("Case")) else { continue };
            let (kind, stem) = stem.strip_suffix(MASK).map_or((&mut images, stem), |s| (&mut masks, s));
            note(kind, stem.to_string(), path)?;
        }
        if !images.is_empty() || !masks.is_empty() {
            let missing = |name: &String, mask| format!("{name}{}.mhd beside it", if mask { MASK } else { "" });
            let cases = pairs(images, masks, None, |name| [name.clone(), name.clone()], missing)?;
            let classes = ["background", "prostate"].map(String::from).to_vec();
            let test = Test::Subjects(TEST.map(String::from).to_vec());
            return Ok(Some(Listing { folder: folder.clone(), classes: Some(classes), cases, test }));
        }
    }
    Ok(None)
}
