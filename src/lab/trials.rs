//! Trials: children drawn one after the other, trained and scored side by side, committed in the order of their numbers.
//!
//! What a search draws may depend only on the outcomes that it says it needs, so the history is the same for any number of jobs, and for whoever trains the children
//! ([`super::evaluate`]). The queue that draws and commits is in `queue.rs`.

use super::conduct::Found;
use super::evaluate::{Evaluator, Local, Slurm};
use super::lab::{Lab, Point};
use super::launch::Ready;
use super::method::{ChildTraining, Engine};
use super::queue::Queue;
use super::session::SessionOptions;
use super::steps::distinct;
use super::stopwatch::Stopwatch;
use crate::error::{Result, usage};
use crate::proposals::{Known, Proposal, Proposals};
use crate::record::{Candidate, EndReason, Phase, TrialRecord};
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

impl Trial {
    /// Trial `id` of the phase, as it was proposed.
    pub fn of(id: u64, proposal: Proposal<Architecture>) -> Self {
        let Proposal { architecture, parent, origin, proxies } = proposal;
        Self { id, architecture, parent, origin: origin.into_owned(), proxies }
    }
}

/// How many trials there are and how they are trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialPlan {
    /// Trials in all.
    pub trials: u64,
    /// How each child is trained.
    pub child: ChildTraining,
    /// Where `child` stands in the settings.
    pub section: &'static str,
    /// What is done with an architecture that was tried before.
    pub duplicates: Policy,
    /// How many may be under way at a time, as the search draws them.
    pub side_by_side: u64,
}

impl TrialPlan {
    /// As many trials as `trials` says, trained as the section `search.child` of the settings says.
    pub fn of_children(trials: u64, child: &ChildTraining, duplicates: Policy, side_by_side: u64) -> Self {
        Self { trials, child: child.clone(), section: "search.child", duplicates, side_by_side }
    }

    /// The training of so many candidates.
    pub(super) fn of_selection(candidates: u64, training: &ChildTraining) -> Self {
        Self { section: "select", ..Self::of_children(candidates, training, Policy::Train, candidates) }
    }
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
pub(super) struct Duplicates {
    policy: Policy,
    first: HashMap<String, u64>,
}

impl Duplicates {
    /// Nothing was tried yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, first: HashMap::new() }
    }

    /// Trial `id`, and the earlier one whose outcome it takes; `None` if the space is exhausted.
    pub fn draw(
        &mut self,
        id: u64,
        known: &[Known<Architecture>],
        proposals: &mut dyn Proposals<Architecture>,
        streams: Streams,
    ) -> Option<(Trial, Option<u64>)> {
        for attempt in 0..REDRAWS {
            let trial = Trial::of(id, proposals.draw(id, attempt, known, streams));
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
pub(super) type Evaluated = (Vec<TrialRecord>, Option<EndReason>);

/// Given trials, in their order.
struct Listed<'a>(&'a [Proposal<Architecture>]);

impl Proposals<Architecture> for Listed<'_> {
    fn draw(&mut self, id: u64, _: u64, _: &[Known<Architecture>], _: Streams) -> Proposal<Architecture> {
        self.0[id as usize].clone()
    }
}

/// Trains and scores the children of `trials` on training and validation part; equal ones each on their own.
pub(super) fn evaluate(lab: &mut Lab, trials: &[Proposal<Architecture>], training: &ChildTraining) -> Result<Evaluated> {
    run(lab, &TrialPlan::of_selection(trials.len() as u64, training), &mut Listed(trials))
}

/// A whole search: draws, trains and scores the trials of `plan` and returns the best `keep` of all that were ever trained. A trial that an earlier attempt committed is answered from
/// the record. One that diverges, fails or runs out of memory is an outcome like any other.
///
/// # Errors
/// [`crate::error::Error::Interrupted`] after a signal, [`crate::error::Error::Input`] where the record holds other trials than are drawn.
pub(super) fn search(lab: &mut Lab, plan: &TrialPlan, proposals: &mut dyn Proposals<Architecture>, keep: u64) -> Result<Found> {
    let (history, stop) = run(lab, plan, proposals)?;
    Ok(Found {
        candidates: best(&history, keep),
        score_kind: format!("validation {} of briefly trained children", lab.task.metric()),
        end: stop.unwrap_or(EndReason::Completed),
        extra: tally(&history),
    })
}

fn run(lab: &mut Lab, plan: &TrialPlan, proposals: &mut dyn Proposals<Architecture>) -> Result<Evaluated> {
    let mut evaluator: Box<dyn Evaluator> = match lab.session.cluster.clone() {
        Some(cluster) => Box::new(Slurm::new(lab, &cluster, &plan.child)?),
        None => Box::new(Local::new(lab, &plan.child)),
    };
    Queue::new(lab, plan, proposals, &mut *evaluator).run()
}

impl Ready {
    /// The trials of the search as an evaluator of one's own trains them, in a folder that is thrown away. Returns the history.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] where the search goes by steps; those of the evaluator.
    pub fn search_with(&self, options: SessionOptions, evaluator: &mut dyn Evaluator) -> Result<Vec<TrialRecord>> {
        let Engine::Trials { begin, plan } = &self.prepared.engine else {
            return Err(usage!("a search by steps has no trials that somebody else could train"));
        };
        self.in_a_lab(options, &Stopwatch::brief(), |lab| {
            lab.session.begin(Phase::Search)?;
            let mut proposals = begin(lab.streams);
            Queue::new(lab, plan, &mut *proposals, evaluator).run().map(|(history, _)| history)
        })
    }
}

/// Shows and records the curves after a trial, the last of `history`: the best score so far, and figures of the method's own.
pub(super) fn report(lab: &mut Lab, history: &[TrialRecord], planned: u64, figures: Option<BTreeMap<String, f64>>) -> Result<()> {
    let step = history.last().map_or(0, |t| t.id + 1);
    lab.session.show_step(step, planned);
    let Some(extra) = figures else { return Ok(()) };
    let score = history.iter().filter_map(|t| t.score).reduce(f64::max);
    lab.progress(Point { step, score, loss: history.last().and_then(|t| t.loss), extra, ..Point::default() })
}

/// The `keep` best architectures, each with its best score, the earlier trial first among equals.
fn best(history: &[TrialRecord], keep: u64) -> Vec<Candidate> {
    let mut scored: Vec<&TrialRecord> = history.iter().filter(|t| t.score.is_some()).collect();
    scored.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    let candidate = |t: &&TrialRecord| Candidate {
        origin: format!("trial {}", t.id),
        architecture: t.architecture.clone(),
        search_score: t.score,
        select_score: None,
    };
    distinct(scored.iter().map(candidate).collect(), keep)
}

/// Figures about the trials that were scored: how many, of how many different architectures, how many took an earlier score.
fn tally(history: &[TrialRecord]) -> BTreeMap<String, f64> {
    let scored = || history.iter().filter(|t| t.score.is_some());
    let distinct: HashSet<&str> = scored().map(|t| t.hash.as_str()).collect();
    BTreeMap::from([
        ("scored_trials".to_string(), scored().count() as f64),
        ("distinct_architectures".to_string(), distinct.len() as f64),
        ("reused_scores".to_string(), scored().filter(|t| t.reused.is_some()).count() as f64),
    ])
}

/// Device-seconds of the trials of `plan`, from a few steps of one like `example`.
pub(super) fn forecast(lab: &Lab, example: &Architecture, plan: &TrialPlan) -> Result<f64> {
    let one = lab.seconds_of_a_child(example, &plan.child)?;
    let (session, of_plan) = (&lab.session, plan.side_by_side.max(1));
    // Tasks of a cluster are summed, and so are devices that work at the same time.
    let jobs = if session.cluster.is_some() { 1 } else { session.jobs.clamp(1, of_plan) };
    let devices = jobs.min(session.devices.len() as u64).max(1);
    Ok(one * (plan.trials.div_ceil(jobs) * devices) as f64)
}
