//! The run directory as a whole.

use super::atomic::{TEMPORARY, folder_of, read_json, read_json_if, remove_temporaries, sync_folder, write_json};
use super::checkpoint::{Blob, Checkpoints, write_safetensors};
use super::identity::Sealed;
use super::segmentation::{read_examples, write_examples};
use super::{ArchitectureRecord, Event, EventLog, Example, FindingRecord, LedgerRecord, Manifest, RunResult};
use crate::error::{Error, Result, input, usage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifest.json";
const FINDING: &str = "finding.json";
const RESULT: &str = "result.json";
const LEDGER: &str = "ledger.json";
const WEIGHTS: &str = "weights.safetensors";
const EXAMPLES: &str = "examples.safetensors";
const LOCK: &str = "lock";

/// A run on disk. Readers just open it; who writes holds its lock, which goes with this value or with the process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    lock: Option<File>,
}

/// Name of a run's folder, of `[A-Za-z0-9._-]` only; an empty part is left out and any other character becomes `_`.
pub fn run_name(method: &str, variant: &str, dataset: &str, preset: &str, seed: u64) -> String {
    let parts: Vec<&str> = [method, variant, dataset, preset].into_iter().filter(|p| !p.is_empty()).collect();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = parts.join("-").chars().map(allowed).collect();
    format!("{name}-s{seed}")
}

impl RunDir {
    /// Makes a new run and locks it: the folder and its parents, `manifest.json` first, then an empty event log.
    ///
    /// # Errors
    /// [`Error::Usage`] if the folder holds a run already, or anything else, or another process is making a run there;
    /// [`Error::Resource`] if it cannot be written.
    pub fn create(path: &Path, manifest: &Manifest) -> Result<Self> {
        let writing = |e: std::io::Error| Error::writing(path, &e);
        // Nothing is put into a folder that is not ours, so look before the lock is there, and again once nobody else can write.
        refuse_content(path)?;
        std::fs::create_dir_all(path).map_err(writing)?;
        let run = Self { path: path.to_path_buf(), lock: None }.lock()?;
        refuse_content(path)?;
        remove_temporaries(path);
        sync_folder(folder_of(path)).map_err(writing)?;
        run.write(MANIFEST, manifest)?;
        EventLog::<Event>::create(&run.events_path())?;
        Ok(run)
    }

    /// Opens a run for reading; [`RunDir::lock`] it to go on with it.
    ///
    /// # Errors
    /// [`Error::Input`] if there is no manifest.
    pub fn open(path: &Path) -> Result<Self> {
        match path.join(MANIFEST).try_exists() {
            Ok(true) => Ok(Self { path: path.to_path_buf(), lock: None }),
            Ok(false) => Err(input!(path, "no run here (no {MANIFEST}); resume never starts a new one, use: naslab run")),
            Err(e) => Err(Error::reading(path, &e)),
        }
    }

    /// Keeps other processes from working on this run for as long as this value lives.
    ///
    /// # Errors
    /// [`Error::Usage`] with the process id if another one does; [`Error::Resource`] if the lock cannot be written.
    pub fn lock(mut self) -> Result<Self> {
        let path = self.path.join(LOCK);
        let writing = |e: std::io::Error| Error::writing(&path, &e);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(writing)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u32>().ok());
                let pid = pid.map_or_else(|| "unknown".to_string(), |p| p.to_string());
                let shown = self.path.display();
                return Err(usage!("{shown}: another naslab process works on this run (pid {pid}); wait for it to end, or stop it"));
            }
            Err(TryLockError::Error(e)) => return Err(writing(e)),
        }
        // The number is for messages only, so a full disk is no reason to stop here.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
        self.lock = Some(file);
        Ok(self)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the event log is.
    pub fn events_path(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// Where the weights of the retrained network are.
    pub fn weights_path(&self) -> PathBuf {
        self.path.join(WEIGHTS)
    }

    /// Folder of TensorBoard's event file.
    pub fn tensorboard_path(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The run's checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.path.join("checkpoint"))
    }

    /// The manifest.
    ///
    /// # Errors
    /// As [`read_json`]; [`Error::Input`] also if it was edited.
    pub fn manifest(&self) -> Result<Manifest> {
        let path = self.path.join(MANIFEST);
        read_json(&path).and_then(|manifest| unedited(&path, manifest))
    }

    /// The finding, once the search and the selection are over.
    ///
    /// # Errors
    /// As [`read_json`].
    pub fn finding(&self) -> Result<Option<FindingRecord>> {
        read_json_if(&self.path.join(FINDING))
    }

    /// The result of a finished run.
    ///
    /// # Errors
    /// As [`read_json`]; [`Error::Input`] also if its architecture was edited.
    pub fn result(&self) -> Result<Option<RunResult>> {
        let path = self.path.join(RESULT);
        read_json_if(&path)?.map(|result| unedited(&path, result)).transpose()
    }

    /// The account of a finished run.
    ///
    /// # Errors
    /// As [`read_json`].
    pub fn ledger(&self) -> Result<Option<LedgerRecord>> {
        read_json_if(&self.path.join(LEDGER))
    }

    /// Writes the finding.
    ///
    /// # Errors
    /// As [`write_json`].
    pub fn write_finding(&self, finding: &FindingRecord) -> Result<()> {
        self.write(FINDING, finding)
    }

    /// Writes the account; before the result, which finishes the run.
    ///
    /// # Errors
    /// As [`write_json`].
    pub fn write_ledger(&self, ledger: &LedgerRecord) -> Result<()> {
        self.write(LEDGER, ledger)
    }

    /// Writes the result, which finishes the run.
    ///
    /// # Errors
    /// As [`write_json`].
    pub fn write_result(&self, result: &RunResult) -> Result<()> {
        self.write(RESULT, result)
    }

    /// Writes the weights of the retrained network.
    ///
    /// # Errors
    /// As [`write_safetensors`].
    pub fn write_weights(&self, blobs: &[Blob], metadata: &BTreeMap<String, String>) -> Result<()> {
        write_safetensors(&self.writable(WEIGHTS), blobs, metadata)
    }

    /// Test slices with what was predicted; none if the run has none.
    ///
    /// # Errors
    /// As [`read_examples`].
    pub fn examples(&self) -> Result<Vec<Example>> {
        read_examples(&self.path.join(EXAMPLES))
    }

    /// Writes test slices with what was predicted.
    ///
    /// # Errors
    /// As [`write_examples`].
    pub fn write_examples(&self, examples: &[Example]) -> Result<()> {
        write_examples(&self.writable(EXAMPLES), examples)
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        write_json(&self.writable(name), value)
    }

    fn writable(&self, name: &str) -> PathBuf {
        debug_assert!(self.lock.is_some(), "only who holds the lock may write");
        self.path.join(name)
    }
}

/// Reads `architecture.json`.
///
/// # Errors
/// As [`read_json`]; [`Error::Input`] also if its hash is not that of its architecture.
pub fn read_architecture(path: &Path) -> Result<ArchitectureRecord> {
    read_json(path).and_then(|record| unedited(path, record))
}

fn unedited<T: Sealed>(path: &Path, record: T) -> Result<T> {
    record.fault().map_or(Ok(record), |what| Err(Error::input(path, what)))
}

/// A new run needs a folder that is empty, but for what a killed start may have left.
fn refuse_content(path: &Path) -> Result<()> {
    let shown = path.display();
    if path.is_file() {
        return Err(usage!("{shown} is a file; name a folder for the run"));
    }
    if path.join(MANIFEST).exists() {
        return Err(usage!("{shown} holds a run already; go on with: naslab resume {shown}"));
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != LOCK && !name.starts_with(TEMPORARY) {
            return Err(usage!("{shown} is not empty and holds no run (it has '{name}'); choose another folder"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_plain_characters_only() {
        assert_eq!(run_name("darts", "first-order", "digits", "smoke", 2), "darts-first-order-digits-smoke-s2");
        assert_eq!(run_name("random", "", "fashion_mnist", "v1.0", 0), "random-fashion_mnist-v1.0-s0");
        assert_eq!(run_name("a/b", "ü x", "..\\c", "d\n", 1), "a_b-__x-.._c-d_-s1");
    }
}
