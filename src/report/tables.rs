//! The tables of a report, but for those that have files of their own.

use super::checklist::checklist;
use super::claims::{self, Claim};
use super::control;
use super::figures::{Experiment, Graph, Series};
use super::frame::DICE;
use super::grid::Grid;
use super::load::Run;
use super::outcome;
use super::proxies::{self, Pairs};
use super::segmentation;
use super::spread::percent;
use super::studies::{self, StudyTables};
use super::summary::{NONE, SummaryRow, or_none};
use crate::record::{Manifest, Role};
use std::collections::{BTreeMap, BTreeSet};

/// All tables of a report by name, in the order of a reader; one without rows is not shown.
pub(super) struct Tables(Vec<(&'static str, Grid)>);

impl Tables {
    /// Makes them all.
    pub fn new(runs: &[Run], summary: &[SummaryRow], experiments: &[Experiment], pairs: &[Pairs], claims: &[Claim]) -> Self {
        let comparisons = control::comparisons(summary);
        Self(vec![
            ("outcome", outcome::outcome(runs, summary)),
            ("spreads", outcome::two_spreads(runs, summary)),
            ("control", control::table(&comparisons)),
            ("segmentation", segmentation::whole(runs, summary)),
            ("classes", segmentation::by_class(runs, summary)),
            ("search-time", search_time(runs, summary)),
            ("cost", cost(summary)),
            ("normalised", outcome::normalised(summary)),
            ("relations", proxies::table(pairs)),
            ("collapsed", collapsed(runs)),
            ("shrunk", shrunk(runs)),
            ("checklist", checklist(experiments, &comparisons)),
            ("provenance", provenance(runs)),
            ("left-out", left_out(runs)),
            ("missing", missing(experiments, claims)),
        ])
    }

    /// Adds those of searches of tables, after those of the runs that stand beside reported numbers.
    pub fn add(&mut self, studies: StudyTables) {
        let at = self.0.iter().position(|(name, _)| *name == "segmentation").unwrap_or(self.0.len());
        self.0.splice(at..at, [("studies", studies.outcome), ("studies-control", studies.control)]);
    }

    /// A table by its name.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn get(&self, name: &str) -> &Grid {
        let found = self.0.iter().find(|(n, _)| *n == name);
        found.map(|(_, grid)| grid).unwrap_or_else(|| panic!("no table is called {name}"))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Grid> {
        self.0.iter().map(|(_, grid)| grid)
    }
}

/// Scores at search time: another thing than the final ones, so they have a table of their own.
fn search_time(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    let candidates = |r: &SummaryRow| r.members.iter().filter_map(|i| Some(runs[*i].finding.as_ref()?.candidates.len())).max();
    Grid::of(
        "Search-time scores",
        4,
        summary,
        &[
            ("method", &|r| r.name()),
            ("data set", &|r| r.dataset.clone()),
            ("preset", &|r| r.preset.clone()),
            ("search score is", &|r| r.search_score_kind.clone()),
            ("search score (%)", &|r| percent(r.search_score)),
            ("selection score (%)", &|r| percent(r.select_score)),
            ("selected as", &|r| or_none(candidates(r).filter(|n| *n > 1).map(|n| format!("best of {n}")))),
        ],
    )
}

/// What it cost.
fn cost(summary: &[SummaryRow]) -> Grid {
    Grid::of(
        "Cost of a run",
        4,
        summary,
        &[
            ("method", &|r| r.name()),
            ("data set", &|r| r.dataset.clone()),
            ("preset", &|r| r.preset.clone()),
            ("unit", &|r| r.cost_unit.clone()),
            ("search", &|r| r.search_cost_text()),
            ("selection", &|r| SummaryRow::cost_text(r.select_days)),
            ("retraining", &|r| SummaryRow::cost_text(r.retrain_days)),
        ],
    )
}

/// Where settings differ from the paper's, once for all seeds of a row.
fn shrunk(runs: &[Run]) -> Grid {
    let plain = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let mut seen: BTreeMap<[&str; 4], [String; 2]> = BTreeMap::new();
    for m in runs.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()) {
        for s in &m.shrunk {
            seen.entry([&m.method, &m.dataset, &m.preset, &s.key]).or_insert_with(|| [plain(&s.paper), plain(&s.here)]);
        }
    }
    Grid::of(
        "What differs from the paper's settings",
        4,
        seen,
        &[
            ("method", &|(key, _)| key[0].into()),
            ("data set", &|(key, _)| key[1].into()),
            ("preset", &|(key, _)| key[2].into()),
            ("setting", &|(key, _)| key[3].into()),
            ("paper", &|(_, values)| values[0].clone()),
            ("here", &|(_, values)| values[1].clone()),
        ],
    )
}

/// Operations that hand on what they read.
const SKIPS: [&str; 2] = ["skip_connect", "identity"];

/// Architectures that searches found, of whose first cell more than half the edges are skip connections: a known failure of searches that go on for too long.
fn collapsed(runs: &[Run]) -> Grid {
    let found = |r: &&Run| r.counts() && r.manifest.as_ref().is_some_and(|m| m.declaration.role == Role::Search);
    let first = |r: &Run| {
        let (name, cell) = Graph::cells(&r.result.as_ref()?.architecture).ok()?.into_iter().next()?;
        let skips = cell.links().filter(|link| SKIPS.contains(&link.op.as_str())).count();
        let edges = cell.links().count();
        (2 * skips > edges).then(|| vec![r.name.clone(), name, skips.to_string(), edges.to_string()])
    };
    let head = ["run", "its first cell", "skip connections in that cell", "edges"].map(Into::into).into();
    let rows = runs.iter().filter(found).filter_map(first).collect();
    Grid { title: "Collapsed searches".into(), head, rows, left: 2, notes: Vec::new() }
}

/// As many digits of a commit or a hash as are shown; `results.csv` has all.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// One row for each combination of program, device and data, with how many finished runs came of it.
fn provenance(runs: &[Run]) -> Grid {
    let changed = |m: &Manifest| if m.program.dirty { ", with changes" } else { "" };
    let mut grid = Grid::of(
        "Provenance",
        7,
        runs.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()),
        &[
            ("data set", &|m| m.dataset.clone()),
            ("data hash", &|m| short(&m.data.hash)),
            ("split hash", &|m| short(&m.data.split_hash)),
            ("naslab (commit)", &|m| format!("{} ({}{})", m.program.version, short(&m.program.commit), changed(m))),
            ("libtorch", &|m| m.libtorch.clone()),
            ("device", &|m| m.device.name.clone()),
            ("threads of cores", &|m| format!("{} of {}", m.device.threads, m.device.cores)),
        ],
    );
    grid.rows.sort();
    grid.rows = grid.rows.chunk_by(PartialEq::eq).map(|equal| [&equal[0][..], &[equal.len().to_string()]].concat()).collect();
    grid.head.push("runs".into());
    grid
}

/// Runs that are in no mean, and why.
fn left_out(runs: &[Run]) -> Grid {
    Grid::of(
        "Runs left out",
        3,
        runs.iter().filter(|r| !r.counts()),
        &[("run", &|r| r.name.clone()), ("status", &|r| r.status.word().into()), ("why", &|r| r.status.note().unwrap_or_default())],
    )
}

/// Methods without a finished run where one would expect some, and seeds that others have.
fn missing(experiments: &[Experiment], claims: &[Claim]) -> Grid {
    let mut rows = Vec::new();
    for e in experiments {
        let mut put = |what: &str, missing: Vec<String>| {
            if !missing.is_empty() {
                rows.push(vec![e.words(), what.to_string(), missing.join(", ")]);
            }
        };
        let absent = expected(e, experiments, claims).into_iter().filter(|m| e.series.iter().all(|s| s.method != *m));
        put("no finished run", absent.map(String::from).collect());
        let seeds = |s: &Series| s.rows.iter().filter_map(|r| r.seed()).collect::<BTreeSet<u64>>();
        let all: BTreeSet<u64> = e.series.iter().flat_map(seeds).collect();
        for series in &e.series {
            let lacking = all.difference(&seeds(series)).map(|seed| format!("{} seed {seed}", series.name)).collect();
            put("seeds that others have", lacking);
        }
    }
    Grid { title: "What is missing".into(), head: ["experiment", "what", "which"].map(Into::into).into(), rows, left: 3, notes: Vec::new() }
}

/// Methods with claims of that kind, and those that have runs with that metric.
fn expected<'a>(e: &Experiment, experiments: &'a [Experiment], claims: &'a [Claim]) -> Vec<&'a str> {
    let mut names = claims::methods(claims, e.metric == DICE);
    let searches = experiments.iter().filter(|other| other.metric == e.metric).flat_map(Experiment::searches);
    searches.for_each(|s| names.extend((!names.contains(&s.method)).then_some(s.method)));
    names
}

/// How to read the tables.
pub(super) fn reading(tables: &Tables) -> Vec<String> {
    let mut lines: Vec<String> = vec![
        outcome::READING.into(),
        outcome::NO_RANKING.into(),
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
    if !tables.get("control").rows.is_empty() {
        lines.push(control::READING.into());
    }
    if !tables.get("studies").rows.is_empty() {
        lines.push(studies::READING.into());
    }
    if !tables.get("segmentation").rows.is_empty() {
        lines.push(
            "Dice and IoU of a segmentation are computed for every class of a volume; the scores are means over the test volumes, and foreground means \
             all classes but the background. A class that neither truth nor prediction has in a volume does not count there, and a volume without any class \
             of the foreground does not count at all; “volumes” says how many do. What the public code of NAS-Unet prints as Dice is computed from \
             probabilities, for all classes, and averaged over slices; what it prints as mIoU leaves out the last class."
                .into(),
        );
    }
    lines
}
