//! A figure over the seeds of an experiment, and how numbers are printed.

use super::grid::field;
use super::summary::NONE;
use crate::statistics::{deviation, mean};

/// Mean over the search seeds, with its sample standard deviation (n - 1) and its extremes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Values behind it.
    pub n: u64,
    /// `None` if there is no value.
    pub mean: Option<f64>,
    /// `None` for fewer than two values.
    pub deviation: Option<f64>,
    /// Smallest.
    pub low: Option<f64>,
    /// Largest.
    pub high: Option<f64>,
}

impl Spread {
    /// Of these values.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        Self {
            n: values.len() as u64,
            mean: mean(&values),
            deviation: deviation(&values),
            low: values.iter().copied().reduce(f64::min),
            high: values.iter().copied().reduce(f64::max),
        }
    }

    /// One number, or the least and the greatest where they differ; empty of nothing.
    pub(super) fn span(&self) -> String {
        match (self.low, self.high) {
            (Some(low), Some(high)) if low < high => format!("{low}–{high}"),
            (low, _) => field(low),
        }
    }
}

/// A score in per cent with the sample standard deviation over seeds.
pub fn percent(score: Spread) -> String {
    match (score.mean, score.deviation) {
        (Some(mean), Some(sd)) => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * sd),
        (Some(mean), None) => format!("{:.2} ± {NONE}", 100.0 * mean),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_over_the_finite_values() {
        let three = Spread::of([0.5, f64::NAN, 0.6, 0.7].into_iter());
        assert_eq!((three.n, three.low, three.high), (3, Some(0.5), Some(0.7)));
        assert!((three.mean.unwrap() - 0.6).abs() < 1e-12 && (three.deviation.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(Spread::of([0.5].into_iter()).deviation, None);
        assert_eq!(Spread::of([].into_iter()), Spread::default());
    }

    #[test]
    fn a_single_seed_has_no_deviation_and_a_missing_score_is_empty() {
        let one = Spread { n: 1, mean: Some(0.9725), ..Spread::default() };
        assert_eq!(percent(one), "97.25 ± –");
        assert_eq!(percent(Spread { n: 3, deviation: Some(0.0025), ..one }), "97.25 ± 0.25");
        assert_eq!(percent(Spread::default()), "");
    }
}
