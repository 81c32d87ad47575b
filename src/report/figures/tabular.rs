//! Searches of tables: the incumbent's test accuracy against simulated time, its regret, the seeds, and how a short schedule orders what a long one finds.

use super::{Drawn, Figure};
use crate::plot::{About, Axis, Entry, Look, NEUTRAL, Panel, Paper, marker};
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

/// The charts of searches of tables; none without studies.
pub fn studies(studies: &[Study], claims: &[Claim], paper: Paper) -> Vec<Figure> {
    let groups = groups(studies);
    let tables = searched(studies);
    let own: Vec<&&Table> = tables.iter().filter(|t| t.about.made.is_some()).collect();
    let bench = if own.is_empty() { None } else { table::open(NAS_BENCH_201).ok() };
    let agreements = bench.iter().flat_map(|bench| own.iter().flat_map(|table| agreements(table, bench)));
    let figure = |name, title, drawn: Vec<Drawn>, notes: &[&str]| {
        (!drawn.is_empty()).then(|| Figure::new(name, title, drawn, notes.iter().map(ToString::to_string).collect()))
    };
    let all = [
        figure(
            "table-incumbents",
            "Searches of tables: test accuracy of the incumbent",
            groups.iter().map(|g| incumbents(g, claims, paper)).collect(),
            &[
                "The incumbent is the architecture with the best score so far. Its test accuracy is looked up after the search, which never sees it. Lines: mean over the seeds; bands: from the tenth to the ninetieth percentile of the seeds.",
                "Large marks at the budget: numbers that papers reported for the same table, data set and budget, hollow where they could not be confirmed; error bars: their standard deviation.",
                "Simulated seconds are what the trainings took on the device of the table, not what this program took.",
            ],
        ),
        figure(
            "table-regret",
            "Searches of tables: regret",
            groups.iter().map(|g| regret(g, paper)).collect(),
            &["Regret: best test accuracy of the table less the mean test accuracy of the incumbents, in percentage points."],
        ),
        figure(
            "table-seeds",
            "Searches of tables: the seeds",
            groups.iter().map(|g| seeds_sorted(g, paper)).collect(),
            &["One point per seed: the test accuracy of what its search found, sorted."],
        ),
        figure(
            "table-schedules",
            "Short and long schedules of the tables",
            tables.iter().flat_map(|table| ranks(table)).map(|rank| schedules(&rank, paper)).collect(),
            &[
                "Rows of the table: the validation accuracy after the short schedule, which a search is told, against the test accuracy after the long one, which is looked up. Coefficients are those of all rows.",
            ],
        ),
        figure(
            "table-agreement",
            "The same cells on other images",
            agreements.map(|of| agreement(&of, paper)).collect(),
            &[
                "One point per class of cells: the test accuracy of its simplest cell in NAS-Bench-201 and in the table that was trained by this program, each after its longest schedule. Coefficients are those of all classes.",
            ],
        ),
    ];
    all.into_iter().flatten().collect()
}

/// The tables that were searched, each once.
fn searched(studies: &[Study]) -> Vec<&Table> {
    let mut tables: Vec<&Table> = studies.iter().filter_map(|study| study.table.as_deref()).collect();
    // The studies of a table stand together.
    tables.dedup_by(|a, b| std::ptr::eq(*a, *b));
    tables
}

fn across(group: &Group) -> &'static str {
    if group.members.iter().all(|m| m.2.timed) { "simulated seconds spent on trainings (log scale)" } else { "trainings (log scale)" }
}

fn seeds(study: &Study) -> String {
    format!("{}, {} seeds", study.manifest.name(), show_count(study.report.seeds.len() as u64))
}

/// Draws the line of a study, and a mark at its end.
fn line(panel: &mut Panel, study: &Study, look: Look, points: &[(f64, f64)], tip: String) {
    let from = panel.drawn();
    panel.path(look, points.iter().copied(), 2.0);
    let (end, radius) = (points.last().and_then(|p| panel.at(*p)), panel.of(3.5));
    end.into_iter().for_each(|at| marker(&mut panel.scene, look, at, radius, true));
    panel.group(from, About::tip(&study.manifest.name(), format!("{}: {tip}", seeds(study))));
    panel.entries.push(Entry { radius: 3.5, lined: true, ..Entry::of(&study.manifest.name(), look, format!("{}: {tip}", seeds(study))) });
}

/// What a panel shows in words.
fn told(group: &Group, what: &str, results: impl Fn(&Study, &Curve) -> String) -> String {
    let list: Vec<String> =
        group.members.iter().map(|(study, _, curve)| format!("{} {}", study.manifest.name(), results(study, curve))).collect();
    format!("{what}, {}: {}", group.title, list.join(", "))
}

/// Test accuracy of the incumbent against simulated time.
fn incumbents(group: &Group, claims: &[Claim], paper: Paper) -> Drawn {
    let curves = || group.members.iter().map(|m| &m.2);
    let mut reported: Vec<(&Study, Look, &Curve, &Claim)> = Vec::new();
    for (study, look, curve) in &group.members {
        // One number may stand beside several studies, where the paper does not say all settings.
        let claim = reported_test(study, claims).filter(|c| !reported.iter().any(|(.., other)| std::ptr::eq(*other, *c)));
        reported.extend(claim.map(|c| (*study, *look, curve, c)));
    }
    let of_claims = reported.iter().filter_map(|(.., c)| c.value);
    let heights = curves().flat_map(|c| c.mean.iter().chain(&c.band[1]).copied().chain([c.best])).chain(of_claims);
    // What lies far below the means at the start is cut off: the end is what matters.
    let floor = curves().filter_map(|c| c.mean.first().copied()).fold(f64::INFINITY, f64::min);
    let x = Axis::log(curves().flat_map(|c| c.at.iter().copied()));
    let titles = [&*group.title, across(group), "test accuracy of the incumbent (%)"];
    let mut panel = Panel::new(paper, 0.66, x, Axis::percent(heights.filter(|h| *h >= floor)), titles);
    let points = |at: &[f64], values: &[f64]| at.iter().copied().zip(values.iter().copied()).collect::<Vec<_>>();
    curves().take(1).for_each(|c| panel.reference(NEUTRAL, c.best, &format!("the best of the table, {:.2} %", c.best)));
    for (study, look, curve) in &group.members {
        let from = panel.drawn();
        panel.band(
            (look.colour, 0.24 / group.members.len() as f64),
            &points(&curve.at, &curve.band[0]),
            &points(&curve.at, &curve.band[1]),
        );
        panel.group(from, About::series(&study.manifest.name()));
    }
    for (study, look, curve) in &group.members {
        let last = curve.mean.last().copied().unwrap_or_default();
        line(&mut panel, study, *look, &points(&curve.at, &curve.mean), format!("mean {last:.2} % at the end"));
    }
    for (study, look, curve, claim) in reported {
        let (Some(value), Some(end)) = (claim.value, curve.at.last()) else { continue };
        let (confirmed, from) = (claim.status == Confirmation::Confirmed, panel.drawn());
        claim.spread.into_iter().for_each(|by| panel.whisker((*end, value - by), (*end, value + by), look.colour));
        let radius = panel.of(6.0);
        panel.at((*end, value)).into_iter().for_each(|at| marker(&mut panel.scene, look, at, radius, confirmed));
        let how = if confirmed { String::new() } else { format!(" ({})", claim.status.word()) };
        let words = format!("reported, {} {}: {}{how}", claim.method, claim.variant, claim.value_text().unwrap_or_default());
        let series = study.manifest.name();
        panel.group(from, About::tip(&series, format!("{words}; {}", claim.source)));
        panel.entries.push(Entry { radius: 5.5, filled: confirmed, ..Entry::of(&series, look, words) });
    }
    let end = |_: &Study, c: &Curve| format!("{:.2} %", c.mean.last().copied().unwrap_or_default());
    (group.title.clone(), panel, told(group, "Mean test accuracy of the incumbent at the end", end))
}

/// How far the mean is below the best of the table, on log axes.
fn regret(group: &Group, paper: Paper) -> Drawn {
    let of = |c: &Curve| c.at.iter().zip(&c.mean).map(|(x, y)| (*x, c.best - y)).collect::<Vec<_>>();
    let all: Vec<(f64, f64)> = group.members.iter().flat_map(|m| of(&m.2)).collect();
    let (x, y) = (Axis::log(all.iter().map(|p| p.0)), Axis::log(all.iter().map(|p| p.1).filter(|r| *r > 0.0)));
    let mut panel = Panel::new(paper, 0.66, x, y, [&group.title, across(group), "regret (points, log scale)"]);
    let end = |c: &Curve| format!("{:.2} points", of(c).last().map_or(f64::NAN, |p| p.1));
    for (study, look, curve) in &group.members {
        line(&mut panel, study, *look, &of(curve), format!("{} at the end", end(curve)));
    }
    (group.title.clone(), panel, told(group, "Regret at the end", |_, c| end(c)))
}

/// Test accuracies of the findings of all seeds, sorted.
fn seeds_sorted(group: &Group, paper: Paper) -> Drawn {
    let values = |study: &Study| {
        let mut values = study.searched().map(|set| study.looked_up(set, Part::Test)).unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values
    };
    let sorted = |study: &Study| {
        let (values, n) = (values(study), study.report.seeds.len().max(1) as f64);
        values.into_iter().enumerate().map(|(i, v)| (100.0 * (i as f64 + 0.5) / n, v)).collect::<Vec<_>>()
    };
    let all: Vec<f64> = group.members.iter().flat_map(|m| values(m.0)).collect();
    let titles = [&*group.title, "share of the seeds (%)", "test accuracy of the finding (%)"];
    let mut panel = Panel::new(paper, 0.66, Axis::from_zero([100.0], 100.0), Axis::percent(all), titles);
    let median = |study: &Study| {
        let v = values(study);
        format!("median {:.2} %", v.get(v.len() / 2).copied().unwrap_or(f64::NAN))
    };
    for (study, look, _) in &group.members {
        line(&mut panel, study, *look, &sorted(study), median(study));
    }
    (group.title.clone(), panel, told(group, "Test accuracy of the finding", |s, _| median(s)))
}

fn agreement(of: &Agreement, paper: Paper) -> Drawn {
    let title = format!("{}, {}, and NAS-Bench-201, {}", of.here[0], of.here[1], of.there);
    let axis = |table: &str, at: usize| format!("{table}, {}: test accuracy (%)", of.schedules[at].words());
    let (across, up) = (axis("NAS-Bench-201", 0), axis(&of.here[0], 1));
    let words = [format!("{} cells", show_count(of.pairs.len() as u64)), format!("Spearman {}", coefficient(of.spearman))];
    cloud(paper, [&title, &across, &up], &of.pairs, &words)
}

fn schedules(rank: &Rank, paper: Paper) -> Drawn {
    let title = format!("{}: {}", rank.table, rank.set);
    let [across, up] = [format!("validation accuracy, {} (%)", rank.short.words()), format!("test accuracy, {} (%)", rank.long.words())];
    let [pearson, spearman, kendall] = rank.all.map(coefficient);
    let words = [
        format!("{} {}", show_count(rank.pairs.len() as u64), rank.rows),
        format!("Spearman {spearman}, Kendall {kendall}, Pearson {pearson}"),
        format!("Spearman of the best tenth {}", coefficient(rank.best_tenth)),
    ];
    cloud(paper, [&title, &across, &up], &rank.pairs, &words)
}

/// One point for each pair of accuracies.
fn cloud(paper: Paper, texts: [&str; 3], pairs: &[(f64, f64)], words: &[String]) -> Drawn {
    let axes = (Axis::percent(pairs.iter().map(|p| p.0)), Axis::percent(pairs.iter().map(|p| p.1)));
    let mut panel = Panel::new(paper, 0.8, axes.0, axes.1, texts);
    panel.marks(NEUTRAL, pairs.iter().copied(), 1.4, true);
    panel.entries.extend(words.iter().map(|words| Entry::note(NEUTRAL, words)));
    (texts[0].into(), panel, format!("{}: {}", texts[0], words.join(", ")))
}

fn coefficient(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.3}").replace('-', "\u{2212}"))
}
