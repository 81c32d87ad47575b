//! The record of a segmentation's test.

use crate::error::Result;
use crate::network::UnetNetwork;
use crate::nn::Network;
use crate::record::{ClassScore, SegmentationRecord};
use crate::space::{InputShape, UnetSize};
use crate::task::{SegmentationScore, mean};

/// Means over the volumes and pooled figures, class by class. A volume counts for the classes that its mask or its prediction has.
pub fn record(score: &SegmentationScore, classes: &[String], input: InputShape) -> Result<SegmentationRecord> {
    let pooled = score.pooled();
    let one = |(class, name): (usize, &String)| {
        let each = score.of_volumes(|c| c.dice(class));
        let (volumes, dice) = (each.len(), mean(each.iter().copied()));
        let squares = |dice: f64| each.iter().map(|d| (d - dice).powi(2)).sum::<f64>();
        ClassScore {
            name: name.clone(),
            volumes: volumes as u64,
            dice,
            dice_deviation: dice.filter(|_| volumes > 1).map(|dice| (squares(dice) / (volumes - 1) as f64).sqrt()),
            iou: mean(score.of_volumes(|c| c.iou(class))),
            pooled_dice: pooled.dice(class),
            pooled_iou: pooled.iou(class),
        }
    };
    Ok(SegmentationRecord {
        classes: classes.iter().enumerate().map(one).collect(),
        iou: score.iou(),
        pixel_accuracy: pooled.accuracy(),
        legacy_soft_dice: Some(score.legacy_soft_dice).filter(|d| d.is_finite()),
        legacy_background_iou: pooled.legacy_background_iou(),
        volumes: score.volumes.len() as u64,
        scored_volumes: score.of_volumes(|c| c.foreground_dice(&score.absent)).len() as u64,
        unet_parameters: UnetNetwork::declare(input, UnetSize::ORIGINAL_UNET)?.table().count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Confusion, confusions};
    use tch::Tensor;

    /// A volume of class numbers and what was predicted.
    fn answered(truth: &[i64], predicted: &[i64]) -> (String, Confusion) {
        let flat = |x: &[i64]| Tensor::from_slice(x).view([1, -1]);
        (String::new(), confusions(&[0], &flat(truth), &flat(predicted), 2).remove(0))
    }

    #[test]
    fn figures_of_three_volumes_by_hand() {
        // The organ is missed in one volume and found in another; the third has none, and counts for the background alone.
        let missed = answered(&[0, 0, 0, 1, 1], &[0, 0, 0, 0, 0]);
        let found = answered(&[0, 0, 0, 1, 1], &[0, 0, 0, 1, 1]);
        let volumes = vec![missed.clone(), found, answered(&[0; 5], &[0; 5])];
        let score = SegmentationScore { volumes, legacy_soft_dice: 0.25, absent: Vec::new() };
        let input = InputShape { channels: 1, height: 64, width: 64, classes: 2 };
        let r = record(&score, &["background".into(), "organ".into()], input).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");
        close(r.classes[1].dice.unwrap(), 0.5);
        close(r.classes[1].dice_deviation.unwrap(), 0.5f64.sqrt());
        close(r.classes[1].iou.unwrap(), 0.5);
        close(r.classes[1].pooled_dice.unwrap(), 2.0 * 2.0 / (4.0 + 2.0));
        close(r.classes[0].dice.unwrap(), (6.0 / 8.0 + 1.0 + 1.0) / 3.0);
        close(r.classes[0].pooled_iou.unwrap(), 11.0 / 13.0);
        close(r.pixel_accuracy, 13.0 / 15.0);
        close(r.legacy_background_iou, 11.0 / 13.0);
        assert_eq!((r.iou, r.legacy_soft_dice, r.volumes, r.unet_parameters), (Some(0.5), Some(0.25), 3, 31_030_658));
        assert_eq!((r.scored_volumes, r.classes[0].volumes, r.classes[1].volumes), (2, 3, 2));
        assert_eq!(r.classes[1].name, "organ");
        let alone = SegmentationScore { volumes: vec![missed], legacy_soft_dice: 0.25, absent: Vec::new() };
        let names = ["background".into(), "organ".into()];
        let r = record(&alone, &names, input).unwrap();
        assert_eq!((r.classes[1].dice, r.classes[1].dice_deviation), (Some(0.0), None), "one volume has no deviation");
        let blank = SegmentationScore { volumes: vec![answered(&[0; 5], &[0; 5])], legacy_soft_dice: 0.25, absent: Vec::new() };
        let r = record(&blank, &names, input).unwrap();
        assert_eq!((r.iou, r.scored_volumes, r.classes[1].volumes, r.classes[1].dice, r.classes[1].pooled_dice), (None, 0, 0, None, None));
        let weights_that_broke = SegmentationScore { legacy_soft_dice: f64::NAN, ..score };
        let r = record(&weights_that_broke, &["background".into(), "organ".into()], input).unwrap();
        let text = serde_json::to_string(&r).unwrap();
        assert_eq!(serde_json::from_str::<SegmentationRecord>(&text).unwrap(), r, "a result can be read, whatever it is");
    }
}
