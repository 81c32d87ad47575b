//! Threads of this machine train the trials, one thread each, on one device or spread over several.

use super::super::child::Child;
use super::super::cluster::TaskFiles;
use super::super::keep::Keep;
use super::super::lab::Lab;
use super::super::method::ChildTraining;
use super::super::trials::Trial;
use super::places::{Places, Used};
use super::{Evaluator, News, Outcome, misfortune};
use crate::budget::{Since, thread_seconds};
use crate::error::{Error, Result};
use crate::record::{EndReason, Phase};
use crate::seed::Streams;
use crate::task::Part;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long to wait for news before limits and signals are looked at.
const PATIENCE: Duration = Duration::from_millis(50);

/// Name of a child's state that this process keeps.
const HERE: &str = "here";

/// See [`Evaluator`].
pub struct Local {
    places: Places,
    training: Arc<ChildTraining>,
    phase: Phase,
    streams: Streams,
    capacity: u64,
    /// Where children are kept, and every how many seconds.
    files: TaskFiles,
    keep_seconds: f64,
    running: u64,
    stop: Stop,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    /// What was heard together with something else.
    news: VecDeque<News>,
    threads: Vec<JoinHandle<()>>,
}

/// Why all workers are to end, if they are.
type Stop = Arc<Mutex<Option<EndReason>>>;

fn reason_of(stop: &Stop) -> MutexGuard<'_, Option<EndReason>> {
    stop.lock().expect("no holder panics")
}

/// What a worker tells.
enum Message {
    /// A step over so many images was done; `None` for a batch that was scored.
    Step(Option<u64>),
    /// The trial, how it ended or why its thread panicked, what it used, and how long it was at work.
    End(u64, std::thread::Result<Result<Outcome>>, Used, f64),
}

impl Local {
    /// With the data, the devices and the number of jobs of `lab`.
    pub fn new(lab: &Lab, training: &ChildTraining) -> Self {
        let (sender, receiver) = channel();
        Self {
            places: Places::of(lab),
            training: Arc::new(training.clone()),
            phase: lab.session.ledger.phase(),
            streams: lab.streams,
            capacity: lab.session.jobs,
            files: TaskFiles::of(lab.session.recorder.run.path()),
            keep_seconds: lab.session.checkpoint_seconds,
            running: 0,
            stop: Stop::default(),
            sender,
            receiver,
            news: VecDeque::new(),
            threads: Vec::new(),
        }
    }

    /// Steps that were told by now, heard at once: to look at the clock after them, all devices are waited for.
    fn steps(&mut self, first: Option<u64>) -> Result<News> {
        let (mut steps, mut samples) = (u64::from(first.is_some()), first.unwrap_or(0));
        while let Ok(message) = self.receiver.try_recv() {
            match message {
                Message::Step(of) => {
                    steps += u64::from(of.is_some());
                    samples += of.unwrap_or(0);
                }
                Message::End(id, end, used, seconds) => {
                    let news = self.end(id, end, &used, seconds)?;
                    self.news.push_front(news);
                    break;
                }
            }
        }
        Ok(News::Steps(steps, samples))
    }

    /// A trial ended: the device that it was on is free for another, and its account comes first where it has one.
    fn end(&mut self, id: u64, end: std::thread::Result<Result<Outcome>>, used: &Used, seconds: f64) -> Result<News> {
        let outcome = end.unwrap_or_else(|payload| Ok(misfortune(payload)))?;
        self.running -= 1;
        let account = self.places.leave(id, (self.phase, outcome.end), used, seconds);
        let end = News::End { id, outcome, seconds };
        let Some(account) = account else { return Ok(end) };
        self.news.push_back(end);
        Ok(News::Account(account))
    }
}

impl Evaluator for Local {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn begin(&mut self, trial: &Trial) -> Result<()> {
        if self.running == 0 {
            reason_of(&self.stop).take();
        }
        self.running += 1;
        let (task, device) = self.places.enter(trial.id);
        let training = Arc::clone(&self.training);
        let (stop, sender, trial) = (Arc::clone(&self.stop), self.sender.clone(), trial.clone());
        let streams = self.streams.child(self.phase.name(), trial.id);
        let folder = self.files.trial(self.phase, trial.id);
        let keep = Keep::new(folder, HERE, self.keep_seconds, trial.architecture.hash());
        self.threads.retain(|thread| !thread.is_finished());
        let work = move || {
            // One thread a child, whatever the number of jobs: then its sums are the same for any of them.
            tch::set_num_threads(1);
            let (began, used) = (Since::now(), std::cell::Cell::new(Used::default()));
            let child = Child { task: &*task, training: &training, part: Part::Train, streams, device };
            let go_on = |samples| {
                used.update(|used| used.and_a_step(samples));
                // A coordinator that is gone has set `stop`.
                let _ = sender.send(Message::Step(samples));
                *reason_of(&stop)
            };
            let end = catch_unwind(AssertUnwindSafe(|| child.train_and_score(&trial.architecture, Some(&keep), go_on)));
            let used = Used { cpu_seconds: thread_seconds(), ..used.get() };
            let _ = sender.send(Message::End(trial.id, end, used, began.seconds()));
        };
        self.threads.push(std::thread::Builder::new().spawn(work).map_err(|e| Error::thread(&e))?);
        Ok(())
    }

    fn hear(&mut self) -> Result<Option<News>> {
        if let Some(news) = self.news.pop_front() {
            return Ok(Some(news));
        }
        match self.receiver.recv_timeout(PATIENCE) {
            Ok(Message::Step(samples)) => self.steps(samples).map(Some),
            Ok(Message::End(id, end, used, seconds)) => self.end(id, end, &used, seconds).map(Some),
            // This struct holds a sender, so nobody has hung up.
            Err(_) => Ok(None),
        }
    }

    fn stop(&mut self, reason: EndReason) {
        reason_of(&self.stop).get_or_insert(reason);
    }

    fn forget(&mut self, id: u64) {
        self.files.forget(self.phase, id, &[]);
    }

    fn working(&self) -> u64 {
        self.places.working()
    }
}

/// Whatever went wrong, no child works on.
impl Drop for Local {
    fn drop(&mut self) {
        self.stop(EndReason::Interrupted);
        for thread in self.threads.drain(..) {
            // A panic in a worker has been told as a message.
            let _ = thread.join();
        }
    }
}
