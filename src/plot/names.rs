//! Names beside marks, where they cover nothing.

use super::panel::Panel;
use super::render::text_width;
use super::scene::{Align, FAINT, Frame, INK, Point};

/// Writes the names of marks beside them, within the axes, where they cover neither what is `taken` nor each other; a thin line leads to a mark that its
/// name does not stand beside.
pub fn label(panel: &mut Panel, mut names: Vec<(String, Point)>, mut taken: Vec<Frame>) {
    let (size, within, of) = (panel.paper.small(), panel.frame, |pixels| panel.paper.of(pixels));
    // From top to bottom, so that names stand in the order of their marks.
    names.sort_by(|a, b| a.1.1.total_cmp(&b.1.1).then(a.0.cmp(&b.0)));
    let mut written = Vec::new();
    for (words, at) in names {
        let width = text_width(&words, size, false);
        let inside = |f: &Frame| f.y0 > within.y0 && f.y1 < within.y1 && f.x0 > within.x0 + of(2.0) && f.x1 < within.x1 - of(2.0);
        let free = |f: &Frame| inside(f) && !taken.iter().any(|t| t.overlaps(f));
        let spots = || places().map(|(dx, dy)| beside(at, (of(dx), of(dy)), width, size));
        let Some(spot) = spots().find(free).or_else(|| spots().find(inside)) else { continue };
        taken.push(spot);
        written.push((words, at, spot));
    }
    let (near, apart, thin) = (of(2.0), of(16.5), of(0.8).max(0.7));
    for (words, at, spot) in written {
        let middle = (spot.y0 + spot.y1) / 2.0;
        if (middle - at.1).abs() > apart {
            let beside = at.0 < spot.x0 || at.0 > spot.x1;
            let edge = if spot.y0 > at.1 { spot.y0 } else { spot.y1 };
            let end = (at.0.clamp(spot.x0 - near, spot.x1 + near), if beside { middle } else { edge });
            panel.scene.line(vec![at, end], thin, FAINT);
        }
        panel.scene.text(words, (spot.x0, middle + 0.35 * size), size, Align::Left, INK);
    }
}

/// Where a name may stand relative to its mark, the best first.
fn places() -> impl Iterator<Item = Point> {
    /// Distance from the middle of a mark to its name.
    const APART: f64 = 11.0;
    let beside = [(APART, 0.0), (-APART, 0.0), (0.0, -15.0), (0.0, 16.0)];
    let further = (1..24).flat_map(|k| {
        let (out, up) = (APART + 2.0 * f64::from(k), 9.0 * f64::from(k));
        [(out, -up), (-out, -up), (out, up), (-out, up), (0.0, up), (0.0, -up)]
    });
    beside.into_iter().chain(further)
}

/// The space of a name `width` wide.
fn beside(at: Point, (dx, dy): Point, width: f64, size: f64) -> Frame {
    // Begins at a place to the right, ends at one to the left.
    let x0 = at.0 + dx - width * (0.5 - dx.clamp(-0.5, 0.5));
    Frame { x0, y0: at.1 + dy - 0.6 * size, x1: x0 + width, y1: at.1 + dy + 0.6 * size }
}
