//! The state of a child in training, kept beside the run until its trial is committed: a kill does not cost a long training.

use super::blobs::{to_blob, to_tensor};
use crate::error::{Result, input, resource};
use crate::record::{Blob, Checkpoint, Checkpoints};
use crate::train::{Saved, Trainer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tch::Device;

/// How the names of folders with states begin.
const STATE: &str = "state-";

/// What a child knows beside its trainer's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Notes {
    /// Mean training loss of the last whole epoch.
    pub loss: Option<f64>,
    /// Scores after some steps.
    pub early: BTreeMap<String, f64>,
}

/// Seconds between two savings at the least: many short children must not wait for the disk.
const LEAST_SECONDS: f64 = 1.0;

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Which architecture it is the state of.
    hash: String,
    notes: Notes,
    trainer: Value,
}

impl Stored {
    /// Steps that its trainer had done.
    fn step(&self) -> u64 {
        self.trainer["step"].as_u64().unwrap_or(0)
    }
}

/// Where the state of one child is kept, and how often.
pub struct Keep {
    /// Folder of its trial.
    folder: PathBuf,
    /// Whether it was there at first; it goes when the trial is committed, and is not made again then.
    was_there: bool,
    own: Checkpoints,
    every: f64,
    hash: String,
    last: Cell<Instant>,
}

impl Keep {
    /// For the architecture of this hash, in the `folder` of its trial, every so many seconds, but not more than once a second. Each process that may be at work on the trial has a name of its own,
    /// and writes to its own place.
    pub fn new(folder: PathBuf, name: &str, every: f64, hash: String) -> Self {
        let own = Checkpoints::new(folder.join(format!("{STATE}{name}")));
        Self { was_there: folder.exists(), folder, own, every: every.max(LEAST_SECONDS), hash, last: Cell::new(Instant::now()) }
    }

    /// Whether it is time to save.
    pub fn is_due(&self) -> bool {
        self.last.get().elapsed().as_secs_f64() >= self.every
    }

    /// Writes the state.
    ///
    /// # Errors
    /// As [`Checkpoints::save`], and [`crate::error::Error::Resource`] where the trial was committed meanwhile.
    pub fn save(&self, trainer: &Trainer, notes: &Notes) -> Result<()> {
        if self.was_there && !self.folder.exists() {
            let folder = self.folder.display();
            return Err(resource!("{folder} is gone: this trial has ended elsewhere, so its training ends here; there is nothing to do"));
        }
        let saved = trainer.save();
        let stored = Stored { hash: self.hash.clone(), notes: notes.clone(), trainer: saved.state.clone() };
        let blobs = saved.tensors.iter().map(|(name, t)| to_blob(name, t)).collect::<Result<Vec<Blob>>>()?;
        self.own.save(&Checkpoint { state: serde_json::to_value(&stored).expect("plain data"), blobs })?;
        self.last.set(Instant::now());
        Ok(())
    }

    /// Brings a fresh trainer to where any process left this child last. What cannot be read is as if it were not there: the child begins anew.
    pub fn restore(&self, trainer: &mut Trainer, device: Device) -> Result<Notes> {
        let mut states = states(&self.folder);
        states.retain(|(_, stored)| stored.hash == self.hash);
        states.sort_by_key(|(_, stored)| Reverse(stored.step()));
        for (path, stored) in states {
            let Ok(checkpoint) = Checkpoints::open(&path) else { continue };
            let tensors = checkpoint.blobs.iter().map(|b| Ok((b.name.clone(), to_tensor(b, device)?))).collect::<Result<Vec<_>>>()?;
            let saved = Saved { state: stored.trainer, tensors };
            trainer.restore(&saved).map_err(|e| input!(&self.folder, "the state of a child is not one of this training: {e}"))?;
            return Ok(stored.notes);
        }
        Ok(Notes::default())
    }
}

/// The files of all states in the folder of a trial, and what their headers say. Other processes may
/// be at work there, so nothing is changed.
fn states(folder: &Path) -> Vec<(PathBuf, Stored)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.file_name().to_string_lossy().starts_with(STATE));
    let all = folders.flat_map(|e| Checkpoints::new(e.path()).look());
    all.filter_map(|(path, state)| Some((path, serde_json::from_value(state).ok()?))).collect()
}

/// Steps of the child whose states are in the folder of its trial; 0 without one.
pub fn saved_step(folder: &Path) -> u64 {
    states(folder).iter().map(|(_, stored)| stored.step()).max().unwrap_or(0)
}
