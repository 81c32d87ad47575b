//! One run: search → select → retrain → test.

use super::child::Child;
use super::lab::Lab;
use super::launch::Closed;
use super::memory::guard;
use super::method::{ChildTraining, Engine, Prepared};
use super::recorder::foreign;
use super::segmentation;
use super::session::Session;
use super::steps;
use super::trials;
use crate::error::{Error, Result, resource};
use crate::nn::count;
use crate::proposals::Proposal;
use crate::record::{
    Candidate, CutSelection, EndReason, FORMAT, FindingRecord, LEARNING_RATE, LedgerRecord, Manifest, Phase, RunResult, SegmentationRecord,
};
use crate::seed::Streams;
use crate::space::Architecture;
use crate::task::{Batch, Part, Score, Test};
use crate::train::{Saved, Step, Trainer};
use crate::units::show_seconds;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Stage name of the retraining's checkpoints.
pub(super) const RETRAIN: &str = "retrain";

/// Does what is left of a run and returns its result.
pub(super) fn conduct(manifest: &Manifest, prepared: &Prepared, (test, classes): Closed, lab: &mut Lab) -> Result<RunResult> {
    let decided = find_and_choose(manifest, prepared, lab)?;
    let cut_selection = cut_selection(prepared.keep, &decided);
    let Decided { found, chosen, .. } = decided;
    let chosen = chosen.expect("the selection is over");
    let (trainer, end) = retrain(prepared, lab, &found.candidates[chosen].architecture)?;
    if let Some(why) = failed_retraining(end) {
        lab.session.notice(&why)?;
    }
    let score = if end == EndReason::Completed { final_test(lab, &trainer, test, prepared.protocol.retrain.recipe.batch)? } else { None };
    let overlaps = score.as_ref().and_then(|score| score.overlaps.as_ref());
    let segmentation = overlaps.map(|o| segmentation::record(o, &classes, lab.input())).transpose()?;
    let trained = (&trainer, prepared.protocol.retrain.recipe.epochs, end);
    let result = result(manifest, (found, chosen, cut_selection), trained, (score, segmentation), lab);
    let (network, weights) = trainer.parts();
    let blobs = super::built::blobs(network.table(), weights)?;
    lab.session.recorder.run.write_weights(&blobs, &super::built::metadata(&result.architecture))?;
    finish(lab.session, manifest, &result)?;
    Ok(result)
}

/// What search and selection came to. It is saved with every checkpoint, so that what is decided is never decided again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Decided {
    found: Found,
    /// Index of the chosen candidate; `None` before the selection.
    chosen: Option<usize>,
    /// The limit that ended the selection, if one did.
    stopped: Option<EndReason>,
}

/// What a search returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Found {
    /// Best search score first, where there is one.
    pub candidates: Vec<Candidate>,
    /// What the search score means.
    pub score_kind: String,
    /// Why the search ended.
    pub end: EndReason,
    /// Figures of the method's own for the result.
    pub extra: BTreeMap<String, f64>,
}

/// Search and selection, or what is left of them; the finding is written.
pub(super) fn find_and_choose(manifest: &Manifest, prepared: &Prepared, lab: &mut Lab) -> Result<Decided> {
    let decided = decide(prepared, lab)?;
    lab.session.recorder.run.write_finding(&FindingRecord {
        format: FORMAT,
        method: manifest.method.clone(),
        search_score_kind: decided.found.score_kind.clone(),
        search_end: decided.found.end,
        candidates: decided.found.candidates.clone(),
        chosen: decided.chosen.expect("the selection is over"),
    })?;
    Ok(decided)
}

fn decide(prepared: &Prepared, lab: &mut Lab) -> Result<Decided> {
    let mut decided = match lab.session.recorder.carried.clone() {
        Value::Null => find(prepared, lab)?,
        carried => serde_json::from_value(carried).map_err(|e| foreign(lab.session.recorder.run.path(), &e.to_string()))?,
    };
    if decided.chosen.is_none() {
        select(prepared, lab, &mut decided)?;
    }
    Ok(decided)
}

fn find(prepared: &Prepared, lab: &mut Lab) -> Result<Decided> {
    lab.session.begin(Phase::Search)?;
    let found = guard(|| search(prepared, lab)).map_err(Error::Resource)??;
    if found.candidates.is_empty() {
        lab.session.end(found.end)?;
        return Err(nothing_found(&found, &lab.session.recorder.trial_ends(Phase::Search)));
    }
    let end = found.end;
    let decided = Decided { found, chosen: None, stopped: None };
    keep(lab, &decided)?;
    lab.session.end(end)?;
    Ok(decided)
}

fn search(prepared: &Prepared, lab: &mut Lab) -> Result<Found> {
    match &prepared.engine {
        Engine::Steps { begin, then } => begin(lab).and_then(|search| steps::search(lab, search, prepared.keep, then.as_ref())),
        Engine::Trials { begin, plan } => trials::search(lab, plan, &mut *begin(lab.streams), prepared.keep),
        Engine::Given(name) => {
            let architecture = prepared.example.clone();
            let candidates = vec![Candidate { origin: name.clone(), architecture, search_score: None, select_score: None }];
            Ok(Found { candidates, score_kind: "no search".into(), end: EndReason::Completed, extra: BTreeMap::new() })
        }
    }
}

/// Makes a decision safe.
fn keep(lab: &mut Lab, decided: &Decided) -> Result<()> {
    lab.session.recorder.carried = serde_json::to_value(decided).expect("the conductor's state is plain data");
    lab.session.checkpoint("decided", &Saved::new(&(), &[]))
}

/// A search without a candidate: memory is a resource failure, everything else is a budget or settings that were too small.
fn nothing_found(found: &Found, trials: &BTreeMap<String, u64>) -> Error {
    let exhausted = EndReason::OutOfMemory.words();
    let ends: Vec<String> = trials.iter().map(|(end, n)| format!("{n} {end}")).collect();
    let of_trials = if ends.is_empty() { String::new() } else { format!("; trials: {}", ends.join(", ")) };
    let nothing = format!("the search ended without an architecture to show ({}{of_trials})", found.end.words());
    if found.end == EndReason::OutOfMemory || (trials.len() == 1 && trials.contains_key(exhausted)) {
        return resource!("{nothing}; give it more memory (--max-memory, or a larger machine), or make it smaller with --set");
    }
    let diverged = EndReason::Diverged.words();
    let only = |end: &str| trials.len() == 1 && trials.contains_key(end);
    let advice = if found.end == EndReason::Diverged || only(diverged) {
        "a loss became infinite or NaN: lower the learning rates of the search, or of its trials, with --set"
    } else if only(EndReason::Failed.words()) {
        "libtorch gave up on each of them: the reasons are in events.jsonl"
    } else {
        "give it more with --budget or --max-trials, or look at the settings of the trials"
    };
    Error::NoResult(format!("{nothing}; {advice}"))
}

/// Trains every candidate briefly and takes the best on the validation part; one candidate needs no training.
fn select(prepared: &Prepared, lab: &mut Lab, decided: &mut Decided) -> Result<()> {
    let candidates = &mut decided.found.candidates;
    if candidates.len() == 1 {
        decided.chosen = Some(0);
        return keep(lab, decided);
    }
    lab.session.begin(Phase::Select)?;
    // The score at search time is to be compared with that of the selection.
    let proxies = |c: &Candidate| c.search_score.iter().map(|score| ("search".to_string(), *score)).collect();
    let trial =
        |c: &Candidate| Proposal { origin: c.origin.clone().into(), proxies: proxies(c), ..Proposal::sampled(c.architecture.clone()) };
    let trials: Vec<Proposal<Architecture>> = candidates.iter().map(trial).collect();
    let (outcomes, stop) = trials::evaluate(lab, &trials, &prepared.protocol.select)?;
    for outcome in &outcomes {
        candidates[outcome.id as usize].select_score = outcome.score;
    }
    decided.chosen = Some(best(&decided.found));
    decided.stopped = stop;
    keep(lab, decided)?;
    lab.session.end(stop.unwrap_or(EndReason::Completed))?;
    Ok(())
}

/// Where a limit left fewer candidates to compare than the `planned` ones of the protocol.
fn cut_selection(planned: u64, decided: &Decided) -> Option<CutSelection> {
    let candidates = &decided.found.candidates;
    let compared = candidates.iter().filter(|c| c.select_score.is_some()).count() as u64;
    let of_search = Some(decided.found.end).filter(|end| end.is_limit() && (candidates.len() as u64) < planned);
    // The budget may end with the last candidate's training.
    let limit = decided.stopped.or(of_search).filter(|_| compared < planned)?;
    Some(CutSelection { planned, compared, limit })
}

/// Best selection score; where none was measured, the best search score. Ties go to the earlier candidate.
fn best(found: &Found) -> usize {
    let score = |i: usize| (found.candidates[i].select_score, found.candidates[i].search_score);
    (1..found.candidates.len()).fold(0, |best, i| if score(i) > score(best) { i } else { best })
}

fn retrain(prepared: &Prepared, lab: &mut Lab, architecture: &Architecture) -> Result<(Trainer, EndReason)> {
    let training = &prepared.protocol.retrain;
    let streams = lab.streams.child(RETRAIN, 0);
    let mut trainer = guard(|| lab.child(training, Part::Retrain, streams).trainer(architecture)).map_err(Error::Resource)??;
    if let Some(saved) = lab.session.recorder.take_saved(RETRAIN) {
        trainer.restore(&saved)?;
    }
    lab.session.begin(Phase::Retrain)?;
    let end = guard(|| train_to_end(lab, (training, architecture), &mut trainer, streams)).map_err(Error::Resource)??;
    lab.session.end(end)?;
    Ok((trainer, end))
}

fn train_to_end(
    lab: &mut Lab,
    (training, architecture): (&ChildTraining, &Architecture),
    trainer: &mut Trainer,
    streams: Streams,
) -> Result<EndReason> {
    let child = Child { task: lab.task, training, part: Part::Retrain, streams, device: lab.device };
    let planned = lab.task.steps(Part::Retrain, training.recipe.batch) * training.recipe.epochs;
    while !trainer.is_finished() {
        lab.trace_from(trainer.progress().step, trainer.parts().0.table(), || trainer.save())?;
        let batch = child.next_batch(trainer);
        let learning_rate = trainer.learning_rate();
        if traced_step(lab, architecture, trainer, &batch) == Step::Diverged {
            return Ok(EndReason::Diverged);
        }
        let progress = trainer.progress();
        if trainer.batch_index() == 0 {
            let loss = trainer.take_loss();
            let extra = BTreeMap::from([(LEARNING_RATE.to_string(), learning_rate)]);
            lab.progress(super::Point { epoch: trainer.epoch(), step: progress.step, loss, extra, ..Default::default() })?;
        }
        let limit = lab.session.step(batch.len() as u64, progress.step, planned, RETRAIN, &|| trainer.save())?;
        lab.trace_to(|| trainer.save())?;
        if let Some(reason) = limit {
            return Ok(reason);
        }
    }
    lab.session.checkpoint(RETRAIN, &trainer.save())?;
    Ok(EndReason::Completed)
}

/// A step of the retraining, which a trace is told of.
fn traced_step(lab: &mut Lab, architecture: &Architecture, trainer: &mut Trainer, batch: &Batch) -> Step {
    let (learning_rate, drop_path) = (trainer.learning_rate(), trainer.drop_path());
    trainer.step_showing(&batch.images, &batch.labels, |loss, gradient| {
        lab.trace(|step| {
            step.of_weights(architecture, loss, learning_rate, gradient);
            step.number("drop_path", drop_path);
        });
    })
}

/// What is said of a retraining that did not do all its steps: it has no test.
fn failed_retraining(end: EndReason) -> Option<String> {
    let why = match end {
        EndReason::Completed => return None,
        EndReason::Diverged => "its loss became infinite or NaN; a lower retrain.recipe.learning_rate may help (--set)",
        EndReason::OutOfMemory => "give it more memory (--max-memory, or a larger machine), or make it smaller with --set",
        _ => "no step could follow",
    };
    Some(format!("the retraining ended early, {}, so there is no test score: {why}", end.words()))
}

/// The score on the test part; `None` if it was cut off.
fn final_test(lab: &mut Lab, trainer: &Trainer, test: Box<dyn Test>, batch: usize) -> Result<Option<Score>> {
    lab.session.begin(Phase::Test)?;
    let session = &mut *lab.session;
    let mut go_on = || Ok(session.short_step()?.is_none());
    let scored = guard(|| test.score(batch, &|x| trainer.score(x), &mut go_on)).map_err(Error::Resource)??;
    let (score, examples) = scored.unzip();
    if let Some(examples) = examples.filter(|e| !e.is_empty()) {
        lab.session.recorder.run.write_examples(&examples)?;
    }
    lab.session.end(if score.is_some() { EndReason::Completed } else { EndReason::OutOfMemory })?;
    Ok(score)
}

/// With the trainer come the epochs that were planned and why the retraining ended.
fn result(
    manifest: &Manifest,
    (found, chosen, cut_selection): (Found, usize, Option<CutSelection>),
    (trainer, retrain_epochs, retrain_end): (&Trainer, u64, EndReason),
    (score, segmentation): (Option<Score>, Option<SegmentationRecord>),
    lab: &Lab,
) -> RunResult {
    let Candidate { architecture, search_score, select_score, .. } = found.candidates[chosen].clone();
    let (parameters, auxiliary_parameters) = count(trainer.parts().0);
    RunResult {
        format: FORMAT,
        method: manifest.method.clone(),
        variant: manifest.variant.clone(),
        dataset: manifest.dataset.clone(),
        preset: manifest.preset.clone(),
        seed: manifest.seed,
        identity: manifest.identity.clone(),
        architecture_hash: architecture.hash(),
        architecture,
        parameters,
        auxiliary_parameters,
        metric: lab.task.metric().into(),
        search_score,
        search_score_kind: found.score_kind,
        select_score,
        final_score: score.as_ref().map(|s| s.value),
        final_loss: score.map(|s| s.loss).filter(|l| l.is_finite()),
        retrain_epochs,
        search_end: found.end,
        retrain_end,
        trials: lab.session.recorder.trial_ends(Phase::Search),
        extra: found.extra,
        cut_selection,
        segmentation,
    }
}

/// Ledger first, result last: a run with a result is finished.
fn finish(session: &mut Session, manifest: &Manifest, result: &RunResult) -> Result<()> {
    session.ledger.settle();
    let spent_seconds = session.ledger.device_seconds(&[Phase::Search, Phase::Select]);
    let budget_seconds = manifest.limits.budget_seconds;
    let record = LedgerRecord {
        format: FORMAT,
        rows: session.ledger.all_rows(),
        tasks: session.ledger.tasks(),
        wall_seconds: session.wall_seconds(),
        spent_seconds,
        budget_seconds,
        overshoot_seconds: budget_seconds.map(|b| (spent_seconds - b).max(0.0)),
        finished: jiff::Timestamp::now().to_string(),
    };
    if record.is_unlike(None) {
        let parts: Vec<String> =
            record.models(None).iter().map(|(model, seconds)| format!("{} of {model}", show_seconds(*seconds))).collect();
        session.notice(&format!("it ran on unlike devices, whose times have no common sum: {}", parts.join(", ")))?;
    }
    session.account()?;
    session.recorder.run.write_ledger(&record)?;
    session.finish(result)
}
