//! Training the hypernetwork on small random blocks, ranking larger ones, and the experiment that asks how well the ranking predicts
//! (paper, sections 3.5, 5.1 and 5.3).

use super::hypernetwork::Hypernetwork;
use super::{Experiment, Ghn};
use crate::error::{Result, usage};
use crate::lab::{Lab, Point, Rehearsal, Stepwise, TracedStep};
use crate::network::CellNetwork;
use crate::nn::{Network, Pass, Table, Weights, cross_entropy};
use crate::proposals::{Known, Proposal, Proposals};
use crate::record::{Candidate, EndReason, LEARNING_RATE};
use crate::seed::{Rng, Streams};
use crate::space::{Architecture, Cell, GhnOp, NetSize, ghn};
use crate::task::{Augment, Batch, Part};
use crate::train::{Adam, Saved, clip};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Tensor, no_grad};

/// Name of the predicted scores.
pub const PREDICTED: &str = "ghn";
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
    /// Device-seconds of scoring a block, as last measured.
    scoring_seconds: f64,
    /// Predicted scores of the blocks ranked so far.
    scores: Vec<f64>,
}

fn cell(architecture: &Architecture) -> &Cell<GhnOp> {
    architecture.get().expect("blocks are drawn here")
}

fn draw(nodes: usize, mut rng: Rng) -> Architecture {
    ghn::sample(nodes, &mut rng).into()
}

/// A network with the weights that are predicted of it.
struct Predicted {
    network: CellNetwork,
    /// What its vertices end with, [V, D].
    states: Tensor,
    weights: Weights,
}

impl Predicted {
    /// Of the images of a batch, whose statistics the norms use, [N, classes].
    fn logits(&self, batch: &Batch) -> Tensor {
        self.network.forward(&self.weights, &batch.images, &mut Pass::by_batch()).logits
    }

    fn tell(&self, step: &mut TracedStep) {
        step.tensor("states", &self.states);
        let names = self.network.table().names();
        names.zip(self.weights.params()).for_each(|(name, weight)| step.tensor(&format!("child.{name}"), weight));
    }
}

/// One of the first `keep`, each as likely as the others.
pub(super) fn one_of_the_best(order: &[usize], keep: usize, rng: &mut Rng) -> usize {
    order[rng.random_range(0..keep.min(order.len()))]
}

/// The whole experiment, but for the trials of [`Experiment::Correlation`], which follow it.
pub struct GraphSearch {
    s: Ghn,
    hyper: Hypernetwork,
    w: Weights,
    adam: Adam,
    streams: Streams,
    progress: Progress,
    steps: u64,
    /// Whole batches of validation images, the same for every block.
    validation: Vec<Batch>,
}

impl GraphSearch {
    /// Before the first step.
    pub fn new(s: Ghn, lab: &Lab) -> Result<Self> {
        let size = NetSize { channels: s.channels, cells: s.cells, auxiliary: false };
        let hyper = Hypernetwork::declare(&s.network, lab.input(), size);
        let example = draw(s.train_nodes, lab.streams.rng("example", 0));
        let w = hyper.weights(&mut lab.streams.rng("init", 0), cell(&example), lab.device, Kind::Float);
        let adam = Adam::new(w.flat(), s.learning_rate, BETAS, 0.0);
        let batches = lab.task.steps(Part::Valid, s.batch);
        let streams = lab.streams.child("validation", 0);
        let all = (0..batches).map(|i| lab.task.batch(Part::Valid, 0, i, s.batch, &Augment::NONE, streams));
        let validation: Vec<Batch> = all.filter(|b| b.len() == s.batch).collect();
        if validation.is_empty() {
            return Err(usage!("search.batch = {}: there are fewer validation images; make one of them fit", s.batch));
        }
        let steps = lab.task.steps(Part::Train, s.batch);
        Ok(Self { s, hyper, w, adam, streams: lab.streams, progress: Progress::default(), steps, validation })
    }

    /// Blocks to rank.
    fn candidates_to_rank(&self) -> u64 {
        if self.s.experiment == Experiment::Correlation { 0 } else { self.s.candidates }
    }

    /// One step of the hypernetwork: a fresh block, its predicted weights, a batch of images. `None` if the loss is not finite.
    fn train_once(&mut self, lab: &mut Lab) -> Result<Option<u64>> {
        let (epoch, index) = (self.progress.epoch, self.progress.position);
        let architecture = draw(self.s.train_nodes, lab.streams.rng("block", epoch * self.steps + index));
        let batch = lab.task.batch(Part::Train, epoch, index, self.s.batch, &self.s.augment, lab.streams);
        let predicted = self.predict(&architecture)?;
        let loss = cross_entropy(&predicted.logits(&batch), &batch.labels);
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return Ok(None);
        }
        let gradient = clip(self.w.gradient(&loss), self.s.clip);
        let halvings = self.s.halve_at.iter().filter(|share| epoch as f64 >= *share * self.s.epochs as f64).count();
        self.adam.learning_rate = self.s.learning_rate * 0.5f64.powi(halvings as i32);
        self.adam.step(self.w.flat(), &gradient);
        lab.trace(|step| {
            step.of_weights(&architecture, value, self.adam.learning_rate, &gradient);
            predicted.tell(step);
        });
        self.progress.loss_sum += value;
        Ok(Some(batch.len() as u64))
    }

    fn predict(&self, architecture: &Architecture) -> Result<Predicted> {
        let network = self.hyper.network(cell(architecture))?;
        let states = self.hyper.states(&self.w, cell(architecture));
        let weights = self.hyper.decode(&self.w, cell(architecture), &states, &network)?;
        Ok(Predicted { network, states, weights })
    }

    /// A block with predicted weights, and its accuracy on the validation images. It changes nothing.
    fn scored(&self, architecture: &Architecture) -> Result<(Predicted, f64)> {
        no_grad(|| {
            let predicted = self.predict(architecture)?;
            let right = self.validation.iter().map(|batch| {
                let logits = predicted.logits(batch);
                logits.argmax(1, false).eq_tensor(&batch.labels).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
            });
            let score = right.sum::<f64>() / self.validation.len() as f64;
            Ok((predicted, score))
        })
    }

    /// That accuracy alone.
    fn score(&self, architecture: &Architecture) -> Result<f64> {
        Ok(self.scored(architecture)?.1)
    }

    /// A point of the training's curve, with the mean score of a few blocks that are never ranked.
    fn report_epoch(&mut self, lab: &mut Lab) -> Result<()> {
        let (mut sum, before) = (0.0, lab.spent());
        for i in 0..self.s.probes {
            sum += self.score(&draw(self.s.nodes, lab.streams.child("probe", 0).rng("block", i)))?;
        }
        self.progress.scoring_seconds = (lab.spent() - before) / self.s.probes.max(1) as f64;
        let trained = self.progress.epoch > 0;
        lab.progress(Point {
            part: TRAINING,
            epoch: self.progress.epoch,
            step: self.done(),
            loss: trained.then(|| self.progress.loss_sum / self.steps as f64),
            score: (self.s.probes > 0).then(|| sum / self.s.probes as f64),
            extra: trained.then(|| (LEARNING_RATE.to_string(), self.adam.learning_rate)).into_iter().collect(),
            ..Point::default()
        })?;
        self.progress.loss_sum = 0.0;
        Ok(())
    }

    /// A step of the training; it ends with the last epoch or where it diverges.
    fn training_step(&mut self, lab: &mut Lab) -> Result<u64> {
        if self.done() == 0 {
            self.report_epoch(lab)?;
        }
        let Some(images) = self.train_once(lab)? else {
            self.progress.trained = Some(EndReason::Diverged);
            return Ok(0);
        };
        self.progress.position += 1;
        if self.progress.position == self.steps {
            (self.progress.epoch, self.progress.position) = (self.progress.epoch + 1, 0);
            self.report_epoch(lab)?;
        }
        if self.progress.epoch == self.s.epochs {
            self.progress.trained = Some(EndReason::Completed);
        }
        Ok(images)
    }

    fn candidate(&self, number: usize) -> Architecture {
        draw(self.s.nodes, self.streams.child("ranking", 0).rng("block", number as u64))
    }

    /// Scores the next block.
    fn ranking_step(&mut self, lab: &mut Lab) -> Result<()> {
        let block = self.candidate(self.progress.scores.len());
        let (predicted, score) = self.scored(&block)?;
        lab.trace(|step| {
            step.of_score(&block, score);
            predicted.tell(step);
        });
        self.progress.scores.push(score);
        let ranked = self.progress.scores.len() as u64;
        if !ranked.is_multiple_of(self.s.candidates.div_ceil(20)) && ranked != self.s.candidates {
            return Ok(());
        }
        lab.progress(Point {
            part: RANKING,
            epoch: self.progress.epoch,
            step: ranked,
            score: self.progress.scores.iter().copied().reduce(f64::max),
            extra: BTreeMap::from([("ranked".to_string(), ranked as f64)]),
            ..Point::default()
        })
    }
}

impl Stepwise for GraphSearch {
    fn planned(&self) -> u64 {
        self.s.epochs * self.steps + self.candidates_to_rank()
    }

    fn done(&self) -> u64 {
        self.progress.epoch * self.steps + self.progress.position + self.progress.scores.len() as u64
    }

    fn is_over(&self) -> bool {
        self.progress.trained.is_some() && self.progress.scores.len() as u64 >= self.candidates_to_rank()
    }

    fn step(&mut self, lab: &mut Lab) -> Result<Option<u64>> {
        if self.progress.trained.is_none() {
            return self.training_step(lab).map(Some);
        }
        self.ranking_step(lab)?;
        Ok(Some(0))
    }

    fn table(&self) -> &Table {
        &self.hyper.table
    }

    fn save(&self) -> Saved {
        let progress = Progress { adam_steps: self.adam.steps, ..self.progress.clone() };
        Saved::new(&progress, &[("weights", self.w.flat()), ("mean", &self.adam.mean), ("square", &self.adam.square)])
    }

    fn restore(&mut self, _: &Lab, saved: &Saved) -> Result<()> {
        self.progress = saved.progress()?;
        self.adam.steps = self.progress.adam_steps;
        saved.copy_to("weights", self.w.flat())?;
        saved.copy_to("mean", &self.adam.mean)?;
        saved.copy_to("square", &self.adam.square)
    }

    /// The ranked blocks, the first among equals, or one of the best; at least one, whatever ended the search.
    fn candidates(&mut self, lab: &mut Lab, _: EndReason) -> Result<Vec<Candidate>> {
        if self.progress.scores.is_empty() {
            self.ranking_step(lab)?;
        }
        let scores = &self.progress.scores;
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        if self.s.experiment == Experiment::Top {
            order = vec![one_of_the_best(&order, self.s.keep, &mut self.streams.rng("one of the best", 0))];
        }
        let candidate = |number: usize| Candidate {
            origin: format!("ranked {number}"),
            architecture: self.candidate(number),
            search_score: Some(scores[number]),
            select_score: None,
        };
        Ok(order.into_iter().map(candidate).collect())
    }

    fn score_kind(&self, _: &str) -> String {
        "accuracy with predicted weights on the validation images".into()
    }

    fn figures(&self) -> BTreeMap<String, f64> {
        let ranked = (self.s.experiment != Experiment::Correlation).then(|| ("ranked".to_string(), self.progress.scores.len() as f64));
        [("hypernetwork_epochs".to_string(), self.progress.epoch as f64)].into_iter().chain(ranked).collect()
    }

    fn ended_early(&self) -> Option<EndReason> {
        self.progress.trained.filter(|end| *end != EndReason::Completed)
    }

    fn follow_up(&self) -> f64 {
        if self.progress.trained.is_none() { self.candidates_to_rank() as f64 * self.progress.scoring_seconds } else { 0.0 }
    }

    fn cut_short(&mut self) {
        self.progress.trained.get_or_insert(EndReason::BudgetReached);
    }

    fn rehearsals(&self, _: &Lab) -> Vec<Rehearsal> {
        let probes = self.s.probes * (self.s.epochs + 1);
        vec![
            Rehearsal { what: "step of the hypernetwork", times: (self.s.epochs * self.steps) as f64 },
            Rehearsal { what: "score of a block", times: (probes + self.candidates_to_rank()) as f64 },
        ]
    }

    fn rehearse(&mut self, kind: usize, lab: &mut Lab) -> Result<()> {
        if kind == 0 {
            return self.train_once(lab).map(drop);
        }
        self.score(&draw(self.s.nodes, lab.streams.rng("example", 1))).map(drop)
    }

    fn proposals(&mut self) -> Option<&mut dyn Proposals<Architecture>> {
        (self.s.experiment == Experiment::Correlation).then_some(self as &mut dyn Proposals<Architecture>)
    }
}

/// Random blocks with what the hypernetwork predicts of them.
impl Proposals<Architecture> for GraphSearch {
    fn draw(&mut self, id: u64, _: u64, _: &[Known<Architecture>], streams: Streams) -> Proposal<Architecture> {
        let architecture = draw(self.s.nodes, streams.child("control", 0).rng("block", id));
        let predicted = self.score(&architecture).expect("blocks of the space have predicted weights");
        Proposal { proxies: BTreeMap::from([(PREDICTED.to_string(), predicted)]), ..Proposal::sampled(architecture) }
    }
}
