//! A page of marks, in pixels of a 96-dpi screen with the origin at the top left.

#[cfg(test)]
use super::render::text_width;

/// x to the right, y down.
pub type Point = (f64, f64);

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Mixed with another: 0 stays, 1 is the other. Only for pictures; drawings have the colours of the palette.
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
        Frame { x0: x - before, x1: x - before + width, y0: y - 0.75 * self.size, y1: y + 0.2 * self.size }
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

/// What a group of marks stands for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The method and variant that it belongs to; empty for none.
    pub series: String,
    /// What it shows, in words; empty for no more than the series.
    pub tip: String,
    /// Name of the drawing of its cell; empty for none.
    pub cell: String,
    /// It is an entry of a legend.
    pub entry: bool,
}

impl About {
    /// What belongs to a series.
    pub fn series(name: &str) -> Self {
        Self { series: name.into(), ..Self::default() }
    }

    /// What belongs to a series and says something of its own.
    pub fn tip(series: &str, tip: String) -> Self {
        Self { tip, ..Self::series(series) }
    }
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
        /// Length of dashes and gaps; 0 for none.
        dash: f64,
    },
    /// A filled polygon.
    Area {
        /// At least three.
        points: Vec<Point>,
        /// Of the filling.
        colour: Colour,
        /// Of the filling.
        opacity: f64,
        /// Colour and width of its outline, if it has one.
        edge: Option<(Colour, f64)>,
    },
    /// A disc.
    Disc {
        /// Its middle.
        at: Point,
        /// Pixels.
        radius: f64,
        /// Of the filling.
        colour: Colour,
        /// Of the filling.
        opacity: f64,
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
    /// Marks that stand for one thing.
    Group {
        /// What that is.
        about: About,
        /// In drawing order.
        marks: Vec<Mark>,
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
        self.dashes(points, width, colour, 0.0);
    }

    /// A dashed path.
    pub fn dashes(&mut self, points: Vec<Point>, width: f64, colour: Colour, dash: f64) {
        if points.len() > 1 {
            self.marks.push(Mark::Line { points, width, colour, dash });
        }
    }

    /// A filled polygon.
    pub fn area(&mut self, points: Vec<Point>, colour: Colour) {
        self.tint(points, colour, 1.0);
    }

    /// A filled polygon that what is below shines through.
    pub fn tint(&mut self, points: Vec<Point>, colour: Colour, opacity: f64) {
        self.marks.push(Mark::Area { points, colour, opacity, edge: None });
    }

    /// A disc.
    pub fn disc(&mut self, at: Point, radius: f64, colour: Colour) {
        self.marks.push(Mark::Disc { at, radius, colour, opacity: 1.0 });
    }

    /// Groups the marks from number `from` on.
    pub fn group(&mut self, from: usize, about: About) {
        let marks = self.marks.split_off(from);
        if !marks.is_empty() {
            self.marks.push(Mark::Group { about, marks });
        }
    }

    /// A rectangle with round corners, filled with so much of a colour and framed.
    pub fn pill(&mut self, frame: Frame, radius: f64, (fill, opacity): (Colour, f64), stroke: Colour, width: f64) {
        let corner = |cx: f64, cy: f64, from: f64| {
            let steps = if radius > 0.0 { 3 } else { 0 };
            (0..=steps).map(move |i| polar(cx, cy, radius, from + 30.0 * f64::from(i)))
        };
        let points: Vec<Point> = corner(frame.x1 - radius, frame.y0 + radius, -90.0)
            .chain(corner(frame.x1 - radius, frame.y1 - radius, 0.0))
            .chain(corner(frame.x0 + radius, frame.y1 - radius, 90.0))
            .chain(corner(frame.x0 + radius, frame.y0 + radius, 180.0))
            .collect();
        self.marks.push(Mark::Area { points, colour: fill, opacity, edge: Some((stroke, width)) });
    }

    /// A text with its baseline at `at`.
    pub fn text(&mut self, words: impl Into<String>, at: Point, size: f64, align: Align, colour: Colour) {
        self.marks.push(Mark::Text(Text { at, words: words.into(), size, bold: false, align, colour }));
    }

    /// A bold text.
    pub fn bold(&mut self, words: impl Into<String>, at: Point, size: f64, align: Align, colour: Colour) {
        self.marks.push(Mark::Text(Text { at, words: words.into(), size, bold: true, align, colour }));
    }

    /// Puts another page on this one with its top left corner at `at`.
    pub fn place(&mut self, mut other: Self, at: Point) {
        other.marks.iter_mut().for_each(|mark| shift(mark, at));
        self.marks.append(&mut other.marks);
    }
}

fn shift(mark: &mut Mark, by: Point) {
    let moved = |at: &mut Point| *at = (at.0 + by.0, at.1 + by.1);
    match mark {
        Mark::Line { points, .. } | Mark::Area { points, .. } => points.iter_mut().for_each(moved),
        Mark::Text(text) => moved(&mut text.at),
        Mark::Picture { at, .. } | Mark::Disc { at, .. } => moved(at),
        Mark::Group { marks, .. } => marks.iter_mut().for_each(|mark| shift(mark, by)),
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
    (0..=14).map(|i| at(f64::from(i) / 14.0)).collect()
}

#[cfg(test)]
impl Scene {
    /// All marks that are no group.
    pub fn leaves(&self) -> Vec<&Mark> {
        fn of(mark: &Mark) -> Vec<&Mark> {
            if let Mark::Group { marks, .. } = mark { marks.iter().flat_map(of).collect() } else { vec![mark] }
        }
        self.marks.iter().flat_map(of).collect()
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&About, &[Mark])> {
        self.marks.iter().filter_map(|m| if let Mark::Group { about, marks } = m { Some((about, marks.as_slice())) } else { None })
    }

    /// All texts.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        self.leaves().into_iter().filter_map(|m| if let Mark::Text(t) = m { Some(t) } else { None })
    }

    /// All coordinates of lines and areas.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.leaves().into_iter().flat_map(|m| match m {
            Mark::Line { points, .. } | Mark::Area { points, .. } => points.as_slice(),
            Mark::Disc { at, .. } => std::slice::from_ref(at),
            _ => &[],
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
