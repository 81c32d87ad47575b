//! Ultrasound Nerve Segmentation: pairs of images, `SUBJECT_NUMBER.tif` and `SUBJECT_NUMBER_mask.tif`, or PNG.

use super::listing::{Listing, Test, entries, name, note, pairs};
use crate::error::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;

const ENDINGS: [&str; 3] = [".tif", ".tiff", ".png"];
const MASK: &str = "_mask";
const VALUES: &str = "0 (background) or 255 (nerve)";

fn class(value: u32) -> Option<u8> {
    match value {
        0 => Some(0),
        255 => Some(1),
        _ => None,
    }
}

/// Subject and number of an image.
fn numbers(stem: &str) -> Option<(u32, u32)> {
    let (subject, number) = stem.split_once('_')?;
    Some((subject.parse().ok()?, number.parse().ok()?))
}

/// Pairs images and masks in the first folder that has any, or in its sub-folder `train`.
pub fn find(folders: &[PathBuf]) -> Result<Option<Listing>> {
    for folder in folders.iter().flat_map(|f| [f.join("train"), f.clone()]).filter(|f| f.is_dir()) {
        let (mut images, mut masks) = (BTreeMap::new(), BTreeMap::new());
        for path in entries(&folder)? {
            let file = name(&path);
            let Some(stem) = ENDINGS.iter().find_map(|e| file.strip_suffix(e)) else { continue };
            let (kind, stem) = stem.strip_suffix(MASK).map_or((&mut images, stem), |s| (&mut masks, s));
            let Some(key) = numbers(stem) else { continue };
            note(kind, key, path)?;
        }
        if !images.is_empty() || !masks.is_empty() {
            let case = |(subject, number): &(u32, u32)| [format!("{subject}_{number}"), subject.to_string()];
            let missing =
                |(subject, number): &(u32, u32), mask| format!("{subject}_{number}{}.tif or .png beside it", if mask { MASK } else { "" });
            let cases = pairs(images, masks, Some((class, VALUES)), case, missing)?;
            let classes = ["background", "nerve"].map(String::from).to_vec();
            return Ok(Some(Listing { folder, classes: Some(classes), cases, test: Test::Share }));
        }
    }
    Ok(None)
}
