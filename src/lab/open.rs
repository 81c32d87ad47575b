//! The data of a run: of the kind that its search works on.

use super::method::Prepared;
use crate::data;
use crate::error::{Result, usage};
use crate::task::{Classification, Segmentation, Task, Test, Window};
use std::path::Path;
use tch::Device;

/// A data set, split.
pub struct Opened {
    /// What the search sees.
    pub task: Box<dyn Task>,
    /// What it does not.
    pub test: Box<dyn Test>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// SHA-256 over the content.
    pub hash: String,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// Refuses a data set of another kind than `prepared` works on, without reading it. Returns whether that is one with a class for every pixel.
///
/// # Errors
/// [`crate::error::Error::Usage`], also for a name that is none.
pub fn suits(prepared: &Prepared, method: &str, dataset: &str) -> Result<bool> {
    let pixels = prepared.example.classifies_pixels();
    if data::is_segmentation(dataset)? == pixels {
        return Ok(pixels);
    }
    let names: Vec<&str> = data::SETS.iter().filter(|s| s.is_segmentation() == pixels).map(|s| s.name).collect();
    let (wanted, given) = if pixels { ("every pixel", "whole images") } else { ("whole images", "every pixel") };
    Err(usage!("{method} classifies {wanted}, and '{dataset}' has classes of {given}; choose --dataset {}", names.join(", ")))
}

/// Reads `dataset` for `prepared`; a set of the other kind is refused.
pub fn open(prepared: &Prepared, method: &str, dataset: &str, folder: Option<&Path>, device: Device) -> Result<Opened> {
    let (protocol, pixels) = (&prepared.protocol, suits(prepared, method, dataset)?);
    if pixels {
        let set = data::open_segmentation(dataset, folder)?;
        let (task, test) = Segmentation::open(&set, protocol.data.window, protocol.data.limit(), device)?;
        return Ok(Opened { task: Box::new(task), test: Box::new(test), classes: set.classes, hash: set.hash, notes: set.notes });
    }
    if protocol.data.window != Window::default() {
        return Err(usage!("data.window is for slices of volumes; whole images are taken as they are"));
    }
    let set = data::open(dataset, folder)?;
    let (task, test) = Classification::open(&set, protocol.data.limit(), device)?;
    Ok(Opened { task: Box::new(task), test: Box::new(test), classes: set.classes, hash: set.hash, notes: set.notes })
}
