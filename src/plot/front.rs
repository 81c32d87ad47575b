//! The Pareto front: what no other point beats in both directions.

use super::panel::{Entry, Panel};
use super::scene::{INK, Point};
use super::style::{Look, NEUTRAL};

/// The points for which no other is at most as far right and at least as high, and better in one; from left to right. Of equal points one.
pub fn front(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|(_, y)| {
        let better = *y > best;
        best = best.max(*y);
        better
    });
    sorted
}

/// Draws the front, given from left to right, as steps, on to the right end of the plot: the best that is to be had up to there. Returns its path;
/// nothing of fewer than two points.
pub fn draw_front(panel: &mut Panel, front: &[(f64, f64)], words: &str) -> Vec<Point> {
    let mut path: Vec<Point> = Vec::new();
    if front.len() < 2 {
        return path;
    }
    for at in front.iter().filter_map(|p| panel.at(*p)) {
        path.extend(path.last().copied().map(|last| (at.0, last.1)));
        path.push(at);
    }
    path.extend(path.last().copied().map(|last| (panel.frame.x1, last.1)));
    let (width, dash) = (panel.of(1.3), panel.of(3.0));
    panel.scene.dashes(path.clone(), width, INK, dash);
    panel.entries.push(Entry::line("", Look { colour: INK, ..NEUTRAL }, words));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, point against point.
    fn by_definition(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let beats = |a: &(f64, f64), b: &(f64, f64)| a.0 <= b.0 && a.1 >= b.1 && a != b;
        let mut kept: Vec<(f64, f64)> = points.iter().filter(|p| !points.iter().any(|q| beats(q, p))).copied().collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.dedup();
        kept
    }

    #[test]
    fn no_point_of_the_front_is_beaten_and_every_other_one_is() {
        assert_eq!(front(&[(1.0, 90.0), (2.0, 95.0), (3.0, 93.0), (2.0, 91.0), (4.0, 95.0)]), [(1.0, 90.0), (2.0, 95.0)]);
        assert_eq!(front(&[]), []);
        assert_eq!(front(&[(f64::NAN, 99.0), (1.0, f64::NAN), (0.0, 50.0)]), [(0.0, 50.0)]);
        // All points of a small grid in a scrambled order, some twice.
        let scrambled: Vec<(f64, f64)> = (0..60u32).map(|i| (f64::from(i * 37 % 11), f64::from(i * 53 % 17))).collect();
        for n in 1..scrambled.len() {
            assert_eq!(front(&scrambled[..n]), by_definition(&scrambled[..n]), "{n}");
        }
    }
}
