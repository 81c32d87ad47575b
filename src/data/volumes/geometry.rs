//! Where the voxels of a file are in space, and the grid of a mask brought to that of its image.

use super::grid::{Grid, same_shape};
use crate::error::{Result, input};
use std::path::Path;

/// Furthest that a voxel of a mask may be from its voxel of the image, in voxels of the image: the nearest one is still its own.
const FURTHEST: f64 = 0.5;

/// A point or a step in millimetres: to the right, to the front and upwards, as in NIfTI.
type Vector = [f64; 3];

/// Where the voxels of a grid are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// The middle of the first voxel.
    origin: Vector,
    /// From a voxel to the next along depth, height and width.
    steps: [Vector; 3],
}

impl Geometry {
    /// Nothing if the numbers say nothing: one is not finite, or the steps lie in one plane.
    pub(super) fn new(origin: Vector, steps: [Vector; 3]) -> Option<Self> {
        let finite = origin.iter().chain(steps.iter().flatten()).all(|v| v.is_finite());
        let volume: f64 = steps.iter().map(length).product();
        (finite && volume.is_normal() && (determinant(&steps) / volume).abs() > 1e-3).then_some(Self { origin, steps })
    }

    /// The same of a file that counts to the left and to the back, as MetaImage and DICOM do.
    pub(super) fn from_left_and_back(origin: Vector, steps: [Vector; 3]) -> Option<Self> {
        let turned = |[x, y, z]: Vector| [-x, -y, z];
        Self::new(turned(origin), steps.map(turned))
    }

    /// A step in voxels along each axis.
    fn voxels(&self, step: Vector) -> Vector {
        let [a, b, c] = &self.steps;
        let whole = determinant(&self.steps);
        [[&step, b, c], [a, &step, c], [a, b, &step]].map(|rows| determinant(&rows.map(|row| *row)) / whole)
    }

    /// In words, for a grid of this shape; axes as users know them, x first.
    fn words(&self, [depth, height, width]: [usize; 3]) -> String {
        let [z, y, x] = self.steps;
        let last = [0, 1, 2].map(|i| self.origin[i] + (depth - 1) as f64 * z[i] + (height - 1) as f64 * y[i] + (width - 1) as f64 * x[i]);
        let [sizes, from, to] = [[x, y, z].map(|step| length(&step)), self.origin, last].map(|v| v.map(|v| (v * 100.0).round() / 100.0));
        let axes = [x, y, z].map(|step| towards(&step)).concat();
        format!("{width} x {height} x {depth} voxels of {sizes:?} mm from {from:?} to {to:?} mm, axes towards {axes}")
    }
}

/// Side of the body that an axis goes to.
fn towards(step: &Vector) -> &'static str {
    let most = furthest(step);
    [["L", "R"], ["P", "A"], ["I", "S"]][most][usize::from(step[most] > 0.0)]
}

/// The axis along which a step goes furthest; of equal ones the first.
fn furthest(step: &Vector) -> usize {
    (0..3).fold(0, |most, i| if step[i].abs() > step[most].abs() { i } else { most })
}

fn length(v: &Vector) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn determinant([a, b, c]: &[Vector; 3]) -> f64 {
    a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
}

/// The axis of the image that an axis of the mask is, and whether it goes the other way.
type Axis = (usize, bool);
const SAME: [Axis; 3] = [(0, false), (1, false), (2, false)];

/// The mask on the grid of its image, where that only takes other axes: permuted or reversed. If one of both does not say where it is, they only need one shape.
///
/// # Errors
/// [`crate::error::Error::Input`] with the geometry of both if voxels of the mask are beside those of the image, or with both shapes.
pub(super) fn aligned((path, mask): (&Path, Grid), (image_path, image): (&Path, &Grid)) -> Result<Grid> {
    let (Some(there), Some(here)) = (mask.geometry, image.geometry) else {
        return same_shape((path, mask.shape), (image_path, image.shape)).map(|()| mask);
    };
    let steps = there.steps.map(|step| here.voxels(step));
    let axes = axes(&steps);
    if axes == Some(SAME) {
        same_shape((path, mask.shape), (image_path, image.shape))?;
    }
    let start = here.voxels([0, 1, 2].map(|i| there.origin[i] - here.origin[i]));
    match axes.filter(|axes| fits(mask.shape, image.shape, axes) && covers(mask.shape, start, &steps, axes)) {
        Some(axes) if axes == SAME => Ok(mask),
        Some(axes) => Ok(moved(mask, image, &axes)),
        None => Err(input!(
            path,
            "the mask and its image are in different places: {}, but {} has {}. If the voxels belong together one by one, give the mask the orientation \
                 of the image; else resample it",
            there.words(mask.shape),
            image_path.display(),
            here.words(image.shape)
        )),
    }
}

/// Nothing if two axes of the mask are closest to one of the image.
fn axes(steps: &[Vector; 3]) -> Option<[Axis; 3]> {
    let axes = steps.map(|step| {
        let axis = furthest(&step);
        (axis, step[axis] < 0.0)
    });
    (0..3).all(|i| axes.iter().any(|(axis, _)| *axis == i)).then_some(axes)
}

fn fits(mask: [usize; 3], image: [usize; 3], axes: &[Axis; 3]) -> bool {
    (0..3).all(|i| mask[i] == image[axes[i].0])
}

/// Whether the corners of the mask are at the corners of the image; all other voxels lie between them.
fn covers(shape: [usize; 3], start: Vector, steps: &[Vector; 3], axes: &[Axis; 3]) -> bool {
    (0..8).all(|corner| {
        let last = |i: usize| if corner >> i & 1 == 1 { (shape[i] - 1) as f64 } else { 0.0 };
        (0..3).all(|i| {
            let (axis, reversed) = axes[i];
            let at = start[axis] + (0..3).map(|j| last(j) * steps[j][axis]).sum::<f64>();
            let expected = if reversed { (shape[i] - 1) as f64 - last(i) } else { last(i) };
            (at - expected).abs() < FURTHEST
        })
    })
}

/// The mask with the axes of the image, which has its voxels.
fn moved(mask: Grid, image: &Grid, axes: &[Axis; 3]) -> Grid {
    let strides = [mask.shape[1] * mask.shape[2], mask.shape[2], 1];
    // For each axis of the image where it begins in the mask, and how far its next voxel is.
    let mut ways = [(0, 0isize); 3];
    for (i, (axis, reversed)) in axes.iter().enumerate() {
        let stride = strides[i] as isize;
        ways[*axis] = if *reversed { ((mask.shape[i] - 1) as isize * stride, -stride) } else { (0, stride) };
    }
    let [depth, height, width] = image.shape;
    let place = |i: usize, k: usize| ways[i].0 + k as isize * ways[i].1;
    let value = |(z, y, x): (usize, usize, usize)| mask.values[(place(0, z) + place(1, y) + place(2, x)) as usize];
    let all = (0..depth).flat_map(|z| (0..height).flat_map(move |y| (0..width).map(move |x| (z, y, x))));
    Grid { shape: image.shape, values: all.map(value).collect(), geometry: image.geometry }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IMAGE: [Vector; 3] = [[0.0, 0.0, 3.0], [0.0, 2.0, 0.0], [1.0, 0.0, 0.0]];

    fn grid(shape: [usize; 3], origin: Vector, steps: [Vector; 3]) -> Grid {
        let values = (0..shape.iter().product::<usize>()).map(|v| v as f32).collect();
        Grid { shape, values, geometry: Geometry::new(origin, steps) }
    }

    fn bring(mask: Grid, image: &Grid) -> Result<Grid> {
        aligned((Path::new("mask"), mask), (Path::new("image"), image))
    }

    #[test]
    fn axes_are_permuted_and_reversed_by_what_both_files_say() {
        let image = grid([2, 3, 4], [10.0, 20.0, 30.0], IMAGE);
        assert_eq!(bring(image.clone(), &image).unwrap(), image);
        // The mask's slowest axis is x from right to left, its fastest z.
        let mask = grid([4, 3, 2], [13.0, 20.0, 30.0], [[-1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]);
        let found = bring(mask.clone(), &image).unwrap();
        assert_eq!((found.shape, found.geometry), (image.shape, image.geometry));
        for (z, y, x) in [(0, 0, 0), (1, 0, 0), (0, 2, 1), (1, 1, 3)] {
            assert_eq!(found.values[(z * 3 + y) * 4 + x], mask.values[((3 - x) * 3 + y) * 2 + z], "{z} {y} {x}");
        }
    }

    #[test]
    fn what_is_elsewhere_is_refused_with_both_geometries() {
        let image = grid([2, 3, 4], [0.0; 3], IMAGE);
        let tilted = [[0.0, 1.5, 3.0], [0.0, 2.0, 0.0], [1.0, 0.0, 0.0]];
        let larger = [[0.0, 0.0, 3.0], [0.0, 2.0, 0.0], [1.3, 0.0, 0.0]];
        for (mask, words) in [
            (grid([2, 3, 4], [500.0, 0.0, 0.0], IMAGE), "from [500.0, 0.0, 0.0]"),
            (grid([2, 3, 4], [0.6, 0.0, 0.0], IMAGE), "from [0.6, 0.0, 0.0]"),
            (grid([2, 3, 4], [0.0; 3], larger), "voxels of [1.3, 2.0, 3.0] mm"),
            (grid([2, 3, 4], [0.0; 3], IMAGE.map(|s| s.map(|x| -x))), "axes towards LPI"),
            (grid([2, 3, 4], [0.0; 3], tilted), "4 x 3 x 2 voxels of [1.0, 2.0, 3.35] mm"),
            (grid([4, 3, 2], [0.0; 3], IMAGE), "the mask has [4, 3, 2] voxels"),
        ] {
            let error = bring(mask, &image).unwrap_err().to_string();
            for word in [words, "mask", "image"] {
                assert!(error.contains(word), "'{word}' is not in: {error}");
            }
        }
        // Rounded numbers, and a mask that says nothing, are no reason to refuse.
        assert_eq!(bring(grid([2, 3, 4], [0.01, -0.3, 0.0], IMAGE), &image).unwrap().values, image.values);
        let silent = Grid { geometry: None, ..image.clone() };
        assert_eq!(bring(silent.clone(), &image).unwrap(), silent);
        assert!(bring(grid([2, 3, 3], [0.0; 3], [[0.0; 3]; 3]), &image).is_err(), "shapes are compared then");
    }

    #[test]
    fn numbers_without_meaning_are_no_geometry() {
        for steps in [[[0.0; 3]; 3], [IMAGE[0], IMAGE[0], IMAGE[2]], [[f64::NAN, 0.0, 0.0], IMAGE[1], IMAGE[2]]] {
            assert_eq!(Geometry::new([0.0; 3], steps), None);
        }
        assert_eq!(Geometry::new([f64::INFINITY, 0.0, 0.0], IMAGE), None);
    }

    proptest! {
        /// Whatever the orientation of a mask, every voxel is where it was in space.
        #[test]
        fn a_mask_stays_where_it_is(order in 0usize..6, reversed in proptest::array::uniform3(any::<bool>()), seed in any::<u8>()) {
            let shape = [2, 3, 4];
            let image = grid(shape, [5.0, -7.0, f64::from(seed)], IMAGE);
            let axes = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order];
            let mut origin = [5.0, -7.0, f64::from(seed)];
            let mut steps = [[0.0; 3]; 3];
            for i in 0..3 {
                let sign = if reversed[i] { -1.0 } else { 1.0 };
                steps[i] = IMAGE[axes[i]].map(|x| sign * x);
                if reversed[i] {
                    (0..3).for_each(|j| origin[j] += (shape[axes[i]] - 1) as f64 * IMAGE[axes[i]][j]);
                }
            }
            let mask = grid(axes.map(|a| shape[a]), origin, steps);
            let found = bring(mask.clone(), &image).unwrap();
            let at = |k: [usize; 3]| k.map(|v| v as f64);
            for (n, value) in found.values.iter().enumerate() {
                let k = at([n / 12, n / 4 % 3, n % 4]);
                let [place, m] = [&image, &mask].map(|g| g.geometry.unwrap());
                let world = [0, 1, 2].map(|i| place.origin[i] + (0..3).map(|j| k[j] * place.steps[j][i]).sum::<f64>());
                let there = m.voxels([0, 1, 2].map(|i| world[i] - m.origin[i])).map(|v| v.round() as usize);
                prop_assert_eq!(*value, mask.values[(there[0] * mask.shape[1] + there[1]) * mask.shape[2] + there[2]]);
            }
        }
    }
}
