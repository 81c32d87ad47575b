//! Colour and shape of marks and lines. Methods bring their own; the others are mostly those of Okabe and Ito, told apart by colour-blind
//! readers, and shapes tell things apart in grey print.

use super::scene::{Colour, INK, PAPER, Point, Scene, polar};
use crate::record::{Mark, Shape};

/// Colours of lines by the state that they leave.
const LINES: [u32; 8] = [0xD55E00, 0x0072B2, 0x009E73, 0xB04F86, 0xB87D00, 0x338FC4, 0x555555, 0x7A5C3A];

/// Colour of the lines that leave `state`.
pub fn colour(state: usize) -> Colour {
    Colour::of(LINES[state % LINES.len()])
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
    fn from(mark: Mark) -> Self {
        let [red, green, blue] = mark.colour;
        Self { colour: Colour(red, green, blue), shape: mark.shape, dashed: mark.dashed }
    }
}

impl Look {
    /// The look of another group of the same method: another shape, and darker.
    pub fn other(self, nth: usize) -> Self {
        let at = SHAPES.iter().position(|s| *s == self.shape).unwrap_or(0);
        let colour = if nth == 0 { self.colour } else { self.colour.mixed(INK, 0.4) };
        Self { colour, shape: SHAPES[(at + nth) % SHAPES.len()], ..self }
    }
}

/// A line of this look.
pub fn stroke(scene: &mut Scene, look: Look, path: &[Point], width: f64, dash: f64) {
    if look.dashed {
        scene.dashes(path, width, look.colour, dash);
    } else {
        scene.line(path.to_vec(), width, look.colour);
    }
}

/// A marker of about `radius` pixels, filled or hollow.
pub fn marker(scene: &mut Scene, look: Look, at: Point, radius: f64, filled: bool) {
    let mut outline = outline(look.shape, at, radius);
    scene.area(outline.clone(), if filled { look.colour } else { PAPER });
    outline.push(outline[0]);
    scene.line(outline, 1.3, look.colour);
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
        Shape::Circle => regular(32, 0.0, r).collect(),
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
}
