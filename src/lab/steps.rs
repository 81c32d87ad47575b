//! Searches by steps, and what drives them: limits, checkpoints, resuming, the forecast, the trials that may follow.

use super::conduct::Found;
use super::lab::Lab;
use super::trials::{self, TrialPlan};
use crate::error::Result;
use crate::nn::Table;
use crate::proposals::Proposals;
use crate::record::{Candidate, EndReason};
use crate::space::Architecture;
use crate::train::Saved;
use std::collections::BTreeMap;

/// Stage name of the checkpoints of a search.
const STAGE: &str = "search";

/// A search that goes step by step. All that its next step depends on is its own and can be saved after every step.
pub trait Stepwise {
    /// Steps of the whole search.
    fn planned(&self) -> u64;

    /// Steps that are done or will not be needed.
    fn done(&self) -> u64;

    /// Whether there is no further step.
    fn is_over(&self) -> bool {
        self.done() >= self.planned()
    }

    /// Makes the next step and returns the images that it took; `None` if the search diverged (a loss is NaN or infinite).
    ///
    /// # Errors
    /// As the lab has them.
    fn step(&mut self, lab: &mut Lab) -> Result<Option<u64>>;

    /// Everything that the next step depends on.
    fn save(&self) -> Saved;

    /// The network whose parameters the tensor `weights` of [`Stepwise::save`] holds, one after the other, and whose statistics `statistics` holds, where it is saved.
    fn table(&self) -> &Table;

    /// Goes on from what [`Stepwise::save`] saved.
    ///
    /// # Errors
    /// [`crate::error::Error::Input`] where another version saved it.
    fn restore(&mut self, lab: &Lab, saved: &Saved) -> Result<()>;

    /// What the search has found when it ends for this reason, the best first; equal architectures may be among them.
    ///
    /// # Errors
    /// As the lab has them.
    fn candidates(&mut self, lab: &mut Lab, end: EndReason) -> Result<Vec<Candidate>>;

    /// What the score of a candidate means; `metric` is that of the data.
    fn score_kind(&self, metric: &str) -> String;

    /// Figures of the method's own for the result.
    fn figures(&self) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }

    /// Why an earlier part of the search ended before its time, if it did; what follows that part does not change it.
    fn ended_early(&self) -> Option<EndReason> {
        None
    }

    /// Of several searches one after the other: device-seconds of the run when the present one began, and how many are left with it. Those left share what is left of a budget.
    fn part(&self) -> (f64, u64) {
        (0.0, 1)
    }

    /// Device-seconds of what follows the steps that a budget may cut short, such as a ranking, as they were measured; 0 once that has begun.
    fn follow_up(&self) -> f64 {
        0.0
    }

    /// The budget of the present part is used up but for what follows these steps: no more of them.
    fn cut_short(&mut self) {}

    /// The kinds of steps, for a forecast.
    fn rehearsals(&self, lab: &Lab) -> Vec<Rehearsal>;

    /// Makes a step of the kind that stands at `kind` in [`Stepwise::rehearsals`]. The search is not used for anything else.
    ///
    /// # Errors
    /// As the lab has them.
    fn rehearse(&mut self, kind: usize, lab: &mut Lab) -> Result<()>;

    /// The trials that follow the last step, where the engine has a plan for some.
    fn proposals(&mut self) -> Option<&mut dyn Proposals<Architecture>> {
        None
    }
}

/// A kind of step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rehearsal {
    /// What the step is.
    pub what: &'static str,
    /// How often the search makes it, where needed with fractions for what else takes time.
    pub times: f64,
}

/// Searches to the end or until a limit is reached.
pub(super) fn search(lab: &mut Lab, mut search: Box<dyn Stepwise>, keep: u64, then: Option<&TrialPlan>) -> Result<Found> {
    if let Some(saved) = lab.session.recorder.take_saved(STAGE) {
        search.restore(lab, &saved)?;
    }
    let end = steps(lab, &mut *search)?;
    if let Some(plan) = then.filter(|_| search.proposals().is_some()) {
        // The trials are recorded one by one; the steps before them are not repeated.
        lab.session.checkpoint(STAGE, &search.save())?;
        let (figures, ended_early) = (search.figures(), search.ended_early());
        let proposals = search.proposals().expect("it was just there");
        let mut found = trials::search(lab, plan, proposals, keep)?;
        if found.end == EndReason::Completed {
            found.end = ended_early.unwrap_or(end);
        }
        found.extra.extend(figures);
        return Ok(found);
    }
    let candidates = search.candidates(lab, end)?;
    Ok(Found {
        candidates: distinct(candidates, keep),
        score_kind: search.score_kind(lab.task.metric()),
        end: search.ended_early().unwrap_or(end),
        extra: search.figures(),
    })
}

fn steps(lab: &mut Lab, search: &mut dyn Stepwise) -> Result<EndReason> {
    if let Some(reason) = lab.session.limit()? {
        return Ok(reason);
    }
    while !search.is_over() {
        lab.trace_from(search.done(), search.table(), || search.save())?;
        let Some(images) = search.step(lab)? else { return Ok(EndReason::Diverged) };
        cut_short(lab, search);
        let (done, planned) = (search.done(), search.planned());
        let limit = lab.session.step(images, done, planned, STAGE, &|| search.save())?;
        lab.trace_to(|| search.save())?;
        if let Some(reason) = limit {
            return Ok(reason);
        }
    }
    Ok(EndReason::Completed)
}

/// Ends the steps of a search, or of one of several searches, where the budget leaves only time for what must follow; at most half is left to that.
fn cut_short(lab: &mut Lab, search: &mut dyn Stepwise) {
    let Some(budget) = lab.session.search_budget() else { return };
    let (began, left) = search.part();
    let share = (budget - began) / left as f64;
    let follows = search.follow_up() + lab.session.kept.trials;
    if lab.spent() >= began + share - follows.min(share / 2.0) {
        search.cut_short();
    }
}

/// The first `keep` of different architectures.
pub(super) fn distinct(candidates: Vec<Candidate>, keep: u64) -> Vec<Candidate> {
    let mut taken = std::collections::HashSet::new();
    candidates.into_iter().filter(|c| taken.insert(c.architecture.hash())).take(keep as usize).collect()
}

/// Device-seconds of all steps, from a few measured ones on a search that is thrown away.
pub(super) fn forecast(lab: &mut Lab, mut search: Box<dyn Stepwise>) -> Result<f64> {
    let mut seconds = 0.0;
    for (kind, Rehearsal { what, times }) in search.rehearsals(lab).into_iter().enumerate() {
        seconds += times * lab.stopwatch.pace(what, lab.device, || search.rehearse(kind, lab))?.mean;
    }
    Ok(seconds)
}
