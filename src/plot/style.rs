//! Colour and shape of marks and lines. Methods bring their own; the others are mostly those of Okabe and Ito, told apart by colour-blind
//! readers and dark enough for white paper, and shapes tell things apart in grey print.

use super::scene::{Colour, FAINT, GRID, INK, Mark as Drawn, PAPER, Point, Scene, polar};
use crate::record::{Mark, Shape};

/// Colours of lines and marks, each with its partner on a dark page.
const LINES: [(u32, u32); 9] = [
    (0xD55E00, 0xF28A3C),
    (0x0072B2, 0x3D9BE0),
    (0x009E73, 0x2FC79A),
    (0xCC79A7, 0xE59CC6),
    (0xB87D00, 0xE6A93A),
    (0x338FC4, 0x7CCBF5),
    (0x7A5C3A, 0xC9A27A),
    (0x333333, 0xD0D0D0),
    (0x777777, 0x9A9A9A),
];
/// Text, then what is no text: grid and page.
const GROUND: [(Colour, u32); 4] = [(INK, 0xE6E6E6), (FAINT, 0xA8A8A8), (GRID, 0x3A3D42), (PAPER, 0x17191C)];
/// Colours of phases in the order in which they run, which differ from their neighbours in grey print too.
const PHASES: [(u32, u32); 5] =
    [(0x002640, 0x2B78B5), (0xA34700, 0xE07020), (0x338FC4, 0x7CCBF5), (0x4B4B4B, 0x757575), (0x949494, 0xC4C4C4)];

/// Every colour of charts and cells, each with its partner on a dark page.
pub fn palette() -> Vec<(Colour, Colour)> {
    let ground = GROUND.into_iter().map(|(light, dark)| (light, Colour::of(dark)));
    let mut all: Vec<_> = ground.chain(LINES.into_iter().chain(PHASES).map(|(a, b)| (Colour::of(a), Colour::of(b)))).collect();
    all.sort();
    all.dedup();
    all
}

/// Colour of the lines that leave `state`.
pub fn colour(state: usize) -> Colour {
    Colour::of(LINES[state % (LINES.len() - 2)].0)
}

/// Colour of the phase with this number.
pub fn phase_colour(phase: usize) -> Colour {
    Colour::of(PHASES[phase % PHASES.len()].0)
}

/// Colours of classes, background left out: those of Okabe and Ito, the first two light and dark for grey print, then some
/// of Tol's and two more.
const CLASSES: [u32; 12] =
    [0xE69F00, 0x0072B2, 0xCC79A7, 0x009E73, 0xF0E442, 0x56B4E9, 0xD55E00, 0x882255, 0x999933, 0x6A3D9A, 0xFFFFFF, 0x661100];

/// Colour of a class of a mask; class 0 is the background.
pub fn class_colour(class: usize) -> Colour {
    Colour::of(CLASSES[class.wrapping_sub(1) % CLASSES.len()])
}

/// All shapes, round ones and crosses apart.
const SHAPES: [Shape; 8] =
    [Shape::Circle, Shape::Square, Shape::Diamond, Shape::Triangle, Shape::Wedge, Shape::Star, Shape::Cross, Shape::Plus];

/// How a method looks in all figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Of marks and lines.
    pub colour: Colour,
    /// Of marks.
    pub shape: Shape,
    /// Lines are dashed.
    pub dashed: bool,
}

/// What stands for a method that nothing is known of but its name.
pub const NEUTRAL: Look = Look { colour: Colour(0x77, 0x77, 0x77), shape: Shape::Circle, dashed: true };

impl From<Mark> for Look {
    /// The colour is the nearest of the palette, so that it has a partner on a dark page.
    fn from(mark: Mark) -> Self {
        let far = |c: Colour| [c.0, c.1, c.2].into_iter().zip(mark.colour).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>();
        let colour = LINES.iter().map(|(light, _)| Colour::of(*light)).min_by_key(|c| far(*c));
        Self { colour: colour.unwrap_or(INK), shape: mark.shape, dashed: mark.dashed }
    }
}

impl Look {
    /// The look of another group of the same method: another shape.
    pub fn other(self, nth: usize) -> Self {
        let at = SHAPES.iter().position(|s| *s == self.shape).unwrap_or(0);
        Self { shape: SHAPES[(at + nth) % SHAPES.len()], ..self }
    }
}

/// A line of this look.
pub fn stroke(scene: &mut Scene, look: Look, path: Vec<Point>, width: f64, dash: f64) {
    scene.dashes(path, width, look.colour, if look.dashed { dash } else { 0.0 });
}

/// A marker of about `radius` pixels, filled, or hollow so that what is below it is seen.
pub fn marker(scene: &mut Scene, look: Look, at: Point, radius: f64, filled: bool) {
    let edge = (0.22 * radius).max(0.8);
    let points = outline(look.shape, at, radius);
    match (filled, look.shape) {
        (true, Shape::Circle) => scene.disc(at, radius + edge / 2.0, look.colour),
        (true, _) => scene.area(points, look.colour),
        (false, _) => scene.marks.push(Drawn::Area { points, colour: PAPER, opacity: 0.4, edge: Some((look.colour, edge)) }),
    }
}

fn outline(shape: Shape, (x, y): Point, r: f64) -> Vec<Point> {
    let regular = |n: u32, from: f64, r: f64| (0..n).map(move |i| polar(x, y, r, from + 360.0 / f64::from(n) * f64::from(i)));
    let cross = |turn: f64| {
        let (arm, half) = (r, 0.3 * r);
        let corners = [(arm, -half), (arm, half), (half, half)];
        let quarter =
            move |k: u32| corners.map(|(a, b)| polar(x, y, f64::hypot(a, b), b.atan2(a).to_degrees() + 90.0 * f64::from(k) + turn));
        (0..4).flat_map(quarter).collect()
    };
    match shape {
        Shape::Circle => regular(18, 0.0, r).collect(),
        Shape::Square => regular(4, 45.0, 1.25 * r).collect(),
        Shape::Diamond => regular(4, 0.0, 1.25 * r).collect(),
        Shape::Triangle => regular(3, -90.0, 1.3 * r).collect(),
        Shape::Wedge => regular(3, 90.0, 1.3 * r).collect(),
        Shape::Star => (0..10).map(|i| polar(x, y, if i % 2 == 0 { 1.4 * r } else { 0.62 * r }, -90.0 + 36.0 * f64::from(i))).collect(),
        Shape::Cross => cross(45.0),
        Shape::Plus => cross(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_one_method_look_different() {
        let looks: Vec<Look> = (0..8).map(|n| NEUTRAL.other(n)).collect();
        assert_eq!(looks[0], NEUTRAL);
        for (i, a) in looks.iter().enumerate() {
            assert!(!looks[i + 1..].iter().any(|b| a.shape == b.shape));
        }
    }

    /// Contrast of two colours as the Web Content Accessibility Guidelines define it.
    fn contrast(a: Colour, b: Colour) -> f64 {
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        let light = |c: Colour| 0.05 + 0.2126 * linear(c.0) + 0.7152 * linear(c.1) + 0.0722 * linear(c.2);
        let (a, b) = (light(a), light(b));
        a.max(b) / a.min(b)
    }

    #[test]
    fn marks_and_text_stand_out_on_white_and_on_dark_paper() {
        assert!((contrast(Colour(0, 0, 0), PAPER) - 21.0).abs() < 1e-9);
        let dark = Colour::of(GROUND[3].1);
        for (light, partner) in palette().into_iter().filter(|(c, _)| ![GRID, PAPER].contains(c)) {
            let least = if [INK, FAINT].contains(&light) { 4.5 } else { 3.0 };
            assert!(contrast(light, PAPER) >= least, "{light:?}: {}", contrast(light, PAPER));
            assert!(contrast(partner, dark) >= least, "{partner:?}: {}", contrast(partner, dark));
        }
        let all = palette();
        for (i, (light, partner)) in all.iter().enumerate() {
            assert!(!all[i + 1..].iter().any(|(a, b)| a == light || b == partner), "{light:?} is no one else");
        }
    }

    #[test]
    fn any_colour_that_a_method_declares_becomes_one_of_the_palette() {
        for colour in [[0xE6, 0x9F, 0x00], [0x56, 0xB4, 0xE9], [0, 0, 0], [255, 255, 255]] {
            let look = Look::from(Mark { colour, shape: Shape::Star, dashed: false });
            assert!(palette().iter().any(|(light, _)| *light == look.colour));
        }
        let [orange, sky] = [[0xE6, 0x9F, 0x00], [0x56, 0xB4, 0xE9]].map(|colour| Look::from(Mark { colour, ..Mark::default() }).colour);
        assert_eq!((orange, sky), (Colour::of(0xB87D00), Colour::of(0x338FC4)));
    }

    #[test]
    fn neighbouring_phases_differ_in_grey_print() {
        let grey = |c: Colour| 0.299 * f64::from(c.0) + 0.587 * f64::from(c.1) + 0.114 * f64::from(c.2);
        for of in [|p: &(u32, u32)| p.0, |p: &(u32, u32)| p.1] {
            let greys = PHASES.iter().map(|p| grey(Colour::of(of(p)))).collect::<Vec<_>>();
            assert!(greys.windows(2).all(|pair| (pair[0] - pair[1]).abs() > 19.0), "{greys:?}");
        }
    }
}
