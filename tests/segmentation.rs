//! Segmentation sets: files that other implementations wrote (see `scripts/segmentation_fixtures.py`), voxel by voxel, and what is refused.

use crate::common::files::contains;
use naslab::data::{SegmentationSet, Volume, check, open_segmentation, read_grid};
use naslab::seed::Streams;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/segmentation")
}

#[derive(serde::Deserialize)]
struct Expected {
    grids: BTreeMap<String, ExpectedGrid>,
    sets: BTreeMap<String, Vec<ExpectedVolume>>,
}

#[derive(serde::Deserialize)]
struct ExpectedGrid {
    shape: [usize; 3],
    values: Vec<f32>,
}

#[derive(serde::Deserialize)]
struct ExpectedVolume {
    name: String,
    subject: String,
    split: Option<String>,
    shape: [usize; 3],
    intensities: Vec<f32>,
    mask: Vec<u8>,
}

fn expected() -> Expected {
    serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap()
}

fn refused(name: &str, folder: &Path, words: &[&str]) {
    let error = open_segmentation(name, Some(folder)).expect_err("it must be refused");
    assert_eq!(error.exit_code(), 3);
    contains(&error.to_string(), words);
    let found = check(name, Some(folder)).unwrap();
    assert!(found.iter().all(|f| !f.ok), "{found:?}");
}

/// A copy of a fixture's folder that a test may damage.
fn copy(name: &str) -> tempfile::TempDir {
    fn all(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() { all(&entry.path(), &target) } else { std::fs::copy(entry.path(), target).map(drop).unwrap() }
        }
    }
    let folder = tempfile::Builder::new().prefix("données-").tempdir().unwrap();
    all(&fixtures().join(name), folder.path());
    folder
}

fn fixture(name: &str) -> PathBuf {
    fixtures().join(name)
}

#[test]
fn every_file_of_another_implementation_is_read_voxel_by_voxel() {
    let grids = expected().grids;
    assert!(grids.len() > 50, "{}", grids.len());
    for (name, expected) in grids {
        let grid = read_grid(&fixture(&name)).unwrap();
        assert_eq!(grid.shape, expected.shape, "{name}");
        assert_eq!(grid.values, expected.values, "{name}");
    }
}

#[test]
fn damaged_files_are_named_with_place_expectation_and_finding() {
    let cases: [(&str, &[&str]); 27] = [
        ("truncated.nii", &["truncated", "[3, 4, 5]", "need 120 bytes", "get the file again"]),
        ("header.nii", &["truncated at byte 200", "header of 348 bytes"]),
        ("truncated.nii.gz", &["damaged gzip", "get the file again"]),
        ("sum.nii.gz", &["damaged gzip"]),
        ("long.nii", &["too long", "need 120 bytes"]),
        ("bomb.nii.gz", &["too long"]),
        ("magic.nii", &["wrong magic number at byte 344", "expected \"n+1\\x00\"", "found \"nope\"", "no NIfTI-1 file"]),
        ("pair.nii", &["second file", ".img"]),
        ("swapped.nii", &["byte 0", "expected the header's size, 348", "byte order"]),
        ("half-swapped.nii", &["[768, 1024, 1280]"]),
        ("huge.nii", &["need 70362301923326", "found 472 bytes"]),
        ("huge.nii.gz", &["need 70362301923326", "can unpack to no more than"]),
        ("offset.nii", &["byte 108", "found NaN"]),
        ("truncated.dcm", &["truncated", "(7fe0,0010) of 30 bytes"]),
        ("magic.dcm", &["byte 128", "expected \"DICM\", found \"DICK\"", "no DICOM file"]),
        ("compressed.dcm", &["(0002,0010)", "1.2.840.10008.1.2.5", "gdcmconv"]),
        ("huge.dcm", &["truncated", "of 4294967280 bytes"]),
        ("truncated.tif", &["not a whole TIFF"]),
        ("other.tif", &["not a whole TIFF"]),
        ("truncated.png", &["not a whole PNG"]),
        ("raw.mhd", &["raw.raw", "need 120 bytes", "found 117 bytes"]),
        ("alone.mhd", &["ElementDataFile names lost.raw", "one folder"]),
        ("packed.mha", &["damaged compressed data", "of 240 unpacked bytes"]),
        ("bomb.mha", &["too long", "expected 240 unpacked bytes"]),
        ("huge.mha", &["[99999, 99999, 99999]", "need 1999940000599998 bytes"]),
        ("lost.nii", &["cannot read"]),
        ("name.txt", &["expected a name that ends in .nii"]),
    ];
    for (name, words) in cases {
        let error = read_grid(&fixture("broken").join(name)).expect_err(name);
        assert_eq!(error.exit_code(), 3);
        contains(&error.to_string(), &[&[name.trim_end_matches(".mhd")], words].concat());
    }
    contains(&read_grid(&fixture("flat/colour.png")).unwrap_err().to_string(), &["colour.png", "expected a grey image"]);
    contains(&read_grid(&fixture("flat")).unwrap_err().to_string(), &["expected a name"]);
}

#[test]
fn no_damage_to_a_file_panics() {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in expected().grids.into_keys().filter(|n| !n.starts_with("promise12")).enumerate() {
        let whole = std::fs::read(fixture(&name)).unwrap();
        let target = folder.path().join(Path::new(&name).file_name().unwrap());
        if name.ends_with(".mhd") {
            std::fs::copy(fixture(&name).with_extension("raw"), target.with_extension("raw")).ok();
            std::fs::copy(fixture(&name).with_extension("zraw"), target.with_extension("zraw")).ok();
        }
        let mut rng = Streams::new(1).rng("damage", number as u64);
        for _ in 0..50 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = [0, 1, 0x7f, 0xff, rng.random()][rng.random_range(0..5)];
            }
            bytes.truncate(rng.random_range(bytes.len() / 2..2 * bytes.len()));
            std::fs::write(&target, bytes).unwrap();
            match read_grid(&target) {
                Ok(grid) => assert_eq!(grid.values.len(), grid.shape.iter().product::<usize>(), "{name}"),
                Err(error) => contains(&error.to_string(), &[target.file_stem().unwrap().to_str().unwrap()]),
            }
        }
    }
}

fn volumes(set: &SegmentationSet) -> Vec<(&'static str, &Volume)> {
    let train = set.train.iter().map(|v| ("train", v));
    train.chain(set.test.iter().map(|v| ("test", v))).collect()
}

#[test]
fn sets_of_another_implementation_are_read_voxel_by_voxel() {
    let folders = [
        ("msd", "msd", "msd"),
        ("msd-plain", "msd", "msd-plain"),
        ("promise12", "promise12", "promise12"),
        ("nerve", "nerve", "nerve"),
        ("chaos-ct", "chaos-ct", "chaos"),
        ("chaos-mr", "chaos-mr", "chaos"),
    ];
    let mut expected = expected().sets;
    for (key, name, folder) in folders {
        let set = open_segmentation(name, Some(&fixture(folder))).unwrap();
        let mut wanted: BTreeMap<String, ExpectedVolume> = expected.remove(key).unwrap().into_iter().map(|v| (v.name.clone(), v)).collect();
        let subjects = |volumes: &[Volume]| volumes.iter().map(|v| v.subject.clone()).collect::<BTreeSet<_>>();
        let (train, test) = (subjects(&set.train), subjects(&set.test));
        assert!(train.is_disjoint(&test) && !train.is_empty() && !test.is_empty(), "{key}: {train:?} {test:?}");
        for (split, volume) in volumes(&set) {
            let wanted = wanted.remove(&volume.name).unwrap_or_else(|| panic!("{key} has no {}", volume.name));
            assert_eq!((&volume.subject, [volume.depth, volume.height, volume.width]), (&wanted.subject, wanted.shape), "{key}");
            assert!(wanted.split.is_none_or(|s| s == split), "{volume:?} is in {split}");
            assert_eq!(volume.mask, wanted.mask, "{key}: {volume:?}");
            let furthest = volume.intensities.iter().zip(&wanted.intensities).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest < 1e-6 && volume.intensities.len() == wanted.intensities.len(), "{key}: {volume:?} differs by {furthest}");
        }
        assert!(wanted.is_empty(), "{key} lacks {:?}", wanted.keys());
        let found = check(name, Some(&fixture(folder))).unwrap();
        assert!(found.len() == 1 && found[0].ok && found[0].bytes > 1000, "{found:?}");
        contains(&found[0].state, &["ok", &format!("{} volumes", set.train.len() + set.test.len())]);
        assert_eq!(set.hash, open_segmentation(name, Some(&fixture(folder))).unwrap().hash, "the same files have the same hash");
    }
    assert!(expected.is_empty());
}

#[test]
fn classes_have_names() {
    let classes = |name, folder| open_segmentation(name, Some(&fixture(folder))).unwrap().classes;
    assert_eq!(classes("msd", "msd"), ["background", "Anterior", "Posterior"]);
    assert_eq!(classes("promise12", "promise12"), ["background", "prostate"]);
    assert_eq!(classes("nerve", "nerve"), ["background", "nerve"]);
    assert_eq!(classes("chaos-ct", "chaos"), ["background", "liver"]);
    assert_eq!(classes("chaos-mr", "chaos"), ["background", "liver", "right kidney", "left kidney", "spleen"]);
    let plain = open_segmentation("msd", Some(&fixture("msd-plain"))).unwrap();
    assert_eq!(plain.classes, ["background", "class 1", "class 2"]);
    contains(&plain.notes.concat(), &["highest label is 2"]);
}

#[test]
fn the_shipped_volumes_need_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let set = open_segmentation("hippocampus", Some(folder.path())).unwrap();
    assert_eq!(
        (set.train.len(), set.test.len(), set.classes.as_slice()),
        (32, 8, ["background", "Anterior", "Posterior"].map(String::from).as_slice())
    );
    // A new hash makes every recorded run on it another experiment.
    assert_eq!(set.hash, "efe86148c07557290b5953d54e99b8c1c00a55f2dca267cdbd7a10d6357d7f30");
}

#[test]
fn an_msd_folder_that_is_not_what_it_claims_is_named() {
    let folder = copy("msd");
    let at = |name: &str| folder.path().join(name);
    let moved = |from: &str, to: &str| std::fs::rename(at(from), at(to)).unwrap();
    moved("labelsTr/hippocampus_002.nii.gz", "hidden");
    refused("msd", folder.path(), &["imagesTr/hippocampus_002.nii.gz", "image without label", "labelsTr"]);
    moved("hidden", "labelsTr/hippocampus_002.nii.gz");
    moved("imagesTr/hippocampus_002.nii.gz", "hidden");
    refused("msd", folder.path(), &["labelsTr/hippocampus_002.nii.gz", "label without image", "imagesTr"]);
    moved("hidden", "imagesTr/hippocampus_002.nii.gz");
    // The label of another volume.
    std::fs::copy(at("labelsTr/hippocampus_003.nii.gz"), at("labelsTr/hippocampus_002.nii.gz")).unwrap();
    refused("msd", folder.path(), &["labelsTr/hippocampus_002.nii.gz", "[3, 4, 7]", "imagesTr/hippocampus_002.nii.gz has [3, 4, 6]"]);
    // An image in place of its label.
    std::fs::copy(at("imagesTr/hippocampus_001.nii.gz"), at("labelsTr/hippocampus_001.nii.gz")).unwrap();
    refused(
        "msd",
        folder.path(),
        &["labelsTr/hippocampus_001.nii.gz", "depth 0, row 0, column 0", "no whole number", "mask of the image?"],
    );
    let bad = check("msd", Some(folder.path())).unwrap();
    assert_eq!(bad.len(), 2, "each bad volume has a line: {bad:?}");
    let folder = copy("msd");
    std::fs::write(folder.path().join("dataset.json"), r#"{"labels": {"0": "background", "1": "Anterior"}}"#).unwrap();
    refused(
        "msd",
        folder.path(),
        &["labelsTr/hippocampus_001.nii.gz: voxel at depth 0, row 0, column", "label 2 is no class", "0 to 1 (background, Anterior)"],
    );
    std::fs::write(folder.path().join("dataset.json"), "{").unwrap();
    refused("msd", folder.path(), &["dataset.json", "no JSON"]);
    std::fs::remove_dir_all(folder.path().join("labelsTr")).unwrap();
    refused("msd", folder.path(), &["labelsTr", "cannot read"]);
}

#[test]
fn nan_and_a_single_subject_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = (folder.path().join("images"), folder.path().join("labels"));
    std::fs::create_dir(&images).unwrap();
    std::fs::create_dir(&labels).unwrap();
    refused("msd", folder.path(), &["images", "found none"]);
    std::fs::copy(fixture("nifti/u1-little.nii"), labels.join("a.nii")).unwrap();
    std::fs::copy(fixture("broken/nan.nii"), images.join("a.nii")).unwrap();
    refused("msd", folder.path(), &["at least two subjects", "found 1 (a)"]);
    std::fs::copy(fixture("nifti/u1-little.nii"), labels.join("b.nii")).unwrap();
    std::fs::copy(fixture("nifti/u1-little.nii"), images.join("b.nii")).unwrap();
    refused("msd", folder.path(), &["images/a.nii", "depth 1, row 2, column 3", "found NaN"]);
}

#[test]
fn a_promise12_folder_that_is_not_what_it_claims_is_named() {
    let folder = copy("promise12");
    let part = folder.path().join("TrainingData_Part1");
    std::fs::rename(part.join("Case05.mhd"), part.join("hidden")).unwrap();
    refused("promise12", folder.path(), &["Case05_segmentation.mhd", "label without image"]);
    std::fs::remove_file(part.join("Case05_segmentation.mhd")).unwrap();
    refused("promise12", folder.path(), &["volumes for the test", "Case05", "found 3"]);
    std::fs::remove_file(part.join("Case01_segmentation.mhd")).unwrap();
    refused("promise12", folder.path(), &["Case01.mhd", "image without label", "Case01_segmentation.mhd"]);
    std::fs::copy(part.join("Case00.mhd"), folder.path().join("Case00.mhd")).unwrap();
    refused("promise12", folder.path(), &["Case00.mhd", "the same name"]);
    let folder = copy("promise12");
    let part = folder.path().join("TrainingData_Part1");
    std::fs::copy(part.join("Case00.mhd"), part.join("Case00_segmentation.mhd")).unwrap();
    refused("promise12", folder.path(), &["Case00_segmentation.mhd", "no class"]);
}

#[test]
fn a_nerve_folder_that_is_not_what_it_claims_is_named() {
    let folder = copy("nerve");
    let train = folder.path().join("train");
    std::fs::copy(train.join("1_1.tif"), train.join("1_1_mask.tif")).unwrap();
    refused("nerve", folder.path(), &["1_1_mask.tif", "is no class", "0 (background) or 255 (nerve)"]);
    std::fs::copy(train.join("5_1.png"), train.join("1_1.png")).unwrap();
    refused("nerve", folder.path(), &["1_1.tif", "the same name"]);
    std::fs::remove_file(train.join("1_1.png")).unwrap();
    std::fs::remove_file(train.join("1_1.tif")).unwrap();
    refused("nerve", folder.path(), &["1_1_mask.tif", "label without image"]);
    std::fs::remove_file(train.join("1_1_mask.tif")).unwrap();
    std::fs::remove_file(train.join("1_2_mask.tif")).unwrap();
    refused("nerve", &train, &["1_2.tif", "image without label", "1_2_mask.tif"]);
}

#[test]
fn a_chaos_folder_that_is_not_what_it_claims_is_named() {
    let folder = copy("chaos");
    let patient = folder.path().join("CT/1");
    let mask = |i: usize| patient.join(format!("Ground/liver_GT_{i:03}.png"));
    std::fs::copy(folder.path().join("MR/1/T2SPIR/Ground/IMG-0004-00001.png"), mask(2)).unwrap();
    refused("chaos-ct", folder.path(), &["liver_GT_002.png", "is no class", "255 (liver)"]);
    std::fs::copy(fixture("flat/u1.png"), mask(2)).unwrap();
    refused("chaos-ct", folder.path(), &["liver_GT_002.png", "[1, 6, 7]", "has [1, 5, 6]"]);
    std::fs::copy(mask(1), patient.join("Ground/liver_1.png")).unwrap();
    refused("chaos-ct", folder.path(), &["liver_GT_001.png", "the same slice number, 1"]);
    std::fs::rename(patient.join("Ground/liver_1.png"), patient.join("Ground/liver.png")).unwrap();
    refused("chaos-ct", folder.path(), &["liver.png", "slice number in the name"]);
    std::fs::rename(patient.join("Ground/liver.png"), patient.join("Ground/liver_7.png")).unwrap();
    refused("chaos-ct", folder.path(), &["CT/1/Ground", "5 masks for the 4 slices"]);
    std::fs::remove_file(patient.join("Ground/liver_7.png")).unwrap();
    let slice = |i: usize| patient.join(format!("DICOM_anon/i{i:04},0000b.dcm"));
    std::fs::copy(slice(1), slice(2)).unwrap();
    refused("chaos-ct", folder.path(), &["DICOM_anon", "order of the slices is unknown", "(0020,0013)"]);
    std::fs::copy(fixture("dicom/explicit.dcm"), slice(2)).unwrap();
    refused("chaos-ct", folder.path(), &["CT/1/DICOM_anon", "[5, 3] pixels", "expected one size"]);
    std::fs::remove_dir_all(folder.path().join("MR/2/T1DUAL/DICOM_anon/OutPhase")).unwrap();
    refused("chaos-mr", folder.path(), &["OutPhase", "expected a folder of *.dcm files"]);
}

#[test]
fn missing_sets_say_where_they_were_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display().to_string();
    for (name, words) in
        [("msd", "imagesTr"), ("promise12", "CaseNN.mhd"), ("nerve", "_mask.tif"), ("chaos-ct", "CT/PATIENT"), ("chaos-mr", "T1DUAL")]
    {
        refused(name, folder.path(), &["missing", words, &shown, "--data-dir"]);
        let found = check(name, Some(folder.path())).unwrap();
        assert!(found.iter().all(|f| f.state.contains("missing")), "{found:?}");
        let found = check(name, Some(&folder.path().join("no/such/folder"))).unwrap();
        assert!(found.iter().all(|f| f.state.contains("missing")), "{found:?}");
    }
    refused("msd", Path::new("no/such/folder"), &["no such folder"]);
    let error = open_segmentation("brats", None).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    contains(&error.to_string(), &["brats", "hippocampus, msd, promise12, nerve, chaos-ct, chaos-mr"]);
}

#[test]
fn the_real_hippocampus_set_has_its_260_volumes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/msd-hippocampus");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let set = open_segmentation("msd", Some(&folder)).unwrap();
    assert_eq!((set.train.len(), set.test.len(), set.classes.len()), (208, 52, 3));
    let mut slices = [0; 2];
    let mut voxels = [0usize; 3];
    for (_, volume) in volumes(&set) {
        assert!((31..=43).contains(&volume.width) && (40..=59).contains(&volume.height) && (24..=47).contains(&volume.depth), "{volume:?}");
        assert!(volume.intensities.contains(&0.0) && volume.intensities.contains(&1.0));
        volume.mask.iter().for_each(|c| voxels[usize::from(*c)] += 1);
        slices[0] += volume.depth;
        slices[1] += volume.mask.chunks(volume.height * volume.width).filter(|s| s.iter().any(|c| *c > 0)).count();
    }
    assert_eq!(slices, [9270, 6623], "slices, and slices with foreground");
    let all = voxels.iter().sum::<usize>() as f64;
    let percent = voxels.map(|n| (n as f64 / all * 1e4).round() / 100.0);
    assert_eq!(percent, [94.75, 2.73, 2.52]);
}
