//! Which items make a batch: the same for images and for slices, from the random streams alone.

use crate::seed::{Rng, Streams};
use rand::seq::SliceRandom;
use std::ops::Range;

/// Steps an epoch over `items` items; a last batch of one item joins the one before it.
pub fn steps(items: usize, batch: usize) -> u64 {
    let whole = items.div_ceil(batch);
    (if whole > 1 && items % batch == 1 { whole - 1 } else { whole }) as u64
}

/// The items of batch `index` of `epoch` in a shuffled order of `range`, and the random numbers of their augmentation.
pub fn of_epoch(range: Range<usize>, epoch: u64, index: u64, size: usize, streams: Streams) -> (Vec<i64>, Rng) {
    let steps = steps(range.len(), size);
    assert!(index < steps, "batch {index} of {steps}");
    let mut order: Vec<i64> = range.map(|i| i as i64).collect();
    order.shuffle(&mut streams.rng("order", epoch));
    let start = index as usize * size;
    let end = if index + 1 == steps { order.len() } else { start + size };
    (order[start..end].to_vec(), streams.rng("augment", epoch * steps + index))
}

/// `size` items of `range` without replacement, independently for every `step`, and the random numbers of their augmentation.
pub fn at_random(range: Range<usize>, step: u64, size: usize, streams: Streams) -> (Vec<i64>, Rng) {
    let chosen = rand::seq::index::sample(&mut streams.rng("random batch", step), range.len(), size.min(range.len()));
    (chosen.iter().map(|i| (range.start + i) as i64).collect(), streams.rng("augment random batch", step))
}
