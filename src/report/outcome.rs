//! The table that a survey prints: what a paper reported, what was measured here, the gap, and what can be said about it.

use super::cards;
use super::claims::Claim;
use super::control::MARGIN;
use super::frame::{metric_name, unit_and_device};
use super::grid::Grid;
use super::load::Run;
use super::spread::{Spread, percent, significant};
use super::statistics::Difference;
use super::summary::{SummaryRow, or_none, or_unknown};
use crate::record::Role;
use crate::units::{SECONDS_PER_DAY, show_bytes, show_seconds};
use std::collections::BTreeSet;

/// A probability below this is small.
const SMALL: f64 = 0.05;

/// Scores, sizes and costs, each beside the paper's. What the claims' errata say, and that a number is recalled, are footnotes.
pub(super) fn outcome(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    let judged = summary.iter().map(|row| (row, verdict(row, shrunk(runs, row))));
    let days = |c: &Claim| Some(format!("{} ({})", c.gpu_days?, c.gpu_model.as_deref().unwrap_or("card unknown")));
    // In days of the row's device, and in seconds.
    let cost =
        |r: &SummaryRow, d: f64| format!("{} {} ({})", significant(d), unit_and_device(&r.cost_unit).0, show_seconds(d * SECONDS_PER_DAY));
    let seeds = |r: &SummaryRow| format!("{} {}", r.seeds_text(), if r.role() == Role::Training { "training" } else { "search" });
    // The best of several is no mean and has a column of its own.
    let best = |score: Spread| score.high.filter(|_| score.n > 1).map(|high| format!("{:.2} of {}", 100.0 * high, score.n));
    let interval = |(low, high): (f64, f64)| format!("{:.2} to {:.2}", 100.0 * low, 100.0 * high);
    let mut grid = Grid::of(
        "Outcome",
        6,
        judged,
        &[
            ("method", &|(r, _)| r.name()),
            ("data set", &|(r, _)| r.dataset.clone()),
            ("preset", &|(r, _)| r.preset.clone()),
            ("score", &|(r, _)| metric_name(&r.metric).into()),
            ("device", &|(r, _)| unit_and_device(&r.cost_unit).1.into()),
            ("seeds", &|(r, _)| seeds(r)),
            ("paper (%)", &|(r, _)| r.claim_text()),
            ("here (%)", &|(r, _)| percent(r.final_score)),
            ("95 % interval", &|(r, _)| or_none(r.final_interval.map(interval))),
            ("best seed (%)", &|(r, _)| or_none(best(r.final_score))),
            ("gap (points)", &|(_, (gap, _))| or_none(gap.map(|g| format!("{g:+.2}")))),
            ("verdict", &|(_, (_, verdict))| verdict.to_string()),
            ("paper's parameters", &|(r, _)| or_none(claimed(r, |c| c.params).map(|p| format!("{p} M")))),
            ("parameters", &|(r, _)| r.parameters_text()),
            ("paper's search (GPU-days)", &|(r, _)| or_none(claimed(r, days))),
            ("search", &|(r, _)| or_none(r.search_days.mean.map(|d| cost(r, d)))),
            ("peak memory", &|(r, _)| or_unknown(r.peak_bytes.map(show_bytes))),
            ("energy", &|(r, _)| or_unknown(r.energy_joules.mean.map(|j| format!("{} J", significant(j))))),
        ],
    );
    for (i, row) in summary.iter().enumerate() {
        if let Some(note) = row.claim.as_ref().and_then(Claim::note) {
            let mark = grid.note(&note);
            grid.rows[i][PAPER] += &mark;
        }
    }
    grid
}

/// Column of the paper's score.
const PAPER: usize = 6;

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
pub(super) const READING: &str = "Outcome: “here” is the mean over seeds ± the sample standard deviation (n − 1), the interval is Student's 95 % interval of that \
     mean, which of three seeds is wider than they lie apart, and the best seed is no mean: it is the largest of n test scores and stands apart. The paper's number is one of the same method and variant, or of random \
     search in the same space; “no claim” is that data/claims.csv has none that may stand beside the row (a training of a given architecture never has one). A gap and a verdict need the paper's data set and a retraining with cutout where the paper's had it and \
     without where it had none (else “other data”, “other cutout” or “cutout not stated”), a verdict \
     also the paper's settings and three seeds: “as reported” if two one-sided t-tests place the mean within 1 point of the paper's number \
     (p < 0.05), “lower” or “higher” if that interval lies on one side of it. Search seeds differ in everything, training seeds in the training \
     of one architecture; the paper's mean is often one over training seeds.";

/// What the verdict does not say.
pub(super) const NO_RANKING: &str = "“As reported, within 1 point” does not reproduce a ranking of methods. On CIFAR-10 such a point is more than what the papers' \
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

/// Costs on the card of the paper, estimated. Empty where no run was on a card that is known.
pub(super) fn normalised<'a>(summary: &'a [SummaryRow]) -> Grid {
    // With what one card is in the other, and what was measured.
    let estimate = |row: &'a SummaryRow| {
        let card = row.claim.as_ref()?.gpu_model.as_deref()?;
        let (unit, device) = unit_and_device(&row.cost_unit);
        Some((row, card, cards::ratio(device, card).filter(|_| unit == "GPU-days")?, row.search_days.mean?))
    };
    let grid = Grid::of(
        "Search cost on the paper's card (estimate)",
        5,
        summary.iter().filter_map(estimate),
        &[
            ("method", &|(r, ..)| r.name()),
            ("data set", &|(r, ..)| r.dataset.clone()),
            ("preset", &|(r, ..)| r.preset.clone()),
            ("device", &|(r, ..)| unit_and_device(&r.cost_unit).1.into()),
            ("paper's card", &|(_, card, ..)| card.to_string()),
            ("measured (GPU-days)", &|(.., days)| significant(*days)),
            ("factor", &|(_, _, factor, _)| significant(*factor)),
            ("estimate (GPU-days of the paper's card)", &|(_, _, factor, days)| significant(days * factor)),
            ("paper (GPU-days)", &|(r, ..)| or_none(claimed(r, |c| c.gpu_days))),
        ],
    );
    Grid { notes: vec![cards::RULE.to_string()], ..grid }
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
        let all = claims().unwrap();
        let recalled = all.into_iter().find(|c| c.variant == "macro, more channels");
        let grid = outcome(&[], &[row("cifar10", &[0.97]), SummaryRow { claim: recalled, ..row("cifar10", &[0.96]) }]);
        assert_eq!(grid.rows[1][PAPER], "96.13 (macro, more channels on cifar10, cutout not stated)²");
        assert_eq!(grid.notes[1], "recalled: not read again in its source; the released script arc has 42.6 M weights");
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
