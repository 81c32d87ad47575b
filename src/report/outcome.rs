//! The table that a survey prints: what a paper reported, what was measured here, the gap, and what can be said about it.

use super::claims::Claim;
use super::control::{MARGIN, SMALL};
use super::frame::{DICE, metric_name};
use super::grid::Grid;
use super::load::Run;
use super::spread::{Spread, percent};
use super::summary::{SummaryRow, or_none, or_unknown};
use crate::record::Role;
use crate::statistics::inference::Difference;
use crate::units::{SECONDS_PER_DAY, show_bytes, show_seconds, significant};
use std::collections::BTreeSet;

/// Scores, sizes and costs of the rows with one metric, each beside the paper's. What a claim is about, its source and its errata are footnotes.
pub(super) fn outcome(runs: &[Run], summary: &[SummaryRow], metric: &str) -> Grid {
    let rows: Vec<&SummaryRow> = summary.iter().filter(|r| r.metric == metric).collect();
    let judged = rows.iter().map(|row| (*row, verdict(row, shrunk(runs, row))));
    let seconds = |days: Spread| or_none(days.mean.map(|d| show_seconds(d * SECONDS_PER_DAY)));
    let kind = |r: &SummaryRow| if r.role() == Role::Training { "training" } else { "search" };
    let interval = |(low, high): (f64, f64)| format!("{:.2} to {:.2}", 100.0 * low, 100.0 * high);
    let points = |value: f64| format!("{:.2}", 100.0 * value);
    let score = format!("{} (%)", metric_name(metric));
    let mut grid = Grid::of(
        &format!("Outcome: {}", metric_name(metric)),
        4,
        judged,
        &[
            ("method", &|(r, _)| r.name()),
            ("data set", &|(r, _)| r.dataset.clone()),
            ("preset", &|(r, _)| r.preset.clone()),
            ("seeds of", &|(r, _)| kind(r).into()),
            ("seeds", &|(r, _)| r.seeds_text()),
            (&score, &|(r, _)| percent(r.final_score)),
            ("95 % interval", &|(r, _)| or_none(r.final_interval.map(interval))),
            ("best seed", &|(r, _)| or_none(r.final_score.high.filter(|_| r.final_score.n > 1).map(points))),
            (if metric == DICE { "test volumes" } else { "test images" }, &|(r, _)| r.tested.span()),
            ("error of one score", &|(r, _)| or_none(r.error_of_one().map(points))),
            (REPORTED, &|(r, _)| or_none(r.claim.as_ref().map(|c| c.value_text().unwrap_or_else(|| "not known".into())))),
            ("gap (points)", &|(_, (gap, _))| or_none(gap.map(|g| format!("{g:+.2}")))),
            ("verdict", &|(_, (_, verdict))| verdict.to_string()),
            ("weights", &|(r, _)| r.parameters_text()),
            ("reported weights", &|(r, _)| or_none(claimed(r, |c| c.params).map(|p| format!("{p} M")))),
            ("cost in", &|(r, _)| cost_words(&r.cost_unit)),
            ("search cost", &|(r, _)| seconds(r.search_days)),
            ("total cost", &|(r, _)| seconds(r.total_days)),
            ("reported GPU-days", &|(r, _)| or_none(claimed(r, |c| c.gpu_days))),
            ("reported card", &|(r, _)| or_none(claimed(r, |c| c.gpu_model.clone()))),
            ("peak memory", &|(r, _)| or_unknown(r.peak_bytes.map(show_bytes))),
            ("energy", &|(r, _)| or_unknown(r.energy_joules.mean.map(|j| format!("{} J", significant(j))))),
        ],
    );
    let column = grid.head.iter().position(|h| h == REPORTED).unwrap_or_default();
    for (i, row) in rows.iter().enumerate() {
        if let Some(claim) = &row.claim {
            grid.footnote(i, column, &claim.note());
        }
    }
    let about = if metric == DICE { READING.into() } else { format!("{READING} {NO_RANKING}") };
    grid.about(&about).without_equal(&[&score]).printed(&["method", REPORTED, &score, "weights", "search cost"])
}

/// Head of the column of reported scores.
const REPORTED: &str = "reported (%)";

/// What a cost is counted in, such as `core time (AMD EPYC, 2 cores)`.
pub(super) fn cost_words(cost_unit: &str) -> String {
    cost_unit.replacen("-days", " time", 1)
}

fn claimed<T>(row: &SummaryRow, get: fn(&Claim) -> Option<T>) -> Option<T> {
    row.claim.as_ref().and_then(get)
}

/// Whether any run of the row has settings other than the paper's.
fn shrunk(runs: &[Run], row: &SummaryRow) -> bool {
    row.members.iter().filter_map(|i| runs[*i].manifest.as_ref()).any(|m| !m.shrunk.is_empty())
}

/// Points above the paper's score, where it can be compared, and what these seeds say of it.
fn verdict(row: &SummaryRow, shrunk: bool) -> (Option<f64>, &'static str) {
    let Some(claim) = &row.claim else { return (None, "no claim") };
    let Some(reported) = claim.value else { return (None, "the paper's score is not known") };
    if let Some(why) = row.apart() {
        return (None, why);
    }
    let Some(mean) = row.final_score.mean else { return (None, "no test score") };
    let gap = Some(100.0 * mean - reported);
    if shrunk {
        return (gap, "other settings");
    }
    let Some(found) = Difference::to(&row.final_scores, reported / 100.0) else { return (gap, "n < 3: not tested") };
    let (low, high) = found.interval();
    let words = match () {
        () if found.equivalence(MARGIN) < SMALL => "as reported, within 1 point",
        () if high < 0.0 => "lower than reported",
        () if low > 0.0 => "higher than reported",
        () => "these seeds do not tell",
    };
    (gap, words)
}

/// How to read the table.
const READING: &str = "The score is the mean over seeds ± the sample standard deviation (n − 1) of the retrained network on the test split; no search-time score ever \
     stands in for it. The 95 % interval of the mean is Student's. “Best seed” is the maximum over the seeds, not a mean; do not compare it with one. The error of one score is the \
     binomial standard error of a single run's accuracy on that many test images, in points. A gap needs the paper's data set, and a retraining with cutout where the paper's had it and without \
     where it had none (else “other data”, “other cutout” or “cutout not stated”). A verdict also needs the paper's settings and three seeds: “as reported” if two one-sided t-tests \
     place the mean within 1 point of the reported number (p < 0.05), “lower” or “higher” if the interval lies on one side of it. Search seeds repeat search and training; \
     training seeds retrain one architecture, which is often what a reported mean is over.";

/// What the verdict does not say.
const NO_RANKING: &str = "“As reported, within 1 point” does not reproduce a ranking of methods. On CIFAR-10 such a point is more than what the papers' \
     methods differ by: it cannot separate DARTS (97.24) from the random search that its paper sets beside it (96.71). Whether a search is better than chance is asked of its control.";

/// The spread of whole searches beside that of trainings of one architecture that such a search found. Empty where nobody trained a finding again.
pub(super) fn two_spreads(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    let trainings = |found: &SummaryRow| {
        let (hashes, family) = (architectures(runs, found), found.family());
        let comparable = |t: &&SummaryRow| {
            t.role() == Role::Training && t.family() == family && architectures(runs, t).intersection(&hashes).next().is_some()
        };
        summary.iter().filter(comparable).collect::<Vec<_>>()
    };
    let searches = summary.iter().filter(|r| r.role() != Role::Training);
    Grid::of(
        "Two spreads: of search seeds and of training seeds",
        4,
        searches.flat_map(|found| trainings(found).into_iter().map(move |trained| (found, trained))),
        &[
            ("method", &|(found, _)| found.name()),
            ("data set", &|(found, _)| found.dataset.clone()),
            ("preset", &|(found, _)| found.preset.clone()),
            ("score", &|(found, _)| metric_name(&found.metric).into()),
            ("over search seeds (%)", &|(found, _)| percent(found.final_score)),
            ("n", &|(found, _)| found.final_score.n.to_string()),
            ("one finding over training seeds (%)", &|(_, trained)| percent(trained.final_score)),
            ("n of it", &|(_, trained)| trained.final_score.n.to_string()),
        ],
    )
}

fn architectures<'a>(runs: &'a [Run], of: &SummaryRow) -> BTreeSet<&'a str> {
    of.members.iter().filter_map(|i| runs[*i].result.as_ref()).map(|r| r.architecture_hash.as_str()).collect()
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
            cutout: true,
            claim: claims().unwrap().into_iter().find(|c| c.method == "darts" && c.variant == "first-order" && c.dataset == "cifar10"),
            ..SummaryRow::default()
        }
    }

    #[test]
    fn a_verdict_needs_the_same_data_cutout_and_settings_and_three_seeds() {
        let near = [0.9695, 0.9705, 0.9700];
        assert_eq!(verdict(&row("digits", &near), false), (None, "other data"));
        assert_eq!(verdict(&SummaryRow { cutout: false, ..row("cifar10", &near) }, false), (None, "other cutout"));
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
    fn the_numbers_that_a_verdict_cannot_separate_are_those_of_the_claims() {
        let all = claims().unwrap();
        let headline = |method: &str| all.iter().find(|c| c.headline && c.method == method).and_then(|c| c.value).unwrap();
        let (search, chance) = (headline("darts"), headline("random"));
        assert!(NO_RANKING.contains(&format!("({search:.2})")) && NO_RANKING.contains(&format!("({chance:.2})")), "{NO_RANKING}");
        assert!((search - chance).abs() < 100.0 * MARGIN);
        let reported: Vec<f64> = all.iter().filter(|c| c.headline).filter_map(|c| c.value).collect();
        let (low, high) = reported.iter().fold((f64::MAX, 0.0_f64), |(low, high), v| (low.min(*v), high.max(*v)));
        assert!(reported.len() == 6 && high - low < 100.0 * MARGIN, "{low} to {high}");
    }

    #[test]
    fn a_recalled_number_is_marked_in_the_table() {
        let recalled = claims().unwrap().into_iter().find(|c| c.variant == "macro, more channels");
        let grid = outcome(&[], &[row("cifar10", &[0.97]), SummaryRow { claim: recalled, ..row("cifar10", &[0.96]) }], "accuracy");
        let reported = grid.head.iter().position(|h| h == REPORTED).unwrap();
        assert_eq!(grid.rows[1][reported], "96.13²");
        let note = &grid.notes[1];
        assert!(note.starts_with("macro, more channels on cifar10, cutout not stated; "), "{note}");
        assert!(note.ends_with("recalled: not read again in its source; the released script arc has 42.6 M weights"), "{note}");
    }

    #[test]
    fn accuracies_and_overlaps_have_tables_of_their_own_and_one_score_its_binomial_error() {
        let mut dice = row("hippocampus", &[0.75, 0.77]);
        (dice.metric, dice.tested) = (DICE.into(), Spread::of([8.0].into_iter()));
        let accuracy = SummaryRow { tested: Spread::of([360.0].into_iter()), ..row("digits", &[0.9, 0.9, 0.9]) };
        // The square root of 0.9 x 0.1 / 360 is 1.58 points; the slices of a volume are not independent.
        assert_eq!((format!("{:.4}", accuracy.error_of_one().unwrap()), dice.error_of_one()), ("0.0158".into(), None));
        let both = [accuracy, dice];
        let of = |metric| outcome(&[], &both, metric);
        assert_eq!([of("accuracy").rows.len(), of(DICE).rows.len()], [1, 1]);
        assert!(of(DICE).head.contains(&"test volumes".to_string()) && !of("accuracy").head.contains(&"Dice (%)".to_string()));
    }
}
