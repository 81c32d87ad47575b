//! Statistics of small samples: intervals of means, and tests of one sample against another. The same samples give the same numbers.

use crate::seed::{Rng, Streams};
pub use crate::statistics::{deviation, mean};
use rand::RngExt;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Values, one a seed, in any unit; finite.
pub type Sample<'a> = &'a [f64];
/// Lower and upper end, in the unit of the values.
pub type Interval = (f64, f64);

/// Fewer values than this are not tested and have no interval.
pub const LEAST: usize = 3;
/// Resamples behind a bootstrap interval.
const RESAMPLES: usize = 2000;
/// Samples up to this size have an exact distribution of U; the counts stay below 2^53.
const EXACT: usize = 20;

/// As many values, drawn with replacement.
pub(super) fn resample<T: Copy>(values: &[T], rng: &mut Rng) -> Vec<T> {
    (0..values.len()).map(|_| values[rng.random_range(0..values.len())]).collect()
}

/// Percentiles 2.5 and 97.5 of a figure over resamples; `None` if more than half of them have no such figure. `n` names the stream.
pub(super) fn bootstrap(n: usize, mut figure: impl FnMut(&mut Rng) -> Option<f64>) -> Option<Interval> {
    let mut rng = Streams::new(0).rng("bootstrap", n as u64);
    let mut values: Vec<f64> = (0..RESAMPLES).filter_map(|_| figure(&mut rng)).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (values.len() > RESAMPLES / 2).then(|| (at(0.025), at(0.975)))
}

/// Bootstrap 95 % interval of the mean; `None` for fewer than three values.
pub fn mean_interval(values: Sample) -> Option<Interval> {
    (values.len() >= LEAST).then(|| bootstrap(values.len(), |rng| mean(&resample(values, rng))))?
}

/// Bootstrap 95 % interval of the difference of means, `a` less `b`, resampled apart; `None` if either has fewer than three values.
pub fn difference_interval(a: Sample, b: Sample) -> Option<Interval> {
    let difference = |rng: &mut Rng| Some(mean(&resample(a, rng))? - mean(&resample(b, rng))?);
    (a.len().min(b.len()) >= LEAST).then(|| bootstrap(a.len() + b.len(), difference))?
}

/// Ranks from 1, equal values share the mean of theirs.
pub(super) fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut sorted = values.clone();
    sorted.sort_by(|a, b| (a + 0.0).total_cmp(&(b + 0.0)));
    let rank = |v: &f64| (sorted.partition_point(|w| w < v) + sorted.partition_point(|w| w <= v) + 1) as f64 / 2.0;
    values.iter().map(rank).collect()
}

/// Mann-Whitney U test: the two-sided probability of a U as far from its mean if both samples come from one distribution. Exact for up to twenty
/// values each without ties, else the normal approximation with corrections for ties and continuity. `None` if either sample has fewer than three
/// values.
pub fn mann_whitney(a: Sample, b: Sample) -> Option<f64> {
    if a.len().min(b.len()) < LEAST {
        return None;
    }
    let all = ranks(a.iter().chain(b).copied());
    let (n, m) = (a.len() as f64, b.len() as f64);
    // Pairs in which the first sample's value is the larger; a tie is half a pair.
    let u = all[..a.len()].iter().sum::<f64>() - n * (n + 1.0) / 2.0;
    let ties = ties(&all);
    if ties == 0.0 && a.len().max(b.len()) <= EXACT {
        return Some(exact(a.len(), b.len(), u));
    }
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    let z = ((u - n * m / 2.0).abs() - 0.5) / variance.sqrt();
    // All values equal: there is nothing to tell apart.
    Some(if variance > 0.0 { (2.0 * Normal::standard().sf(z)).min(1.0) } else { 1.0 })
}

/// Sum of t³ - t over groups of t equal ranks.
fn ties(ranks: &[f64]) -> f64 {
    let group = |r: f64| ranks.iter().filter(|s| **s == r).count() as f64;
    // Each of the t members of a group adds t² - 1.
    ranks.iter().map(|r| group(*r).powi(2) - 1.0).sum()
}

/// Two-sided probability by counting: the numbers of arrangements by U are the coefficients of the Gaussian binomial, the product of
/// (1 - q^(m+i)) / (1 - q^i) for i = 1..n.
fn exact(n: usize, m: usize, u: f64) -> f64 {
    let mut counts = vec![0_i64; n * m + n + m + 1];
    counts[0] = 1;
    for i in 1..=n {
        for k in (m + i..counts.len()).rev() {
            counts[k] -= counts[k - m - i];
        }
        for k in i..counts.len() {
            counts[k] += counts[k - i];
        }
    }
    let far = u.max((n * m) as f64 - u) as usize;
    let all: i64 = counts[..=n * m].iter().sum();
    let tail: i64 = counts[far..=n * m].iter().sum();
    (2.0 * tail as f64 / all as f64).min(1.0)
}

/// A difference of means with its standard error and its degrees of freedom: of two samples (Welch), or of one and a value.
pub struct Difference {
    difference: f64,
    error: f64,
    freedom: f64,
}

impl Difference {
    /// `a` less `b`; `None` if either has fewer than three values.
    pub fn of(a: Sample, b: Sample) -> Option<Self> {
        if a.len().min(b.len()) < LEAST {
            return None;
        }
        let square = |v: Sample| Some(deviation(v)?.powi(2) / v.len() as f64);
        let (x, y) = (square(a)?, square(b)?);
        let freedom = (x + y).powi(2) / (x * x / (a.len() as f64 - 1.0) + y * y / (b.len() as f64 - 1.0));
        Some(Self { difference: mean(a)? - mean(b)?, error: (x + y).sqrt(), freedom })
    }

    /// The sample less a fixed value, such as a reported one; `None` for fewer than three values.
    pub fn to(a: Sample, value: f64) -> Option<Self> {
        if a.len() < LEAST {
            return None;
        }
        let n = a.len() as f64;
        Some(Self { difference: mean(a)? - value, error: deviation(a)? / n.sqrt(), freedom: n - 1.0 })
    }

    /// The sample less a mean that was reported with its standard error and the number of its values (Welch); `None` for fewer than three values.
    pub fn to_reported(a: Sample, (value, error, runs): (f64, f64, u32)) -> Option<Self> {
        if a.len() < LEAST || runs < 2 {
            return None;
        }
        let n = a.len() as f64;
        let (x, y) = (deviation(a)?.powi(2) / n, error * error);
        let freedom = (x + y).powi(2) / (x * x / (n - 1.0) + y * y / (f64::from(runs) - 1.0));
        Some(Self { difference: mean(a)? - value, error: (x + y).sqrt(), freedom })
    }

    /// The difference itself.
    pub fn value(&self) -> f64 {
        self.difference
    }

    /// Two one-sided tests: the probability of means that look as equal if they differ by `margin` (unit of the values) or more; small means
    /// "as good, within the margin".
    pub fn equivalence(&self, margin: f64) -> f64 {
        self.tail(self.difference + margin).max(self.tail(margin - self.difference))
    }

    /// 95 % interval, by Student's t.
    pub fn interval(&self) -> Interval {
        let reach = match StudentsT::new(0.0, 1.0, self.freedom) {
            Ok(t) if self.error > 0.0 => t.inverse_cdf(0.975) * self.error,
            _ => 0.0,
        };
        (self.difference - reach, self.difference + reach)
    }

    /// Probability of a larger t. Samples without any spread give 0 or 1.
    fn tail(&self, distance: f64) -> f64 {
        match StudentsT::new(0.0, 1.0, self.freedom) {
            Ok(t) if self.error > 0.0 => t.sf(distance / self.error),
            _ => f64::from(u8::from(distance <= 0.0)),
        }
    }
}

/// Holm's correction of the probabilities of one family of tests, in their order.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|i, j| p[*i].total_cmp(&p[*j]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, i) in order.into_iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[i]).min(1.0);
        corrected[i] = largest;
    }
    corrected
}

// The numbers are those of scipy 1.17.1 and, for Holm, statsmodels.
#[cfg(test)]
mod tests {
    use super::*;

    const A: [f64; 3] = [0.858, 0.872, 0.844];
    const B: [f64; 3] = [0.883, 0.878, 0.894];
    const C: [f64; 5] = [0.91, 0.93, 0.95, 0.90, 0.97];
    const D: [f64; 7] = [0.92, 0.89, 0.88, 0.86, 0.94, 0.85, 0.87];
    const X: [f64; 4] = [0.961, 0.958, 0.963, 0.960];
    const Y: [f64; 3] = [0.959, 0.962, 0.9605];

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "{found} is not {expected}");
    }

    #[test]
    fn mean_and_deviation() {
        near(mean(&C).unwrap(), 0.932);
        near(deviation(&C).unwrap(), 0.028635642126552677);
        assert_eq!((mean(&[]), deviation(&[1.0])), (None, None));
    }

    #[test]
    fn u_is_exact_for_small_samples_without_ties() {
        near(mann_whitney(&A, &B).unwrap(), 0.1);
        near(mann_whitney(&C, &D).unwrap(), 0.04797979797979798);
        near(mann_whitney(&D, &C).unwrap(), 0.04797979797979798);
        let (odd, even): (Vec<f64>, Vec<f64>) =
            ((0..20).map(|i| f64::from(2 * i + 1)).collect(), (0..20).map(|i| f64::from(2 * i)).collect());
        // scipy: mannwhitneyu(odd, even, method="exact").
        near(mann_whitney(&odd, &even).unwrap(), 0.799407187161697);
    }

    #[test]
    fn u_is_approximated_with_ties_and_for_large_samples() {
        near(mann_whitney(&[1.0, 2.0, 2.0, 3.0, 5.0], &[2.0, 3.0, 3.0, 4.0, 6.0, 7.0]).unwrap(), 0.16304505585423734);
        let wave = |i: u32| f64::from(37 * i % 101) / 100.0;
        let large: Vec<f64> = (0..25).map(wave).collect();
        let other: Vec<f64> = (30..54).map(|i| wave(i) + 0.155).collect();
        near(mann_whitney(&large, &other).unwrap(), 0.05875796008081886);
        assert_eq!(mann_whitney(&[1.0; 3], &[1.0; 4]), Some(1.0));
    }

    #[test]
    fn equivalence_needs_both_sides() {
        near(Difference::of(&C, &D).unwrap().equivalence(0.05), 0.3891365336425873);
        near(Difference::of(&C, &D).unwrap().equivalence(0.1), 0.0059542309787125195);
        near(Difference::of(&A, &B).unwrap().equivalence(0.01), 0.9196937962020738);
        near(Difference::of(&X, &Y).unwrap().equivalence(0.01), 0.00035833307874095973);
        assert_eq!(Difference::of(&[0.5; 3], &[0.5; 3]).unwrap().equivalence(0.01), 0.0);
        assert_eq!(Difference::of(&[0.5; 3], &[0.6; 3]).unwrap().equivalence(0.01), 1.0);
    }

    #[test]
    fn intervals_of_differences() {
        for (a, b, low, high) in [
            (&C[..], &D[..], 0.004983038473886196, 0.08473124724039965),
            (&X, &Y, -0.0034809447861226953, 0.0034809447861226953),
            (&A, &B, -0.05565843651798574, 0.0016584365179854697),
        ] {
            let found = Difference::of(a, b).unwrap().interval();
            assert!((found.0 - low).abs() < 1e-9 && (found.1 - high).abs() < 1e-9, "{found:?}");
            let resampled = difference_interval(a, b).unwrap();
            let difference = mean(a).unwrap() - mean(b).unwrap();
            assert!(resampled.0 <= difference && difference <= resampled.1);
            assert!(resampled.1 - resampled.0 < high - low, "{resampled:?} of few values is narrower than Welch's");
            assert_eq!(difference_interval(a, b), Some(resampled));
        }
        assert_eq!(Difference::of(&[0.5; 3], &[0.25; 3]).unwrap().interval(), (0.25, 0.25));
    }

    #[test]
    fn a_sample_against_a_value() {
        near(Difference::to(&C, 0.94).unwrap().equivalence(0.05), 0.01525540629016563);
        near(Difference::to(&A, 0.86).unwrap().equivalence(0.03), 0.03708995011372434);
        for (sample, value, low, high) in
            [(&C[..], 0.94, -0.04355584589398742, 0.02755584589398763), (&A, 0.86, -0.03677792796450463, 0.03277792796450463)]
        {
            let found = Difference::to(sample, value).unwrap().interval();
            assert!((found.0 - low).abs() < 1e-9 && (found.1 - high).abs() < 1e-9, "{found:?}");
        }
        assert!(Difference::to(&C[..2], 0.9).is_none());
    }

    #[test]
    fn the_interval_of_a_mean_is_near_that_of_the_whole_bootstrap() {
        // All 3^3 resamples of three values: the means beyond their 2.5 % ends are the extremes, each 1 in 27.
        assert_eq!(mean_interval(&[1.0, 2.0, 4.0]), Some((1.0, 4.0)));
        let many: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40)).collect();
        let (low, high) = mean_interval(&many).unwrap();
        // scipy.stats.bootstrap, percentile, 10^6 resamples.
        assert!((low - 15.925).abs() < 0.25 && (high - 23.075).abs() < 0.25, "{low} {high}");
        assert_eq!(mean_interval(&many), Some((low, high)));
    }

    #[test]
    fn holm_steps_down() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005, 0.6]);
        for (found, expected) in corrected.into_iter().zip([0.04, 0.09, 0.09, 0.025, 0.6]) {
            near(found, expected);
        }
        assert_eq!(holm(&[0.7, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }

    #[test]
    fn two_values_are_not_tested() {
        let (two, three) = (&[0.1, 0.2][..], &[0.1, 0.2, 0.3][..]);
        assert!(mann_whitney(two, three).is_none() && Difference::of(three, two).is_none());
        assert_eq!((mean_interval(two), difference_interval(two, three)), (None, None));
    }
}
