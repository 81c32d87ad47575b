//! The tables of studies: what was found beside what papers reported, and beside random search with the same simulated budget.

use super::load::Study;
use crate::error::Result;
use crate::record::Role;
use crate::report::claims::{Beside, Claim, Confirmation, Metric, SpreadKind, beside};
use crate::report::grid::{Grid, field};
use crate::report::statistics::{Difference, deviation, mean, mean_interval};
use crate::report::summary::{NONE, or_none};
use crate::statistics::spread;
use crate::table::Part;

/// How to read them.
pub(in crate::report) const READING: &str = "Searches of tables: “here” is the mean over the seeds ± the standard deviation (n − 1), with Student's interval of the mean. “Reproduced” is said where the \
    95 % interval of the difference to the reported mean, with both standard errors (Welch), contains zero, else by how much the means differ; “settings not known” where the source does not say all of \
    them. The fewer the seeds, the wider that interval (“gap [95 %]”) and the less “reproduced” says. “Unconfirmed” numbers could not be read in their source, see the footnote. Simulated seconds are what the trainings took on the device of the table; they are never added to the seconds of \
    this program. Known differences to the papers: the validation pass is not in the costs, the score is the mean of two trainings where the papers took one, and the release of the table may differ.";

/// The tables.
pub(in crate::report) struct StudyTables {
    /// Beside reported numbers.
    pub outcome: Grid,
    /// Beside random search.
    pub control: Grid,
}

impl StudyTables {
    /// Of all studies.
    pub fn new(studies: &[Study], claims: &[Claim]) -> Self {
        Self { outcome: outcome(studies, claims), control: control(studies) }
    }
}

/// A study and one data set on which its findings were looked up.
struct Row<'a> {
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
    let rows = rows(studies, claims);
    let mut grid = Grid {
        title: "Searches of tables beside reported numbers".into(),
        head: [
            "method",
            "table",
            "searched on",
            "simulated budget",
            "looked up on",
            "accuracy",
            "seeds",
            "trainings",
            "here (%)",
            "95 % interval",
            "reported (%)",
            "gap [95 %]",
            "verdict",
        ]
        .map(Into::into)
        .into(),
        left: 6,
        ..Grid::default()
    };
    for row in &rows {
        let m = &row.study.manifest;
        let mut name = m.name();
        if let Some(label) = &m.label {
            name += &grid.note(label);
        }
        let set = row.study.table.as_ref().map_or_else(|| row.study.report.sets[row.set].clone(), |t| t.about.sets[row.set].title.clone());
        let reported = row.claim.and_then(|(claim, _)| {
            let mark = if claim.status == Confirmation::Confirmed { "" } else { " (unconfirmed)" };
            let note = [Some(format!("{}: {}", claim.status.word(), claim.source)), claim.erratum.clone()];
            Some(format!("{}{mark}{}", claim.value_text()?, grid.note(&note.into_iter().flatten().collect::<Vec<_>>().join("; "))))
        });
        let cells = [
            name,
            m.table_name(),
            m.dataset.title.clone(),
            m.ends(),
            set,
            format!("{}, {} epochs", row.part.words(), m.study.look_up.0),
            row.values.len().to_string(),
            trainings(row.study),
            or_none(spread(&row.values)),
            interval(&row.values),
            or_none(reported),
            or_none(row.gap()),
            row.verdict(),
        ];
        grid.rows.push(cells.into());
    }
    grid
}

/// Every search beside random search with the same table, data set and simulated budget.
fn control(studies: &[Study]) -> Grid {
    let mut grid = Grid {
        title: "Searches of tables against random search with the same simulated budget".into(),
        head: ["method", "table", "searched on", "simulated budget", "seeds", "test (%)", "random (%)", "difference", "95 % interval"]
            .map(Into::into)
            .into(),
        left: 4,
        ..Grid::default()
    };
    let is_control = |s: &&Study| s.manifest.role == Role::Control;
    for study in studies.iter().filter(|s| !is_control(s)) {
        let Some(control) = studies.iter().filter(is_control).find(|c| c.manifest.is_beside(&study.manifest)) else { continue };
        let Some(set) = study.searched() else { continue };
        let (ours, random) = (study.looked_up(set, Part::Test), control.looked_up(set, Part::Test));
        let difference = Difference::of(&ours, &random);
        let of = |f: &dyn Fn(&Difference) -> String| difference.as_ref().map_or_else(|| NONE.into(), f);
        let ends = |d: &Difference| format!("{:+.2} to {:+.2}", d.interval().0, d.interval().1);
        let cells = [
            study.manifest.name(),
            study.manifest.table_name(),
            study.manifest.dataset.title.clone(),
            study.manifest.ends(),
            format!("{} and {}", ours.len(), random.len()),
            or_none(spread(&ours)),
            or_none(spread(&random)),
            of(&|d| format!("{:+.2}", d.value())),
            of(&ends),
        ];
        grid.rows.push(cells.into());
    }
    grid
}

/// `studies.csv`: one row a study, data set and part.
pub(in crate::report) fn csv(studies: &[Study], claims: &[Claim]) -> Result<Vec<u8>> {
    let number = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.4}"));
    Grid::of(
        "studies.csv",
        0,
        rows(studies, claims),
        &[
            ("method", &|r| r.study.manifest.algorithm.clone()),
            ("variant", &|r| r.study.manifest.variant.clone()),
            ("table", &|r| r.study.manifest.table_name()),
            ("searched_on", &|r| r.study.manifest.dataset.name.clone()),
            ("limit", &|r| r.study.manifest.study.limit.name().into()),
            ("simulated_budget_seconds", &|r| field(r.study.manifest.study.simulated_budget.map(|b| b.number()))),
            ("max_trainings", &|r| field(r.study.manifest.study.max_trainings)),
            ("label", &|r| r.study.manifest.label.clone().unwrap_or_default()),
            ("looked_up_on", &|r| r.study.report.sets[r.set].clone()),
            ("accuracy", &|r| r.part.word().into()),
            ("epochs", &|r| r.study.manifest.study.look_up.0.to_string()),
            ("seeds", &|r| r.values.len().to_string()),
            ("trainings", &|r| r.study.report.account.trainings.to_string()),
            ("simulated_seconds", &|r| field(r.study.report.account.seconds.map(|s| s.number()))),
            ("mean_percent", &|r| number(mean(&r.values))),
            ("deviation_percent", &|r| number(deviation(&r.values))),
            ("reported_percent", &|r| number(r.claim.and_then(|c| c.0.value))),
            ("verdict", &|r| if r.claim.is_some() { r.verdict() } else { String::new() }),
        ],
    )
    .csv()
}

/// The reported test accuracies of a study on the data set that was searched, for a figure: value, and whether it could be confirmed.
pub(in crate::report) fn reported_test<'a>(study: &Study, claims: &'a [Claim]) -> Option<&'a Claim> {
    reported(study, study.searched()?, Part::Test, claims).map(|(claim, _)| claim)
}
