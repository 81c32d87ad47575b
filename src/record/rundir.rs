//! The run directory as a whole.

use super::atomic::{read_json, read_json_if, write_json};
use super::checkpoint::{self, Blob, Checkpoint};
use super::{FindingRecord, LedgerRecord, Manifest, RunResult};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// A run on disk. While it is [`RunDir::lock`]ed no other process works on it; the lock goes with the process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    lock: Option<File>,
}

/// Name of a run's folder, of letters, digits, dot, dash and underscore only.
pub fn run_name(method: &str, variant: &str, dataset: &str, preset: &str, seed: u64) -> String {
    let parts = [method, variant, dataset, preset];
    let joined = parts.iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("-");
    let clean: String = joined.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    format!("{clean}-s{seed}")
}

impl RunDir {
    /// Makes a new, locked run. The manifest is the first file in it.
    pub fn create(path: &Path, manifest: &Manifest) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| Error::writing(path, &e))?;
        let run = Self { path: path.to_path_buf(), lock: None }.lock()?;
        let foreign = std::fs::read_dir(path)
            .map_err(|e| Error::reading(path, &e))?
            .filter_map(std::result::Result::ok)
            .find(|e| e.file_name() != "lock" && !e.file_name().to_string_lossy().starts_with(super::atomic::TEMPORARY));
        if let Some(entry) = foreign {
            return Err(Error::Usage(format!(
                "{} is not empty and no run (it holds {}); choose another --out",
                path.display(),
                entry.file_name().to_string_lossy()
            )));
        }
        write_json(&path.join("manifest.json"), manifest)?;
        Ok(run)
    }

    /// Opens an existing run for reading.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join("manifest.json").exists() {
            return Err(Error::input(path, "no run is here (there is no manifest.json); a resume never starts a new one"));
        }
        Ok(Self { path: path.to_path_buf(), lock: None })
    }

    /// Keeps other processes from working on this run.
    pub fn lock(mut self) -> Result<Self> {
        let path = self.path.join("lock");
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(|e| Error::writing(&path, &e))?;
        match file.try_lock() {
            Ok(()) => self.lock = Some(file),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Usage(format!("another naslab works on {}; wait for it, or stop it", self.path.display())));
            }
            Err(TryLockError::Error(e)) => return Err(Error::writing(&path, &e)),
        }
        Ok(self)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The event log's path.
    pub fn events_path(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// The manifest.
    pub fn manifest(&self) -> Result<Manifest> {
        read_json(&self.path.join("manifest.json"))
    }

    /// The finding, if the search is over.
    pub fn finding(&self) -> Result<Option<FindingRecord>> {
        read_json_if(&self.path.join("finding.json"))
    }

    /// The result, if the run is finished.
    pub fn result(&self) -> Result<Option<RunResult>> {
        read_json_if(&self.path.join("result.json"))
    }

    /// The account, if the run is finished.
    pub fn ledger(&self) -> Result<Option<LedgerRecord>> {
        read_json_if(&self.path.join("ledger.json"))
    }

    /// Writes the finding.
    pub fn write_finding(&self, finding: &FindingRecord) -> Result<()> {
        write_json(&self.path.join("finding.json"), finding)
    }

    /// Writes the account.
    pub fn write_ledger(&self, ledger: &LedgerRecord) -> Result<()> {
        write_json(&self.path.join("ledger.json"), ledger)
    }

    /// Writes the result, which finishes the run.
    pub fn write_result(&self, result: &RunResult) -> Result<()> {
        write_json(&self.path.join("result.json"), result)
    }

    /// Writes the trained weights.
    pub fn write_weights(&self, blobs: &[Blob], metadata: &BTreeMap<String, String>) -> Result<()> {
        checkpoint::write_tensors(&self.path.join("weights.safetensors"), blobs, metadata)
    }

    /// Saves a checkpoint; two generations are kept.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint::save(&self.path.join("checkpoint"), checkpoint)
    }

    /// The newest sound checkpoint, and notices about damaged ones.
    pub fn load_checkpoint(&self) -> Result<(Option<Checkpoint>, Vec<String>)> {
        checkpoint::load(&self.path.join("checkpoint"))
    }
}
