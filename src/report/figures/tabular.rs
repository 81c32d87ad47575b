//! Searches of tables: the incumbent's test accuracy against simulated time, its regret, the seeds, and how a short schedule orders what a long one finds.

use super::axis::Axis;
use super::panel::{Entry, HALF, Panel, SQUARE, page};
use super::scene::{Point, Scene};
use super::style::{Look, NEUTRAL, marker, stroke};
use crate::report::claims::{Claim, Confirmation};
use crate::report::studies::{Agreement, Curve, Rank, Study, agreements, curve, ranks, reported_test};
use crate::table::{self, NAS_BENCH_201, Part, Table};
use crate::units::show_count;

/// Studies that may share axes, with their curves.
struct Group<'a> {
    title: String,
    members: Vec<(&'a Study, Look, Curve)>,
}

/// Groups of studies with the same table, data set and simulated budget, in the order of the studies.
fn groups(studies: &[Study]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for study in studies {
        let (Some(curve), m) = (curve(study), &study.manifest) else { continue };
        let of = groups.iter().position(|g| g.members[0].0.manifest.is_beside(m)).unwrap_or_else(|| {
            let label = m.label.as_ref().map_or_else(String::new, |l| format!(" ({l})"));
            groups.push(Group { title: format!("{}, {}, {}{label}", m.table_name(), m.dataset.title, m.ends()), members: Vec::new() });
            groups.len() - 1
        });
        let before = groups[of].members.iter().filter(|(other, ..)| other.manifest.mark == m.mark).count();
        groups[of].members.push((study, Look::from(m.mark).other(before), curve));
    }
    groups
}

/// The charts of searches of tables, by the names of their files; none without studies.
pub fn studies(studies: &[Study], claims: &[Claim]) -> Vec<(&'static str, Scene)> {
    let groups = groups(studies);
    let mut charts = Vec::new();
    if !groups.is_empty() {
        charts.push(("table-incumbents", incumbents(&groups, claims)));
        charts.push(("table-regret", regret(&groups)));
        charts.push(("table-seeds", seeds_sorted(&groups)));
    }
    let tables = searched(studies);
    charts.extend(schedules(&tables).map(|scene| ("table-schedules", scene)));
    charts.extend(agreement(&tables).map(|scene| ("table-agreement", scene)));
    charts
}

fn across(group: &Group) -> &'static str {
    if group.members.iter().all(|m| m.2.timed) { "simulated seconds spent on trainings (log scale)" } else { "trainings (log scale)" }
}

fn seeds(study: &Study) -> String {
    format!("{}, {} seeds", study.manifest.name(), show_count(study.report.seeds.len() as u64))
}

/// Test accuracy of the incumbent against simulated time, one area for each table, data set and budget.
fn incumbents(groups: &[Group], claims: &[Claim]) -> Scene {
    let notes = vec![
        "The incumbent is the architecture with the best score so far; its test accuracy is looked up after the search, which never sees it. Lines: mean over the seeds; thin lines: the tenth and the ninetieth percentile of the seeds.".into(),
        "Large marks at the budget are the numbers that papers reported for the same table, data set and budget, hollow where they could not be confirmed; the bar is their standard deviation.".into(),
        "Simulated seconds are what the trainings took on the device of the table, not what this program took.".into(),
    ];
    page("Searches of tables: test accuracy of the incumbent", 2, groups, |g| incumbent_area(g, claims), notes)
}

fn incumbent_area(group: &Group, claims: &[Claim]) -> Panel {
    let curves = || group.members.iter().map(|m| &m.2);
    let mut reported: Vec<(Look, &Curve, &Claim)> = Vec::new();
    for (study, look, curve) in &group.members {
        // One number may stand beside several studies, where the paper does not say all settings.
        let claim = reported_test(study, claims).filter(|c| !reported.iter().any(|(_, _, other)| std::ptr::eq(*other, *c)));
        reported.extend(claim.map(|c| (*look, curve, c)));
    }
    let of_claims = reported.iter().filter_map(|(_, _, c)| c.value);
    let heights = curves().flat_map(|c| c.mean.iter().chain(&c.band[1]).copied().chain([c.best])).chain(of_claims);
    // What lies far below the means at the start is cut off: the end is what matters.
    let floor = curves().filter_map(|c| c.mean.first().copied()).fold(f64::INFINITY, f64::min);
    let x = Axis::log(curves().flat_map(|c| c.at.iter().copied()));
    let mut panel = Panel::new(
        HALF,
        x,
        Axis::percent(heights.filter(|h| *h >= floor)),
        [&group.title, across(group), "test accuracy of the incumbent (%)"],
    );
    let line =
        |panel: &Panel, at: &[f64], values: &[f64]| at.iter().zip(values).filter_map(|(x, y)| panel.at((*x, *y))).collect::<Vec<Point>>();
    if let Some(first) = curves().next() {
        let best = line(&panel, &first.at, &vec![first.best; first.at.len()]);
        stroke(&mut panel.scene, NEUTRAL, &best, 1.0, 3.0);
        panel.entries.push(Entry {
            look: NEUTRAL,
            radius: 0.0,
            filled: false,
            lined: true,
            words: format!("the best of the table, {:.2} %", first.best),
        });
    }
    for (study, look, curve) in &group.members {
        for edge in &curve.band {
            let path = line(&panel, &curve.at, edge);
            stroke(&mut panel.scene, *look, &path, 0.6, 3.0);
        }
        let path = line(&panel, &curve.at, &curve.mean);
        let end = path.last().copied();
        stroke(&mut panel.scene, *look, &path, 2.0, 5.0);
        end.into_iter().for_each(|at| marker(&mut panel.scene, *look, at, 3.5, true));
        let last = curve.mean.last().copied().unwrap_or_default();
        panel.entries.push(Entry {
            look: *look,
            radius: 3.5,
            filled: true,
            lined: true,
            words: format!("{}: mean {last:.2} % at the end", seeds(study)),
        });
    }
    for (look, curve, claim) in reported {
        let (Some(value), Some(end)) = (claim.value, curve.at.last()) else { continue };
        let confirmed = claim.status == Confirmation::Confirmed;
        if let Some(spread) = claim.spread {
            let bar: Vec<Point> = [value - spread, value + spread].into_iter().filter_map(|v| panel.at((*end, v))).collect();
            panel.scene.line(bar, 1.0, look.colour);
        }
        if let Some(at) = panel.at((*end, value)) {
            marker(&mut panel.scene, look, at, 6.5, confirmed);
        }
        let how = if confirmed { String::new() } else { format!(" ({})", claim.status.word()) };
        let words = format!("reported, {} {}: {}{how}", claim.method, claim.variant, claim.value_text().unwrap_or_default());
        panel.entries.push(Entry { look, radius: 6.5, filled: confirmed, lined: false, words });
    }
    panel
}

/// How far the mean is below the best of the table, on log axes.
fn regret(groups: &[Group]) -> Scene {
    let notes = vec!["Regret: best test accuracy of the table less the mean test accuracy of the incumbents, in percentage points.".into()];
    page("Searches of tables: regret", 2, groups, regret_area, notes)
}

fn regret_area(group: &Group) -> Panel {
    let of = |c: &Curve| c.at.iter().zip(&c.mean).map(|(x, y)| (*x, c.best - y)).collect::<Vec<_>>();
    let all: Vec<(f64, f64)> = group.members.iter().flat_map(|m| of(&m.2)).collect();
    let (x, y) = (Axis::log(all.iter().map(|p| p.0)), Axis::log(all.iter().map(|p| p.1).filter(|r| *r > 0.0)));
    let mut panel = Panel::new(HALF, x, y, [&group.title, across(group), "regret (points, log scale)"]);
    for (study, look, curve) in &group.members {
        let path: Vec<Point> = of(curve).into_iter().filter_map(|p| panel.at(p)).collect();
        let more = panel.curves(*look, vec![path], 1);
        panel.entries.push(Entry {
            look: *look,
            radius: 3.5,
            filled: true,
            lined: true,
            words: format!("{}{more}", study.manifest.name()),
        });
    }
    panel
}

/// Test accuracies of the findings of all seeds, sorted.
fn seeds_sorted(groups: &[Group]) -> Scene {
    let notes = vec!["One point a seed: the test accuracy of what its search found, sorted.".into()];
    page("Searches of tables: the seeds", 2, groups, seeds_area, notes)
}

fn seeds_area(group: &Group) -> Panel {
    let sorted = |study: &Study| {
        let mut values = study.searched().map(|set| study.looked_up(set, Part::Test)).unwrap_or_default();
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        values.into_iter().enumerate().map(move |(i, v)| (100.0 * (i as f64 + 0.5) / n, v)).collect::<Vec<_>>()
    };
    let all: Vec<f64> = group.members.iter().flat_map(|m| sorted(m.0)).map(|p| p.1).collect();
    let x = Axis::from_zero([100.0], 100.0);
    let mut panel = Panel::new(HALF, x, Axis::percent(all), [&group.title, "share of the seeds (%)", "test accuracy of the finding (%)"]);
    for (study, look, _) in &group.members {
        let path: Vec<Point> = sorted(study).into_iter().filter_map(|p| panel.at(p)).collect();
        stroke(&mut panel.scene, *look, &path, 1.6, 5.0);
        panel.entries.push(Entry { look: *look, radius: 0.0, filled: true, lined: true, words: seeds(study) });
    }
    panel
}

/// The tables that were searched, each once.
fn searched(studies: &[Study]) -> Vec<&Table> {
    let mut tables: Vec<&Table> = studies.iter().filter_map(|study| study.table.as_deref()).collect();
    // The studies of a table stand together.
    tables.dedup_by(|a, b| std::ptr::eq(*a, *b));
    tables
}

/// Short against long schedules of the tables; `None` where none has two.
fn schedules(tables: &[&Table]) -> Option<Scene> {
    let all: Vec<Rank> = tables.iter().flat_map(|table| ranks(table)).collect();
    let notes = vec!["All rows of the table: the validation accuracy after the short schedule, which a search is told, against the test accuracy after the long one, which is looked up.".into()];
    (!all.is_empty()).then(|| page("Short and long schedules of the tables", 2, &all, schedules_area, notes))
}

/// Tables that this program trained against NAS-Bench-201; `None` where none was searched.
fn agreement(tables: &[&Table]) -> Option<Scene> {
    let own: Vec<&&Table> = tables.iter().filter(|t| t.about.made.is_some()).collect();
    let bench = if own.is_empty() { None } else { table::open(NAS_BENCH_201).ok() }?;
    let all: Vec<Agreement> = own.into_iter().flat_map(|table| agreements(table, &bench)).collect();
    let notes = vec!["One point a class of cells: the test accuracy of its simplest cell in NAS-Bench-201 and in the table that was trained by this program, each after its longest schedule.".into()];
    (!all.is_empty()).then(|| page("The same cells on other images", 2, &all, agreement_area, notes))
}

fn agreement_area(of: &Agreement) -> Panel {
    let title = format!("{}, {}, and NAS-Bench-201, {}", of.here[0], of.here[1], of.there);
    let axis = |table: &str, at: usize| format!("{table}, {}: test accuracy (%)", of.schedules[at].words());
    let (across, up) = (axis("NAS-Bench-201", 0), axis(&of.here[0], 1));
    let words = [format!("{} cells", show_count(of.pairs.len() as u64)), format!("Spearman {}", coefficient(of.spearman))];
    cloud([&title, &across, &up], &of.pairs, &words)
}

/// One point for each pair of accuracies.
fn cloud(texts: [&str; 3], pairs: &[(f64, f64)], words: &[String]) -> Panel {
    let axes = (Axis::percent(pairs.iter().map(|p| p.0)), Axis::percent(pairs.iter().map(|p| p.1)));
    let mut panel = Panel::new(SQUARE, axes.0, axes.1, texts);
    let look = Look { dashed: false, ..NEUTRAL };
    panel.marks(look, pairs.iter().copied(), 1.6, false);
    panel.entries.extend(words.iter().map(|words| Entry { look, radius: 0.0, filled: false, lined: false, words: words.clone() }));
    panel
}

fn coefficient(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.3}"))
}

fn schedules_area(rank: &Rank) -> Panel {
    let title = format!("{}: {}", rank.table, rank.set);
    let [across, up] = [format!("validation accuracy, {} (%)", rank.short.words()), format!("test accuracy, {} (%)", rank.long.words())];
    let [pearson, spearman, kendall] = rank.all.map(coefficient);
    let words = [
        format!("{} {}", show_count(rank.pairs.len() as u64), rank.rows),
        format!("Spearman {spearman}, Kendall {kendall}, Pearson {pearson}"),
        format!("Spearman of the best tenth {}", coefficient(rank.best_tenth)),
    ];
    cloud([&title, &across, &up], &rank.pairs, &words)
}
