//! Which runs belong into one plot area, and which of them are seeds of one thing.

use crate::plot::Look;
use crate::record::{Declaration, Manifest, Mark, Role};
use crate::report::frame::{DICE, metric_name, unit_and_device};
use crate::report::grid::field;
use crate::report::load::Run;
use crate::report::summary::{SummaryRow, full_name};
use crate::units::significant;
use serde_json::Value;
use std::collections::BTreeMap;

/// Runs that differ in seed alone.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Name of the method.
    pub method: &'a str,
    pub variant: &'a str,
    /// Method, variant and, where it is needed to tell two apart, protocol.
    pub name: String,
    protocol: &'a str,
    /// What its runs are, in the words of its method.
    declaration: &'a Declaration,
    mark: Mark,
    /// How many before it in its experiment would look the same.
    nth: usize,
    /// One a seed, by seed.
    pub rows: Vec<&'a Run>,
}

impl Series<'_> {
    /// The look that its method declares, a control in the shape of the method that it belongs to; further groups that would look the same have another.
    pub fn look(&self) -> Look {
        self.base().other(self.nth)
    }

    fn base(&self) -> Look {
        self.mark.into()
    }

    /// What its runs are for.
    pub fn role(&self) -> Role {
        self.declaration.role
    }

    /// What a score is that the method predicts under this name.
    pub fn prediction(&self, name: &str) -> Option<&str> {
        self.declaration.predictions.get(name).map(String::as_str)
    }

    /// The variant of the claims about what the score of this name predicts.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.declaration.claims.get(name).map(String::as_str)
    }

    /// Whether the runs are those of a row of the summary, whatever the experiment.
    pub fn is_of(&self, row: &SummaryRow) -> bool {
        (self.method, self.variant, self.protocol) == (&*row.method, &*row.variant, &*row.protocol)
    }

    /// Manifest of its first run: settings, limits, data and declaration are those of all.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.rows.first().and_then(|r| r.manifest.as_ref())
    }

    /// Epochs of the final training, and whether it cuts squares out of its images.
    pub fn retraining(&self) -> (Option<u64>, bool) {
        let of = |key| self.manifest().and_then(|m| m.settings.pointer(key)).and_then(Value::as_u64);
        (of("/retrain/recipe/epochs"), of("/retrain/augment/cutout").is_some_and(|side| side > 0))
    }

    /// A run of it in words, such as `DARTS (first-order), seed 0`.
    pub fn run(&self, run: &Run) -> String {
        format!("{}, seed {}", self.name, field(run.seed()))
    }
}

/// Everything that may share axes: one data set, one preset, one unit of cost, one metric.
#[derive(Clone, Debug)]
pub struct Experiment<'a> {
    /// Data set.
    pub dataset: &'a str,
    /// Preset.
    pub preset: &'a str,
    /// Unit of cost.
    pub cost_unit: &'a str,
    /// `accuracy` or `dice`.
    pub metric: &'a str,
    /// By name.
    pub series: Vec<Series<'a>>,
}

impl<'a> Experiment<'a> {
    /// Groups that search; trainings of a given architecture do not.
    pub fn searches(&self) -> impl Iterator<Item = &Series<'a>> {
        self.series.iter().filter(|s| s.role() != Role::Training)
    }

    /// Whether a row of the summary belongs to it.
    pub fn is_about(&self, row: &SummaryRow) -> bool {
        (self.dataset, self.metric, self.cost_unit) == (&*row.dataset, &*row.metric, &*row.cost_unit)
    }

    /// What the scores are and their unit, such as `accuracy, %`.
    pub fn unit(&self) -> String {
        format!("{}, %", metric_name(self.metric))
    }

    /// The label of an axis of a cost: what it is, its unit and the device, such as `search cost, core-seconds (2 cores, AMD EPYC)`.
    pub fn cost_label(&self, what: &str, unit: &str) -> String {
        format!("{what}, {} {}", unit_and_device(self.cost_unit).0.replace("days", unit), self.device())
    }

    /// The device in brackets, such as `(2 cores, AMD EPYC)`.
    pub fn device(&self) -> String {
        format!("({})", unit_and_device(self.cost_unit).1)
    }

    /// A cost in words, such as `7.0 core-seconds`.
    pub fn cost_text(&self, seconds: f64) -> String {
        let (scale, unit) = unit(seconds);
        format!("{} {}", significant(seconds / scale), unit_and_device(self.cost_unit).0.replace("days", unit))
    }

    /// Its scores are those of masks.
    pub fn of_segmentation(&self) -> bool {
        self.metric == DICE
    }

    /// What it is about, in words.
    pub fn words(&self) -> String {
        format!("{}, {}, {}", self.dataset, self.preset, metric_name(self.metric))
    }

    /// A title, and where it is.
    pub fn title(&self, what: &str) -> String {
        format!("{what}: {}, preset {}", self.dataset, self.preset)
    }

    /// All runs of all series.
    pub fn rows(&self) -> impl Iterator<Item = &Run> {
        self.series.iter().flat_map(|s| s.rows.iter().copied())
    }
}

/// What seconds are divided by, and the name of that: seconds below an hour, then hours, then days.
pub fn unit(longest: f64) -> (f64, &'static str) {
    match longest {
        s if s >= 3.0 * 86_400.0 => (86_400.0, "days"),
        s if s >= 3600.0 => (3600.0, "hours"),
        _ => (1.0, "seconds"),
    }
}

/// Runs of one name and protocol.
type Groups<'a> = BTreeMap<(String, &'a str), Vec<(&'a Run, &'a Manifest)>>;

/// The finished runs, sorted into experiments and series.
pub fn experiments(rows: &[Run]) -> Vec<Experiment<'_>> {
    let mut all: BTreeMap<[&str; 4], Groups> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.counts()) {
        if let (Some(m), Some(result), Some(unit), Some(protocol)) = (&row.manifest, &row.result, &row.cost_unit, &row.protocol) {
            let groups = all.entry([&m.dataset, &m.preset, unit, &result.metric]).or_default();
            groups.entry((full_name(m), protocol)).or_default().push((row, m));
        }
    }
    let told = all.into_iter().map(|(key, groups)| (key, series(groups)));
    told.map(|([dataset, preset, cost_unit, metric], series)| Experiment { dataset, preset, cost_unit, metric, series }).collect()
}

/// Told apart by name and look.
fn series(groups: Groups) -> Vec<Series> {
    let names: Vec<String> = groups.keys().map(|(name, _)| name.clone()).collect();
    let declarations: Vec<&Declaration> = groups.values().map(|runs| &runs[0].1.declaration).collect();
    let mark = |m: &Manifest| {
        let is_control_of = |d: &&&Declaration| d.control.as_ref().is_some_and(|c| c.is(m));
        let of = declarations.iter().find(is_control_of).map_or(m.declaration.mark, |d| d.mark);
        Mark { shape: of.shape, ..m.declaration.mark }
    };
    let mut out: Vec<Series> = Vec::new();
    for ((name, protocol), mut runs) in groups {
        runs.sort_by_key(|(r, _)| (r.seed(), r.name.as_str()));
        let (Manifest { method, variant, declaration, .. }, mark) = (runs[0].1, mark(runs[0].1));
        let nth = out.iter().filter(|s| s.mark == mark).count();
        let shared = names.iter().filter(|n| **n == name).count() > 1;
        let name = if shared { format!("{name} [{protocol}]") } else { name };
        out.push(Series { method, variant, name, protocol, declaration, mark, nth, rows: runs.into_iter().map(|(r, _)| r).collect() });
    }
    out
}
