//! The items of a data set on the device, as tasks: what is the same for classes of images and of pixels.

use super::augment::{Augment, Padding};
use super::part::{Batch, GoOn, Logits, Part, Score, Shape, Task, Test};
use crate::error::Result;
use crate::record::{Example, Normalisation};
use crate::seed::Rng;
use crate::units::hex;
use sha2::{Digest, Sha256};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// What is known of the labels of some items.
pub trait Labels: Clone + Send + Sized + 'static {
    /// See [`Task::metric`].
    const METRIC: &'static str;
    /// What the pixels are before they are normalised.
    const PIXELS: &'static str;

    /// Images and labels changed at random, the labels as class numbers.
    fn moved(images: &Tensor, labels: &Tensor, augment: &Augment, rng: &mut Rng) -> (Tensor, Tensor);

    /// Scores a range of items; `None` as soon as `go_on` says no.
    fn score(items: &Items<Self>, range: Range<usize>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>>;

    /// Items to show with what was predicted.
    fn examples(items: &Items<Self>, score: &Score, logits: Logits) -> Vec<Example>;
}

/// Items of one split; those of the test are scored once, by value.
#[derive(Debug)]
pub struct Items<L> {
    /// [N, C, H, W], not normalised.
    pub images: Tensor,
    /// `[N]` or [N, H, W].
    pub labels: Tensor,
    /// Mean that is subtracted: one number for all pixels, or one a channel, [1, C, 1, 1].
    pub mean: Tensor,
    /// Deviation that is divided by, of the same shape.
    pub std: Tensor,
    /// What is known of the labels.
    pub kind: L,
}

impl<L: Labels> Items<L> {
    fn share(&self) -> Self {
        self.share_on(self.images.device())
    }

    /// Without a copy where they are on that device already.
    fn share_on(&self, device: Device) -> Self {
        let [images, labels, mean, std] = [&self.images, &self.labels, &self.mean, &self.std].map(|x| x.to_device(device));
        Self { images, labels, mean, std, kind: self.kind.clone() }
    }

    /// What a network is given.
    pub fn normalised(&self, images: &Tensor) -> Tensor {
        (images.to_kind(Kind::Float) - &self.mean) / &self.std
    }

    /// Gives `each` the index of every batch's first item, its labels and its logits; false as soon as `go_on` says no.
    pub fn each_batch(
        &self,
        range: Range<usize>,
        batch: usize,
        logits: Logits,
        go_on: GoOn,
        mut each: impl FnMut(usize, Tensor, Tensor),
    ) -> Result<bool> {
        for start in range.clone().step_by(batch) {
            if !go_on()? {
                return Ok(false);
            }
            let at = |x: &Tensor| x.narrow(0, start as i64, batch.min(range.end - start) as i64);
            each(start, at(&self.labels), logits(&self.normalised(&at(&self.images))));
        }
        Ok(true)
    }
}

impl<L: Labels> Test for Items<L> {
    fn share(&self) -> Box<dyn Test> {
        Box::new(Items::share(self))
    }

    fn items(&self) -> usize {
        self.images.size()[0] as usize
    }

    fn score(self: Box<Self>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<(Score, Vec<Example>)>> {
        let score = L::score(&self, 0..self.items(), batch, logits, go_on)?;
        Ok(score.map(|score| {
            let examples = L::examples(&self, &score, logits);
            (score, examples)
        }))
    }
}

/// The training items of a data set.
#[derive(Debug)]
pub struct Loaded<L> {
    /// All of them.
    pub items: Items<L>,
    /// Ranges of items, in the order of [`Part`].
    parts: [Range<usize>; 3],
    shape: Shape,
    /// SHA-256 over what is in which part.
    split_hash: String,
}

impl<L: Labels> Loaded<L> {
    /// Items of so many classes; `split` says what is in which part.
    pub fn new(items: Items<L>, classes: usize, parts: [Range<usize>; 3], split: &str) -> Self {
        let (_, channels, height, width) = items.images.size4().expect("images have four dimensions");
        let shape = Shape { channels, height, width, classes: classes as i64 };
        Self { items, parts, shape, split_hash: hex(&Sha256::digest(split.as_bytes())) }
    }
}

impl<L: Labels> Task for Loaded<L> {
    fn metric(&self) -> &'static str {
        L::METRIC
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn normalisation(&self) -> Normalisation {
        let flat = |t: &Tensor| Vec::<f64>::try_from(&t.reshape([-1]).to_kind(Kind::Double)).expect("a flat tensor");
        Normalisation { pixels: L::PIXELS.into(), mean: flat(&self.items.mean), std: flat(&self.items.std) }
    }

    fn split_hash(&self) -> &str {
        &self.split_hash
    }

    fn share(&self) -> Box<dyn Task> {
        self.share_on(self.items.images.device())
    }

    fn share_on(&self, device: Device) -> Box<dyn Task> {
        let items = self.items.share_on(device);
        Box::new(Self { items, parts: self.parts.clone(), shape: self.shape, split_hash: self.split_hash.clone() })
    }

    fn range(&self, part: Part) -> Range<usize> {
        self.parts[part as usize].clone()
    }

    fn take(&self, items: &[i64], augment: &Augment, rng: &mut Rng) -> Batch {
        let index = Tensor::from_slice(items).to_device(self.items.images.device());
        let [images, labels] = [&self.items.images, &self.items.labels].map(|x| x.index_select(0, &index));
        let (images, labels) = match augment.pad_with {
            Padding::Mean => L::moved(&self.items.normalised(&images), &labels, augment, rng),
            Padding::Black => {
                let (images, labels) = L::moved(&images, &labels, augment, rng);
                (self.items.normalised(&images), labels)
            }
        };
        Batch { images: augment.cut(&images, rng), labels }
    }

    fn score(&self, part: Part, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        L::score(&self.items, self.range(part), batch, logits, go_on)
    }
}
