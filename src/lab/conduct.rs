//! One run: search → select → retrain → test.

use super::child::Child;
use super::lab::Lab;
use super::memory::guard;
use super::method::{ChildTraining, Engine, Prepared};
use super::segmentation;
use super::session::Session;
use super::steps;
use super::trials::{self, Trial};
use crate::error::{Error, Result};
use crate::nn::count;
use crate::record::{
    Candidate, EndReason, FORMAT, FindingRecord, LEARNING_RATE, LedgerRecord, Manifest, Phase, RunResult, SegmentationRecord,
};
use crate::seed::Streams;
use crate::space::Architecture;
use crate::task::{Part, Score, Test};
use crate::train::{Saved, Step, Trainer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Stage name of the retraining's checkpoints.
pub(super) const RETRAIN: &str = "retrain";

/// How the retraining went.
struct Retrained {
    trainer: Trainer,
    /// Planned.
    epochs: u64,
    end: EndReason,
}

/// Does what is left of a run and returns its result. With the test come the names of the classes.
pub fn conduct(manifest: &Manifest, prepared: &Prepared, (test, classes): (Box<dyn Test>, &[String]), lab: &mut Lab) -> Result<RunResult> {
    let Decided { found, chosen } = decide(prepared, lab)?;
    let chosen = chosen.expect("the selection is over");
    let finding = FindingRecord {
        format: FORMAT,
        method: manifest.method.clone(),
        search_score_kind: found.score_kind.clone(),
        search_end: found.end,
        candidates: found.candidates.clone(),
        chosen,
    };
    lab.session.run().write_finding(&finding)?;
    let architecture = &finding.candidates[chosen].architecture;
    let retrained = retrain(prepared, lab, architecture)?;
    let tested = final_test(lab, &retrained, test, prepared.protocol.retrain.recipe.batch)?;
    let tested = tested.map(|score| Tested::of(score, classes, lab)).transpose()?;
    save_weights(lab, &retrained, architecture)?;
    let result = result(manifest, &finding, &found, &retrained, tested, lab);
    finish(lab.session, manifest, &result)?;
    Ok(result)
}

/// The score of the test, and its overlaps by class where every pixel has one.
struct Tested {
    score: Score,
    segmentation: Option<SegmentationRecord>,
}

impl Tested {
    fn of(score: Score, classes: &[String], lab: &Lab) -> Result<Self> {
        let segmentation = score.overlaps.as_ref().map(|o| segmentation::record(o, classes, lab.input())).transpose()?;
        Ok(Self { score, segmentation })
    }
}

/// What search and selection came to. It is saved with every checkpoint, so that what is decided is never decided again.
#[derive(Debug, Serialize, Deserialize)]
struct Decided {
    found: Found,
    /// Index of the chosen candidate; `None` before the selection.
    chosen: Option<usize>,
}

/// What a search returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Best search score first, where there is one.
    pub candidates: Vec<Candidate>,
    /// What the search score means.
    pub score_kind: String,
    /// Why the search ended.
    pub end: EndReason,
    /// Figures of the method's own for the result.
    pub extra: BTreeMap<String, f64>,
}

impl Found {
    /// Without a search.
    fn given(name: &str, architecture: &Architecture) -> Self {
        let candidate = Candidate { origin: name.into(), architecture: architecture.clone(), search_score: None, select_score: None };
        Self { candidates: vec![candidate], score_kind: "no search".into(), end: EndReason::Completed, extra: BTreeMap::new() }
    }
}

fn decide(prepared: &Prepared, lab: &mut Lab) -> Result<Decided> {
    let carried = lab.session.recorder().carried().clone();
    let mut decided = if carried.is_null() {
        find(prepared, lab)?
    } else {
        serde_json::from_value(carried)
            .map_err(|e| Error::input(lab.session.run().path(), format!("the checkpoint was written by another version of naslab: {e}")))?
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
        return Err(nothing_found(&found, &lab.session.recorder().trial_ends(Phase::Search)));
    }
    let end = found.end;
    let decided = Decided { found, chosen: None };
    keep(lab, &decided)?;
    lab.session.end(end)?;
    Ok(decided)
}

fn search(prepared: &Prepared, lab: &mut Lab) -> Result<Found> {
    match &prepared.engine {
        Engine::Steps { begin, then } => {
            let search = begin(lab)?;
            steps::search(lab, search, prepared.keep, then.as_ref())
        }
        Engine::Trials { begin, plan } => trials::search(lab, plan, &mut *begin(lab.streams), prepared.keep),
        Engine::Given(name) => Ok(Found::given(name, &prepared.example)),
    }
}

/// Makes a decision safe.
fn keep(lab: &mut Lab, decided: &Decided) -> Result<()> {
    lab.session.recorder().carry(decided);
    lab.session.checkpoint("decided", &Saved::new(&(), &[]))
}

/// A search without a candidate: memory is a resource failure, everything else is a budget or settings that were too small.
fn nothing_found(found: &Found, trials: &BTreeMap<String, u64>) -> Error {
    let exhausted = EndReason::OutOfMemory.words();
    let ends: Vec<String> = trials.iter().map(|(end, n)| format!("{n} {end}")).collect();
    let of_trials = if ends.is_empty() { String::new() } else { format!("; trials: {}", ends.join(", ")) };
    let nothing = format!("the search ended without an architecture to show ({}{of_trials})", found.end.words());
    if found.end == EndReason::OutOfMemory || (trials.len() == 1 && trials.contains_key(exhausted)) {
        return Error::Resource(format!(
            "{nothing}; give it more memory (--max-memory, or a larger machine), or make it smaller with --set"
        ));
    }
    Error::NoResult(format!("{nothing}; give it more with --budget or --max-trials, or look at the settings of the trials"))
}

/// Trains every candidate briefly and takes the best on the validation part; one candidate needs no training.
fn select(prepared: &Prepared, lab: &mut Lab, decided: &mut Decided) -> Result<()> {
    let candidates = &mut decided.found.candidates;
    if candidates.len() == 1 {
        decided.chosen = Some(0);
        return keep(lab, decided);
    }
    lab.session.begin(Phase::Select)?;
    let trials: Vec<Trial> = candidates
        .iter()
        .zip(0..)
        .map(|(c, id)| Trial { id, architecture: c.architecture.clone(), parent: None, origin: c.origin.clone(), proxies: proxies(c) })
        .collect();
    let (outcomes, stop) = trials::evaluate(lab, &trials, &prepared.protocol.select)?;
    for outcome in &outcomes {
        candidates[outcome.id as usize].select_score = outcome.score;
    }
    decided.chosen = Some(best(&decided.found));
    keep(lab, decided)?;
    lab.session.end(stop.unwrap_or(EndReason::Completed))?;
    Ok(())
}

/// The score at search time, to be compared with that of the selection.
fn proxies(candidate: &Candidate) -> BTreeMap<String, f64> {
    candidate.search_score.iter().map(|score| ("search".to_string(), *score)).collect()
}

/// Best selection score; where none was measured, the best search score. Ties go to the earlier candidate.
fn best(found: &Found) -> usize {
    let score = |i: usize| (found.candidates[i].select_score, found.candidates[i].search_score);
    (1..found.candidates.len()).fold(0, |best, i| if score(i) > score(best) { i } else { best })
}

fn retrain(prepared: &Prepared, lab: &mut Lab, architecture: &Architecture) -> Result<Retrained> {
    let training = &prepared.protocol.retrain;
    let streams = lab.streams.child(RETRAIN, 0);
    let mut trainer = guard(|| lab.child(training, Part::Retrain, streams).trainer(architecture)).map_err(Error::Resource)??;
    if let Some(saved) = lab.take_saved(RETRAIN) {
        trainer.restore(&saved)?;
    }
    lab.session.begin(Phase::Retrain)?;
    let end = guard(|| train_to_end(lab, training, &mut trainer, streams)).map_err(Error::Resource)??;
    lab.session.end(end)?;
    Ok(Retrained { trainer, epochs: training.recipe.epochs, end })
}

fn train_to_end(lab: &mut Lab, training: &ChildTraining, trainer: &mut Trainer, streams: Streams) -> Result<EndReason> {
    let child = Child { task: lab.task, training, part: Part::Retrain, streams, device: lab.device };
    let planned = lab.steps(Part::Retrain, training.recipe.batch) * training.recipe.epochs;
    while !trainer.is_finished() {
        let batch = child.next_batch(trainer);
        let learning_rate = trainer.learning_rate();
        if trainer.step(&batch.images, &batch.labels) == Step::Diverged {
            return Ok(EndReason::Diverged);
        }
        let progress = trainer.progress();
        if trainer.batch_index() == 0 {
            let loss = trainer.take_loss();
            let extra = BTreeMap::from([(LEARNING_RATE.to_string(), learning_rate)]);
            lab.progress(super::Point { epoch: trainer.epoch(), step: progress.step, loss, extra, ..Default::default() })?;
        }
        if let Some(reason) = lab.step(batch.len() as u64, progress.step, planned, RETRAIN, &|| trainer.save())? {
            return Ok(reason);
        }
    }
    lab.session.checkpoint(RETRAIN, &trainer.save())?;
    Ok(EndReason::Completed)
}

fn final_test(lab: &mut Lab, retrained: &Retrained, test: Box<dyn Test>, batch: usize) -> Result<Option<Score>> {
    if retrained.end != EndReason::Completed {
        return Ok(None);
    }
    lab.session.begin(Phase::Test)?;
    let session = &mut *lab.session;
    let mut go_on = || Ok(session.short_step(None)?.is_none());
    let scored = guard(|| test.score(batch, &|x| retrained.trainer.score(x), &mut go_on)).map_err(Error::Resource)??;
    let (score, examples) = scored.unzip();
    if let Some(examples) = examples.filter(|e| !e.is_empty()) {
        lab.session.run().write_examples(&examples)?;
    }
    lab.session.end(if score.is_some() { EndReason::Completed } else { EndReason::OutOfMemory })?;
    Ok(score)
}

fn save_weights(lab: &mut Lab, retrained: &Retrained, architecture: &Architecture) -> Result<()> {
    let (network, weights) = retrained.trainer.parts();
    let blobs = super::built::blobs(network.table(), weights)?;
    lab.session.run().write_weights(&blobs, &super::built::metadata(architecture))
}

fn result(
    manifest: &Manifest,
    finding: &FindingRecord,
    found: &Found,
    retrained: &Retrained,
    tested: Option<Tested>,
    lab: &mut Lab,
) -> RunResult {
    let score = tested.as_ref().map(|t| &t.score);
    let chosen = &finding.candidates[finding.chosen];
    let (parameters, auxiliary_parameters) = count(retrained.trainer.parts().0);
    RunResult {
        format: FORMAT,
        method: manifest.method.clone(),
        variant: manifest.variant.clone(),
        dataset: manifest.dataset.clone(),
        preset: manifest.preset.clone(),
        seed: manifest.seed,
        identity: manifest.identity.clone(),
        architecture: chosen.architecture.clone(),
        architecture_hash: chosen.architecture.hash(),
        parameters,
        auxiliary_parameters,
        metric: lab.metric().into(),
        search_score: chosen.search_score,
        search_score_kind: finding.search_score_kind.clone(),
        select_score: chosen.select_score,
        final_score: score.map(|s| s.value),
        final_loss: score.map(|s| s.loss).filter(|l| l.is_finite()),
        retrain_epochs: retrained.epochs,
        search_end: finding.search_end,
        retrain_end: retrained.end,
        trials: lab.session.recorder().trial_ends(Phase::Search),
        extra: found.extra.clone(),
        segmentation: tested.and_then(|t| t.segmentation),
    }
}

/// Ledger first, result last: a run with a result is finished.
fn finish(session: &mut Session, manifest: &Manifest, result: &RunResult) -> Result<()> {
    session.ledger().settle();
    let (_, wall_seconds) = session.wall_seconds();
    let ledger = session.ledger();
    let spent = ledger.device_seconds(&[Phase::Search, Phase::Select]);
    let budget = manifest.limits.budget_seconds;
    let record = LedgerRecord {
        format: FORMAT,
        rows: ledger.all_rows(),
        wall_seconds,
        spent_seconds: spent,
        budget_seconds: budget,
        overshoot_seconds: budget.map(|b| (spent - b).max(0.0)),
        finished: jiff::Timestamp::now().to_string(),
    };
    session.account()?;
    session.run().write_ledger(&record)?;
    session.finish(result)
}
