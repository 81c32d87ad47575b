//! Segmentation: the slices of volumes in a window of one size, parts, batches, score.

use super::augment::Augment;
use super::classification::cut;
use super::confusion::{Confusion, confusions};
use super::part::{Batch, GoOn, Limit, Logits, Part, Parts, Score, Shape, Task, Test};
use crate::data::{SegmentationSet, Volume};
use crate::error::{Result, usage};
use crate::nn::legacy_soft_dice;
use crate::record::{Example, ExampleInfo, Normalisation, PADDING};
use crate::seed::Rng;
use crate::units::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;
use tch::{Device, Kind, Reduction, Tensor};

/// The size that all slices are brought to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// How.
    pub fit: Fit,
}

/// How slices are brought to the size of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Cut or padded around their middle. A score counts the pixels of the slices: what is cut off is predicted background.
    #[default]
    Crop,
    /// Resized to the nearest pixel, as in the public code of NAS-Unet. A score counts the pixels of the window.
    Resize,
}

/// Score of some volumes.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationScore {
    /// Name and confusion of every volume, over all its pixels: padding is left out, what the window cuts off counts as predicted
    /// background.
    pub volumes: Vec<(String, Confusion)>,
    /// [`legacy_soft_dice`], averaged over the slices; padding counts as background.
    pub legacy_soft_dice: f64,
}

impl SegmentationScore {
    /// All pixels together.
    pub fn pooled(&self) -> Confusion {
        let mut sum = self.volumes[0].1.clone();
        self.volumes[1..].iter().for_each(|(_, c)| sum.add(c));
        sum
    }

    /// Mean over the volumes of their foreground Dice.
    pub fn dice(&self) -> f64 {
        self.mean(Confusion::foreground_dice)
    }

    /// Mean over the volumes of their foreground intersection over union.
    pub fn iou(&self) -> f64 {
        self.mean(Confusion::foreground_iou)
    }

    /// Mean over the volumes of any figure.
    pub fn mean(&self, of: impl Fn(&Confusion) -> f64) -> f64 {
        self.volumes.iter().map(|(_, c)| of(c)).sum::<f64>() / self.volumes.len() as f64
    }
}

/// The training volumes of a segmentation set on the device, slice by slice.
#[derive(Debug)]
pub struct Segmentation {
    slices: Slices,
    /// Ranges of volumes.
    parts: Parts,
    shape: Shape,
    /// SHA-256 over the window and the names of the volumes of every part.
    split_hash: String,
}

/// The test volumes; they are scored once, by value.
#[derive(Debug)]
pub struct SegmentationTest {
    slices: Slices,
}

#[derive(Debug)]
struct Slices {
    /// [N, 1, H, W] from 0 to 1; padding is 0.
    images: Tensor,
    /// [N, H, W], bytes; [`PADDING`] where there is no pixel.
    masks: Tensor,
    spans: Vec<Span>,
    classes: usize,
    mean: f64,
    std: f64,
}

/// Where a volume's slices are.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    slices: Range<usize>,
    /// Pixels outside the window, a class.
    outside: Vec<u64>,
}

impl Segmentation {
    /// Moves the slices to `device` and fixes the parts, volume by volume: the last of the search volumes validate, those before them
    /// train; a subject with several volumes is in one of both. `limit` counts volumes.
    pub fn open(data: &SegmentationSet, window: Window, limit: Limit, device: Device) -> Result<(Self, SegmentationTest)> {
        let volumes = by_subject(&data.train);
        let (search, retrain) = (cut(volumes.len(), limit.search), cut(volumes.len(), limit.retrain));
        let refuse = |what: String| Err(usage!("{}: {what}", data.name));
        let classes = data.classes.len();
        let [height, width] = [window.height, window.width];
        if !(2..=usize::from(PADDING)).contains(&classes) || height == 0 || width == 0 {
            return refuse(format!("a segmentation needs 2 to 255 classes and a data.window, not {classes} and {height}x{width} pixels"));
        }
        if search < 2 || retrain < 1 || data.test.is_empty() {
            return refuse(format!(
                "at least 2 volumes are needed for a search, 1 for the retraining and 1 for the test; there are {search}, {retrain} and {}",
                data.test.len()
            ));
        }
        let wanted = if limit.valid == 0 { search - search / 2 } else { limit.valid };
        let mut first = search.saturating_sub(wanted);
        while first > 0 && volumes[first - 1].subject == volumes[first].subject {
            first -= 1;
        }
        if first == 0 {
            return refuse(format!("of {search} search volumes {wanted} are to validate: none of another subject is left to train"));
        }
        let (train, valid, retrain) = (0..first, first..search, 0..retrain);
        let names = |range: &Range<usize>| volumes[range.clone()].iter().map(|v| v.name.as_str()).collect::<Vec<_>>();
        let test: Vec<&str> = data.test.iter().map(|v| v.name.as_str()).collect();
        let [a, b, c] = [&train, &valid, &retrain].map(names);
        let fit = if window.fit == Fit::Crop { "" } else { "resized to " };
        let text = format!("{fit}window {:?} train {a:?} valid {b:?} retrain {c:?} test {test:?}", [height, width]);
        let scale = statistics(&data.train);
        let task = Self {
            split_hash: hex(&Sha256::digest(text.as_bytes())),
            shape: Shape { channels: 1, height: height as i64, width: width as i64, classes: classes as i64 },
            slices: Slices::new(&volumes, window, classes, scale, device),
            parts: Parts { train, valid, retrain },
        };
        let test = Slices::new(&data.test.iter().collect::<Vec<_>>(), window, classes, scale, device);
        Ok((task, SegmentationTest { slices: test }))
    }
}

impl Task for Segmentation {
    fn metric(&self) -> &'static str {
        "dice"
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn normalisation(&self) -> Normalisation {
        let pixels = "intensities from 0 to 1: the volume's 1st percentile is 0, its 99th is 1, what lies beyond is clamped, padding is 0";
        Normalisation { pixels: pixels.into(), mean: vec![self.slices.mean], std: vec![self.slices.std] }
    }

    fn split_hash(&self) -> &str {
        &self.split_hash
    }

    fn share(&self) -> Box<dyn Task> {
        Box::new(Self { slices: self.slices.share(), parts: self.parts.clone(), shape: self.shape, split_hash: self.split_hash.clone() })
    }

    fn range(&self, part: Part) -> Range<usize> {
        self.slices.range(&self.parts.of(part))
    }

    fn take(&self, items: &[i64], augment: &Augment, rng: &mut Rng) -> Batch {
        self.slices.batch(items, augment, rng)
    }

    fn score(&self, part: Part, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        self.slices.score(self.parts.of(part), batch, logits, go_on)
    }
}

impl Test for SegmentationTest {
    fn items(&self) -> usize {
        self.slices.range(&(0..self.slices.spans.len())).len()
    }

    fn score(self: Box<Self>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<(Score, Vec<Example>)>> {
        let score = self.slices.score(0..self.slices.spans.len(), batch, logits, go_on)?;
        Ok(score.map(|score| {
            let overlaps = score.overlaps.as_ref().expect("slices have overlaps");
            let examples = ranked(overlaps).iter().map(|(volume, rank)| self.slices.example(*volume, rank, overlaps, logits)).collect();
            (score, examples)
        }))
    }
}

/// The volumes that are shown: worst, median and best by Dice, the earlier first among equals.
fn ranked(overlaps: &SegmentationScore) -> Vec<(usize, &'static str)> {
    let dice = |i: &usize| overlaps.volumes[*i].1.foreground_dice();
    let mut order: Vec<usize> = (0..overlaps.volumes.len()).collect();
    order.sort_by(|a, b| dice(a).total_cmp(&dice(b)));
    match order[..] {
        [only] => vec![(only, "only")],
        [worst, best] => vec![(worst, "worst"), (best, "best")],
        _ => vec![(order[0], "worst"), (order[order.len() / 2], "median"), (order[order.len() - 1], "best")],
    }
}

impl Slices {
    fn new(volumes: &[&Volume], window: Window, classes: usize, (mean, std): (f64, f64), device: Device) -> Self {
        let (mut images, mut masks, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for volume in volumes {
            let outside = append(volume, window, classes, &mut images, &mut masks);
            spans.push(Span { name: volume.name.clone(), slices: start..start + volume.depth, outside });
            start += volume.depth;
        }
        let [n, h, w] = [start, window.height, window.width].map(|s| s as i64);
        Self {
            images: Tensor::from_slice(&images).view([n, 1, h, w]).to_device(device),
            masks: Tensor::from_slice(&masks).view([n, h, w]).to_device(device),
            spans,
            classes,
            mean,
            std,
        }
    }

    fn share(&self) -> Self {
        Self { images: self.images.shallow_clone(), masks: self.masks.shallow_clone(), spans: self.spans.clone(), ..*self }
    }

    /// The slices of a range of volumes.
    fn range(&self, volumes: &Range<usize>) -> Range<usize> {
        self.spans[volumes.start].slices.start..self.spans[volumes.end - 1].slices.end
    }

    fn normalised(&self, images: &Tensor) -> Tensor {
        (images - self.mean) / self.std
    }

    fn batch(&self, index: &[i64], augment: &Augment, rng: &mut Rng) -> Batch {
        let index = Tensor::from_slice(index).to_device(self.images.device());
        let (images, masks) = augment.move_pair(&self.images.index_select(0, &index), &self.masks.index_select(0, &index), rng);
        Batch { images: augment.cut(&self.normalised(&images), rng), labels: classes_of(&masks) }
    }

    /// The slice of a volume that has most foreground (the first of equals), with the answer to it.
    fn example(&self, volume: usize, rank: &str, overlaps: &SegmentationScore, logits: Logits) -> Example {
        let (span, (name, confusion)) = (&self.spans[volume], &overlaps.volumes[volume]);
        let masks = self.masks.narrow(0, span.slices.start as i64, span.slices.len() as i64);
        let foreground = classes_of(&masks).ne(0).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Int64);
        let sizes = Vec::<i64>::try_from(&foreground).expect("a flat tensor of integers");
        let slice = (1..sizes.len()).fold(0, |best, i| if sizes[i] > sizes[best] { i } else { best });
        let at = |x: &Tensor| x.narrow(0, (span.slices.start + slice) as i64, 1);
        let bytes = |x: &Tensor| Vec::<u8>::try_from(&x.to_kind(Kind::Uint8).reshape([-1])).expect("a flat tensor of bytes");
        let image = at(&self.images);
        let predicted = logits(&self.normalised(&image)).argmax(1, false);
        let size = image.size();
        Example {
            about: ExampleInfo {
                volume: name.clone(),
                slice: slice as u64,
                rank: rank.to_string(),
                dice: confusion.foreground_dice(),
                height: size[2] as usize,
                width: size[3] as usize,
            },
            image: bytes(&(image * 255.0).round()),
            truth: bytes(&at(&self.masks)),
            predicted: bytes(&predicted),
        }
    }

    fn score(&self, volumes: Range<usize>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        let (range, spans) = (self.range(&volumes), &self.spans[volumes]);
        let mut found: Vec<(String, Confusion)> = spans.iter().map(|s| (s.name.clone(), Confusion::missed(&s.outside))).collect();
        let (mut loss, mut soft, mut pixels) = (0.0, 0.0, 0);
        for start in range.clone().step_by(batch) {
            if !go_on()? {
                return Ok(None);
            }
            let end = range.end.min(start + batch);
            let at = |x: &Tensor| x.narrow(0, start as i64, (end - start) as i64);
            let masks = at(&self.masks);
            let scores = logits(&self.normalised(&at(&self.images)));
            let owners: Vec<usize> = (start..end).map(|slice| spans.partition_point(|s| s.slices.end <= slice)).collect();
            let relative: Vec<usize> = owners.iter().map(|o| o - owners[0]).collect();
            for (i, confusion) in confusions(&relative, &masks, &scores.argmax(1, false), self.classes).iter().enumerate() {
                pixels += confusion.pixels();
                found[owners[0] + i].1.add(confusion);
            }
            let exact = masks.to_kind(Kind::Int64);
            loss += scores.cross_entropy_loss(&exact, None::<&Tensor>, Reduction::Sum, i64::from(PADDING), 0.0).double_value(&[]);
            soft += legacy_soft_dice(&scores, &classes_of(&masks)) * (end - start) as f64;
        }
        let overlaps = SegmentationScore { volumes: found, legacy_soft_dice: soft / range.len() as f64 };
        Ok(Some(Score { value: overlaps.dice(), loss: loss / pixels as f64, overlaps: Some(overlaps) }))
    }
}

/// Class numbers of masks in bytes; padding is background.
fn classes_of(masks: &Tensor) -> Tensor {
    masks.masked_fill(&masks.eq(i64::from(PADDING)), 0).to_kind(Kind::Int64)
}

/// The volumes of one subject side by side, subjects in the order in which they first come.
fn by_subject(volumes: &[Volume]) -> Vec<&Volume> {
    let first: BTreeMap<&str, usize> = volumes.iter().enumerate().rev().map(|(i, v)| (v.subject.as_str(), i)).collect();
    let mut sorted: Vec<&Volume> = volumes.iter().collect();
    sorted.sort_by_key(|v| first[v.subject.as_str()]);
    sorted
}

/// Mean and standard deviation of the intensities. If all are equal, the deviation is 1.
fn statistics(volumes: &[Volume]) -> (f64, f64) {
    let values = || volumes.iter().flat_map(|v| &v.intensities).map(|v| f64::from(*v));
    let n = values().count() as f64;
    let mean = values().sum::<f64>() / n;
    let std = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    (mean, if std > 0.0 { std } else { 1.0 })
}

/// Appends the slices of a volume in the window; gives the pixels a class that lie outside of it.
fn append(volume: &Volume, window: Window, classes: usize, images: &mut Vec<f32>, masks: &mut Vec<u8>) -> Vec<u64> {
    let mut outside = vec![0u64; classes];
    if window.fit == Fit::Crop {
        volume.mask.iter().for_each(|c| outside[usize::from(*c)] += 1);
    }
    let (size, target) = ([volume.height, volume.width], [window.height, window.width]);
    // Where window pixel i of an axis lies in the slice.
    let source = |axis: usize, i: usize| match window.fit {
        // Both have their middle in one place.
        Fit::Crop => {
            let inner = i + size[axis].saturating_sub(target[axis]) / 2;
            inner.checked_sub(target[axis].saturating_sub(size[axis]) / 2).filter(|at| *at < size[axis])
        }
        Fit::Resize => Some((2 * i + 1) * size[axis] / (2 * target[axis])),
    };
    for slice in 0..volume.depth {
        for (y, x) in (0..target[0]).flat_map(|y| (0..target[1]).map(move |x| (y, x))) {
            let at = source(0, y).zip(source(1, x)).map(|(y, x)| (slice * size[0] + y) * size[1] + x);
            images.push(at.map_or(0.0, |at| volume.intensities[at]));
            masks.push(at.map_or(PADDING, |at| volume.mask[at]));
            if let Some(at) = at.filter(|_| window.fit == Fit::Crop) {
                outside[usize::from(volume.mask[at])] -= 1;
            }
        }
    }
    outside
}

#[cfg(test)]
#[path = "segmentation_tests.rs"]
mod tests;
