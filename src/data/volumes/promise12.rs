//! PROMISE12: MetaImage pairs, `CaseNN.mhd` and `CaseNN_segmentation.mhd`.

use super::listing::{Case, Listing, Source, Test, entries, name};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

const ENDINGS: [&str; 2] = [".mhd", ".mha"];
const MASK: &str = "_segmentation";
/// Volumes of the test, as in the code that came with NAS-Unet.
const TEST: [&str; 5] = ["Case05", "Case15", "Case25", "Case35", "Case45"];

/// Pairs cases and segmentations in the first folder that has any, its sub-folders included.
pub fn find(folders: &[PathBuf]) -> Result<Option<Listing>> {
    for folder in folders.iter().filter(|f| f.is_dir()) {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut parts = vec![folder.clone()];
        parts.extend(entries(folder)?.into_iter().filter(|p| p.is_dir()));
        for path in parts.iter().map(|p| entries(p)).collect::<Result<Vec<_>>>()?.concat() {
            let file = name(&path);
            let Some(stem) = ENDINGS.iter().find_map(|e| file.strip_suffix(e)).filter(|s| s.starts_with("Case")) else { continue };
            if let Some(other) = files.insert(stem.to_string(), path.clone()) {
                return Err(Error::input(path, format!("{} has the same name; remove one of them", other.display())));
            }
        }
        if !files.is_empty() {
            return pairs(folder.clone(), files).map(Some);
        }
    }
    Ok(None)
}

fn pairs(folder: PathBuf, mut files: BTreeMap<String, PathBuf>) -> Result<Listing> {
    let names: Vec<String> = files.keys().filter(|n| !n.ends_with(MASK)).cloned().collect();
    let mut cases = Vec::new();
    for name in names {
        let image = files.remove(&name).expect("a key");
        let Some(mask) = files.remove(&format!("{name}{MASK}")) else {
            return Err(Error::input(image, format!("image without label: expected {name}{MASK}.mhd beside it")));
        };
        cases.push(Case { subject: name.clone(), name, source: Source::Pair { image, mask, classes: None } });
    }
    if let Some((name, mask)) = files.pop_first() {
        let image = name.trim_end_matches(MASK);
        return Err(Error::input(mask, format!("label without image: expected {image}.mhd beside it")));
    }
    let test = Test::Subjects(TEST.map(String::from).to_vec());
    Ok(Listing { folder, classes: Some(["background", "prostate"].map(String::from).to_vec()), cases, test, notes: Vec::new() })
}
