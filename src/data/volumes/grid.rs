//! Voxels as a reader finds them, and what is made of them: intensities on one scale, masks of class numbers.

use super::geometry::Geometry;
use super::listing::Values;
use crate::error::{Error, Result, input};
use nifti::{Endianness, NiftiType};
use std::io::Read;
use std::path::Path;

/// The numbers of one file, before any scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Depth, height and width in voxels.
    pub shape: [usize; 3],
    /// [D, H, W] values; slope and intercept of the file are applied.
    pub values: Vec<f32>,
    /// Where the voxels are, if the file says it.
    pub geometry: Option<Geometry>,
}

/// How a voxel may be stored, and what MetaImage calls it.
pub(super) const TYPES: [(NiftiType, &str); 8] = [
    (NiftiType::Uint8, "MET_UCHAR"),
    (NiftiType::Int8, "MET_CHAR"),
    (NiftiType::Int16, "MET_SHORT"),
    (NiftiType::Uint16, "MET_USHORT"),
    (NiftiType::Int32, "MET_INT"),
    (NiftiType::Uint32, "MET_UINT"),
    (NiftiType::Float32, "MET_FLOAT"),
    (NiftiType::Float64, "MET_DOUBLE"),
];

/// The whole voxels of `kind` in `bytes`, with slope and intercept; a slope of 0 is none.
pub(super) fn decode(bytes: &[u8], kind: NiftiType, order: Endianness, (slope, intercept): (f32, f32)) -> Vec<f32> {
    let one = |voxel| kind.read_primitive_value::<_, f64>(voxel, order, slope, intercept).expect("a real type, and all its bytes") as f32;
    bytes.chunks_exact(kind.size_of()).map(one).collect()
}

/// DEFLATE never unpacks to more than 1,032 times its size; LZW, the other compression that is read here, to 1,365 times.
const EXPANSION: u64 = 1400;
/// Percentiles that become 0 and 1.
const PERCENTILES: [f64; 2] = [0.01, 0.99];

/// Bytes that `shape` needs at `size` bytes a voxel. Refuses empty shapes, and shapes that `available` bytes on disk
/// cannot hold, before anything is allocated. Compressed content may be larger than the file by a known factor only.
pub(super) fn needed(path: &Path, shape: [usize; 3], size: usize, available: usize, compressed: bool) -> Result<usize> {
    if shape.contains(&0) {
        return Err(input!(path, "impossible dimensions {shape:?} (depth, height, width): expected at least one voxel"));
    }
    let bytes = shape.iter().try_fold(size, |a, b| a.checked_mul(*b));
    let most = if compressed { (available as u64).saturating_mul(EXPANSION) } else { available as u64 };
    bytes.filter(|b| *b as u64 <= most).ok_or_else(|| {
        let needs = bytes.map_or("more bytes than there are".to_string(), |b| format!("{b} bytes"));
        let at_most = if compressed { "can unpack to no more than" } else { "found" };
        input!(
            path,
            "truncated, or a wrong header: {shape:?} voxels (depth, height, width) of {size} bytes need {needs}, \
                 {at_most} {most} bytes; get the file again"
        )
    })
}

/// Unpacks exactly `bytes` bytes; never holds more than that, whatever the stream claims.
pub(super) fn unpack(path: &Path, stream: impl Read, bytes: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    stream
        .take(bytes as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|e| input!(path, "damaged compressed data after {} of {bytes} unpacked bytes ({e}); get the file again", out.len()))?;
    if out.len() != bytes {
        let word = if out.len() < bytes { "truncated" } else { "too long" };
        let found = if out.len() < bytes { out.len().to_string() } else { "more".into() };
        return Err(input!(path, "{word}: expected {bytes} unpacked bytes, found {found}; get the file again"));
    }
    Ok(out)
}

/// Where voxel number `at` is, in words.
pub(super) fn place(shape: [usize; 3], at: usize) -> String {
    let [_, height, width] = shape;
    format!("voxel at depth {}, row {}, column {}", at / (height * width), at / width % height, at % width)
}

/// Maps the 1st percentile to 0 and the 99th to 1 and clamps. Percentiles lie linearly between the sorted values, as NumPy's do.
/// Where both are equal, as in a constant volume, everything becomes 0. NaN and infinity are refused.
pub(super) fn scale(path: &Path, shape: [usize; 3], mut values: Vec<f32>) -> Result<Vec<f32>> {
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(input!(path, "{}: expected a finite intensity, found {}; repair or remove the volume", place(shape, at), values[at]));
    }
    let mut order = values.clone();
    let [low, high] = PERCENTILES.map(|p| percentile(&mut order, p));
    let span = high - low;
    values.iter_mut().for_each(|v| *v = if span > 0.0 { ((f64::from(*v) - low) / span).clamp(0.0, 1.0) as f32 } else { 0.0 });
    Ok(values)
}

/// The value below which the fraction `p` lies; reorders `values`, of which there is at least one.
fn percentile(values: &mut [f32], p: f64) -> f64 {
    let position = p * (values.len() - 1) as f64;
    let at = position.floor() as usize;
    let (_, below, above) = values.select_nth_unstable_by(at, f32::total_cmp);
    let below = f64::from(*below);
    let next = above.iter().copied().min_by(f32::total_cmp).map_or(below, f64::from);
    below + (next - below) * (position - at as f64)
}

/// Class numbers of a mask. Without `classes` the values are the class numbers.
pub(super) fn mask(path: &Path, grid: &Grid, classes: Option<Values>) -> Result<Vec<u8>> {
    let expected = classes.map_or("a class number from 0 to 255", |(_, words)| words);
    let class = |value: u32| match classes {
        Some((ranges, _)) => ranges.iter().position(|r| r.contains(&value)).map(|c| c as u8),
        None => u8::try_from(value).ok(),
    };
    let one = |(at, value): (usize, &f32)| {
        let whole = value.fract() == 0.0 && (0.0..=65535.0).contains(value);
        let found = if whole { class(*value as u32) } else { None };
        found.ok_or_else(|| {
            let kind = if value.is_finite() && value.fract() != 0.0 { "is no whole number" } else { "is no class" };
            let what = format!("{}: label {value} {kind}; expected {expected}. Is this the mask of the image?", place(grid.shape, at));
            Error::input(path, what)
        })
    };
    grid.values.iter().enumerate().map(one).collect()
}

/// Refuses a mask that has another shape than its image.
pub(super) fn same_shape((path, mask): (&Path, [usize; 3]), (image_path, image): (&Path, [usize; 3])) -> Result<()> {
    if mask == image {
        return Ok(());
    }
    let (unit, image_path) = ("voxels (depth, height, width)", image_path.display());
    Err(input!(path, "the mask has {mask:?} {unit}, its image {image_path} has {image:?}; expected the same. Do both belong to one scan?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const X: &str = "x";

    fn scaled(values: Vec<f32>) -> Vec<f32> {
        let shape = [1, 1, values.len()];
        scale(Path::new(X), shape, values).unwrap()
    }

    #[test]
    fn percentiles_are_linear_between_values() {
        let mut values = vec![30.0, 10.0, 20.0, 50.0, 40.0];
        assert_eq!(percentile(&mut values, 0.01), 10.4);
        assert_eq!(percentile(&mut values, 0.99), 49.6);
        assert_eq!(percentile(&mut [7.0], 0.99), 7.0);
    }

    #[test]
    fn a_constant_volume_is_zero_and_extremes_do_not_overflow() {
        assert_eq!(scaled(vec![5.0; 4]), [0.0; 4]);
        assert_eq!(scaled(vec![f32::MIN, 0.0, f32::MAX]), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn intensities_that_are_no_numbers_are_refused_with_their_place() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut values = vec![0.0; 24];
            values[17] = bad;
            let error = scale(Path::new(X), [2, 3, 4], values).unwrap_err().to_string();
            assert!(error.contains("depth 1, row 1, column 1") && error.contains("finite"), "{error}");
        }
    }

    #[test]
    fn sizes_beyond_the_file_are_refused_before_they_are_allocated() {
        let refuse = |shape, compressed| needed(Path::new(X), shape, 8, 1000, compressed).unwrap_err().to_string();
        assert!(refuse([usize::MAX, 2, 2], false).contains("more bytes than there are"));
        assert!(refuse([usize::MAX, 2, 2], true).contains("more bytes than there are"));
        assert!(refuse([5, 5, 6], false).contains("need 1200 bytes, found 1000 bytes"));
        assert!(refuse([500, 500, 6], true).contains("unpack to no more than"));
        assert!(refuse([0, 5, 6], true).contains("impossible dimensions"));
        assert_eq!(needed(Path::new(X), [5, 5, 5], 8, 1000, false).unwrap(), 1000);
    }

    #[test]
    fn labels_are_whole_and_known() {
        let grid = |values: [f32; 2]| Grid { shape: [1, 1, 2], values: values.to_vec(), geometry: None };
        let read = |values| mask(Path::new(X), &grid(values), Some((&[0..=0, 1..=1, 2..=2], "0 to 2")));
        assert_eq!(read([2.0, 0.0]).unwrap(), [2, 0]);
        for (bad, words) in
            [(0.5, "no whole number"), (3.0, "no class"), (-1.0, "no class"), (f32::NAN, "label NaN"), (f32::INFINITY, "label inf")]
        {
            let error = read([0.0, bad]).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("column 1") && error.contains("0 to 2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn scaled_intensities_are_from_0_to_1_and_keep_their_order(values in proptest::collection::vec(-1e9f32..1e9, 1..200)) {
            let out = scaled(values.clone());
            prop_assert!(out.iter().all(|v| (0.0..=1.0).contains(v)));
            for (i, j) in (0..values.len()).zip(1..values.len()) {
                prop_assert!((values[i] <= values[j]) == (out[i] <= out[j]) || out[i] == out[j]);
            }
        }
    }
}
