//! Which classes were taken for which, and the overlaps that follow.

use tch::{Kind, Tensor};

/// Pixels by their class and the class that was predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[truth × classes + predicted]`
    counts: Vec<u64>,
}

impl Confusion {
    /// No pixels.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Pixels of which nothing was seen, `missed[class]` of every class; they count as predicted background.
    pub fn missed(missed: &[u64]) -> Self {
        let mut confusion = Self::new(missed.len());
        missed.iter().enumerate().for_each(|(class, n)| confusion.counts[class * missed.len()] = *n);
        confusion
    }

    /// Of class numbers, both tensors of one shape.
    #[cfg(test)]
    pub fn of(truth: &Tensor, predicted: &Tensor, classes: usize) -> Self {
        let mut all = confusions(&[0], &truth.reshape([1, -1]), &predicted.reshape([1, -1]), classes);
        all.pop().expect("one owner has one confusion")
    }

    /// Adds the pixels of another one.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }

    /// Pixels of class `truth` that were predicted as `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// All pixels.
    pub fn pixels(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Fraction of the pixels that were predicted right.
    pub fn accuracy(&self) -> f64 {
        (0..self.classes).map(|c| self.count(c, c)).sum::<u64>() as f64 / self.pixels() as f64
    }

    /// Dice of a class, 2 |A ∩ B| / (|A| + |B|); `None` where neither truth nor prediction has it.
    pub fn dice(&self, class: usize) -> Option<f64> {
        let (common, truth, predicted) = self.sizes(class);
        (truth + predicted > 0).then(|| 2.0 * common as f64 / (truth + predicted) as f64)
    }

    /// Intersection over union of a class, |A ∩ B| / |A ∪ B|; `None` where neither truth nor prediction has it.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let (common, truth, predicted) = self.sizes(class);
        (truth + predicted > 0).then(|| common as f64 / (truth + predicted - common) as f64)
    }

    /// Mean Dice of the foreground classes (all but class 0) that truth or prediction has, without those that are `absent` from the whole set; `None` where
    /// there is none.
    pub fn foreground_dice(&self, absent: &[usize]) -> Option<f64> {
        mean((1..self.classes).filter(|class| !absent.contains(class)).filter_map(|class| self.dice(class)))
    }

    /// Mean intersection over union of the same classes.
    pub fn foreground_iou(&self, absent: &[usize]) -> Option<f64> {
        mean((1..self.classes).filter(|class| !absent.contains(class)).filter_map(|class| self.iou(class)))
    }

    /// What the public code of NAS-Unet reports as "mIoU": it leaves out the last class, so that with two classes only the background
    /// counts. A class without pixels has 0 there.
    pub fn legacy_background_iou(&self) -> f64 {
        mean((0..self.classes - 1).map(|class| self.iou(class).unwrap_or(0.0))).expect("the background is a class")
    }

    /// Pixels that are of a class and predicted so, that are of it, that are predicted so.
    fn sizes(&self, class: usize) -> (u64, u64, u64) {
        let truth = (0..self.classes).map(|c| self.count(class, c)).sum();
        let predicted = (0..self.classes).map(|c| self.count(c, class)).sum();
        (self.count(class, class), truth, predicted)
    }
}

/// Mean of some figures; `None` of none.
pub fn mean(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, n) = figures.into_iter().fold((0.0, 0u32), |(sum, n), figure| (sum + figure, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// One confusion for every owner from 0 to the last of `owners`, which rise: `owners[i]` has the pixels of truth `[i, ...]` and predicted
/// `[i, ...]` (integers, of one shape). Pixels whose truth is no class are left out.
pub fn confusions(owners: &[usize], truth: &Tensor, predicted: &Tensor, classes: usize) -> Vec<Confusion> {
    let (k, slots) = (classes as i64, owners.last().map_or(0, |last| last + 1));
    let first: Vec<i64> = owners.iter().map(|o| *o as i64 * k * k).collect();
    let first = Tensor::from_slice(&first).to_device(truth.device()).unsqueeze(1);
    let flat = |x: &Tensor| x.to_kind(Kind::Int64).flatten(1, -1);
    let (truth, predicted) = (flat(truth), flat(predicted));
    let index = (first + &truth * k + predicted).masked_select(&truth.lt(k));
    let counts = index.bincount(None::<&Tensor>, slots as i64 * k * k);
    let counts = Vec::<i64>::try_from(&counts).expect("a flat tensor of integers");
    counts.chunks_exact(classes * classes).map(|c| Confusion { classes, counts: c.iter().map(|n| *n as u64).collect() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(truth: &[i64], predicted: &[i64], classes: usize) -> Confusion {
        Confusion::of(&Tensor::from_slice(truth), &Tensor::from_slice(predicted), classes)
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} and {b}");
    }

    #[test]
    fn ten_pixels_of_three_classes_by_hand() {
        let c = of(&[0, 0, 0, 0, 1, 1, 1, 2, 2, 2], &[0, 0, 0, 1, 1, 1, 2, 2, 0, 0], 3);
        assert_eq!((c.count(0, 1), c.count(2, 0), c.pixels()), (1, 2, 10));
        close(c.accuracy(), 0.6);
        for (class, dice) in [(0, 6.0 / 9.0), (1, 4.0 / 6.0), (2, 2.0 / 5.0)] {
            close(c.dice(class).unwrap(), dice);
            close(c.iou(class).unwrap(), dice / (2.0 - dice));
        }
        close(c.foreground_dice(&[]).unwrap(), (4.0 / 6.0 + 2.0 / 5.0) / 2.0);
        close(c.foreground_iou(&[]).unwrap(), (2.0 / 4.0 + 1.0 / 4.0) / 2.0);
        close(c.legacy_background_iou(), (3.0 / 6.0 + 2.0 / 4.0) / 2.0);
    }

    #[test]
    fn the_public_codes_mean_iou_is_that_of_the_background() {
        // Eight pixels of background and one of foreground are right, one is missed.
        let c = of(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1], &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0], 2);
        close(c.iou(0).unwrap(), 8.0 / 9.0);
        close(c.iou(1).unwrap(), 0.5);
        assert_eq!(format!("{:.3}", c.legacy_background_iou()), "0.889");
        close(c.foreground_iou(&[]).unwrap(), 0.5);
    }

    #[test]
    fn a_class_that_neither_mask_has_does_not_count() {
        let empty = of(&[0; 4], &[0; 4], 3);
        assert_eq!([empty.dice(1), empty.iou(2), empty.foreground_dice(&[]), empty.foreground_iou(&[])], [None; 4]);
        assert_eq!(empty.dice(0), Some(1.0));
        // Class 1 is missed, class 2 is in neither mask: the mean is that of class 1 alone.
        let missed = of(&[0, 0, 0, 1], &[0; 4], 3);
        assert_eq!(
            [missed.dice(1), missed.dice(2), missed.foreground_dice(&[]), missed.foreground_iou(&[])],
            [Some(0.0), None, Some(0.0), Some(0.0)]
        );
        // What is predicted where nothing is counts: class 2 has a Dice of 0, class 1 one of 2 x 1 / (1 + 2).
        let invented = of(&[0, 0, 0, 1], &[0, 2, 1, 1], 3);
        assert_eq!([invented.dice(2), invented.foreground_dice(&[])], [Some(0.0), Some((2.0 / 3.0) / 2.0)]);
        assert_eq!(invented.foreground_dice(&[2]), Some(2.0 / 3.0), "unless no mask of the whole set has the class");
        assert_eq!(invented.foreground_iou(&[1, 2]), None);
        assert_eq!(of(&[1, 1], &[1, 1], 2).legacy_background_iou(), 0.0);
    }

    #[test]
    fn confusions_add_up_over_batches_and_keep_their_owners() {
        let truth = Tensor::from_slice(&[0i64, 1, 2, 0, 1, 255, 2, 2]).view([4, 1, 2]);
        let predicted = Tensor::from_slice(&[0i64, 1, 1, 0, 2, 2, 0, 2]).view([4, 1, 2]);
        let each = confusions(&[0, 1, 1, 3], &truth, &predicted, 3);
        assert_eq!(each.iter().map(Confusion::pixels).collect::<Vec<_>>(), [2, 3, 0, 2], "255 is no class");
        assert_eq!((each[1].count(2, 1), each[1].count(1, 2), each[3].count(2, 0)), (1, 1, 1));
        let mut sum = Confusion::new(3);
        each.iter().for_each(|c| sum.add(c));
        let all = Confusion::of(&truth, &predicted, 3);
        assert_eq!(sum, all);
        sum.add(&Confusion::missed(&[5, 0, 2]));
        assert_eq!((sum.pixels(), sum.count(2, 0), sum.count(0, 0)), (14, 3, 7));
    }
}
