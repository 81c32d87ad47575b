//! Image classification: parts of a data set, batches, score.

use super::augment::Augment;
use super::part::{Batch, GoOn, Limit, Logits, Part, Parts, Score, Shape, Task, Test};
use crate::data::{DataSet, Images};
use crate::error::{Error, Result, usage};
use crate::nn::cross_entropy;
use crate::record::{Example, Normalisation};
use crate::seed::Rng;
use crate::units::hex;
use sha2::{Digest, Sha256};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// The training images of a data set on the device.
#[derive(Debug)]
pub struct Classification {
    pixels: Pixels,
    parts: Parts,
    shape: Shape,
    /// SHA-256 over the parts' ranges.
    split_hash: String,
}

/// The test images; they are scored once, by value.
#[derive(Debug)]
pub struct TestSplit {
    pixels: Pixels,
}

#[derive(Debug)]
struct Pixels {
    /// [N, C, H, W], bytes.
    images: Tensor,
    /// `[N]`
    labels: Tensor,
    /// [1, C, 1, 1], of bytes.
    mean: Tensor,
    /// [1, C, 1, 1], of bytes.
    std: Tensor,
}

impl Classification {
    /// Moves the images to `device` and fixes the parts: the last of the search images validate, those before them train.
    pub fn open(data: &DataSet, limit: Limit, device: Device) -> Result<(Self, TestSplit)> {
        let search = cut(data.search_items, limit.search);
        let retrain = cut(data.train.len(), limit.retrain);
        if search < 8 || retrain < 2 || data.test.is_empty() {
            let what = format!(
                "{}: at least 8 images are needed for a search, 2 for the retraining and 1 for the test; there are {search}, {retrain} and {}",
                data.name,
                data.test.len()
            );
            return Err(Error::Usage(what));
        }
        let valid = if limit.valid == 0 { search - search / 2 } else { limit.valid };
        if valid + 2 > search {
            return Err(usage!(
                "data.valid_images = {valid}: of {search} search images at least 2 must be left to train; give fewer, or 0 for half"
            ));
        }
        let (train, valid, retrain) = (0..search - valid, search - valid..search, 0..retrain);
        let text = format!("train {train:?} valid {valid:?} retrain {retrain:?} test {:?}", 0..data.test.len());
        let (mean, std) = statistics(&data.train);
        let task = Self {
            split_hash: hex(&Sha256::digest(text.as_bytes())),
            shape: Shape {
                channels: data.train.channels as i64,
                height: data.train.height as i64,
                width: data.train.width as i64,
                classes: data.classes.len() as i64,
            },
            pixels: Pixels::new(&data.train, &mean, &std, device),
            parts: Parts { train, valid, retrain },
        };
        Ok((task, TestSplit { pixels: Pixels::new(&data.test, &mean, &std, device) }))
    }
}

impl Task for Classification {
    fn metric(&self) -> &'static str {
        "accuracy"
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn normalisation(&self) -> Normalisation {
        let [mean, std] = [&self.pixels.mean, &self.pixels.std].map(|t| Vec::<f64>::try_from(&t.reshape([-1]).to_kind(Kind::Double)));
        let (mean, std) = (mean.expect("a flat tensor"), std.expect("a flat tensor"));
        Normalisation { pixels: "bytes as in the data set's files, from 0 to 255 at the most".into(), mean, std }
    }

    fn split_hash(&self) -> &str {
        &self.split_hash
    }

    fn share(&self) -> Box<dyn Task> {
        Box::new(Self { pixels: self.pixels.share(), parts: self.parts.clone(), shape: self.shape, split_hash: self.split_hash.clone() })
    }

    fn range(&self, part: Part) -> Range<usize> {
        self.parts.of(part)
    }

    fn take(&self, items: &[i64], augment: &Augment, rng: &mut Rng) -> Batch {
        self.pixels.batch(items, augment, rng)
    }

    fn score(&self, part: Part, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        self.pixels.score(self.range(part), batch, logits, go_on)
    }
}

impl Test for TestSplit {
    fn items(&self) -> usize {
        self.pixels.labels.size()[0] as usize
    }

    fn score(self: Box<Self>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<(Score, Vec<Example>)>> {
        let score = self.pixels.score(0..self.items(), batch, logits, go_on)?;
        Ok(score.map(|score| (score, Vec::new())))
    }
}

impl Pixels {
    fn new(images: &Images, mean: &[f64], std: &[f64], device: Device) -> Self {
        let shape = [images.len() as i64, images.channels as i64, images.height as i64, images.width as i64];
        let labels: Vec<i64> = images.labels.iter().map(|l| i64::from(*l)).collect();
        let channel = |v: &[f64]| Tensor::from_slice(v).to_kind(Kind::Float).view([1, -1, 1, 1]).to_device(device);
        Self {
            images: Tensor::from_data_size(&images.pixels, &shape, Kind::Uint8).to_device(device),
            labels: Tensor::from_slice(&labels).to_device(device),
            mean: channel(mean),
            std: channel(std),
        }
    }

    fn share(&self) -> Self {
        let [images, labels, mean, std] = [&self.images, &self.labels, &self.mean, &self.std].map(Tensor::shallow_clone);
        Self { images, labels, mean, std }
    }

    fn normalised(&self, bytes: &Tensor) -> Tensor {
        (bytes.to_kind(Kind::Float) - &self.mean) / &self.std
    }

    fn batch(&self, index: &[i64], augment: &Augment, rng: &mut Rng) -> Batch {
        let index = Tensor::from_slice(index).to_device(self.images.device());
        let moved = augment.move_pixels(&self.images.index_select(0, &index), rng);
        Batch { images: augment.cut(&self.normalised(&moved), rng), labels: self.labels.index_select(0, &index) }
    }

    fn score(&self, range: Range<usize>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        let (mut correct, mut loss) = (0i64, 0.0);
        for start in range.clone().step_by(batch) {
            if !go_on()? {
                return Ok(None);
            }
            let n = batch.min(range.end - start) as i64;
            let images = self.normalised(&self.images.narrow(0, start as i64, n));
            let labels = self.labels.narrow(0, start as i64, n);
            let scores = logits(&images);
            correct += scores.argmax(1, false).eq_tensor(&labels).sum(Kind::Int64).int64_value(&[]);
            loss += cross_entropy(&scores, &labels).double_value(&[]) * n as f64;
        }
        let n = range.len() as f64;
        Ok(Some(Score { value: correct as f64 / n, loss: loss / n, overlaps: None }))
    }
}

pub(super) fn cut(available: usize, limit: usize) -> usize {
    if limit == 0 { available } else { available.min(limit) }
}

/// Mean and standard deviation of the training bytes, per channel. A constant channel gets a deviation of 1.
fn statistics(images: &Images) -> (Vec<f64>, Vec<f64>) {
    let plane = images.height * images.width;
    (0..images.channels)
        .map(|channel| {
            let mut histogram = [0u64; 256];
            for image in images.pixels.chunks_exact(images.channels * plane) {
                image[channel * plane..(channel + 1) * plane].iter().for_each(|p| histogram[usize::from(*p)] += 1);
            }
            let n = (images.len() * plane) as f64;
            let moment =
                |power: i32| histogram.iter().enumerate().map(|(v, count)| (v as f64).powi(power) * *count as f64).sum::<f64>() / n;
            let (mean, square) = (moment(1), moment(2));
            let std = (square - mean * mean).max(0.0).sqrt();
            (mean, if std > 0.0 { std } else { 1.0 })
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;

    /// `n` training images whose first pixel is their number, and three test images.
    fn task(n: usize) -> (Classification, TestSplit) {
        let images = |count: usize| Images {
            pixels: (0..count).flat_map(|i| [i as u8, 7, 7, 9]).collect(),
            channels: 1,
            height: 2,
            width: 2,
            labels: (0..count).map(|i| (i % 2) as u16).collect(),
        };
        let data = DataSet {
            name: "toy".into(),
            classes: vec!["even".into(), "odd".into()],
            train: images(n),
            test: images(3),
            search_items: n,
            hash: String::new(),
            notes: Vec::new(),
        };
        Classification::open(&data, Limit::default(), Device::Cpu).unwrap()
    }

    /// Numbers of the images in a batch, read back from the normalised first pixel.
    fn numbers(task: &Classification, batch: &Batch) -> Vec<i64> {
        let first = &batch.images * &task.pixels.std + &task.pixels.mean;
        Vec::<f64>::try_from(first.select(3, 0).select(2, 0).select(1, 0).to_kind(Kind::Double))
            .unwrap()
            .iter()
            .map(|v| v.round() as i64)
            .collect()
    }

    #[test]
    fn an_epoch_shows_every_image_of_its_part_once_in_an_order_of_its_own() {
        let (task, _) = task(40);
        let epoch = |part, epoch| {
            let batches = (0..task.steps(part, 6)).map(|i| task.batch(part, epoch, i, 6, &Augment::NONE, Streams::new(1)));
            batches.flat_map(|b| numbers(&task, &b)).collect::<Vec<i64>>()
        };
        for (part, expected) in [(Part::Train, 0..20), (Part::Valid, 20..40), (Part::Retrain, 0..40)] {
            let (first, second) = (epoch(part, 0), epoch(part, 1));
            assert_ne!(first, second);
            assert_eq!(first, epoch(part, 0));
            let mut sorted = first;
            sorted.sort_unstable();
            assert_eq!(sorted, expected.collect::<Vec<i64>>());
        }
    }

    #[test]
    fn a_last_batch_of_one_image_joins_the_one_before_it() {
        let (task, _) = task(26);
        let sizes = |batch| {
            (0..task.steps(Part::Train, batch))
                .map(|i| task.batch(Part::Train, 0, i, batch, &Augment::NONE, Streams::new(1)).len())
                .collect()
        };
        let all: Vec<Vec<usize>> = vec![sizes(4), sizes(6), sizes(5), sizes(12), sizes(13), sizes(100)];
        assert_eq!(all, [vec![4, 4, 5], vec![6, 7], vec![5, 5, 3], vec![13], vec![13], vec![13]]);
    }

    #[test]
    fn random_batches_stay_in_their_part_and_differ_by_step() {
        let (task, _) = task(40);
        let draw = |step| numbers(&task, &task.random_batch(Part::Valid, step, 8, &Augment::NONE, Streams::new(1)));
        assert!((0..20).flat_map(draw).all(|n| (20..40).contains(&n)));
        assert_ne!(draw(0), draw(1));
        assert_eq!(draw(5), draw(5));
    }

    #[test]
    fn images_are_normalised_by_the_training_images_and_scores_count_right_answers() {
        let (task, test) = task(40);
        let all = task.batch(Part::Retrain, 0, 0, 40, &Augment::NONE, Streams::new(1));
        assert!(all.images.mean(Kind::Double).double_value(&[]).abs() < 1e-6);
        assert!((all.images.std(false).double_value(&[]) - 1.0).abs() < 1e-5);
        assert_eq!(all.len(), 40);
        // Always "even": two of the three test images.
        let even = |x: &Tensor| Tensor::from_slice(&[9f32, -9.0]).expand([x.size()[0], 2], false);
        let (score, examples) = Box::new(test).score(2, &even, &mut || Ok(true)).unwrap().unwrap();
        assert!((score.value - 2.0 / 3.0).abs() < 1e-12 && examples.is_empty());
        assert!((score.loss - 6.0).abs() < 1e-4, "a wrong answer costs 18");
        assert_eq!(task.score(Part::Valid, 8, &even, &mut || Ok(false)).unwrap(), None);
    }

    #[test]
    fn too_few_images_are_refused() {
        let data = crate::data::open("digits", None).unwrap();
        for (search, valid, says) in [(4, 0, "at least 8"), (100, 99, "data.valid_images = 99")] {
            let error = Classification::open(&data, Limit { search, valid, retrain: 0 }, Device::Cpu).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
