//! Names beside marks, where they cover nothing.

use super::panel::{RIGHT, TEXT};
use super::render::text_width;
use super::scene::{Align, FAINT, Frame, INK, Point, Scene};

/// Distance from the middle of a mark to its name.
const APART: f64 = 11.0;

/// Writes the names of marks beside them, where they cover neither what is `taken` nor each other; a thin line leads to a mark that its
/// name does not stand beside.
pub fn label(scene: &mut Scene, mut names: Vec<(&str, Point)>, within: Frame, mut taken: Vec<Frame>) {
    // From top to bottom, so that names stand in the order of their marks.
    names.sort_by(|a, b| a.1.1.total_cmp(&b.1.1).then(a.0.cmp(b.0)));
    for (words, at) in names {
        let width = text_width(words, TEXT, false);
        let upright = |f: &Frame| f.y0 > within.y0 - 8.0 && f.y1 < within.y1;
        let level = |f: &Frame| f.x0 > within.x0 + 2.0 && f.x1 < within.x1 + RIGHT - 4.0;
        let free = |f: &Frame| upright(f) && level(f) && !taken.iter().any(|t| t.overlaps(f));
        let spot = places().map(|by| beside(at, by, width)).find(|f| free(f)).unwrap_or_else(|| beside(at, (APART, 0.0), width));
        let middle = (spot.y0 + spot.y1) / 2.0;
        if (middle - at.1).abs() > 16.5 {
            let near = if spot.x0 > at.0 { spot.x0 - 2.0 } else { spot.x1 + 2.0 };
            scene.line(vec![at, (near, middle)], 0.8, FAINT);
        }
        scene.text(words, (spot.x0, middle + 0.35 * TEXT), TEXT, Align::Left, INK);
        taken.push(spot);
    }
}

/// Where a name may stand relative to its mark, the best first.
fn places() -> impl Iterator<Item = Point> {
    let beside = [(APART, 0.0), (-APART, 0.0), (0.0, -15.0), (0.0, 16.0)];
    let further = (1..12).flat_map(|k| {
        let (out, up) = (APART + 2.0 * f64::from(k), 9.0 * f64::from(k));
        [(out, -up), (-out, -up), (out, up), (-out, up)]
    });
    beside.into_iter().chain(further)
}

/// The space of a name `width` wide.
fn beside(at: Point, (dx, dy): Point, width: f64) -> Frame {
    // Begins at a place to the right, ends at one to the left.
    let x0 = at.0 + dx - width * (0.5 - dx.clamp(-0.5, 0.5));
    Frame { x0, y0: at.1 + dy - 0.6 * TEXT, x1: x0 + width, y1: at.1 + dy + 0.6 * TEXT }
}
