//! Ultrasound Nerve Segmentation: pairs of images, `SUBJECT_NUMBER.tif` and `SUBJECT_NUMBER_mask.tif`, or PNG.

use super::listing::{BLACK_AND_WHITE, Key, Listing, entries, pairs, stem};
use crate::data::names;
use crate::error::Result;
use std::path::PathBuf;

const ENDINGS: [&str; 3] = [".tif", ".tiff", ".png"];
const MASK: &str = "_mask";
const VALUES: &str = "0 (background) or 255 (nerve)";

/// The image that a file belongs to, by the numbers of the subject and of the image; and whether it is a mask.
fn key(file: &str) -> Option<(Key, bool)> {
    let (stem, mask) = stem(file, &ENDINGS, MASK)?;
    let (subject, number) = stem.split_once('_')?;
    let order: [u32; 2] = [subject.parse().ok()?, number.parse().ok()?];
    Some((Key { order, name: format!("{}_{}", order[0], order[1]), subject: order[0].to_string() }, mask))
}

/// Pairs images and masks in the first folder that has any, or in its sub-folder `train`.
pub fn find(folders: &[PathBuf]) -> Result<Option<Listing>> {
    for folder in folders.iter().flat_map(|f| [f.join("train"), f.clone()]).filter(|f| f.is_dir()) {
        let rest = [".tif or .png beside it", "_mask.tif or .png beside it"];
        let (cases, left_out) = pairs(entries(&folder)?, Some((BLACK_AND_WHITE, VALUES)), |_, file| key(file), rest)?;
        if !cases.is_empty() {
            return Ok(Some(Listing { folder, classes: Some(names(["background", "nerve"])), cases, test: None, left_out }));
        }
    }
    Ok(None)
}
