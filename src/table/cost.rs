//! What a query costs, and when the budget of a study is spent.

use super::about::Fidelity;
use super::units::SimulatedSeconds;
use serde::{Deserialize, Serialize};

/// Epochs × seconds an epoch × images / the images that those seconds are of. The validation pass is not counted: it is public for five cells only.
pub fn cost(fidelity: Fidelity, seconds_per_epoch: f64, images: u64, of_images: u64) -> SimulatedSeconds {
    SimulatedSeconds::new(f64::from(fidelity.0) * seconds_per_epoch * images as f64 / of_images as f64)
}

/// How a simulated budget ends a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A training that would exceed the budget is not done and ends the search (NAS-Bench-201).
    Fits,
    /// The training that crosses the budget still counts, and is the last (NATS-Bench).
    Overshoots,
}

impl Limit {
    /// As in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Overshoots => "overshoots",
        }
    }

    /// Whether a training of this cost may be done after `spent`.
    pub fn permits(self, spent: SimulatedSeconds, cost: SimulatedSeconds, budget: SimulatedSeconds) -> bool {
        match self {
            Self::Fits => spent + cost <= budget,
            Self::Overshoots => spent < budget,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_epochs_cost_12_24_and_72_816_times_the_seconds_of_one() {
        let of = |images| cost(Fidelity(12), 1.0, images, 25_000).number();
        assert_eq!((of(25_000), of(50_000)), (12.0, 24.0));
        assert!((of(151_700) - 72.816).abs() < 1e-12);
    }

    #[test]
    fn a_training_that_would_exceed_the_budget_is_done_or_not() {
        let s = SimulatedSeconds::new;
        assert!(Limit::Fits.permits(s(90.0), s(10.0), s(100.0)) && !Limit::Fits.permits(s(90.0), s(10.1), s(100.0)));
        assert!(Limit::Overshoots.permits(s(99.9), s(500.0), s(100.0)) && !Limit::Overshoots.permits(s(100.0), s(0.1), s(100.0)));
    }
}
