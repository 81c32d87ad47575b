//! Training the hypernetwork on small random blocks, ranking larger ones, and the experiment that asks how well the ranking predicts
//! (paper, sections 3.5, 5.1 and 5.3).

use super::hypernetwork::Hypernetwork;
use super::{Experiment, Ghn};
use crate::error::{Error, Result};
use crate::lab::{Duplicates, Flow, Found, Lab, Point, Policy, Proposals, Search, Trial};
use crate::nn::{Network, Pass, Weights, cross_entropy};
use crate::record::{Candidate, EndReason, LEARNING_RATE, TrialRecord};
use crate::seed::{Rng, Streams};
use crate::space::{Architecture, Cell, GhnOp, NetSize, ghn};
use crate::task::{Augment, Batch, Part};
use crate::train::{Adam, Saved, clip};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;
use tch::{Kind, no_grad};

/// Stage name of the checkpoints.
const STAGE: &str = "search";
const BETAS: (f64, f64) = (0.9, 0.999);
/// Part of the curve that trains the hypernetwork, and part that ranks.
const TRAINING: u64 = 0;
const RANKING: u64 = 1;

/// Everything but tensors that the next step depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    epoch: u64,
    position: u64,
    adam_steps: u64,
    loss_sum: f64,
    /// How the training ended, once it did.
    trained: Option<EndReason>,
    /// Predicted scores of the blocks ranked so far.
    scores: Vec<f64>,
}

fn cell(architecture: &Architecture) -> &Cell<GhnOp> {
    architecture.get().expect("blocks are drawn here")
}

fn draw(nodes: usize, mut rng: Rng) -> Architecture {
    ghn::sample(nodes, &mut rng).into()
}

struct State<'a> {
    s: &'a Ghn,
    hyper: Hypernetwork,
    w: Weights,
    adam: Adam,
    progress: Progress,
    steps: u64,
    /// Whole batches of validation images, the same for every block.
    validation: Vec<Batch>,
    /// Device-seconds of the last score.
    seconds: f64,
}

impl<'a> State<'a> {
    fn new(s: &'a Ghn, lab: &Lab) -> Result<Self> {
        let size = NetSize { channels: s.channels, cells: s.cells, auxiliary: false };
        let hyper = Hypernetwork::declare(&s.network, lab.input(), size);
        let example = draw(s.train_nodes, lab.streams.rng("example", 0));
        let w = hyper.weights(&mut lab.streams.rng("init", 0), cell(&example), lab.device, Kind::Float);
        let adam = Adam::new(w.flat(), s.learning_rate, BETAS, 0.0);
        let batches = lab.steps(Part::Valid, s.batch);
        let streams = lab.streams.child("validation", 0);
        let all = (0..batches).map(|i| lab.batch(Part::Valid, 0, i, s.batch, &Augment::NONE, streams));
        let validation: Vec<Batch> = all.filter(|b| b.len() == s.batch).collect();
        if validation.is_empty() {
            return Err(Error::Usage(format!("search.batch = {}: there are fewer validation images; make one of them fit", s.batch)));
        }
        let steps = lab.steps(Part::Train, s.batch);
        Ok(Self { s, hyper, w, adam, progress: Progress::default(), steps, validation, seconds: 0.0 })
    }

    fn done(&self) -> u64 {
        self.progress.epoch * self.steps + self.progress.position + self.progress.scores.len() as u64
    }

    fn planned(&self) -> u64 {
        let ranked = if self.s.experiment == Experiment::Search { self.s.candidates } else { 0 };
        self.s.epochs * self.steps + ranked
    }

    /// One step of the hypernetwork: a fresh block, its predicted weights, a batch of images. `None` if the loss is not finite.
    fn step(&mut self, lab: &Lab) -> Result<Option<usize>> {
        let (epoch, index) = (self.progress.epoch, self.progress.position);
        let architecture = draw(self.s.train_nodes, lab.streams.rng("block", epoch * self.steps + index));
        let batch = lab.batch(Part::Train, epoch, index, self.s.batch, &self.s.augment, lab.streams);
        let network = self.hyper.network(cell(&architecture))?;
        let weights = self.hyper.predict(&self.w, cell(&architecture), &network)?;
        let loss = cross_entropy(&network.forward(&weights, &batch.images, &mut Pass::by_batch()).logits, &batch.labels);
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return Ok(None);
        }
        let gradient = clip(self.w.gradient(&loss), self.s.clip);
        let halvings = self.s.halve_at.iter().filter(|share| epoch as f64 >= *share * self.s.epochs as f64).count();
        self.adam.learning_rate = self.s.learning_rate * 0.5f64.powi(halvings as i32);
        self.adam.step(self.w.flat(), &gradient);
        self.progress.loss_sum += value;
        Ok(Some(batch.len()))
    }

    /// Accuracy of a block with predicted weights on the validation images. It changes nothing.
    fn score(&mut self, architecture: &Architecture) -> Result<f64> {
        let start = Instant::now();
        let network = self.hyper.network(cell(architecture))?;
        let score = no_grad(|| {
            let weights = self.hyper.predict(&self.w, cell(architecture), &network)?;
            let right = self.validation.iter().map(|batch| {
                let logits = network.forward(&weights, &batch.images, &mut Pass::by_batch()).logits;
                logits.argmax(1, false).eq_tensor(&batch.labels).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
            });
            Ok(right.sum::<f64>() / self.validation.len() as f64)
        });
        self.seconds = start.elapsed().as_secs_f64();
        score
    }

    /// Mean score of a few blocks that are never ranked.
    fn probe(&mut self, lab: &Lab) -> Result<Option<f64>> {
        let mut sum = 0.0;
        for i in 0..self.s.probes {
            sum += self.score(&draw(self.s.nodes, lab.streams.child("probe", 0).rng("block", i)))?;
        }
        Ok((self.s.probes > 0).then(|| sum / self.s.probes as f64))
    }

    fn report_epoch(&mut self, lab: &mut Lab) -> Result<()> {
        let score = self.probe(lab)?;
        let trained = self.progress.epoch > 0;
        lab.progress(Point {
            part: TRAINING,
            epoch: self.progress.epoch,
            step: self.done(),
            loss: trained.then(|| self.progress.loss_sum / self.steps as f64),
            score,
            extra: trained.then(|| (LEARNING_RATE.to_string(), self.adam.learning_rate)).into_iter().collect(),
            ..Point::default()
        })?;
        self.progress.loss_sum = 0.0;
        Ok(())
    }

    /// Whether what is left of a budget is just enough to rank; at most half of it is kept for that.
    fn must_rank(&self, lab: &mut Lab) -> bool {
        let ranking = if self.s.experiment == Experiment::Search { self.s.candidates as f64 * self.seconds } else { 0.0 };
        lab.budget().is_some_and(|(spent, budget)| budget - spent <= ranking.min(budget / 2.0))
    }

    fn train(&mut self, lab: &mut Lab) -> Result<EndReason> {
        if self.done() == 0 {
            self.report_epoch(lab)?;
        }
        while self.progress.epoch < self.s.epochs {
            let Some(images) = self.step(lab)? else { return Ok(EndReason::Diverged) };
            self.progress.position += 1;
            if self.progress.position == self.steps {
                (self.progress.epoch, self.progress.position) = (self.progress.epoch + 1, 0);
                self.report_epoch(lab)?;
            }
            let (done, planned) = (self.done(), self.planned());
            if let Flow::Stop(reason) = lab.step(images as u64, done, planned, STAGE, &|| self.save())? {
                return Ok(reason);
            }
            if self.must_rank(lab) {
                return Ok(EndReason::BudgetReached);
            }
        }
        Ok(EndReason::Completed)
    }

    fn candidate(&self, lab: &Lab, number: u64) -> Architecture {
        draw(self.s.nodes, lab.streams.child("ranking", 0).rng("block", number))
    }

    /// Scores the blocks that are left, at least one.
    fn rank(&mut self, lab: &mut Lab) -> Result<EndReason> {
        let every = self.s.candidates.div_ceil(20);
        while (self.progress.scores.len() as u64) < self.s.candidates {
            let number = self.progress.scores.len() as u64;
            let score = self.score(&self.candidate(lab, number))?;
            self.progress.scores.push(score);
            if (number + 1).is_multiple_of(every) || number + 1 == self.s.candidates {
                let best = self.progress.scores.iter().copied().reduce(f64::max);
                let extra = BTreeMap::from([("ranked".to_string(), (number + 1) as f64)]);
                lab.progress(Point {
                    part: RANKING,
                    epoch: self.progress.epoch,
                    step: number + 1,
                    score: best,
                    extra,
                    ..Point::default()
                })?;
            }
            let (done, planned) = (self.done(), self.planned());
            if let Flow::Stop(reason) = lab.step(0, done, planned, STAGE, &|| self.save())? {
                return Ok(reason);
            }
        }
        Ok(EndReason::Completed)
    }

    /// The best of different blocks, the first among equals.
    fn best(&self, lab: &Lab) -> Vec<Candidate> {
        let mut order: Vec<usize> = (0..self.progress.scores.len()).collect();
        order.sort_by(|a, b| self.progress.scores[*b].total_cmp(&self.progress.scores[*a]));
        let mut taken = HashSet::new();
        let mut best = Vec::new();
        for number in order {
            let architecture = self.candidate(lab, number as u64);
            if taken.insert(architecture.hash()) {
                let search_score = Some(self.progress.scores[number]);
                best.push(Candidate { origin: format!("ranked {number}"), architecture, search_score, select_score: None });
            }
            if best.len() == self.s.keep {
                break;
            }
        }
        best
    }

    fn save(&self) -> Saved {
        let progress = Progress { adam_steps: self.adam.steps, ..self.progress.clone() };
        Saved::new(&progress, &[("weights", self.w.flat()), ("mean", &self.adam.mean), ("square", &self.adam.square)])
    }

    fn restore(&mut self, saved: &Saved) -> Result<()> {
        self.progress = serde_json::from_value(saved.state.clone()).map_err(|e| Error::input("checkpoint", e.to_string()))?;
        self.adam.steps = self.progress.adam_steps;
        saved.copy_to("weights", self.w.flat())?;
        saved.copy_to("mean", &self.adam.mean)?;
        saved.copy_to("square", &self.adam.square)
    }
}

/// Random blocks with what the hypernetwork predicts of them.
struct Controls<'a, 'b> {
    state: &'a mut State<'b>,
}

impl Proposals for Controls<'_, '_> {
    fn needs(&self, _: u64) -> u64 {
        0
    }

    fn draw(&mut self, id: u64, _: u64, _: &[TrialRecord], streams: Streams) -> Trial {
        let architecture = draw(self.state.s.nodes, streams.child("control", 0).rng("block", id));
        let predicted = self.state.score(&architecture).expect("blocks of the space have predicted weights");
        let proxies = BTreeMap::from([("ghn".to_string(), predicted)]);
        Trial { id, architecture, parent: None, origin: "sampled".into(), proxies }
    }

    fn committed(&mut self, history: &[TrialRecord], lab: &mut Lab) -> Result<()> {
        lab.show(history.len() as u64, self.state.s.control.nets);
        Ok(())
    }
}

/// The whole experiment.
pub fn run(search: &dyn Search, s: &Ghn, lab: &mut Lab) -> Result<Found> {
    let mut state = State::new(s, lab)?;
    if let Some(saved) = lab.take_saved(STAGE) {
        state.restore(&saved)?;
    }
    let trained = match state.progress.trained {
        Some(end) => end,
        None => {
            let end = state.train(lab)?;
            state.progress.trained = Some(end);
            lab.checkpoint(STAGE, &state.save())?;
            end
        }
    };
    let epochs = BTreeMap::from([("hypernetwork_epochs".to_string(), state.progress.epoch as f64)]);
    match s.experiment {
        Experiment::Search => {
            let ranked = state.rank(lab)?;
            let mut extra = epochs;
            extra.insert("ranked".into(), state.progress.scores.len() as f64);
            Ok(Found {
                candidates: state.best(lab),
                score_kind: "accuracy with predicted weights on the validation images".into(),
                end: if trained == EndReason::Completed { ranked } else { trained },
                extra,
            })
        }
        Experiment::Correlation => {
            let mut controls = Controls { state: &mut state };
            let mut duplicates = Duplicates::new(Policy::Train);
            let (history, stop) = lab.stream(search, 0..s.control.nets, &s.control.child, &mut duplicates, &mut controls)?;
            let end = stop.or((trained != EndReason::Completed).then_some(trained));
            let mut found = Found::of_trials(&history, s.keep, end, lab.metric());
            found.extra.extend(epochs);
            Ok(found)
        }
    }
}

/// Device-seconds of the whole experiment from a few steps of each kind.
pub fn forecast(search: &dyn Search, s: &Ghn, lab: &mut Lab) -> Result<f64> {
    let mut state = State::new(s, lab)?;
    let step = lab.seconds_per_step("step of the hypernetwork", |lab| state.step(lab).map(drop))?;
    let training = step * (s.epochs * state.steps) as f64;
    let example = draw(s.nodes, lab.streams.rng("example", 1));
    let score = lab.seconds_per_step("score of a block", |_| state.score(&example).map(drop))?;
    let probes = score * (s.probes * (s.epochs + 1)) as f64;
    let rest = match s.experiment {
        Experiment::Search => score * s.candidates as f64,
        Experiment::Correlation => lab.forecast_trials(search, &example, &s.control.child, s.control.nets, u64::MAX)?,
    };
    Ok(training + probes + rest)
}
