//! The tables of a report, but for those that have files of their own.

use super::checklist::checklist;
use super::claims::Metric;
use super::claims::{self, Claim};
use super::control;
use super::control::Comparison;
use super::figures::{Experiment, Series};
use super::frame::{DICE, unlike};
use super::grid::{Grid, field};
use super::load::Run;
use super::proxies::{self, Pairs};
use super::spread::{Spread, percent};
use super::studies::{self, Study};
use super::summary::{NONE, SummaryRow, or_none, or_unknown};
use super::{outcome, segmentation, trials};
use crate::plot::Graph;
use crate::record::{Manifest, Phase, Program, Role};
use crate::units::{SECONDS_PER_DAY, show_count, show_seconds};
use std::collections::{BTreeMap, BTreeSet};

/// All tables of a report that have rows, in the order of a reader.
pub(super) fn tables(m: &Measured) -> Vec<Grid> {
    let (runs, summary) = (m.runs, m.summary);
    let [beside, against] = studies::tables(m.studies, m.claims);
    let all = [
        outcome::outcome(runs, summary, "accuracy"),
        outcome::outcome(runs, summary, DICE),
        outcome::two_spreads(runs, summary),
        control::table(m.comparisons),
        m.against.clone().unwrap_or_default(),
        beside,
        against,
        segmentation::by_class(runs, summary),
        search_time(runs, summary),
        cost(runs, summary),
        proxies::table(m.pairs),
        collapsed(runs),
        trials::counts(runs),
        checklist(m.experiments, m.comparisons, !m.studies.is_empty()),
        missing(m.experiments, m.claims),
        left_out(runs),
        provenance(runs),
        finished(runs),
        shrunk(runs),
        reported(m.claims),
    ];
    all.into_iter().filter(|grid| !grid.rows.is_empty()).collect()
}

/// What a report is made of.
pub(super) struct Measured<'a> {
    /// Recorded runs.
    pub runs: &'a [Run],
    /// Rows over their seeds.
    pub summary: &'a [SummaryRow],
    /// Rows that may share axes.
    pub experiments: &'a [Experiment<'a>],
    /// Rows and their controls.
    pub comparisons: &'a [Comparison<'a>],
    /// Early and late scores.
    pub pairs: &'a [Pairs<'a>],
    /// Searches of tables.
    pub studies: &'a [Study],
    /// Numbers of the papers.
    pub claims: &'a [Claim],
    /// The table beside other results.
    pub against: Option<Grid>,
}

/// Scores at search time: another thing than the final ones, so they have a table of their own.
fn search_time(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    let candidates = |r: &SummaryRow| r.members.iter().filter_map(|i| Some(runs[*i].finding.as_ref()?.candidates.len())).max();
    let grid = Grid::of(
        "Search-time scores",
        4,
        summary,
        &[
            ("method", &|r| r.name()),
            ("data set", &|r| r.dataset.clone()),
            ("preset", &|r| r.preset.clone()),
            ("what the search score measures", &|r| r.search_score_kind.replace("dice", "Dice")),
            ("search score of the selected (%)", &|r| percent(r.search_score)),
            ("its selection score (%)", &|r| percent(r.select_score)),
            ("candidates compared", &|r| or_none(candidates(r).filter(|n| *n > 1))),
        ],
    );
    grid.about(SEARCH_TIME).without_equal(&[]).printed(&[
        "method",
        "search score of the selected (%)",
        "its selection score (%)",
        "candidates compared",
    ])
}

/// How to read the table.
const SEARCH_TIME: &str = "Scores on validation images while searching, of the architecture that was selected in the end; the best score of a search may belong to another. They are no test scores, and those of \
     different kinds cannot be compared. A run with several candidates retrains the one that is best on validation images after a short training; no test score chooses.";

/// What it cost.
fn cost(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    let seconds = |days: Spread| {
        let [mean, sd] = [days.mean, days.deviation].map(|d| d.map(|d| show_seconds(d * SECONDS_PER_DAY)));
        mean.map_or_else(|| NONE.into(), |mean| sd.map_or_else(|| mean.clone(), |sd| format!("{mean} ± {sd}")))
    };
    let over = |r: &SummaryRow, get: &dyn Fn(&Run) -> Option<f64>| Spread::of(r.members.iter().filter_map(|i| get(&runs[*i])));
    let of = |r: &SummaryRow, get: fn(&Manifest) -> u64| field(r.manifest.as_ref().map(get));
    let mut grid = Grid::of(
        "Cost of a run",
        4,
        summary,
        &[
            ("method", &|r| r.name()),
            ("data set", &|r| r.dataset.clone()),
            ("preset", &|r| r.preset.clone()),
            ("cost in", &|r| outcome::cost_words(&r.cost_unit)),
            ("seeds", &|r| r.seeds.to_string()),
            ("trials side by side (jobs)", &|r| of(r, |m| m.jobs)),
            ("threads of each", &|r| of(r, |m| u64::from(m.device.threads))),
            ("search", &|r| seconds(r.search_days)),
            ("of it training", &|r| or_none(r.training_share.map(|s| format!("{:.0} %", 100.0 * s)))),
            ("selection", &|r| seconds(r.select_days)),
            ("retraining", &|r| seconds(r.retrain_days)),
            ("all phases", &|r| seconds(r.total_days)),
            ("wall time", &|r| or_unknown(r.wall_seconds.mean.map(show_seconds))),
            ("budget used (%)", &|r| over(r, &|run| run.budget_percent()).span()),
            ("largest overshoot", &|r| or_none(over(r, &|run| run.ledger.as_ref()?.overshoot_seconds).high.map(show_seconds))),
        ],
    );
    for (row, of) in summary.iter().enumerate() {
        for (column, phase) in [(7, Some(Phase::Search)), (9, Some(Phase::Select)), (10, Some(Phase::Retrain)), (11, None)] {
            for run in of.members.iter().map(|i| &runs[*i]) {
                let parts = unlike(run, phase);
                if !parts.is_empty() {
                    grid.footnote(row, column, &format!("{} used unlike devices, whose times are not added. {parts}.", run.name));
                }
            }
        }
    }
    grid.about(COST).without_equal(&[]).printed(&["method", "search", "selection", "retraining", "all phases"])
}

/// How to read the table.
const COST: &str = "Means over the seeds ± the sample standard deviation. On a processor the cost of a phase is core time: the seconds for which its cores worked, so that two trials side by side \
     cost two cores. On a card it is the time for which the card was in use; GPU-days are those seconds / 86,400. Core time and GPU time, and times of different devices, are different quantities. \
     The budget limits the device time of search and selection: the time for which any core was in use. “Not measured” is unknown, not zero.";

/// Where settings differ from the paper's, once for all seeds of a row.
fn shrunk(runs: &[Run]) -> Grid {
    let plain = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let mut seen: BTreeMap<[&str; 4], [String; 2]> = BTreeMap::new();
    for m in runs.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()) {
        for s in &m.shrunk {
            seen.entry([&m.method, &m.dataset, &m.preset, &s.key]).or_insert_with(|| [plain(&s.paper), plain(&s.here)]);
        }
    }
    let grid = Grid::of(
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
    );
    grid.folded()
}

/// Address of the table of collapsed searches.
pub(super) const COLLAPSED: &str = "collapsed-searches";
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
    let grid = Grid { head, rows, ..Grid::of("Collapsed searches", 2, [(); 0], &[]) };
    grid.about("Searches whose first cell has skip connections on more than half of its edges: a known failure of searches that go on for too long.")
}

/// As many digits of a commit or a hash as are shown; `results.csv` has all.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// The commit of a program, and whether there were changes.
pub(super) fn commit(p: &Program) -> String {
    format!("{}{}", short(&p.commit), if p.dirty { ", with changes" } else { "" })
}

/// One row for each combination of program, device and data, with how many finished runs came of it.
fn provenance(runs: &[Run]) -> Grid {
    let mut grid = Grid::of(
        "Provenance",
        8,
        runs.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()),
        &[
            ("data set", &|m| m.dataset.clone()),
            ("data hash", &|m| short(&m.data.hash)),
            ("split hash", &|m| short(&m.data.split_hash)),
            ("naslab (commit)", &|m| format!("{} ({})", m.program.version, commit(&m.program))),
            ("libtorch", &|m| m.libtorch.clone()),
            ("device", &|m| m.device.name.clone()),
            ("cores", &|m| m.device.cores.to_string()),
            ("jobs x threads", &|m| format!("{} x {}", m.jobs, m.device.threads)),
        ],
    );
    grid.rows.sort();
    grid.rows = grid.rows.chunk_by(PartialEq::eq).map(|equal| [&equal[0][..], &[equal.len().to_string()]].concat()).collect();
    grid.head.push("runs".into());
    grid.about("One row per program, device and data.").without_equal(&["runs"])
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
    Grid { head: ["experiment", "what", "which"].map(Into::into).into(), rows, ..Grid::of("What is missing", 3, [(); 0], &[]) }
}

/// Methods with claims of that kind, and those that have runs with that metric.
fn expected<'a>(e: &Experiment, experiments: &'a [Experiment], claims: &'a [Claim]) -> Vec<&'a str> {
    let mut names = claims::methods(claims, e.metric == DICE);
    let searches = experiments.iter().filter(|other| other.metric == e.metric).flat_map(Experiment::searches);
    searches.for_each(|s| names.extend((!names.contains(&s.method)).then_some(s.method)));
    names
}

/// Every finished run.
fn finished(runs: &[Run]) -> Grid {
    let percent = |v: Option<f64>| field(v.map(|v| format!("{:.2}", 100.0 * v)));
    let time = |r: &Run, phase| or_none(r.cost(phase).map(show_seconds));
    let grid = Grid::of(
        "All finished runs",
        3,
        runs.iter().filter(|r| r.counts()).filter_map(|r| Some((r, r.result.as_ref()?))),
        &[
            ("run", &|(r, _)| r.name.clone()),
            ("commit", &|(r, _)| field(r.manifest.as_ref().map(|m| short(&m.program.commit)))),
            ("search ended", &|(_, result)| result.search_end.words().into()),
            ("seed", &|(_, result)| result.seed.to_string()),
            ("test score (%)", &|(_, result)| result.unscored().unwrap_or_else(|| percent(result.final_score))),
            ("search score (%)", &|(_, result)| percent(result.search_score)),
            ("weights", &|(_, result)| show_count(result.parameters)),
            ("search cost", &|(r, _)| time(r, Some(Phase::Search))),
            ("total cost", &|(r, _)| time(r, None)),
            ("wall time", &|(r, _)| or_none(r.ledger.as_ref().map(|l| show_seconds(l.wall_seconds)))),
            ("budget used (%)", &|(r, _)| or_none(r.budget_used().map(|share| format!("{:.1}", 100.0 * share)))),
        ],
    );
    grid.folded().without_equal(&["seed"])
}

/// Every claim on CIFAR-10 accuracy and on segmentation, with its source.
fn reported(claims: &[Claim]) -> Grid {
    let of_cifar = |c: &Claim| c.dataset == "cifar10" && c.metric == Metric::TestAccuracy;
    let grid = Grid::of(
        "Numbers that the papers reported",
        8,
        claims.iter().filter(|c| c.headline || c.metric.of_segmentation() || of_cifar(c)),
        &[
            ("method", &|c| c.method.clone()),
            ("variant", &|c| c.variant.clone()),
            ("data set", &|c| c.dataset.clone()),
            ("value is", &|c| c.metric.words().into()),
            ("source", &|c| c.source.clone()),
            ("status", &|c| c.status.word().into()),
            ("erratum", &|c| or_none(c.erratum.clone())),
            ("cutout", &|c| c.cutout.words().into()),
            ("value (%)", &|c| or_none(c.value_text())),
            ("runs", &|c| or_none(c.runs)),
            ("weights (M)", &|c| or_none(c.params)),
            ("GPU-days", &|c| or_none(c.gpu_days)),
        ],
    );
    grid.about("CIFAR-10 test accuracies, segmentations, and the headline of every method, as data/claims.csv has them.").folded()
}
