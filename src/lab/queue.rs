//! The queue of a search by trials: the one place that draws, charges, limits and commits. Trials are committed in the order of their numbers, whoever is faster.

use super::evaluate::{Evaluator, News, Outcome};
use super::lab::Lab;
use super::trials::{Duplicates, Evaluated, Trial, TrialPlan, report};
use crate::budget::Since;
use crate::error::{Error, Result, input};
use crate::proposals::{Known, Proposals};
use crate::record::{EndReason, Phase, TrialRecord};
use crate::space::Architecture;
use std::collections::BTreeMap;

/// Trials drawn and not committed, for each that may be under way.
const WINDOW: u64 = 2;

/// A trial on its way.
enum Pending {
    /// An earlier attempt committed it.
    Recorded(TrialRecord),
    /// It takes the outcome of an earlier trial.
    Reused(Trial, u64),
    /// It is under way, since then.
    Running(Trial, Since),
    /// Memory ran out while others were under way; it is to be tried again, alone.
    Again(Trial),
    /// It ended after so many seconds.
    Done(Trial, Outcome, f64),
}

/// Trials of one phase.
pub(super) struct Queue<'a, 'b> {
    lab: &'a mut Lab<'b>,
    plan: &'a TrialPlan,
    proposals: &'a mut dyn Proposals<Architecture>,
    evaluator: &'a mut dyn Evaluator,
    duplicates: Duplicates,
    phase: Phase,
    /// Number of the next trial to draw.
    next: u64,
    pending: BTreeMap<u64, Pending>,
    running: u64,
    outcomes: Vec<TrialRecord>,
    /// The same, as far as the search sees it.
    known: Vec<Known<Architecture>>,
    /// Why no more are drawn.
    end: Option<EndReason>,
    /// Why those under way were asked to end.
    stopping: Option<EndReason>,
    /// One trial is under way, and nothing may be beside it.
    alone: bool,
}

impl<'a, 'b> Queue<'a, 'b> {
    /// The trials of `plan` in the present phase, drawn by `proposals` and trained by `evaluator`.
    pub fn new(
        lab: &'a mut Lab<'b>,
        plan: &'a TrialPlan,
        proposals: &'a mut dyn Proposals<Architecture>,
        evaluator: &'a mut dyn Evaluator,
    ) -> Self {
        Self {
            phase: lab.session.ledger.phase(),
            duplicates: Duplicates::new(plan.duplicates),
            lab,
            plan,
            proposals,
            evaluator,
            next: 0,
            pending: BTreeMap::new(),
            running: 0,
            outcomes: Vec::new(),
            known: Vec::new(),
            end: None,
            stopping: None,
            alone: false,
        }
    }

    /// Until all are committed or a limit is reached.
    pub fn run(mut self) -> Result<Evaluated> {
        loop {
            self.draw_trials()?;
            self.lab.session.ledger.set_working(self.evaluator.working());
            if self.commit_next()? {
                self.check_signals()?;
            } else if self.running == 0 && self.lab.session.signals() == 0 {
                self.lab.session.ledger.set_under_way(0.0);
                return Ok((self.outcomes, self.end));
            } else {
                // After a signal none are drawn, so that those which are committed may not be all: hearing ends in an error then.
                self.listen()?;
            }
        }
    }

    /// An error after a signal, unless what is under way is still waited for.
    fn check_signals(&mut self) -> Result<()> {
        let count = self.lab.session.signals();
        if count == 0 || self.evaluator.interrupted(count) {
            return Ok(());
        }
        let signal = self.lab.session.check_signal();
        self.record_cut_off(signal)
    }

    /// Number of the next trial to commit.
    fn next_commit(&self) -> u64 {
        self.outcomes.len() as u64
    }

    /// Draws trials as far as workers, window, needs and limits permit.
    fn draw_trials(&mut self) -> Result<()> {
        if self.lab.session.signals() > 0 || self.try_again_alone()? {
            return Ok(());
        }
        let capacity = self.evaluator.capacity();
        while self.next < self.plan.trials {
            let id = self.next;
            let recorded = self.lab.session.recorder.trials.get(&(self.phase, id)).cloned();
            let needs = self.proposals.needs(id);
            let full = self.running >= capacity || id - self.next_commit() >= WINDOW * capacity || needs > self.next_commit();
            if full || (recorded.is_none() && (self.end.is_some() || !self.is_permitted(id)?)) {
                return Ok(());
            }
            let known = &self.known[..needs as usize];
            let Some((trial, earlier)) = self.duplicates.draw(id, known, self.proposals, self.lab.streams) else {
                self.end = Some(EndReason::SpaceExhausted);
                return Ok(());
            };
            if let Some(record) = recorded {
                self.check_same(&record, &trial)?;
                self.pending.insert(id, Pending::Recorded(record));
            } else if let Some(earlier) = earlier {
                self.pending.insert(id, Pending::Reused(trial, earlier));
            } else {
                self.begin(trial)?;
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Trials that ran out of memory beside others come before new ones, one at a time. True if nothing else may begin.
    fn try_again_alone(&mut self) -> Result<bool> {
        let again = self.pending.iter().find_map(|(id, p)| matches!(p, Pending::Again(_)).then_some(*id));
        if self.running > 0 {
            return Ok(self.alone || again.is_some());
        }
        self.alone = false;
        let Some(id) = again else { return Ok(false) };
        let permitted = self.is_permitted(id)?;
        if let Some(Pending::Again(trial)) = self.pending.remove(&id) {
            if permitted {
                self.alone = true;
                self.begin(trial)?;
            } else {
                let outcome = Outcome::nothing(self.end.unwrap_or(EndReason::OutOfMemory));
                self.pending.insert(id, Pending::Done(trial, outcome, 0.0));
            }
        }
        Ok(true)
    }

    fn begin(&mut self, trial: Trial) -> Result<()> {
        self.evaluator.begin(&trial)?;
        self.running += 1;
        self.pending.insert(trial.id, Pending::Running(trial, Since::now()));
        Ok(())
    }

    /// Whether the limits permit a new trial now; a limit that ends them all is noted.
    fn is_permitted(&mut self, id: u64) -> Result<bool> {
        if self.lab.session.limits.max_trials.is_some_and(|limit| self.phase == Phase::Search && id >= limit) {
            self.end = Some(EndReason::TrialLimit);
            return Ok(false);
        }
        if self.running == 0 {
            // Trials that took too much memory say nothing about the next one.
            self.stopping = None;
            self.lab.session.ledger.reset_peaks();
        } else if self.stopping.is_some() {
            return Ok(false);
        }
        self.lab.session.ledger.set_under_way(self.evaluator.under_way_seconds());
        match self.lab.session.limit()? {
            None => Ok(true),
            Some(EndReason::OutOfMemory) if self.running > 0 => Ok(false),
            Some(reason) => {
                self.end = Some(reason);
                Ok(false)
            }
        }
    }

    /// Commits the next trial if its outcome is known.
    fn commit_next(&mut self) -> Result<bool> {
        let id = self.next_commit();
        let record = match self.pending.remove(&id) {
            None => return Ok(false),
            Some(waiting @ (Pending::Running(..) | Pending::Again(_))) => {
                self.pending.insert(id, waiting);
                return Ok(false);
            }
            Some(Pending::Recorded(record)) => record,
            Some(Pending::Reused(trial, earlier)) => {
                let Trial { id, architecture, parent, origin, .. } = trial;
                let first = self.outcomes[earlier as usize].clone();
                let record = TrialRecord { id, architecture, parent, origin, reused: Some(earlier), device_seconds: 0.0, ..first };
                self.lab.session.commit(record)?
            }
            Some(Pending::Done(trial, outcome, seconds)) => {
                let record = self.record_of(&trial, &outcome, seconds);
                self.lab.session.commit(record)?
            }
        };
        // Whatever was spent on it is charged before it is forgotten.
        for account in self.evaluator.leftovers(id) {
            self.lab.session.charge(account)?;
        }
        self.evaluator.forget(id);
        if record.end == EndReason::BudgetReached {
            self.end.get_or_insert(EndReason::BudgetReached);
        }
        self.known.push(Known { architecture: record.architecture.clone(), score: record.score });
        self.outcomes.push(record);
        let figures = self.proposals.told(&self.known);
        report(self.lab, &self.outcomes, self.plan.trials, figures)?;
        Ok(true)
    }

    /// What is recorded of a trial; the session adds what has been spent until then.
    fn record_of(&self, trial: &Trial, outcome: &Outcome, device_seconds: f64) -> TrialRecord {
        TrialRecord {
            id: trial.id,
            phase: self.phase,
            architecture: trial.architecture.clone(),
            hash: trial.architecture.hash(),
            parent: trial.parent,
            origin: trial.origin.clone(),
            reused: None,
            end: outcome.end,
            score: outcome.score,
            proxies: trial.proxies.iter().chain(&outcome.early).map(|(name, score)| (name.clone(), *score)).collect(),
            loss: outcome.loss.filter(|l| l.is_finite()),
            parameters: outcome.parameters,
            device_seconds,
            spent_seconds: 0.0,
        }
    }

    /// Hears of one trial, or looks at limits and signals after a while.
    fn listen(&mut self) -> Result<()> {
        match self.evaluator.hear()? {
            Some(News::End { id, outcome, seconds }) => self.take(id, outcome, seconds),
            Some(News::Steps(steps, samples)) => self.check_limits(steps, samples),
            Some(News::Sent(submission)) => self.lab.session.keep_submission(&submission),
            Some(News::Account(account)) => self.lab.session.charge(account),
            Some(News::Notice(text)) => self.lab.notice(&text),
            None => self.check_limits(0, 0),
        }
    }

    fn check_limits(&mut self, steps: u64, samples: u64) -> Result<()> {
        self.lab.session.ledger.count_steps(steps, samples);
        self.check_signals()?;
        self.lab.session.ledger.set_under_way(self.evaluator.under_way_seconds());
        if let Some(reason) = self.lab.session.limit()? {
            self.stopping.get_or_insert(reason);
            self.evaluator.stop(reason);
            if reason == EndReason::BudgetReached {
                self.end.get_or_insert(reason);
            }
        }
        Ok(())
    }

    /// Before a signal ends the attempt, the trials that it cuts off are recorded; they will be tried again.
    fn record_cut_off<T>(&mut self, result: Result<T>) -> Result<T> {
        // On a cluster what has ended is on disk, and what was cut off has an account.
        if let (Err(Error::Interrupted { .. }), false) = (&result, self.evaluator.is_elsewhere()) {
            for pending in self.pending.values() {
                let (trial, seconds) = match pending {
                    Pending::Running(trial, since) => (trial, since.seconds()),
                    Pending::Done(trial, _, seconds) => (trial, *seconds),
                    _ => continue,
                };
                let record = self.record_of(trial, &Outcome::nothing(EndReason::Interrupted), seconds);
                // If the disk is full too, the signal is what matters.
                let _ = self.lab.session.note_interrupted(record);
            }
        }
        result
    }

    /// Takes the outcome of a trial, or keeps the trial for a second try without others beside it.
    fn take(&mut self, id: u64, outcome: Outcome, seconds: f64) -> Result<()> {
        if let Some(remark) = &outcome.remark {
            self.lab.notice(&format!("trial {id}: {remark}"))?;
        }
        let beside_others = self.running > 1 || self.pending.values().any(|p| matches!(p, Pending::Again(_)));
        self.running -= 1;
        if let Some(Pending::Running(trial, _)) = self.pending.remove(&id) {
            let shares_memory = !self.evaluator.is_elsewhere();
            let again = outcome.end == EndReason::OutOfMemory && shares_memory && beside_others && !self.alone;
            let next = if again { Pending::Again(trial) } else { Pending::Done(trial, outcome, seconds) };
            self.pending.insert(id, next);
        }
        Ok(())
    }

    fn check_same(&self, record: &TrialRecord, trial: &Trial) -> Result<()> {
        if record.architecture == trial.architecture {
            return Ok(());
        }
        let what = "of the record is another architecture than this search draws; it was written by another version";
        Err(input!(self.lab.session.recorder.run.path(), "trial {} {what}", trial.id))
    }
}
