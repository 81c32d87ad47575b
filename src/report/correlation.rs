//! How well one score of an architecture predicts another: Pearson, Spearman, Kendall, each with a bootstrap interval.

use super::statistics::{self, ranks, resample};

/// Fewer pairs than this get no interval.
const LEAST: usize = 5;

/// A coefficient and its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficient {
    /// `None` where a score is constant or there are fewer than three pairs.
    pub value: Option<f64>,
    /// Percentiles 2.5 and 97.5 of the coefficients of resampled pairs; `None` for few pairs.
    pub interval: Option<(f64, f64)>,
}

/// Three coefficients of the same pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Correlation {
    /// Pairs.
    pub n: usize,
    /// Linear.
    pub pearson: Coefficient,
    /// Of the ranks, mean ranks for ties.
    pub spearman: Coefficient,
    /// Tau-b.
    pub kendall: Coefficient,
}

/// Correlates pairs of finite numbers.
pub fn correlate(pairs: &[(f64, f64)]) -> Correlation {
    let of = |f: fn(&[(f64, f64)]) -> Option<f64>| Coefficient { value: f(pairs), interval: bootstrap(pairs, f) };
    Correlation { n: pairs.len(), pearson: of(pearson), spearman: of(spearman), kendall: of(kendall) }
}

fn bootstrap(pairs: &[(f64, f64)], f: fn(&[(f64, f64)]) -> Option<f64>) -> Option<(f64, f64)> {
    if pairs.len() < LEAST || f(pairs).is_none() {
        return None;
    }
    statistics::bootstrap(pairs.len(), |rng| f(&resample(pairs, rng)))
}

/// Product-moment correlation.
fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
    // Compared as they are: the mean of equal numbers may be another number.
    let constant = |of: fn(&(f64, f64)) -> f64| pairs.iter().all(|p| of(p) == of(&pairs[0]));
    if pairs.len() < 3 || constant(|p| p.0) || constant(|p| p.1) {
        return None;
    }
    let n = pairs.len() as f64;
    let (mx, my) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| f(x - mx, y - my)).sum::<f64>();
    let (xx, yy) = (sum(&|x, _| x * x), sum(&|_, y| y * y));
    (xx > 0.0 && yy > 0.0).then(|| sum(&|x, y| x * y) / (xx * yy).sqrt())
}

fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let (x, y) = (ranks(pairs.iter().map(|p| p.0)), ranks(pairs.iter().map(|p| p.1)));
    pearson(&x.into_iter().zip(y).collect::<Vec<_>>())
}

/// Tau-b: concordant less discordant pairs of pairs over the geometric mean of those that are not tied.
fn kendall(pairs: &[(f64, f64)]) -> Option<f64> {
    let sign = |a: f64, b: f64| f64::from(i8::from(a > b) - i8::from(a < b));
    let (mut score, mut x, mut y) = (0.0, 0.0, 0.0);
    for (i, a) in pairs.iter().enumerate() {
        for b in &pairs[..i] {
            let (sx, sy) = (sign(a.0, b.0), sign(a.1, b.1));
            score += sx * sy;
            x += sx * sx;
            y += sy * sy;
        }
    }
    (pairs.len() > 2 && x > 0.0 && y > 0.0).then(|| score / (x * y).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        let c = correlate(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 4.0)]);
        assert!((c.pearson.value.unwrap() - 0.8).abs() < 1e-12);
        assert!((c.spearman.value.unwrap() - 0.8).abs() < 1e-12);
        assert!((c.kendall.value.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((c.n, c.pearson.interval), (4, None), "too few for an interval");
    }

    #[test]
    fn ties_and_constants() {
        // scipy.stats: spearmanr 0.948683..., kendalltau (tau-b) 0.912870...
        let c = correlate(&[(1.0, 1.0), (2.0, 2.0), (2.0, 3.0), (3.0, 4.0)]);
        assert!((c.spearman.value.unwrap() - 0.9486832980505138).abs() < 1e-12);
        assert!((c.kendall.value.unwrap() - 0.9128709291752769).abs() < 1e-12);
        let flat = correlate(&[(1.0, 2.0), (1.0, 3.0), (1.0, 5.0)]);
        assert_eq!((flat.pearson.value, flat.spearman.value, flat.kendall.value), (None, None, None));
        assert_eq!(correlate(&[]).pearson.value, None);
        let uneven: Vec<(f64, f64)> = (0..8).map(|i| (0.1, f64::from(i))).collect();
        assert_eq!(correlate(&uneven).pearson.value, None, "the mean of eight times 0.1 is not 0.1");
    }

    #[test]
    fn the_interval_holds_the_value_and_is_the_same_every_time() {
        let pairs: Vec<(f64, f64)> = (0..40).map(|i| (f64::from(i), f64::from(i * i % 17))).collect();
        let c = correlate(&pairs);
        for k in [c.pearson, c.spearman, c.kendall] {
            let (low, high) = k.interval.unwrap();
            assert!(low < k.value.unwrap() && k.value.unwrap() < high);
        }
        assert_eq!(c, correlate(&pairs));
    }
}
