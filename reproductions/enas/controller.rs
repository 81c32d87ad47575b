//! The controller: an LSTM without biases that chooses earlier states by attention and operations by a softmax (paper, section 2.2; authors'
//! released code, whose choices are the defaults here).

use super::ControllerSettings;
use super::space::Space;
use crate::nn::{Init, ParamId, Table, Weights};
use crate::seed::{Rng, pick};
use rand::RngExt;
use tch::{Device, Kind, Tensor};

/// All weights start uniformly in ± this.
const INIT: Init = Init::Uniform(0.1);
/// Start of the trainable bias of the micro space's operations: the two separable convolutions are favoured.
const SOFT_BIAS: [f64; 5] = [10.0, 10.0, 0.0, 0.0, 0.0];
/// Constant bias of the operations of the normal cell, after the tanh.
const NORMAL_BIAS: [f64; 5] = [0.25, 0.25, -0.25, -0.25, -0.25];

/// The declared network.
pub struct Controller {
    /// What it declares.
    pub table: Table,
    space: Space,
    settings: ControllerSettings,
    lstm: ParamId,
    start: ParamId,
    embedding: ParamId,
    soft: ParamId,
    /// Chooses among earlier states; in the space of NAS-Bench-201 there is no such choice.
    attention: Option<[ParamId; 3]>,
    bias: Option<ParamId>,
}

/// A sampled architecture.
pub struct Sample {
    /// Its decisions: micro (input, input, operation, operation) a node, macro operation and skip bits a layer, in NAS-Bench-201 the operation of an edge.
    pub decisions: Vec<usize>,
    /// Sum of the log-probabilities of the decisions.
    pub log_probability: Tensor,
    /// Entropy as the released code counts it: of every softmax (micro, NAS-Bench-201), or −p ln p of the decisions alone (macro).
    pub entropy: f64,
    /// Mean penalty of the skips of a layer (macro).
    pub skip_penalty: Option<Tensor>,
}

fn zeros(hidden: i64) -> Tensor {
    Tensor::zeros([1, hidden], (Kind::Double, Device::Cpu))
}

impl Controller {
    /// For one of the spaces.
    pub fn declare(space: Space, settings: &ControllerSettings) -> Self {
        let mut t = Table::default();
        let (h, operations) = (settings.hidden, space.operations() as i64);
        let lstm = t.param("lstm", &[2 * h, 4 * h], INIT);
        let start = t.param("start", &[1, h], INIT);
        let embedding = t.param("embedding", &[operations, h], INIT);
        let soft = t.param("soft", &[h, operations], INIT);
        let mut part = |name, columns| t.param(name, &[h, columns], INIT);
        let attention = (space != Space::Bench).then(|| [part("attention.keys", h), part("attention.query", h), part("attention.v", 1)]);
        let bias = matches!(space, Space::Micro { .. }).then(|| t.param("soft_bias", &[1, operations], Init::Constant(0.0)));
        Self { table: t, space, settings: settings.clone(), lstm, start, embedding, soft, attention, bias }
    }

    /// Fresh weights in double precision, on the CPU: the controller is small, and its sums must not depend on a card.
    pub fn weights(&self, rng: &mut Rng) -> Weights {
        let w = Weights::init(&self.table, rng, Device::Cpu, Kind::Double);
        if let Some(bias) = self.bias {
            tch::no_grad(|| w[bias].shallow_clone().copy_(&Tensor::from_slice(&SOFT_BIAS).view([1, -1])));
        }
        w
    }

    /// Samples an architecture.
    pub fn sample(&self, w: &Weights, rng: &mut Rng) -> Sample {
        self.walk(w, &mut |p| pick(p, rng.random()))
    }

    fn walk(&self, w: &Weights, choose: &mut dyn FnMut(&[f64]) -> usize) -> Sample {
        let mut walk = Walk {
            controller: self,
            w,
            choose,
            c: zeros(self.settings.hidden),
            h: zeros(self.settings.hidden),
            x: w[self.start].shallow_clone(),
            anchors: Vec::new(),
            keys: Vec::new(),
            decisions: Vec::new(),
            log_probability: Tensor::zeros([0i64; 0], (Kind::Double, Device::Cpu)),
            entropy: 0.0,
        };
        let skip_penalty = match self.space {
            Space::Micro { nodes } => {
                walk.cell(nodes, true);
                walk.cell(nodes, false);
                None
            }
            Space::Macro { layers } => Some(walk.layers(layers)),
            Space::Bench => {
                walk.edges();
                None
            }
        };
        let Walk { decisions, log_probability, entropy, .. } = walk;
        Sample { decisions, log_probability, entropy, skip_penalty }
    }
}

/// A walk over the decisions, and what it gathers.
struct Walk<'a> {
    controller: &'a Controller,
    w: &'a Weights,
    choose: &'a mut dyn FnMut(&[f64]) -> usize,
    /// Cell and hidden state of the LSTM and what it reads next, [1, H] each.
    c: Tensor,
    h: Tensor,
    x: Tensor,
    /// The states that can be chosen, and their keys for the attention.
    anchors: Vec<Tensor>,
    keys: Vec<Tensor>,
    decisions: Vec<usize>,
    log_probability: Tensor,
    entropy: f64,
}

impl Walk<'_> {
    /// One decision from logits [1, n].
    fn decide(&mut self, logits: &Tensor) -> usize {
        let log_p = logits.log_softmax(1, Kind::Double);
        let p: Vec<f64> = Vec::<f64>::try_from(log_p.detach().exp().view([-1])).expect("double precision");
        let choice = (self.choose)(&p);
        self.log_probability = &self.log_probability + log_p.select(1, choice as i64).squeeze();
        let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        let of_decision_alone = matches!(self.controller.space, Space::Macro { .. });
        self.entropy += if of_decision_alone { term(p[choice]) } else { p.iter().map(|p| term(*p)).sum() };
        self.decisions.push(choice);
        choice
    }

    /// Decides on an operation, which the LSTM reads next.
    fn operation(&mut self, logits: &Tensor) {
        let op = self.decide(logits);
        self.x = self.w[self.controller.embedding].narrow(0, op as i64, 1);
    }

    fn step(&mut self) {
        let gates = Tensor::cat(&[&self.x, &self.h], 1).matmul(&self.w[self.controller.lstm]).chunk(4, 1);
        self.c = gates[0].sigmoid() * gates[3].tanh() + gates[1].sigmoid() * &self.c;
        self.h = gates[2].sigmoid() * self.c.tanh();
    }

    /// z / T, then c tanh z.
    fn shaped(&self, z: Tensor, constant: f64) -> Tensor {
        let temperature = self.controller.settings.temperature;
        let z = if temperature > 0.0 { z / temperature } else { z };
        if constant > 0.0 { z.tanh() * constant } else { z }
    }

    /// Attention of the present state over the keys, [n, 1].
    fn attend(&self) -> Tensor {
        let [_, query, v] = self.attention();
        (Tensor::cat(&self.keys, 0) + self.h.matmul(&self.w[query])).tanh().matmul(&self.w[v])
    }

    fn remember(&mut self, anchor: Tensor) {
        self.anchors.push(anchor);
        self.keys.push(self.h.matmul(&self.w[self.attention()[0]]));
    }

    fn attention(&self) -> [ParamId; 3] {
        self.controller.attention.expect("a space with states to choose has an attention")
    }

    /// Decides on the operations of NAS-Bench-201's edges, one after the other.
    fn edges(&mut self) {
        let Controller { settings: s, soft, space, .. } = self.controller;
        for _ in 0..space.decisions() {
            self.step();
            self.operation(&self.shaped(self.h.matmul(&self.w[*soft]), s.tanh_constant));
        }
    }

    fn cell(&mut self, nodes: usize, normal: bool) {
        let (w, Controller { settings: s, start, soft, bias, .. }) = (self.w, self.controller);
        (self.anchors, self.keys) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            self.step();
            self.remember(zeros(s.hidden));
        }
        for _ in 0..nodes {
            for _ in 0..2 {
                self.step();
                let input = self.decide(&self.shaped(self.attend().view([1, -1]), s.tanh_constant));
                self.x = self.anchors[input].shallow_clone();
            }
            for _ in 0..2 {
                self.step();
                let z = self.h.matmul(&w[*soft]) + &w[bias.expect("the micro space has a bias")];
                let z = self.shaped(z, s.tanh_constant / s.op_tanh_reduce);
                self.operation(&if normal { z + Tensor::from_slice(&NORMAL_BIAS) } else { z });
            }
            self.step();
            self.remember(self.h.shallow_clone());
            self.x = w[*start].shallow_clone();
        }
    }

    /// Returns the mean penalty of the skips of a layer.
    fn layers(&mut self, layers: usize) -> Tensor {
        let (w, Controller { settings: s, start, soft, .. }) = (self.w, self.controller);
        let target = Tensor::from_slice(&[1.0 - s.skip_target, s.skip_target]);
        let mut penalties = Vec::new();
        for layer in 0..layers {
            self.step();
            self.operation(&self.shaped(self.h.matmul(&w[*soft]), s.tanh_constant));
            self.step();
            if layer == 0 {
                self.x = w[*start].shallow_clone();
            } else {
                let q = self.attend();
                // [layer, 2]: skip or not.
                let z = self.shaped(Tensor::cat(&[-&q, q], 1), s.tanh_constant);
                let share = z.sigmoid();
                penalties.push((&share * (&share / &target).log()).sum(Kind::Double));
                let (mut taken, mut count) = (self.h.zeros_like(), 0.0);
                for j in 0..layer {
                    if self.decide(&z.narrow(0, j as i64, 1)) == 1 {
                        taken += &self.anchors[j];
                        count += 1.0;
                    }
                }
                self.x = taken / (1.0 + count);
            }
            self.remember(self.h.shallow_clone());
        }
        Tensor::stack(&penalties, 0).mean(Kind::Double)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Weights;
    use crate::seed::Streams;
    use crate::train::Adam;

    fn settings(hidden: i64, tanh_constant: f64) -> ControllerSettings {
        ControllerSettings {
            hidden,
            temperature: 0.0,
            tanh_constant,
            op_tanh_reduce: 2.5,
            learning_rate: 0.0035,
            entropy_weight: 1e-4,
            baseline_decay: 0.99,
            skip_target: 0.4,
            skip_weight: 0.8,
            updates: 30,
            aggregate: 10,
        }
    }

    const MICRO: Space = Space::Micro { nodes: 5 };
    const MACRO: Space = Space::Macro { layers: 12 };

    fn fresh(space: Space, hidden: i64) -> (Controller, Weights) {
        let controller = Controller::declare(space, &settings(hidden, if space == MICRO { 1.10 } else { 1.5 }));
        let w = controller.weights(&mut Streams::new(0).rng("controller", 0));
        (controller, w)
    }

    /// Goes through given decisions again.
    fn replay(controller: &Controller, w: &Weights, decisions: &[usize]) -> Sample {
        let mut rest = decisions.iter();
        controller.walk(w, &mut |_| *rest.next().expect("as many decisions as the space has"))
    }

    #[test]
    fn it_has_the_derived_number_of_weights() {
        assert_eq!(
            [fresh(MICRO, 64).0.table.count(), fresh(MICRO, 100).0.table.count(), fresh(MACRO, 64).0.table.count()],
            [41_733, 101_205, 41_856]
        );
        // LSTM, first input, embeddings and head.
        assert_eq!(fresh(Space::Bench, 32).0.table.count(), 8 * 32 * 32 + 32 + 2 * 5 * 32);
    }

    #[test]
    fn in_nas_bench_201_it_starts_almost_uniform() {
        let controller = Controller::declare(Space::Bench, &ControllerSettings { temperature: 5.0, ..settings(32, 2.5) });
        let w = controller.weights(&mut Streams::new(0).rng("controller", 0));
        let mut counts = [[0; 5]; 6];
        for i in 0..500 {
            let sample = tch::no_grad(|| controller.sample(&w, &mut Streams::new(1).rng("sample", i)));
            assert!((sample.entropy - 6.0 * 5f64.ln()).abs() < 1e-3 && sample.skip_penalty.is_none());
            sample.decisions.iter().enumerate().for_each(|(edge, op)| counts[edge][*op] += 1);
        }
        assert!(counts.iter().flatten().all(|n| (60..140).contains(n)), "{counts:?}");
    }

    #[test]
    fn it_starts_with_the_derived_entropy_and_favours_separable_convolutions() {
        let (controller, w) = fresh(MICRO, 64);
        let (mut entropy, mut ops) = (0.0, [[0usize; 5]; 2]);
        const N: u64 = 200;
        for i in 0..N {
            let sample = tch::no_grad(|| controller.sample(&w, &mut Streams::new(1).rng("sample", i)));
            entropy += sample.entropy / N as f64;
            for (k, d) in sample.decisions.iter().enumerate().filter(|(k, _)| k % 4 > 1) {
                ops[k / 20][*d] += 1;
            }
        }
        assert!((entropy - 57.19).abs() < 0.1, "{entropy}");
        let share = |cell: usize, op: usize| ops[cell][op] as f64 / (10 * N) as f64;
        for (cell, favoured, other) in [(0, 0.3153, 0.1232), (1, 0.2543, 0.1638)] {
            for op in 0..5 {
                let expected = if op < 2 { favoured } else { other };
                assert!((share(cell, op) - expected).abs() < 0.035, "cell {cell} operation {op}: {}", share(cell, op));
            }
        }
    }

    #[test]
    fn a_replay_finds_the_sampled_probability() {
        for space in [MICRO, MACRO, Space::Bench] {
            let (controller, w) = fresh(space, 32);
            for i in 0..20 {
                let sample = controller.sample(&w, &mut Streams::new(1).rng("sample", i));
                let replayed = replay(&controller, &w, &sample.decisions);
                assert_eq!(sample.log_probability.double_value(&[]), replayed.log_probability.double_value(&[]));
                assert_eq!(sample.decisions.len(), space.decisions());
                space.architecture(&sample.decisions).check().unwrap();
            }
        }
    }

    #[test]
    fn the_skip_penalty_starts_where_derived_and_is_zero_at_its_target() {
        let (controller, w) = fresh(MACRO, 64);
        let penalty = controller.sample(&w, &mut Streams::new(1).rng("sample", 0)).skip_penalty.unwrap().double_value(&[]);
        // Per layer the sum over its earlier ones: 1 to 11, mean 6, of KL(1/2, 1/2 | 0.6, 0.4) at zero logits.
        assert!((penalty / 6.0 - 0.0204).abs() < 0.002, "{penalty}");
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        for space in [Space::Micro { nodes: 2 }, Space::Macro { layers: 4 }, Space::Bench] {
            let controller = Controller::declare(space, &settings(5, 1.3));
            let w = controller.weights(&mut Streams::new(2).rng("controller", 0));
            let decisions = controller.sample(&w, &mut Streams::new(3).rng("sample", 0)).decisions;
            let loss = |w: &Weights| {
                let s = replay(&controller, w, &decisions);
                s.skip_penalty.map_or_else(|| s.log_probability.shallow_clone(), |p| &s.log_probability + p * 0.8)
            };
            w.check_gradient(loss, 40, 1e-7);
        }
    }

    #[test]
    fn it_learns_a_bandit_as_far_as_its_shaped_logits_permit() {
        // The reward is 1 if the first operation of the first node is the identity. The favoured convolutions are held by a saturated tanh, so its
        // probability can rise from 0.12 to 0.195 at most.
        let (controller, w) = fresh(Space::Micro { nodes: 1 }, 32);
        let probability = || {
            let mut seen = Vec::new();
            tch::no_grad(|| {
                controller.walk(&w, &mut |p| {
                    seen.push(p.to_vec());
                    0
                })
            });
            seen[2][4]
        };
        let start = probability();
        let mut adam = Adam { epsilon: 1e-3, ..Adam::new(w.flat(), 0.0035, (0.0, 0.999), 0.0) };
        let mut baseline = 0.0;
        for step in 0..120 {
            let mut gradient = w.flat().zeros_like();
            for a in 0..10 {
                let sample = controller.sample(&w, &mut Streams::new(6).rng("sample", 10 * step + a));
                let reward = f64::from(u8::from(sample.decisions[2] == 4));
                baseline += (1.0 - 0.99) * (reward - baseline);
                gradient += w.gradient(&(-&sample.log_probability * ((reward - baseline) / 10.0)));
            }
            adam.step(w.flat(), &gradient);
        }
        assert!((start - 0.1232).abs() < 0.02, "{start}");
        assert!(probability() > start + 0.03, "from {start} to {}", probability());
    }
}
