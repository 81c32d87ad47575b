//! From a [`Scene`] to SVG text and PNG bytes, by Plotters with an embedded font: no font of the system is needed.

use super::scene::{Align, Colour, Mark, PAPER, Picture, Point, Scene, Text};
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, register_font};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Once;

/// Name under which the font is registered; in an SVG it is the list of families a viewer tries.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Units of the SVG's coordinate system a pixel; Plotters draws on whole units.
const SVG_UNITS: f64 = 10.0;
/// Pixels of the PNG a pixel of the scene.
pub const PNG_SCALE: usize = 2;
/// The PNG is drawn this much larger and then averaged, which smooths all edges.
const OVERSAMPLE: usize = 2;
/// Pixels of a PNG above which it is not drawn larger first, which would take hundreds of MiB.
const LARGE: usize = 24_000_000;
/// Plotters divides a font size by this for SVG.
const SVG_EM: f64 = 1.24;
/// Ascent plus descent of the embedded font in ems: what `ab_glyph` scales to the font size.
const FONT_HEIGHT: f64 = 1.164;

/// A backend.
#[derive(Clone, Copy)]
struct Ink {
    /// Units of the backend a pixel of the scene.
    units: f64,
    /// Of pixels: it has no smooth joins of lines, so that these are filled segments, and no font but the embedded one.
    bitmap: bool,
}

fn embed_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let regular = register_font(FAMILY, FontStyle::Normal, include_bytes!("../../../assets/fonts/DejaVuSans-subset.ttf"));
        let bold = register_font(FAMILY, FontStyle::Bold, include_bytes!("../../../assets/fonts/DejaVuSans-Bold-subset.ttf"));
        assert!(regular.is_ok() && bold.is_ok(), "the embedded fonts are well formed");
    });
}

/// Width of `words` in pixels at `size` pixels an em. A letter that the embedded font lacks counts as one em: about what it takes in the font
/// that a viewer of an SVG finds for it.
pub fn text_width(words: &str, size: f64, bold: bool) -> f64 {
    let missing = words.chars().filter(|c| !has_shape(*c)).count();
    if missing > 0 {
        let known: String = words.chars().filter(|c| has_shape(*c)).collect();
        return size * missing as f64 + text_width(&known, size, bold);
    }
    // Measured large, because Plotters rounds to whole units.
    font(100.0 * FONT_HEIGHT, bold).layout_box(words).map_or(0.0, |((x0, _), (x1, _))| f64::from(x1 - x0) / 100.0 * size)
}

fn font(size: f64, bold: bool) -> FontDesc<'static> {
    embed_fonts();
    FontDesc::new(FontFamily::Name(FAMILY), size, if bold { FontStyle::Bold } else { FontStyle::Normal })
}

/// The embedded font can draw it, or it is a space.
fn has_shape(letter: char) -> bool {
    thread_local! {
        static SEEN: RefCell<BTreeMap<char, bool>> = const { RefCell::new(BTreeMap::new()) };
    }
    let drawn = || {
        let mut pixels = 0;
        let _ = font(20.0, false).draw(&letter.to_string(), (0, 0), |_, _, _| {
            pixels += 1;
            Ok::<(), std::convert::Infallible>(())
        });
        pixels > 0
    };
    letter.is_ascii() || letter.is_whitespace() || SEEN.with(|seen| *seen.borrow_mut().entry(letter).or_insert_with(drawn))
}

/// The scene as an SVG document.
pub fn svg(scene: &Scene) -> Result<String> {
    let mut out = String::new();
    let size = ((scene.width * SVG_UNITS).round() as u32, (scene.height * SVG_UNITS).round() as u32);
    {
        let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
        draw(&area, scene, Ink { units: SVG_UNITS, bitmap: false })?;
    }
    let plain = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
    let label = printable(&scene.title).replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let sized = format!("<svg role=\"img\" aria-label=\"{label}\" width=\"{}\" height=\"{}\"", scene.width.round(), scene.height.round());
    Ok(out.replacen(&plain, &sized, 1))
}

/// The scene as a PNG file at twice the scene's size.
pub fn png(scene: &Scene) -> Result<Vec<u8>> {
    let (width, height) = (scene.width.round() as usize * PNG_SCALE, scene.height.round() as usize * PNG_SCALE);
    let times = if width * height > LARGE { 1 } else { OVERSAMPLE };
    let mut large = vec![255u8; width * height * times * times * 3];
    {
        let size = ((width * times) as u32, (height * times) as u32);
        let area = BitMapBackend::with_buffer(&mut large, size).into_drawing_area();
        draw(&area, scene, Ink { units: (PNG_SCALE * times) as f64, bitmap: true })?;
    }
    let small = average(&large, width, times);
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Few colours and long runs of them: what filters are not made for.
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_compression(png::Compression::Best);
    let written = encoder.write_header().and_then(|mut w| w.write_image_data(&small));
    written.map_err(|e| Error::Resource(format!("{}: cannot encode the PNG: {e}", scene.title)))?;
    Ok(out)
}

/// Averages squares of `times` pixels, row by row, to rows of `width` pixels.
fn average(large: &[u8], width: usize, times: usize) -> Vec<u8> {
    let mut small = Vec::with_capacity(large.len() / (times * times));
    let mut sums = vec![0u16; width * 3];
    for rows in large.chunks_exact(width * times * 3 * times) {
        sums.fill(0);
        for row in rows.chunks_exact(width * times * 3) {
            for (sum, square) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * times)) {
                for pixel in square.chunks_exact(3) {
                    sum[0] += u16::from(pixel[0]);
                    sum[1] += u16::from(pixel[1]);
                    sum[2] += u16::from(pixel[2]);
                }
            }
        }
        small.extend(sums.iter().map(|sum| (sum / (times * times) as u16) as u8));
    }
    small
}

fn draw<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, scene: &Scene, ink: Ink) -> Result<()> {
    embed_fonts();
    let all = || {
        area.fill(&rgb(PAPER))?;
        scene.marks.iter().try_for_each(|mark| draw_mark(area, mark, ink))?;
        area.present()
    };
    all().map_err(|e| Error::Resource(format!("{}: cannot draw: {e}", scene.title)))
}

/// What a backend says.
type Drawn<DB> = std::result::Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn draw_mark<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, mark: &Mark, ink: Ink) -> Drawn<DB> {
    let fill = |points: &[Point], colour: Colour| area.draw(&Polygon::new(whole(points, ink), rgb(colour).filled()));
    match mark {
        Mark::Area { points, colour } => fill(points, *colour),
        Mark::Line { points, width, colour } if ink.bitmap => {
            points.windows(2).filter_map(|pair| segment(pair[0], pair[1], *width)).try_for_each(|quad| fill(&quad, *colour))
        }
        Mark::Line { points, width, colour } => {
            let stroke = rgb(*colour).stroke_width((width * ink.units).round().max(1.0) as u32);
            area.draw(&PathElement::new(whole(points, ink), stroke))
        }
        Mark::Text(text) => draw_text(area, text, ink),
        Mark::Picture { picture, at, side } => draw_picture(area, picture, *at, *side, ink),
    }
}

/// Pixels as squares; neighbours of one colour in one rectangle.
fn draw_picture<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, picture: &Picture, at: Point, side: f64, ink: Ink) -> Drawn<DB> {
    for (y, row) in picture.pixels.chunks(picture.columns).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            let corner = |x: usize, y: usize| (at.0 + side * x as f64, at.1 + side * y as f64);
            let ends = whole(&[corner(x, y), corner(x + run.len(), y + 1)], ink);
            area.draw(&Rectangle::new([ends[0], ends[1]], rgb(run[0]).filled()))?;
            x += run.len();
        }
    }
    Ok(())
}

fn draw_text<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, text: &Text, ink: Ink) -> Drawn<DB> {
    // Font size of the backend for one em, and from the top that it is given to the baseline.
    let (em, baseline) = if ink.bitmap { (FONT_HEIGHT, FONT_HEIGHT / 2.0) } else { (SVG_EM, 0.76) };
    let mut font = font(text.size * em * ink.units, text.bold);
    let rise = baseline * text.size;
    let mut at = (text.at.0, text.at.1 - rise);
    if text.upward {
        font = font.transform(FontTransform::Rotate270);
        at = (text.at.0 - rise, text.at.1);
    }
    let across = match text.align {
        Align::Left => HPos::Left,
        Align::Centre => HPos::Center,
        Align::Right => HPos::Right,
    };
    let colour = rgb(text.colour);
    let style = TextStyle::from(font).color(&colour).pos(Pos::new(across, VPos::Top));
    let mut words = printable(&text.words);
    if ink.bitmap {
        // Without a shape it would be a gap.
        words = words.chars().map(|c| if has_shape(c) { c } else { '?' }).collect();
    }
    area.draw_text(&words, &style, whole(&[at], ink)[0])
}

/// A control character has no shape, and most of them may not stand in an XML document.
fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c }).collect()
}

/// A thick segment with square ends; nothing if its ends are one point.
fn segment(from: Point, to: Point, width: f64) -> Option<[Point; 4]> {
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    if length < 1e-9 {
        return None;
    }
    let (along, half) = (((to.0 - from.0) / length, (to.1 - from.1) / length), width / 2.0);
    let corner = |p: Point, forth: f64, side: f64| {
        (p.0 + half * (forth * along.0 - side * along.1), p.1 + half * (forth * along.1 + side * along.0))
    };
    Some([corner(from, -1.0, -1.0), corner(to, 1.0, -1.0), corner(to, 1.0, 1.0), corner(from, -1.0, 1.0)])
}

fn whole(points: &[Point], ink: Ink) -> Vec<(i32, i32)> {
    points.iter().map(|(x, y)| ((x * ink.units).round() as i32, (y * ink.units).round() as i32)).collect()
}

fn rgb(c: Colour) -> RGBColor {
    RGBColor(c.0, c.1, c.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_of_pixels_are_averaged() {
        let large: Vec<u8> = [[10, 20, 30, 40], [50, 60, 70, 90]].concat().into_iter().flat_map(|v| [v, v / 10, 0]).collect();
        assert_eq!(average(&large, 2, 2), [35, 3, 0, 57, 5, 0]);
        assert_eq!(average(&large, 4, 1), large);
    }

    #[test]
    fn a_letter_that_the_font_lacks_has_room_in_an_svg_and_a_mark_in_a_png() {
        assert!("größe Ωα k−2 2×10⁻⁴ ± … –".chars().all(has_shape));
        assert!(!has_shape('名') && !has_shape('👩'));
        let parts = text_width("größe", 12.0, false) + text_width("n", 12.0, false);
        assert!((text_width("größe名n", 12.0, false) - parts - 12.0).abs() < 0.3);
        let drawn = |words: &str| {
            let mut scene = Scene::new("", 80.0, 20.0);
            scene.text(words, (2.0, 14.0), 12.0, Align::Left, Colour(0, 0, 0));
            (png(&scene).unwrap(), svg(&scene).unwrap())
        };
        let (bitmap, document) = drawn("a名b");
        assert!(bitmap == drawn("a?b").0 && bitmap != drawn("a b").0 && document.contains("a名b"));
    }

    #[test]
    fn what_may_not_stand_in_a_document_is_a_space() {
        assert_eq!(printable("a\u{0}b\u{1b}[1m\n\u{ffff}ß"), "a b [1m  ß");
    }
}
