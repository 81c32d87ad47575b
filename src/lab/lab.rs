//! What a search sees of the world: batches, steps and scores, each charged and recorded.

use super::child::{Child, input};
use super::method::ChildTraining;
use super::session::Session;
use super::stopwatch::Stopwatch;
use crate::error::{Error, Result};
use crate::record::{Event, Phase};
use crate::seed::Streams;
use crate::space::{Architecture, InputShape};
use crate::task::{Part, Score, Task};
use std::collections::BTreeMap;
use std::thread;
use tch::{Device, Tensor};

/// A point on a method's curves.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Which of several searches.
    pub part: u64,
    /// Epochs done.
    pub epoch: u64,
    /// Steps done in this part.
    pub step: u64,
    /// Mean training loss since the last point.
    pub loss: Option<f64>,
    /// Validation score.
    pub score: Option<f64>,
    /// Figures of the method's own.
    pub extra: BTreeMap<String, f64>,
    /// The architecture now.
    pub architecture: Option<Architecture>,
}

/// The only door to data, budget and record.
pub struct Lab<'a> {
    /// Where the arithmetic is done.
    pub device: Device,
    /// The run's random streams.
    pub streams: Streams,
    /// What is learned: its batches, and what a score is.
    pub task: &'a dyn Task,
    pub(super) session: &'a mut Session,
    pub(super) stopwatch: &'a Stopwatch,
}

impl Lab<'_> {
    /// What the data demand of a network.
    pub fn input(&self) -> InputShape {
        input(self.task)
    }

    /// Device-seconds that search and selection have used so far.
    pub fn spent(&mut self) -> f64 {
        self.session.ledger.spent()
    }

    /// Records and shows something that a reader should know.
    pub fn notice(&mut self, text: &str) -> Result<()> {
        self.session.notice(text)
    }

    /// Records a point of the present phase's curves.
    pub fn progress(&mut self, point: Point) -> Result<()> {
        let phase = self.session.ledger.phase();
        let ledger = &mut self.session.ledger;
        let device_seconds = match phase {
            Phase::Search | Phase::Select => ledger.spent(),
            other => {
                ledger.settle();
                ledger.device_seconds(&[other])
            }
        };
        let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
        let event = Event::Progress {
            phase,
            part: point.part,
            epoch: point.epoch,
            step: point.step,
            device_seconds,
            loss: finite(point.loss),
            score: finite(point.score),
            extra: point.extra.into_iter().filter(|(_, v)| v.is_finite()).collect(),
            architecture: point.architecture,
        };
        self.session.progress(point.part, point.step, &event)
    }

    /// Scores `part` in batches of `batch`; `None` if a limit was reached before the end. A signal waits until the next step, which can save.
    pub fn score(&mut self, part: Part, batch: usize, logits: impl Fn(&Tensor) -> Tensor) -> Result<Option<Score>> {
        let session = &mut *self.session;
        self.task.score(part, batch, &logits, &mut || Ok(session.limit()?.is_none()))
    }

    /// The training of a child on `part`.
    pub(super) fn child<'a>(&'a self, training: &'a ChildTraining, part: Part, streams: Streams) -> Child<'a> {
        Child { task: self.task, training, part, streams, device: self.device }
    }

    /// Seconds that one child like `architecture` takes on the training part, from a few steps measured on one thread.
    pub(super) fn seconds_of_a_child(&self, architecture: &Architecture, training: &ChildTraining) -> Result<f64> {
        let (task, streams, device, stopwatch) = (self.task.share(), self.streams.child("forecast", 0), self.device, self.stopwatch);
        let measure = move || {
            tch::set_num_threads(1);
            Child { task: &*task, training, part: Part::Train, streams, device }.forecast(architecture, stopwatch)
        };
        thread::scope(|scope| {
            let measuring = thread::Builder::new().spawn_scoped(scope, measure).map_err(|e| Error::thread(&e))?;
            measuring.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        })
    }
}
