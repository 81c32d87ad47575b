//! What coordinator and tasks tell each other, as files below `tasks/` of the run, on a file system that both see.
//!
//! `tasks/<phase>-<id>/trial.json` is the trial, `<execution>.account.json` beside it what a training of it has used so far, `state-<execution>/` where it stands;
//! `tasks/outcomes/<phase>-<id>.<execution>.json` is how it ended. What belongs to a trial goes when it is committed. `tasks/queue/` has the script, the list of tasks and what
//! they printed, of every array that was sent.

use super::super::evaluate::Outcome;
use super::super::method::ChildTraining;
use super::super::trials::Trial;
use crate::error::{Error, Result};
use crate::record::{Phase, Program, TaskRecord, read_json, write_json};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a task is to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialFile {
    /// [`crate::record::FORMAT`].
    pub format: u32,
    /// The program that drew it; the task's must be the same.
    pub program: Program,
    /// Whose trial it is.
    pub phase: Phase,
    /// The trial.
    pub trial: Trial,
    /// How it is trained.
    pub training: ChildTraining,
    /// Seconds between two savings of its state.
    pub keep_seconds: f64,
    /// When it was drawn, RFC 3339.
    pub drawn: String,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With an outcome of its trial.
    Outcome(Outcome),
    /// It refused to train, and why: this node, or this run, is not what the trial was drawn for.
    Refused(String),
}

/// What a task tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeFile {
    /// [`crate::record::FORMAT`].
    pub format: u32,
    /// Whose trial.
    pub phase: Phase,
    /// Its number.
    pub id: u64,
    /// How it ended.
    pub ended: Ended,
    /// What it used; nothing where it refused.
    pub account: Option<TaskRecord>,
}

/// The files of a run.
#[derive(Clone, Debug)]
pub struct TaskFiles {
    tasks: PathBuf,
}

/// `search-17`
pub fn trial_name(phase: Phase, id: u64) -> String {
    format!("{}-{id}", phase.name())
}

/// Phase and number of `search-17` or `select-2`.
pub fn parse_name(name: &str) -> Option<(Phase, u64)> {
    let (phase, id) = name.split_once('-')?;
    let phase = [Phase::Search, Phase::Select].into_iter().find(|p| p.name() == phase)?;
    Some((phase, id.parse().ok()?))
}

impl TaskFiles {
    /// Those of the run in this folder.
    pub fn of(run: &Path) -> Self {
        Self { tasks: run.join("tasks") }
    }

    /// Folder of a trial.
    pub fn trial(&self, phase: Phase, id: u64) -> PathBuf {
        self.tasks.join(trial_name(phase, id))
    }

    /// Folder of the outcomes.
    fn outcomes(&self) -> PathBuf {
        self.tasks.join("outcomes")
    }

    /// Folder of scripts, lists and what tasks printed.
    pub fn queue(&self) -> PathBuf {
        self.tasks.join("queue")
    }

    /// Makes the folders.
    pub fn make(&self) -> Result<()> {
        [self.outcomes(), self.queue()].iter().try_for_each(|d| std::fs::create_dir_all(d).map_err(|e| Error::writing(d, &e)))
    }

    /// Writes a trial for a task to read.
    pub fn write_trial(&self, file: &TrialFile) -> Result<()> {
        let folder = self.trial(file.phase, file.trial.id);
        std::fs::create_dir_all(&folder).map_err(|e| Error::writing(&folder, &e))?;
        write_json(&folder.join("trial.json"), file)
    }

    /// Reads a trial.
    pub fn read_trial(&self, phase: Phase, id: u64) -> Result<TrialFile> {
        read_json(&self.trial(phase, id).join("trial.json"))
    }

    /// Writes what a training has used so far; an error once its trial is committed, for then its folder is gone.
    pub fn write_account(&self, account: &TaskRecord) -> Result<()> {
        let folder = self.trial(account.account.phase, account.trial);
        write_json(&folder.join(format!("{}.account.json", account.task)), account)
    }

    /// What all trainings of a trial have used as far as they wrote it.
    pub fn accounts(&self, phase: Phase, id: u64) -> Vec<TaskRecord> {
        let entries = std::fs::read_dir(self.trial(phase, id)).into_iter().flatten().flatten();
        let accounts = entries.filter(|e| e.file_name().to_string_lossy().ends_with(".account.json"));
        accounts.filter_map(|e| read_json(&e.path()).ok()).collect()
    }

    /// Writes how a task ended.
    pub fn write_outcome(&self, execution: &str, outcome: &OutcomeFile) -> Result<()> {
        write_json(&self.outcomes().join(format!("{}.{execution}.json", trial_name(outcome.phase, outcome.id))), outcome)
    }

    /// Names of the outcomes that are there, with phase and trial, in the order of the trials.
    pub fn list_outcomes(&self) -> Vec<(Phase, u64, PathBuf)> {
        let entries = std::fs::read_dir(self.outcomes()).into_iter().flatten().flatten();
        let name = |path: PathBuf| {
            let (phase, id) = parse_name(path.file_name()?.to_str()?.split_once('.')?.0)?;
            Some((phase, id, path))
        };
        let mut all: Vec<_> = entries.filter_map(|e| name(e.path())).collect();
        all.sort();
        all
    }

    /// Reads an outcome; `None` where it is not whole yet, as a shared file system may show it.
    pub fn read_outcome(&self, path: &Path) -> Option<OutcomeFile> {
        read_json(path).ok()
    }

    /// Removes the files of a trial that is committed, and these outcomes of it. What cannot be removed does no harm.
    pub fn forget(&self, phase: Phase, id: u64, outcomes: &[PathBuf]) {
        let folder = self.trial(phase, id);
        if folder.exists() {
            let _ = std::fs::remove_dir_all(folder);
            // At home nothing else is there.
            let _ = std::fs::remove_dir(&self.tasks);
        }
        for path in outcomes {
            let _ = std::fs::remove_file(path);
        }
    }
}
