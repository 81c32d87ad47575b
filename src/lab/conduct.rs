//! One run: search → select → retrain → test.

use super::lab::{Lab, Trial};
use super::memory::guard;
use super::method::{Found, Search};
use super::session::{Flow, Session};
use crate::arch::Architecture;
use crate::error::{Error, Result};
use crate::nn::count;
use crate::record::{EndReason, FORMAT, FindingRecord, LedgerRecord, Manifest, Phase, RunResult};
use crate::seed::Streams;
use crate::task::{Classification, Part, Score, TestSplit};
use crate::train::{Step, Trainer};
use std::collections::BTreeMap;
use tch::Device;

/// Stage name of the retraining's checkpoints.
const RETRAIN: &str = "retrain";

/// How the retraining went.
struct Retrained {
    trainer: Trainer,
    end: EndReason,
}

/// Does what is left of a run and returns its result.
pub fn conduct(
    manifest: &Manifest,
    search: &dyn Search,
    task: &Classification,
    test: TestSplit,
    device: Device,
    session: &mut Session,
) -> Result<RunResult> {
    let streams = Streams::new(manifest.seed);
    let mut lab = Lab { device, streams, task, session };
    let mut found = find(search, &mut lab)?;
    let chosen = select(search, &mut lab, &mut found)?;
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
    let retrained = retrain(search, &mut lab, architecture)?;
    let score = final_test(&mut lab, &retrained, test, search.protocol().retrain.recipe.batch)?;
    save_weights(&mut lab, &retrained, architecture)?;
    let result = result(manifest, &finding, &found, search, &retrained, score, lab.session);
    finish(lab.session, manifest, &result)?;
    Ok(result)
}

fn find(search: &dyn Search, lab: &mut Lab) -> Result<Found> {
    if !lab.session.carried().is_null() {
        return serde_json::from_value(lab.session.carried().clone())
            .map_err(|e| Error::input(lab.session.run().path(), format!("the checkpoint was written by another version of naslab: {e}")));
    }
    lab.session.begin(Phase::Search)?;
    let found = guard(|| search.run(lab)).map_err(Error::Resource)??;
    lab.session.end(found.end)?;
    if found.candidates.is_empty() {
        return Err(nothing_found(&found, &lab.session.trial_ends(Phase::Search)));
    }
    lab.session.carry(&found);
    let empty = crate::train::Saved::new(&(), &[]);
    lab.session.checkpoint("found", &empty)?;
    Ok(found)
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
fn select(search: &dyn Search, lab: &mut Lab, found: &mut Found) -> Result<usize> {
    if found.candidates.len() < 2 {
        return Ok(0);
    }
    lab.session.begin(Phase::Select)?;
    let trials: Vec<Trial> = found
        .candidates
        .iter()
        .zip(0..)
        .map(|(c, id)| Trial { id, architecture: c.architecture.clone(), parent: None, origin: c.origin.clone() })
        .collect();
    let (outcomes, stop) = lab.evaluate(search, &trials, &search.protocol().select)?;
    for outcome in &outcomes {
        found.candidates[outcome.id as usize].select_score = outcome.score;
    }
    lab.session.end(stop.unwrap_or(EndReason::Completed))?;
    Ok(best(found))
}

/// Best selection score; where none was measured, the best search score. Ties go to the earlier candidate.
fn best(found: &Found) -> usize {
    let score = |i: usize| (found.candidates[i].select_score, found.candidates[i].search_score);
    (1..found.candidates.len()).fold(0, |best, i| if score(i) > score(best) { i } else { best })
}

fn retrain(search: &dyn Search, lab: &mut Lab, architecture: &Architecture) -> Result<Retrained> {
    let training = &search.protocol().retrain;
    let streams = lab.streams.child(RETRAIN, 0);
    let mut trainer = lab.trainer(search, architecture, training, Part::Retrain, streams)?;
    if let Some(saved) = lab.take_saved(RETRAIN) {
        trainer.restore(&saved)?;
    }
    lab.session.begin(Phase::Retrain)?;
    let end = guard(|| train_to_end(lab, &mut trainer, training, streams)).map_err(Error::Resource)??;
    lab.session.end(end)?;
    Ok(Retrained { trainer, end })
}

fn train_to_end(lab: &mut Lab, trainer: &mut Trainer, training: &super::ChildTraining, streams: Streams) -> Result<EndReason> {
    let planned = lab.steps(Part::Retrain, training.recipe.batch) * training.recipe.epochs;
    while !trainer.is_finished() {
        let batch = lab.next_batch(trainer, training, Part::Retrain, streams);
        if trainer.step(&batch.images, &batch.labels) == Step::Diverged {
            return Ok(EndReason::Diverged);
        }
        let progress = trainer.progress();
        if trainer.batch_index() == 0 {
            let loss = trainer.take_loss();
            lab.progress(super::Point { epoch: trainer.epoch(), step: progress.step, loss, ..Default::default() })?;
        }
        let flow = lab.step(batch.len() as u64, progress.step, planned, RETRAIN, &|| trainer.save())?;
        if let Flow::Stop(reason) = flow {
            return Ok(reason);
        }
    }
    lab.session.checkpoint(RETRAIN, &trainer.save())?;
    Ok(EndReason::Completed)
}

fn final_test(lab: &mut Lab, retrained: &Retrained, test: TestSplit, batch: usize) -> Result<Option<Score>> {
    if retrained.end != EndReason::Completed {
        return Ok(None);
    }
    lab.session.begin(Phase::Test)?;
    let session = &mut *lab.session;
    let score = test.score(batch, |x| retrained.trainer.score(x), || Ok(session.short_step(None)? == Flow::Continue))?;
    lab.session.end(if score.is_some() { EndReason::Completed } else { EndReason::OutOfMemory })?;
    Ok(score)
}

fn save_weights(lab: &mut Lab, retrained: &Retrained, architecture: &Architecture) -> Result<()> {
    let (network, weights) = retrained.trainer.parts();
    let blobs = network
        .table()
        .names()
        .zip(weights.params())
        .chain(network.table().stat_names().zip(weights.stats()))
        .map(|(name, tensor)| super::blobs::to_blob(name, tensor))
        .collect::<Result<Vec<_>>>()?;
    let metadata = BTreeMap::from([("architecture".to_string(), serde_json::to_string(architecture).expect("plain data"))]);
    lab.session.run().write_weights(&blobs, &metadata)
}

fn result(
    manifest: &Manifest,
    finding: &FindingRecord,
    found: &Found,
    search: &dyn Search,
    retrained: &Retrained,
    score: Option<Score>,
    session: &Session,
) -> RunResult {
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
        metric: "accuracy".into(),
        search_score: chosen.search_score,
        search_score_kind: finding.search_score_kind.clone(),
        select_score: chosen.select_score,
        final_score: score.map(|s| s.accuracy),
        final_loss: score.map(|s| s.loss).filter(|l| l.is_finite()),
        retrain_epochs: search.protocol().retrain.recipe.epochs,
        search_end: finding.search_end,
        retrain_end: retrained.end,
        trials: session.trial_ends(Phase::Search),
        extra: found.extra.clone(),
    }
}

/// Ledger first, result last: a run with a result is finished.
fn finish(session: &mut Session, manifest: &Manifest, result: &RunResult) -> Result<()> {
    session.ledger().settle();
    let earlier = session.earlier_wall();
    let ledger = session.ledger();
    let spent = ledger.device_seconds(&[Phase::Search, Phase::Select]);
    let budget = manifest.limits.budget_seconds;
    let record = LedgerRecord {
        format: FORMAT,
        rows: ledger.all_rows(),
        wall_seconds: earlier + ledger.wall_seconds(),
        spent_seconds: spent,
        budget_seconds: budget,
        overshoot_seconds: budget.map(|b| (spent - b).max(0.0)),
        finished: jiff::Timestamp::now().to_string(),
    };
    session.account()?;
    session.run().write_ledger(&record)?;
    session.run().write_result(result)
}
