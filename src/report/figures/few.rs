//! What a figure can hold: of many areas, groups, curves and points it shows as many as can be told apart, and says how many it leaves out.

use super::scene::Point;
use super::series::{Experiment, experiments};
use crate::report::frame::Row;
use crate::units::show_count;
use std::collections::BTreeSet;

/// Areas of a figure that shows groups side by side.
const AREAS: usize = 12;
/// Groups in an area.
const GROUPS: usize = 24;
/// Areas of a figure that gives each group an area of its own.
pub const OWN_AREAS: usize = 24;
/// Marks of single runs or trials in a figure.
const MARKS: usize = 4000;
/// Curves in a figure, and of one group.
const CURVES: (usize, usize) = (240, 24);

/// The experiments that a figure shows, and a note where there are more.
pub struct Few<'a> {
    /// The first ones by name.
    pub groups: Vec<Experiment<'a>>,
    /// How many there are.
    pub notes: Vec<String>,
}

impl<'a> Few<'a> {
    /// Of these runs.
    pub fn of(rows: &'a [Row]) -> Self {
        let mut groups = experiments(rows);
        let mut notes: Vec<String> = note("areas", AREAS, groups.len()).into_iter().collect();
        groups.truncate(AREAS);
        let most = groups.iter().map(|g| g.series.len()).max().unwrap_or(0);
        notes.extend(note("groups of an area", GROUPS, most));
        groups.iter_mut().for_each(|g| g.series.truncate(GROUPS));
        Self { groups, notes }
    }

    fn series(&self) -> usize {
        self.groups.iter().map(|g| g.series.len()).sum()
    }

    /// Marks that each group may have.
    pub fn marks(&self) -> usize {
        (MARKS / self.series().max(1)).max(1)
    }

    /// Curves that each group may have.
    pub fn curves(&self) -> usize {
        (CURVES.0 / self.series().max(1)).clamp(1, CURVES.1)
    }
}

/// What is not drawn, if something is not.
pub fn note(what: &str, drawn: usize, there: usize) -> Option<String> {
    let words = |n| show_count(n as u64);
    (there > drawn).then(|| format!("Drawn are the first {} of {} {what}; the CSV files have all.", words(drawn), words(there)))
}

/// At most `most` of the points: of those that lie close together the first.
pub fn thin(mut points: Vec<Point>, most: usize) -> Vec<Point> {
    let mut cell = 1.0;
    while points.len() > most.max(1) {
        let mut taken = BTreeSet::new();
        points.retain(|(x, y)| taken.insert(((x / cell).floor() as i64, (y / cell).floor() as i64)));
        cell *= 2.0;
    }
    points
}

/// A path that looks the same with at most four points in a column of pixels: the first, the lowest, the highest and the last.
pub fn condense(path: &[Point]) -> Vec<Point> {
    let mut out = Vec::new();
    for column in path.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let by = |i: &usize, j: &usize| column[*i].1.total_cmp(&column[*j].1);
        let low = (0..column.len()).min_by(by).unwrap_or(0);
        let high = (0..column.len()).max_by(by).unwrap_or(0);
        let kept = BTreeSet::from([0, low, high, column.len() - 1]);
        out.extend(kept.into_iter().map(|i| column[i]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_thinned_to_a_number_and_stay_where_they_were() {
        let all: Vec<Point> = (0..1000).map(|i| (f64::from(i % 40), f64::from(i / 40))).collect();
        for most in [0, 1, 7, 300, 1000] {
            let few = thin(all.clone(), most);
            assert!(few.len() <= most.max(1) && !few.is_empty() && few.iter().all(|p| all.contains(p)), "{most}: {}", few.len());
        }
        assert_eq!(thin(all.clone(), 1000), all);
        assert_eq!(thin(vec![(3.0, 3.0); 50], 10), [(3.0, 3.0)]);
    }

    #[test]
    fn a_condensed_path_keeps_its_ends_and_extremes() {
        let path: Vec<Point> = (0..10_000).map(|i| (f64::from(i) / 100.0, (f64::from(i) * 0.7).sin())).collect();
        let few = condense(&path);
        assert!(few.len() <= 400 && few[0] == path[0] && few.last() == path.last(), "{}", few.len());
        let extreme = |p: &[Point]| p.iter().fold((9.0f64, -9.0f64), |(l, h), q| (l.min(q.1), h.max(q.1)));
        assert_eq!(extreme(&few), extreme(&path));
        assert_eq!(condense(&path[..1]), path[..1]);
        assert_eq!(condense(&[]), []);
    }
}
