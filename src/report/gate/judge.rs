//! What counts as a regression.

use super::super::spread::Spread;
use super::baseline::{Entry, Key, words};
use crate::error::{Error, Result};
use crate::record::Phase;
use crate::statistics::inference::{Difference, LEAST};
use crate::statistics::mean;
use crate::units::{show_bytes, show_seconds};
use std::collections::BTreeMap;

/// A phase that got longer by less than this did not get slower: so few seconds are noise.
pub const SLACK_SECONDS: f64 = 0.5;
/// What stands for a figure that is not there.
const UNKNOWN: &str = "not measured";

/// How findings and scores are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They must be identical, seed by seed.
    Exact,
    /// The mean score must not be lower by more than a margin.
    Statistical,
}

/// Limits of the gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// `None` is exact on a CPU of the baseline's model with its number of threads, else statistical.
    pub mode: Option<Mode>,
    /// By how much a mean score may be lower, a fraction.
    pub margin: f64,
    /// Longest time relative to the baseline's.
    pub time_ratio: f64,
    /// Largest peak memory relative to the baseline's.
    pub memory_ratio: f64,
    /// Processor seconds of the fixed piece of work here and now; `None` takes the times as they are.
    pub calibration_seconds: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: None, margin: 0.01, time_ratio: 1.3, memory_ratio: 1.2, calibration_seconds: None }
    }
}

impl Options {
    /// # Errors
    /// [`Error::Usage`] for limits that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.margin) {
            return Err(Error::Usage("--margin must be a number of percentage points from 0 to 100".into()));
        }
        for (name, ratio) in [("--time-ratio", self.time_ratio), ("--memory-ratio", self.memory_ratio)] {
            if !(ratio.is_finite() && ratio >= 1.0) {
                return Err(Error::Usage(format!("{name} must be a number, 1 or more")));
            }
        }
        Ok(())
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As good as the baseline.
    Holds,
    /// Worse.
    Regression,
    /// There is nothing to compare.
    NotCompared,
}

impl Outcome {
    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Regression => "REGRESSION",
            Self::NotCompared => "not compared",
        }
    }
}

/// One check of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The group in words.
    pub group: String,
    /// What was compared.
    pub name: &'static str,
    /// The baseline's figure.
    pub baseline: String,
    /// The figure of the runs.
    pub here: String,
    /// Here less the baseline, or their ratio; empty where there is neither.
    pub difference: String,
    /// What is permitted.
    pub limit: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// All checks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// In the order of the groups.
    pub checks: Vec<Check>,
    /// What a reader should know.
    pub remarks: Vec<String>,
}

impl Verdict {
    /// Number of checks that found something worse.
    pub fn regressions(&self) -> usize {
        self.checks.iter().filter(|c| c.outcome == Outcome::Regression).count()
    }
}

type Seeds<'a> = BTreeMap<u64, &'a Entry>;

fn groups(entries: &[Entry]) -> BTreeMap<Key, Seeds<'_>> {
    let mut all: BTreeMap<Key, Seeds> = BTreeMap::new();
    for entry in entries {
        all.entry(entry.key()).or_default().insert(entry.seed, entry);
    }
    all
}

/// Compares what was found with what was expected. What is missing is a regression, what is new a remark.
pub fn judge(expected: &[Entry], found: &[Entry], options: &Options) -> Verdict {
    let (expected, found) = (groups(expected), groups(found));
    let mut verdict = Verdict::default();
    let nothing = Seeds::new();
    for (key, then) in &expected {
        let (name, now) = (words(key), found.get(key).unwrap_or(&nothing));
        let pairs: Vec<Pair> = then.iter().filter_map(|(seed, then)| Some(Pair { then, now: now.get(seed)? })).collect();
        let new: Vec<u64> = now.keys().filter(|s| !then.contains_key(s)).copied().collect();
        if !new.is_empty() {
            verdict.remarks.push(format!("{name}: {} not in the baseline, not compared", seeds_text(&new)));
        }
        let mut group = Group { name, pairs, options, verdict: &mut verdict };
        group.seeds(then, now, hint(key, &found));
        group.compare();
    }
    let new = found.keys().filter(|k| !expected.contains_key(*k));
    verdict.remarks.extend(new.map(|k| format!("{} (protocol {}) is not in the baseline; --update adds it", words(k), k[5])));
    verdict
}

/// Why a whole group may be missing.
fn hint(key: &Key, found: &BTreeMap<Key, Seeds>) -> Option<String> {
    let [.., protocol, device] = key;
    let [.., other, on] = found.keys().find(|k| k[..4] == key[..4] && *k != key)?;
    Some(if on == device {
        format!("there are runs of it with other settings, limits or data (protocol {other}, baseline {protocol})")
    } else {
        format!("there are runs of it on {on}")
    })
}

fn seeds_text(seeds: &[u64]) -> String {
    let list = seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if seeds.len() == 1 { format!("seed {list}") } else { format!("seeds {list}") }
}

/// The same seed then and now.
struct Pair<'a> {
    then: &'a Entry,
    now: &'a Entry,
}

struct Group<'a> {
    name: String,
    pairs: Vec<Pair<'a>>,
    options: &'a Options,
    verdict: &'a mut Verdict,
}

impl Group<'_> {
    fn put(&mut self, name: &'static str, [baseline, here, difference, limit]: [String; 4], outcome: Outcome) {
        self.verdict.checks.push(Check { group: self.name.clone(), name, baseline, here, difference, limit, outcome });
    }

    fn seeds(&mut self, then: &Seeds, now: &Seeds, hint: Option<String>) {
        let missing: Vec<u64> = then.keys().filter(|s| !now.contains_key(s)).copied().collect();
        let baseline = seeds_text(&then.keys().copied().collect::<Vec<_>>());
        let here = match (missing.is_empty(), now.is_empty()) {
            (true, _) => "all there".into(),
            (false, true) => hint.map_or_else(|| "no run".into(), |h| format!("no run; {h}")),
            (false, false) => format!("{} missing", seeds_text(&missing)),
        };
        self.put("seeds", [baseline, here, String::new(), "all".into()], worse(!missing.is_empty()));
    }

    fn compare(&mut self) {
        if self.pairs.is_empty() {
            return;
        }
        self.remark_on_machine();
        match self.mode() {
            Mode::Exact => self.identical(),
            Mode::Statistical => self.score(),
        }
        self.time();
        self.memory();
    }

    fn mode(&self) -> Mode {
        let equal = self.pairs.iter().all(|p| on_cpu(p.then) && p.then.threads == p.now.threads && p.then.device_name == p.now.device_name);
        self.options.mode.unwrap_or(if equal { Mode::Exact } else { Mode::Statistical })
    }

    fn identical(&mut self) {
        let finding = |e: &Entry| format!("{}, {} weights", e.architecture_hash.chars().take(12).collect::<String>(), e.parameters);
        self.same("finding", |e| (e.architecture_hash.clone(), e.parameters), finding);
        let score = |s: Option<f64>| s.map_or_else(|| "none".into(), |s| s.to_string());
        self.same("test score", |e| e.final_score.map(f64::to_bits), |e| score(e.final_score));
        self.same("search score", |e| e.search_score.map(f64::to_bits), |e| score(e.search_score));
    }

    /// Libraries and processors choose how they round.
    fn remark_on_machine(&mut self) {
        let Pair { then, now } = &self.pairs[0];
        for (what, a, b) in [("libtorch", &then.libtorch, &now.libtorch), ("the device", &then.device_name, &now.device_name)] {
            if a != b {
                let promise = "equal numbers are promised for the same one only; --mode statistical compares across them";
                self.verdict.remarks.push(format!("{}: {what} was '{a}' and is '{b}'; {promise}", self.name));
            }
        }
    }

    fn same<T: PartialEq>(&mut self, name: &'static str, get: impl Fn(&Entry) -> T, show: impl Fn(&Entry) -> String) {
        let other: Vec<&Pair> = self.pairs.iter().filter(|p| get(p.then) != get(p.now)).collect();
        let list = |entries: Vec<&Entry>| entries.iter().map(|e| format!("seed {}: {}", e.seed, show(e))).collect::<Vec<_>>().join("; ");
        let equal = "identical".to_string();
        let cells = if other.is_empty() {
            let count = self.pairs.len();
            [format!("{count} {}", if count == 1 { "run" } else { "runs" }), equal.clone(), String::new(), equal]
        } else {
            [list(other.iter().map(|p| p.then).collect()), list(other.iter().map(|p| p.now).collect()), String::new(), equal]
        };
        let outcome = worse(!other.is_empty());
        self.put(name, cells, outcome);
    }

    fn score(&mut self) {
        let lost = self.pairs.iter().filter(|p| p.then.final_score.is_some() && p.now.final_score.is_none());
        let lost: Vec<u64> = lost.map(|p| p.then.seed).collect();
        let known = |get: fn(&Pair) -> Option<f64>| self.pairs.iter().filter_map(get).collect::<Vec<f64>>();
        let (then, now) = (known(|p| p.then.final_score), known(|p| p.now.final_score));
        let (a, b) = (Spread::of(then.iter().copied()), Spread::of(now.iter().copied()));
        let points = |share: f64| format!("{:.2}", 100.0 * share);
        let show = |s: Spread| s.mean.map_or_else(|| UNKNOWN.into(), |m| format!("{} % (n = {})", points(m), s.n));
        let margin = self.options.margin;
        let both = a.mean.zip(b.mean);
        let interval = Difference::of(&now, &then).map(|d| d.interval());
        let difference = both.map_or_else(String::new, |(then, now)| format!("{:+.2} points", 100.0 * (now - then)));
        let difference =
            interval.map_or(difference.clone(), |(low, high)| format!("{difference} [{:+.2}, {:+.2}]", 100.0 * low, 100.0 * high));
        let (limit, outcome) = match (both, interval) {
            _ if !lost.is_empty() => (format!("a score of {}", seeds_text(&lost)), Outcome::Regression),
            (None, _) => (UNKNOWN.into(), Outcome::NotCompared),
            (_, Some((_, high))) => (format!("upper end -{} points or more", points(margin)), worse(high < -margin)),
            (Some((then, now)), None) => {
                let least = then - margin - 2.0 * a.deviation.unwrap_or(0.0);
                (format!("{} % or more (n < {LEAST})", points(least)), worse(now < least))
            }
        };
        self.put("test score", [show(a), show(b), difference, limit], outcome);
    }

    fn time(&mut self) {
        let ratio = self.options.time_ratio;
        let same_meter = |p: &Pair| p.then.threads == p.now.threads && (on_cpu(p.then) || p.then.device_name == p.now.device_name);
        let comparable = self.pairs.iter().all(same_meter);
        for (phase, name) in [(Phase::Search, "search time"), (Phase::Select, "selection time"), (Phase::Retrain, "retraining time")] {
            let then = self.mean(|p| Some(seconds(p.then, phase)? * self.speed(p)));
            let now = self.mean(|p| seconds(p.now, phase));
            if then.or(now).is_some() {
                let limit = if comparable { Ok((ratio, SLACK_SECONDS)) } else { Err("other threads or another card") };
                self.at_most(name, then, now, limit, show_seconds);
            }
        }
        if self.pairs.iter().any(|p| on_cpu(p.then) && self.speeds(p).is_none()) {
            self.verdict.remarks.push(format!("{}: times are not corrected for the speed of the machine", self.name));
        }
    }

    /// Calibrations now and then.
    fn speeds(&self, pair: &Pair) -> Option<(f64, f64)> {
        self.options.calibration_seconds.zip(pair.then.calibration_seconds)
    }

    /// How much slower this machine is than that of the baseline; 1 on a card, for which there is no such figure.
    fn speed(&self, pair: &Pair) -> f64 {
        self.speeds(pair).filter(|_| on_cpu(pair.then)).map_or(1.0, |(now, then)| now / then)
    }

    /// Over the seeds; `None` if one of them has no such figure.
    fn mean(&self, get: impl Fn(&Pair) -> Option<f64>) -> Option<f64> {
        mean(&self.pairs.iter().map(get).collect::<Option<Vec<f64>>>()?)
    }

    fn memory(&mut self) {
        let bytes = |e: &Entry| e.peak_memory_bytes.map(|b| b as f64);
        let (then, now) = (self.mean(|p| bytes(p.then)), self.mean(|p| bytes(p.now)));
        self.at_most("peak memory", then, now, Ok((self.options.memory_ratio, 0.0)), |bytes| show_bytes(bytes as u64));
    }

    /// What may grow by a ratio, or by less than a slack; or why it cannot be compared.
    fn at_most(
        &mut self,
        name: &'static str,
        then: Option<f64>,
        now: Option<f64>,
        limit: std::result::Result<(f64, f64), &str>,
        show: fn(f64) -> String,
    ) {
        let (limit, outcome) = match (then.zip(now), limit) {
            (None, _) => (UNKNOWN.into(), Outcome::NotCompared),
            (_, Err(why)) => (why.into(), Outcome::NotCompared),
            (Some((then, now)), Ok((ratio, slack))) => (format!("x {ratio}"), worse(now > then * ratio && now - then > slack)),
        };
        let ratio = then.zip(now).filter(|(then, _)| *then > 0.0).map_or_else(String::new, |(then, now)| format!("x {:.2}", now / then));
        let [then, now] = [then, now].map(|figure| figure.map_or_else(|| UNKNOWN.into(), show));
        self.put(name, [then, now, ratio, limit], outcome);
    }
}

fn on_cpu(e: &Entry) -> bool {
    e.device_kind == "cpu"
}

/// On a CPU processor seconds, which waiting for other processes does not lengthen; on a card device-seconds.
fn seconds(e: &Entry, phase: Phase) -> Option<f64> {
    let (on_processor, on_device) = match phase {
        Phase::Search => (e.search_cpu_seconds, e.search_device_seconds),
        Phase::Select => (e.select_cpu_seconds, e.select_device_seconds),
        _ => (e.retrain_cpu_seconds, e.retrain_device_seconds),
    };
    if on_cpu(e) { on_processor } else { on_device }
}

fn worse(it_is: bool) -> Outcome {
    if it_is { Outcome::Regression } else { Outcome::Holds }
}
