//! REINFORCE with one row of logits a place (Dong, Yang: NAS-Bench-201, ICLR 2020, `reinforce.py` of the released code; Williams 1992).
//!
//! One architecture a step; its reward, the accuracy in per cent, minus a moving average of the rewards moves the logits of what was chosen. The finding is the best of the history, not
//! the mode of the policy. All arithmetic is in double precision and the same on every machine.

use crate::error::{Result, usage};
use crate::proposals::{Known, Proposal, Proposals};
use crate::record::{Mark, Role, Shape};
use crate::seed::{Rng, Streams, pick};
use crate::settings::typed;
use crate::table::{Algorithm, Grid, Point};
use rand::RngExt;
use serde::Deserialize;

/// The algorithm's entry in the table.
pub const ALGORITHM: Algorithm = Algorithm {
    name: "reinforce",
    title: "REINFORCE",
    paper: "Dong, Yang: NAS-Bench-201. ICLR 2020, arXiv 2001.00326; Williams: Simple statistical gradient-following algorithms. 1992",
    mark: Mark { colour: [0x00, 0x72, 0xB2], shape: Shape::Square, dashed: false },
    defaults: include_str!("defaults.toml"),
    role: Role::Search,
    form: |settings| typed::<Settings>("reinforce", settings).map(|s| format!("rate {}", s.learning_rate)),
    told_by_form: &["learning_rate"],
    begin: |settings, grid, streams| {
        let settings: Settings = typed("reinforce", settings)?;
        settings.check()?;
        Ok(Box::new(Policy::new(settings, grid, streams)))
    },
};

/// Adam's decay rates and the number in its denominator, as PyTorch sets them.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// Section `search` of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of Adam.
    pub learning_rate: f64,
    /// Weight of the past in the moving average of the rewards.
    pub baseline_decay: f64,
    /// Standard deviation of the first logits.
    pub start: f64,
}

impl Settings {
    fn check(&self) -> Result<()> {
        if !(self.learning_rate.is_finite() && self.learning_rate >= 0.0 && self.start >= 0.0) {
            return Err(usage!("search.learning_rate and search.start must not be negative"));
        }
        if !(0.0..1.0).contains(&self.baseline_decay) {
            return Err(usage!("search.baseline_decay = {}: must be from 0 to below 1", self.baseline_decay));
        }
        Ok(())
    }
}

/// The moving average with its bias corrected: weighted sum of the rewards over the sum of the weights.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    numerator: f64,
    denominator: f64,
}

impl Average {
    fn update(&mut self, reward: f64, decay: f64) -> f64 {
        self.numerator = self.numerator * decay + (1.0 - decay) * reward;
        self.denominator = self.denominator * decay + (1.0 - decay);
        self.numerator / self.denominator
    }
}

/// Logits, [places, options], and Adam's state.
struct Policy {
    settings: Settings,
    grid: Grid,
    logits: Vec<f64>,
    mean: Vec<f64>,
    square: Vec<f64>,
    baseline: Average,
    /// Steps done.
    steps: usize,
    /// Choices of the last draw.
    chosen: Vec<usize>,
}

impl Policy {
    fn new(settings: Settings, grid: &Grid, streams: Streams) -> Self {
        let mut rng = streams.rng("logits", 0);
        let logits: Vec<f64> = (0..grid.places() * grid.options.len()).map(|_| settings.start * normal(&mut rng)).collect();
        let zeros = vec![0.0; logits.len()];
        let (mean, square) = (zeros.clone(), zeros);
        Self { settings, grid: grid.clone(), logits, mean, square, baseline: Average::default(), steps: 0, chosen: Vec::new() }
    }

    /// Probabilities of the options at every place.
    fn probabilities(&self) -> Vec<f64> {
        let mut all = Vec::with_capacity(self.logits.len());
        for row in self.logits.chunks(self.grid.options.len()) {
            let largest = row.iter().copied().fold(f64::MIN, f64::max);
            let powers = row.iter().map(|l| libm::exp(l - largest));
            let sum: f64 = powers.clone().sum();
            all.extend(powers.map(|p| p / sum));
        }
        all
    }

    /// A step of Adam on −Σ log p(chosen) × (reward − baseline).
    fn learn(&mut self, reward: f64) {
        let advantage = reward - self.baseline.update(reward, self.settings.baseline_decay);
        self.steps += 1;
        let options = self.grid.options.len();
        let probabilities = self.probabilities();
        let power = |beta: f64| 1.0 - libm::pow(beta, self.steps as f64);
        let (of_mean, of_square) = (power(BETAS.0), power(BETAS.1));
        for (i, p) in probabilities.iter().enumerate() {
            let chosen = f64::from(u8::from(self.chosen[i / options] == i % options));
            let gradient = (p - chosen) * advantage;
            self.mean[i] = BETAS.0 * self.mean[i] + (1.0 - BETAS.0) * gradient;
            self.square[i] = BETAS.1 * self.square[i] + (1.0 - BETAS.1) * gradient * gradient;
            self.logits[i] -= self.settings.learning_rate * (self.mean[i] / of_mean) / ((self.square[i] / of_square).sqrt() + EPSILON);
        }
    }
}

impl Proposals<Point> for Policy {
    fn needs(&self, id: u64) -> u64 {
        id
    }

    fn draw(&mut self, id: u64, attempt: u64, history: &[Known<Point>], streams: Streams) -> Proposal<Point> {
        if let (Some(last), true) = (history.last(), history.len() > self.steps) {
            // A training that failed has the reward 0.
            self.learn(100.0 * last.score.unwrap_or(0.0));
        }
        let mut rng = streams.child("sample", id).rng("draw", attempt);
        let probabilities = self.probabilities();
        self.chosen = probabilities.chunks(self.grid.options.len()).map(|row| pick(row, rng.random())).collect();
        Proposal::sampled(self.grid.point(self.chosen.iter().copied()))
    }
}

/// From a normal distribution (Box, Muller 1958), by functions that are the same on every machine.
fn normal(rng: &mut Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * libm::log(u)).sqrt() * libm::cos(std::f64::consts::TAU * v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableSpace;

    const SETTINGS: Settings = Settings { learning_rate: 0.01, baseline_decay: 0.9, start: 0.001 };

    fn policy() -> Policy {
        Policy::new(SETTINGS, &Grid { space: TableSpace::NasBench201, options: vec![0, 1, 2, 3, 4] }, Streams::new(3))
    }

    #[test]
    fn the_baseline_knows_the_newest_reward_and_is_not_biased_to_zero() {
        let mut average = Average::default();
        assert_eq!(average.update(50.0, 0.9), 50.0);
        // (0.1 × 0.9 × 50 + 0.1 × 80) / (0.09 + 0.1)
        assert!((average.update(80.0, 0.9) - (4.5 + 8.0) / 0.19).abs() < 1e-12);
    }

    #[test]
    fn the_gradient_agrees_with_central_differences() {
        let mut policy = policy();
        policy.chosen = vec![0, 1, 2, 3, 4, 0];
        let log_probability = |policy: &Policy| {
            let p = policy.probabilities();
            policy.chosen.iter().enumerate().map(|(place, option)| p[place * 5 + option].ln()).sum::<f64>()
        };
        let p = policy.probabilities();
        for (i, before) in p.iter().enumerate() {
            let mut moved = |by: f64| {
                policy.logits[i] += by;
                let value = log_probability(&policy);
                policy.logits[i] -= by;
                value
            };
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let chosen = f64::from(u8::from(policy.chosen[i / 5] == i % 5));
            assert!((numeric - (chosen - before)).abs() < 1e-8, "logit {i}");
        }
    }

    #[test]
    fn two_steps_of_adam_by_hand() {
        let mut policy = policy();
        policy.chosen = vec![1; 6];
        let (before, p) = (policy.logits.clone(), policy.probabilities());
        // The first reward is its own baseline: nothing moves, but for what is left of 60 after 0.1 × 60 / 0.1.
        policy.learn(60.0);
        assert!(policy.logits.iter().zip(&before).all(|(now, then)| (now - then).abs() < 1e-8));
        policy.learn(80.0);
        let advantage = 80.0 - (0.09 * 60.0 + 0.1 * 80.0) / 0.19;
        let gradient = (p[1] - 1.0) * advantage;
        let (mean, square) = (0.1 * gradient / (1.0 - 0.81), 0.001 * gradient * gradient / (1.0 - 0.999f64.powi(2)));
        let expected = before[1] - 0.01 * mean / (square.sqrt() + 1e-8);
        assert!((policy.logits[1] - expected).abs() < 1e-7, "{} {expected}", policy.logits[1]);
    }

    #[test]
    fn first_logits_are_normal() {
        let mut rng = Streams::new(1).rng("normal", 0);
        let drawn: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let square = drawn.iter().map(|x| x * x).sum::<f64>() / drawn.len() as f64;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
    }
}
