//! The controller: a one-layer LSTM that makes all decisions in a row, 50 for a pair of cells, each by a softmax over its legal choices (paper, section 3.1).
//!
//! It reads a learned embedding of the decision before, and has one head a kind of decision, shared by all blocks and both cells.

use super::decisions::{Decisions, Kind};
use crate::nn::{Init, ParamId, Table, Weights};
use crate::seed::{Rng, pick};
use rand::RngExt;
use tch::{Device, Kind as Number, Tensor};

/// All weights start uniformly in ± this (paper, appendix A.1).
const INIT: Init = Init::Uniform(0.1);

/// Weight and bias.
type Layer = (ParamId, ParamId);

/// The declared network.
pub struct Controller {
    /// What it declares.
    pub table: Table,
    decisions: Decisions,
    hidden: i64,
    embedding: ParamId,
    input: Layer,
    recurrent: Layer,
    heads: Vec<(Kind, Layer)>,
}

/// What a walk over all decisions of some architectures gives.
pub struct Walk {
    /// The decisions, one list an architecture.
    pub chosen: Vec<Vec<usize>>,
    /// Log-probability of each decision, [architectures, decisions].
    pub log_probability: Tensor,
    /// Entropy of each decision's softmax in nats, [architectures, decisions].
    pub entropy: Tensor,
}

impl Controller {
    /// With `hidden` units.
    pub fn declare(decisions: &Decisions, hidden: i64) -> Self {
        let mut t = Table::default();
        // The start, the states, the operations, the ways to join.
        let tokens = 1 + decisions.states + decisions.operations + decisions.joins;
        let embedding = t.param("embedding", &[tokens as i64, hidden], INIT);
        let mut layer = |name: &str, rows: i64| -> Layer {
            t.scope(name, |t| (t.param("weight", &[rows, hidden], INIT), t.param("bias", &[rows], INIT)))
        };
        let (input, recurrent) = (layer("input", 4 * hidden), layer("recurrent", 4 * hidden));
        let heads = decisions.kinds().into_iter().map(|(kind, choices)| (kind, layer(name(kind), choices as i64))).collect();
        Self { table: t, decisions: decisions.clone(), hidden, embedding, input, recurrent, heads }
    }

    /// Fresh weights in double precision. The controller is small and always lives on the CPU, so that its sums do not depend on a card.
    pub fn weights(&self, rng: &mut Rng) -> Weights {
        Weights::init(&self.table, rng, Device::Cpu, Number::Double)
    }

    /// Samples `count` architectures; one uniform number a decision.
    pub fn sample(&self, w: &Weights, count: usize, rng: &mut Rng) -> Walk {
        tch::no_grad(|| {
            self.walk(w, count, |_, log_p| {
                let rows = Vec::<Vec<f64>>::try_from(log_p.exp()).expect("probabilities are double precision");
                rows.iter().map(|row| pick(row, rng.random())).collect()
            })
        })
    }

    /// Probabilities and entropies of given decisions under these weights.
    pub fn replay(&self, w: &Weights, chosen: &[Vec<usize>]) -> Walk {
        self.walk(w, chosen.len(), |step, _| chosen.iter().map(|c| c[step]).collect())
    }

    /// Makes all decisions; `choose` is given the log-probabilities of the legal choices, [architectures, choices].
    fn walk(&self, w: &Weights, count: usize, mut choose: impl FnMut(usize, &Tensor) -> Vec<usize>) -> Walk {
        let n = count as i64;
        let zeros = || Tensor::zeros([n, self.hidden], (Number::Double, Device::Cpu));
        let (mut h, mut c) = (zeros(), zeros());
        let mut tokens = vec![0i64; count];
        let mut chosen = vec![Vec::with_capacity(self.decisions.count()); count];
        let (mut log_probabilities, mut entropies) = (Vec::new(), Vec::new());
        for step in 0..self.decisions.count() {
            let x = w[self.embedding].index_select(0, &Tensor::from_slice(&tokens));
            let ((wi, bi), (wh, bh)) = (self.input, self.recurrent);
            (h, c) = x.lstm_cell(&[h, c], &w[wi], &w[wh], Some(w[bi].shallow_clone()), Some(w[bh].shallow_clone()));
            let (kind, legal) = self.decisions.at(step);
            let (head, first) = self.head(kind);
            // Illegal choices have no logit at all.
            let logits = h.linear(&w[head.0], Some(&w[head.1])).narrow(1, 0, legal as i64);
            let log_p = logits.log_softmax(1, Number::Double);
            let picks = choose(step, &log_p);
            let index: Vec<i64> = picks.iter().map(|p| *p as i64).collect();
            log_probabilities.push(log_p.gather(1, &Tensor::from_slice(&index).unsqueeze(1), false));
            entropies.push(-(log_p.exp() * &log_p).sum_dim_intlist(1, true, Number::Double));
            for ((pick, token), list) in picks.iter().zip(&mut tokens).zip(&mut chosen) {
                *token = first + *pick as i64;
                list.push(*pick);
            }
        }
        Walk { chosen, log_probability: Tensor::cat(&log_probabilities, 1), entropy: Tensor::cat(&entropies, 1) }
    }

    /// Its head, and the token of its first choice.
    fn head(&self, kind: Kind) -> (Layer, i64) {
        let before = match kind {
            Kind::Input(_) => 0,
            Kind::Operation(_) => self.decisions.states,
            Kind::Join => self.decisions.states + self.decisions.operations,
        };
        let (_, layer) = self.heads.iter().find(|(of, _)| *of == kind).expect("every kind has a head");
        (*layer, 1 + before as i64)
    }
}

/// What a head is called.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Input(0) => "first_input",
        Kind::Input(_) => "second_input",
        Kind::Operation(0) => "first_operation",
        Kind::Operation(_) => "second_operation",
        Kind::Join => "join",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::nasnet::NASNET_OPS;

    fn controller() -> (Controller, Weights) {
        let controller = Controller::declare(&Decisions::of_cells(NASNET_OPS.len(), true), 100);
        let weights = controller.weights(&mut Streams::new(0).rng("controller", 0));
        (controller, weights)
    }

    #[test]
    fn it_has_the_derived_number_of_weights() {
        assert_eq!(controller().0.table.count(), 87_040);
    }

    #[test]
    fn sampled_decisions_are_legal_and_have_the_probability_that_a_replay_finds() {
        let (controller, w) = controller();
        let sampled = controller.sample(&w, 200, &mut Streams::new(1).rng("sample", 0));
        for list in &sampled.chosen {
            assert!(list.iter().enumerate().all(|(step, d)| *d < controller.decisions.at(step).1), "{list:?}");
        }
        let replayed = controller.replay(&w, &sampled.chosen);
        assert!((sampled.log_probability - replayed.log_probability).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn an_untrained_controller_is_nearly_uniform() {
        let (controller, w) = controller();
        let entropy =
            controller.sample(&w, 200, &mut Streams::new(1).rng("sample", 0)).entropy.mean_dim([0i64].as_slice(), false, Number::Double);
        let entropy = Vec::<f64>::try_from(&entropy).unwrap();
        for (step, h) in entropy.iter().enumerate() {
            let uniform = (controller.decisions.at(step).1 as f64).ln();
            assert!((h - uniform).abs() < 0.02 * uniform, "decision {step}: {h} of {uniform}");
        }
        assert!((entropy.iter().sum::<f64>() / 50.0 - 1.69).abs() < 0.01);
    }

    #[test]
    fn the_gradient_agrees_with_central_differences() {
        let controller = Controller::declare(&Decisions::of_cells(NASNET_OPS.len(), true), 7);
        let w = controller.weights(&mut Streams::new(2).rng("controller", 0));
        let chosen = controller.sample(&w, 3, &mut Streams::new(3).rng("sample", 0)).chosen;
        let weights = Tensor::from_slice(&[0.3, -1.1, 0.7]).unsqueeze(1);
        let loss = |w: &Weights| {
            let walk = controller.replay(w, &chosen);
            (walk.log_probability * &weights).sum(Number::Double) + walk.entropy.sum(Number::Double) * 0.1
        };
        w.check_gradient(loss, 60, 1e-6);
    }
}
