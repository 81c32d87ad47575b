//! What a drawn child is worth to the controller (paper, section 2.2; authors' released code).

use super::ControllerSettings;
use super::controller::Sample;
use crate::lab::TracedStep;
use crate::space::Architecture;
use serde_json::json;
use tch::Tensor;

/// What an update of the controller computed of a child.
pub struct Rewarded {
    /// It.
    pub child: Architecture,
    /// That make it.
    pub decisions: Vec<i64>,
    /// Of the decisions together.
    pub log_probability: f64,
    /// On a validation batch.
    pub score: f64,
    /// By [`reward`].
    pub reward: f64,
    /// That was subtracted from the reward.
    pub baseline: f64,
}

impl Rewarded {
    /// Adds all that an update drew, one row each.
    pub fn tell(all: &[Self], step: &mut TracedStep) {
        step.value("children", &json!(all.iter().map(|r| &r.child).collect::<Vec<_>>()));
        let decisions: Vec<&[i64]> = all.iter().map(|r| r.decisions.as_slice()).collect();
        step.tensor("decisions", &Tensor::from_slice2(&decisions));
        let mut column = |name, of: fn(&Self) -> f64| step.tensor(name, &Tensor::from_slice(&all.iter().map(of).collect::<Vec<_>>()));
        column("log_probabilities", |r| r.log_probability);
        column("scores", |r| r.score);
        column("rewards", |r| r.reward);
        column("baselines", |r| r.baseline);
    }
}

/// The score and a share of the entropy, which is a number and has no gradient.
pub fn reward(sample: &Sample, score: f64, c: &ControllerSettings) -> f64 {
    score + c.entropy_weight * sample.entropy
}

/// REINFORCE: the baseline moves before the advantage is taken, as released.
pub fn reinforce(sample: &Sample, reward: f64, baseline: &mut f64, c: &ControllerSettings) -> Tensor {
    *baseline -= (1.0 - c.baseline_decay) * (*baseline - reward);
    let loss = -&sample.log_probability * (reward - *baseline);
    match &sample.skip_penalty {
        Some(penalty) => loss + penalty * c.skip_weight,
        None => loss,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Enas;
    use super::super::controller::Controller;
    use super::super::space::Space;
    use super::*;
    use crate::seed::Streams;

    #[test]
    fn a_constant_reward_leaves_no_gradient_once_the_baseline_has_settled() {
        let settings: Enas =
            serde_json::from_value(crate::lab::resolve(&super::super::CARD, "smoke", &[]).unwrap().settings["search"].clone()).unwrap();
        let c = super::super::ControllerSettings { entropy_weight: 0.0, ..settings.controller };
        let controller = Controller::declare(Space::Micro { nodes: 2 }, &c);
        let theta = controller.weights(&mut Streams::new(0).rng("controller", 0));
        let mut baseline = 0.0;
        for k in 1..=600u64 {
            let sample = controller.sample(&theta, &mut Streams::new(1).rng("sample", k));
            let loss = reinforce(&sample, reward(&sample, 0.7, &c), &mut baseline, &c);
            let expected = 0.7 * (1.0 - c.baseline_decay.powi(k as i32));
            assert!((baseline - expected).abs() < 1e-12, "the baseline moves before the advantage");
            let advantage = 0.7 - baseline;
            let value = loss.double_value(&[]) + sample.log_probability.double_value(&[]) * advantage;
            assert!(value.abs() < 1e-12);
        }
        assert!((0.7 - baseline).abs() < 0.01);
    }
}
