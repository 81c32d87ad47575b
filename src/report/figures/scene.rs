//! A page of marks, in pixels of a 96-dpi screen with the origin at the top left.

#[cfg(test)]
use super::render::text_width;

/// x to the right, y down.
pub type Point = (f64, f64);

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

/// Text and frames.
pub const INK: Colour = Colour(0x22, 0x22, 0x22);
/// Less important text.
pub const FAINT: Colour = Colour(0x5A, 0x5A, 0x5A);
/// Grid lines.
pub const GRID: Colour = Colour(0xDD, 0xDD, 0xDD);
/// The page.
pub const PAPER: Colour = Colour(0xFF, 0xFF, 0xFF);

impl Colour {
    /// From six hexadecimal digits.
    pub const fn of(hex: u32) -> Self {
        Self((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
    }

    /// Mixed with white: 0 stays, 1 is white.
    pub fn lighter(self, by: f64) -> Self {
        self.mixed(PAPER, by)
    }

    /// Mixed with another: 0 stays, 1 is the other.
    pub fn mixed(self, other: Self, by: f64) -> Self {
        let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * by).round() as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

/// Where a text stands relative to its anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Begins at it.
    Left,
    /// Is centred on it.
    Centre,
    /// Ends at it.
    Right,
}

/// A line of text; `at` is on its baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Anchor.
    pub at: Point,
    /// The words.
    pub words: String,
    /// Em, pixels.
    pub size: f64,
    /// In bold.
    pub bold: bool,
    /// Relative to the anchor.
    pub align: Align,
    /// Of the letters.
    pub colour: Colour,
    /// Reads upwards.
    pub upward: bool,
}

/// An axis-parallel rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Left.
    pub x0: f64,
    /// Top.
    pub y0: f64,
    /// Right.
    pub x1: f64,
    /// Bottom.
    pub y1: f64,
}

impl Frame {
    /// Shares some area with `other`.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x0 < other.x1 && other.x0 < self.x1 && self.y0 < other.y1 && other.y0 < self.y1
    }
}

#[cfg(test)]
impl Text {
    /// The space the text takes, from cap height to descender.
    pub fn frame(&self) -> Frame {
        let width = text_width(&self.words, self.size, self.bold);
        let before = match self.align {
            Align::Left => 0.0,
            Align::Centre => width / 2.0,
            Align::Right => width,
        };
        let (x, y) = self.at;
        if self.upward {
            Frame { x0: x - 0.75 * self.size, x1: x + 0.2 * self.size, y0: y + before - width, y1: y + before }
        } else {
            Frame { x0: x - before, x1: x - before + width, y0: y - 0.75 * self.size, y1: y + 0.2 * self.size }
        }
    }
}

/// A picture of square pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Pixels in a row.
    pub columns: usize,
    /// Row after row.
    pub pixels: Vec<Colour>,
}

/// Something drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// An open path.
    Line {
        /// At least two.
        points: Vec<Point>,
        /// Pixels.
        width: f64,
        /// Of the stroke.
        colour: Colour,
    },
    /// A filled polygon.
    Area {
        /// At least three.
        points: Vec<Point>,
        /// Of the filling.
        colour: Colour,
    },
    /// A line of text.
    Text(Text),
    /// A picture.
    Picture {
        /// What.
        picture: Picture,
        /// Its top left corner.
        at: Point,
        /// Of a pixel of the picture.
        side: f64,
    },
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// What it shows, for those who cannot see it.
    pub title: String,
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
    /// In drawing order.
    pub marks: Vec<Mark>,
}

impl Scene {
    /// A white page.
    pub fn new(title: &str, width: f64, height: f64) -> Self {
        Self { title: title.into(), width, height, marks: Vec::new() }
    }

    /// An open path; with fewer than two points nothing is drawn.
    pub fn line(&mut self, points: Vec<Point>, width: f64, colour: Colour) {
        if points.len() > 1 {
            self.marks.push(Mark::Line { points, width, colour });
        }
    }

    /// A dashed path.
    pub fn dashes(&mut self, points: &[Point], width: f64, colour: Colour, dash: f64) {
        let mut left = dash;
        let mut drawing = true;
        let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let (mut from, to) = (pair[0], pair[1]);
            let mut length = (to.0 - from.0).hypot(to.1 - from.1);
            while length > left {
                let share = left / length;
                from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
                length -= left;
                piece.push(from);
                let whole = std::mem::replace(&mut piece, vec![from]);
                if drawing {
                    self.line(whole, width, colour);
                }
                drawing = !drawing;
                left = dash;
            }
            left -= length;
            piece.push(to);
        }
        if drawing {
            self.line(piece, width, colour);
        }
    }

    /// A filled polygon.
    pub fn area(&mut self, points: Vec<Point>, colour: Colour) {
        self.marks.push(Mark::Area { points, colour });
    }

    /// A rectangle with round corners, filled and framed.
    pub fn pill(&mut self, frame: Frame, radius: f64, fill: Colour, stroke: Colour, width: f64) {
        let corner = |cx: f64, cy: f64, from: f64| (0..=6).map(move |i| polar(cx, cy, radius, from + 15.0 * f64::from(i)));
        let mut points: Vec<Point> = corner(frame.x1 - radius, frame.y0 + radius, -90.0)
            .chain(corner(frame.x1 - radius, frame.y1 - radius, 0.0))
            .chain(corner(frame.x0 + radius, frame.y1 - radius, 90.0))
            .chain(corner(frame.x0 + radius, frame.y0 + radius, 180.0))
            .collect();
        self.area(points.clone(), fill);
        points.push(points[0]);
        self.line(points, width, stroke);
    }

    /// A text with its baseline at `at`.
    pub fn text(&mut self, words: impl Into<String>, at: Point, size: f64, align: Align, colour: Colour) {
        self.marks.push(Mark::Text(Text { at, words: words.into(), size, bold: false, align, colour, upward: false }));
    }

    /// A bold text.
    pub fn bold(&mut self, words: impl Into<String>, at: Point, size: f64, align: Align, colour: Colour) {
        self.marks.push(Mark::Text(Text { at, words: words.into(), size, bold: true, align, colour, upward: false }));
    }

    /// A text that reads upwards, centred on `at`.
    pub fn upward(&mut self, words: impl Into<String>, at: Point, size: f64, colour: Colour) {
        self.marks.push(Mark::Text(Text { at, words: words.into(), size, bold: false, align: Align::Centre, colour, upward: true }));
    }

    /// Puts another page on this one with its top left corner at `at`.
    pub fn place(&mut self, other: Self, at: Point) {
        let moved = |points: Vec<Point>| points.into_iter().map(|(x, y)| (x + at.0, y + at.1)).collect();
        self.marks.extend(other.marks.into_iter().map(|mark| match mark {
            Mark::Line { points, width, colour } => Mark::Line { points: moved(points), width, colour },
            Mark::Area { points, colour } => Mark::Area { points: moved(points), colour },
            Mark::Text(t) => Mark::Text(Text { at: (t.at.0 + at.0, t.at.1 + at.1), ..t }),
            Mark::Picture { picture, at: corner, side } => Mark::Picture { picture, at: (corner.0 + at.0, corner.1 + at.1), side },
        }));
    }
}

/// The point at `radius` from the centre in the direction `degrees`, clockwise from the right.
pub fn polar(cx: f64, cy: f64, radius: f64, degrees: f64) -> Point {
    let angle = degrees.to_radians();
    (cx + radius * angle.cos(), cy + radius * angle.sin())
}

/// A cubic from `from` to `to` that leaves and arrives sideways, towards the given abscissas.
pub fn cubic(from: Point, leaves: f64, arrives: f64, to: Point) -> Vec<Point> {
    let at = |t: f64| {
        let u = 1.0 - t;
        let mix = |a: f64, b: f64, c: f64, d: f64| u * u * u * a + 3.0 * u * u * t * b + 3.0 * u * t * t * c + t * t * t * d;
        (mix(from.0, leaves, arrives, to.0), mix(from.1, from.1, to.1, to.1))
    };
    (0..=28).map(|i| at(f64::from(i) / 28.0)).collect()
}

#[cfg(test)]
impl Scene {
    /// All texts.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        self.marks.iter().filter_map(|m| if let Mark::Text(t) = m { Some(t) } else { None })
    }

    /// All coordinates of lines and areas.
    fn points(&self) -> impl Iterator<Item = &Point> {
        self.marks.iter().flat_map(|m| match m {
            Mark::Line { points, .. } | Mark::Area { points, .. } => points.as_slice(),
            Mark::Text(_) | Mark::Picture { .. } => &[],
        })
    }

    /// Panics unless everything is on the page and no text covers another.
    pub fn assert_sound(&self) {
        let title = &self.title;
        assert!(self.width.is_finite() && self.height.is_finite() && self.width >= 1.0 && self.height >= 1.0, "{title}");
        let outside = self.points().find(|(x, y)| !(0.0..=self.width).contains(x) || !(0.0..=self.height).contains(y));
        assert_eq!(outside, None, "{title}: off the page of {} x {}", self.width, self.height);
        let frames: Vec<(&str, Frame)> = self.texts().map(|t| (t.words.as_str(), t.frame())).collect();
        for (i, (words, f)) in frames.iter().enumerate() {
            assert!(f.x0 >= 0.0 && f.y0 >= 0.0 && f.x1 <= self.width && f.y1 <= self.height, "{title}: '{words}' is cut: {f:?}");
            let covered = frames[i + 1..].iter().find(|(_, g)| f.overlaps(g));
            assert_eq!(covered, None, "{title}: '{words}' {f:?} covers it");
        }
    }
}
