//! Trials: children drawn one after the other, trained side by side, committed in the order of their numbers.
//!
//! What a search draws may depend only on the outcomes that it says it needs, so the history is the same for any number of jobs
//! (see `pool.rs` for how they are run).

use super::lab::{Lab, Point};
use super::method::{ChildTraining, Search};
use super::pool;
use crate::error::Result;
use crate::record::{Candidate, EndReason, TrialRecord};
use crate::seed::Streams;
use crate::space::Architecture;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Draws of one trial before the space counts as exhausted.
const REDRAWS: u64 = 100;

/// A child to train and score: a value that any worker could be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Number in the phase; it decides the child's random streams.
    pub id: u64,
    /// The child.
    pub architecture: Architecture,
    /// Trial it was mutated from.
    pub parent: Option<u64>,
    /// How it came to be.
    pub origin: String,
    /// Scores that its search predicted before any training, by name.
    #[serde(default)]
    pub proxies: BTreeMap<String, f64>,
}

/// Where trials come from.
pub trait Proposals {
    /// How many outcomes have to be known before trial `id` can be drawn. It never falls with `id`.
    fn needs(&self, id: u64) -> u64;

    /// Trial `id`, from the outcomes that it needs. `attempt` counts the draws of this trial that were refused as duplicates.
    fn draw(&mut self, id: u64, attempt: u64, history: &[TrialRecord], streams: Streams) -> Trial;

    /// Told after every commit; the new trial is the last of `history`.
    fn committed(&mut self, history: &[TrialRecord], lab: &mut Lab) -> Result<()>;
}

/// What is done with an architecture (up to isomorphism) that was tried before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Trained again with random streams of its own, and charged again.
    Train,
    /// The score of the first is taken; it costs nothing.
    Reuse,
    /// Another is drawn; where that fails a hundred times, the space counts as exhausted.
    Redraw,
}

/// The policy, and what was tried.
#[derive(Debug)]
pub struct Duplicates {
    policy: Policy,
    first: HashMap<String, u64>,
}

impl Duplicates {
    /// Nothing was tried yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, first: HashMap::new() }
    }

    /// Trial `id`, and the earlier one whose outcome it takes; `None` if the space is exhausted.
    pub(super) fn draw(
        &mut self,
        id: u64,
        known: &[TrialRecord],
        proposals: &mut dyn Proposals,
        streams: Streams,
    ) -> Option<(Trial, Option<u64>)> {
        for attempt in 0..REDRAWS {
            let trial = proposals.draw(id, attempt, known, streams);
            if self.policy == Policy::Train {
                return Some((trial, None));
            }
            let hash = trial.architecture.hash();
            match self.first.get(&hash) {
                None => {
                    self.first.insert(hash, id);
                    return Some((trial, None));
                }
                Some(earlier) if self.policy == Policy::Reuse => return Some((trial, Some(*earlier))),
                Some(_) => (),
            }
        }
        None
    }
}

/// Trials that ended, and why no more were run, if so.
pub type Evaluated = (Vec<TrialRecord>, Option<EndReason>);

/// Given trials, in their order.
struct Listed<'a>(&'a [Trial]);

impl Proposals for Listed<'_> {
    fn needs(&self, _: u64) -> u64 {
        0
    }

    fn draw(&mut self, id: u64, _: u64, _: &[TrialRecord], _: Streams) -> Trial {
        self.0[(id - self.0[0].id) as usize].clone()
    }

    fn committed(&mut self, history: &[TrialRecord], lab: &mut Lab) -> Result<()> {
        lab.show(history.len() as u64, self.0.len() as u64);
        Ok(())
    }
}

impl Lab<'_> {
    /// Trains and scores the children of `trials`, which are numbered in a row, on training and validation part; equal ones each on their own.
    ///
    /// # Errors
    /// As [`Lab::stream`].
    pub fn evaluate(&mut self, search: &dyn Search, trials: &[Trial], training: &ChildTraining) -> Result<Evaluated> {
        let first = trials.first().map_or(0, |t| t.id);
        let ids = first..first + trials.len() as u64;
        self.stream(search, ids, training, &mut Duplicates::new(Policy::Train), &mut Listed(trials))
    }

    /// Draws, trains and scores the trials `ids`. A trial that an earlier attempt committed is answered from the record. A trial that
    /// diverges, fails or runs out of memory is an outcome like any other.
    ///
    /// # Errors
    /// [`crate::error::Error::Interrupted`] after a signal, [`crate::error::Error::Input`] where the record holds other trials than are drawn.
    pub fn stream(
        &mut self,
        search: &dyn Search,
        ids: std::ops::Range<u64>,
        training: &ChildTraining,
        duplicates: &mut Duplicates,
        proposals: &mut dyn Proposals,
    ) -> Result<Evaluated> {
        pool::run(self, search, ids, training, duplicates, proposals)
    }

    /// Shows and records the curves after a trial, the last of `history`: the best score so far (`before` is that of trials before
    /// `history`), and figures of the method's own.
    pub fn report_trial(&mut self, before: Option<f64>, history: &[TrialRecord], planned: u64, extra: BTreeMap<String, f64>) -> Result<()> {
        let score = history.iter().filter_map(|t| t.score).chain(before).reduce(f64::max);
        let step = history.last().map_or(0, |t| t.id + 1);
        self.show(step, planned);
        self.progress(Point { step, score, loss: history.last().and_then(|t| t.loss), extra, ..Point::default() })
    }
}

/// The `keep` best architectures, each with its best score, the earlier trial first among equals.
pub fn best(history: &[TrialRecord], keep: usize) -> Vec<Candidate> {
    let mut scored: Vec<&TrialRecord> = history.iter().filter(|t| t.score.is_some()).collect();
    scored.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    let mut taken = HashSet::new();
    scored.retain(|t| taken.insert(t.hash.as_str()));
    scored
        .iter()
        .take(keep)
        .map(|t| Candidate {
            origin: format!("trial {}", t.id),
            architecture: t.architecture.clone(),
            search_score: t.score,
            select_score: None,
        })
        .collect()
}

/// Figures about the trials that were scored: how many, of how many different architectures, how many took an earlier score.
pub fn tally(history: &[TrialRecord]) -> BTreeMap<String, f64> {
    let scored = || history.iter().filter(|t| t.score.is_some());
    let distinct: HashSet<&str> = scored().map(|t| t.hash.as_str()).collect();
    BTreeMap::from([
        ("scored_trials".to_string(), scored().count() as f64),
        ("distinct_architectures".to_string(), distinct.len() as f64),
        ("reused_scores".to_string(), scored().filter(|t| t.reused.is_some()).count() as f64),
    ])
}
