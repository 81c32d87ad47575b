//! Workers for trials: threads that train children, and the one thread that draws, charges, limits and commits.

use super::child::{Child, ChildEnd};
use super::lab::Lab;
use super::memory::exhaustion;
use super::method::{ChildTraining, Search};
use super::session::Flow;
use super::trials::{Duplicates, Evaluated, Proposals, Trial};
use crate::error::{Error, Result};
use crate::record::{EndReason, Phase, TrialRecord};
use crate::seed::Streams;
use crate::task::{Part, Task};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread::Scope;
use std::time::{Duration, Instant};
use tch::Device;

/// Trials drawn and not committed, for each job.
const WINDOW: u64 = 2;
/// How often limits and signals are looked at while no child reports a step.
const PATIENCE: Duration = Duration::from_millis(50);

/// See [`Lab::stream`].
pub(super) fn run(
    lab: &mut Lab,
    search: &dyn Search,
    ids: std::ops::Range<u64>,
    training: &ChildTraining,
    duplicates: &mut Duplicates,
    proposals: &mut dyn Proposals,
) -> Result<Evaluated> {
    let (sender, receiver) = channel();
    let phase = lab.session.ledger().phase();
    let stop = Stop::default();
    let workers = Workers { search, training, phase, streams: lab.streams, device: lab.device, stop: &stop };
    let first = ids.start;
    std::thread::scope(|scope| {
        let _stopper = StopAtEnd(&stop);
        let mut state = State {
            ids,
            first,
            phase,
            pending: BTreeMap::new(),
            running: 0,
            outcomes: Vec::new(),
            ended: None,
            alone: false,
            receiver,
            workers,
        };
        let result = state.run(lab, duplicates, proposals, &mut |task, trial| workers.start(scope, task, trial, sender.clone()));
        result.map(|()| (state.outcomes, state.ended))
    })
}

/// A trial on its way.
enum Pending {
    /// An earlier attempt committed it.
    Recorded(TrialRecord),
    /// It takes the outcome of an earlier trial.
    Reused(Trial, u64),
    /// A worker has it, since then.
    Running(Trial, Instant),
    /// Memory ran out while others ran beside it; it is to run again, alone.
    Again(Trial),
    /// A worker is done with it; the seconds that the worker was busy.
    Done(Trial, ChildEnd, f64),
}

/// What a worker tells.
enum Message {
    /// A step over so many images was done; `None` for a batch that was scored.
    Step(Option<u64>),
    /// The trial ended, or panicked.
    End(u64, std::thread::Result<Result<ChildEnd>>, f64),
}

/// Why all workers are to end, if they are.
#[derive(Default)]
struct Stop(Mutex<Option<EndReason>>);

impl Stop {
    fn reason(&self) -> MutexGuard<'_, Option<EndReason>> {
        self.0.lock().expect("no holder panics")
    }
}

/// Whatever went wrong, no child works on.
struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.reason().get_or_insert(EndReason::Interrupted);
    }
}

/// What every worker is given.
#[derive(Clone, Copy)]
struct Workers<'a> {
    search: &'a dyn Search,
    training: &'a ChildTraining,
    phase: Phase,
    streams: Streams,
    device: Device,
    stop: &'a Stop,
}

impl<'a> Workers<'a> {
    fn start<'s>(self, scope: &'s Scope<'s, '_>, task: Box<dyn Task>, trial: Trial, sender: Sender<Message>)
    where
        'a: 's,
    {
        scope.spawn(move || {
            // One thread a child, whatever the number of jobs: then its sums are the same for any of them.
            tch::set_num_threads(1);
            let began = Instant::now();
            let streams = self.streams.child(self.phase.name(), trial.id);
            let child =
                Child { search: self.search, task: &*task, training: self.training, part: Part::Train, streams, device: self.device };
            let go_on = |samples| {
                // A coordinator that is gone has set `stop`.
                let _ = sender.send(Message::Step(samples));
                *self.stop.reason()
            };
            let end = catch_unwind(AssertUnwindSafe(|| child.train_and_score(&trial.architecture, go_on)));
            let _ = sender.send(Message::End(trial.id, end, began.elapsed().as_secs_f64()));
        });
    }
}

struct State<'a> {
    /// Trials not drawn yet.
    ids: std::ops::Range<u64>,
    first: u64,
    phase: Phase,
    pending: BTreeMap<u64, Pending>,
    running: u64,
    outcomes: Vec<TrialRecord>,
    ended: Option<EndReason>,
    /// One trial runs, and nothing may run beside it.
    alone: bool,
    receiver: Receiver<Message>,
    workers: Workers<'a>,
}

type Launch<'a> = &'a mut dyn FnMut(Box<dyn Task>, Trial);

impl State<'_> {
    fn run(&mut self, lab: &mut Lab, duplicates: &mut Duplicates, proposals: &mut dyn Proposals, launch: Launch) -> Result<()> {
        loop {
            self.fill(lab, duplicates, proposals, launch)?;
            if self.commit(lab, proposals)? {
                let signal = lab.session.check_signal();
                self.heed(lab, signal)?;
                continue;
            }
            if self.running == 0 {
                return Ok(());
            }
            self.wait(lab)?;
        }
    }

    /// Number of the next trial to commit.
    fn next_commit(&self) -> u64 {
        self.first + self.outcomes.len() as u64
    }

    /// Draws trials as far as workers, window, needs and limits permit.
    fn fill(&mut self, lab: &mut Lab, duplicates: &mut Duplicates, proposals: &mut dyn Proposals, launch: Launch) -> Result<()> {
        if self.rerun(lab, launch)? {
            return Ok(());
        }
        let jobs = lab.session.jobs();
        while let Some(id) = self.ids.clone().next() {
            let recorded = lab.session.committed(self.phase, id).cloned();
            let needs = proposals.needs(id);
            let full = self.running >= jobs || id - self.next_commit() >= WINDOW * jobs || needs > self.next_commit();
            if full || (recorded.is_none() && (self.ended.is_some() || !self.permitted(lab, id)?)) {
                return Ok(());
            }
            let known = &self.outcomes[..needs.saturating_sub(self.first) as usize];
            let Some((trial, earlier)) = duplicates.draw(id, known, proposals, lab.streams) else {
                self.ended = Some(EndReason::SpaceExhausted);
                return Ok(());
            };
            if let Some(record) = recorded {
                check_same(&record, &trial, lab)?;
                self.pending.insert(id, Pending::Recorded(record));
            } else if let Some(earlier) = earlier {
                self.pending.insert(id, Pending::Reused(trial, earlier));
            } else {
                self.start(lab, trial, launch);
            }
            self.ids.start += 1;
        }
        Ok(())
    }

    /// Trials that ran out of memory beside others come before new ones, one at a time. True if nothing else may start.
    fn rerun(&mut self, lab: &mut Lab, launch: Launch) -> Result<bool> {
        let again = self.pending.iter().find_map(|(id, p)| matches!(p, Pending::Again(_)).then_some(*id));
        if self.running > 0 {
            return Ok(self.alone || again.is_some());
        }
        self.alone = false;
        let Some(id) = again else { return Ok(false) };
        let permitted = self.permitted(lab, id)?;
        if let Some(Pending::Again(trial)) = self.pending.remove(&id) {
            if permitted {
                self.alone = true;
                self.start(lab, trial, launch);
            } else {
                let end = self.ended.unwrap_or(EndReason::OutOfMemory);
                self.pending.insert(id, Pending::Done(trial, ChildEnd::nothing(end), 0.0));
            }
        }
        Ok(true)
    }

    fn start(&mut self, lab: &Lab, trial: Trial, launch: Launch) {
        self.pending.insert(trial.id, Pending::Running(trial.clone(), Instant::now()));
        self.running += 1;
        launch(lab.task.share(), trial);
    }

    /// Whether the limits permit a new trial now; a limit that ends them all is noted.
    fn permitted(&mut self, lab: &mut Lab, id: u64) -> Result<bool> {
        if lab.session.max_trials().is_some_and(|limit| self.phase == Phase::Search && id >= limit) {
            self.ended = Some(EndReason::TrialLimit);
            return Ok(false);
        }
        if self.running == 0 {
            // Trials that took too much memory say nothing about the next one.
            self.workers.stop.reason().take();
            lab.session.ledger().reset_peaks();
        } else if self.workers.stop.reason().is_some() {
            return Ok(false);
        }
        match lab.session.flow()? {
            Flow::Continue => Ok(true),
            Flow::Stop(EndReason::OutOfMemory) if self.running > 0 => Ok(false),
            Flow::Stop(reason) => {
                self.ended = Some(reason);
                Ok(false)
            }
        }
    }

    /// Commits the next trial if its outcome is known.
    fn commit(&mut self, lab: &mut Lab, proposals: &mut dyn Proposals) -> Result<bool> {
        let id = self.next_commit();
        if matches!(self.pending.get(&id), None | Some(Pending::Running(..) | Pending::Again(_))) {
            return Ok(false);
        }
        let record = match self.pending.remove(&id).expect("it was just seen") {
            Pending::Recorded(record) => record,
            Pending::Reused(trial, earlier) => {
                let first = lab.session.committed(self.phase, earlier).expect("an earlier trial is committed earlier").clone();
                let record = TrialRecord { architecture: trial.architecture.clone(), reused: Some(earlier), device_seconds: 0.0, ..first };
                self.record(lab, &trial, record)?
            }
            Pending::Done(trial, child, seconds) => {
                let record = record_of(&trial, self.phase, &child, seconds);
                self.record(lab, &trial, record)?
            }
            Pending::Running(..) | Pending::Again(_) => unreachable!("it is not done"),
        };
        if record.end == EndReason::BudgetReached {
            self.ended.get_or_insert(EndReason::BudgetReached);
        }
        self.outcomes.push(record);
        proposals.committed(&self.outcomes, lab)?;
        Ok(true)
    }

    fn record(&self, lab: &mut Lab, trial: &Trial, record: TrialRecord) -> Result<TrialRecord> {
        let spent_seconds = lab.session.ledger().spent();
        let (parent, origin) = (trial.parent, trial.origin.clone());
        let record = TrialRecord { id: trial.id, parent, origin, spent_seconds, ..record };
        lab.session.commit(record.clone())?;
        Ok(record)
    }

    /// Hears one worker, or looks at limits and signals after a while.
    fn wait(&mut self, lab: &mut Lab) -> Result<()> {
        match self.receiver.recv_timeout(PATIENCE) {
            Ok(Message::Step(samples)) => self.look(lab, samples),
            Ok(Message::End(id, end, seconds)) => self.ended(lab, id, end, seconds),
            Err(RecvTimeoutError::Timeout) => self.look(lab, None),
            Err(RecvTimeoutError::Disconnected) => unreachable!("this thread holds a sender"),
        }
    }

    fn look(&mut self, lab: &mut Lab, samples: Option<u64>) -> Result<()> {
        let flow = lab.session.short_step(samples);
        if let Flow::Stop(reason) = self.heed(lab, flow)? {
            self.workers.stop.reason().get_or_insert(reason);
            if reason == EndReason::BudgetReached {
                self.ended.get_or_insert(reason);
            }
        }
        Ok(())
    }

    /// Before a signal ends the attempt, the trials that it cuts off are recorded.
    fn heed<T>(&mut self, lab: &mut Lab, result: Result<T>) -> Result<T> {
        if let Err(Error::Interrupted { .. }) = result {
            self.abandon(lab);
        }
        result
    }

    /// Records the trials that a signal cut off; they will be run again.
    fn abandon(&mut self, lab: &mut Lab) {
        for pending in self.pending.values() {
            let cut_off = match pending {
                Pending::Running(trial, since) => Some((trial, since.elapsed().as_secs_f64())),
                Pending::Done(trial, _, seconds) => Some((trial, *seconds)),
                _ => None,
            };
            if let Some((trial, seconds)) = cut_off {
                let spent_seconds = lab.session.ledger().spent();
                let record = record_of(trial, self.phase, &ChildEnd::nothing(EndReason::Interrupted), seconds);
                let record = TrialRecord { spent_seconds, ..record };
                // A courtesy: a full disk must not hide that a signal came.
                let _ = lab.session.note_interrupted(record);
            }
        }
    }

    fn ended(&mut self, lab: &mut Lab, id: u64, end: std::thread::Result<Result<ChildEnd>>, seconds: f64) -> Result<()> {
        let child = match end {
            Ok(child) => child?,
            Err(payload) => {
                let (reason, message) = misfortune(payload);
                lab.session.notice(&format!("trial {id}: {message}"))?;
                ChildEnd::nothing(reason)
            }
        };
        let beside_others = self.running > 1 || self.pending.values().any(|p| matches!(p, Pending::Again(_)));
        self.running -= 1;
        if let Some(Pending::Running(trial, _)) = self.pending.remove(&id) {
            let next = if child.end == EndReason::OutOfMemory && beside_others && !self.alone {
                Pending::Again(trial)
            } else {
                Pending::Done(trial, child, seconds)
            };
            self.pending.insert(id, next);
        }
        Ok(())
    }
}

fn check_same(record: &TrialRecord, trial: &Trial, lab: &Lab) -> Result<()> {
    if record.architecture == trial.architecture {
        return Ok(());
    }
    let what =
        format!("trial {} of the record is another architecture than this search draws; it was written by another version", trial.id);
    Err(Error::input(lab.session.run().path(), what))
}

fn record_of(trial: &Trial, phase: Phase, child: &ChildEnd, device_seconds: f64) -> TrialRecord {
    TrialRecord {
        id: trial.id,
        phase,
        architecture: trial.architecture.clone(),
        hash: trial.architecture.hash(),
        parent: trial.parent,
        origin: trial.origin.clone(),
        reused: None,
        end: child.end,
        score: child.score.as_ref().map(|s| s.value),
        proxies: trial.proxies.iter().chain(&child.early).map(|(name, score)| (name.clone(), *score)).collect(),
        loss: child.loss.filter(|l| l.is_finite()),
        parameters: child.parameters,
        device_seconds,
        spent_seconds: 0.0,
    }
}

/// A panic of libtorch is the end of a trial; any other is a bug of ours and goes on.
fn misfortune(payload: Box<dyn Any + Send>) -> (EndReason, String) {
    if let Some(message) = exhaustion(&*payload) {
        return (EndReason::OutOfMemory, message);
    }
    match payload.downcast_ref::<String>() {
        Some(text) if text.contains("Torch(") => (EndReason::Failed, format!("libtorch failed: {text}")),
        _ => resume_unwind(payload),
    }
}
