//! What a segmentation leaves beside its score: overlaps by class, and some slices with what was predicted.

use super::checkpoint::{Blob, Dtype, read_safetensors, write_safetensors};
use crate::error::{Error, Result, input};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What a mask of an [`Example`] holds where the window is larger than the slice.
pub const PADDING: u8 = 255;
/// Metadata key of the list of examples.
const LIST: &str = "examples";
const KINDS: [&str; 3] = ["image", "truth", "predicted"];

/// Overlaps of prediction and truth on the test volumes. A class that neither has in a volume does not count there; a volume without any class of
/// the foreground does not count at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationRecord {
    /// Background first.
    pub classes: Vec<ClassScore>,
    /// Mean over the volumes that count of their mean intersection over union of the foreground classes. The same mean of Dice is the final score.
    pub iou: Option<f64>,
    /// Fraction of all pixels that were predicted right.
    pub pixel_accuracy: f64,
    /// What the public code of NAS-Unet calls DSC: Dice of probabilities, all classes, averaged over slices; `None` where they are no
    /// numbers.
    pub legacy_soft_dice: Option<f64>,
    /// What the public code of NAS-Unet calls mIoU: without the last class.
    pub legacy_background_iou: f64,
    /// Test volumes.
    pub volumes: u64,
    /// Those that count: truth or prediction has some foreground.
    pub scored_volumes: u64,
    /// Weights of the original U-Net (64 to 1024 channels) for the same images and classes.
    pub unet_parameters: u64,
}

/// Overlap of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Name of the class.
    pub name: String,
    /// Test volumes that have the class, in truth or prediction: those that its means are over. All figures are `None` where there is none.
    pub volumes: u64,
    /// Mean of their Dice.
    pub dice: Option<f64>,
    /// Sample standard deviation of their Dice; `None` for one volume.
    pub dice_deviation: Option<f64>,
    /// Mean of their intersection over union.
    pub iou: Option<f64>,
    /// Dice of all pixels of all volumes together.
    pub pooled_dice: Option<f64>,
    /// Intersection over union of all pixels of all volumes together.
    pub pooled_iou: Option<f64>,
}

/// A test slice, its mask and what was predicted for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Where it is from.
    pub about: ExampleInfo,
    /// Row-major, from black to white.
    pub image: Vec<u8>,
    /// Class of every pixel, or [`PADDING`].
    pub truth: Vec<u8>,
    /// Predicted class of every pixel.
    pub predicted: Vec<u8>,
}

/// Where an [`Example`] is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExampleInfo {
    /// Name of the volume.
    pub volume: String,
    /// Slice in the volume, from 0: the one with most foreground.
    pub slice: u64,
    /// Place of the volume among all by Dice: `worst`, `median` or `best`; `only` for one volume.
    pub rank: String,
    /// Foreground Dice of the whole volume.
    pub dice: f64,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Writes examples as one safetensors file.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_examples(path: &Path, examples: &[Example]) -> Result<()> {
    let mut blobs = Vec::new();
    for (i, e) in examples.iter().enumerate() {
        for (kind, bytes) in KINDS.iter().zip([&e.image, &e.truth, &e.predicted]) {
            let shape = vec![e.about.height, e.about.width];
            blobs.push(Blob { name: format!("{i}.{kind}"), dtype: Dtype::U8, shape, bytes: bytes.clone() });
        }
    }
    let list: Vec<&ExampleInfo> = examples.iter().map(|e| &e.about).collect();
    let metadata = BTreeMap::from([(LIST.to_string(), serde_json::to_string(&list).expect("plain data"))]);
    write_safetensors(path, &blobs, &metadata)
}

/// Reads what [`write_examples`] wrote; nothing where there is no file.
///
/// # Errors
/// [`Error::Input`] for a damaged file.
pub fn read_examples(path: &Path) -> Result<Vec<Example>> {
    if let Ok(false) = path.try_exists() {
        return Ok(Vec::new());
    }
    let (blobs, metadata) = read_safetensors(path)?;
    let list = metadata.get(LIST).ok_or_else(|| Error::input(path, "it has no list of examples"))?;
    let list: Vec<ExampleInfo> = serde_json::from_str(list).map_err(|e| input!(path, "its list of examples is damaged: {e}"))?;
    let one = |(i, about): (usize, ExampleInfo)| {
        let [image, truth, predicted] = KINDS.map(|kind| {
            let blob = blobs.iter().find(|b| b.name == format!("{i}.{kind}") && b.shape == [about.height, about.width]);
            blob.filter(|b| b.dtype == Dtype::U8)
                .map(|b| b.bytes.clone())
                .ok_or_else(|| input!(path, "example {i} has no {kind} of {}x{} bytes", about.height, about.width))
        });
        Ok(Example { image: image?, truth: truth?, predicted: predicted?, about })
    };
    list.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(volume: &str) -> Example {
        let about = ExampleInfo { volume: volume.into(), slice: 7, rank: "worst".into(), dice: 0.512, height: 2, width: 3 };
        Example { about, image: vec![0, 50, 100, 150, 200, 255], truth: vec![0, 1, 2, 0, 0, PADDING], predicted: vec![0, 1, 1, 0, 0, 0] }
    }

    #[test]
    fn examples_survive_a_file_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("examples.safetensors");
        assert_eq!(read_examples(&path).unwrap(), []);
        let all = [example("a"), example("b")];
        write_examples(&path, &all).unwrap();
        assert_eq!(read_examples(&path).unwrap(), all);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read_examples(&path).unwrap_err().to_string().contains("examples.safetensors"));
        let list = r#"[{"volume":"a","slice":0,"rank":"best","dice":1.0,"height":4,"width":4}]"#;
        write_safetensors(&path, &[], &BTreeMap::from([(LIST.to_string(), list.to_string())])).unwrap();
        assert!(read_examples(&path).unwrap_err().to_string().contains("example 0 has no image of 4x4 bytes"));
    }
}
