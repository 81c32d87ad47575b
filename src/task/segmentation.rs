//! Segmentation: the slices of volumes in a window of one size, parts, batches, score.

use super::augment::Augment;
use super::confusion::{Confusion, confusions, mean};
use super::items::{Items, Labels, Loaded};
use super::part::{GoOn, Limit, Logits, Part, Score, Test};
use crate::data::{SegmentationSet, Volume};
use crate::error::{Result, usage};
use crate::nn::legacy_soft_dice;
use crate::record::{Example, ExampleInfo, PADDING};
use crate::seed::Rng;
use serde::{Deserialize, Serialize};
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
    /// Classes that no mask of the whole set has; they are in no mean.
    pub absent: Vec<usize>,
}

impl SegmentationScore {
    /// All pixels together.
    pub fn pooled(&self) -> Confusion {
        let mut sum = self.volumes[0].1.clone();
        self.volumes[1..].iter().for_each(|(_, c)| sum.add(c));
        sum
    }

    /// Mean foreground Dice of the volumes that have one; `None` where none has.
    pub fn dice(&self) -> Option<f64> {
        mean(self.of_volumes(|c| c.foreground_dice(&self.absent)))
    }

    /// Mean foreground intersection over union of the same volumes.
    pub fn iou(&self) -> Option<f64> {
        mean(self.of_volumes(|c| c.foreground_iou(&self.absent)))
    }

    /// A figure of every volume that has it.
    pub fn of_volumes(&self, of: impl Fn(&Confusion) -> Option<f64>) -> Vec<f64> {
        self.volumes.iter().filter_map(|(_, c)| of(c)).collect()
    }
}

/// A class for every pixel: the masks are bytes, [`PADDING`] where there is no pixel.
#[derive(Clone, Debug)]
pub struct Masks {
    /// The volumes, in the order of their slices.
    spans: Vec<Span>,
    classes: usize,
    /// Classes that no mask of the whole set has.
    absent: Vec<usize>,
}

/// Where a volume's slices are.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    slices: Range<usize>,
    /// Pixels outside the window, a class.
    outside: Vec<u64>,
}

/// The training volumes of a segmentation set on the device, slice by slice; intensities from 0 to 1, padding is 0.
pub type Segmentation = Loaded<Masks>;

impl Segmentation {
    /// Moves the slices to `device` and fixes the parts, volume by volume: the last of the search volumes validate, those before them
    /// train; a subject with several volumes is in one of both. `limit` counts volumes.
    pub fn open(data: &SegmentationSet, window: Window, limit: Limit, device: Device) -> Result<(Self, Items<Masks>)> {
        let (volumes, tested) = (by_subject(&data.train), data.test.iter().collect::<Vec<_>>());
        let [search, retrain, wanted] = limit.counts(volumes.len(), volumes.len());
        let refuse = |what: String| Err(usage!("{}: {what}", data.name));
        let (classes, Window { height, width, fit }) = (data.classes.len(), window);
        if !(2..=usize::from(PADDING)).contains(&classes) || height == 0 || width == 0 {
            return refuse(format!("a segmentation needs 2 to 255 classes and a data.window, not {classes} and {height}x{width} pixels"));
        }
        if search < 2 || retrain < 1 || tested.is_empty() {
            let what = "at least 2 volumes are needed for a search, 1 for the retraining and 1 for the test";
            return refuse(format!("{what}; there are {search}, {retrain} and {}", tested.len()));
        }
        let mut first = search.saturating_sub(wanted);
        while first > 0 && volumes[first - 1].subject == volumes[first].subject {
            first -= 1;
        }
        if first == 0 {
            return refuse(format!("of {search} search volumes {wanted} are to validate: none of another subject is left to train"));
        }
        let parts = [0..first, first..search, 0..retrain];
        let names = |volumes: &[&Volume]| volumes.iter().map(|v| v.name.clone()).collect::<Vec<_>>();
        let [train, valid, retrain] = parts.each_ref().map(|part| names(&volumes[part.clone()]));
        let (fit, size, test) = (if fit == Fit::Crop { "" } else { "resized to " }, [height, width], names(&tested));
        let split = format!("{fit}window {size:?} train {train:?} valid {valid:?} retrain {retrain:?} test {test:?}");
        let scale = statistics(&data.train);
        let absent = absent(data);
        let kind = |spans| Masks { spans, classes, absent: absent.clone() };
        let items = slices(&volumes, window, kind, scale, device);
        let spans = &items.kind.spans;
        let parts = parts.map(|part| spans[part.start].slices.start..spans[part.end - 1].slices.end);
        let test = slices(&tested, window, kind, scale, device);
        if !has_foreground(&items, &parts[Part::Valid as usize]) || !has_foreground(&test, &(0..test.items())) {
            return refuse(
                "neither the volumes that validate nor those of the test may be all background: there would be nothing to score".into(),
            );
        }
        Ok((Self::new(items, classes, parts, &split), test))
    }
}

impl Labels for Masks {
    const METRIC: &'static str = "dice";
    const PIXELS: &'static str =
        "intensities from 0 to 1: the volume's 1st percentile is 0, its 99th is 1, what lies beyond is clamped, padding is 0";

    fn moved(images: &Tensor, labels: &Tensor, augment: &Augment, rng: &mut Rng) -> (Tensor, Tensor) {
        let (images, masks) = augment.moved(images, Some(labels), rng);
        (images, classes_of(&masks.expect("masks go in and come out")))
    }

    fn score(items: &Items<Self>, range: Range<usize>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        let inside = |s: &&Span| range.start <= s.slices.start && s.slices.end <= range.end;
        let spans: Vec<&Span> = items.kind.spans.iter().filter(inside).collect();
        let mut volumes: Vec<(String, Confusion)> = spans.iter().map(|s| (s.name.clone(), Confusion::missed(&s.outside))).collect();
        let (mut loss, mut soft, mut pixels, slices) = (0.0, 0.0, 0, range.len() as f64);
        let whole = items.each_batch(range.clone(), batch, logits, go_on, |start, masks, scores| {
            let n = masks.size()[0] as usize;
            let owners: Vec<usize> = (start..start + n).map(|slice| spans.partition_point(|s| s.slices.end <= slice)).collect();
            let relative: Vec<usize> = owners.iter().map(|o| o - owners[0]).collect();
            for (i, confusion) in confusions(&relative, &masks, &scores.argmax(1, false), items.kind.classes).iter().enumerate() {
                pixels += confusion.pixels();
                volumes[owners[0] + i].1.add(confusion);
            }
            let exact = masks.to_kind(Kind::Int64);
            loss += scores.cross_entropy_loss(&exact, None::<&Tensor>, Reduction::Sum, i64::from(PADDING), 0.0).double_value(&[]);
            soft += legacy_soft_dice(&scores, &classes_of(&masks)) * n as f64;
        })?;
        let overlaps = SegmentationScore { volumes, legacy_soft_dice: soft / slices, absent: items.kind.absent.clone() };
        Ok(whole.then(|| {
            let value = overlaps.dice().expect("parts without foreground are refused");
            Score { value, loss: loss / pixels as f64, overlaps: Some(overlaps) }
        }))
    }

    fn examples(items: &Items<Self>, score: &Score, logits: Logits) -> Vec<Example> {
        let overlaps = score.overlaps.as_ref().expect("slices have overlaps");
        let one = |((volume, dice), rank): ((usize, f64), &str)| example(items, &items.kind.spans[volume], dice, rank, logits);
        ranked(overlaps).into_iter().map(one).collect()
    }
}

/// The volumes that are shown, with their Dice: worst, median and best, the earlier first among equals. A volume without Dice is not shown.
fn ranked(overlaps: &SegmentationScore) -> Vec<((usize, f64), &'static str)> {
    let of_volumes = overlaps.volumes.iter().enumerate();
    let mut order: Vec<(usize, f64)> = of_volumes.filter_map(|(i, (_, c))| Some((i, c.foreground_dice(&overlaps.absent)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    match order[..] {
        [] => Vec::new(),
        [only] => vec![(only, "only")],
        [worst, best] => vec![(worst, "worst"), (best, "best")],
        _ => vec![(order[0], "worst"), (order[order.len() / 2], "median"), (order[order.len() - 1], "best")],
    }
}

/// The slice of a volume that has most foreground (the first of equals), with the answer to it.
fn example(items: &Items<Masks>, Span { name, slices, .. }: &Span, dice: f64, rank: &str, logits: Logits) -> Example {
    let masks = items.labels.narrow(0, slices.start as i64, slices.len() as i64);
    let foreground = classes_of(&masks).ne(0).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Int64);
    let sizes = Vec::<i64>::try_from(&foreground).expect("a flat tensor of integers");
    let slice = (1..sizes.len()).fold(0, |best, i| if sizes[i] > sizes[best] { i } else { best });
    let at = |x: &Tensor| x.narrow(0, (slices.start + slice) as i64, 1);
    let bytes = |x: &Tensor| Vec::<u8>::try_from(&x.to_kind(Kind::Uint8).reshape([-1])).expect("a flat tensor of bytes");
    let image = at(&items.images);
    let predicted = logits(&items.normalised(&image)).argmax(1, false);
    let [height, width] = [2, 3].map(|axis| image.size()[axis] as usize);
    Example {
        about: ExampleInfo { volume: name.clone(), slice: slice as u64, rank: rank.to_string(), dice, height, width },
        image: bytes(&(image * 255.0).round()),
        truth: bytes(&at(&items.labels)),
        predicted: bytes(&predicted),
    }
}

fn slices(volumes: &[&Volume], window: Window, kind: impl Fn(Vec<Span>) -> Masks, (mean, std): (f64, f64), device: Device) -> Items<Masks> {
    let classes = kind(Vec::new()).classes;
    let (mut images, mut masks, mut spans, mut start) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for volume in volumes {
        let outside = append(volume, window, classes, &mut images, &mut masks);
        spans.push(Span { name: volume.name.clone(), slices: start..start + volume.depth, outside });
        start += volume.depth;
    }
    let [n, h, w] = [start, window.height, window.width].map(|s| s as i64);
    Items {
        images: Tensor::from_slice(&images).view([n, 1, h, w]).to_device(device),
        labels: Tensor::from_slice(&masks).view([n, h, w]).to_device(device),
        mean: Tensor::from(mean),
        std: Tensor::from(std),
        kind: kind(spans),
    }
}

/// Classes that neither a mask to learn from nor one of the test has.
fn absent(data: &SegmentationSet) -> Vec<usize> {
    let mut there = [false; 256];
    data.train.iter().chain(&data.test).flat_map(|v| &v.mask).for_each(|class| there[usize::from(*class)] = true);
    (0..data.classes.len()).filter(|class| !there[*class]).collect()
}

/// Whether the slices of some whole volumes have foreground, in the window or outside of it.
fn has_foreground(items: &Items<Masks>, range: &Range<usize>) -> bool {
    let masks = items.labels.narrow(0, range.start as i64, range.len() as i64);
    let spans = items.kind.spans.iter().filter(|s| range.contains(&s.slices.start));
    let inside = || masks.ne(0).logical_and(&masks.ne(i64::from(PADDING))).any().int64_value(&[]) != 0;
    spans.flat_map(|s| &s.outside[1..]).any(|n| *n > 0) || inside()
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
