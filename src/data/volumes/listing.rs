//! The volumes of a set before they are read: which files make each, and who is tested.

use super::geometry::aligned;
use super::grid::{Grid, mask, place, same_shape, scale};
use super::{SegmentationSet, Volume, dicom, flat, read_grid};
use crate::data::files::{Found, size};
use crate::error::{Error, Result, input};
use crate::seed::Streams;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
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
    /// The subjects of the test; without them a fifth of all, at least one, the same for the same names.
    pub test: Option<Vec<String>>,
    /// Files beside those of the volumes whose names say that they are of another kind.
    pub left_out: Vec<PathBuf>,
}

/// One volume, unread.
pub struct Case {
    /// Its name within the set.
    pub name: String,
    /// Whose it is.
    pub subject: String,
    /// The files that it is read from.
    pub files: Vec<PathBuf>,
    /// Its bytes in the program, where it is part of it.
    pub shipped: u64,
    /// Reads them.
    pub parts: ReadParts,
}

/// The values of every class in a mask, and what they are in words.
pub type Values = (&'static [RangeInclusive<u32>], &'static str);
/// Values of a mask that has two.
pub const BLACK_AND_WHITE: &[RangeInclusive<u32>] = &[0..=0, 255..=255];

/// A volume of masks as large as the image, its classes not yet compared with those of the set; and where both come from.
pub type Parts = (PathBuf, Grid, PathBuf, Vec<u8>);

/// Reads the parts of a volume from its files.
pub type ReadParts = Box<dyn Fn(&[PathBuf]) -> Result<Parts>>;

impl Case {
    /// Reads the volume; its mask has only `classes` if these are known.
    fn read(&self, classes: Option<&[String]>) -> Result<Volume> {
        let (image_path, image, mask_path, mask) = (self.parts)(&self.files)?;
        let names = classes.unwrap_or_default();
        if let Some(at) = mask.iter().position(|c| classes.is_some() && usize::from(*c) >= names.len()) {
            let (place, last) = (place(image.shape, at), names.len() - 1);
            return Err(input!(mask_path, "{place}: label {} is no class; expected 0 to {last} ({})", mask[at], names.join(", ")));
        }
        let [depth, height, width] = image.shape;
        let intensities = scale(&image_path, image.shape, image.values)?;
        Ok(Volume { name: self.name.clone(), subject: self.subject.clone(), depth, height, width, intensities, mask })
    }
}

/// An image with its mask on its grid, each with the path that names it in messages.
pub(super) fn paired((image_path, image): (&Path, Grid), (mask_path, labels): (&Path, Grid), values: Option<Values>) -> Result<Parts> {
    let labels = aligned((mask_path, labels), (image_path, &image))?;
    let mask = mask(mask_path, &labels, values)?;
    Ok((image_path.to_path_buf(), image, mask_path.to_path_buf(), mask))
}

/// Stacks slices in the order of the series. A mask of the same name belongs to its slice; if the names differ, the masks
/// have that order too.
pub(super) fn slices(images: &[PathBuf], masks: &[PathBuf], values: Values) -> Result<Parts> {
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
    one_orientation(&read)?;
    in_order(&mut read)?;
    let stem = |path: &Path| path.file_stem().map(|s| s.to_os_string());
    let by_name = images.iter().map(|p| stem(p)).collect::<BTreeSet<_>>() == masks.iter().map(|p| stem(p)).collect();
    let mut grid = Grid { shape: [images.len(), size[0], size[1]], values: Vec::new(), geometry: None };
    let mut classes = Vec::new();
    for (at, (path, slice)) in read.into_iter().enumerate() {
        let named = masks.iter().find(|m| by_name && stem(m) == stem(path));
        let mask_path = named.unwrap_or(&masks[at]);
        let labels = flat::read_png(mask_path)?;
        same_shape((mask_path, labels.shape), (path, [1, size[0], size[1]]))?;
        classes.extend(mask(mask_path, &labels, Some(values))?);
        grid.values.extend(slice.values);
    }
    Ok((first.clone(), grid, folder.to_path_buf(), classes))
}

/// Refuses slices that lie in different planes: then they are no volume, and their masks, which do not say how they lie, may belong to others.
fn one_orientation(slices: &[(&PathBuf, dicom::Slice)]) -> Result<()> {
    // All that say how they lie: the first slice may say nothing.
    let mut planes = slices.iter().filter_map(|(path, slice)| Some((path, slice.plane?)));
    let Some((first, there)) = planes.next() else { return Ok(()) };
    match planes.find(|(_, here)| here.iter().zip(there).any(|(a, b)| (a - b).abs() > 1e-2)) {
        None => Ok(()),
        Some((path, here)) => {
            Err(input!(path, "the slice has the direction cosines {here:?}, {} has {there:?}; expected one orientation", first.display()))
        }
    }
}

/// Sorts slices by their number in the series, or by their place if they have no different numbers.
fn in_order(slices: &mut [(&PathBuf, dicom::Slice)]) -> Result<()> {
    for key in 0..2 {
        slices.sort_by(|a, b| a.1.order[key].partial_cmp(&b.1.order[key]).expect("finite numbers"));
        let numbers: Vec<Option<f64>> = slices.iter().map(|s| s.1.order[key]).collect();
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
    pub(super) fn read(self, name: &str) -> Result<SegmentationSet> {
        let tested = self.tested()?;
        let (mut train, mut test, mut seen) = (Vec::new(), Vec::new(), Seen::default());
        for case in &self.cases {
            let volume = case.read(self.classes.as_deref())?;
            seen.add(&volume);
            if tested.contains(&volume.subject) { test.push(volume) } else { train.push(volume) }
        }
        let notes = self.notes(&seen)?;
        let classes = self.classes.unwrap_or_else(|| seen.classes());
        Ok(SegmentationSet { name: name.into(), classes, train, test, hash: String::new(), notes })
    }

    /// What a user should know of the set whose volumes were all `seen`.
    fn notes(&self, seen: &Seen) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if seen.highest() == 0 {
            return Err(input!(
                &self.folder,
                "the masks of all {} volumes are empty: there is no class to learn but the background",
                self.cases.len()
            ));
        }
        if self.classes.is_none() {
            notes.push(format!("no names of classes: the highest label is {}", seen.highest()));
        }
        let classes = self.classes.clone().unwrap_or_else(|| seen.classes());
        let absent: Vec<&String> = classes.iter().enumerate().filter(|(class, _)| !seen.voxels[*class]).map(|(_, name)| name).collect();
        if !absent.is_empty() {
            let names = absent.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
            notes.push(format!("no mask has the class {names}: it counts in no mean of a score"));
        }
        if let Some((first, others)) = self.left_out.split_first() {
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            notes.push(format!("left out, because names of this kind are not read here: {}{more}", first.display()));
        }
        Ok(notes)
    }

    /// Reads all volumes one after the other, keeping none.
    pub fn check(&self) -> Vec<Found> {
        let (mut out, mut seen) = (Vec::new(), Seen::default());
        let mut refuse = |e| out.push(Found::there(&self.folder, Err(e)));
        for case in &self.cases {
            match case.read(self.classes.as_deref()) {
                Ok(volume) => seen.add(&volume),
                Err(e) => refuse(e),
            }
        }
        let tested = self.tested().map_err(&mut refuse).unwrap_or_default();
        // Of a set that is not whole it cannot be said what it lacks.
        let whole = seen.volumes == self.cases.len();
        let notes = if whole { self.notes(&seen).map_err(refuse).unwrap_or_default() } else { Vec::new() };
        if out.is_empty() {
            let test = self.cases.iter().filter(|c| tested.contains(&c.subject)).count();
            let [low, high] = [BTreeSet::first, BTreeSet::last].map(|end| seen.sizes.each_ref().map(|s| end(s).copied().unwrap_or(0)));
            let span = [0, 1, 2].map(|i| if low[i] == high[i] { low[i].to_string() } else { format!("{}..{}", low[i], high[i]) });
            let state = format!("ok, {} volumes of {} voxels, {test} of them for the test", self.cases.len(), span.join(" x "));
            let state = [vec![state], notes].concat().join("; ");
            let bytes = self.cases.iter().map(|c| c.shipped + c.files.iter().map(|f| size(f)).sum::<u64>()).sum();
            out.push(Found { file: self.folder.clone(), bytes, state, ok: true });
        }
        out
    }

    /// The subjects of the test. Both splits have at least one.
    fn tested(&self) -> Result<BTreeSet<String>> {
        let subjects: BTreeSet<String> = self.cases.iter().map(|c| c.subject.clone()).collect();
        let tested: BTreeSet<String> = match &self.test {
            Some(names) => names.iter().filter(|n| subjects.contains(*n)).cloned().collect(),
            None => {
                let mut order: Vec<String> = subjects.iter().cloned().collect();
                order.shuffle(&mut Streams::new(0).rng("segmentation split", 0));
                let n = ((order.len() + TEST_SHARE / 2) / TEST_SHARE).max(1);
                order.into_iter().take(n).collect()
            }
        };
        if tested.is_empty() || tested.len() == subjects.len() {
            let expected = match &self.test {
                None => "at least two subjects, one of them for the test".to_string(),
                Some(names) => format!("volumes for the test ({}) and others to learn from", names.join(", ")),
            };
            let found: Vec<String> = subjects.into_iter().collect();
            return Err(input!(&self.folder, "expected {expected}, found {} ({})", found.len(), found.join(", ")));
        }
        Ok(tested)
    }
}

/// What is seen of volumes while they are read one after the other.
struct Seen {
    volumes: usize,
    /// Depths, heights and widths.
    sizes: [BTreeSet<usize>; 3],
    /// Whether a mask has the class.
    voxels: [bool; 256],
}

impl Default for Seen {
    fn default() -> Self {
        Self { volumes: 0, sizes: Default::default(), voxels: [false; 256] }
    }
}

impl Seen {
    fn add(&mut self, volume: &Volume) {
        self.volumes += 1;
        [volume.depth, volume.height, volume.width].iter().zip(&mut self.sizes).for_each(|(size, all)| _ = all.insert(*size));
        volume.mask.iter().for_each(|class| self.voxels[usize::from(*class)] = true);
    }

    fn highest(&self) -> usize {
        self.voxels.iter().rposition(|there| *there).unwrap_or(0)
    }

    /// Names of classes that have none.
    fn classes(&self) -> Vec<String> {
        (0..=self.highest()).map(|c| if c == 0 { "background".into() } else { format!("class {c}") }).collect()
    }
}

/// The volume that a file belongs to; sorts as the volumes do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Numbers that sort before the name.
    pub order: [u32; 2],
    /// Name of the volume.
    pub name: String,
    /// Whose it is.
    pub subject: String,
}

impl Key {
    /// A volume that is its only one of its subject.
    pub(super) fn named(name: &str) -> Self {
        Self { order: [0; 2], name: name.into(), subject: name.into() }
    }
}

/// The name of a file without one of these endings, in capitals or not.
pub(super) fn without_ending<'a>(file: &'a str, endings: &[&str]) -> Option<&'a str> {
    let stem =
        |ending: &&str| file.len().checked_sub(ending.len()).filter(|at| file.get(*at..).is_some_and(|e| e.eq_ignore_ascii_case(ending)));
    endings.iter().find_map(stem).map(|at| &file[..at])
}

/// The name of a file without its ending and without what marks a mask, and whether it is one.
pub(super) fn stem<'a>(file: &'a str, endings: &[&str], mask: &str) -> Option<(&'a str, bool)> {
    let stem = without_ending(file, endings)?;
    Some(stem.strip_suffix(mask).map_or((stem, false), |image| (image, true)))
}

/// The images among `paths` with their masks, as volumes, and the files that are none of both. `key` says of a file and its name what it belongs to and whether it is a mask; `rest`, how
/// the name of an image goes on where it is missing, and that of a mask.
pub(super) fn pairs(
    paths: Vec<PathBuf>,
    values: Option<Values>,
    key: impl Fn(&Path, &str) -> Option<(Key, bool)>,
    rest: [&str; 2],
) -> Result<(Vec<Case>, Vec<PathBuf>)> {
    let (mut files, mut left_out) = ([BTreeMap::new(), BTreeMap::new()], Vec::new());
    for path in paths {
        let Some((key, mask)) = key(&path, &name(&path)) else {
            left_out.extend(Some(path).filter(|p| p.is_file()));
            continue;
        };
        if let Some(other) = files[usize::from(mask)].insert(key, path.clone()) {
            return Err(input!(path, "{} has the same name; remove one of them", other.display()));
        }
    }
    let [images, mut masks] = files;
    let alone = images.keys().filter(|key| !masks.contains_key(key)).count() + masks.keys().filter(|key| !images.contains_key(key)).count();
    let all = images.len() + masks.len();
    let beside = if alone > 1 { format!("; {alone} of {all} files have no partner") } else { String::new() };
    let mut cases = Vec::new();
    for (key, image) in images {
        let Key { name, subject, .. } = key.clone();
        let mask = masks.remove(&key).ok_or_else(|| input!(&image, "image without label: expected {name}{}{beside}", rest[1]))?;
        let parts = move |files: &[PathBuf]| {
            let [image, mask] = [&files[0], &files[1]];
            paired((image, read_grid(image)?), (mask, read_grid(mask)?), values)
        };
        cases.push(Case { name, subject, files: vec![image, mask], shipped: 0, parts: Box::new(parts) });
    }
    match masks.pop_first() {
        Some((key, mask)) => Err(input!(mask, "label without image: expected {}{}{beside}", key.name, rest[0])),
        None => Ok((cases, left_out)),
    }
}

/// The entries of a folder that are not hidden, sorted by name; `._` files, which macOS leaves behind, are hidden ones.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
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
pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(subjects: impl IntoIterator<Item = u32>, test: Option<Vec<String>>) -> Listing {
        let parts = |_: &[PathBuf]| -> Result<Parts> { unreachable!("nothing is read") };
        let cases = subjects.into_iter().flat_map(|s| {
            ["a", "b"].map(|scan| Case {
                name: format!("{s}{scan}"),
                subject: format!("{s}"),
                files: Vec::new(),
                shipped: 0,
                parts: Box::new(parts),
            })
        });
        Listing { folder: "x".into(), classes: None, cases: cases.collect(), test, left_out: Vec::new() }
    }

    #[test]
    fn a_fifth_of_the_subjects_is_tested_whatever_their_order() {
        let tested = |subjects: Vec<u32>| listing(subjects, None).tested().unwrap();
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
        assert!(error(&[3], None).contains("at least two subjects, one of them for the test, found 1 (3)"));
        assert!(error(&[3, 4], Some(vec!["5".into()])).contains("volumes for the test (5)"));
        assert!(error(&[3, 4], Some(vec!["3".into(), "4".into()])).contains("others to learn from"));
        let listing = listing([3, 4], Some(vec!["3".into(), "9".into()]));
        assert_eq!(listing.tested().unwrap(), ["3".to_string()].into());
    }
}
