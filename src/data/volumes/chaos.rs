//! CHAOS: folders of DICOM slices and of PNG masks, CT with the liver, MR with four organs.

use super::listing::{BLACK_AND_WHITE, Case, Listing, Values, entries, name, slices, without_ending};
use crate::data::names;
use crate::error::{Error, Result, input};
use std::path::{Path, PathBuf};

const IMAGES: &str = "DICOM_anon";
const MASKS: &str = "Ground";

/// What differs between CT and MR.
struct Kind {
    folder: &'static str,
    /// Sequences, and the folder of slices below a sequence's `DICOM_anon`, if there is one.
    sequences: &'static [(&'static str, &'static str)],
    classes: &'static [&'static str],
    values: Values,
}

const CT: Kind = Kind {
    folder: "CT",
    sequences: &[("", "")],
    classes: &["background", "liver"],
    values: (BLACK_AND_WHITE, "0 (background) or 255 (liver)"),
};
const MR: Kind = Kind {
    folder: "MR",
    sequences: &[("T1DUAL", "InPhase"), ("T1DUAL", "OutPhase"), ("T2SPIR", "")],
    classes: &["background", "liver", "right kidney", "left kidney", "spleen"],
    values: (
        &[0..=0, 55..=70, 110..=135, 175..=200, 240..=255],
        "0 (background), 55 to 70 (liver), 110 to 135 (right kidney), 175 to 200 (left kidney) or 240 to 255 (spleen)",
    ),
};

/// The CT volumes, one a patient.
pub fn find_ct(folders: &[PathBuf]) -> Result<Option<Listing>> {
    find(folders, &CT)
}

/// The MR volumes, three a patient: T1 in phase and out of phase, which share their masks, and T2.
pub fn find_mr(folders: &[PathBuf]) -> Result<Option<Listing>> {
    find(folders, &MR)
}

fn find(folders: &[PathBuf], kind: &Kind) -> Result<Option<Listing>> {
    let candidates = folders.iter().flat_map(|f| [f.clone(), f.join("Train_Sets")]).map(|f| f.join(kind.folder));
    let Some(folder) = candidates.into_iter().find(|f| f.is_dir()) else {
        return Ok(None);
    };
    let (mut cases, mut left_out) = (Vec::new(), Vec::new());
    for patient in entries(&folder)?.into_iter().filter(|p| p.is_dir()) {
        for (sequence, phase) in kind.sequences {
            let (subject, part, values) = (name(&patient), patient.join(sequence), kind.values);
            let (images, masks) =
                (files(&part.join(IMAGES).join(phase), ".dcm", &mut left_out)?, numbered(&part.join(MASKS), &mut left_out)?);
            let volume = format!("{subject}/{sequence}/{phase}").trim_end_matches('/').to_string();
            let (n, files) = (images.len(), [images, masks].concat());
            let parts = move |files: &[PathBuf]| slices(&files[..n], &files[n..], values);
            cases.push(Case { name: volume, subject, files, shipped: 0, parts: Box::new(parts) });
        }
    }
    if cases.is_empty() {
        return Err(Error::input(folder, "expected a folder for each patient, found none"));
    }
    // Two sequences share the folder of their masks.
    left_out.sort();
    left_out.dedup();
    Ok(Some(Listing { folder, classes: Some(names(kind.classes)), cases, test: None, left_out }))
}

/// Files of a folder with an ending, at least one; the others are left out.
fn files(folder: &Path, ending: &str, left_out: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let all = if folder.is_dir() { entries(folder)? } else { Vec::new() };
    let (found, others): (Vec<PathBuf>, Vec<PathBuf>) = all.into_iter().partition(|p| without_ending(&name(p), &[ending]).is_some());
    left_out.extend(others.into_iter().filter(|p| p.is_file()));
    if found.is_empty() {
        let part = if folder.is_dir() { "" } else { "a folder of " };
        return Err(input!(folder, "expected {part}*{ending} files, found none; unpack the whole training set"));
    }
    Ok(found)
}

/// The masks of a folder by the last number in their names.
fn numbered(folder: &Path, left_out: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files(folder, ".png", left_out)? {
        let number = last_number(&name(&path))
            .ok_or_else(|| Error::input(&path, "expected a slice number in the name, such as liver_GT_000.png"))?;
        found.push((number, path));
    }
    found.sort();
    if let Some(pair) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(input!(&pair[1].1, "{} has the same slice number, {}; expected all different", pair[0].1.display(), pair[0].0));
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn last_number(name: &str) -> Option<u64> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let digits = |c: char| c.is_ascii_digit();
    let end = stem.rfind(digits)? + 1;
    let start = stem[..end].rfind(|c| !digits(c)).map_or(0, |at| at + stem[at..].chars().next().map_or(1, char::len_utf8));
    stem[start..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_numbered_in_every_style() {
        let cases = [
            ("liver_GT_000.png", Some(0)),
            ("IMG-0004-00012.png", Some(12)),
            ("liver_001b.png", Some(1)),
            ("é7.png", Some(7)),
            ("mask.png", None),
        ];
        for (name, number) in cases {
            assert_eq!(last_number(name), number, "{name}");
        }
        assert_eq!(last_number("99999999999999999999999.png"), None);
    }

    #[test]
    fn a_file_that_is_left_out_counts_once_where_two_sequences_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let patient = folder.path().join("MR/1");
        for (sequence, phase) in MR.sequences {
            let [images, masks] = [patient.join(sequence).join(IMAGES).join(phase), patient.join(sequence).join(MASKS)];
            for (part, file) in [(images, "i1.dcm"), (masks, "m1.png")] {
                std::fs::create_dir_all(&part).unwrap();
                std::fs::write(part.join(file), b"").unwrap();
            }
        }
        let notes = patient.join("T1DUAL").join(MASKS).join("notes.txt");
        std::fs::write(&notes, b"").unwrap();
        let listing = find_mr(&[folder.path().to_path_buf()]).unwrap().unwrap();
        assert_eq!((listing.cases.len(), listing.left_out), (3, vec![notes]));
    }

    #[test]
    fn organs_are_ranges_of_values() {
        let class = |kind: &Kind, value: u32| kind.values.0.iter().position(|r| r.contains(&value));
        let ends = [55, 70, 110, 135, 175, 200, 240, 255].map(|v| class(&MR, v));
        assert_eq!(ends, [1, 1, 2, 2, 3, 3, 4, 4].map(Some));
        assert!([1, 54, 71, 109, 136, 174, 201, 239, 256].iter().all(|v| class(&MR, *v).is_none()));
        assert_eq!([63, 126, 189, 252].map(|v| class(&MR, v)), [1, 2, 3, 4].map(Some));
        assert_eq!([0, 255, 1, 63].map(|v| class(&CT, v)), [Some(0), Some(1), None, None]);
        assert_eq!([CT.classes.len(), MR.classes.len()], [CT.values.0.len(), MR.values.0.len()]);
    }
}
