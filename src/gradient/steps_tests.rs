//! Tests of the alternating steps, on two linear layers that alpha mixes.

use super::super::{AlphaSteps, Order, WeightSteps};
use super::*;
use crate::nn::{Init, Initialisation, Loss, ParamId, Table};
use crate::space::darts;
use crate::task::Augment;
use std::collections::BTreeMap;

struct Toy {
    table: Table,
    layers: [ParamId; 2],
    alpha: Tensor,
}

impl Toy {
    fn new() -> Self {
        let mut table = Table::default();
        let layers = ["a", "b"].map(|name| table.param(name, &[3, 4], Init::fan_in(4)));
        Self { table, layers, alpha: Tensor::from_slice(&[0f32, 0.1]).set_requires_grad(true) }
    }
}

impl Mixed for Toy {
    fn table(&self) -> &Table {
        &self.table
    }

    fn alpha(&self) -> Vec<&Tensor> {
        vec![&self.alpha]
    }

    fn forward(&self, w: &Weights, x: &Tensor, _: &mut Pass) -> Tensor {
        let p = self.alpha.softmax(0, None::<Kind>);
        let layer = |i: usize| x.flatten(1, -1).matmul(&w[self.layers[i]].tr()) * p.get(i as i64);
        layer(0) + layer(1).tanh()
    }

    /// One of two cells, by which logit is the larger.
    fn genotype(&self) -> Architecture {
        let larger = self.alpha.argmax(0, false).int64_value(&[]);
        darts::sample(&mut Streams::new(0).rng("toy", larger as u64)).into()
    }

    fn figures(&self) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }
}

fn how() -> Alternation {
    Alternation {
        order: Order::First,
        searches: 1,
        epochs: 9,
        batch: 6,
        weights: WeightSteps { learning_rate: 0.1, learning_rate_end: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.01, clip: 5.0 },
        alpha: AlphaSteps { learning_rate: 0.01, beta1: 0.5, beta2: 0.999, weight_decay: 0.01 },
        augment: Augment::NONE,
        loss: Loss::default(),
        dropout: 0.0,
        warm_up: 2,
        patience: 2,
        initialisation: Initialisation::Current,
    }
}

fn state(how: &Alternation) -> GradientSearch {
    let make: MakeMixed = Arc::new(|_, _| Ok(Box::new(Toy::new())));
    GradientSearch::with(Arc::new(how.clone()), make, Box::new(Toy::new()), Streams::new(5), Device::Cpu, 3, Progress::default())
}

fn batch(seed: f64) -> Batch {
    let images: Vec<f32> = (0..24).map(|i| ((f64::from(i) + seed) * 1.7).sin() as f32).collect();
    Batch { images: Tensor::from_slice(&images).view([6, 1, 2, 2]), labels: Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2]) }
}

fn values(t: &Tensor) -> Vec<f32> {
    Vec::try_from(t.detach().reshape([-1])).unwrap()
}

#[test]
fn a_weight_step_leaves_alpha_and_an_architecture_step_leaves_the_weights() {
    let how_weights = how();
    let mut s = state(&how_weights);
    let (alpha, weights) = (values(s.net.alpha()[0]), values(s.weights.flat()));
    assert!(s.alternate(&batch(0.0), None).is_some());
    assert_eq!(values(s.net.alpha()[0]), alpha);
    assert_ne!(values(s.weights.flat()), weights);
    for order in [Order::First, Order::Second] {
        let frozen = WeightSteps { learning_rate: 0.0, learning_rate_end: 0.0, ..how().weights };
        let how = Alternation { order, weights: frozen, ..how() };
        let mut s = state(&how);
        let (alpha, weights) = (values(s.net.alpha()[0]), values(s.weights.flat()));
        assert!(s.alternate(&batch(0.0), Some(&batch(1.0))).is_some());
        assert_ne!(values(s.net.alpha()[0]), alpha);
        assert_eq!(values(s.weights.flat()), weights);
        assert_eq!((s.progress.step, s.progress.alpha_steps), (1, 1));
    }
}

#[test]
fn a_loss_that_is_no_number_ends_a_search_whichever_batch_it_is_of() {
    for order in [Order::First, Order::Second] {
        let how = Alternation { order, ..how() };
        for (train, valid) in [(0.0, f64::NAN), (f64::NAN, 0.0)] {
            let mut s = state(&how);
            assert!(s.alternate(&batch(train), Some(&batch(valid))).is_none());
            assert_eq!((s.progress.step, s.progress.loss_steps), (0, 0));
        }
    }
}

#[test]
fn a_search_settles_after_as_many_epochs_without_change_as_patience_says() {
    let how = how();
    let mut s = state(&how);
    let end_of = |s: &mut GradientSearch, epoch: u64| {
        s.progress.step = epoch * s.steps_per_epoch;
        s.compare();
        s.part_is_over()
    };
    // Two epochs of warm-up do not count; the third is the first to compare with.
    assert_eq!([1, 2, 3, 4].map(|epoch| end_of(&mut s, epoch)), [false; 4]);
    no_grad(|| s.net.alpha()[0].shallow_clone().copy_(&Tensor::from_slice(&[1f32, 0.0])));
    assert_eq!([5, 6, 7].map(|epoch| end_of(&mut s, epoch)), [false, false, true]);
    let never = Alternation { patience: 0, epochs: 20, ..how.clone() };
    let mut s = state(&never);
    assert!((1..20).all(|epoch| !end_of(&mut s, epoch)));
}

#[test]
fn values_that_make_no_search_are_named() {
    let refused = |how: Alternation, says: &str| assert!(how.check().unwrap_err().to_string().contains(says));
    how().check().unwrap();
    refused(Alternation { alpha: AlphaSteps { beta1: 1.0, ..how().alpha }, ..how() }, "search.alpha.beta1 = 1");
    refused(Alternation { weights: WeightSteps { learning_rate: -0.1, ..how().weights }, ..how() }, "search.weights.learning_rate = -0.1");
    refused(Alternation { dropout: 1.0, ..how() }, "search.dropout");
    refused(Alternation { searches: 0, ..how() }, "search.searches");
    refused(Alternation { loss: Loss { cross_entropy: 0.0, dice: 0.0 }, ..how() }, "search.loss");
}
