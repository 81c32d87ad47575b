//! Tests of the segmentation task, on volumes whose pixels say where they come from.

use super::*;
use crate::seed::Streams;
use crate::task::{Batch, Part, Task, Test};

/// A volume whose slices have the intensities `number / 100`, `(number + 1) / 100`, ..., and a square of class 1 or 2 in their middle.
fn volume(name: &str, subject: &str, [depth, height, width]: [usize; 3], number: usize) -> Volume {
    let intensities = (0..depth).flat_map(|d| vec![(number + d) as f32 / 100.0; height * width]).collect();
    let inside = |y: usize, x: usize| y.abs_diff(height / 2) <= 1 && x.abs_diff(width / 2) <= 1;
    let slice = |d: usize| (0..height * width).map(move |i| if inside(i / width, i % width) { 1 + (d % 2) as u8 } else { 0 });
    let mask = (0..depth).flat_map(slice).collect();
    Volume { name: name.into(), subject: subject.into(), depth, height, width, intensities, mask }
}

/// Six training volumes of four subjects with 4 slices each, and two test volumes.
fn set() -> SegmentationSet {
    let train = ["a1", "b1", "a2", "c1", "c2", "d1"];
    let sizes = [[4, 9, 8], [4, 6, 7], [4, 20, 5], [4, 8, 8], [4, 7, 16], [4, 5, 5]];
    let train = train.iter().zip(sizes).enumerate().map(|(i, (name, size))| volume(name, &name[..1], size, 4 * i)).collect();
    SegmentationSet {
        name: "toy".into(),
        classes: ["background", "even", "odd"].map(String::from).into(),
        train,
        test: vec![volume("t1", "t", [3, 8, 8], 50), volume("u1", "u", [2, 12, 6], 60)],
        hash: String::new(),
        notes: Vec::new(),
    }
}

fn task(limit: Limit) -> (Segmentation, Items<Masks>) {
    Segmentation::open(&set(), crop(8, 8), limit, Device::Cpu).unwrap()
}

fn crop(height: usize, width: usize) -> Window {
    Window { height, width, fit: Fit::Crop }
}

/// Numbers of the slices of a batch, read back from the middle pixel.
fn numbers(task: &Segmentation, batch: &Batch) -> Vec<i64> {
    let middle = batch.images.select(3, 4).select(2, 4).select(1, 0).to_kind(Kind::Double);
    let raw = middle * &task.items.std + &task.items.mean;
    Vec::<f64>::try_from(raw * 100.0).unwrap().iter().map(|v| v.round() as i64).collect()
}

/// Logits that give every pixel its own class with certainty.
fn certain(masks: &Tensor, classes: i64) -> Tensor {
    let size = masks.size();
    let zeros = Tensor::zeros([size[0], classes, size[1], size[2]], (Kind::Float, Device::Cpu));
    zeros.scatter_value(1, &masks.unsqueeze(1), 20.0)
}

#[test]
fn parts_are_whole_subjects_and_the_subjects_volumes_stand_together() {
    let (all, test) = task(Limit::default());
    let of = |task: &Segmentation, part| {
        let range = task.range(part);
        let spans = task.items.kind.spans.iter().filter(|s| s.slices.clone().all(|i| range.contains(&i)));
        spans.map(|s| s.name.clone()).collect::<Vec<_>>()
    };
    let names = |part| of(&all, part);
    assert_eq!(names(Part::Train), ["a1", "a2", "b1"]);
    assert_eq!(names(Part::Valid), ["c1", "c2", "d1"]);
    assert_eq!(names(Part::Retrain).len(), 6);
    assert_eq!(all.counts(&test), [("train", 12), ("valid", 12), ("retrain", 24), ("test", 5)].map(|(n, c)| (n.to_string(), c)).into());
    // Two volumes are to validate; the second of c draws the first with it.
    let (some, _) = task(Limit { search: 6, valid: 2, retrain: 4 });
    assert_eq!([Part::Train, Part::Valid, Part::Retrain].map(|p| of(&some, p).len()), [3, 3, 4]);
    assert_ne!(some.split_hash(), all.split_hash());
    assert_eq!(all.share().split_hash(), all.split_hash());
    assert_eq!(all.share().len(Part::Train), 12);
}

#[test]
fn an_epoch_shows_every_slice_of_its_part_once_in_an_order_of_its_own() {
    let (task, _) = task(Limit::default());
    let epoch = |part, epoch, size| {
        let batches = (0..task.steps(part, size)).map(|i| task.batch(part, epoch, i, size, &Augment::NONE, Streams::new(1)));
        batches.flat_map(|b| numbers(&task, &b)).collect::<Vec<i64>>()
    };
    // a1, a2 and b1 have the numbers 0 to 3, 8 to 11 and 4 to 7.
    for (part, expected) in [(Part::Train, 0..12), (Part::Valid, 12..24), (Part::Retrain, 0..24)] {
        let (first, second) = (epoch(part, 0, 5), epoch(part, 1, 5));
        assert_ne!(first, second);
        assert_eq!(first, epoch(part, 0, 5));
        assert_eq!(first, epoch(part, 0, 4), "the order does not depend on the batch");
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, expected.collect::<Vec<i64>>());
    }
    let sizes = |size| {
        (0..task.steps(Part::Train, size))
            .map(|i| task.batch(Part::Train, 0, i, size, &Augment::NONE, Streams::new(1)).len())
            .collect::<Vec<_>>()
    };
    assert_eq!([sizes(5), sizes(11), sizes(100)], [vec![5, 5, 2], vec![12], vec![12]]);
}

#[test]
fn random_batches_stay_in_their_part_and_differ_by_step() {
    let (task, _) = task(Limit::default());
    let draw = |step| numbers(&task, &task.random_batch(Part::Valid, step, 6, &Augment::NONE, Streams::new(1)));
    assert!((0..20).flat_map(draw).all(|n| (12..24).contains(&n)));
    assert_ne!(draw(0), draw(1));
    assert_eq!(draw(5), draw(5));
}

#[test]
fn slices_are_cut_and_padded_around_their_middle() {
    let (task, _) = task(Limit::default());
    let ones = |part: &Tensor| part.ne(i64::from(PADDING)).sum(Kind::Int64).int64_value(&[]);
    let of = |name: &str| task.items.kind.spans.iter().find(|s| s.name == name).unwrap();
    // 9x8 in 8x8: the last row is cut. 6x7: one row above and below, one column at the right. 20x5: 8 rows, 1 column left and 2 right.
    for (name, pixels, rows, columns) in [("a1", 64, 0..8, 0..8), ("b1", 42, 1..7, 0..7), ("a2", 40, 0..8, 1..6), ("d1", 25, 1..6, 1..6)] {
        let mask = task.items.labels.get(of(name).slices.start as i64);
        assert_eq!(ones(&mask), pixels, "{name}");
        let [(top, h), (left, w)] = [rows, columns].map(|r: Range<i64>| (r.start, r.end - r.start));
        assert_eq!(ones(&mask.narrow(0, top, h).narrow(1, left, w)), pixels, "{name}");
    }
    assert_eq!(of("a1").outside, [4 * 8, 0, 0]);
    assert_eq!(of("a2").outside, [4 * 12 * 5, 0, 0]);
    assert_eq!(of("d1").outside, [0, 0, 0]);
    let whole = task.batch(Part::Retrain, 0, 0, 24, &Augment::NONE, Streams::new(1));
    assert_eq!((whole.images.size(), whole.labels.size()), (vec![24, 1, 8, 8], vec![24, 8, 8]));
    assert!(whole.labels.max().int64_value(&[]) == 2, "padding is background in a batch");
}

#[test]
fn intensities_are_normalised_by_the_training_volumes() {
    let one = |i: usize| volume("v", &i.to_string(), [4, 8, 8], 4 * i);
    let data = SegmentationSet { train: (0..6).map(one).collect(), ..set() };
    let (task, _) = Segmentation::open(&data, crop(8, 8), Limit::default(), Device::Cpu).unwrap();
    let all = task.batch(Part::Retrain, 0, 0, 24, &Augment::NONE, Streams::new(1));
    assert!(all.images.mean(Kind::Double).double_value(&[]).abs() < 1e-5);
    assert!((all.images.std(false).double_value(&[]) - 1.0).abs() < 1e-4);
}

#[test]
fn image_and_mask_of_a_batch_move_together_by_the_streams_alone() {
    let mut data = set();
    for volume in &mut data.train {
        volume.intensities = volume.mask.iter().map(|c| f32::from(*c) / 2.0).collect();
    }
    let (task, _) = Segmentation::open(&data, crop(8, 8), Limit::default(), Device::Cpu).unwrap();
    let augment = Augment { crop_padding: 3, flip: true, ..Augment::NONE };
    let batch = |epoch, index, seed| task.batch(Part::Train, epoch, index, 4, &augment, Streams::new(seed));
    let mut moved = 0;
    for (epoch, index) in [(0, 0), (0, 1), (0, 2), (1, 0), (7, 2)] {
        let b = batch(epoch, index, 1);
        let raw = ((b.images.select(1, 0) * &task.items.std + &task.items.mean) * 2.0).round().to_kind(Kind::Int64);
        assert!(raw.equal(&b.labels));
        assert!(b.images.equal(&batch(epoch, index, 1).images) && !b.images.equal(&batch(epoch, index, 2).images));
        let still = task.batch(Part::Train, epoch, index, 4, &Augment::NONE, Streams::new(1));
        moved += i32::from(!still.labels.equal(&b.labels));
    }
    assert_eq!(moved, 5);
}

#[test]
fn a_perfect_answer_scores_1_and_what_the_window_cuts_off_counts() {
    let (task, test) = task(Limit::default());
    let masks = classes_of(&task.items.labels);
    let at = std::cell::Cell::new(12i64);
    let perfect = |x: &Tensor| {
        let (start, n) = (at.get(), x.size()[0]);
        at.set(start + n);
        certain(&masks.narrow(0, start, n), 3)
    };
    let score = task.score(Part::Valid, 5, &perfect, &mut || Ok(true)).unwrap().unwrap();
    let (dice, loss) = (score.value, score.loss);
    let score = score.overlaps.unwrap();
    assert_eq!(Some(dice), score.dice());
    assert_eq!(score.volumes.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["c1", "c2", "d1"]);
    assert_eq!((score.dice(), score.iou(), score.pooled().accuracy()), (Some(1.0), Some(1.0), 1.0));
    assert!(loss < 1e-6 && score.legacy_soft_dice > 0.999);
    assert_eq!(score.volumes.iter().map(|(_, c)| c.pixels()).collect::<Vec<_>>(), [4 * 64, 4 * 7 * 16, 4 * 25]);
    // Always background: the foreground has no overlap, and no volume is without foreground.
    let background = |x: &Tensor| certain(&Tensor::zeros([x.size()[0], 8, 8], (Kind::Int64, Device::Cpu)), 3);
    let (score, examples) = Box::new(test).score(2, &background, &mut || Ok(true)).unwrap().unwrap();
    let about: Vec<_> = examples.iter().map(|e| (e.about.volume.as_str(), e.about.slice, e.about.rank.as_str(), e.about.dice)).collect();
    assert_eq!(about, [("t1", 0, "worst", 0.0), ("u1", 0, "best", 0.0)]);
    assert_eq!((examples[0].about.height, examples[0].about.width), (8, 8));
    assert!(examples[0].image.iter().all(|p| *p == 128), "0.50 of 255, rounded");
    assert_eq!(examples[0].truth.iter().filter(|c| **c == 1).count(), 9);
    assert_eq!(examples[1].truth.iter().filter(|c| **c == PADDING).count(), 16);
    assert!(examples[0].predicted.iter().all(|c| *c == 0));
    let loss = score.loss;
    let score = score.overlaps.unwrap();
    assert_eq!(score.volumes.iter().map(|(_, c)| c.pixels()).collect::<Vec<_>>(), [3 * 64, 2 * 72]);
    assert_eq!((score.dice(), score.iou()), (Some(0.0), Some(0.0)));
    let pooled = score.pooled();
    assert_eq!((pooled.count(1, 0), pooled.count(2, 0)), (9 * 3, 9 * 2));
    assert!((pooled.legacy_background_iou() - pooled.iou(0).unwrap() / 2.0).abs() < 1e-12);
    // 45 of the 5 x 64 - 2 x 16 pixels in the windows are wrong and cost 20 each.
    assert!((loss - 20.0 * 45.0 / 288.0).abs() < 1e-4, "{loss}");
    assert_eq!(task.score(Part::Valid, 5, &background, &mut || Ok(false)).unwrap(), None);
}

#[test]
fn foreground_outside_the_window_is_missed_however_good_the_answer() {
    let (task, _) = Segmentation::open(&set(), crop(2, 8), Limit::default(), Device::Cpu).unwrap();
    let masks = classes_of(&task.items.labels);
    let at = std::cell::Cell::new(0i64);
    let perfect = |x: &Tensor| {
        let (start, n) = (at.get(), x.size()[0]);
        at.set(start + n);
        certain(&masks.narrow(0, start, n), 3)
    };
    let score = task.score(Part::Train, 7, &perfect, &mut || Ok(true)).unwrap().unwrap().overlaps.unwrap();
    for (_, confusion) in &score.volumes {
        // Two of the three rows of a square are in the window.
        assert_eq!([confusion.count(1, 1), confusion.count(1, 0), confusion.count(2, 2), confusion.count(2, 0)], [12, 6, 12, 6]);
        assert!((confusion.foreground_dice(&[]).unwrap() - 0.8).abs() < 1e-12);
    }
}

#[test]
fn resized_slices_fill_the_window_and_are_scored_there() {
    let window = Window { height: 16, width: 16, fit: Fit::Resize };
    let (task, _) = Segmentation::open(&set(), window, Limit::default(), Device::Cpu).unwrap();
    assert_eq!(task.items.labels.eq(i64::from(PADDING)).any().int64_value(&[]), 0);
    assert!(task.items.kind.spans.iter().all(|s| s.outside == [0, 0, 0]));
    // c1 is 8x8: every pixel becomes four. a2 is 20x5: rows and columns as the nearest.
    let start = |name: &str| task.items.kind.spans.iter().find(|s| s.name == name).unwrap().slices.start as i64;
    let (c1, a2) = (task.items.labels.get(start("c1")), task.items.labels.get(start("a2")));
    let data = set();
    let mask = |i: usize| Tensor::from_slice(&data.train[i].mask[..data.train[i].height * data.train[i].width]);
    assert!(c1.equal(&mask(3).view([8, 8]).repeat_interleave_self_int(2, 0, None).repeat_interleave_self_int(2, 1, None)));
    let rows: Vec<i64> = (0..16).map(|i| (2 * i + 1) * 20 / 32).collect();
    let columns: Vec<i64> = (0..16).map(|i| (2 * i + 1) * 5 / 32).collect();
    let expected = mask(2).view([20, 5]).index_select(0, &Tensor::from_slice(&rows)).index_select(1, &Tensor::from_slice(&columns));
    assert!(a2.equal(&expected));
    assert_ne!(task.split_hash(), Segmentation::open(&set(), crop(16, 16), Limit::default(), Device::Cpu).unwrap().0.split_hash());
}

#[test]
fn the_volumes_that_are_shown_are_the_worst_the_median_and_the_best() {
    let volume = |hit: i64| {
        let truth = Tensor::from_slice(&[0i64, 0, 1, 1, 1, 1]);
        let predicted = Tensor::from_slice(&[0i64, 0, i64::from(hit > 0), i64::from(hit > 1), i64::from(hit > 2), i64::from(hit > 3)]);
        (format!("v{hit}"), Confusion::of(&truth, &predicted, 2))
    };
    let shown = |hits: &[i64]| {
        let score = SegmentationScore { volumes: hits.iter().map(|h| volume(*h)).collect(), legacy_soft_dice: 0.0, absent: Vec::new() };
        ranked(&score).into_iter().map(|((volume, _), rank)| (volume, rank)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&[3, 1, 4, 0, 2]), [(3, "worst"), (4, "median"), (2, "best")]);
    assert_eq!(shown(&[3, 1]), [(1, "worst"), (0, "best")]);
    assert_eq!(shown(&[3]), [(0, "only")]);
    let empty = ("empty".to_string(), Confusion::missed(&[6, 0]));
    let score = SegmentationScore { volumes: vec![empty, volume(4), volume(2)], legacy_soft_dice: 0.0, absent: Vec::new() };
    assert_eq!(ranked(&score), [((2, 2.0 * 2.0 / 6.0), "worst"), ((1, 1.0), "best")], "a volume without Dice is not shown");
}

/// A volume of class numbers and what was predicted.
fn answered(name: &str, truth: &[i64], predicted: &[i64]) -> (String, Confusion) {
    (name.into(), Confusion::of(&Tensor::from_slice(truth), &Tensor::from_slice(predicted), 3))
}

#[test]
fn a_volume_counts_where_a_foreground_class_does_and_with_the_classes_that_do() {
    let volumes = vec![
        // Class 1: 2 x 1 / (2 + 1). Class 2 is nowhere.
        answered("one class", &[0, 0, 1, 1], &[0, 0, 1, 0]),
        // Neither class is anywhere: no Dice, not the 1 of two empty masks.
        answered("empty", &[0, 0, 0, 0], &[0, 0, 0, 0]),
        // Class 1: 1. Class 2 is predicted where it is not: 0.
        answered("invented", &[0, 0, 0, 1], &[0, 0, 2, 1]),
        // Class 1: 2 x 1 / (1 + 2). Class 2: 2 x 1 / (2 + 1).
        answered("both", &[0, 1, 2, 2], &[0, 1, 1, 2]),
    ];
    let score = SegmentationScore { volumes, legacy_soft_dice: 0.0, absent: Vec::new() };
    let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-12, "{a:?} and {b}");
    close(score.dice(), (2.0 / 3.0 + 0.5 + 2.0 / 3.0) / 3.0);
    close(score.iou(), (0.5 + 0.5 + 0.5) / 3.0);
    assert_eq!(score.of_volumes(|c| c.dice(1)).len(), 3);
    assert_eq!(score.of_volumes(|c| c.dice(2)), [0.0, 2.0 / 3.0]);
    let empty = SegmentationScore { volumes: score.volumes[1..2].to_vec(), legacy_soft_dice: 0.0, absent: Vec::new() };
    assert_eq!((empty.dice(), empty.iou()), (None, None));
}

#[test]
fn an_answer_of_background_never_beats_one_that_finds_something() {
    // Ten classes of which each volume has one: with empty masks counted as right, nothing but background would have a Dice of 0.9.
    let truth: Vec<i64> = (1..=10).flat_map(|class| [0, 0, class, class]).collect();
    let half: Vec<i64> = truth.chunks(4).flat_map(|t| [0, 0, t[2], 0]).collect();
    let scored = |predicted: &[i64]| {
        let of = |(t, p): (&[i64], &[i64])| (String::new(), Confusion::of(&Tensor::from_slice(t), &Tensor::from_slice(p), 11));
        SegmentationScore { volumes: truth.chunks(4).zip(predicted.chunks(4)).map(of).collect(), legacy_soft_dice: 0.0, absent: Vec::new() }
            .dice()
    };
    assert_eq!((scored(&[0; 40]), scored(&truth)), (Some(0.0), Some(1.0)));
    assert!((scored(&half).unwrap() - 2.0 / 3.0).abs() < 1e-12);
}

#[test]
fn the_mean_over_volumes_is_not_the_pooled_value() {
    let volumes = vec![answered("small", &[0, 0, 0, 1], &[0, 0, 0, 1]), answered("large", &[1, 1, 1, 1], &[0, 0, 0, 1])];
    let score = SegmentationScore { volumes, legacy_soft_dice: 0.0, absent: Vec::new() };
    assert!((score.dice().unwrap() - f64::midpoint(1.0, 0.4)).abs() < 1e-12);
    assert!((score.pooled().foreground_dice(&[]).unwrap() - 4.0 / 7.0).abs() < 1e-12);
}

#[test]
fn splits_that_cannot_be_are_refused() {
    let refused = |data: &SegmentationSet, window, limit, says: &str| {
        let error = Segmentation::open(data, window, limit, Device::Cpu).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    };
    let all = Limit::default();
    refused(&set(), crop(0, 8), all, "a data.window");
    refused(&set(), crop(8, 8), Limit { search: 1, ..all }, "at least 2 volumes");
    refused(&set(), crop(8, 8), Limit { valid: 6, ..all }, "none of another subject");
    refused(&set(), crop(8, 8), Limit { search: 2, valid: 1, ..all }, "none of another subject");
    refused(&SegmentationSet { test: Vec::new(), ..set() }, crop(8, 8), all, "1 for the test");
    refused(&SegmentationSet { classes: vec!["background".into()], ..set() }, crop(8, 8), all, "2 to 255 classes");
    let blank = |volumes: Vec<Volume>| volumes.into_iter().map(|v| Volume { mask: vec![0; v.mask.len()], ..v }).collect::<Vec<_>>();
    refused(&SegmentationSet { test: blank(set().test), ..set() }, crop(8, 8), all, "nothing to score");
    refused(&SegmentationSet { train: blank(set().train), ..set() }, crop(8, 8), all, "nothing to score");
    let mut cut = set();
    cut.test[0].mask = vec![0; 3 * 64];
    cut.test[0].mask[0] = 1;
    cut.test[1].mask = vec![0; 2 * 72];
    let (_, test) = Segmentation::open(&cut, crop(4, 4), all, Device::Cpu).unwrap();
    assert!(has_foreground(&test, &(0..5)), "foreground outside the window is scored too");
}

#[test]
fn the_shipped_volumes_make_a_task() {
    let data = crate::data::open_segmentation("hippocampus", None).unwrap();
    let (task, test) = Segmentation::open(&data, crop(48, 40), Limit { search: 8, valid: 2, retrain: 5 }, Device::Cpu).unwrap();
    let slices = |volumes: &[Volume]| volumes.iter().map(|v| v.depth).sum::<usize>();
    let expected = [&data.train[..6], &data.train[6..8], &data.train[..5]].map(slices);
    assert_eq!([Part::Train, Part::Valid, Part::Retrain].map(|p| task.len(p)), expected);
    assert_eq!((task.shape().classes, test.kind.spans.len(), test.items()), (3, 8, slices(&data.test)));
    let batch = task.batch(Part::Train, 0, 0, 8, &Augment::NONE, Streams::new(1));
    assert_eq!(batch.images.size(), [8, 1, 48, 40]);
    assert!(batch.labels.max().int64_value(&[]) > 0);
}
