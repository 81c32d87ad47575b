//! The record of a segmentation's test.

use crate::error::Result;
use crate::network::UnetNetwork;
use crate::nn::Network;
use crate::record::{ClassScore, SegmentationRecord};
use crate::space::{InputShape, UnetSize};
use crate::task::SegmentationScore;

/// Means over the volumes and pooled figures, class by class.
pub fn record(score: &SegmentationScore, classes: &[String], input: InputShape) -> Result<SegmentationRecord> {
    let (pooled, volumes) = (score.pooled(), score.volumes.len());
    let one = |(class, name): (usize, &String)| {
        let dice = score.mean(|c| c.dice(class));
        let squares = score.volumes.iter().map(|(_, c)| (c.dice(class) - dice).powi(2)).sum::<f64>();
        ClassScore {
            name: name.clone(),
            dice,
            dice_deviation: (volumes > 1).then(|| (squares / (volumes - 1) as f64).sqrt()),
            iou: score.mean(|c| c.iou(class)),
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
        volumes: volumes as u64,
        unet_parameters: UnetNetwork::declare(input, UnetSize::ORIGINAL_UNET)?.table().count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Confusion;

    #[test]
    fn figures_of_two_volumes_by_hand() {
        // All of the foreground is missed in one volume, and there is none in the other.
        let volumes = vec![("a".to_string(), Confusion::missed(&[6, 4])), ("b".to_string(), Confusion::missed(&[10, 0]))];
        let score = SegmentationScore { volumes, legacy_soft_dice: 0.25 };
        let input = InputShape { channels: 1, height: 64, width: 64, classes: 2 };
        let r = record(&score, &["background".into(), "organ".into()], input).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");
        close(r.classes[1].dice, 0.5);
        close(r.classes[1].dice_deviation.unwrap(), 0.5f64.sqrt());
        close(r.classes[1].iou, 0.5);
        assert_eq!((r.classes[1].pooled_dice, r.classes[1].pooled_iou), (0.0, 0.0));
        close(r.classes[0].dice, f64::midpoint(12.0 / 16.0, 1.0));
        close(r.classes[0].pooled_iou, 0.8);
        close(r.pixel_accuracy, 0.8);
        close(r.legacy_background_iou, 0.8);
        assert_eq!((r.iou, r.legacy_soft_dice, r.volumes, r.unet_parameters), (0.5, Some(0.25), 2, 31_030_658));
        assert_eq!(r.classes[1].name, "organ");
        let weights_that_broke = SegmentationScore { legacy_soft_dice: f64::NAN, ..score };
        let r = record(&weights_that_broke, &["background".into(), "organ".into()], input).unwrap();
        let text = serde_json::to_string(&r).unwrap();
        assert_eq!(serde_json::from_str::<SegmentationRecord>(&text).unwrap(), r, "a result can be read, whatever it is");
    }
}
