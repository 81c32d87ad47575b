//! What a figure can hold: of many panels, groups, curves and points it shows as many as can be told apart, and says how many it leaves out, and
//! what it cannot show.

use super::series::{Experiment, Series, experiments};
use crate::plot::{Paper, fitted};
use crate::report::load::Run;
use crate::units::show_count;
use std::collections::BTreeMap;

/// Groups that a note names; of more only the number is told.
const NAMED: usize = 8;
/// Data sets, presets and devices of a figure.
const PANELS: usize = 12;
/// Groups in a panel.
const GROUPS: usize = 24;

/// The experiments that a figure shows, and a note where there are more.
pub struct Few<'a> {
    /// The first ones by name.
    pub groups: Vec<Experiment<'a>>,
    /// How many there are.
    notes: Vec<String>,
}

impl<'a> Few<'a> {
    /// Of these runs.
    pub fn of(rows: &'a [Run]) -> Self {
        let mut groups = experiments(rows);
        let mut notes: Vec<String> = note("panels", PANELS, groups.len()).into_iter().collect();
        groups.truncate(PANELS);
        let most = groups.iter().map(|g| g.series.len()).max().unwrap_or(0);
        notes.extend(note("groups of a panel", GROUPS, most));
        groups.iter_mut().for_each(|g| g.series.truncate(GROUPS));
        notes.extend(groups.is_empty().then(|| "There is no finished run.".to_string()));
        Self { groups, notes }
    }

    /// These notes, and how many there are.
    pub fn with(&self, notes: Vec<String>) -> Vec<String> {
        [notes, self.notes.clone()].concat()
    }

    /// All groups, each with its panel.
    pub fn all(&self) -> impl Iterator<Item = (&Experiment<'a>, &Series<'a>)> {
        self.groups.iter().flat_map(|g| g.series.iter().map(move |s| (g, s)))
    }

    /// One note for each reason that `why` gives for some runs, naming their groups: `Not shown, no final score: darts on digits (1 of 3).`
    pub fn missing(&self, what: &str, why: impl Fn(&Run) -> Option<String>) -> Vec<String> {
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let cut = |words: &str| fitted(words, Paper::SCREEN.text, false, 260.0);
        for (group, series) in self.all() {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            series.rows.iter().filter_map(|r| why(r)).for_each(|reason| *counts.entry(reason).or_default() += 1);
            let name = format!("{} on {}", cut(&series.name), cut(group.dataset));
            let words = |n| format!("{name} ({} of {})", show_count(n), show_count(series.rows.len() as u64));
            counts.into_iter().for_each(|(reason, n)| reasons.entry(reason).or_default().push(words(n)));
        }
        reasons.into_iter().map(|(reason, names)| format!("{what}, {reason}: {}.", listed(&names))).collect()
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names[..names.len() - more].join(", ");
    if more > 0 { format!("{named} and {} more", show_count(more as u64)) } else { named }
}

/// What is not drawn, if something is not.
pub fn note(what: &str, drawn: usize, there: usize) -> Option<String> {
    let words = |n| show_count(n as u64);
    (there > drawn).then(|| format!("Drawn are the first {} of {} {what}; the CSV files have all.", words(drawn), words(there)))
}
