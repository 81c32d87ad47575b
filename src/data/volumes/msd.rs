//! A task of the Medical Segmentation Decathlon: NIfTI pairs of the same name in two folders.

use super::listing::{Key, Listing, entries, pairs, without_ending};
use crate::data::files::stored;
use crate::error::{Error, Result, input};
use crate::unpack::without_mark;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders of images and labels: as published, and without the part that says they are for training.
const LAYOUTS: [[&str; 2]; 2] = [["imagesTr", "labelsTr"], ["images", "labels"]];
const ENDINGS: [&str; 2] = [".nii.gz", ".nii"];
const DESCRIPTION: &str = "dataset.json";

/// Pairs images and labels.
pub fn find(folders: &[PathBuf]) -> Result<Option<Listing>> {
    for folder in folders {
        for [images, labels] in LAYOUTS.map(|layout| layout.map(|name| folder.join(name))) {
            if images.is_dir() || labels.is_dir() {
                return task(folder, &images, &labels).map(Some);
            }
        }
    }
    Ok(None)
}

fn task(folder: &Path, images: &Path, labels: &Path) -> Result<Listing> {
    let rest = [images, labels].map(|folder| format!(".nii.gz in {}", folder.display()));
    let key = |path: &Path, file: &str| {
        let name = without_ending(file, &ENDINGS)?;
        Some((Key::named(name), path.parent() == Some(labels)))
    };
    let (cases, left_out) = pairs([entries(images)?, entries(labels)?].concat(), None, key, rest.each_ref().map(String::as_str))?;
    if cases.is_empty() {
        return Err(Error::input(images, "expected files NAME.nii.gz, found none"));
    }
    let description = folder.join(DESCRIPTION);
    let classes = description.exists().then(|| class_names(&description)).transpose()?;
    Ok(Listing { folder: folder.to_path_buf(), classes, cases, test: None, left_out })
}

/// The field `labels`: names by number, from 0 without gaps.
fn class_names(path: &Path) -> Result<Vec<String>> {
    let bytes = stored(path)?;
    let bad = |what: String| input!(path, "{what}; correct the file, or remove it to do without names");
    let json: serde_json::Value = serde_json::from_slice(without_mark(&bytes)).map_err(|e| bad(format!("this is no JSON: {e}")))?;
    let labels = json.get("labels").and_then(|l| l.as_object());
    let labels = labels.ok_or_else(|| bad("expected an object 'labels' of numbers and names".into()))?;
    let names: BTreeMap<u8, &str> = labels.iter().filter_map(|(k, v)| Some((k.parse().ok()?, v.as_str()?))).collect();
    let numbers: Vec<usize> = names.keys().map(|k| usize::from(*k)).collect();
    if names.len() != labels.len() || names.len() < 2 || numbers != (0..names.len()).collect::<Vec<_>>() {
        let found: Vec<&String> = labels.keys().collect();
        return Err(bad(format!("labels: expected the names of 0, 1, 2 and so on, found {found:?}")));
    }
    Ok(names.into_values().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_without_gaps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DESCRIPTION);
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            class_names(&path)
        };
        assert_eq!(read(r#"{"labels": {"1": "a", "0": "background", "2": "b"}}"#).unwrap(), ["background", "a", "b"]);
        assert_eq!(read("\u{feff}{\"labels\": {\"1\": \"a\", \"0\": \"b\"}}").unwrap(), ["b", "a"], "a byte order mark is no damage");
        for (text, words) in [
            ("[", "no JSON"),
            ("{}", "object 'labels'"),
            (r#"{"labels": {"0": "a", "2": "b"}}"#, "0, 1, 2"),
            (r#"{"labels": {"0": "a", "1": 7}}"#, "0, 1, 2"),
            (r#"{"labels": {"0": "a", "01": "b", "1": "c"}}"#, "0, 1, 2"),
            (r#"{"labels": {"0": "a"}}"#, "0, 1, 2"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(DESCRIPTION), "'{words}' is not in: {error}");
        }
    }
}
