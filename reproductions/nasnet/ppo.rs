//! Proximal policy optimisation of the controller (paper, section 3.1 and appendix A.1; Schulman et al. 2017).

use super::controller::{Controller, Walk};
use crate::nn::Weights;
use crate::statistics;
use crate::train::{Adam, clip};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Section `search.ppo` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ppo {
    /// Of Adam.
    pub learning_rate: f64,
    /// ε: a decision's ratio of probabilities gains nothing outside 1 ± ε.
    pub clip: f64,
    /// Passes over a batch of children.
    pub passes: u64,
    /// Limit of the gradient's norm; 0 for none.
    pub gradient_clip: f64,
    /// Weight of the mean entropy.
    pub entropy_weight: f64,
    /// Weight of the past in the moving average of the rewards.
    pub baseline_decay: f64,
}

/// The moving average of the rewards after a batch, which comes after its advantages; it begins at the mean of the first batch.
fn moved(before: Option<f64>, rewards: &[f64], decay: f64) -> f64 {
    decay * before.unwrap_or_else(|| mean(rewards)) + (1.0 - decay) * mean(rewards)
}

fn mean(rewards: &[f64]) -> f64 {
    statistics::mean(rewards).expect("a batch has children")
}

/// − mean of min(ρ A, clip(ρ, 1−ε, 1+ε) A) over decisions, minus the weighted mean entropy. `old` is [architectures, decisions] at the
/// time of sampling, `advantages` one an architecture.
pub fn loss(walk: &Walk, old: &Tensor, advantages: &[f64], settings: &Ppo) -> Tensor {
    let a = Tensor::from_slice(advantages).unsqueeze(1);
    let ratio = (&walk.log_probability - old).exp();
    let clipped = ratio.clamp(1.0 - settings.clip, 1.0 + settings.clip);
    let gain = (ratio * &a).minimum(&(clipped * &a));
    -gain.mean(Kind::Double) - walk.entropy.mean(Kind::Double) * settings.entropy_weight
}

/// Updates the controller by a batch: its decisions, their probabilities when they were sampled, the rewards.
pub fn update(
    controller: &Controller,
    w: &Weights,
    adam: &mut Adam,
    baseline: &mut Option<f64>,
    batch: &Walk,
    rewards: &[f64],
    settings: &Ppo,
) {
    let expected = baseline.unwrap_or_else(|| mean(rewards));
    let advantages: Vec<f64> = rewards.iter().map(|r| r - expected).collect();
    for _ in 0..settings.passes {
        let now = controller.replay(w, &batch.chosen);
        let gradient = w.gradient(&loss(&now, &batch.log_probability, &advantages, settings));
        adam.step(w.flat(), &clip(gradient, settings.gradient_clip));
    }
    *baseline = Some(moved(*baseline, rewards, settings.baseline_decay));
}

#[cfg(test)]
mod tests {
    use super::super::decisions::{Decisions, Kind as Decision};
    use super::*;
    use crate::seed::Streams;
    use crate::space::nasnet::NASNET_OPS;
    use tch::no_grad;

    const SPEC: Ppo = Ppo { learning_rate: 3.5e-4, clip: 0.2, passes: 4, gradient_clip: 0.5, entropy_weight: 1e-5, baseline_decay: 0.95 };

    fn fresh(hidden: i64, seed: u64) -> (Decisions, Controller, Weights) {
        let decisions = Decisions::of_cells(NASNET_OPS.len(), true);
        let controller = Controller::declare(&decisions, hidden);
        let w = controller.weights(&mut Streams::new(seed).rng("controller", 0));
        (decisions, controller, w)
    }

    #[test]
    fn the_first_pass_is_reinforce_with_a_baseline() {
        let (_, controller, w) = fresh(9, 0);
        let batch = controller.sample(&w, 5, &mut Streams::new(1).rng("sample", 0));
        let advantages = [0.4, -0.2, 0.1, -0.5, 0.3];
        let settings = Ppo { entropy_weight: 0.0, ..SPEC };
        let ppo = w.gradient(&loss(&controller.replay(&w, &batch.chosen), &batch.log_probability, &advantages, &settings));
        let walk = controller.replay(&w, &batch.chosen);
        let a = Tensor::from_slice(&advantages).unsqueeze(1);
        let reinforce = w.gradient(&-(walk.log_probability * a).mean(Kind::Double));
        assert!((ppo - reinforce).abs().max().double_value(&[]) < 1e-15);
    }

    #[test]
    fn without_advantage_and_entropy_nothing_moves() {
        let (_, controller, w) = fresh(9, 0);
        let batch = controller.sample(&w, 5, &mut Streams::new(1).rng("sample", 0));
        let settings = Ppo { entropy_weight: 0.0, ..SPEC };
        let gradient = w.gradient(&loss(&controller.replay(&w, &batch.chosen), &batch.log_probability, &[0.0; 5], &settings));
        assert_eq!(gradient.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn a_ratio_beyond_the_clip_gains_nothing() {
        let (_, controller, w) = fresh(9, 0);
        let batch = controller.sample(&w, 2, &mut Streams::new(1).rng("sample", 0));
        let settings = Ppo { entropy_weight: 0.0, ..SPEC };
        let gradient = |shift: f64, advantage: f64| {
            let old = no_grad(|| &batch.log_probability + shift);
            let loss = loss(&controller.replay(&w, &batch.chosen), &old, &[advantage; 2], &settings);
            w.gradient(&loss).abs().max().double_value(&[])
        };
        assert_eq!(gradient(-0.3, 1.0), 0.0, "the ratio is above 1 + ε and would gain");
        assert_eq!(gradient(0.3, -1.0), 0.0, "the ratio is below 1 - ε and would gain");
        assert!(gradient(-0.3, -1.0) > 0.0 && gradient(0.3, 1.0) > 0.0, "a loss is never clipped");
    }

    #[test]
    fn the_baseline_is_a_moving_average() {
        let mut baseline = moved(None, &[0.2, 0.4], 0.95);
        assert!((baseline - 0.3).abs() < 1e-15, "it begins at the mean of the first batch");
        for k in 1..=10 {
            baseline = moved(Some(baseline), &[0.9], 0.95);
            assert!((baseline - (0.9 + (0.3 - 0.9) * 0.95f64.powi(k))).abs() < 1e-12);
        }
    }

    #[test]
    fn it_learns_a_bandit() {
        // The reward is the share of the 20 operation decisions that equal one target.
        let (decisions, controller, w) = fresh(100, 5);
        let mut adam = Adam::new(w.flat(), SPEC.learning_rate, (0.9, 0.999), 0.0);
        let mut baseline = None;
        let operations: Vec<usize> = (0..decisions.count()).filter(|s| matches!(decisions.at(*s).0, Decision::Operation(_))).collect();
        let mut means = Vec::new();
        for step in 0..70 {
            let batch = controller.sample(&w, 20, &mut Streams::new(6).rng("sample", step));
            let reward = |list: &Vec<usize>| operations.iter().filter(|s| list[**s] == 4).count() as f64 / operations.len() as f64;
            let rewards: Vec<f64> = batch.chosen.iter().map(reward).collect();
            means.push(mean(&rewards));
            update(&controller, &w, &mut adam, &mut baseline, &batch, &rewards, &SPEC);
        }
        assert!(mean(&means[..5]) < 0.15, "it starts at chance: {:?}", &means[..5]);
        assert!(mean(&means[60..]) > 0.7, "{:?}", &means[60..]);
    }
}
