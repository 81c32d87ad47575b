//! Statistics of small samples: intervals of means, and tests of one sample against another. The same samples give the same numbers.

use super::{deviation, mean};
use crate::seed::{Rng, Streams};
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

/// 95 % interval of the mean, by Student's t; `None` for fewer than three values.
pub fn mean_interval(values: Sample) -> Option<Interval> {
    Difference::to(values, 0.0).map(|d| d.interval())
}

/// Ranks from 1, equal values share the mean of theirs.
pub(super) fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut sorted = values.clone();
    sorted.sort_by(|a, b| (a + 0.0).total_cmp(&(b + 0.0)));
    let rank = |v: &f64| (sorted.partition_point(|w| w < v) + sorted.partition_point(|w| w <= v) + 1) as f64 / 2.0;
    values.iter().map(rank).collect()
}

/// Mann-Whitney U test: the two-sided probability of a U as far from its mean if both samples come from one distribution. Counted, also with ties, for up to twenty values each, else the
/// normal approximation with corrections for ties and continuity. `None` if either sample has fewer than three values.
pub fn mann_whitney(a: Sample, b: Sample) -> Option<f64> {
    if a.len().min(b.len()) < LEAST {
        return None;
    }
    let all = ranks(a.iter().chain(b).copied());
    if a.len().max(b.len()) <= EXACT {
        return Some(counted(&all, a.len()));
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    // Pairs in which the first sample's value is the larger; a tie is half a pair.
    let u = all[..a.len()].iter().sum::<f64>() - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties(&all) / (total * (total - 1.0)));
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

/// Two-sided probability by counting all choices of `n` of the ranks: the share of those whose sum is as far from its mean as that of the first `n`. Ranks are halves at the least, so
/// twice their sums are whole numbers.
fn counted(ranks: &[f64], n: usize) -> f64 {
    let twice: Vec<usize> = ranks.iter().map(|r| (2.0 * r) as usize).collect();
    let sums = twice.iter().sum::<usize>() + 1;
    // Choices by their number of ranks and their sum. There are at most (40 over 20) of them, which a double holds exactly.
    let mut choices = vec![vec![0.0_f64; sums]; n + 1];
    choices[0][0] = 1.0;
    for rank in &twice {
        for k in (1..=n).rev() {
            for sum in (*rank..sums).rev() {
                choices[k][sum] += choices[k - 1][sum - rank];
            }
        }
    }
    let centre = n * (ranks.len() + 1);
    let far = |sum: usize| sum.abs_diff(centre);
    let observed = far(twice[..n].iter().sum());
    let share = |keep: &dyn Fn(usize) -> bool| choices[n].iter().enumerate().filter(|(sum, _)| keep(*sum)).map(|(_, c)| c).sum::<f64>();
    share(&|sum| far(sum) >= observed) / share(&|_| true)
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

    /// Two-sided probability of a t as far from 0 if the means do not differ.
    pub fn p(&self) -> f64 {
        (2.0 * self.tail(self.difference.abs())).min(1.0)
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
    fn u_is_counted_for_small_samples() {
        near(mann_whitney(&A, &B).unwrap(), 0.1);
        near(mann_whitney(&C, &D).unwrap(), 0.04797979797979798);
        near(mann_whitney(&D, &C).unwrap(), 0.04797979797979798);
        let (odd, even): (Vec<f64>, Vec<f64>) =
            ((0..20).map(|i| f64::from(2 * i + 1)).collect(), (0..20).map(|i| f64::from(2 * i)).collect());
        // scipy: mannwhitneyu(odd, even, method="exact").
        near(mann_whitney(&odd, &even).unwrap(), 0.799407187161697);
        // With ties, of all 20 choices of three ranks two are as far: scipy's permutation_test of the rank sum. The approximation says 0.0765, which three seeds cannot give.
        near(mann_whitney(&[0.9083, 0.9111, 0.9083], &[0.7972, 0.7806, 0.8139]).unwrap(), 0.1);
        // By hand: of 15 pairs of the ranks 1, 2.5, 2.5, 4, 5, 6, three are as far from 7 as 1 + 2.5: itself, 1 with the other 2.5, and 5 + 6.
        near(counted(&[1.0, 2.5, 2.5, 4.0, 5.0, 6.0], 2), 3.0 / 15.0);
        assert_eq!(mann_whitney(&[1.0; 3], &[1.0; 4]), Some(1.0));
    }

    #[test]
    fn u_is_approximated_for_large_samples() {
        let wave = |i: u32| f64::from(37 * i % 101) / 100.0;
        let large: Vec<f64> = (0..25).map(wave).collect();
        let other: Vec<f64> = (30..54).map(|i| wave(i) + 0.155).collect();
        near(mann_whitney(&large, &other).unwrap(), 0.05875796008081886);
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
    fn the_interval_of_three_values_is_wider_than_their_range() {
        // By hand: Student's quantile for two degrees of freedom is 0.95 √(2 / (1 − 0.95²)).
        let (low, high) = mean_interval(&[1.0, 2.0, 4.0]).unwrap();
        near(low, -1.4612497002634268);
        near(high, 6.127916366930094);
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
        assert_eq!(mean_interval(two), None);
    }
}
