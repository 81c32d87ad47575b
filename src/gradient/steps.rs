//! The loop of algorithm 1, with its checkpoints and curves.

use super::{Ahead, Alternation, Mixed, RADIUS};
use crate::error::Result;
use crate::lab::{Engine, Lab, Point, Prepared, Region, Rehearsal, Settings, Stepwise, TracedStep};
use crate::nn::{Pass, Table, Weights};
use crate::record::{Candidate, EndReason, LEARNING_RATE};
use crate::seed::Streams;
use crate::space::{Architecture, InputShape};
use crate::task::{Batch, Part};
use crate::train::{Adam, Saved, Sgd, clip, cosine};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tch::{Device, Kind, Tensor, no_grad};

/// From the lab and the random streams of a search to its network.
pub type MakeMixed = Arc<dyn Fn(&Lab, Streams) -> Result<Box<dyn Mixed>> + Send + Sync>;

/// A method whose search is the alternation of steps on a mixed network, in a region that reports call by the name beside it.
///
/// # Errors
/// [`crate::error::Error::Usage`], naming the setting at fault.
pub fn prepared<S>(space: (&str, Region), settings: &Settings<S>, how: Alternation, make: MakeMixed) -> Result<Prepared> {
    how.check()?;
    let (variant, augment, searches) = (how.order.name().into(), how.augment.clone(), how.searches);
    let how = Arc::new(how);
    let engine = Engine::by_steps(move |lab| GradientSearch::new(Arc::clone(&how), Arc::clone(&make), lab, Progress::default()));
    let check = move |input: InputShape| augment.check("search.augment", input.height, input.width);
    Ok(Prepared { variant, check: Box::new(check), ..Prepared::by_steps(space, settings, searches, engine)? })
}

/// Where the whole search stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Which of the searches is on.
    part: u64,
    /// Steps done in it.
    step: u64,
    /// Steps of the alpha optimiser.
    alpha_steps: u64,
    loss_sum: f64,
    loss_steps: u64,
    /// Score of the mixed network at the last epoch's end.
    score: Option<f64>,
    /// The architecture then, and for how many epochs it has stayed the same.
    settled: Option<(Architecture, u64)>,
    /// What finished searches returned.
    candidates: Vec<Candidate>,
    /// Device-seconds of the run when this one began.
    began: f64,
    /// Its share of the budget is used up.
    cut: bool,
    /// So was that of an earlier one.
    earlier_cut: bool,
}

/// Some searches one after the other, each from random streams of its own.
pub struct GradientSearch {
    how: Arc<Alternation>,
    make: MakeMixed,
    net: Box<dyn Mixed>,
    weights: Weights,
    weight_steps: Sgd,
    /// One for every tensor of alpha.
    alpha_steps: Vec<Adam>,
    streams: Streams,
    steps_per_epoch: u64,
    progress: Progress,
}

/// What a turn of the loop computed.
struct Turn {
    loss: f64,
    /// η
    eta: f64,
    /// ∇w L_train, clipped.
    gradient: Tensor,
    /// ∇α L_val, one for every tensor of alpha; none in the warm-up.
    alpha_gradients: Vec<Tensor>,
}

impl Turn {
    fn tell(&self, step: &mut TracedStep, net: &dyn Mixed) {
        step.of_weights(&net.genotype(), self.loss, self.eta, &self.gradient);
        self.alpha_gradients.iter().enumerate().for_each(|(i, gradient)| step.tensor(&format!("alpha_gradient.{i}"), gradient));
    }
}

impl GradientSearch {
    /// Before the first step of search number `progress.part`.
    fn new(how: Arc<Alternation>, make: MakeMixed, lab: &Lab, progress: Progress) -> Result<Self> {
        let streams = lab.streams.child("search", progress.part);
        let net = make(lab, streams)?;
        let steps_per_epoch = lab.task.steps(Part::Train, how.batch);
        Ok(Self::with(how, make, net, streams, lab.device, steps_per_epoch, progress))
    }

    fn with(
        how: Arc<Alternation>,
        make: MakeMixed,
        net: Box<dyn Mixed>,
        streams: Streams,
        device: Device,
        steps_per_epoch: u64,
        progress: Progress,
    ) -> Self {
        let weights = Weights::initialised(net.table(), how.initialisation, &mut streams.rng("init", 0), device, Kind::Float);
        let (w, a) = (&how.weights, &how.alpha);
        let adam = |alpha: &Tensor| Adam::new(alpha, a.learning_rate, (a.beta1, a.beta2), a.weight_decay);
        Self {
            weight_steps: Sgd { nesterov: w.nesterov, ..Sgd::new(weights.flat(), w.momentum, w.weight_decay) },
            alpha_steps: net.alpha().into_iter().map(adam).collect(),
            steps_per_epoch,
            how,
            make,
            net,
            weights,
            streams,
            progress,
        }
    }

    fn tensors(&self) -> Vec<(String, &Tensor)> {
        let mut all = vec![
            ("weights".to_string(), self.weights.flat()),
            ("statistics".to_string(), self.weights.flat_stats()),
            ("velocity".to_string(), &self.weight_steps.velocity),
        ];
        for (i, (alpha, adam)) in self.net.alpha().into_iter().zip(&self.alpha_steps).enumerate() {
            let named = [("alpha", alpha), ("alpha_mean", &adam.mean), ("alpha_square", &adam.square)];
            all.extend(named.map(|(name, tensor)| (format!("{name}.{i}"), tensor)));
        }
        all
    }

    /// Steps of one search.
    fn planned_part(&self) -> u64 {
        self.steps_per_epoch * self.how.epochs
    }

    fn part_is_over(&self) -> bool {
        let settled = |(_, epochs): &(Architecture, u64)| self.how.patience > 0 && *epochs >= self.how.patience;
        self.progress.cut || self.progress.step == self.planned_part() || self.progress.settled.as_ref().is_some_and(settled)
    }

    fn is_last_part(&self) -> bool {
        self.progress.part + 1 == self.how.searches
    }

    /// Begins the next search; `candidate` is what this one found.
    fn next_part(&mut self, lab: &mut Lab, candidate: Option<Candidate>) -> Result<()> {
        let candidates = self.progress.candidates.drain(..).chain(candidate).collect();
        let (part, earlier_cut) = (self.progress.part + 1, self.progress.cut || self.progress.earlier_cut);
        let progress = Progress { part, candidates, began: lab.spent(), earlier_cut, ..Progress::default() };
        *self = Self::new(Arc::clone(&self.how), Arc::clone(&self.make), lab, progress)?;
        // The step that began with the end of the last search goes on with the start of this one.
        lab.trace_from(self.done(), self.table(), || self.save())
    }

    /// What the present search has found; nothing before its first step.
    fn candidate(&self, lab: &mut Lab) -> Result<Option<Candidate>> {
        if self.progress.step == 0 {
            return Ok(None);
        }
        if self.progress.alpha_steps == 0 {
            lab.notice("the search ended before its first architecture step: its cells are those of the random start")?;
        }
        Ok(Some(Candidate {
            origin: format!("search {}", self.progress.part),
            architecture: self.net.genotype(),
            search_score: self.progress.score,
            select_score: None,
        }))
    }

    fn epoch(&self) -> u64 {
        self.progress.step / self.steps_per_epoch
    }

    /// Of the weights.
    fn learning_rate(&self, epoch: u64) -> f64 {
        let w = &self.how.weights;
        cosine(w.learning_rate, w.learning_rate_end, epoch, self.how.epochs)
    }

    /// Batch of the next weight step.
    fn train_batch(&self, lab: &Lab) -> Batch {
        let index = self.progress.step % self.steps_per_epoch;
        lab.task.batch(Part::Train, self.epoch(), index, self.how.batch, &self.how.augment, self.streams)
    }

    /// Batch of the next architecture step, independent of the steps before; none during the warm-up.
    fn valid_batch(&self, lab: &Lab) -> Option<Batch> {
        let draw = || lab.task.random_batch(Part::Valid, self.progress.step, self.how.batch, &self.how.augment, self.streams);
        (self.epoch() >= self.how.warm_up).then(draw)
    }

    /// One turn of algorithm 1's loop. `None` if a loss was NaN or infinite: then the step has been made, and the search is good for nothing.
    fn alternate(&mut self, train: &Batch, valid: Option<&Batch>) -> Option<Turn> {
        let eta = self.learning_rate(self.epoch());
        let (mut alpha_gradients, mut alpha_loss) = (Vec::new(), None);
        if let Some(valid) = valid {
            // Algorithm 1, line 1: alpha descends ∇α L_val(w − η ∇w L_train(w, α), α); η = 0 in the first order.
            let (gradients, loss) = self.alpha_gradient(train, valid, eta);
            for ((adam, alpha), gradient) in self.alpha_steps.iter_mut().zip(self.net.alpha()).zip(&gradients) {
                adam.step(alpha, gradient);
            }
            (alpha_gradients, alpha_loss) = (gradients, Some(loss));
        }
        // Algorithm 1, line 2: w descends ∇w L_train(w, α), with the new alpha.
        let loss = self.loss(&self.weights, train);
        let gradient = clip(self.weights.gradient(&loss), self.how.weights.clip);
        self.weight_steps.step(self.weights.flat(), &gradient, eta);
        // To read a number waits for a card, so losses are read when all of the step is under way.
        let value = loss.double_value(&[]);
        if !value.is_finite() || alpha_loss.is_some_and(|loss| !loss.double_value(&[]).is_finite()) {
            return None;
        }
        self.progress.step += 1;
        self.progress.alpha_steps = self.alpha_steps[0].steps;
        self.progress.loss_sum += value;
        self.progress.loss_steps += 1;
        Some(Turn { loss: value, eta, gradient, alpha_gradients })
    }

    /// With the sum of its losses.
    fn alpha_gradient(&self, train: &Batch, valid: &Batch, eta: f64) -> (Vec<Tensor>, Tensor) {
        let ahead = Ahead { table: self.net.table(), weights: &self.weights, sgd: &self.weight_steps, eta, radius: RADIUS };
        let (train, valid) = (|w: &Weights| self.loss(w, train), |w: &Weights| self.loss(w, valid));
        ahead.gradient(self.how.order, &self.net.alpha(), &train, &valid)
    }

    /// What is dropped is the same for all losses of a step, wherever the weights are.
    fn loss(&self, weights: &Weights, batch: &Batch) -> Tensor {
        let mut pass = Pass::training(0.0, self.streams.rng("dropout", self.progress.step)).with_dropout(self.how.dropout);
        self.how.loss.of(&self.net.forward(weights, &batch.images, &mut pass), &batch.labels)
    }

    fn end_epoch(&mut self, lab: &mut Lab) -> Result<()> {
        let logits = |x: &Tensor| no_grad(|| self.net.forward(&self.weights, x, &mut Pass::evaluation()));
        let score = lab.score(Part::Valid, self.how.batch, logits)?;
        let loss = self.progress.loss_sum / self.progress.loss_steps.max(1) as f64;
        (self.progress.loss_sum, self.progress.loss_steps) = (0.0, 0);
        let Some(score) = score else { return Ok(()) };
        self.progress.score = Some(score.value);
        self.compare();
        self.report(lab, Some(loss))
    }

    /// Counts the epochs after the warm-up in which the architecture stays the same.
    fn compare(&mut self) {
        if self.epoch() > self.how.warm_up {
            let now = self.net.genotype();
            let epochs = self.progress.settled.take().map_or(0, |(before, epochs)| if before == now { epochs + 1 } else { 0 });
            self.progress.settled = Some((now, epochs));
        }
    }

    /// A point on the curves; the first, before any step, shows where alpha starts.
    fn report(&self, lab: &mut Lab, loss: Option<f64>) -> Result<()> {
        let mut extra = self.net.figures();
        if let Some(before) = self.epoch().checked_sub(1) {
            extra.insert(LEARNING_RATE.into(), self.learning_rate(before));
        }
        lab.progress(Point {
            part: self.progress.part,
            epoch: self.epoch(),
            step: self.progress.step,
            loss,
            score: self.progress.score,
            extra,
            architecture: Some(self.net.genotype()),
        })
    }
}

impl Stepwise for GradientSearch {
    fn planned(&self) -> u64 {
        self.planned_part() * self.how.searches
    }

    fn done(&self) -> u64 {
        self.progress.part * self.planned_part() + self.progress.step
    }

    fn is_over(&self) -> bool {
        self.is_last_part() && self.part_is_over()
    }

    fn step(&mut self, lab: &mut Lab) -> Result<Option<u64>> {
        if self.part_is_over() {
            let candidate = self.candidate(lab)?;
            self.next_part(lab, candidate)?;
        }
        loop {
            if self.progress.step == 0 {
                self.report(lab, None)?;
            }
            let (train, valid) = (self.train_batch(lab), self.valid_batch(lab));
            if let Some(turn) = self.alternate(&train, valid.as_ref()) {
                lab.trace(|step| turn.tell(step, &*self.net));
                if self.progress.step.is_multiple_of(self.steps_per_epoch) {
                    self.end_epoch(lab)?;
                }
                return Ok(Some((train.len() + valid.as_ref().map_or(0, Batch::len)) as u64));
            }
            // A search that diverged found nothing.
            if self.is_last_part() {
                return Ok(None);
            }
            self.next_part(lab, None)?;
        }
    }

    fn table(&self) -> &Table {
        self.net.table()
    }

    fn save(&self) -> Saved {
        let tensors = self.tensors();
        Saved::new(&self.progress, &tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect::<Vec<_>>())
    }

    fn restore(&mut self, lab: &Lab, saved: &Saved) -> Result<()> {
        *self = Self::new(Arc::clone(&self.how), Arc::clone(&self.make), lab, saved.progress()?)?;
        for (name, target) in self.tensors() {
            saved.copy_to(&name, target)?;
        }
        let steps = self.progress.alpha_steps;
        self.alpha_steps.iter_mut().for_each(|adam| adam.steps = steps);
        Ok(())
    }

    fn candidates(&mut self, lab: &mut Lab, end: EndReason) -> Result<Vec<Candidate>> {
        let last = if end == EndReason::Diverged { None } else { self.candidate(lab)? };
        let mut candidates: Vec<Candidate> = self.progress.candidates.drain(..).chain(last).collect();
        // Stable, so that equal scores stay in the order of their searches; a search without a score comes last.
        candidates.sort_by(|a, b| b.search_score.unwrap_or(-1.0).total_cmp(&a.search_score.unwrap_or(-1.0)));
        Ok(candidates)
    }

    fn score_kind(&self, metric: &str) -> String {
        format!("supernet validation {metric}")
    }

    fn part(&self) -> (f64, u64) {
        (self.progress.began, self.how.searches - self.progress.part)
    }

    fn cut_short(&mut self) {
        self.progress.cut |= !self.part_is_over();
    }

    fn ended_early(&self) -> Option<EndReason> {
        (self.progress.cut || self.progress.earlier_cut).then_some(EndReason::BudgetReached)
    }

    fn rehearsals(&self, lab: &Lab) -> Vec<Rehearsal> {
        // A step has about two forward and four backward-sized parts; scoring a batch has one.
        let scored = lab.task.steps(Part::Valid, self.how.batch) as f64 / 6.0;
        let times = (self.steps_per_epoch as f64 + scored) * (self.how.epochs * self.how.searches) as f64;
        vec![Rehearsal { what: "step of architecture and weights", times }]
    }

    fn rehearse(&mut self, _: usize, lab: &mut Lab) -> Result<()> {
        // After the warm-up: what most steps are like.
        self.progress.step = self.how.warm_up.min(self.how.epochs - 1) * self.steps_per_epoch;
        let (train, valid) = (self.train_batch(lab), self.valid_batch(lab));
        self.alternate(&train, valid.as_ref());
        Ok(())
    }
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
