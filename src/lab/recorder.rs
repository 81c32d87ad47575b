//! What an attempt writes, and what earlier attempts left: event log, checkpoints, TensorBoard's file.

use super::blobs::{to_blob, to_tensor};
use super::history;
use super::mirror::Mirror;
use crate::error::{Error, Result, input};
use crate::record::{Blob, Checkpoint, Event, EventLog, FORMAT, LedgerRow, Phase, RunDir, RunResult, Submission, TaskRecord, TrialRecord};
use crate::train::Saved;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use tch::Device;

/// What a checkpoint holds: whose state it is, the conductor's own state, the inner state.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u32,
    stage: String,
    carried: Value,
    inner: Value,
}

/// The records of a run that one attempt adds to.
pub struct Recorder {
    /// The run directory.
    pub run: RunDir,
    events: EventLog,
    mirror: Mirror,
    /// Points of curves that stand in the log.
    pub points: HashSet<(Phase, u64, u64)>,
    /// Trials that stand in the log.
    pub trials: BTreeMap<(Phase, u64), TrialRecord>,
    /// What was sent to a cluster.
    pub submissions: Vec<Submission>,
    /// What the conductor saves with every checkpoint; null before it has decided something.
    pub carried: Value,
    /// What a checkpoint holds, until its stage asks for it.
    resumed: Option<(String, Saved)>,
}

/// What earlier attempts used, and what a user should know of what they left.
pub struct Past {
    /// Number of this attempt.
    pub attempt: u32,
    /// Accounts of all earlier attempts.
    pub rows: Vec<LedgerRow>,
    /// Their wall seconds.
    pub wall_seconds: f64,
    /// Accounts of trainings of their own.
    pub tasks: Vec<TaskRecord>,
    /// To be recorded.
    pub notices: Vec<String>,
    /// To be shown only.
    pub remark: Option<String>,
}

impl Recorder {
    /// Opens what is on disk; tensors of a checkpoint go to `device`.
    pub fn open(run: RunDir, tensorboard: bool, device: Device) -> Result<(Self, Past)> {
        let (events, past, mut notices) = EventLog::append_to(&run.events_path())?;
        let (checkpoint, more) = run.checkpoints().load()?;
        notices.extend(more);
        let attempt = past.iter().filter(|e| matches!(e.event, Event::AttemptStarted { .. })).count() as u32;
        let (rows, wall_seconds) = history::accounts(&past);
        let (carried, resumed) = match checkpoint {
            Some(checkpoint) => opened(&run, checkpoint, device)?,
            None => (Value::Null, None),
        };
        let (mirror, remark) = Mirror::open(&run, tensorboard, &past);
        let trials = history::trials(&past).into_iter().map(|t| ((t.phase, t.id), t)).collect();
        let (points, submissions, tasks) = (history::points(&past), history::submissions(&past), history::tasks(&past));
        let recorder = Self { run, events, mirror, points, trials, submissions, carried, resumed };
        Ok((recorder, Past { attempt, rows, wall_seconds, tasks, notices, remark }))
    }

    /// Appends an event; the text, if there is one, is for the user.
    pub fn write(&mut self, event: &Event) -> Result<Option<String>> {
        let time = jiff::Timestamp::now();
        self.events.append_at(time, event)?;
        Ok(self.mirror.add(&self.run, &format!("{time:.3}"), event))
    }

    /// Writes the result, which finishes the run; likewise.
    pub fn finish(&mut self, result: &RunResult) -> Result<Option<String>> {
        self.run.write_result(result)?;
        Ok(self.mirror.finish(&self.run, result))
    }

    /// Makes safe what was just written.
    pub fn sync(&self) -> Result<()> {
        self.events.sync()
    }

    /// Makes a trial safe that was just written.
    pub fn commit(&mut self, trial: TrialRecord) -> Result<()> {
        self.events.sync()?;
        self.trials.insert((trial.phase, trial.id), trial);
        Ok(())
    }

    /// Trials of `phase` by how they ended.
    pub fn trial_ends(&self, phase: Phase) -> BTreeMap<String, u64> {
        let mut ends = BTreeMap::new();
        for trial in self.trials.values().filter(|t| t.phase == phase) {
            *ends.entry(trial.end.words().to_string()).or_default() += 1;
        }
        ends
    }

    /// The state that a checkpoint of `stage` holds, once.
    pub fn take_saved(&mut self, stage: &str) -> Option<Saved> {
        self.resumed.take_if(|(s, _)| s == stage).map(|(_, saved)| saved)
    }

    /// Writes a checkpoint of `stage`.
    pub fn checkpoint(&mut self, stage: &str, saved: &Saved) -> Result<()> {
        let stored = Stored { format: FORMAT, stage: stage.to_string(), carried: self.carried.clone(), inner: saved.state.clone() };
        let blobs = saved.tensors.iter().map(|(name, t)| to_blob(name, t)).collect::<Result<Vec<Blob>>>()?;
        self.events.sync()?;
        self.run.checkpoints().save(&Checkpoint { state: serde_json::to_value(&stored).expect("plain data"), blobs })?;
        Ok(())
    }
}

/// The conductor's state, and the stage with its own.
fn opened(run: &RunDir, checkpoint: Checkpoint, device: Device) -> Result<(Value, Option<(String, Saved)>)> {
    let stored: Stored = serde_json::from_value(checkpoint.state).map_err(|e| foreign(run.path(), &e.to_string()))?;
    if stored.format != FORMAT {
        return Err(foreign(run.path(), &format!("its format is {}, this one reads {FORMAT}", stored.format)));
    }
    let tensors = checkpoint.blobs.iter().map(|b| Ok((b.name.clone(), to_tensor(b, device)?))).collect::<Result<Vec<_>>>()?;
    Ok((stored.carried, Some((stored.stage, Saved { state: stored.inner, tensors }))))
}

/// A checkpoint that cannot be read.
pub fn foreign(path: &Path, why: &str) -> Error {
    input!(path, "the checkpoint was written by another version of naslab: {why}")
}
