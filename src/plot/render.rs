//! From a [`Scene`] to SVG, drawn by Plotters, and from that to PNG and PDF, with an embedded font: no font of the system is needed.

use super::scene::{Align, Colour, Mark, PAPER, Picture, Point, Scene, Text};
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, register_font};
use resvg::{tiny_skia, usvg};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, LazyLock, Once};

/// Name under which the font is registered; in an SVG it is the list of families a viewer tries.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
const FONTS: [&[u8]; 2] =
    [include_bytes!("../../assets/fonts/DejaVuSans-subset.ttf"), include_bytes!("../../assets/fonts/DejaVuSans-Bold-subset.ttf")];
/// Units of the SVG's coordinate system a pixel; Plotters draws on whole units.
const UNITS: f64 = 10.0;
/// Pixels of an inch of a scene.
pub const SCREEN_DPI: f64 = 96.0;
/// Pixels of an inch of a PNG for the screen.
pub const PNG_DPI: u32 = 192;
/// Plotters cuts what is beyond the size of its page.
const LARGEST: u32 = 10_000_000;
/// Plotters divides a font size by this for SVG.
const SVG_EM: f64 = 1.24;
/// Ascent plus descent of the embedded font in ems: what `ab_glyph` scales to the font size.
const FONT_HEIGHT: f64 = 1.164;

fn embed_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let all = [FontStyle::Normal, FontStyle::Bold].into_iter().zip(FONTS);
        assert!(all.map(|(style, font)| register_font(FAMILY, style, font)).all(|r| r.is_ok()), "the embedded fonts are well formed");
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

/// The scene as an SVG document of its size in pixels.
pub fn svg(scene: &Scene) -> Result<String> {
    let [width, height] = [scene.width, scene.height].map(|pixels| pixels.round().to_string());
    document(scene, [width, height], &|words| words.into())
}

/// The same of its size in millimetres, for paper.
pub fn svg_for_paper(scene: &Scene) -> Result<String> {
    document(scene, [scene.width, scene.height].map(|pixels| format!("{:.2}mm", pixels * 25.4 / SCREEN_DPI)), &|words| words.into())
}

fn document(scene: &Scene, [width, height]: [String; 2], words: &dyn Fn(&str) -> String) -> Result<String> {
    embed_fonts();
    let failed = |e: std::fmt::Error| Error::Resource(format!("{}: cannot draw: {e}", scene.title));
    let page = [(0.0, 0.0), (scene.width, 0.0), (scene.width, scene.height), (0.0, scene.height)];
    let ground = Mark::Area { points: page.into(), colour: PAPER, opacity: 1.0, edge: None };
    let mut out = String::new();
    write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {:.0} {:.0}\" role=\"group\" \
         aria-label=\"{}\" font-family=\"{FAMILY}\">",
        scene.width * UNITS,
        scene.height * UNITS,
        escaped(&scene.title)
    )
    .and_then(|()| body(&mut out, &[ground], words))
    .and_then(|()| body(&mut out, &scene.marks, words))
    .map_err(failed)?;
    Ok(out + "</svg>\n")
}

/// Marks as elements, and groups of them, which Plotters does not know.
fn body(out: &mut String, marks: &[Mark], words: &dyn Fn(&str) -> String) -> std::fmt::Result {
    for run in marks.chunk_by(|a, b| plain(a) && plain(b)) {
        match &run[0] {
            Mark::Group { about, marks } => {
                let named = [("data-series", &about.series), ("data-tip", &about.tip), ("data-cell", &about.cell)];
                *out += "<g";
                named
                    .iter()
                    .filter(|(_, text)| !text.is_empty())
                    .try_for_each(|(name, text)| write!(out, " {name}=\"{}\"", escaped(text)))?;
                *out += if about.entry {
                    " class=\"entry\">"
                } else if about.tip.is_empty() {
                    ">"
                } else {
                    " role=\"img\" tabindex=\"0\">"
                };
                if !about.tip.is_empty() {
                    write!(out, "<title>{}</title>", escaped(&about.tip))?;
                }
                body(out, marks, words)?;
                *out += "</g>\n";
            }
            first => {
                let text = elements(run, words).map_err(|_| std::fmt::Error)?;
                *out += &match first {
                    Mark::Line { dash, .. } if *dash > 0.0 => text.replace("/>", &format!(" stroke-dasharray=\"{:.0}\"/>", UNITS * dash)),
                    Mark::Area { edge: Some((Colour(r, g, b), width)), .. } => text
                        .replace(" opacity", " fill-opacity")
                        .replace("/>", &format!(" stroke=\"#{r:02X}{g:02X}{b:02X}\" stroke-width=\"{:.0}\"/>", UNITS * width)),
                    _ => text,
                };
            }
        }
    }
    Ok(())
}

/// Plotters writes all of it: no group, no dashes, no outline of a filled polygon.
fn plain(mark: &Mark) -> bool {
    match mark {
        Mark::Group { .. } => false,
        Mark::Line { dash, .. } => *dash == 0.0,
        Mark::Area { edge, .. } => edge.is_none(),
        _ => true,
    }
}

/// What Plotters writes, without its frame and what is the default.
fn elements(marks: &[Mark], words: &dyn Fn(&str) -> String) -> std::result::Result<String, String> {
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, (LARGEST, LARGEST)).into_drawing_area();
        let drawn = marks.iter().try_for_each(|mark| draw_mark(&area, mark, words)).and_then(|()| area.present());
        drawn.map_err(|e| e.to_string())?;
    }
    let inner = out.split_once('\n').and_then(|(_, rest)| rest.rsplit_once("</svg>")).map_or("", |(inner, _)| inner);
    let family = format!(" font-family=\"{FAMILY}\"");
    let defaults = [" opacity=\"1\"", " stroke=\"none\" stroke-width=\"1\"", " stroke=\"none\"", " text-anchor=\"start\"", &family];
    let short = defaults.into_iter().fold(inner.to_string(), |text, attribute| text.replace(attribute, ""));
    Ok(short.replace(" \"/>", "\"/>").replace("\n</text>", "</text>").replace("\">\n", "\">"))
}

/// What Plotters says.
type Drawn<DB> = std::result::Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn draw_mark<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, mark: &Mark, words: &dyn Fn(&str) -> String) -> Drawn<DB> {
    match mark {
        Mark::Area { points, colour, opacity, .. } => area.draw(&Polygon::new(whole(points), rgb(*colour).mix(*opacity).filled())),
        Mark::Line { points, width, colour, .. } => {
            let stroke = rgb(*colour).stroke_width((width * UNITS).round().max(1.0) as u32);
            area.draw(&PathElement::new(whole(points), stroke))
        }
        Mark::Disc { at, radius, colour, opacity } => {
            let middle = whole(&[*at])[0];
            area.draw(&Circle::new(middle, (radius * UNITS).round() as i32, rgb(*colour).mix(*opacity).filled()))
        }
        Mark::Text(text) => draw_text(area, text, words),
        // A picture has pixels alone; see [`png`].
        Mark::Picture { .. } | Mark::Group { .. } => Ok(()),
    }
}

fn draw_text<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, text: &Text, words: &dyn Fn(&str) -> String) -> Drawn<DB> {
    let font = font(text.size * SVG_EM * UNITS, text.bold).transform(FontTransform::None);
    let across = match text.align {
        Align::Left => HPos::Left,
        Align::Centre => HPos::Center,
        Align::Right => HPos::Right,
    };
    let colour = rgb(text.colour);
    let style = TextStyle::from(font).color(&colour).pos(Pos::new(across, VPos::Top));
    // The top that Plotters wants is so far above the baseline.
    let top = (text.at.0, text.at.1 - 0.76 * text.size);
    area.draw_text(&printable(&words(&text.words)), &style, whole(&[top])[0])
}

/// The scene as a PNG file of so many dots an inch.
pub fn png(scene: &Scene, dpi: u32) -> Result<Vec<u8>> {
    let failed = |e: String| Error::Resource(format!("{}: cannot make a PNG: {e}", scene.title));
    let (tree, scale) = (tree(scene)?, f64::from(dpi) / SCREEN_DPI);
    let [width, height] = [scene.width, scene.height].map(|pixels| (pixels * scale).round() as u32);
    let mut map = tiny_skia::Pixmap::new(width, height).ok_or_else(|| failed(format!("{width} x {height} pixels")))?;
    map.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale as f32, scale as f32), &mut map.as_mut());
    let mut pixels: Vec<u8> = map.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    for mark in &scene.marks {
        if let Mark::Picture { picture, at, side } = mark {
            paint(&mut pixels, width as usize, picture, (at.0 * scale, at.1 * scale), side * scale);
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let dots = (f64::from(dpi) / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: dots, yppu: dots, unit: png::Unit::Meter }));
    // Few colours and long runs of them: what filters are not made for.
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_compression(png::Compression::Best);
    let written = encoder.write_header().and_then(|mut w| w.write_image_data(&pixels));
    written.map_err(|e| failed(e.to_string()))?;
    Ok(out)
}

/// Copies a picture to where it stands.
fn paint(pixels: &mut [u8], width: usize, picture: &Picture, at: Point, side: f64) {
    let rows = picture.pixels.len() / picture.columns;
    let [left, top] = [at.0, at.1].map(|edge| edge.round() as usize);
    for y in 0..(rows as f64 * side).round() as usize {
        for x in 0..(picture.columns as f64 * side).round() as usize {
            let Colour(r, g, b) = picture.pixels[(y as f64 / side) as usize * picture.columns + (x as f64 / side) as usize];
            let place = 3 * ((top + y) * width + left + x);
            pixels[place..place + 3].copy_from_slice(&[r, g, b]);
        }
    }
}

/// The scene as a PDF file of its size, without pictures. What is on the page is always the same; its objects are numbered in another order each time, since `svg2pdf` keeps them in
/// maps without an order.
pub fn pdf(scene: &Scene) -> Result<Vec<u8>> {
    let page = svg2pdf::PageOptions { dpi: SCREEN_DPI as f32 };
    svg2pdf::to_pdf(&tree(scene)?, svg2pdf::ConversionOptions::default(), page)
        .map_err(|e| Error::Resource(format!("{}: cannot make a PDF: {e}", scene.title)))
}

/// The document as drawings by this program need it: a letter that the embedded font lacks would be a gap.
fn tree(scene: &Scene) -> Result<usvg::Tree> {
    static DATABASE: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
        let mut fonts = usvg::fontdb::Database::new();
        FONTS.into_iter().for_each(|font| fonts.load_font_data(font.to_vec()));
        Arc::new(fonts)
    });
    let options = usvg::Options { fontdb: DATABASE.clone(), ..usvg::Options::default() };
    let size = [scene.width, scene.height].map(|pixels| pixels.to_string());
    let text = document(scene, size, &|words| words.chars().map(|c| if has_shape(c) { c } else { '?' }).collect())?;
    usvg::Tree::from_str(&text, &options).map_err(|e| Error::Resource(format!("{}: cannot draw: {e}", scene.title)))
}

/// A control character has no shape, and most of them may not stand in an XML document.
fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c }).collect()
}

fn escaped(words: &str) -> String {
    printable(words).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn whole(points: &[Point]) -> Vec<(i32, i32)> {
    points.iter().map(|(x, y)| ((x * UNITS).round() as i32, (y * UNITS).round() as i32)).collect()
}

fn rgb(c: Colour) -> RGBColor {
    RGBColor(c.0, c.1, c.2)
}

#[cfg(test)]
mod tests {
    use super::super::scene::About;
    use super::*;

    #[test]
    fn a_letter_that_the_font_lacks_has_room_in_an_svg_and_a_mark_in_a_png() {
        assert!("größe Ωα k−2 2×10⁻⁴ ± … –".chars().all(has_shape));
        assert!(!has_shape('名') && !has_shape('👩'));
        let parts = text_width("größe", 12.0, false) + text_width("n", 12.0, false);
        assert!((text_width("größe名n", 12.0, false) - parts - 12.0).abs() < 0.3);
        let drawn = |words: &str| {
            let mut scene = Scene::new("", 80.0, 20.0);
            scene.text(words, (2.0, 14.0), 12.0, Align::Left, Colour(0, 0, 0));
            (png(&scene, PNG_DPI).unwrap(), svg(&scene).unwrap())
        };
        let (bitmap, document) = drawn("a名b");
        assert!(bitmap == drawn("a?b").0 && bitmap != drawn("a b").0 && document.contains("a名b"));
    }

    #[test]
    fn what_may_not_stand_in_a_document_is_a_space() {
        assert_eq!(printable("a\u{0}b\u{1b}[1m\n\u{ffff}ß"), "a b [1m  ß");
    }

    #[test]
    fn groups_say_what_they_stand_for() {
        let mut scene = Scene::new("a \"b\" & c", 20.0, 20.0);
        scene.disc((5.0, 5.0), 2.0, PAPER);
        scene.dashes(vec![(0.0, 0.0), (1.0, 1.0)], 1.0, PAPER, 2.0);
        scene.group(0, About { cell: "cell-x".into(), ..About::tip("A <b>", "A, seed 0".into()) });
        let text = svg(&scene).unwrap();
        for part in [
            "aria-label=\"a &quot;b&quot; &amp; c\"",
            "<g data-series=\"A &lt;b&gt;\" data-tip=\"A, seed 0\" data-cell=\"cell-x\" role=\"img\" tabindex=\"0\"><title>A, seed 0</title>",
            " stroke-dasharray=\"20\"/>",
            "<circle cx=\"50\" cy=\"50\" r=\"20\" fill=\"#FFFFFF\"/>",
            "viewBox=\"0 0 200 200\"",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.matches("<g").count(), text.matches("</g>").count());
        assert!(pdf(&scene).unwrap().starts_with(b"%PDF") && svg_for_paper(&scene).unwrap().contains("width=\"5.29mm\""));
    }
}
