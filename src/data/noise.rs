//! Random pixels in the shape of CIFAR-10, to measure time and memory without files.

use super::files::Found;
use super::{DataSet, Images};
use crate::error::Result;
use crate::seed::Streams;
use rand::RngExt;
use std::path::PathBuf;

/// Name on the command line.
pub const NAME: &str = "noise";
const CHANNELS: usize = 3;
const SIDE: usize = 32;
const CLASSES: u16 = 10;
const TRAIN: usize = 50_000;
const TEST: usize = 10_000;

/// Draws the set, the same every time; the folders are not needed.
pub fn open(_folders: &[PathBuf]) -> Result<DataSet> {
    let draw = |images: usize, index: u64| {
        let mut pixels = vec![0u8; images * CHANNELS * SIDE * SIDE];
        Streams::new(0).rng(NAME, index).fill(pixels.as_mut_slice());
        let labels = (0..CLASSES).cycle().take(images).collect();
        Images { pixels, channels: CHANNELS, height: SIDE, width: SIDE, labels }
    };
    let notes = vec!["random pixels: time and memory are those of CIFAR-10, and there is nothing to learn".into()];
    Ok(DataSet::new(NAME, (0..CLASSES).map(|c| format!("class {c}")), [draw(TRAIN, 0), draw(TEST, 1)], notes))
}

/// Always there.
pub fn check(_folders: &[PathBuf]) -> Vec<Found> {
    vec![Found { file: NAME.into(), bytes: 0, state: "drawn when it is needed".into(), ok: true }]
}
