//! Which runs belong into one plot area, and which of them are seeds of one thing.

use super::panel::TEXT;
use super::style::{Look, Shape, look};
use super::words::fitted;
use crate::report::frame::{Row, metric_name, unit_and_device};

/// Runs that differ in seed alone.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Name of the method.
    pub method: &'a str,
    /// Method, variant and, where it is needed to tell two apart, protocol.
    pub name: String,
    protocol: &'a str,
    /// How many before it in its experiment would look the same.
    nth: usize,
    /// One a seed, by seed.
    pub rows: Vec<&'a Row>,
}

impl Series<'_> {
    /// The look of its method; random search has a shape for each space, and so have an experiment that is no search and further
    /// groups of one method.
    pub fn look(&self) -> Look {
        self.base().other(self.nth)
    }

    /// Its name, cut if what follows it would have no room.
    pub fn label(&self) -> String {
        fitted(&self.name, TEXT, false, 280.0)
    }

    fn base(&self) -> Look {
        let look = look(self.method);
        match self.method {
            "random" if self.name.contains("darts") => Look { shape: Shape::Square, ..look },
            "random" if self.name.contains("amoebanet") => Look { shape: Shape::Plus, ..look },
            "random" if self.name.contains("ghn") => Look { shape: Shape::Star, ..look },
            "ghn" if self.name.contains("correlation") => Look { shape: Shape::Wedge, ..look },
            _ => look,
        }
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

impl Experiment<'_> {
    /// What the scores are and their unit, such as `accuracy, %`.
    pub fn unit(&self) -> String {
        format!("{}, %", metric_name(self.metric))
    }

    /// The device in brackets, such as `(2 cores, AMD EPYC)`.
    pub fn device(&self) -> String {
        format!("({})", unit_and_device(self.cost_unit).1)
    }

    /// What it is about, in words.
    pub fn words(&self) -> String {
        format!("{}, {}, {}", self.dataset, self.preset, metric_name(self.metric))
    }

    /// All runs of all series.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.series.iter().flat_map(|s| s.rows.iter().copied())
    }
}

/// The finished runs, sorted into experiments and series.
pub fn experiments(rows: &[Row]) -> Vec<Experiment<'_>> {
    let mut out: Vec<Experiment> = Vec::new();
    for row in rows.iter().filter(|r| r.counts()) {
        let (Some(m), Some(result), Some(unit), Some(protocol)) = (&row.manifest, &row.result, &row.cost_unit, &row.protocol) else {
            continue;
        };
        // A preset and its variant for another space, such as `smoke` and `smoke-darts`, are compared.
        let preset = m.preset.split('-').next().unwrap_or_default();
        let key = (m.dataset.as_str(), preset, unit.as_str(), result.metric.as_str());
        let at = out.iter().position(|e| (e.dataset, e.preset, e.cost_unit, e.metric) == key).unwrap_or_else(|| {
            out.push(Experiment { dataset: key.0, preset: key.1, cost_unit: key.2, metric: key.3, series: Vec::new() });
            out.len() - 1
        });
        let name = if m.variant.is_empty() { m.method.clone() } else { format!("{} ({})", m.method, m.variant) };
        match out[at].series.iter_mut().find(|s| s.name == name && s.protocol == protocol) {
            Some(series) => series.rows.push(row),
            None => out[at].series.push(Series { method: &m.method, name, protocol, nth: 0, rows: vec![row] }),
        }
    }
    out.iter_mut().for_each(tell_apart);
    out.sort_by(|a, b| (a.dataset, a.preset, a.cost_unit, a.metric).cmp(&(b.dataset, b.preset, b.cost_unit, b.metric)));
    out
}

fn tell_apart(experiment: &mut Experiment) {
    experiment.series.sort_by(|a, b| (&a.name, a.protocol).cmp(&(&b.name, b.protocol)));
    let names: Vec<String> = experiment.series.iter().map(|s| s.name.clone()).collect();
    for series in &mut experiment.series {
        if names.iter().filter(|n| **n == series.name).count() > 1 {
            series.name = format!("{} [{}]", series.name, series.protocol);
        }
        series.rows.sort_by_key(|r| (r.manifest.as_ref().map(|m| m.seed), r.run.as_str()));
    }
    let looks: Vec<Look> = experiment.series.iter().map(Series::base).collect();
    for (i, series) in experiment.series.iter_mut().enumerate() {
        series.nth = looks[..i].iter().filter(|l| **l == looks[i]).count();
    }
}
