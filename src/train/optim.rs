//! Optimisers over flat weight vectors, with their state in the open.

use super::recipe::Recipe;
use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

/// Stochastic gradient descent with momentum and without dampening:
/// m ← μ m + (g + λ w), w ← w − η m. The weight decay λ is coupled, as in PyTorch.
#[derive(Debug)]
pub struct Sgd {
    /// μ
    pub momentum: f64,
    /// λ
    pub weight_decay: f64,
    /// m, in the layout of the weights; zero before the first step.
    pub velocity: Tensor,
    /// 1 where the weights decay, 0 elsewhere; all of them if `None`.
    pub decays: Option<Tensor>,
    /// Looks ahead: w ← w − η (g + λ w + μ m) with the new m.
    pub nesterov: bool,
}

impl Sgd {
    /// For weights in the layout of `flat`.
    pub fn new(flat: &Tensor, momentum: f64, weight_decay: f64) -> Self {
        Self { momentum, weight_decay, velocity: no_grad(|| flat.zeros_like()), decays: None, nesterov: false }
    }

    /// One step on `flat` in place with learning rate `eta`.
    pub fn step(&mut self, flat: &Tensor, gradient: &Tensor, eta: f64) {
        no_grad(|| {
            let decaying = self.decays.as_ref().map(|mask| flat * mask);
            let decayed = gradient + decaying.as_ref().unwrap_or(flat) * self.weight_decay;
            let _ = self.velocity.g_mul_scalar_(self.momentum).g_add_(&decayed);
            let step = if self.nesterov { decayed + &self.velocity * self.momentum } else { self.velocity.shallow_clone() };
            let _ = flat.shallow_clone().g_sub_(&(step * eta));
        });
    }
}

/// Adam with coupled weight decay (λ w is added to the gradient), as in PyTorch's `Adam`.
#[derive(Debug)]
pub struct Adam {
    /// η
    pub learning_rate: f64,
    /// (β₁, β₂)
    pub betas: (f64, f64),
    /// λ
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Whether it is added before the second moment is corrected for its start, as TensorFlow does ("epsilon hat" in section 2 of Kingma and Ba 2015): early steps are smaller then.
    pub epsilon_hat: bool,
    /// First moment.
    pub mean: Tensor,
    /// Second moment.
    pub square: Tensor,
    /// Steps done.
    pub steps: u64,
}

/// PyTorch's default.
const ADAM_EPSILON: f64 = 1e-8;

impl Adam {
    /// For weights in the layout of `flat`.
    pub fn new(flat: &Tensor, learning_rate: f64, betas: (f64, f64), weight_decay: f64) -> Self {
        let (mean, square) = no_grad(|| (flat.zeros_like(), flat.zeros_like()));
        Self { learning_rate, betas, weight_decay, epsilon: ADAM_EPSILON, epsilon_hat: false, mean, square, steps: 0 }
    }

    /// One step on `flat` in place.
    pub fn step(&mut self, flat: &Tensor, gradient: &Tensor) {
        self.steps += 1;
        let (b1, b2) = self.betas;
        let [c1, c2] = [b1, b2].map(|beta| 1.0 - beta.powf(self.steps as f64));
        no_grad(|| {
            let g = gradient + flat * self.weight_decay;
            let _ = self.mean.g_mul_scalar_(b1).g_add_(&(&g * (1.0 - b1)));
            let _ = self.square.g_mul_scalar_(b2).g_add_(&(g.square() * (1.0 - b2)));
            let epsilon = if self.epsilon_hat { self.epsilon / c2.sqrt() } else { self.epsilon };
            let denominator = (&self.square / c2).sqrt() + epsilon;
            let _ = flat.shallow_clone().g_sub_(&(&self.mean / denominator * (self.learning_rate / c1)));
        });
    }
}

/// What makes steps of gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// [`Sgd`]
    #[default]
    Sgd,
    /// [`Adam`]
    Adam,
}

/// Second beta of Adam where weights are trained.
const BETA2: f64 = 0.999;

/// One of the optimisers.
#[derive(Debug)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
}

impl Optimizer {
    /// As the recipe says, for weights in the layout of `flat`. `decays` is 1 where they decay; all do if it is `None`.
    pub fn new(recipe: &Recipe, flat: &Tensor, decays: Option<Tensor>) -> Self {
        let (momentum, weight_decay) = (recipe.momentum, recipe.weight_decay);
        match recipe.optimizer {
            OptimizerKind::Sgd => Self::Sgd(Sgd { decays, nesterov: recipe.nesterov, ..Sgd::new(flat, momentum, weight_decay) }),
            OptimizerKind::Adam => Self::Adam(Adam::new(flat, recipe.learning_rate, (momentum, BETA2), weight_decay)),
        }
    }

    /// One step on `flat` in place with learning rate `eta`.
    pub fn step(&mut self, flat: &Tensor, gradient: &Tensor, eta: f64) {
        match self {
            Self::Sgd(sgd) => sgd.step(flat, gradient, eta),
            Self::Adam(adam) => {
                adam.learning_rate = eta;
                adam.step(flat, gradient);
            }
        }
    }

    /// What it remembers, by name.
    pub fn memory(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Self::Sgd(sgd) => vec![("velocity", &sgd.velocity)],
            Self::Adam(adam) => vec![("mean", &adam.mean), ("square", &adam.square)],
        }
    }

    /// Goes on after so many steps, once its memory is restored.
    pub fn resume(&mut self, steps: u64) {
        if let Self::Adam(adam) = self {
            adam.steps = steps;
        }
    }
}

/// Scales `gradient` so that its norm is at most `limit`: g · min(1, limit / (‖g‖₂ + 10⁻⁶)). No limit at 0.
pub fn clip(gradient: Tensor, limit: f64) -> Tensor {
    if limit <= 0.0 {
        return gradient;
    }
    no_grad(|| &gradient * ((gradient.norm() + 1e-6).reciprocal() * limit).clamp_max(1.0))
}

/// Cosine from `start` to `end` after `done` of `all`: end + (start − end)(1 + cos(π done / all)) / 2.
pub fn cosine(start: f64, end: f64, done: u64, all: u64) -> f64 {
    let turn = std::f64::consts::PI * done as f64 / all.max(1) as f64;
    end + (start - end) * (1.0 + turn.cos()) / 2.0
}

/// Where a cosine that starts again after `first` epochs, each period `factor` times as long, stands: epochs done and of the period (SGDR,
/// Loshchilov and Hutter 2017).
pub fn restarted(epoch: u64, first: u64, factor: u64) -> (u64, u64) {
    let (mut start, mut length) = (0, first.max(1));
    while epoch >= start + length {
        start += length;
        length *= factor.max(1);
    }
    (epoch - start, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(t: &Tensor) -> Vec<f64> {
        Vec::try_from(t).unwrap()
    }

    #[test]
    fn two_sgd_steps_by_hand() {
        let w = Tensor::from_slice(&[1.0, -2.0]);
        let mut sgd = Sgd::new(&w, 0.9, 0.1);
        sgd.step(&w, &Tensor::from_slice(&[0.5, 0.0]), 0.1);
        // m = g + 0.1 w = [0.6, -0.2]; w = [0.94, -1.98]
        sgd.step(&w, &Tensor::from_slice(&[0.0, 1.0]), 0.1);
        // m = 0.9 m + [0.094, 0.802] = [0.634, 0.622]
        for (got, want) in values(&w).iter().zip([0.94 - 0.0634, -1.98 - 0.0622]) {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
    }

    #[test]
    fn nesterov_agrees_with_libtorch() {
        let mut vs = tch::nn::VarStore::new(tch::Device::Cpu);
        let theirs = vs.root().var_copy("w", &Tensor::from_slice(&[0.25, -0.75, 2.0]));
        vs.double();
        let config = tch::nn::Sgd { momentum: 0.9, dampening: 0.0, wd: 1e-2, nesterov: true };
        let mut opt = tch::nn::OptimizerConfig::build(config, &vs, 0.05).unwrap();
        let ours = Tensor::from_slice(&[0.25, -0.75, 2.0]);
        let mut sgd = Sgd { nesterov: true, ..Sgd::new(&ours, 0.9, 1e-2) };
        for step in 0..5 {
            let x = Tensor::from_slice(&[1.0, step as f64, -0.5]);
            opt.backward_step(&(&theirs * &theirs * &x).sum(tch::Kind::Double));
            let gradient = &ours * 2.0 * &x;
            sgd.step(&ours, &gradient, 0.05);
        }
        assert!(ours.allclose(&theirs.detach(), 1e-12, 1e-14, false), "{ours:?}");
    }

    #[test]
    fn the_cosine_restarts_at_10_30_70_150_and_310() {
        let starts: Vec<u64> = (1..400).filter(|e| restarted(*e, 10, 2).0 == 0).collect();
        assert_eq!(starts, [10, 30, 70, 150, 310]);
        assert_eq!([restarted(9, 10, 2), restarted(29, 10, 2), restarted(149, 10, 2)], [(9, 10), (19, 20), (79, 80)]);
    }

    #[test]
    fn weights_outside_the_mask_do_not_decay() {
        let w = Tensor::from_slice(&[1.0, 1.0]);
        let mut sgd = Sgd { decays: Some(Tensor::from_slice(&[1.0, 0.0])), ..Sgd::new(&w, 0.0, 0.5) };
        sgd.step(&w, &Tensor::from_slice(&[0.0, 0.0]), 0.1);
        assert_eq!(values(&w), [0.95, 1.0]);
    }

    #[test]
    fn adam_agrees_with_libtorch() {
        let mut vs = tch::nn::VarStore::new(tch::Device::Cpu);
        let theirs = vs.root().var_copy("w", &Tensor::from_slice(&[0.25, -0.75, 2.0]));
        vs.double();
        let config = tch::nn::Adam { beta1: 0.5, beta2: 0.999, wd: 1e-3, eps: 1e-8, amsgrad: false };
        let mut opt = tch::nn::OptimizerConfig::build(config, &vs, 3e-4).unwrap();
        let ours = Tensor::from_slice(&[0.25, -0.75, 2.0]);
        let mut adam = Adam::new(&ours, 3e-4, (0.5, 0.999), 1e-3);
        for step in 0..5 {
            let x = Tensor::from_slice(&[1.0, step as f64, -0.5]);
            opt.backward_step(&(&theirs * &theirs * &x).sum(tch::Kind::Double));
            let gradient = &ours * 2.0 * &x;
            adam.step(&ours, &gradient);
        }
        assert!(ours.allclose(&theirs.detach(), 1e-12, 1e-14, false), "{ours:?}");
    }

    #[test]
    fn two_steps_with_epsilon_hat_by_hand() {
        let w = Tensor::from_slice(&[1.0]);
        let mut adam = Adam { epsilon: 1e-3, epsilon_hat: true, ..Adam::new(&w, 0.1, (0.0, 0.999), 0.0) };
        // η √(1 − β₂ᵗ) m / (√v + ε̂); m = g.
        adam.step(&w, &Tensor::from_slice(&[0.02]));
        let first = 0.1 * 0.001f64.sqrt() * 0.02 / ((0.001 * 0.0004f64).sqrt() + 1e-3);
        adam.step(&w, &Tensor::from_slice(&[-0.01]));
        let square = 0.999 * 0.001 * 0.0004 + 0.001 * 0.0001;
        let second = 0.1 * (1.0 - 0.999f64.powi(2)).sqrt() * -0.01 / (f64::sqrt(square) + 1e-3);
        assert!((values(&w)[0] - (1.0 - first - second)).abs() < 1e-12, "{w:?}");
    }

    #[test]
    fn clipping_bounds_the_norm_and_spares_small_gradients() {
        let g = clip(Tensor::from_slice(&[30.0, 40.0]), 5.0);
        assert!((g.norm().double_value(&[]) - 5.0).abs() < 1e-5);
        assert_eq!(values(&clip(Tensor::from_slice(&[0.3, 0.4]), 5.0)), [0.3, 0.4]);
        assert_eq!(values(&clip(Tensor::from_slice(&[30.0, 40.0]), 0.0)), [30.0, 40.0]);
    }

    #[test]
    fn the_cosine_starts_and_ends_where_it_should() {
        assert_eq!(cosine(0.025, 0.001, 0, 50), 0.025);
        assert!((cosine(0.025, 0.001, 25, 50) - 0.013).abs() < 1e-12);
        assert!((cosine(0.025, 0.0, 600, 600)).abs() < 1e-12);
    }
}
