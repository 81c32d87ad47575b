//! Ultrasound Nerve Segmentation: pairs of images, `SUBJECT_NUMBER.tif` and `SUBJECT_NUMBER_mask.tif`, or PNG.

use super::listing::{Case, Listing, Source, Test, entries, name};
use crate::error::{Error, Result};
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
            if let Some(other) = kind.insert(key, path.clone()) {
                let other: PathBuf = other;
                return Err(Error::input(path, format!("{} has the same name; remove one of them", other.display())));
            }
        }
        if !images.is_empty() || !masks.is_empty() {
            return pairs(folder, images, masks).map(Some);
        }
    }
    Ok(None)
}

type Files = BTreeMap<(u32, u32), PathBuf>;

fn pairs(folder: PathBuf, images: Files, mut masks: Files) -> Result<Listing> {
    let mut cases = Vec::new();
    for ((subject, number), image) in images {
        let Some(mask) = masks.remove(&(subject, number)) else {
            return Err(Error::input(image, format!("image without label: expected {subject}_{number}{MASK}.tif or .png beside it")));
        };
        let source = Source::Pair { image, mask, classes: Some((class, VALUES)) };
        cases.push(Case { name: format!("{subject}_{number}"), subject: subject.to_string(), source });
    }
    if let Some(((subject, number), mask)) = masks.pop_first() {
        return Err(Error::input(mask, format!("label without image: expected {subject}_{number}.tif or .png beside it")));
    }
    Ok(Listing { folder, classes: Some(["background", "nerve"].map(String::from).to_vec()), cases, test: Test::Share, notes: Vec::new() })
}
