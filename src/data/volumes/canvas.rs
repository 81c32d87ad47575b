//! Canvases of 64x64 pixels with several of the shipped digits among faint fragments of others: a segmentation set that needs no files.
//! Ten of them make a volume, so that most volumes have every class.

use super::grid::Grid;
use super::listing::{Case, Listing};
use crate::data::{Images, digits};
use crate::error::Result;
use crate::seed::{Rng, Streams};
use rand::RngExt;
use std::path::PathBuf;

/// Side of a canvas in pixels.
const SIDE: usize = 64;
/// Canvases of a volume.
const DEPTH: u64 = 10;
/// Volumes of the training and of the test.
const TRAIN: u64 = 40;
const TEST: u64 = 10;
/// Fewest and most digits on a canvas.
const DIGITS: [usize; 2] = [2, 5];
/// Smallest and largest side of a digit. Two of the largest always find room, wherever the first is.
const DIGIT_SIDE: [usize; 2] = [14, 20];
/// How dark the ink of a digit is, at least and at most.
const CONTRAST: [f32; 2] = [0.6, 1.0];
/// Pixels with at least so much ink belong to the digit.
const INK: f32 = 0.5;
/// Fewest and most fragments of digits, and how dark they are.
const FRAGMENTS: [usize; 2] = [6, 12];
const FRAGMENT_CONTRAST: [f32; 2] = [0.2, 0.45];
/// Pixels of the shipped image that a fragment shows.
const FRAGMENT: usize = 4;
/// The most noise of a pixel.
const NOISE: f32 = 0.15;
/// Full ink in the shipped images.
const FULL: f32 = 16.0;

/// Makes all canvases; the folders are not needed. Those of the training have only training digits, those of the test only test digits.
pub fn find(_folders: &[PathBuf]) -> Result<Option<Listing>> {
    let digits = digits::open(&[])?;
    let mut cases = Vec::new();
    for (split, images, number) in [("train", &digits.train, TRAIN), ("test", &digits.test, TEST)] {
        for i in 0..number {
            let (mut pixels, mut mask) = (Vec::new(), Vec::new());
            for slice in 0..DEPTH {
                let mut rng = Streams::new(0).rng(&format!("digit canvas {split}"), i * DEPTH + slice);
                let (canvas, classes) = canvas(images, &mut rng);
                pixels.extend(canvas);
                mask.extend(classes);
            }
            let name = format!("{split}-{i:02}");
            let grid = Grid { shape: [DEPTH as usize, SIDE, SIDE], values: pixels };
            let parts = (PathBuf::from(&name), grid, PathBuf::from(&name), mask);
            cases.push(Case { subject: name.clone(), name, files: Vec::new(), parts: Box::new(move |_| Ok(parts.clone())) });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    let test = (0..TEST).map(|i| format!("test-{i:02}")).collect();
    let classes = std::iter::once("background".to_string()).chain(digits.classes).collect();
    Ok(Some(Listing { folder: "digit-canvas".into(), classes: Some(classes), cases, test: Some(test) }))
}

/// Ink and class of every pixel of one canvas.
fn canvas(images: &Images, rng: &mut Rng) -> (Vec<f32>, Vec<u8>) {
    let mut pixels: Vec<f32> = (0..SIDE * SIDE).map(|_| rng.random_range(0.0..NOISE)).collect();
    let mut mask = vec![0; SIDE * SIDE];
    for _ in 0..rng.random_range(FRAGMENTS[0]..=FRAGMENTS[1]) {
        clutter(&mut pixels, images, rng);
    }
    let mut taken: Vec<[usize; 3]> = Vec::new();
    for _ in 0..rng.random_range(DIGITS[0]..=DIGITS[1]) {
        let side = rng.random_range(DIGIT_SIDE[0]..=DIGIT_SIDE[1]);
        let free = places(side, &taken);
        if free.is_empty() {
            break;
        }
        let [top, left] = free[rng.random_range(0..free.len())];
        taken.push([top, left, side]);
        let (digit, contrast) = (rng.random_range(0..images.len()), rng.random_range(CONTRAST[0]..=CONTRAST[1]));
        let image = &images.pixels[digit * images.height * images.width..][..images.height * images.width];
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            let ink = enlarged(image, images.width, side, y, x);
            let at = (top + y) * SIDE + left + x;
            pixels[at] = pixels[at].max(contrast * ink);
            if ink >= INK {
                mask[at] = images.labels[digit] as u8 + 1;
            }
        }
    }
    (pixels, mask)
}

/// Draws a piece of a random digit, twice as large, anywhere.
fn clutter(pixels: &mut [f32], images: &Images, rng: &mut Rng) {
    let digit = rng.random_range(0..images.len());
    let [from_y, from_x] = [images.height, images.width].map(|s| rng.random_range(0..=s - FRAGMENT));
    let [top, left] = [(); 2].map(|()| rng.random_range(0..=SIDE - 2 * FRAGMENT));
    let contrast = rng.random_range(FRAGMENT_CONTRAST[0]..=FRAGMENT_CONTRAST[1]);
    for (y, x) in (0..2 * FRAGMENT).flat_map(|y| (0..2 * FRAGMENT).map(move |x| (y, x))) {
        let ink = images.pixels[(digit * images.height + from_y + y / 2) * images.width + from_x + x / 2];
        let at = (top + y) * SIDE + left + x;
        pixels[at] = pixels[at].max(contrast * f32::from(ink) / FULL);
    }
}

/// Upper left corners where a square of `side` touches none of the squares `taken` (top, left, side).
fn places(side: usize, taken: &[[usize; 3]]) -> Vec<[usize; 2]> {
    let apart = |a: usize, a_side: usize, b: usize, b_side: usize| a + a_side <= b || b + b_side <= a;
    let corners = (0..=SIDE - side).flat_map(|top| (0..=SIDE - side).map(move |left| [top, left]));
    corners.filter(|[y, x]| taken.iter().all(|[top, left, s]| apart(*y, side, *top, *s) || apart(*x, side, *left, *s))).collect()
}

/// Ink from 0 to 1 of pixel (y, x) of the image, `width` pixels square, enlarged to `side`; linear between the centres of its pixels.
fn enlarged(image: &[u8], width: usize, side: usize, y: usize, x: usize) -> f32 {
    let along = |at: usize| {
        let position = ((at as f32 + 0.5) * width as f32 / side as f32 - 0.5).clamp(0.0, (width - 1) as f32);
        let low = position as usize;
        (low, (low + 1).min(width - 1), position - low as f32)
    };
    let ((top, bottom, down), (left, right, aside)) = (along(y), along(x));
    let ink = |y: usize, x: usize| f32::from(image[y * width + x]) / FULL;
    let row = |y: usize| ink(y, left) + (ink(y, right) - ink(y, left)) * aside;
    row(top) + (row(bottom) - row(top)) * down
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn canvases_have_two_to_five_digits_that_do_not_touch_their_squares() {
        let listing = find(&[]).unwrap().unwrap();
        assert_eq!(listing.cases.len(), (TRAIN + TEST) as usize);
        let (mut seen, mut missing) = ([0usize; 11], 0);
        for case in &listing.cases {
            let volume = case.read(listing.classes.as_deref()).unwrap();
            for canvas in volume.mask.chunks_exact(SIDE * SIDE) {
                let classes: BTreeSet<u8> = canvas.iter().copied().collect();
                assert!((2..=6).contains(&classes.len()), "{classes:?} on {}", volume.name);
            }
            missing += 11 - volume.mask.iter().collect::<BTreeSet<_>>().len();
            assert!(volume.intensities.iter().all(|v| (0.0..=1.0).contains(v)));
            volume.mask.iter().for_each(|c| seen[usize::from(*c)] += 1);
        }
        assert!(missing < listing.cases.len() / 2, "{missing} classes are missing in {} volumes", listing.cases.len());
        let foreground: usize = seen[1..].iter().sum();
        assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
        assert!((0.05..0.25).contains(&(foreground as f64 / seen.iter().sum::<usize>() as f64)), "{seen:?}");
    }

    #[test]
    fn places_leave_room_for_a_second_digit_and_do_not_overlap() {
        let most = DIGIT_SIDE[1];
        for first in places(most, &[]) {
            assert!(!places(most, &[[first[0], first[1], most]]).is_empty());
        }
        assert_eq!(places(SIDE, &[]), [[0, 0]]);
        assert!(places(20, &[[20, 20, 20]]).iter().all(|[y, x]| *y + 20 <= 20 || *y >= 40 || *x + 20 <= 20 || *x >= 40));
    }

    #[test]
    fn digits_are_enlarged_between_the_centres_of_their_pixels() {
        let image = [0, 16, 0, 16];
        let row: Vec<f32> = (0..4).map(|x| enlarged(&image, 2, 4, 1, x)).collect();
        assert_eq!(row, [0.0, 0.25, 0.75, 1.0]);
    }
}
