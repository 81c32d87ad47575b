//! What a search sees of a data set: parts, batches, scores; whether whole images have a class or every pixel has one.

use super::augment::Augment;
use super::segmentation::SegmentationScore;
use crate::error::Result;
use crate::record::{Example, Normalisation};
use crate::seed::{Rng, Streams};
use rand::seq::{SliceRandom, index};
use std::collections::BTreeMap;
use std::ops::Range;
use tch::{Device, Tensor};

/// A part of the training images that a method may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The search images that train.
    Train,
    /// The search images that validate.
    Valid,
    /// All training images, for training the chosen architecture.
    Retrain,
}

impl Part {
    const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Retrain];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Retrain => "retrain",
        }
    }
}

/// Images [N, C, H, W] normalised by channel, and labels `[N]`, or [N, H, W] where every pixel has one.
#[derive(Debug)]
pub struct Batch {
    /// [N, C, H, W], float.
    pub images: Tensor,
    /// `[N]` or [N, H, W], integers.
    pub labels: Tensor,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.size()[0] as usize
    }

    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Score of some images.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// What [`Task::metric`] names: the fraction classified correctly, or the foreground Dice of a volume averaged over the volumes.
    pub value: f64,
    /// Mean cross-entropy, an image or a pixel.
    pub loss: f64,
    /// Overlaps, where every pixel has a class.
    pub overlaps: Option<SegmentationScore>,
}

/// How many of the images, or of the volumes of a segmentation set, are used; 0 is all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Images for the search, training and validation part together.
    pub search: usize,
    /// Those of them that validate; 0 is half.
    pub valid: usize,
    /// Images for training the chosen architecture.
    pub retrain: usize,
}

impl Limit {
    /// Items of the search, items of the retraining, and how many of the search's items validate, where `search` items are there for a search and `all` for the retraining.
    pub(super) fn counts(&self, search: usize, all: usize) -> [usize; 3] {
        let cut = |available: usize, limit: usize| if limit == 0 { available } else { available.min(limit) };
        let search = cut(search, self.search);
        [search, cut(all, self.retrain), if self.valid == 0 { search - search / 2 } else { self.valid }]
    }
}

/// Channels and size of an image, and the number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: i64,
    /// Height in pixels.
    pub height: i64,
    /// Width in pixels.
    pub width: i64,
    /// Classes, of an image or of a pixel.
    pub classes: i64,
}

/// Scores images [N, C, H, W] → [N, classes] or [N, classes, H, W].
pub type Logits<'a> = &'a dyn Fn(&Tensor) -> Tensor;
/// Asked before every batch whether to go on.
pub type GoOn<'a> = &'a mut dyn FnMut() -> Result<bool>;

/// The training items of a data set on the device: images, or slices of volumes. The test items are in [`Test`], which no method sees.
pub trait Task: Send {
    /// `accuracy` or `dice`.
    fn metric(&self) -> &'static str;

    /// What the items are like.
    fn shape(&self) -> Shape;

    /// How its pixels become what a network is given.
    fn normalisation(&self) -> Normalisation;

    /// SHA-256 over what is in which part.
    fn split_hash(&self) -> &str;

    /// The same items once more, in the same memory, for another thread.
    fn share(&self) -> Box<dyn Task>;

    /// The same items on `device`, copied there if they are on another.
    fn share_on(&self, device: Device) -> Box<dyn Task>;

    /// The items of a part.
    fn range(&self, part: Part) -> Range<usize>;

    /// A batch of these items, changed at random.
    fn take(&self, items: &[i64], augment: &Augment, rng: &mut Rng) -> Batch;

    /// Scores `part` in batches of `batch` items; `None` as soon as `go_on` says no.
    fn score(&self, part: Part, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>>;

    /// Number of items in `part`.
    fn len(&self, part: Part) -> usize {
        self.range(part).len()
    }

    /// Items a part, by name, and those of the test.
    fn counts(&self, test: &dyn Test) -> BTreeMap<String, u64> {
        let counts = Part::ALL.map(|part| (part.name(), self.len(part))).into_iter().chain([("test", test.items())]);
        counts.map(|(name, n)| (name.to_string(), n as u64)).collect()
    }

    /// Steps an epoch over `part`; a last batch of one item joins the one before it.
    fn steps(&self, part: Part, batch: usize) -> u64 {
        let (items, whole) = (self.len(part), self.len(part).div_ceil(batch));
        (if whole > 1 && items % batch == 1 { whole - 1 } else { whole }) as u64
    }

    /// Batch `index` of `epoch` in a shuffled order, augmented. Order and augmentation come from `streams` alone.
    fn batch(&self, part: Part, epoch: u64, index: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        let steps = self.steps(part, size);
        assert!(index < steps, "batch {index} of {steps}");
        let mut order: Vec<i64> = self.range(part).map(|i| i as i64).collect();
        order.shuffle(&mut streams.rng("order", epoch));
        let start = index as usize * size;
        let end = if index + 1 == steps { order.len() } else { start + size };
        self.take(&order[start..end], augment, &mut streams.rng("augment", epoch * steps + index))
    }

    /// A batch of `size` items drawn without replacement, independently for every `step`.
    fn random_batch(&self, part: Part, step: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        let (range, all) = (self.range(part), self.len(part));
        let chosen = index::sample(&mut streams.rng("random batch", step), all, size.min(all));
        let items: Vec<i64> = chosen.iter().map(|i| (range.start + i) as i64).collect();
        self.take(&items, augment, &mut streams.rng("augment random batch", step))
    }
}

/// The test items; a run scores them once, by value.
pub trait Test: Send {
    /// The same items once more, in the same memory: for a table, each row of which has test scores.
    fn share(&self) -> Box<dyn Test>;

    /// Number of test items.
    fn items(&self) -> usize;

    /// Scores them, and shows some slices with what was predicted, where every pixel has a class.
    fn score(self: Box<Self>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<(Score, Vec<Example>)>>;
}
