//! The tables of a report, but for those that have files of their own.

use super::checklist::checklist;
use super::claims::METHODS;
use super::control;
use super::figures::{Experiment, Series};
use super::frame::{DICE, Row};
use super::grid::Grid;
use super::outcome;
use super::provenance::provenance;
use super::proxies::{self, Pairs};
use super::segmentation;
use super::spread::percent;
use super::summary::{NONE, SummaryRow};
use crate::space::{CellPair, DartsOp};
use std::collections::{BTreeMap, BTreeSet};

/// All tables of a report; one without rows is not shown.
pub(super) struct Tables {
    /// What a survey prints.
    pub outcome: Grid,
    /// Spread of searches and of trainings.
    pub spreads: Grid,
    /// Methods against random search.
    pub control: Grid,
    /// Overlaps of segmentations, of all classes.
    pub segmentation: Grid,
    /// Class by class.
    pub classes: Grid,
    /// Scores at search time.
    pub search_time: Grid,
    /// What a run cost, phase by phase.
    pub cost: Grid,
    /// Costs on the papers' cards, estimated.
    pub normalised: Grid,
    /// What early scores say about late ones.
    pub relations: Grid,
    /// Searches that collapsed.
    pub collapsed: Grid,
    /// What presets shrank.
    pub shrunk: Grid,
    /// Best practices, kept or not.
    pub checklist: Grid,
    /// What made the runs.
    pub provenance: Grid,
    /// Runs that are in no mean.
    pub left_out: Grid,
    /// Methods and seeds that one would expect beside the others.
    pub missing: Grid,
}

impl Tables {
    /// Makes them all.
    pub fn new(rows: &[Row], summary: &[SummaryRow], experiments: &[Experiment], pairs: &[Pairs]) -> Self {
        let comparisons = control::comparisons(summary);
        Self {
            outcome: outcome::outcome(rows, summary),
            spreads: outcome::two_spreads(rows, summary),
            control: control::table(&comparisons),
            segmentation: segmentation::whole(rows, summary),
            classes: segmentation::by_class(rows, summary),
            search_time: search_time(rows, summary),
            cost: cost(summary),
            normalised: outcome::normalised(summary),
            relations: proxies::table(pairs),
            collapsed: collapsed(rows),
            shrunk: shrunk(rows),
            checklist: checklist(experiments, &comparisons),
            provenance: provenance(rows),
            left_out: left_out(rows),
            missing: missing(experiments),
        }
    }

    /// In the order of a reader.
    pub fn all(&self) -> [&Grid; 15] {
        [
            &self.outcome,
            &self.spreads,
            &self.control,
            &self.segmentation,
            &self.classes,
            &self.search_time,
            &self.cost,
            &self.normalised,
            &self.relations,
            &self.collapsed,
            &self.shrunk,
            &self.checklist,
            &self.provenance,
            &self.left_out,
            &self.missing,
        ]
    }
}

/// Scores at search time: another thing than the final ones, so they have a table of their own.
fn search_time(rows: &[Row], summary: &[SummaryRow]) -> Grid {
    let row = |r: &SummaryRow| {
        let candidates = r.members.iter().filter_map(|i| rows[*i].candidates).max().filter(|n| *n > 1);
        vec![
            r.name(),
            r.dataset.clone(),
            r.preset.clone(),
            r.search_score_kind.clone(),
            percent(r.search_score),
            percent(r.select_score),
            candidates.map_or_else(|| NONE.into(), |n| format!("best of {n}")),
        ]
    };
    Grid {
        title: "Search-time scores".into(),
        head: vec!["method", "data set", "preset", "search score is", "search score (%)", "selection score (%)", "selected as"],
        rows: summary.iter().map(row).collect(),
        left: 4,
        ..Grid::default()
    }
}

/// What it cost.
fn cost(summary: &[SummaryRow]) -> Grid {
    let row = |r: &SummaryRow| {
        vec![
            r.name(),
            r.dataset.clone(),
            r.preset.clone(),
            r.cost_unit.clone(),
            r.search_cost_text(),
            SummaryRow::cost_text(r.select_days),
            SummaryRow::cost_text(r.retrain_days),
        ]
    };
    Grid {
        title: "Cost of a run".into(),
        head: vec!["method", "data set", "preset", "unit", "search", "selection", "retraining"],
        rows: summary.iter().map(row).collect(),
        left: 4,
        ..Grid::default()
    }
}

/// Where settings differ from the paper's, once for all seeds of a row.
fn shrunk(rows: &[Row]) -> Grid {
    let mut seen: BTreeMap<(String, String, String, String), (String, String)> = BTreeMap::new();
    for m in rows.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()) {
        for s in &m.shrunk {
            let key = (m.method.clone(), m.dataset.clone(), m.preset.clone(), s.key.clone());
            seen.entry(key).or_insert_with(|| (plain(&s.paper), plain(&s.here)));
        }
    }
    let rows = seen.into_iter().map(|((method, dataset, preset, key), (paper, here))| vec![method, dataset, preset, key, paper, here]);
    Grid {
        title: "What differs from the paper's settings".into(),
        head: vec!["method", "data set", "preset", "setting", "paper", "here"],
        rows: rows.collect(),
        left: 4,
        ..Grid::default()
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// Found normal cells of DARTS of which more than half the edges are skip connections: a known failure of searches that go on for too long.
fn collapsed(rows: &[Row]) -> Grid {
    let row = |r: &Row| {
        let pair = r.result.as_ref()?.architecture.get::<CellPair<DartsOp>>()?;
        let edges = || pair.normal.nodes.iter().flatten();
        let (skips, all) = (edges().filter(|e| e.op == DartsOp::SkipConnect).count(), edges().count());
        (2 * skips > all).then(|| vec![r.run.clone(), skips.to_string(), all.to_string()])
    };
    Grid {
        title: "Collapsed searches".into(),
        head: vec!["run", "skip connections in the normal cell", "edges"],
        rows: rows.iter().filter(|r| r.counts()).filter_map(row).collect(),
        left: 1,
        ..Grid::default()
    }
}

/// Runs that are in no mean, and why.
fn left_out(rows: &[Row]) -> Grid {
    let row = |r: &Row| vec![r.run.clone(), r.status.to_string(), r.note.clone().unwrap_or_default()];
    Grid {
        title: "Runs left out".into(),
        head: vec!["run", "status", "why"],
        rows: rows.iter().filter(|r| !r.counts()).map(row).collect(),
        left: 3,
        ..Grid::default()
    }
}

/// Methods without a finished run where others have some, and seeds that others have.
fn missing(experiments: &[Experiment]) -> Grid {
    let segmenters = ["nas_unet", "random"];
    let mut rows = Vec::new();
    for e in experiments {
        let mut put = |what: &str, missing: Vec<String>| {
            if !missing.is_empty() {
                rows.push(vec![e.words(), what.to_string(), missing.join(", ")]);
            }
        };
        let expected = METHODS.into_iter().filter(|m| if e.metric == DICE { segmenters.contains(m) } else { *m != segmenters[0] });
        put("no finished run", expected.filter(|m| e.series.iter().all(|s| s.method != *m)).map(String::from).collect());
        let seeds = |s: &Series| s.rows.iter().filter_map(|r| r.manifest.as_ref()).map(|m| m.seed).collect::<BTreeSet<u64>>();
        let all: BTreeSet<u64> = e.series.iter().flat_map(seeds).collect();
        for series in &e.series {
            let lacking = all.difference(&seeds(series)).map(u64::to_string).collect::<Vec<_>>();
            put("seeds that others have", lacking.into_iter().map(|seed| format!("{} seed {seed}", series.name)).collect());
        }
    }
    Grid { title: "What is missing".into(), head: vec!["experiment", "what", "which"], rows, left: 3, ..Grid::default() }
}

/// How to read the tables.
pub(super) fn reading(tables: &Tables) -> Vec<String> {
    let mut lines: Vec<String> = vec![
        outcome::READING.into(),
        "The test score is that of the retrained network on the test split; where there is none the field is empty, \
         and a search-time score never stands in for it. \
         A run with several candidates tests the one that is best on validation images after a short training (“selected as”); no test score chooses."
            .into(),
        format!("“{NONE}” is what does not apply: the spread of one seed, the cost of a phase that the run does not have."),
        "“not measured” is unknown, not zero.".into(),
        "GPU-days are device-seconds on CUDA / 86,400; on a CPU the same quantity is in CPU-days of the cores named. \
         Days of different devices are different quantities, and the papers' GPU-days are days of their own cards."
            .into(),
        "The paper's numbers are for the data set named with them; other data sets cannot be compared with them.".into(),
        "Peak memory is that of the device allocator on CUDA and of the process on a CPU, the largest over the runs.".into(),
    ];
    if !tables.control.rows.is_empty() {
        lines.push(control::READING.into());
    }
    if !tables.segmentation.rows.is_empty() {
        lines.push(
            "Dice and IoU of a segmentation are computed for every class of a volume; the scores are means over the test volumes, foreground means \
             all classes but the background, and of two empty masks both are 1. What the public code of NAS-Unet prints as Dice is computed from \
             probabilities, for all classes, and averaged over slices; what it prints as mIoU leaves out the last class."
                .into(),
        );
    }
    lines
}
