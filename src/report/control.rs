//! Every method against its control, random search with the method's own space, data and training: is it better than chance, or at least as good?

use super::frame::metric_name;
use super::grid::Grid;
use super::spread::percent;
use super::summary::{SummaryRow, or_none};
use crate::record::Limits;
use crate::statistics::inference::{Difference, Interval, holm, mann_whitney};
use crate::statistics::mean;

/// Scores that differ by less count as equally good: one percentage point.
pub const MARGIN: f64 = 0.01;
/// A probability below this is small.
pub const SMALL: f64 = 0.05;
/// What stands where there are too few seeds.
const NOT_TESTED: &str = "n < 3: not tested";
const HIGHER: &str = "higher than its control";
const LOWER: &str = "lower than its control";
const EQUAL: &str = "equal within 1 point";
const UNDECIDED: &str = "these seeds cannot decide";

/// What the comparisons say, in one sentence; `None` without any.
pub(super) fn sentence(comparisons: &[Comparison]) -> Option<String> {
    let say = |verdict: &str, words: &str| {
        let names: Vec<String> = comparisons.iter().filter(|c| c.verdict() == verdict).map(|c| c.method.name()).collect();
        (!names.is_empty()).then(|| format!("{} {words} ({})", names.len(), names.join(", ")))
    };
    let parts = [
        say(HIGHER, "scored higher than random search in the same space"),
        say(LOWER, "scored lower"),
        say(EQUAL, "scored the same within 1 point"),
        say(UNDECIDED, "cannot be told apart from it with these seeds"),
        say(NOT_TESTED, "had too few seeds for a test"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("Of {} searches with a control, {}.", comparisons.len(), parts.join("; ")))
}

/// A row of the summary and its control. Scores are fractions; `None` is not tested for want of seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<'a> {
    /// The method.
    pub method: &'a SummaryRow,
    /// Its control.
    pub control: &'a SummaryRow,
    /// Mean test score of the method less that of the control; `None` if either has no score.
    pub difference: Option<f64>,
    /// 95 % interval of that (Welch).
    pub interval: Option<Interval>,
    /// Probability of means that differ as much if the two do not differ at all (Welch).
    pub differs: Option<f64>,
    /// The same probability, corrected over all methods with this data set, score and preset.
    pub holm: Option<f64>,
    /// The probability of the ranks (Mann-Whitney).
    pub mann_whitney: Option<f64>,
    /// Probability of means that look as equal if they differ by [`MARGIN`] or more.
    pub equivalence: Option<f64>,
}

/// What must be equal besides: data set and the hash of its images, metric, device, limits.
fn place(row: &SummaryRow) -> (&str, Option<(&str, &Limits)>, &str, &str) {
    (&row.dataset, row.manifest.as_ref().map(|m| (m.data.hash.as_str(), &m.limits)), &row.metric, &row.cost_unit)
}

/// Whether a row is the control that the method's own runs name: the same method, with the very settings.
fn is_control(row: &SummaryRow, of: &SummaryRow) -> bool {
    let named = of.manifest.as_ref().and_then(|m| m.declaration.control.as_ref());
    named.zip(row.manifest.as_ref()).is_some_and(|(named, here)| place(row) == place(of) && named.is(here))
}

/// Compares each row of the summary with its control, where there is one.
pub fn comparisons(summary: &[SummaryRow]) -> Vec<Comparison<'_>> {
    let controls = |method| summary.iter().filter(move |row| is_control(row, method)).map(move |control| compare(method, control));
    let mut all: Vec<Comparison> = summary.iter().flat_map(controls).collect();
    correct(&mut all);
    all
}

fn compare<'a>(method: &'a SummaryRow, control: &'a SummaryRow) -> Comparison<'a> {
    let (a, b) = (&method.final_scores[..], &control.final_scores[..]);
    let difference = Difference::of(a, b);
    Comparison {
        method,
        control,
        difference: mean(a).zip(mean(b)).map(|(a, b)| a - b),
        interval: difference.as_ref().map(Difference::interval),
        differs: difference.as_ref().map(Difference::p),
        holm: None,
        mann_whitney: mann_whitney(a, b),
        equivalence: difference.map(|d| d.equivalence(MARGIN)),
    }
}

/// Fills in the corrected probabilities, family by family.
fn correct(all: &mut [Comparison]) {
    let families: Vec<[&str; 4]> = all.iter().map(|c| c.method.family()).collect();
    for of in families.iter().collect::<std::collections::BTreeSet<_>>() {
        let members: Vec<usize> = (0..all.len()).filter(|i| families[*i] == *of && all[*i].differs.is_some()).collect();
        let p: Vec<f64> = members.iter().filter_map(|i| all[*i].differs).collect();
        for (i, corrected) in members.into_iter().zip(holm(&p)) {
            all[i].holm = Some(corrected);
        }
    }
}

/// The table; empty where no row has a control.
pub(super) fn table(comparisons: &[Comparison]) -> Grid {
    let p = |value: Option<f64>| value.map_or_else(|| NOT_TESTED.into(), |p| format!("{p:.4}"));
    let grid = Grid::of(
        "Against random search",
        5,
        comparisons,
        &[
            ("method", &|c| c.method.name()),
            ("data set", &|c| c.method.dataset.clone()),
            ("preset", &|c| c.method.preset.clone()),
            ("score", &|c| metric_name(&c.method.metric).into()),
            ("control", &|c| c.control.name()),
            ("n", &|c| c.method.final_score.n.to_string()),
            ("n (control)", &|c| c.control.final_score.n.to_string()),
            ("method (%)", &|c| percent(c.method.final_score)),
            ("control (%)", &|c| percent(c.control.final_score)),
            ("difference (points)", &|c| or_none(c.difference.map(|d| format!("{:+.2}", 100.0 * d)))),
            ("95 % interval", &|c| or_none(c.interval.map(|(low, high)| format!("{:+.2} to {:+.2}", 100.0 * low, 100.0 * high)))),
            ("Welch p, Holm-corrected", &|c| p(c.holm)),
            ("Mann-Whitney p", &|c| p(c.mann_whitney)),
            ("equivalence p", &|c| p(c.equivalence)),
            ("verdict", &|c| c.verdict().into()),
        ],
    );
    let kept = ["control", "verdict"];
    let grid = grid.about(READING).without_equal(&kept);
    grid.printed(&["method", "method (%)", "control (%)", "difference (points)", "Welch p, Holm-corrected"])
}

impl Comparison<'_> {
    /// What the search gained over its control, in words.
    pub fn verdict(&self) -> &'static str {
        match (self.difference, self.holm, self.equivalence) {
            (_, None, _) | (None, ..) => NOT_TESTED,
            (Some(d), Some(p), _) if p < SMALL && d > 0.0 => HIGHER,
            (_, Some(p), _) if p < SMALL => LOWER,
            (.., Some(p)) if p < SMALL => EQUAL,
            _ => UNDECIDED,
        }
    }
}

/// How to read the table.
const READING: &str = "Every search is set beside random search in its own space, with the same images, child training, selection and retraining. The difference is that of the mean test scores, with \
     Welch's 95 % interval over the seeds. A small Welch p says that the means differ; Holm's correction makes it hold for all methods of a data set and preset together. The Mann-Whitney p (two-sided, \
     counted exactly, also with ties, for up to twenty seeds) asks the same of the ranks; three seeds against three cannot give less than 0.1. A small equivalence p (two one-sided Welch tests) says that \
     the means differ by less than 1 point. If neither p is small (0.05), these seeds cannot decide. Fewer than three seeds are not tested.";

#[cfg(test)]
mod tests {
    use super::super::spread::Spread;
    use super::*;
    use crate::record::{ControlRecord, Manifest, settings_digest};
    use serde_json::{Value, json};

    fn manifest(method: &str, settings: Value, control: Option<ControlRecord>) -> Manifest {
        let manifest = json!({
            "format": 3, "method": method, "variant": "", "dataset": "digits", "preset": "smoke", "seed": 0, "settings": settings, "shrunk": [], "jobs": 1,
            "declaration": {"title": "", "role": "search", "space": "", "keep": 1, "predictions": {}, "claims": {}, "control": control,
                "mark": {"colour": [0, 114, 178], "shape": "circle", "dashed": false}},
            "limits": {"budget_seconds": null, "max_trials": null, "max_memory_bytes": null}, "identity": "",
            "program": {"version": "0", "commit": "0", "dirty": false}, "libtorch": "",
            "device": {"kind": "cpu", "name": "Example", "memory_bytes": null, "processor": "Example", "cores": 2, "threads": 2},
            "data": {"folder": null, "hash": "h", "split_hash": "", "counts": {}, "channels": 1, "height": 8, "width": 8, "classes": 10,
                "normalisation": {"pixels": "bytes", "mean": [0.5], "std": [0.25]}},
            "clock": "", "started": ""
        });
        serde_json::from_value(manifest).unwrap()
    }

    /// Random search in a space, and the settings of one.
    fn control(space: &str, scores: &[f64]) -> SummaryRow {
        row("random", space, manifest("random", json!({"space": space, "trials": 8}), None), scores)
    }

    /// A search in that space, whose control has the keys of its settings in another order.
    fn search(method: &str, space: &str, scores: &[f64]) -> SummaryRow {
        let settings_digest = settings_digest(&json!({"trials": 8, "space": space}));
        let control = ControlRecord { method: "random".into(), variant: space.into(), settings_digest };
        row(method, "", manifest(method, json!({"epochs": 3}), Some(control)), scores)
    }

    fn row(method: &str, variant: &str, manifest: Manifest, scores: &[f64]) -> SummaryRow {
        SummaryRow {
            dataset: "digits".into(),
            preset: "smoke".into(),
            method: method.into(),
            variant: variant.into(),
            metric: "accuracy".into(),
            cost_unit: "CPU-days".into(),
            final_score: Spread::of(scores.iter().copied()),
            final_scores: scores.into(),
            manifest: Some(manifest),
            ..SummaryRow::default()
        }
    }

    const LOW: [f64; 3] = [0.80, 0.81, 0.82];
    const HIGH: [f64; 3] = [0.90, 0.91, 0.92];

    #[test]
    fn a_search_is_compared_with_the_control_that_it_names_and_with_no_other() {
        let mut summary = vec![control("one", &LOW), control("two", &LOW), search("darts", "one", &HIGH), search("enas", "two", &HIGH)];
        // Without such runs there is no comparison; nor is there one for another data set, device, metric, data or limits.
        summary.push(search("nasnet", "three", &HIGH));
        summary.push(SummaryRow { dataset: "cifar10".into(), ..search("far", "one", &HIGH) });
        summary.push(SummaryRow { cost_unit: "GPU-days".into(), ..search("far", "one", &HIGH) });
        summary.push(SummaryRow { metric: "dice".into(), ..search("far", "one", &HIGH) });
        let mut other = [search("far", "one", &HIGH), search("far", "one", &HIGH)];
        other[0].manifest.as_mut().unwrap().data.hash = "i".into();
        other[1].manifest.as_mut().unwrap().limits.max_trials = Some(3);
        summary.extend(other);
        let found: Vec<(&str, &str)> =
            comparisons(&summary).iter().map(|c| (c.method.method.as_str(), c.control.variant.as_str())).collect();
        assert_eq!(found, [("darts", "one"), ("enas", "two")]);
        // Two tests of one family: twice the probability of Welch's test by scipy; of the ranks no three seeds have less than 0.1.
        assert!(
            comparisons(&summary)
                .iter()
                .all(|c| (c.holm.unwrap() - 2.0 * 0.00025521674944192465).abs() < 1e-9 && c.mann_whitney == Some(0.1))
        );
        let said = sentence(&comparisons(&summary)).unwrap();
        assert_eq!(said, "Of 2 searches with a control, 2 scored higher than random search in the same space (darts, enas).");
    }

    #[test]
    fn too_few_seeds_are_not_tested_and_the_difference_stands() {
        let summary = [control("one", &LOW), search("nasnet", "one", &HIGH[..2]), search("enas", "one", &[])];
        let grid = table(&comparisons(&summary));
        let cells = |row: usize, heads: &[&str]| {
            heads.iter().map(|h| grid.rows[row][grid.head.iter().position(|x| x == h).unwrap()].clone()).collect::<Vec<_>>()
        };
        let heads = ["n", "difference (points)", "verdict"];
        assert_eq!(cells(0, &heads), ["2", "+9.50", NOT_TESTED]);
        assert_eq!(cells(1, &heads), ["0", "–", NOT_TESTED]);
        assert!(grid.equal.contains(&format!("Mann-Whitney p: {NOT_TESTED}")), "{:?}", grid.equal);
        assert!(table(&comparisons(&summary[1..])).rows.is_empty());
    }
}
