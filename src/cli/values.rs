//! Values of options that are read from text.

use crate::error::{Result, usage};
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// One of several values, by its name.
pub fn named<T: Copy + Send + Sync + 'static, const N: usize>(all: [(&'static str, T); N]) -> impl TypedValueParser<Value = T> {
    let value = move |text: String| all.iter().find(|(name, _)| *name == text).expect("other names are refused").1;
    PossibleValuesParser::new(all.map(|(name, _)| name)).map(value)
}

/// Most jobs, and most threads of an operation: more than the cores of any machine.
pub const MOST_THREADS: u32 = 1024;

/// Most trials of a search.
pub const MOST_TRIALS: u64 = 10_000_000;

/// Most seeds of a command.
const MOST_SEEDS: u64 = 100_000;

/// Reads a number of jobs.
pub fn count_of_jobs() -> impl TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=u64::from(MOST_THREADS))
}

/// Those of `all` that have these names, as `find` finds them; `all` is all. Each is named once, since a budget is shared by what is named.
pub fn chosen<T: Copy>(names: &[String], all: &[T], find: fn(&str) -> Result<T>) -> Result<Vec<T>> {
    if let Some(name) = twice(names) {
        return Err(usage!("'{name}' is named twice; name it once, and say with --seeds how often it runs"));
    }
    if names.iter().any(|n| n == "all") {
        return match names.len() {
            1 => Ok(all.to_vec()),
            _ => Err(usage!("'all' names every one of them; name no other beside it")),
        };
    }
    names.iter().map(|n| find(n)).collect()
}

/// How many are worked at side by side: what was asked for, or every core.
pub fn cores(asked: Option<u64>) -> u64 {
    match asked {
        Some(n) => n,
        None => std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
    }
}

/// The first that is there again.
fn twice<T: Ord>(all: &[T]) -> Option<&T> {
    let mut seen = std::collections::BTreeSet::new();
    all.iter().find(|one| !seen.insert(*one))
}

/// Reads a width on paper, such as `8.5cm`, `85mm`, `3.35in` or `241pt`, in millimetres.
#[cfg(feature = "report")]
pub fn paper_width(text: &str) -> Result<f64> {
    let units = [("cm", 10.0), ("mm", 1.0), ("in", 25.4), ("pt", 25.4 / 72.0)];
    let number = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)));
    let width = number.and_then(|(number, size)| Some(number.trim().parse::<f64>().ok()? * size));
    width
        .filter(|w| (50.0..=400.0).contains(w))
        .ok_or_else(|| usage!("'{text}' is no width of a figure: write 8.5cm, 85mm, 3.35in or 241pt, from 5cm to 40cm"))
}

/// Seeds of the runs.
#[derive(Clone, Debug)]
pub struct Seeds(pub Vec<u64>);

impl Seeds {
    /// Reads `0..3`, `7` or `1,4,9`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || usage!("'{text}' names no seeds; write 0..3 (that is 0, 1, 2), 7, or 1,4,9");
        let number = |t: &str| t.trim().parse::<u64>().map_err(|_| bad());
        let seeds: Vec<u64> = match text.split_once("..") {
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if to.saturating_sub(from) > MOST_SEEDS {
                    return Err(usage!("'{text}' are {} seeds; a command takes at most {MOST_SEEDS}", to - from));
                }
                (from..to).collect()
            }
            None => text.split(',').map(number).collect::<Result<_>>()?,
        };
        if let Some(seed) = twice(&seeds) {
            return Err(usage!("'{text}' names the seed {seed} twice; name it once"));
        }
        if seeds.is_empty() { Err(bad()) } else { Ok(Self(seeds)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "report")]
    fn widths_on_paper_have_units_and_bounds() {
        for text in ["8.5cm", "85mm", "85 mm", "3.3464566929133858in", "240.94488188976378pt"] {
            assert!((paper_width(text).unwrap() - 85.0).abs() < 1e-9, "{text}");
        }
        for text in ["8.5", "cm", "-8cm", "NaNcm", "infmm", "4cm", "5m", "41cm", ""] {
            assert!(paper_width(text).unwrap_err().to_string().contains("write 8.5cm"), "{text}");
        }
    }

    #[test]
    fn seeds_are_a_range_or_a_list() {
        assert_eq!(Seeds::parse("0..3").unwrap().0, [0, 1, 2]);
        assert_eq!(Seeds::parse("7").unwrap().0, [7]);
        assert_eq!(Seeds::parse("1, 4,9").unwrap().0, [1, 4, 9]);
        for bad in ["", "3..3", "a", "1,,2", "-1", "0..x"] {
            assert!(Seeds::parse(bad).unwrap_err().to_string().contains("0..3"), "{bad}");
        }
        for (bad, why) in [("0,0", "seed 0 twice"), ("0..99999999999", "at most 100000"), ("0..18446744073709551615", "at most 100000")] {
            assert!(Seeds::parse(bad).unwrap_err().to_string().contains(why), "{bad}");
        }
    }
}
