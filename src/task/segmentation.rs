//! Segmentation: the slices of volumes in a window of one size, parts, batches, score.

use super::augment::Augment;
use super::batches;
use super::classification::{Batch, Limit, Part, cut};
use super::confusion::{Confusion, confusions};
use super::loss::legacy_soft_dice;
use crate::data::{SegmentationSet, Volume};
use crate::error::{Error, Result};
use crate::seed::{Rng, Streams};
use crate::units::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;
use tch::{Device, Kind, Reduction, Tensor};

/// What a mask holds where the window is larger than the slice.
const PADDING: u8 = 255;

/// Score of some volumes.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationScore {
    /// Name and confusion of every volume, over all its pixels: padding is left out, what the window cuts off counts as predicted
    /// background.
    pub volumes: Vec<(String, Confusion)>,
    /// Mean cross-entropy a pixel within the windows, padding left out.
    pub loss: f64,
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

    fn mean(&self, of: impl Fn(&Confusion) -> f64) -> f64 {
        self.volumes.iter().map(|(_, c)| of(c)).sum::<f64>() / self.volumes.len() as f64
    }
}

/// The training volumes of a segmentation set on the device, slice by slice. The test volumes are in [`SegmentationTest`], which no method
/// sees.
#[derive(Debug)]
pub struct Segmentation {
    slices: Slices,
    /// Ranges of volumes.
    train: Range<usize>,
    valid: Range<usize>,
    retrain: Range<usize>,
    /// Channels of a slice.
    pub channels: i64,
    /// Height of the window in pixels.
    pub height: i64,
    /// Width of the window in pixels.
    pub width: i64,
    /// Number of classes, background included.
    pub classes: i64,
    /// SHA-256 over the window and the names of the volumes of every part.
    pub split_hash: String,
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
    /// train; a subject with several volumes is in one of both. Slices are cut or padded around their middle to `window`, height and width
    /// in pixels. `limit` counts volumes.
    pub fn open(data: &SegmentationSet, window: [usize; 2], limit: Limit, device: Device) -> Result<(Self, SegmentationTest)> {
        let volumes = by_subject(&data.train);
        let (search, retrain) = (cut(volumes.len(), limit.search), cut(volumes.len(), limit.retrain));
        let refuse = |what: String| Err(Error::Usage(format!("{}: {what}", data.name)));
        let classes = data.classes.len();
        if !(2..=usize::from(PADDING)).contains(&classes) || window.contains(&0) {
            return refuse(format!("a segmentation needs 2 to 255 classes and a window, not {classes} and {window:?} pixels"));
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
        let text = format!("window {window:?} train {a:?} valid {b:?} retrain {c:?} test {test:?}");
        let scale = statistics(&data.train);
        let task = Self {
            split_hash: hex(&Sha256::digest(text.as_bytes())),
            channels: 1,
            height: window[0] as i64,
            width: window[1] as i64,
            classes: classes as i64,
            slices: Slices::new(&volumes, window, classes, scale, device),
            train,
            valid,
            retrain,
        };
        let test = Slices::new(&data.test.iter().collect::<Vec<_>>(), window, classes, scale, device);
        Ok((task, SegmentationTest { slices: test }))
    }

    /// The same slices once more, in the same memory, for another thread.
    pub fn share(&self) -> Self {
        let (train, valid, retrain) = (self.train.clone(), self.valid.clone(), self.retrain.clone());
        Self { slices: self.slices.share(), train, valid, retrain, split_hash: self.split_hash.clone(), ..*self }
    }

    /// Number of slices in `part`.
    pub fn len(&self, part: Part) -> usize {
        self.range(part).len()
    }

    /// Number of volumes in `part`.
    pub fn volumes(&self, part: Part) -> usize {
        self.spans(part).len()
    }

    /// Slices a part, by name, and those of the test split.
    pub fn counts(&self, test: &SegmentationTest) -> BTreeMap<String, u64> {
        let part = |name: &str, part| (name.to_string(), self.len(part) as u64);
        [part("train", Part::Train), part("valid", Part::Valid), part("retrain", Part::Retrain), ("test".to_string(), test.len() as u64)]
            .into()
    }

    /// Steps an epoch over `part`; a last batch of one slice joins the one before it.
    pub fn steps(&self, part: Part, batch: usize) -> u64 {
        batches::steps(self.len(part), batch)
    }

    /// Batch `index` of `epoch` in a shuffled order of slices, augmented. Order and augmentation come from `streams` alone.
    pub fn batch(&self, part: Part, epoch: u64, index: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        let (items, mut rng) = batches::of_epoch(self.range(part), epoch, index, size, streams);
        self.slices.batch(&items, augment, &mut rng)
    }

    /// A batch of `size` slices drawn without replacement, independently for every `step`.
    pub fn random_batch(&self, part: Part, step: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        let (items, mut rng) = batches::at_random(self.range(part), step, size, streams);
        self.slices.batch(&items, augment, &mut rng)
    }

    /// Scores `part` by `logits` ([N, 1, H, W] → [N, classes, H, W]) in batches of `batch` slices; `go_on` is asked before every batch;
    /// where it says no, there is no score.
    pub fn score(
        &self,
        part: Part,
        batch: usize,
        logits: impl Fn(&Tensor) -> Tensor,
        go_on: impl FnMut() -> Result<bool>,
    ) -> Result<Option<SegmentationScore>> {
        self.slices.score(self.spans(part), batch, logits, go_on)
    }

    fn spans(&self, part: Part) -> Range<usize> {
        match part {
            Part::Train => self.train.clone(),
            Part::Valid => self.valid.clone(),
            Part::Retrain => self.retrain.clone(),
        }
    }

    fn range(&self, part: Part) -> Range<usize> {
        self.slices.range(&self.spans(part))
    }
}

impl SegmentationTest {
    /// Number of test slices.
    pub fn len(&self) -> usize {
        self.slices.range(&(0..self.volumes())).len()
    }

    /// Number of test volumes.
    pub fn volumes(&self) -> usize {
        self.slices.spans.len()
    }

    /// True without slices.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Scores the test volumes.
    pub fn score(
        self,
        batch: usize,
        logits: impl Fn(&Tensor) -> Tensor,
        go_on: impl FnMut() -> Result<bool>,
    ) -> Result<Option<SegmentationScore>> {
        self.slices.score(0..self.volumes(), batch, logits, go_on)
    }
}

impl Slices {
    fn new(volumes: &[&Volume], window: [usize; 2], classes: usize, (mean, std): (f64, f64), device: Device) -> Self {
        let (mut images, mut masks, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for volume in volumes {
            let outside = append(volume, window, classes, &mut images, &mut masks);
            spans.push(Span { name: volume.name.clone(), slices: start..start + volume.depth, outside });
            start += volume.depth;
        }
        let [n, h, w] = [start, window[0], window[1]].map(|s| s as i64);
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

    fn score(
        &self,
        volumes: Range<usize>,
        batch: usize,
        logits: impl Fn(&Tensor) -> Tensor,
        mut go_on: impl FnMut() -> Result<bool>,
    ) -> Result<Option<SegmentationScore>> {
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
        Ok(Some(SegmentationScore { volumes: found, loss: loss / pixels as f64, legacy_soft_dice: soft / range.len() as f64 }))
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
fn append(volume: &Volume, window: [usize; 2], classes: usize, images: &mut Vec<f32>, masks: &mut Vec<u8>) -> Vec<u64> {
    let mut outside = vec![0u64; classes];
    volume.mask.iter().for_each(|c| outside[usize::from(*c)] += 1);
    let size = [volume.height, volume.width];
    // Where window pixel i of an axis lies in the slice: both have their middle in one place.
    let source = |axis: usize, i: usize| {
        let inner = i + size[axis].saturating_sub(window[axis]) / 2;
        inner.checked_sub(window[axis].saturating_sub(size[axis]) / 2).filter(|at| *at < size[axis])
    };
    for slice in 0..volume.depth {
        for (y, x) in (0..window[0]).flat_map(|y| (0..window[1]).map(move |x| (y, x))) {
            let at = source(0, y).zip(source(1, x)).map(|(y, x)| (slice * size[0] + y) * size[1] + x);
            images.push(at.map_or(0.0, |at| volume.intensities[at]));
            masks.push(at.map_or(PADDING, |at| volume.mask[at]));
            if let Some(at) = at {
                outside[usize::from(volume.mask[at])] -= 1;
            }
        }
    }
    outside
}

#[cfg(test)]
#[path = "segmentation_tests.rs"]
mod tests;
