//! Test slices of a segmentation: image, truth and prediction side by side, a row for each.

use super::panel::small_print;
use super::render::{PNG_SCALE, text_width};
use super::scene::{Align, Colour, Frame, INK, Picture, Point, Scene};
use super::style::class_colour;
use super::words::{clip, fitted};
use crate::error::{Error, Result};
use crate::record::{Example, PADDING};

const TEXT: f64 = 12.5;
const LINE: f64 = 17.0;
const MARGIN: f64 = 18.0;
const GAP: f64 = 12.0;
/// Width of the words beside a row.
const WORDS: f64 = 132.0;
/// About how long the longer side of a slice is drawn.
const SIDE: f64 = 220.0;
const COLUMNS: [&str; 3] = ["image", "truth", "prediction"];
/// How much of a class's colour is mixed into the image.
const TINT: f64 = 0.5;
/// Outline of the truth: a coloured line on a dark one, which shows in grey print and on its own colour.
const OUTLINE: (f64, f64) = (2.4, 1.3);
/// Outline of the prediction.
const THIN: f64 = 0.9;
/// Room for the name of a column.
const NARROWEST: f64 = 90.0;
const HATCH: [Colour; 2] = [Colour(0xF4, 0xF4, 0xF4), Colour(0xD8, 0xD8, 0xD8)];

/// Draws the slices; `classes` are names, the background first.
///
/// # Errors
/// If there is no slice, a slice has no pixel, or a mask names a class that has no name.
pub fn overlay(examples: &[Example], classes: &[&str], title: &str) -> Result<Scene> {
    if examples.is_empty() {
        return Err(Error::Usage("none was recorded".into()));
    }
    examples.iter().try_for_each(|e| check(e, classes.len()))?;
    let side = examples.iter().map(|e| pixel(e) * e.about.width as f64).fold(NARROWEST, f64::max);
    let width = 2.0 * MARGIN + WORDS + 3.0 * side + 2.0 * GAP;
    let mut scene = Scene::new(title, width.ceil(), 0.0);
    let mut top = 12.0;
    for line in clip(title, TEXT + 1.5, true, width - 2.0 * MARGIN, 3) {
        top += LINE;
        scene.bold(line, (MARGIN, top), TEXT + 1.5, Align::Left, INK);
    }
    top += 1.6 * LINE;
    let lefts = [0.0, 1.0, 2.0].map(|column| MARGIN + WORDS + column * (side + GAP));
    for (name, left) in COLUMNS.iter().zip(lefts) {
        scene.bold(*name, (left + side / 2.0, top), TEXT, Align::Centre, INK);
    }
    top = (top + 8.0).ceil();
    for example in examples {
        let middle = ((side - pixel(example) * example.about.width as f64) / 2.0).floor();
        top = row(&mut scene, example, lefts.map(|left| left + middle), top) + GAP;
    }
    top += legend(&mut scene, classes, top, width - 2.0 * MARGIN) + 8.0;
    top += small_print(&mut scene, &notes(examples), MARGIN, top);
    scene.height = (top + MARGIN).ceil();
    Ok(scene)
}

fn check(example: &Example, classes: usize) -> Result<()> {
    let bad = |what: String| Err(Error::Usage(format!("slice {} of {}: {what}", example.about.slice, example.about.volume)));
    let pixels = example.about.height * example.about.width;
    if pixels == 0 || [&example.image, &example.truth, &example.predicted].iter().any(|part| part.len() != pixels) {
        return bad(format!("it has no {} x {} pixels", example.about.height, example.about.width));
    }
    let inside = example.truth.iter().zip(&example.predicted).filter(|(truth, _)| **truth != PADDING);
    match inside.map(|(truth, predicted)| *truth.max(predicted)).max() {
        Some(class) if usize::from(class) >= classes => bad(format!("a mask names class {class}; there are {classes}")),
        _ => Ok(()),
    }
}

/// Side of a pixel of the slice: a whole number of the PNG's pixels, so that all are equally large.
fn pixel(example: &Example) -> f64 {
    let longest = example.about.height.max(example.about.width) as f64;
    let scale = PNG_SCALE as f64;
    (SIDE * scale / longest).round().max(1.0) / scale
}

/// One slice; returns where it ends.
fn row(scene: &mut Scene, example: &Example, lefts: [f64; 3], top: f64) -> f64 {
    let (columns, side) = (example.about.width, pixel(example));
    let hatched = hatched(columns, side);
    let grey = |i: usize| Colour(example.image[i], example.image[i], example.image[i]);
    let tinted = |mask: &[u8], i: usize| if mask[i] == 0 { grey(i) } else { grey(i).mixed(class_colour(usize::from(mask[i])), TINT) };
    // What is predicted outside of the slice is of no interest.
    let inside = |(truth, predicted): (&u8, &u8)| if *truth == PADDING { PADDING } else { *predicted };
    let predicted: Vec<u8> = example.truth.iter().zip(&example.predicted).map(inside).collect();
    let panels: [&dyn Fn(usize) -> Colour; 3] = [&grey, &|i| tinted(&example.truth, i), &|i| tinted(&predicted, i)];
    for (left, panel) in lefts.iter().zip(panels) {
        let pixels = (0..example.image.len()).map(|i| if example.truth[i] == PADDING { hatched(i) } else { panel(i) }).collect();
        scene.picture(Picture { columns, pixels }, (*left, top), side);
    }
    let mut outline = |mask: &[u8], left: f64, room: f64, width: f64, colour: Option<Colour>| {
        for (class, ends) in borders(mask, columns, room / 2.0 / side) {
            let colour = colour.unwrap_or(class_colour(usize::from(class)));
            scene.line(ends.map(|(x, y)| (left + x * side, top + y * side)).to_vec(), width, colour);
        }
    };
    outline(&predicted, lefts[2], THIN, THIN, None);
    for left in &lefts[1..] {
        outline(&example.truth, *left, OUTLINE.0, OUTLINE.0, Some(INK));
        outline(&example.truth, *left, OUTLINE.0, OUTLINE.1, None);
    }
    let bottom = top + side * example.about.height as f64;
    bottom.max(words(scene, example, top)).ceil()
}

/// What a row is, beside it; returns where the words end.
fn words(scene: &mut Scene, example: &Example, top: f64) -> f64 {
    let about = &example.about;
    let mut y = top + 14.0;
    scene.bold(fitted(&format!("{} volume", about.rank), TEXT, true, WORDS - GAP), (MARGIN, y), TEXT, Align::Left, INK);
    let name = clip(&about.volume, TEXT, false, WORDS - GAP, 3);
    let rest = [format!("slice {}", about.slice), format!("Dice {:.2} %", 100.0 * about.dice)];
    for line in name.into_iter().chain(rest) {
        y += LINE;
        scene.text(line, (MARGIN, y), TEXT, Align::Left, INK);
    }
    y + 6.0
}

/// Light stripes, about eight pixels of the page apart.
fn hatched(columns: usize, side: f64) -> impl Fn(usize) -> Colour {
    let half = ((4.0 / side).round() as usize).max(1);
    move |i| HATCH[usize::from((i % columns + i / columns) % (2 * half) < half)]
}

/// Lines along the inside of every class's border in a mask, `inset` within it: class and ends, in pixels of the mask. Straight runs are one
/// line. Neither background nor padding has a border.
fn borders(mask: &[u8], columns: usize, inset: f64) -> Vec<(u8, [Point; 2])> {
    let rows = mask.len() / columns;
    let class = |x: isize, y: isize| {
        let inside = (0..columns as isize).contains(&x) && (0..rows as isize).contains(&y);
        if inside { mask[y as usize * columns + x as usize] } else { 0 }
    };
    let mut out = Vec::new();
    for (dx, dy) in [(0, -1), (0, 1), (-1, 0), (1, 0)] {
        let (lines, length) = if dx == 0 { (rows, columns) } else { (columns, rows) };
        // Place `i` of a line: along x where the border is above or below, else along y.
        let at = |line: usize, i: isize| if dx == 0 { (i, line as isize) } else { (line as isize, i) };
        let of = |line: usize, i: isize| class(at(line, i).0, at(line, i).1);
        for line in 0..lines {
            let border = |i: usize| {
                let (x, y) = at(line, i as isize);
                let here = class(x, y);
                (i < length && here != 0 && here != PADDING && class(x + dx, y + dy) != here).then_some(here)
            };
            let across = line as f64 + if dx + dy < 0 { inset } else { 1.0 - inset };
            let mut start = 0;
            for i in 1..=length {
                let Some(here) = border(start) else {
                    start = i;
                    continue;
                };
                if border(i) == Some(here) {
                    continue;
                }
                // A line has square ends half as long as it is wide: drawn back at a corner that sticks out, they fill it.
                let from = start as f64 + if of(line, start as isize - 1) == here { 0.0 } else { inset };
                let to = i as f64 - if of(line, i as isize) == here { 0.0 } else { inset };
                out.push((here, [(from, across), (to.max(from + 1e-3), across)].map(|(a, b)| if dx == 0 { (a, b) } else { (b, a) })));
                start = i;
            }
        }
    }
    out
}

/// Colours and names of the classes from `top` on, as many in a line as fit; returns the height used.
fn legend(scene: &mut Scene, classes: &[&str], top: f64, width: f64) -> f64 {
    const SWATCH: f64 = 22.0;
    let (mut x, mut y) = (MARGIN, top + 14.0);
    for (i, name) in classes.iter().enumerate().skip(1) {
        let name = fitted(name, TEXT, false, width - SWATCH - 8.0);
        let wide = SWATCH + 8.0 + text_width(&name, TEXT, false);
        if x > MARGIN && x + wide > MARGIN + width {
            (x, y) = (MARGIN, y + LINE + 3.0);
        }
        let frame = Frame { x0: x, y0: y - 11.0, x1: x + SWATCH, y1: y + 2.0 };
        let colour = class_colour(i);
        scene.pill(frame, 2.0, Colour(0x80, 0x80, 0x80).mixed(colour, TINT), INK, OUTLINE.0);
        scene.pill(frame, 2.0, Colour(0x80, 0x80, 0x80).mixed(colour, TINT), colour, OUTLINE.1);
        scene.text(name, (x + SWATCH + 8.0, y), TEXT, Align::Left, INK);
        x += wide + 20.0;
    }
    y + 6.0 - top
}

fn notes(examples: &[Example]) -> Vec<String> {
    let mut notes = vec![
        "A row is the slice with most foreground of a test volume; worst, median and best are by the Dice of the whole volume, which stands beside it. \
         Colours fill the classes of the mask; lines with a dark edge are the borders of the truth, in both columns."
            .to_string(),
    ];
    if examples.iter().any(|e| e.truth.contains(&PADDING)) {
        notes.push("A light pattern is outside of the slice: the window is larger.".into());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ExampleInfo;
    use std::collections::BTreeSet;

    fn example(width: usize, height: usize, truth: Vec<u8>) -> Example {
        let about = ExampleInfo { volume: "a volume".into(), slice: 3, rank: "worst".into(), dice: 0.5, height, width };
        Example { about, image: vec![90; width * height], predicted: truth.iter().map(|c| c % PADDING).collect(), truth }
    }

    #[test]
    fn borders_run_inside_their_class_and_close() {
        // An L of class 2 beside padding, in a mask of 3 columns.
        let mask = [2, 0, 0, 2, 2, PADDING];
        let lines = borders(&mask, 3, 0.0);
        assert!(lines.iter().all(|(class, _)| *class == 2));
        let ends = |from: Point, to: Point| lines.iter().filter(|(_, e)| *e == [from, to]).count();
        let whole = [((0.0, 0.0), (1.0, 0.0)), ((1.0, 1.0), (2.0, 1.0)), ((0.0, 2.0), (2.0, 2.0)), ((0.0, 0.0), (0.0, 2.0))];
        for (from, to) in whole.into_iter().chain([((1.0, 0.0), (1.0, 1.0)), ((2.0, 1.0), (2.0, 2.0))]) {
            assert_eq!(ends(from, to), 1, "{from:?} to {to:?}: {lines:?}");
        }
        assert_eq!(lines.len(), 6);
        let inset = borders(&mask, 3, 0.25);
        // Both ends of the lower border stick out; the upper right one meets a corner that goes in at its left end.
        assert!(inset.contains(&(2, [(0.25, 1.75), (1.75, 1.75)])) && inset.contains(&(2, [(1.0, 1.25), (1.75, 1.25)])), "{inset:?}");
        assert_eq!(borders(&[0, PADDING, 0, 0], 2, 0.1), []);
    }

    #[test]
    fn no_label_is_cut_or_covered_for_few_and_many_classes_and_any_size() {
        let many: Vec<String> = (0..14).map(|i| format!("organ number {i} with a name")).collect();
        for (width, height, classes) in [(8, 8, 2), (64, 64, 3), (40, 48, 11), (256, 256, 12), (300, 90, 14), (7, 500, 5)] {
            let mut slice = example(width, height, (0..width * height).map(|i| (i % classes) as u8).collect());
            slice.about.volume = "a_volume_whose_name_is_much_longer_than_the_room_beside_its_row_and_even_longer_than_three_lines".into();
            let names: Vec<&str> = many[..classes].iter().map(String::as_str).collect();
            let scene =
                overlay(&[slice.clone(), slice], &names, "a method on a data set with a very long name, seed 12345: test slices").unwrap();
            scene.assert_sound();
            assert!(names[1..].iter().all(|name| scene.texts().any(|t| t.words == *name)));
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let says = |examples: &[Example], what: &str| {
            let error = overlay(examples, &["background", "one"], "t").unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        says(&[], "none was recorded");
        says(&[example(2, 1, vec![0, 2])], "slice 3 of a volume: a mask names class 2; there are 2");
        says(&[Example { image: Vec::new(), ..example(2, 1, vec![0, 1]) }], "no 1 x 2 pixels");
        says(&[example(0, 4, Vec::new())], "no 4 x 0 pixels");
        let mut padded = example(2, 1, vec![PADDING, 1]);
        padded.predicted[0] = 9;
        overlay(&[padded], &["background", "one"], "t").unwrap();
    }

    #[test]
    fn classes_have_colours_of_their_own() {
        let colours: BTreeSet<(u8, u8, u8)> = (1..=12).map(class_colour).map(|c| (c.0, c.1, c.2)).collect();
        assert_eq!(colours.len(), 12);
    }
}
