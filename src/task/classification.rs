//! Image classification: parts of a data set, score.

use super::augment::Augment;
use super::items::{Items, Labels, Loaded};
use super::part::{GoOn, Limit, Logits, Score};
use crate::data::{DataSet, Images};
use crate::error::{Result, usage};
use crate::nn::cross_entropy;
use crate::record::Example;
use crate::seed::Rng;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// One class an image.
#[derive(Clone, Debug)]
pub struct Whole;

/// The training images of a data set on the device.
pub type Classification = Loaded<Whole>;

impl Classification {
    /// Moves the images to `device` and fixes the parts: the last of the search images validate, those before them train.
    pub fn open(data: &DataSet, limit: Limit, device: Device) -> Result<(Self, Items<Whole>)> {
        let [search, retrain, valid] = limit.counts(data.search_items, data.train.len());
        if search < 8 || retrain < 2 || data.test.is_empty() {
            let found = format!("{search}, {retrain} and {}", data.test.len());
            let what = "at least 8 images are needed for a search, 2 for the retraining and 1 for the test";
            return Err(usage!("{}: {what}; there are {found}", data.name));
        }
        if valid + 2 > search {
            return Err(usage!(
                "data.valid_images = {valid}: of {search} search images at least 2 must be left to train; give fewer, or 0 for half"
            ));
        }
        let [train, valid, retrain] = [0..search - valid, search - valid..search, 0..retrain];
        let split = format!("train {train:?} valid {valid:?} retrain {retrain:?} test {:?}", 0..data.test.len());
        let scale = statistics(&data.train);
        let items = items(&data.train, &scale, device);
        let task = Self::new(items, data.classes.len(), [train, valid, retrain], &split);
        Ok((task, self::items(&data.test, &scale, device)))
    }
}

impl Labels for Whole {
    const METRIC: &'static str = "accuracy";
    const PIXELS: &'static str = "bytes as in the data set's files, from 0 to 255 at the most";

    fn moved(images: &Tensor, labels: &Tensor, augment: &Augment, rng: &mut Rng) -> (Tensor, Tensor) {
        (augment.moved(images, None, rng).0, labels.shallow_clone())
    }

    fn score(items: &Items<Self>, range: Range<usize>, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        let (mut correct, mut loss, n) = (0i64, 0.0, range.len() as f64);
        let whole = items.each_batch(range, batch, logits, go_on, |_, labels, scores| {
            correct += scores.argmax(1, false).eq_tensor(&labels).sum(Kind::Int64).int64_value(&[]);
            loss += cross_entropy(&scores, &labels).double_value(&[]) * labels.size()[0] as f64;
        })?;
        Ok(whole.then(|| Score { value: correct as f64 / n, loss: loss / n, overlaps: None }))
    }

    fn examples(_items: &Items<Self>, _score: &Score, _logits: Logits) -> Vec<Example> {
        Vec::new()
    }
}

fn items(images: &Images, (mean, std): &(Vec<f64>, Vec<f64>), device: Device) -> Items<Whole> {
    let shape = [images.len(), images.channels, images.height, images.width].map(|s| s as i64);
    let labels: Vec<i64> = images.labels.iter().map(|l| i64::from(*l)).collect();
    let channel = |v: &[f64]| Tensor::from_slice(v).to_kind(Kind::Float).view([1, -1, 1, 1]).to_device(device);
    Items {
        images: Tensor::from_data_size(&images.pixels, &shape, Kind::Uint8).to_device(device),
        labels: Tensor::from_slice(&labels).to_device(device),
        mean: channel(mean),
        std: channel(std),
        kind: Whole,
    }
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
    use crate::task::{Batch, Padding, Part, Task, Test};

    /// `n` training images whose first pixel is their number, and three test images.
    fn task(n: usize) -> (Classification, Items<Whole>) {
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
        let first = &batch.images * &task.items.std + &task.items.mean;
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
    fn a_crop_shows_black_or_the_mean_colour_beyond_the_image() {
        let (task, _) = task(40);
        let beyond = |pad_with| {
            let augment = Augment { crop_padding: 1, pad_with, ..Augment::NONE };
            let batch = task.batch(Part::Train, 0, 0, 20, &augment, Streams::new(1));
            let black = (Tensor::from(0.0) - &task.items.mean) / &task.items.std;
            let share =
                |colour: &Tensor| (&batch.images - colour).abs().lt(1e-5).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
            (share(&black), share(&Tensor::from(0.0)))
        };
        // Of nine windows one has no border, four have two pixels of it, four have three of four: 5/9 of the pixels on average. One image's first pixel is black itself.
        let ((black, none), (little, mean)) = (beyond(Padding::Black), beyond(Padding::Mean));
        assert!(black > 0.4 && none == 0.0 && little < 0.05 && mean > 0.4, "{black} {none} {little} {mean}");
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
