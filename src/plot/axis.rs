//! Axes that hold for any values: none, one, equal ones, NaN, infinite ones.

use crate::units::raised;

/// Bounds of an axis and the places of its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Left or lower end, in log10 units on a log axis.
    low: f64,
    /// Right or upper end, greater than `low`.
    high: f64,
    /// Logarithmic.
    log: bool,
    /// On a log axis: zero has a place of its own, before the scale.
    zero: bool,
    /// Value and words of each tick.
    pub ticks: Vec<(f64, String)>,
    /// Values of the small ticks between them.
    pub minor: Vec<f64>,
}

/// Share of a log axis that is given to zero, if there is one; the scale begins after it.
const ZERO_ROOM: f64 = 0.1;
/// Where zero stands.
const ZERO_AT: f64 = 0.04;

/// Finite bounds with `low < high` around the finite values: at least `least` wide, 6 % free at both ends.
pub fn safe_range(values: impl IntoIterator<Item = f64>, least: f64) -> (f64, f64) {
    // Beyond this, differences would overflow.
    const HUGE: f64 = 1e300;
    let finite = values.into_iter().filter(|v| v.is_finite()).map(|v| v.clamp(-HUGE, HUGE));
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return (0.0, least.max(1.0));
    }
    // Wide enough for numbers of few digits.
    let largest = low.abs().max(high.abs());
    let least = least.max(largest * if largest < 1e6 { 1e-3 } else { 0.5 }).max(f64::MIN_POSITIVE);
    let missing = (least - (high - low)).max(0.0) / 2.0;
    let free = 0.06 * (high - low + 2.0 * missing);
    (low - missing - free, high + missing + free)
}

impl Axis {
    /// A linear axis around `values`, at least `least` wide.
    pub fn linear(values: impl IntoIterator<Item = f64>, least: f64) -> Self {
        let (low, high) = safe_range(values, least);
        Self { low, high, log: false, zero: false, ticks: linear_ticks(low, high), minor: Vec::new() }
    }

    /// A linear axis that begins at zero.
    pub fn from_zero(values: impl IntoIterator<Item = f64>, least: f64) -> Self {
        let (_, high) = safe_range(values.into_iter().chain([0.0]), least);
        let high = high.max(least);
        Self { low: 0.0, high, log: false, zero: false, ticks: linear_ticks(0.0, high), minor: Vec::new() }
    }

    /// A linear axis of whole numbers that begins at zero.
    pub fn counts(values: impl IntoIterator<Item = f64>) -> Self {
        let mut axis = Self::from_zero(values, 1.0);
        axis.ticks.retain(|(v, _)| (v - v.round()).abs() < 1e-9);
        axis.ticks.iter_mut().for_each(|(v, words)| *words = format!("{v:.0}"));
        axis
    }

    /// Whether it has names, not numbers.
    pub fn is_of_names(&self) -> bool {
        self.low > self.high
    }

    /// A logarithmic axis around those `values` that are above zero, at least one decade wide. If there is a zero among them it has a
    /// place before the scale.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let mut zero = false;
        let values = values.into_iter().inspect(|v| zero |= *v == 0.0);
        let (low, high) = safe_range(values.filter(|v| *v > 0.0).map(f64::log10), 1.0);
        let (mut ticks, minor) = log_ticks(low, high);
        let room = if zero { (high - low) * ZERO_ROOM / (1.0 - ZERO_ROOM) } else { 0.0 };
        if zero {
            ticks.insert(0, (0.0, "0".into()));
        }
        Self { low: low - room, high, log: true, zero, ticks, minor }
    }

    /// Where the scale is broken, because zero stands before it.
    pub fn broken_at(&self) -> Option<f64> {
        self.zero.then_some((ZERO_AT + ZERO_ROOM) / 2.0)
    }

    /// A linear axis around percentages, which does not run past 100 and below 0. It is five points long at the least, so that small differences do not look large.
    pub fn percent(values: impl IntoIterator<Item = f64>) -> Self {
        const LEAST: f64 = 5.0;
        let (low, high) = safe_range(values, LEAST);
        let low = low.clamp(0.0, 100.4 - LEAST);
        let high = high.min(100.4).max(low + LEAST);
        let ticks = linear_ticks(low, high).into_iter().filter(|(v, _)| *v <= 100.0).collect();
        Self { low, high, log: false, zero: false, ticks, minor: Vec::new() }
    }

    /// Names from top to bottom, at 0, 1 and so on.
    pub fn names(names: impl Iterator<Item = String>) -> Self {
        let ticks: Vec<(f64, String)> = names.enumerate().map(|(i, name)| (i as f64, name)).collect();
        Self { low: ticks.len() as f64 - 0.5, high: -0.5, log: false, zero: false, ticks, minor: Vec::new() }
    }

    /// Where `value` is: 0 at the low end, 1 at the high end; `None` if it is nowhere on this axis.
    pub fn place(&self, value: f64) -> Option<f64> {
        if self.zero && value == 0.0 {
            return Some(ZERO_AT);
        }
        let position = if self.log { value.log10() } else { value };
        position.is_finite().then(|| (position - self.low) / (self.high - self.low))
    }
}

/// About five round numbers.
fn linear_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high - low) / 6.5;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    let ticks = (0..12).map(|i| (first + f64::from(i)) * step).take_while(|v| *v <= high + 1e-9 * step);
    let largest = low.abs().max(high.abs());
    ticks.map(|v| (v, number(v + 0.0, step, largest))).collect()
}

/// A multiple of `step` with no more digits than that needs; very large and very small ones with an exponent, all of an axis alike.
fn number(value: f64, step: f64, largest: f64) -> String {
    let decade = (step.log10() + 1e-9).floor();
    if (1e-3..1e6).contains(&largest) && decade > -5.0 {
        return format!("{value:.*}", (-decade).max(0.0) as usize);
    }
    let digits = if value == 0.0 { 0.0 } else { (value.abs().log10() + 1e-9).floor() - decade };
    if value.abs() < step / 2.0 { "0".into() } else { format!("{value:.*e}", digits.clamp(0.0, 9.0) as usize) }
}

/// Ticks with words, and those without between them.
fn log_ticks(low: f64, high: f64) -> (Vec<(f64, String)>, Vec<f64>) {
    let (first, last) = (low.floor() as i32, high.ceil() as i32);
    let span = high - low;
    let every = ((span / 6.0).ceil() as i32).max(1);
    let factors: &[u32] = if span <= 2.3 { &[1, 2, 5] } else { &[1] };
    let inside = |v: f64| (low - 1e-9..=high + 1e-9).contains(&v.log10());
    let value = |f: u32, d: i32| f64::from(f) * 10f64.powi(d);
    let all = (first..=last).filter(|_| every == 1).flat_map(|d| (1..10).map(move |f| (f, d)));
    let (named, minor): (Vec<_>, Vec<_>) = if every == 1 {
        all.partition(|(f, _)| factors.contains(f))
    } else {
        ((first..=last).filter(|d| d.rem_euclid(every) == 0).map(|d| (1, d)).collect(), (first..=last).map(|d| (1, d)).collect())
    };
    let words = |(f, d): (u32, i32)| (value(f, d), power_text(f64::from(f), d));
    let named = named.into_iter().filter(|(f, d)| inside(value(*f, *d))).map(words).collect();
    (named, minor.into_iter().map(|(f, d)| value(f, d)).filter(|v| inside(*v)).collect())
}

/// `0.02`, `500`, `20 k`, `2×10⁻⁵`.
fn power_text(factor: f64, decade: i32) -> String {
    let units = [(0, 4, ""), (4, 6, " k"), (6, 9, " M")];
    if let Some((from, _, unit)) = units.into_iter().find(|(from, to, _)| (*from..*to).contains(&decade)) {
        let power = if from == 4 { 3 } else { from };
        return format!("{}{unit}", factor * 10f64.powi(decade - power));
    }
    if (-2..0).contains(&decade) {
        return format!("{:.*}", -decade as usize, factor * 10f64.powi(decade));
    }
    let sign = if decade < 0 { "⁻" } else { "" };
    let exponent = format!("{sign}{}", raised(decade.unsigned_abs() as usize));
    if factor == 1.0 { format!("10{exponent}") } else { format!("{factor}×10{exponent}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(axis: &Axis, values: &[f64]) {
        assert!(axis.low.is_finite() && axis.high.is_finite() && axis.low < axis.high, "{axis:?}");
        assert!(!axis.ticks.is_empty() && axis.ticks.len() <= 14, "{axis:?}");
        for (value, words) in &axis.ticks {
            let place = axis.place(*value).unwrap();
            assert!((-1e-6..=1.000_001).contains(&place), "{words} at {place}: {axis:?}");
        }
        for value in values.iter().filter(|v| axis.place(**v).is_some() && v.abs() <= 1e300) {
            let place = axis.place(*value).unwrap();
            assert!((0.0..=1.0).contains(&place), "{value} at {place}");
        }
    }

    #[test]
    fn axes_hold_for_any_values() {
        let nan = f64::NAN;
        let sets: [&[f64]; 13] = [
            &[],
            &[nan],
            &[nan, f64::INFINITY, f64::NEG_INFINITY],
            &[0.0],
            &[97.0],
            &[97.0, 97.0],
            &[3.0, 1.0],
            &[-5.0, nan, 2.0],
            &[1e-12, 1e-12],
            &[1e300, -1e300],
            &[f64::MAX, f64::MIN_POSITIVE],
            &[0.0, 3e-4, 3.1e-4],
            &[3150.0, 0.32, 2000.0],
        ];
        for values in sets {
            sound(&Axis::linear(values.iter().copied(), 1.0), values);
            let positive: Vec<f64> = values.iter().copied().filter(|v| *v > 0.0).collect();
            sound(&Axis::log(values.iter().copied()), &positive);
            let moderate: Vec<f64> = values.iter().copied().filter(|v| (0.0..1e12).contains(v)).collect();
            sound(&Axis::from_zero(moderate.iter().copied(), 1e-3), &moderate);
        }
    }

    #[test]
    fn zero_and_nan_are_nowhere_on_a_log_axis() {
        let axis = Axis::log([1.0, 100.0]);
        assert_eq!((axis.place(0.0), axis.place(-1.0), axis.place(f64::NAN), axis.broken_at()), (None, None, None, None));
        assert!(axis.place(10.0).is_some());
    }

    #[test]
    fn a_zero_among_the_values_has_a_place_before_a_log_scale() {
        let axis = Axis::log([0.0, 1.0, 100.0]);
        let places = [axis.place(0.0), axis.broken_at(), axis.place(1.0), axis.place(100.0)].map(Option::unwrap);
        assert!(places.is_sorted() && places[0] > 0.0 && places[3] < 1.0, "{places:?}");
        assert_eq!(axis.ticks[0], (0.0, "0".to_string()));
        assert_eq!(axis.place(f64::NAN), None);
        assert!(Axis::log([0.0]).place(0.0).is_some());
    }

    #[test]
    fn ticks_read_well() {
        let words = |axis: &Axis| axis.ticks.iter().map(|t| t.1.clone()).collect::<Vec<_>>();
        assert_eq!(words(&Axis::percent([5.0, 95.0])), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(words(&Axis::from_zero([3e-7], 1e-9)), ["0", "5e-8", "1.0e-7", "1.5e-7", "2.0e-7", "2.5e-7", "3.0e-7"]);
        assert_eq!(words(&Axis::from_zero([4.1e9], 1.0)), ["0", "1e9", "2e9", "3e9", "4e9"]);
        assert_eq!(words(&Axis::linear([95.0, 98.0], 1.0)), ["95", "96", "97", "98"]);
        assert_eq!(words(&Axis::log([0.3, 3000.0])), ["1", "10", "100", "1000"]);
        assert_eq!(words(&Axis::log([2.5e-4, 4e-4])), ["10⁻⁴", "2×10⁻⁴", "5×10⁻⁴", "10⁻³"]);
        assert_eq!(words(&Axis::log([2e4, 9e4])), ["20 k", "50 k", "100 k"]);
        assert_eq!(words(&Axis::log([3.2e6, 3e7])), ["5 M", "10 M", "20 M"]);
        assert_eq!(Axis::log([2e4, 9e4]).minor, [3e4, 4e4, 6e4, 7e4, 8e4, 9e4]);
    }

    #[test]
    fn three_equal_failures_do_not_look_like_a_result() {
        for values in [[7.6, 7.9, 8.4], [0.0, 0.1, 0.2], [99.8, 99.9, 100.0]] {
            let axis = Axis::percent(values);
            assert!(axis.high - axis.low >= 5.0 && axis.low >= 0.0 && axis.high <= 100.5, "{axis:?}");
        }
    }
}
