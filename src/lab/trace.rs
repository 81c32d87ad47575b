//! A trace: what the steps of a search and of the retraining started from, were given and computed, so that other code can make the same steps (docs/fidelity.md).
//!
//! It changes no number: states are copied, and the batches are those that the task hands out anyway.

use super::blobs::to_blob;
use super::lab::Lab;
use crate::error::{Error, Result, usage};
use crate::nn::Table;
use crate::record::{Blob, Manifest, Normalisation, Phase, read_json, write_json, write_safetensors};
use crate::seed::{Rng, Streams};
use crate::space::Architecture;
use crate::task::{Augment, Batch, GoOn, Logits, Part, Score, Shape, Task};
use crate::train::Saved;
use crate::units::show_bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tch::{Device, Tensor, no_grad};

/// Where a trace goes, and how large it may become.
#[derive(Clone, Debug)]
pub struct TraceTo {
    /// Folder, made if it is not there.
    pub folder: PathBuf,
    /// Most bytes, half of them for the search and half for the retraining.
    pub limit: u64,
}

/// The batches that were handed out since a traced step began; `None` between such steps.
type Heard = Arc<Mutex<Option<Vec<(Part, Batch)>>>>;

/// A trace that is being written.
pub struct Trace {
    to: TraceTo,
    heard: Heard,
    /// Bytes of each phase so far.
    bytes: BTreeMap<&'static str, u64>,
    open: Option<TracedStep>,
}

/// A step that is being traced.
pub struct TracedStep {
    phase: &'static str,
    number: u64,
    /// They become bytes when the step has ended, so that a step takes no longer for being traced.
    tensors: Vec<(String, Tensor)>,
    metadata: BTreeMap<String, String>,
}

impl TracedStep {
    /// Adds a tensor, which nothing changes before the step ends, without its graph.
    pub fn tensor(&mut self, name: &str, tensor: &Tensor) {
        self.tensors.push((name.into(), tensor.detach()));
    }

    /// Adds what is no tensor.
    pub fn value(&mut self, name: &str, value: &Value) {
        self.metadata.insert(name.into(), value.to_string());
    }

    /// Adds a number.
    pub fn number(&mut self, name: &str, value: f64) {
        self.tensor(name, &Tensor::from(value));
    }

    /// Adds what a step on weights computes: the architecture after it or that is trained, and the loss, whose gradient is clipped and in the layout of the weights.
    pub fn of_weights(&mut self, architecture: &Architecture, loss: f64, learning_rate: f64, gradient: &Tensor) {
        self.value("architecture", &json!(architecture));
        self.number("loss", loss);
        self.number("learning_rate", learning_rate);
        self.tensor("gradient", gradient);
    }

    /// Adds what a step that scores an architecture finds.
    pub fn of_score(&mut self, architecture: &Architecture, score: f64) {
        self.value("architecture", &json!(architecture));
        self.number("score", score);
    }

    /// Adds a copy of a state.
    fn state(&mut self, when: &str, saved: &Saved) {
        self.value(when, &saved.state);
        saved.tensors.iter().for_each(|(name, tensor)| self.tensors.push((format!("{when}.{name}"), no_grad(|| tensor.copy()))));
    }

    /// `train.0.images`, `train.0.labels`, `valid.0.images`, ...: numbered by part.
    fn batches(&mut self, heard: Vec<(Part, Batch)>) {
        let mut counts = BTreeMap::new();
        for (part, batch) in heard {
            let part = part.name();
            let count: &mut u64 = counts.entry(part).or_default();
            self.tensor(&format!("{part}.{count}.images"), &batch.images);
            self.tensor(&format!("{part}.{count}.labels"), &batch.labels);
            *count += 1;
        }
    }
}

/// Names and shapes of what the flat vectors `weights` and `statistics` are made of, in order.
fn layout(table: &Table) -> Value {
    let weights: Vec<_> = table.names().zip(table.shapes()).collect();
    let statistics: Vec<_> = table.stat_names().zip(table.stat_shapes()).collect();
    json!({"weights": weights, "statistics": statistics})
}

impl TraceTo {
    /// Refuses a folder that holds the trace of another run than that of `manifest`.
    pub(super) fn check(&self, manifest: &Manifest) -> Result<()> {
        let path = self.folder.join("manifest.json");
        if path.exists() && read_json::<Manifest>(&path)?.identity != manifest.identity {
            return Err(usage!(
                "{} holds the trace of another run; choose another folder for --trace, or remove that one",
                self.folder.display()
            ));
        }
        Ok(())
    }
}

impl Trace {
    /// Begins a trace of the run of `manifest`, or goes on with it, if one is wanted. Returns with it `task`, listened to.
    pub(super) fn open(to: Option<TraceTo>, manifest: &Manifest, task: Box<dyn Task>) -> Result<(Option<Self>, Box<dyn Task>)> {
        let Some(to) = to else { return Ok((None, task)) };
        std::fs::create_dir_all(&to.folder).map_err(|e| Error::writing(&to.folder, &e))?;
        write_json(&to.folder.join("manifest.json"), manifest)?;
        let bytes = [Phase::Search, Phase::Retrain].map(|phase| (phase.name(), bytes_in(&to.folder.join(phase.name()))));
        let heard = Heard::default();
        let tap = Tap { task, heard: Arc::clone(&heard) };
        Ok((Some(Self { to, heard, bytes: bytes.into(), open: None }), Box::new(tap)))
    }

    fn listening(&self) -> MutexGuard<'_, Option<Vec<(Part, Batch)>>> {
        self.heard.lock().expect("nobody panics while listening")
    }

    /// Whether a further step of `phase` fits.
    fn wants(&self, phase: Phase) -> bool {
        self.bytes.get(phase.name()).is_some_and(|bytes| *bytes < self.to.limit / 2)
    }

    /// A step begins; one that began and did not end is forgotten.
    fn begin(&mut self, phase: Phase, number: u64, table: &Table, saved: &Saved) -> Result<()> {
        let phase = phase.name();
        if self.bytes[phase] == 0 {
            let folder = self.to.folder.join(phase);
            std::fs::create_dir_all(&folder).map_err(|e| Error::writing(&folder, &e))?;
            write_json(&folder.join("layout.json"), &layout(table))?;
        }
        let mut step = TracedStep { phase, number, tensors: Vec::new(), metadata: BTreeMap::new() };
        step.state("before", saved);
        self.open = Some(step);
        *self.listening() = Some(Vec::new());
        Ok(())
    }

    /// The step ended. Returns a line for the user after the first of a phase, and when there is no room for more.
    fn end(&mut self, saved: &Saved) -> Result<Option<String>> {
        let Some(mut step) = self.open.take() else { return Ok(None) };
        let heard = self.listening().take().unwrap_or_default();
        step.batches(heard);
        step.state("after", saved);
        let blobs: Vec<Blob> = step.tensors.iter().map(|(name, tensor)| to_blob(name, tensor)).collect::<Result<_>>()?;
        let (phase, file) = (step.phase, format!("{:08}.safetensors", step.number));
        write_safetensors(&self.to.folder.join(phase).join(file), &blobs, &step.metadata)?;
        let written: u64 = blobs.iter().map(|b| b.bytes.len() as u64).sum();
        let bytes = self.bytes.get_mut(phase).expect("it is wanted");
        let (first, room) = (*bytes == 0, self.to.limit / 2);
        *bytes += written;
        let full = *bytes >= room;
        if first {
            let size = show_bytes(written);
            return Ok(Some(format!("the trace takes {size} a step of the {phase} and ends at {} (--trace-limit)", show_bytes(room))));
        }
        Ok(full.then(|| format!("the trace of the {phase} is full after step {} (--trace-limit)", step.number)))
    }
}

/// Bytes of the files in `folder`; 0 if it is not there.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

impl Lab<'_> {
    /// To be called before a step, number `number`, with its network and its state; it does something where a trace is written. Called once more before the step ends, it
    /// takes the place of the first call.
    ///
    /// # Errors
    /// [`Error::Resource`] where the folder cannot be written.
    pub fn trace_from(&mut self, number: u64, table: &Table, save: impl Fn() -> Saved) -> Result<()> {
        let (phase, session) = (self.session.ledger.phase(), &mut *self.session);
        let Some(trace) = session.trace.as_mut().filter(|trace| trace.wants(phase)) else { return Ok(()) };
        session.ledger.switch(Phase::Overhead);
        let begun = trace.begin(phase, number, table, &save());
        session.ledger.switch(phase);
        begun
    }

    /// Adds what the step computed, where it is traced.
    pub fn trace(&mut self, what: impl FnOnce(&mut TracedStep)) {
        if let Some(step) = self.session.trace.as_mut().and_then(|trace| trace.open.as_mut()) {
            what(step);
        }
    }

    /// To be called after a step with its state, once the limits have been looked at: it begins the peaks of memory anew.
    pub(super) fn trace_to(&mut self, save: impl Fn() -> Saved) -> Result<()> {
        let session = &mut *self.session;
        let Some(trace) = session.trace.as_mut().filter(|trace| trace.open.is_some()) else { return Ok(()) };
        let phase = session.ledger.switch(Phase::Overhead);
        let line = trace.end(&save());
        session.ledger.switch(phase);
        line?.iter().for_each(|line| session.say(line));
        Ok(())
    }
}

/// A task whose batches are noted while a step is traced.
struct Tap {
    task: Box<dyn Task>,
    heard: Heard,
}

impl Tap {
    fn note(&self, part: Part, batch: Batch) -> Batch {
        if let Some(heard) = self.heard.lock().expect("nobody panics while listening").as_mut() {
            heard.push((part, Batch { images: batch.images.shallow_clone(), labels: batch.labels.shallow_clone() }));
        }
        batch
    }
}

impl Task for Tap {
    fn metric(&self) -> &'static str {
        self.task.metric()
    }

    fn shape(&self) -> Shape {
        self.task.shape()
    }

    fn normalisation(&self) -> Normalisation {
        self.task.normalisation()
    }

    fn split_hash(&self) -> &str {
        self.task.split_hash()
    }

    /// Without a listener: other threads train trials.
    fn share(&self) -> Box<dyn Task> {
        self.task.share()
    }

    fn share_on(&self, device: Device) -> Box<dyn Task> {
        self.task.share_on(device)
    }

    fn range(&self, part: Part) -> Range<usize> {
        self.task.range(part)
    }

    fn take(&self, items: &[i64], augment: &Augment, rng: &mut Rng) -> Batch {
        self.task.take(items, augment, rng)
    }

    fn score(&self, part: Part, batch: usize, logits: Logits, go_on: GoOn) -> Result<Option<Score>> {
        self.task.score(part, batch, logits, go_on)
    }

    fn batch(&self, part: Part, epoch: u64, index: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        self.note(part, self.task.batch(part, epoch, index, size, augment, streams))
    }

    fn random_batch(&self, part: Part, step: u64, size: usize, augment: &Augment, streams: Streams) -> Batch {
        self.note(part, self.task.random_batch(part, step, size, augment, streams))
    }
}
