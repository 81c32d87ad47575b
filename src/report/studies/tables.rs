//! The tables of studies: what was found beside what papers reported, and beside random search with the same simulated budget.

use super::load::Study;
use crate::record::Role;
use crate::report::claims::{Beside, Claim, Confirmation, Metric, SpreadKind, beside};
use crate::report::grid::Grid;
use crate::report::lines::line;
use crate::report::summary::{NONE, or_none};
use crate::statistics::inference::{Difference, mean_interval};
use crate::statistics::{deviation, mean, spread};
use crate::table::Part;

/// How to read the table.
const READING: &str = "The accuracy is the mean over the seeds ± the standard deviation (n − 1), with Student's interval of the mean. “Reproduced” is said where the 95 % interval of the difference to the \
    reported mean, with both standard errors (Welch), contains zero, else by how much the means differ; “settings not known” where the source does not give all of them. The fewer the seeds, the \
    wider that interval and the less “reproduced” says. An asterisk marks numbers that could not be confirmed in their source, see the footnote. Simulated seconds are what the trainings took on the device of the \
    table; they are never added to the seconds of this program. Known differences to the papers: the validation pass is not in the costs, the score is the mean of two trainings where the papers took \
    one, and the release of the table may differ.";

/// The tables: beside reported numbers, and beside random search.
pub(in crate::report) fn tables(studies: &[Study], claims: &[Claim]) -> [Grid; 2] {
    [outcome(studies, claims), control(studies)]
}

/// A study and one data set on which its findings were looked up.
pub(in crate::report) struct Row<'a> {
    study: &'a Study,
    set: usize,
    part: Part,
    values: Vec<f64>,
    claim: Option<(&'a Claim, bool)>,
}

fn rows<'a>(studies: &'a [Study], claims: &'a [Claim]) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for study in studies {
        for set in 0..study.report.sets.len() {
            for part in [Part::Valid, Part::Test] {
                let values = study.looked_up(set, part);
                if !values.is_empty() {
                    let claim = reported(study, set, part, claims);
                    rows.push(Row { study, set, part, values, claim });
                }
            }
        }
    }
    rows
}

/// The reported number of a study, and whether its settings are known to be the same: a paper may not say all of them.
fn reported<'a>(study: &Study, set: usize, part: Part, claims: &'a [Claim]) -> Option<(&'a Claim, bool)> {
    if study.manifest.label.is_some() {
        return None;
    }
    let dataset = format!("{}-{}", study.manifest.table, study.report.sets[set]);
    let metric = if part == Part::Test { Metric::TestAccuracy } else { Metric::ValidationAccuracy };
    let key = study.manifest.key();
    let unknown = key.split_once(", ").map(|(form, rest)| format!("{} ?, {rest}", form.split(' ').next().unwrap_or_default()));
    let find = |variant: &str| {
        let run = Beside { method: &study.manifest.algorithm, variant, dataset: &dataset, metric, cutout: false };
        beside(claims, &run).filter(|c| c.dataset == dataset && c.value.is_some())
    };
    find(&key).map(|c| (c, true)).or_else(|| find(&unknown?).map(|c| (c, false)))
}

impl Row<'_> {
    /// Reported value with its standard error and runs, where both are known.
    fn measured(&self) -> Option<(f64, f64, u32)> {
        let (claim, _) = self.claim?;
        let (value, spread, runs) = (claim.value?, claim.spread?, claim.runs?);
        let error = match claim.spread_kind? {
            SpreadKind::StandardDeviation => spread / f64::from(runs).sqrt(),
            SpreadKind::StandardError => spread,
            SpreadKind::Unknown => return None,
        };
        Some((value, error, runs))
    }

    /// Here less what was reported, with both standard errors; `None` where one of them is not known.
    fn difference(&self) -> Option<Difference> {
        Difference::to_reported(&self.values, self.measured()?)
    }

    /// `+0.03 [-0.01, +0.07]`; without the interval where there is none.
    fn gap(&self) -> Option<String> {
        let gap = mean(&self.values)? - self.claim?.0.value?;
        let interval = self.difference().map(|d| d.interval());
        Some(interval.map_or_else(|| format!("{gap:+.2}"), |(low, high)| format!("{gap:+.2} [{low:+.2}, {high:+.2}]")))
    }

    /// Whether the reported number was reproduced: the interval of the difference contains zero.
    fn verdict(&self) -> String {
        match (self.claim, self.difference()) {
            (None, _) => NONE.into(),
            (Some((_, false)), _) => "settings not known".into(),
            (Some(_), None) if self.measured().is_some() => "too few seeds".into(),
            (Some(_), None) => "no standard error".into(),
            (Some(_), Some(difference)) => {
                let (low, high) = difference.interval();
                if low <= 0.0 && high >= 0.0 { "reproduced".into() } else { format!("differs by {:+.2}", difference.value()) }
            }
        }
    }
}

/// 95 % interval of the mean.
fn interval(values: &[f64]) -> String {
    mean_interval(values).map_or_else(|| NONE.into(), |(low, high)| format!("{low:.2} to {high:.2}"))
}

fn trainings(study: &Study) -> String {
    let n: Vec<f64> = study.report.seeds.iter().map(|s| s.trainings as f64).collect();
    mean(&n).map_or_else(|| NONE.into(), |m| format!("{m:.1}"))
}

fn outcome(studies: &[Study], claims: &[Claim]) -> Grid {
    let mut rows = rows(studies, claims);
    // Every test accuracy, and what else a paper reported; studies.csv has all.
    rows.retain(|r| r.claim.is_some() || (r.part == Part::Test && r.study.searched() == Some(r.set)));
    let set = |r: &Row| r.study.table.as_ref().map_or_else(|| r.study.report.sets[r.set].clone(), |t| t.about.sets[r.set].title.clone());
    let unconfirmed = |c: &Claim| if c.status == Confirmation::Confirmed { "" } else { " *" };
    let mut grid = Grid::of(
        "Searches of tables beside reported numbers",
        6,
        &rows,
        &[
            ("method", &|r| r.study.manifest.name()),
            ("table", &|r| r.study.manifest.table_name()),
            ("searched on", &|r| r.study.manifest.dataset.title.clone()),
            ("simulated budget", &|r| r.study.manifest.ends()),
            ("looked up on", &|r| set(r)),
            ("accuracy after", &|r| format!("{}, {} epochs", r.part.words(), r.study.manifest.study.look_up.0)),
            ("seeds", &|r| r.values.len().to_string()),
            ("trainings", &|r| trainings(r.study)),
            ("here (%)", &|r| or_none(spread(&r.values))),
            ("95 % interval", &|r| interval(&r.values)),
            ("reported (%)", &|r| or_none(r.claim.and_then(|(c, _)| Some(format!("{}{}", c.value_text()?, unconfirmed(c)))))),
            ("gap [95 %]", &|r| or_none(r.gap())),
            ("verdict", &|r| r.verdict()),
        ],
    );
    for (i, row) in rows.iter().enumerate() {
        if let Some(label) = &row.study.manifest.label {
            grid.footnote(i, 0, label);
        }
        if let Some((claim, _)) = row.claim.filter(|(c, _)| c.value.is_some()) {
            let parts = [Some(format!("{}: {}", claim.status.word(), claim.source)), claim.erratum.clone()];
            grid.footnote(i, 10, &parts.into_iter().flatten().collect::<Vec<_>>().join("; "));
        }
    }
    grid.about(READING).without_equal(&["verdict"]).printed(&["method", "searched on", "looked up on", "here (%)", "reported (%)"])
}

/// Every search beside random search with the same table, data set and simulated budget.
fn control(studies: &[Study]) -> Grid {
    let is_control = |s: &&Study| s.manifest.role == Role::Control;
    let beside = |study: &'_ Study| {
        let control = studies.iter().filter(is_control).find(|c| c.manifest.is_beside(&study.manifest))?;
        let set = study.searched()?;
        let (ours, random) = (study.looked_up(set, Part::Test), control.looked_up(set, Part::Test));
        let difference = Difference::of(&ours, &random);
        Some((study.manifest.clone(), ours, random, difference))
    };
    let ends = |(low, high): (f64, f64)| format!("{low:+.2} to {high:+.2}");
    let grid = Grid::of(
        "Searches of tables against random search",
        4,
        studies.iter().filter(|s| !is_control(s)).filter_map(beside),
        &[
            ("method", &|(m, ..)| m.name()),
            ("table", &|(m, ..)| m.table_name()),
            ("searched on", &|(m, ..)| m.dataset.title.clone()),
            ("simulated budget", &|(m, ..)| m.ends()),
            ("seeds", &|(_, ours, ..)| ours.len().to_string()),
            ("seeds of random search", &|(_, _, random, _)| random.len().to_string()),
            ("test (%)", &|(_, ours, ..)| or_none(spread(ours))),
            ("random search (%)", &|(_, _, random, _)| or_none(spread(random))),
            ("difference (points)", &|(.., d)| or_none(d.as_ref().map(|d| format!("{:+.2}", d.value())))),
            ("95 % interval", &|(.., d)| or_none(d.as_ref().map(|d| ends(d.interval())))),
        ],
    );
    let about = "With the same table, data set and simulated budget. The interval is Welch's, over the seeds.";
    grid.about(about).without_equal(&[]).printed(&["method", "searched on", "test (%)", "random search (%)", "95 % interval"])
}

line! {
    /// `studies.csv`: one line a study, data set and part.
    StudyLine(r: &Row) {
        method: String = r.study.manifest.algorithm.clone();
        variant: String = r.study.manifest.variant.clone();
        table: String = r.study.manifest.table_name();
        searched_on: String = r.study.manifest.dataset.name.clone();
        limit: &'static str = r.study.manifest.study.limit.name();
        simulated_budget_seconds: Option<f64> = r.study.manifest.study.simulated_budget.map(|b| b.number());
        max_trainings: Option<u64> = r.study.manifest.study.max_trainings;
        label: Option<String> = r.study.manifest.label.clone();
        looked_up_on: String = r.study.report.sets[r.set].clone();
        accuracy: &'static str = r.part.word();
        epochs: u32 = r.study.manifest.study.look_up.0;
        seeds: usize = r.values.len();
        trainings: u64 = r.study.report.account.trainings;
        simulated_seconds: Option<f64> = r.study.report.account.seconds.map(|s| s.number());
        mean_percent: Option<f64> = rounded(mean(&r.values));
        deviation_percent: Option<f64> = rounded(deviation(&r.values));
        reported_percent: Option<f64> = r.claim.and_then(|c| c.0.value);
        verdict: Option<String> = r.claim.map(|_| r.verdict());
    }
}

/// Four digits: a table has no more.
fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|v| (1e4 * v).round() / 1e4)
}

/// The lines of all studies.
pub(in crate::report) fn lines(studies: &[Study], claims: &[Claim]) -> Vec<StudyLine> {
    rows(studies, claims).iter().map(StudyLine::of).collect()
}

/// The reported test accuracies of a study on the data set that was searched, for a figure: value, and whether it could be confirmed.
pub(in crate::report) fn reported_test<'a>(study: &Study, claims: &'a [Claim]) -> Option<&'a Claim> {
    reported(study, study.searched()?, Part::Test, claims).map(|(claim, _)| claim)
}
