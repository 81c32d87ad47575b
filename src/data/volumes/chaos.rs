//! CHAOS: folders of DICOM slices and of PNG masks, CT with the liver, MR with four organs.

use super::listing::{Case, Classes, Listing, Source, Test, entries, name};
use crate::error::{Error, Result, input};
use std::path::{Path, PathBuf};

const IMAGES: &str = "DICOM_anon";
const MASKS: &str = "Ground";
const CT_CLASSES: [&str; 2] = ["background", "liver"];
const MR_CLASSES: [&str; 5] = ["background", "liver", "right kidney", "left kidney", "spleen"];
/// Sequences of MR, and the folder of slices below its `DICOM_anon`, if there is one.
const SEQUENCES: [(&str, &str); 3] = [("T1DUAL", "InPhase"), ("T1DUAL", "OutPhase"), ("T2SPIR", "")];

/// What differs between CT and MR.
struct Kind {
    folder: &'static str,
    classes: &'static [&'static str],
    values: (Classes, &'static str),
}

const CT: Kind = Kind { folder: "CT", classes: &CT_CLASSES, values: (ct_class, "0 (background) or 255 (liver)") };
const MR: Kind = Kind {
    folder: "MR",
    classes: &MR_CLASSES,
    values: (mr_class, "0 (background), 55 to 70 (liver), 110 to 135 (right kidney), 175 to 200 (left kidney) or 240 to 255 (spleen)"),
};

fn ct_class(value: u32) -> Option<u8> {
    match value {
        0 => Some(0),
        255 => Some(1),
        _ => None,
    }
}

fn mr_class(value: u32) -> Option<u8> {
    match value {
        0 => Some(0),
        55..=70 => Some(1),
        110..=135 => Some(2),
        175..=200 => Some(3),
        240..=255 => Some(4),
        _ => None,
    }
}

/// The CT volumes, one a patient.
pub fn find_ct(folders: &[PathBuf]) -> Result<Option<Listing>> {
    find(folders, &CT, |patient| vec![(String::new(), patient.join(IMAGES), patient.join(MASKS))])
}

/// The MR volumes, three a patient: T1 in phase and out of phase, which share their masks, and T2.
pub fn find_mr(folders: &[PathBuf]) -> Result<Option<Listing>> {
    find(folders, &MR, |patient| {
        let one = |(sequence, phase): (&str, &str)| {
            let folder = patient.join(sequence);
            let label = format!("/{sequence}/{phase}");
            (label.trim_end_matches('/').to_string(), folder.join(IMAGES).join(phase), folder.join(MASKS))
        };
        SEQUENCES.map(one).to_vec()
    })
}

/// The volumes of a patient: what to add to the patient's name, the folder of slices, the folder of masks.
type Volumes = Vec<(String, PathBuf, PathBuf)>;

fn find(folders: &[PathBuf], kind: &Kind, volumes: impl Fn(&Path) -> Volumes) -> Result<Option<Listing>> {
    let candidates = folders.iter().flat_map(|f| [f.clone(), f.join("Train_Sets")]).map(|f| f.join(kind.folder));
    let Some(folder) = candidates.into_iter().find(|f| f.is_dir()) else {
        return Ok(None);
    };
    let mut cases = Vec::new();
    for patient in entries(&folder)?.into_iter().filter(|p| p.is_dir()) {
        for (label, images, masks) in volumes(&patient) {
            let source = Source::Slices { images: files(&images, ".dcm")?, masks: numbered(&masks)?, classes: kind.values };
            cases.push(Case { name: format!("{}{label}", name(&patient)), subject: name(&patient), source });
        }
    }
    if cases.is_empty() {
        return Err(Error::input(folder, "expected a folder for each patient, found none"));
    }
    Ok(Some(Listing { folder, classes: Some(kind.classes.iter().map(|c| c.to_string()).collect()), cases, test: Test::Share }))
}

/// Files of a folder with an ending; at least one.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Err(input!(folder, "expected a folder of *{ending} files, found none; unpack the whole training set"));
    }
    let found: Vec<PathBuf> = entries(folder)?.into_iter().filter(|p| name(p).to_ascii_lowercase().ends_with(ending)).collect();
    if found.is_empty() {
        return Err(input!(folder, "expected *{ending} files, found none; unpack the whole training set"));
    }
    Ok(found)
}

/// The masks of a folder by the last number in their names.
fn numbered(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files(folder, ".png")? {
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
    fn organs_are_ranges_of_values() {
        let ends = [55, 70, 110, 135, 175, 200, 240, 255].map(mr_class);
        assert_eq!(ends, [1, 1, 2, 2, 3, 3, 4, 4].map(Some));
        assert!([1, 54, 71, 109, 136, 174, 201, 239, 256].iter().all(|v| mr_class(*v).is_none()));
        assert_eq!([63, 126, 189, 252].map(mr_class), [1, 2, 3, 4].map(Some));
        assert_eq!([0, 255, 1, 63].map(ct_class), [Some(0), Some(1), None, None]);
    }
}
