//! How well one score of an architecture predicts another: Pearson, Spearman, Kendall, each with a bootstrap interval.

use super::inference::{bootstrap, ranks, resample};

/// Fewer pairs than this get no coefficient: of three points it is 1 or -1 as often as not.
const LEAST: usize = 5;

/// A coefficient and its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coefficient {
    /// `None` where a score is constant or there are fewer than five pairs.
    pub value: Option<f64>,
    /// Percentiles 2.5 and 97.5 of the coefficients of resampled pairs.
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

impl Coefficient {
    fn of(pairs: &[(f64, f64)], f: fn(&[(f64, f64)]) -> Option<f64>) -> Self {
        let value = if pairs.len() < LEAST { None } else { f(pairs) };
        let interval = value.and_then(|_| bootstrap(pairs.len(), |rng| f(&resample(pairs, rng))));
        Self { value, interval }
    }

    /// Lower end of the interval.
    pub fn low(&self) -> Option<f64> {
        self.interval.map(|i| i.0)
    }

    /// Upper end of the interval.
    pub fn high(&self) -> Option<f64> {
        self.interval.map(|i| i.1)
    }

    /// Pearson's of pairs of finite numbers.
    pub fn pearson(pairs: &[(f64, f64)]) -> Self {
        Self::of(pairs, pearson)
    }
}

/// Correlates pairs of finite numbers.
pub fn correlate(pairs: &[(f64, f64)]) -> Correlation {
    let of = |f| Coefficient::of(pairs, f);
    Correlation { n: pairs.len(), pearson: of(pearson), spearman: of(spearman), kendall: of(kendall) }
}

/// The half of the pairs whose second number is largest, the earlier among equals; of an odd number the middle one is left out.
pub fn top_half(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    sorted.truncate(pairs.len() / 2);
    sorted
}

/// Product-moment correlation.
pub fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
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

pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let (x, y) = (ranks(pairs.iter().map(|p| p.0)), ranks(pairs.iter().map(|p| p.1)));
    pearson(&x.into_iter().zip(y).collect::<Vec<_>>())
}

/// Tau-b: concordant less discordant pairs of pairs over the geometric mean of those that are not tied. Sorted by x, the discordant ones are
/// those whose y then stand in the wrong order (Knight 1966), so a thousand resamples of a thousand pairs take seconds, not minutes.
pub fn kendall(pairs: &[(f64, f64)]) -> Option<f64> {
    let mut sorted = pairs.to_vec();
    // Adding zero makes -0.0 and 0.0 one number.
    sorted.iter_mut().for_each(|p| *p = (p.0 + 0.0, p.1 + 0.0));
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let tied_x = tied(sorted.chunk_by(|a, b| a.0 == b.0));
    let tied_both = tied(sorted.chunk_by(|a, b| a == b));
    let discordant = inversions(sorted.iter().map(|p| p.1));
    let mut y: Vec<f64> = sorted.iter().map(|p| p.1).collect();
    y.sort_by(f64::total_cmp);
    let tied_y = tied(y.chunk_by(|a, b| a == b));
    let all = choices(pairs.len());
    let (x, y) = (all - tied_x, all - tied_y);
    let score = all - tied_x - tied_y + tied_both - 2.0 * discordant;
    (pairs.len() > 2 && x > 0.0 && y > 0.0).then(|| score / (x * y).sqrt())
}

/// Pairs within the runs of equal values.
fn tied<'a, T: 'a>(runs: impl Iterator<Item = &'a [T]>) -> f64 {
    runs.map(|run| choices(run.len())).sum()
}

/// Pairs of `n` things.
fn choices(n: usize) -> f64 {
    n as f64 * (n as f64 - 1.0) / 2.0
}

/// How many pairs stand in the wrong order: each value against those before it, which are kept sorted.
fn inversions(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = Vec::new();
    let insert = |value: f64| {
        let at = sorted.partition_point(|v| *v <= value);
        sorted.insert(at, value);
        (sorted.len() - 1 - at) as f64
    };
    values.map(insert).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        let pairs = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 4.0)];
        assert!((pearson(&pairs).unwrap() - 0.8).abs() < 1e-12);
        assert!((spearman(&pairs).unwrap() - 0.8).abs() < 1e-12);
        assert!((kendall(&pairs).unwrap() - 2.0 / 3.0).abs() < 1e-12);
        let c = correlate(&pairs);
        assert_eq!((c.n, c.pearson, c.kendall), (4, Coefficient::default(), Coefficient::default()), "too few");
    }

    #[test]
    fn ties_and_constants() {
        // scipy.stats: spearmanr 0.948683..., kendalltau (tau-b) 0.912870...
        let pairs = [(1.0, 1.0), (2.0, 2.0), (2.0, 3.0), (3.0, 4.0)];
        assert!((spearman(&pairs).unwrap() - 0.9486832980505138).abs() < 1e-12);
        assert!((kendall(&pairs).unwrap() - 0.9128709291752769).abs() < 1e-12);
        let flat = correlate(&[(1.0, 2.0), (1.0, 3.0), (1.0, 5.0), (1.0, 6.0), (1.0, 8.0)]);
        assert_eq!((flat.pearson.value, flat.spearman.value, flat.kendall.value), (None, None, None));
        assert_eq!(correlate(&[]).pearson.value, None);
        let uneven: Vec<(f64, f64)> = (0..8).map(|i| (0.1, f64::from(i))).collect();
        assert_eq!(correlate(&uneven).pearson.value, None, "the mean of eight times 0.1 is not 0.1");
    }

    #[test]
    fn the_top_half_is_the_half_that_came_out_best() {
        // The four best are those of `known_vectors`, turned round; the worst have the best predictions.
        let best = [(1.0, 14.0), (2.0, 12.0), (3.0, 13.0), (4.0, 11.0)];
        let pairs: Vec<(f64, f64)> = [(9.0, 1.0), (8.0, 2.0), (7.0, 3.0), (6.0, 4.0), (5.0, 5.0)].into_iter().chain(best).collect();
        assert_eq!(top_half(&pairs), [best[0], best[2], best[1], best[3]]);
        assert!((pearson(&top_half(&pairs)).unwrap() + 0.8).abs() < 1e-12);
        assert_eq!(top_half(&[(1.0, 5.0), (2.0, 5.0), (3.0, 5.0), (4.0, 5.0)]), [(1.0, 5.0), (2.0, 5.0)], "ties");
        assert_eq!(top_half(&[(1.0, 1.0)]), []);
    }

    /// Tau-b by its definition, pair against pair.
    fn kendall_by_definition(pairs: &[(f64, f64)]) -> Option<f64> {
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

    #[test]
    fn counting_swaps_gives_what_the_definition_gives() {
        let value = |i: u32, step: u32, most: u32| f64::from(i * step % 101 % most);
        for n in 0..60 {
            for (a, b) in [(3, 5), (7, 101), (101, 2), (1, 9), (101, 101)] {
                // With 0.0 and -0.0, which are equal.
                let pairs: Vec<(f64, f64)> = (0..n).map(|i| (value(i, 37, a), -value(i, 53, b))).chain([(-0.0, 0.0)]).collect();
                assert_eq!(kendall(&pairs), kendall_by_definition(&pairs), "{pairs:?}");
            }
        }
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
