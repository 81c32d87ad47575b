//! Every method against random search of the same space, preset and data: is it better than chance, or at least as good?

use super::frame::metric_name;
use super::grid::Grid;
use super::outcome::TRAIN;
use super::statistics::{Interval, Tested, difference_interval, equivalence, holm, mann_whitney, mean};
use super::summary::{NONE, SummaryRow};

/// Scores that differ by less count as equally good: one percentage point.
pub const MARGIN: f64 = 0.01;
/// What stands where there are too few seeds.
const NOT_TESTED: &str = "n < 3: not tested";
/// The control's name.
const RANDOM: &str = "random";

/// A row of the summary and its control. Scores are fractions; `None` is not tested for want of seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<'a> {
    /// The method.
    pub method: &'a SummaryRow,
    /// Its control.
    pub control: &'a SummaryRow,
    /// Mean test score of the method less that of the control; `None` if either has no score.
    pub difference: Option<f64>,
    /// Bootstrap 95 % interval of that.
    pub interval: Option<Interval>,
    /// Whether the two differ at all.
    pub differs: Option<Tested>,
    /// The same probability, corrected over all methods with this data set, score and preset.
    pub holm: Option<f64>,
    /// Probability of means that look as equal if they differ by [`MARGIN`] or more.
    pub equivalence: Option<f64>,
}

/// Variant and preset of random search in the space of a method: same images, same child training, same retraining.
fn control_of(row: &SummaryRow) -> Option<(&'static str, String)> {
    let preset = row.plain_preset();
    match (row.method.as_str(), row.variant.as_str()) {
        ("darts", _) => Some(("darts-space", format!("{preset}-darts"))),
        ("ghn", _) => Some(("ghn-space", format!("{preset}-ghn"))),
        ("nas_unet", _) => Some(("nas-unet-space", format!("{preset}-nas-unet"))),
        ("amoebanet", _) => Some(("amoebanet-space", preset.into())),
        // Whole networks are a space that random search does not draw from.
        ("enas", "macro") => None,
        ("nasnet" | "enas", _) => Some(("nasnet-space", preset.into())),
        _ => None,
    }
}

/// Compares each row of the summary with its controls on the same device, where there are some.
pub fn comparisons(summary: &[SummaryRow]) -> Vec<Comparison<'_>> {
    let mut all = Vec::new();
    for method in summary {
        let Some((variant, preset)) = control_of(method) else { continue };
        let place = |r: &'_ SummaryRow| (r.dataset.clone(), r.metric.clone(), r.cost_unit.clone());
        let fits = |r: &&SummaryRow| r.method == RANDOM && r.variant == variant && r.plain_preset() == preset && place(r) == place(method);
        all.extend(summary.iter().filter(fits).map(|control| compare(method, control)));
    }
    correct(&mut all);
    all
}

fn compare<'a>(method: &'a SummaryRow, control: &'a SummaryRow) -> Comparison<'a> {
    let (a, b) = (&method.final_scores[..], &control.final_scores[..]);
    Comparison {
        method,
        control,
        difference: mean(a).zip(mean(b)).map(|(a, b)| a - b),
        interval: difference_interval(a, b),
        differs: mann_whitney(a, b),
        holm: None,
        equivalence: equivalence(a, b, MARGIN),
    }
}

/// Fills in the corrected probabilities, family by family.
fn correct(all: &mut [Comparison]) {
    let family = |c: &Comparison| {
        let m = c.method;
        (m.dataset.clone(), m.metric.clone(), m.plain_preset().to_string(), m.cost_unit.clone())
    };
    let families: Vec<_> = all.iter().map(family).collect();
    for of in families.iter().collect::<std::collections::BTreeSet<_>>() {
        let members: Vec<usize> = (0..all.len()).filter(|i| families[*i] == *of && all[*i].differs.is_some()).collect();
        let p: Vec<f64> = members.iter().filter_map(|i| all[*i].differs).map(|t| t.p).collect();
        for (i, corrected) in members.into_iter().zip(holm(&p)) {
            all[i].holm = Some(corrected);
        }
    }
}

/// Whether a method should have a control at all: random search is one, and a training of one architecture is no search.
pub(super) fn needs_control(method: &str) -> bool {
    method != RANDOM && method != TRAIN
}

/// The table; empty where no row has a control.
pub(super) fn table(comparisons: &[Comparison]) -> Grid {
    let p = |value: Option<f64>| value.map_or_else(|| NOT_TESTED.into(), |p| format!("{p:.4}"));
    let line = |c: &Comparison| {
        vec![
            c.method.name(),
            c.method.dataset.clone(),
            c.method.preset.clone(),
            metric_name(&c.method.metric).to_string(),
            format!("{}, {}", c.control.name(), c.control.preset),
            c.method.final_score.n.to_string(),
            c.control.final_score.n.to_string(),
            difference(c),
            p(c.differs.map(|t| t.p)),
            p(c.holm),
            p(c.equivalence),
        ]
    };
    Grid {
        title: "Against random search".into(),
        head: vec![
            "method",
            "data set",
            "preset",
            "score",
            "control",
            "n",
            "n of the control",
            "difference (points) [95 %]",
            "Mann-Whitney p",
            "the same, Holm",
            "equivalence p (margin 1 point)",
        ],
        rows: comparisons.iter().map(line).collect(),
        left: 5,
        ..Grid::default()
    }
}

fn difference(c: &Comparison) -> String {
    match (c.difference, c.interval) {
        (Some(d), Some((low, high))) => format!("{:+.2} [{:+.2}, {:+.2}]", 100.0 * d, 100.0 * low, 100.0 * high),
        (Some(d), None) => format!("{:+.2}", 100.0 * d),
        _ => NONE.into(),
    }
}

/// How to read the table.
pub(super) const READING: &str = "Against random search: difference of the mean test scores, method less control, with a bootstrap 95 % interval over seeds \
     (percentiles; of three seeds it is too narrow). A small Mann-Whitney p (two-sided; counted for small samples without ties) says that \
     the scores differ, and Holm's column holds for all methods of the data set and preset together; three seeds against three cannot \
     give less than 0.1. A small equivalence p (two one-sided Welch tests) says that the means differ by less than 1 point. Neither \
     small: these seeds do not tell. Fewer than three seeds are not tested.";

#[cfg(test)]
mod tests {
    use super::super::spread::Spread;
    use super::*;

    fn row(method: &str, variant: &str, preset: &str, scores: &[f64]) -> SummaryRow {
        SummaryRow {
            dataset: "digits".into(),
            preset: preset.into(),
            method: method.into(),
            variant: variant.into(),
            metric: "accuracy".into(),
            protocol: "abcd".into(),
            cost_unit: "CPU-days".into(),
            final_score: Spread::of(scores.iter().copied()),
            final_scores: scores.into(),
            ..SummaryRow::default()
        }
    }

    const LOW: [f64; 3] = [0.80, 0.81, 0.82];
    const HIGH: [f64; 3] = [0.90, 0.91, 0.92];

    #[test]
    fn every_method_has_the_control_of_its_space() {
        let controls = [
            ("darts-space", "smoke-darts"),
            ("ghn-space", "smoke-ghn"),
            ("nas-unet-space", "smoke-nas-unet"),
            ("amoebanet-space", "smoke"),
            ("nasnet-space", "smoke"),
        ];
        let mut summary: Vec<SummaryRow> = controls.iter().map(|(variant, preset)| row("random", variant, preset, &LOW)).collect();
        for (method, variant) in [
            ("darts", "second-order"),
            ("ghn", "top-best"),
            ("nas_unet", ""),
            ("amoebanet", "non-ageing"),
            ("nasnet", "ppo"),
            ("enas", "micro"),
            ("enas", "macro"),
            ("train", "darts-v2"),
        ] {
            summary.push(row(method, variant, "smoke [abcd]", &HIGH));
        }
        // Another preset, data set or device is no control.
        summary.push(row("darts", "first-order", "small", &HIGH));
        summary.push(SummaryRow { dataset: "cifar10".into(), ..row("nasnet", "ppo", "smoke", &HIGH) });
        summary.push(SummaryRow { cost_unit: "GPU-days".into(), ..row("nasnet", "ppo", "smoke", &HIGH) });
        let found: Vec<(String, &str)> = comparisons(&summary).iter().map(|c| (c.method.name(), c.control.variant.as_str())).collect();
        let expected = [
            ("darts (second-order)", "darts-space"),
            ("ghn (top-best)", "ghn-space"),
            ("nas_unet", "nas-unet-space"),
            ("amoebanet (non-ageing)", "amoebanet-space"),
            ("nasnet (ppo)", "nasnet-space"),
            ("enas (micro)", "nasnet-space"),
        ];
        assert_eq!(found, expected.map(|(m, c)| (m.to_string(), c)));
        // Six tests of one family: the smallest possible 0.1 becomes 0.6.
        assert!(comparisons(&summary).iter().all(|c| (c.holm.unwrap() - 0.6).abs() < 1e-12));
    }

    #[test]
    fn too_few_seeds_are_not_tested_and_the_difference_stands() {
        let summary =
            [row("random", "nasnet-space", "smoke", &LOW), row("nasnet", "ppo", "smoke", &HIGH[..2]), row("enas", "micro", "smoke", &[])];
        let grid = table(&comparisons(&summary));
        assert_eq!(grid.rows[0][5..], ["2", "3", "+9.50", NOT_TESTED, NOT_TESTED, NOT_TESTED]);
        assert_eq!(grid.rows[1][5..8], ["0", "3", NONE]);
        assert!(table(&comparisons(&summary[1..])).rows.is_empty());
    }
}
