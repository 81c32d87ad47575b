//! The volumes of a set before they are read: which files make each, and who is tested.

use super::grid::{Grid, mask, place, same_shape, scale};
use super::{SegmentationSet, Volume, dicom, flat, read_grid};
use crate::data::files::Found;
use crate::error::{Error, Result, input};
use crate::seed::Streams;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One in so many subjects is tested.
const TEST_SHARE: usize = 5;

/// All volumes of a set.
pub struct Listing {
    /// Where they are.
    pub folder: PathBuf,
    /// Names of the classes; nothing if only the masks know how many there are.
    pub classes: Option<Vec<String>>,
    /// Sorted by name.
    pub cases: Vec<Case>,
    /// Who is tested.
    pub test: Test,
}

/// One volume, unread.
pub struct Case {
    /// Its name within the set.
    pub name: String,
    /// Whose it is.
    pub subject: String,
    /// Where its voxels come from.
    pub source: Source,
}

/// How the subjects of the test are chosen.
pub enum Test {
    /// A fifth of the subjects, at least one, the same for the same names.
    Share,
    /// These.
    Subjects(Vec<String>),
}

/// Gives the class of a value in a mask.
pub type Classes = fn(u32) -> Option<u8>;

/// Where the voxels of a volume come from.
pub enum Source {
    /// Made in memory.
    Ready(Box<Volume>),
    /// A file of intensities and a file of classes.
    Pair {
        /// Intensities.
        image: PathBuf,
        /// Values of the mask.
        mask: PathBuf,
        /// Their classes; without it the values are the class numbers.
        classes: Option<(Classes, &'static str)>,
    },
    /// A folder of DICOM slices and a folder of PNG masks.
    Slices {
        /// One file a slice.
        images: Vec<PathBuf>,
        /// One file a slice, in the order of the slices.
        masks: Vec<PathBuf>,
        /// Classes of the values of the masks.
        classes: (Classes, &'static str),
    },
}

/// A volume of masks as large as the image, its classes not yet compared with those of the set.
type Parts = (PathBuf, Grid, PathBuf, Vec<u8>);

impl Case {
    /// Reads the volume; its mask has only `classes` if these are known.
    pub fn read(&self, classes: Option<&[String]>) -> Result<Volume> {
        let (image_path, image, mask_path, mask) = match &self.source {
            Source::Ready(volume) => return Ok(Volume::clone(volume)),
            Source::Pair { image, mask, classes } => pair(image, mask, *classes)?,
            Source::Slices { images, masks, classes } => slices(images, masks, *classes)?,
        };
        let names = classes.unwrap_or_default();
        if let Some(at) = mask.iter().position(|c| classes.is_some() && usize::from(*c) >= names.len()) {
            let (place, last) = (place(image.shape, at), names.len() - 1);
            return Err(input!(mask_path, "{place}: label {} is no class; expected 0 to {last} ({})", mask[at], names.join(", ")));
        }
        let [depth, height, width] = image.shape;
        let intensities = scale(&image_path, image.shape, image.values)?;
        Ok(Volume { name: self.name.clone(), subject: self.subject.clone(), depth, height, width, intensities, mask })
    }

    /// The files that it is read from.
    fn files(&self) -> Vec<&Path> {
        match &self.source {
            Source::Ready(_) => Vec::new(),
            Source::Pair { image, mask, .. } => vec![image, mask],
            Source::Slices { images, masks, .. } => images.iter().chain(masks).map(PathBuf::as_path).collect(),
        }
    }
}

fn pair(image: &Path, mask_path: &Path, classes: Option<(Classes, &str)>) -> Result<Parts> {
    let grid = read_grid(image)?;
    let labels = read_grid(mask_path)?;
    same_shape((mask_path, labels.shape), (image, grid.shape))?;
    let (class, expected) = classes.unwrap_or((|v| u8::try_from(v).ok(), "a class number from 0 to 255"));
    let mask = mask(mask_path, &labels, expected, class)?;
    Ok((image.to_path_buf(), grid, mask_path.to_path_buf(), mask))
}

/// Stacks slices in the order of the series. A mask of the same name belongs to its slice; if the names differ, the masks
/// have that order too.
fn slices(images: &[PathBuf], masks: &[PathBuf], (class, expected): (Classes, &str)) -> Result<Parts> {
    let (first, folder) = (&images[0], masks[0].parent().unwrap_or(&masks[0]));
    if images.len() != masks.len() {
        let what = format!("{} masks for the {} slices beside {}; expected one for each", masks.len(), images.len(), first.display());
        return Err(Error::input(folder, what));
    }
    let mut read = images.iter().map(|path| Ok((path, dicom::read(path)?))).collect::<Result<Vec<_>>>()?;
    let size = read[0].1.size;
    if let Some((path, slice)) = read.iter().find(|(_, slice)| slice.size != size) {
        let what = format!("the slice has {:?} pixels (height, width), {} has {size:?}; expected one size", slice.size, first.display());
        return Err(Error::input(path, what));
    }
    in_order(&mut read)?;
    let stem = |path: &Path| path.file_stem().map(|s| s.to_os_string());
    let by_name = images.iter().map(|p| stem(p)).collect::<BTreeSet<_>>() == masks.iter().map(|p| stem(p)).collect();
    let mut grid = Grid { shape: [images.len(), size[0], size[1]], values: Vec::new() };
    let mut classes = Vec::new();
    for (at, (path, slice)) in read.into_iter().enumerate() {
        let named = masks.iter().find(|m| by_name && stem(m) == stem(path));
        let mask_path = named.unwrap_or(&masks[at]);
        let labels = flat::read_png(mask_path)?;
        same_shape((mask_path, labels.shape), (path, [1, size[0], size[1]]))?;
        classes.extend(mask(mask_path, &labels, expected, class)?);
        grid.values.extend(slice.values);
    }
    Ok((first.clone(), grid, folder.to_path_buf(), classes))
}

/// Sorts slices by their number in the series, or by their place if they have no different numbers.
fn in_order(slices: &mut [(&PathBuf, dicom::Slice)]) -> Result<()> {
    let keys: [fn(&dicom::Slice) -> Option<f64>; 2] = [|s| s.instance.map(|n| n as f64), |s| s.location];
    for key in keys {
        slices.sort_by(|a, b| key(&a.1).partial_cmp(&key(&b.1)).expect("finite numbers"));
        let numbers: Vec<Option<f64>> = slices.iter().map(|s| key(&s.1)).collect();
        if numbers.iter().all(Option::is_some) && numbers.windows(2).all(|pair| pair[0] != pair[1]) {
            return Ok(());
        }
    }
    let what = "the order of the slices is unknown: expected an instance number (0020,0013) or a slice location (0020,1041) \
        in each file, all different";
    Err(Error::input(slices[0].0, what))
}

impl Listing {
    /// Reads all volumes. The hash is left empty.
    pub fn read(self, name: &str) -> Result<SegmentationSet> {
        let tested = self.tested()?;
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for case in &self.cases {
            let volume = case.read(self.classes.as_deref())?;
            if tested.contains(&volume.subject) { test.push(volume) } else { train.push(volume) }
        }
        let mut notes = Vec::new();
        let classes = self.classes.unwrap_or_else(|| {
            let highest = train.iter().chain(&test).flat_map(|v| &v.mask).max().copied().unwrap_or(0).max(1);
            notes.push(format!("no names of classes: the highest label is {highest}"));
            std::iter::once("background".to_string()).chain((1..=highest).map(|c| format!("class {c}"))).collect()
        });
        Ok(SegmentationSet { name: name.into(), classes, train, test, hash: String::new(), notes })
    }

    /// Reads all volumes one after the other, keeping none.
    pub fn check(&self) -> Vec<Found> {
        let mut out = Vec::new();
        let mut sizes: Option<([usize; 3], [usize; 3])> = None;
        for case in &self.cases {
            match case.read(self.classes.as_deref()) {
                Ok(v) => {
                    let size = [v.depth, v.height, v.width];
                    let (low, high) = sizes.get_or_insert((size, size));
                    (0..3).for_each(|i| (low[i], high[i]) = (low[i].min(size[i]), high[i].max(size[i])));
                }
                Err(Error::Input { path, what }) => out.push(Found::there(&path, what, false)),
                Err(e) => out.push(Found::there(&self.folder, e.to_string(), false)),
            }
        }
        let tested = self.tested();
        if let Err(e) = &tested {
            out.push(Found::there(&self.folder, e.to_string(), false));
        }
        if let (true, Some((low, high)), Ok(tested)) = (out.is_empty(), sizes, tested) {
            let test = self.cases.iter().filter(|c| tested.contains(&c.subject)).count();
            let span: Vec<String> = low.iter().zip(high).map(|(l, h)| if *l == h { l.to_string() } else { format!("{l}..{h}") }).collect();
            let state = format!("ok, {} volumes of {} voxels, {test} of them for the test", self.cases.len(), span.join(" x "));
            let files = self.cases.iter().flat_map(Case::files);
            let bytes = files.map(|f| std::fs::metadata(f).map_or(0, |m| m.len())).sum();
            out.push(Found { file: self.folder.clone(), bytes, state, ok: true });
        }
        out
    }

    /// The subjects of the test. Both splits have at least one.
    fn tested(&self) -> Result<BTreeSet<String>> {
        let subjects: BTreeSet<String> = self.cases.iter().map(|c| c.subject.clone()).collect();
        let tested: BTreeSet<String> = match &self.test {
            Test::Subjects(names) => names.iter().filter(|n| subjects.contains(*n)).cloned().collect(),
            Test::Share => {
                let mut order: Vec<String> = subjects.iter().cloned().collect();
                order.shuffle(&mut Streams::new(0).rng("segmentation split", 0));
                let n = ((order.len() + TEST_SHARE / 2) / TEST_SHARE).max(1);
                order.into_iter().take(n).collect()
            }
        };
        if tested.is_empty() || tested.len() == subjects.len() {
            let expected = match &self.test {
                Test::Share => "at least two subjects, one of them for the test".to_string(),
                Test::Subjects(names) => format!("volumes for the test ({}) and others to learn from", names.join(", ")),
            };
            let found: Vec<String> = subjects.into_iter().collect();
            return Err(input!(&self.folder, "expected {expected}, found {} ({})", found.len(), found.join(", ")));
        }
        Ok(tested)
    }
}

/// Files by what tells them apart; two of one kind are an error.
pub type Files<K> = BTreeMap<K, PathBuf>;

/// Notes a file under `key`.
pub fn note<K: Ord>(files: &mut Files<K>, key: K, path: PathBuf) -> Result<()> {
    match files.insert(key, path.clone()) {
        Some(other) => Err(input!(path, "{} has the same name; remove one of them", other.display())),
        None => Ok(()),
    }
}

/// Every image with the mask of the same key, as the volume that `case` names. `missing` says what is expected where one of both is not there: the
/// image's key, and whether it is the mask that is missing.
pub fn pairs<K: Ord>(
    images: Files<K>,
    mut masks: Files<K>,
    classes: Option<(Classes, &'static str)>,
    case: impl Fn(&K) -> [String; 2],
    missing: impl Fn(&K, bool) -> String,
) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (key, image) in images {
        let mask = masks.remove(&key).ok_or_else(|| input!(&image, "image without label: expected {}", missing(&key, true)))?;
        let [name, subject] = case(&key);
        cases.push(Case { name, subject, source: Source::Pair { image, mask, classes } });
    }
    match masks.pop_first() {
        Some((key, mask)) => Err(input!(mask, "label without image: expected {}", missing(&key, false))),
        None => Ok(cases),
    }
}

/// The entries of a folder that are not hidden, sorted by name; `._` files, which macOS leaves behind, are hidden ones.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    let mut out = Vec::new();
    for entry in read {
        let entry = entry.map_err(|e| Error::reading(folder, &e))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            out.push(entry.path());
        }
    }
    out.sort();
    Ok(out)
}

/// The name of a file or folder.
pub fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(subjects: impl IntoIterator<Item = u32>, test: Test) -> Listing {
        let source = || Source::Pair { image: "i".into(), mask: "m".into(), classes: None };
        let cases = subjects
            .into_iter()
            .flat_map(|s| ["a", "b"].map(|scan| Case { name: format!("{s}{scan}"), subject: format!("{s}"), source: source() }));
        Listing { folder: "x".into(), classes: None, cases: cases.collect(), test }
    }

    #[test]
    fn a_fifth_of_the_subjects_is_tested_whatever_their_order() {
        let tested = |subjects: Vec<u32>| listing(subjects, Test::Share).tested().unwrap();
        for (subjects, n) in [(2, 1), (4, 1), (7, 1), (8, 2), (20, 4), (47, 9), (260, 52)] {
            assert_eq!(tested((0..subjects).collect()).len(), n);
            assert_eq!(tested((0..subjects).collect()), tested((0..subjects).rev().collect()));
        }
        // A change here moves results: the same names have to give the same split.
        assert_eq!(tested((0..10).collect()), ["7", "8"].map(String::from).into());
    }

    #[test]
    fn both_splits_need_a_subject() {
        let error = |subjects: &[u32], test| listing(subjects.iter().copied(), test).tested().unwrap_err().to_string();
        assert!(error(&[3], Test::Share).contains("at least two subjects, one of them for the test, found 1 (3)"));
        assert!(error(&[3, 4], Test::Subjects(vec!["5".into()])).contains("volumes for the test (5)"));
        assert!(error(&[3, 4], Test::Subjects(vec!["3".into(), "4".into()])).contains("others to learn from"));
        let listing = listing([3, 4], Test::Subjects(vec!["3".into(), "9".into()]));
        assert_eq!(listing.tested().unwrap(), ["3".to_string()].into());
    }
}
