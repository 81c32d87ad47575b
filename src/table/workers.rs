//! Virtual workers: a search whose trainings take their simulated seconds side by side. It tells how well so many workers are used, and what the search finds, where outcomes are
//! committed in the order of the trials, as the lab does it, or in the order of their arrival.

use super::grid::Point;
use super::query::{Answer, Queries};
use super::units::SimulatedSeconds;
use crate::error::{Result, usage};
use crate::proposals::{Known, Proposals};
use crate::seed::Streams;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// When an outcome counts as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// In the order of the trials; so many may be drawn and not committed for each worker.
    Ordered {
        /// Trials on their way for each worker, at least 1.
        window: u64,
    },
    /// When it arrives, whichever that is: the history depends on who is faster.
    Arrival,
}

/// How so many workers did.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// Trials, in the order in which they were drawn.
    pub trials: Vec<Answer>,
    /// Share of the workers' time in which they trained, until the last trial was begun. What follows, when there is nothing more to begin, is no waste of the order.
    pub utilisation: f64,
    /// Until the last training ended.
    pub seconds: SimulatedSeconds,
}

/// A training that ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    at: f64,
    id: u64,
}

impl Eq for End {}

/// The earliest first; of those that end together, the one drawn first.
impl Ord for End {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.id.cmp(&self.id))
    }
}

impl PartialOrd for End {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Runs `trials` trainings with so many workers.
///
/// # Errors
/// [`crate::error::Error::Usage`] for no workers or a table without times, and where the search proposes what the table does not have.
pub fn work(
    queries: &Queries,
    search: &mut dyn Proposals<Point>,
    (workers, commit): (u64, Commit),
    trials: u64,
    streams: Streams,
) -> Result<Shift> {
    if workers == 0 || commit == (Commit::Ordered { window: 0 }) {
        return Err(usage!("at least one worker and a window of one trial a worker are needed"));
    }
    let mut day = Day {
        workers,
        commit,
        now: 0.0,
        at_work: BinaryHeap::new(),
        drawn: BTreeMap::new(),
        ended: BTreeMap::new(),
        known: Vec::new(),
        trials: Vec::new(),
        busy: Vec::new(),
    };
    let mut last_begin = 0.0;
    loop {
        while (day.trials.len() as u64) < trials && day.may_begin(search) {
            day.begin(queries, search, streams)?;
            last_begin = day.now;
        }
        if !day.end_next(search) {
            break;
        }
    }
    let until: f64 = day.busy.iter().map(|(begin, end)| end.min(last_begin) - begin.min(last_begin)).sum();
    let utilisation = if last_begin > 0.0 { until / (last_begin * workers as f64) } else { 1.0 };
    Ok(Shift { trials: day.trials, utilisation, seconds: SimulatedSeconds::new(day.now) })
}

/// What goes on.
struct Day {
    workers: u64,
    commit: Commit,
    now: f64,
    at_work: BinaryHeap<End>,
    /// Under way.
    drawn: BTreeMap<u64, Known<Point>>,
    /// Ended and not committed.
    ended: BTreeMap<u64, Known<Point>>,
    known: Vec<Known<Point>>,
    trials: Vec<Answer>,
    /// When each training began and ended.
    busy: Vec<(f64, f64)>,
}

impl Day {
    fn may_begin(&self, search: &dyn Proposals<Point>) -> bool {
        let (id, known) = (self.trials.len() as u64, self.known.len() as u64);
        let free = (self.at_work.len() as u64) < self.workers;
        let within = match self.commit {
            Commit::Ordered { window } => id - known < window.saturating_mul(self.workers),
            Commit::Arrival => true,
        };
        free && within && search.needs(id) <= known
    }

    fn begin(&mut self, queries: &Queries, search: &mut dyn Proposals<Point>, streams: Streams) -> Result<()> {
        let id = self.trials.len() as u64;
        let seen = match self.commit {
            Commit::Ordered { .. } => search.needs(id) as usize,
            Commit::Arrival => self.known.len(),
        };
        let point = search.draw(id, 0, &self.known[..seen], streams).architecture;
        let answer =
            queries.answer(point, streams, id).ok_or_else(|| usage!("the search proposed {point:?}, which the table does not have"))?;
        let seconds = answer.seconds.ok_or_else(|| usage!("the table has no times, so that nobody can be at work"))?.number();
        self.at_work.push(End { at: self.now + seconds, id });
        self.busy.push((self.now, self.now + seconds));
        self.drawn.insert(id, Known { architecture: point, score: answer.score.map(|s| s / 100.0) });
        self.trials.push(answer);
        Ok(())
    }

    /// The next training ends, and what can be committed is. False if none is under way.
    fn end_next(&mut self, search: &mut dyn Proposals<Point>) -> bool {
        let Some(End { at, id }) = self.at_work.pop() else { return false };
        self.now = at;
        let known = self.drawn.remove(&id).expect("it was under way");
        if self.commit == Commit::Arrival {
            self.known.push(known);
            search.told(&self.known);
            return true;
        }
        self.ended.insert(id, known);
        while let Some(known) = self.ended.remove(&(self.known.len() as u64)) {
            self.known.push(known);
            search.told(&self.known);
        }
        true
    }
}
