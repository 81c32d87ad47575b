//! What becomes of the tasks: outcomes that appear, tasks that are no more.

use super::super::super::cluster::{Ended, TaskId, cancel, ended_without, no_answer, snapshot, trial_name};
use super::super::super::keep::saved_step;
use super::super::{News, Outcome};
use super::{Flight, Slurm, opening_of};
use crate::error::{Result, input, resource};
use crate::record::{EndReason, TaskRecord};
use std::collections::BTreeMap;
use std::time::Instant;

/// Tasks of one trial that may end without an outcome, and without having come further, before it counts as failed.
const TRIES: u32 = 3;
/// Seconds after which the outcome of a task that ended well is missed, and after which it counts as lost; a shared file system may show files late.
const LATE: [f64; 2] = [10.0, 90.0];
/// Seconds for which the outcome of a task that ended otherwise is waited for.
const GRACE: f64 = 3.0;
/// Of a trial whose array was recorded, by a process that did not live to send it.
const NEVER_SENT: &str = "was never sent";

impl Slurm {
    /// Takes the outcomes that are there.
    pub fn scan(&mut self) -> Result<()> {
        self.scanned = Some(Instant::now());
        for (phase, id, path) in self.files.list_outcomes() {
            let known = self.outcomes.get(&id).is_some_and(|paths| paths.contains(&path));
            let over = phase != self.phase || self.committed.contains(&id);
            if known || (!over && !self.under_way.contains_key(&id) && !self.outcomes.contains_key(&id)) {
                continue;
            }
            let Some(file) = self.files.read_outcome(&path) else { continue };
            self.begun.extend(file.account.as_ref().and_then(task_of));
            self.opening = file.account.as_ref().map_or(self.opening, opening_of);
            self.news.extend(file.account.clone().map(News::Account));
            if over {
                // The same trial was trained twice: both are charged, the first counts.
                self.files.forget(phase, id, &[path]);
                continue;
            }
            self.outcomes.entry(id).or_default().push(path);
            match (self.under_way.remove(&id), file.ended) {
                (None, _) => (),
                (Some(_), Ended::Refused(why)) => {
                    return Err(input!(&self.run, "a task refuses to train {}: {why}", trial_name(phase, id)));
                }
                (Some(flight), Ended::Outcome(outcome)) => self.end(id, &flight, outcome, file.account.as_ref()),
            }
        }
        Ok(())
    }

    fn end(&mut self, id: u64, flight: &Flight, outcome: Outcome, account: Option<&TaskRecord>) {
        self.gathered.retain(|other| *other != id);
        let seconds = account.map_or(0.0, |account| account.account.device_seconds);
        // Another task may be at it, where this one was believed to be lost.
        let twin = flight.task().filter(|(job, index)| account.is_some_and(|a| !a.task.starts_with(&format!("{job}_{index}."))));
        if let Some(task) = twin {
            let _ = cancel(&[task], false);
        }
        self.news.push_back(News::End { id, outcome, seconds });
    }

    /// Asks for the states of all tasks, and takes note of those that are no more.
    pub fn look(&mut self) -> Result<()> {
        self.looked = Some(Instant::now());
        let queue = match snapshot() {
            Ok(queue) => std::mem::replace(&mut self.queue, queue),
            Err(said) => {
                if !std::mem::replace(&mut self.silent, true) {
                    self.notice(no_answer(&said));
                }
                return Ok(());
            }
        };
        if std::mem::take(&mut self.silent) {
            self.notice("Slurm's controller answers again".into());
        }
        // What the tasks told before they ended comes first.
        self.scan()?;
        self.obey();
        self.find_numbers();
        for id in self.under_way.keys().copied().collect::<Vec<_>>() {
            let Some(task) = self.under_way[&id].task() else {
                // It was recorded and never sent, or a signal keeps it from being sent.
                if self.under_way[&id].array.is_some() {
                    self.lost(id, NEVER_SENT)?;
                }
                continue;
            };
            let state = self.queue.get(&task).cloned();
            let stuck = state.as_ref().is_some_and(|s| s.is_stuck());
            if stuck {
                let _ = cancel(&[task], false);
            }
            if state.as_ref().is_some_and(|s| s.is_alive()) && !stuck {
                self.under_way.get_mut(&id).expect("it is there").gone = None;
                let worked = queue.get(&task).is_some_and(|s| s.is_running());
                if worked && state.is_some_and(|s| !s.is_running()) {
                    // It was put back into the queue; what it has used is charged now.
                    self.news.extend(self.files.accounts(self.phase, id).into_iter().map(News::Account));
                }
                continue;
            }
            self.miss(id, task, &state.map_or_else(|| "UNKNOWN".into(), |s| s.state))?;
        }
        Ok(())
    }

    /// Numbers of arrays that an earlier attempt recorded, and whose answer it did not live to see.
    fn find_numbers(&mut self) {
        let names: BTreeMap<String, u64> = self.queue.iter().map(|((job, _), task)| (task.name.clone(), *job)).collect();
        for flight in self.under_way.values_mut().filter(|f| f.job.is_none()) {
            let Some((name, _)) = &flight.array else { continue };
            flight.job = names.get(name).copied();
            if let Some(past) = self.past.iter_mut().find(|s| s.name == *name && s.job.is_none() && flight.job.is_some()) {
                past.job = flight.job;
                self.news.push_back(News::Sent(past.clone()));
            }
        }
    }

    /// A task is no more and its outcome is not here: for how long is that so?
    fn miss(&mut self, id: u64, task: TaskId, state: &str) -> Result<()> {
        let flight = self.under_way.get_mut(&id).expect("it is there");
        let since = flight.gone.get_or_insert_with(Instant::now).elapsed().as_secs_f64();
        let ended_well = state == "COMPLETED";
        let wait = if self.signals > 0 || self.stopping.is_some() {
            0.0
        } else if ended_well {
            LATE[1]
        } else {
            GRACE
        };
        if ended_well && since >= LATE[0] && !std::mem::replace(&mut flight.missed, true) {
            let (job, index) = task;
            self.notice(format!(
                "trial {id}: task {job}_{index} ended well and its outcome is not to be seen yet; shared file systems may show files late, so it is waited for"
            ));
        }
        if since >= wait { self.lost(id, state) } else { Ok(()) }
    }

    /// A task ended without an outcome: it is charged, and the trial is sent again or is at its end.
    fn lost(&mut self, id: u64, state: &str) -> Result<()> {
        let mut flight = self.under_way.remove(&id).expect("it is there");
        let accounts = self.files.accounts(self.phase, id);
        self.begun.extend(accounts.iter().filter_map(task_of));
        // A task of several trials may have ended in an earlier one.
        let began = !accounts.is_empty();
        let innocent = !began && flight.task().is_some_and(|task| self.begun.contains(&task));
        self.news.extend(accounts.into_iter().map(News::Account));
        if self.signals > 0 {
            return Ok(());
        }
        if let Some(reason) = self.stopping {
            self.news.push_back(News::End { id, outcome: Outcome::nothing(reason), seconds: 0.0 });
            return Ok(());
        }
        let what = self.describe(&flight, state);
        if state == "OUT_OF_MEMORY" {
            let remark = Some(format!("{what}; ask for more memory with --sbatch, or make it smaller with --set"));
            self.news.push_back(News::End { id, outcome: Outcome { remark, ..Outcome::nothing(EndReason::OutOfMemory) }, seconds: 0.0 });
            return Ok(());
        }
        let steps = saved_step(&self.files.trial(self.phase, id));
        let further = steps > flight.steps || innocent || state == NEVER_SENT;
        flight.tries = if further { 0 } else { flight.tries + 1 };
        if flight.tries >= TRIES && !began {
            return Err(resource!("{TRIES} tasks of trial {id} ended before they began to train: {what}"));
        }
        if flight.tries >= TRIES {
            let remark = Some(format!("{TRIES} tasks ended without an outcome and without coming further: {what}"));
            self.news.push_back(News::End { id, outcome: Outcome { remark, ..Outcome::nothing(EndReason::Failed) }, seconds: 0.0 });
            return Ok(());
        }
        self.notice(format!("trial {id}: {what}; it is sent again"));
        self.gathered.push_back(id);
        self.under_way.insert(id, Flight { tries: flight.tries, steps, ..Flight::default() });
        Ok(())
    }

    fn describe(&self, flight: &Flight, state: &str) -> String {
        let Some(task) = flight.task() else { return format!("its task {state}") };
        let name = flight.array.as_ref().map_or("", |(name, _)| name);
        ended_without("an outcome", (&self.files.queue(), name), task, self.queue.get(&task))
    }
}

/// The task in whose account this is.
fn task_of(account: &TaskRecord) -> Option<TaskId> {
    let (task, _) = account.task.split_once('.')?;
    let (job, index) = task.split_once('_')?;
    Some((job.parse().ok()?, index.parse().ok()?))
}
