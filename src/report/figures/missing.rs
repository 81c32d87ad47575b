//! Names what a figure cannot show, and why.

use super::panel::TEXT;
use super::series::{Experiment, Series};
use super::words::fitted;
use crate::report::frame::Row;
use crate::units::show_count;
use std::collections::BTreeMap;

/// Groups that are named; of more only the number is told.
const NAMED: usize = 8;

/// One note for each reason that `why` gives for some runs, naming their groups: `Not shown, no final score: darts (1 of 3 runs).`
pub fn missing<'a>(
    what: &str,
    series: impl Iterator<Item = (&'a Experiment<'a>, &'a Series<'a>)>,
    why: impl Fn(&Row) -> Option<String>,
) -> Vec<String> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (group, series) in series {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        series.rows.iter().filter_map(|r| why(r)).for_each(|reason| *counts.entry(reason).or_default() += 1);
        for (reason, n) in counts {
            reasons.entry(reason).or_default().push(format!("{} ({})", of(group, series), share(n, series.rows.len())));
        }
    }
    reasons.into_iter().map(|(reason, names)| format!("{what}, {reason}: {}.", listed(&names))).collect()
}

/// Group and where it stands, cut if it is very long.
fn of(group: &Experiment, series: &Series) -> String {
    let name = |words: &str| fitted(words, TEXT, false, 180.0);
    format!("{} on {}", name(&series.name), name(group.dataset))
}

fn share(n: usize, all: usize) -> String {
    match (n, all) {
        (1, 1) => "its run".into(),
        (n, all) if n == all => format!("all {} runs", show_count(all as u64)),
        _ => format!("{} of {} runs", show_count(n as u64), show_count(all as u64)),
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names[..names.len() - more].join(", ");
    if more > 0 { format!("{named} and {} more", show_count(more as u64)) } else { named }
}
