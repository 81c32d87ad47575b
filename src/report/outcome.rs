//! The table that a survey prints: what a paper reported, what was measured here, the gap, and what can be said about it.

use super::cards;
use super::control::MARGIN;
use super::frame::{Row, metric_name, unit_and_device};
use super::grid::Grid;
use super::spread::{Spread, percent, significant};
use super::statistics::{equivalence_to, interval_to};
use super::summary::{NONE, SummaryRow};
use std::collections::BTreeSet;

/// The name under which single architectures are trained.
pub(super) const TRAIN: &str = "train";
/// A probability below this is small.
const SMALL: f64 = 0.05;

/// Scores, sizes and costs, each beside the paper's. What the claims' errata say are footnotes.
pub(super) fn outcome(rows: &[Row], summary: &[SummaryRow]) -> Grid {
    let mut grid = Grid {
        title: "Outcome".into(),
        head: vec![
            "method",
            "data set",
            "preset",
            "score",
            "device",
            "seeds",
            "paper (%)",
            "here (%)",
            "95 % interval",
            "best seed (%)",
            "gap (points)",
            "verdict",
            "paper's parameters",
            "parameters",
            "paper's search (GPU-days)",
            "search",
            "peak memory",
            "energy",
        ],
        left: 6,
        ..Grid::default()
    };
    for row in summary {
        let erratum = row.claim.as_ref().and_then(|c| c.erratum.as_deref()).map(|e| grid.note(e)).unwrap_or_default();
        let (gap, verdict) = verdict(row, shrunk(rows, row));
        let (unit, device) = unit_and_device(&row.cost_unit);
        grid.rows.push(vec![
            row.name(),
            row.dataset.clone(),
            row.preset.clone(),
            metric_name(&row.metric).to_string(),
            device.to_string(),
            seeds(row),
            row.claim_text() + &erratum,
            percent(row.final_score),
            row.final_interval.map_or_else(|| NONE.into(), |(low, high)| format!("{:.2} to {:.2}", 100.0 * low, 100.0 * high)),
            best_seed(row.final_score),
            gap.map_or_else(|| NONE.into(), |g| format!("{g:+.2}")),
            verdict.to_string(),
            row.claim_params_text(),
            row.parameters_text(),
            row.claim_days_text(),
            row.search_cost_in(unit),
            row.memory_text(),
            row.energy_text(),
        ]);
    }
    grid
}

/// How many seeds, and of what.
fn seeds(row: &SummaryRow) -> String {
    let kind = if row.method == TRAIN { "training" } else { "search" };
    format!("{} {kind}", row.seeds_text())
}

/// The best of several is no mean and has a column of its own.
fn best_seed(score: Spread) -> String {
    score.high.filter(|_| score.n > 1).map_or_else(|| NONE.into(), |high| format!("{:.2} of {}", 100.0 * high, score.n))
}

/// Whether any run of the row has settings other than the paper's.
fn shrunk(rows: &[Row], row: &SummaryRow) -> bool {
    row.members.iter().filter_map(|i| rows[*i].manifest.as_ref()).any(|m| !m.shrunk.is_empty())
}

/// Points above the paper's score, where it is one of the same data, and what these seeds say of it.
fn verdict(row: &SummaryRow, shrunk: bool) -> (Option<f64>, &'static str) {
    let Some(claim) = &row.claim else { return (None, "no claim") };
    let Some(reported) = claim.value else { return (None, "the paper's score is not known") };
    if claim.dataset != row.dataset {
        return (None, "other data");
    }
    let Some(mean) = row.final_score.mean else { return (None, "no test score") };
    let gap = Some(100.0 * mean - reported);
    if shrunk {
        return (gap, "other settings");
    }
    let reported = reported / 100.0;
    let (Some(equal), Some((low, high))) = (equivalence_to(&row.final_scores, reported, MARGIN), interval_to(&row.final_scores, reported))
    else {
        return (gap, "n < 3: not tested");
    };
    let words = match () {
        () if equal < SMALL => "as reported, within 1 point",
        () if high < 0.0 => "lower than reported",
        () if low > 0.0 => "higher than reported",
        () => "these seeds do not tell",
    };
    (gap, words)
}

/// How to read the table.
pub(super) const READING: &str = "Outcome: “here” is the mean over seeds ± the sample standard deviation (n − 1), the interval is a bootstrap 95 % interval of that \
     mean, and the best seed is no mean: it is the largest of n test scores and stands apart. A gap and a verdict need the paper's data set, a verdict \
     also the paper's settings and three seeds: “as reported” if two one-sided t-tests place the mean within 1 point of the paper's number \
     (p < 0.05), “lower” or “higher” if the 95 % interval of Student lies on one side of it. Search seeds differ in everything, training seeds in the training \
     of one architecture.";

/// The spread of whole searches beside that of trainings of one architecture that such a search found. Empty where nobody trained a finding again.
pub(super) fn two_spreads(rows: &[Row], summary: &[SummaryRow]) -> Grid {
    let mut grid = Grid {
        title: "Two spreads: of search seeds and of training seeds".into(),
        head: vec!["method", "data set", "preset", "score", "over search seeds (%)", "n", "one finding over training seeds (%)", "n of it"],
        left: 4,
        ..Grid::default()
    };
    for found in summary.iter().filter(|r| r.method != TRAIN) {
        let hashes = architectures(rows, found);
        let comparable = |t: &&SummaryRow| {
            let place = |r: &SummaryRow| (r.dataset.clone(), r.metric.clone(), r.plain_preset().to_string(), r.cost_unit.clone());
            t.method == TRAIN && place(t) == place(found) && architectures(rows, t).intersection(&hashes).next().is_some()
        };
        grid.rows.extend(summary.iter().filter(comparable).map(|trained| {
            vec![
                found.name(),
                found.dataset.clone(),
                found.preset.clone(),
                metric_name(&found.metric).to_string(),
                percent(found.final_score),
                found.final_score.n.to_string(),
                percent(trained.final_score),
                trained.final_score.n.to_string(),
            ]
        }));
    }
    grid
}

fn architectures<'a>(rows: &'a [Row], of: &SummaryRow) -> BTreeSet<&'a str> {
    of.members.iter().filter_map(|i| rows[*i].result.as_ref()).map(|r| r.architecture_hash.as_str()).collect()
}

/// Costs on the card of the paper, estimated. Empty where no run was on a card that is known.
pub(super) fn normalised(summary: &[SummaryRow]) -> Grid {
    let line = |row: &SummaryRow| {
        let claim = row.claim.as_ref()?;
        let (unit, device) = unit_and_device(&row.cost_unit);
        let theirs = claim.gpu_model.as_deref()?;
        let factor = cards::ratio(device, theirs).filter(|_| unit == "GPU-days")?;
        let days = row.search_days.mean?;
        Some(vec![
            row.name(),
            row.dataset.clone(),
            row.preset.clone(),
            device.to_string(),
            theirs.to_string(),
            significant(days),
            significant(factor),
            significant(days * factor),
            claim.gpu_days.map_or_else(|| NONE.into(), |d| d.to_string()),
        ])
    };
    Grid {
        title: "Search cost on the paper's card (estimate)".into(),
        head: vec![
            "method",
            "data set",
            "preset",
            "device",
            "paper's card",
            "measured (GPU-days)",
            "factor",
            "estimate (GPU-days of the paper's card)",
            "paper (GPU-days)",
        ],
        rows: summary.iter().filter_map(line).collect(),
        left: 5,
        notes: vec![cards::RULE.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::claims;
    use super::*;

    fn row(dataset: &str, scores: &[f64]) -> SummaryRow {
        SummaryRow {
            dataset: dataset.into(),
            method: "darts".into(),
            variant: "first-order".into(),
            metric: "accuracy".into(),
            cost_unit: "GPU-days (NVIDIA H100 80GB HBM3)".into(),
            final_score: Spread::of(scores.iter().copied()),
            final_scores: scores.into(),
            search_days: Spread::of([0.5].into_iter()),
            claim: claims().unwrap().into_iter().find(|c| c.method == "darts" && c.variant == "first-order" && c.dataset == "cifar10"),
            ..SummaryRow::default()
        }
    }

    #[test]
    fn a_verdict_needs_the_same_data_the_same_settings_and_three_seeds() {
        let near = [0.9695, 0.9705, 0.9700];
        assert_eq!(verdict(&row("digits", &near), false), (None, "other data"));
        let words = |scores: &[f64], shrunk| verdict(&row("cifar10", scores), shrunk).1;
        assert_eq!(words(&near, true), "other settings");
        assert_eq!(words(&near[..2], false), "n < 3: not tested");
        assert_eq!(words(&near, false), "as reported, within 1 point");
        assert_eq!(words(&[0.951, 0.952, 0.953], false), "lower than reported");
        assert_eq!(words(&[0.985, 0.986, 0.987], false), "higher than reported");
        assert_eq!(words(&[0.95, 0.99, 0.97], false), "these seeds do not tell");
        assert_eq!(words(&[], false), "no test score");
        assert!((verdict(&row("cifar10", &near), false).0.unwrap()).abs() < 1e-9);
        let unknown = SummaryRow { claim: None, ..row("cifar10", &near) };
        assert_eq!(verdict(&unknown, false), (None, "no claim"));
    }

    #[test]
    fn an_estimate_stands_beside_the_measured_cost_and_needs_a_known_card() {
        let known = row("cifar10", &[0.97]);
        let grid = normalised(&[known.clone(), SummaryRow { cost_unit: "CPU-days (2 cores, Example)".into(), ..known }]);
        assert_eq!(grid.rows.len(), 1);
        // 67 / 11.34 TFLOPS.
        assert_eq!(grid.rows[0][3..8], ["NVIDIA H100 80GB HBM3", "NVIDIA GTX 1080 Ti", "0.500", "5.91", "2.95"]);
        assert_eq!(grid.notes.len(), 1);
    }
}
