//! Test slices of a segmentation: image, truth, prediction and errors side by side, a row for each.

use crate::error::{Error, Result};
use crate::plot::{
    Align, Colour, Frame, INK, Mark, PNG_DPI, Picture, SCREEN_DPI, Scene, class_colour, clip, fitted, small_print, text_width,
};
use crate::record::{Example, PADDING};

/// Pixels of the PNG a pixel of the scene.
const PNG_SCALE: usize = PNG_DPI as usize / SCREEN_DPI as usize;
const TEXT: f64 = 12.5;
const LINE: f64 = 17.0;
const MARGIN: f64 = 18.0;
const GAP: f64 = 12.0;
/// Width of the words beside a row.
const WORDS: f64 = 132.0;
/// About how long the longer side of a slice is drawn.
const SIDE: f64 = 180.0;
const COLUMNS: [&str; 4] = ["image", "truth", "prediction", "errors"];
/// What the last column tells apart, in colours that colour-blind readers do.
const ERRORS: [(&str, u32); 4] =
    [("right class", 0x0072B2), ("wrong class", 0xD55E00), ("missed", 0xF0E442), ("predicted where nothing is", 0xCC79A7)];
/// How much of a class's colour is mixed into the image.
const TINT: f64 = 0.5;
/// Pixels of the PNG from a border within which the outline of the truth is dark, which shows in grey print and on its own colour, and that of the
/// prediction coloured.
const DARK: [usize; 2] = [1, 2];
/// The same within which that of the truth is coloured.
const COLOURED: [usize; 2] = [4, 5];
/// Width of a light stripe in pixels of the PNG.
const STRIPE: usize = 8;
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
    let side = examples.iter().map(wide).fold(NARROWEST, f64::max);
    let width = 2.0 * MARGIN + WORDS + 4.0 * side + 3.0 * GAP;
    let mut scene = Scene::new(title, width.ceil(), 0.0);
    let mut top = 12.0;
    for line in clip(title, TEXT + 1.5, true, width - 2.0 * MARGIN, 3) {
        top += LINE;
        scene.bold(line, (MARGIN, top), TEXT + 1.5, Align::Left, INK);
    }
    top += 1.6 * LINE;
    let lefts = [0.0, 1.0, 2.0, 3.0].map(|column| MARGIN + WORDS + column * (side + GAP));
    for (name, left) in COLUMNS.iter().zip(lefts) {
        scene.bold(*name, (left + side / 2.0, top), TEXT, Align::Centre, INK);
    }
    top = (top + 8.0).ceil();
    for example in examples {
        let middle = ((side - wide(example)) / 2.0).floor();
        top = row(&mut scene, example, lefts.map(|left| left + middle), top) + GAP;
    }
    let classes = classes.iter().enumerate().skip(1).map(|(i, name)| (*name, class_colour(i)));
    let errors = ERRORS.map(|(name, colour)| (name, Colour::of(colour)));
    for entries in [classes.collect::<Vec<_>>(), errors.to_vec()] {
        top += legend(&mut scene, &entries, top, width - 2.0 * MARGIN) + 2.0;
    }
    top += 6.0;
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

/// Side of a pixel of the slice in pixels of the PNG.
fn scale(example: &Example) -> usize {
    let longest = example.about.height.max(example.about.width) as f64;
    (SIDE * PNG_SCALE as f64 / longest).round().max(1.0) as usize
}

/// Width of the slice on the page.
fn wide(example: &Example) -> f64 {
    (scale(example) * example.about.width) as f64 / PNG_SCALE as f64
}

/// One slice; returns where it ends.
fn row(scene: &mut Scene, example: &Example, lefts: [f64; 4], top: f64) -> f64 {
    let (scale, width) = (scale(example), example.about.width);
    let (columns, rows) = (scale * width, scale * example.about.height);
    let at = |x: usize, y: usize| y / scale * width + x / scale;
    // Whether another class is at one of these distances.
    let near = |mask: &[u8], x: usize, y: usize, distances: &[usize]| {
        let here = mask[at(x, y)];
        let other = |x: usize, y: usize| x >= columns || y >= rows || mask[at(x, y)] != here;
        let at_distance = |d: &usize| {
            let (xs, ys) = ([x.wrapping_sub(*d), x, x + d], [y.wrapping_sub(*d), y, y + d]);
            xs.into_iter().any(|x| ys.into_iter().any(|y| other(x, y)))
        };
        here != 0 && here != PADDING && distances.iter().any(at_distance)
    };
    let shade = |mask: Option<&Vec<u8>>, x: usize, y: usize| {
        let (i, truth) = (at(x, y), &example.truth);
        let grey = Colour(example.image[i], example.image[i], example.image[i]);
        match mask {
            // What is predicted outside of the slice is of no interest.
            _ if truth[i] == PADDING => HATCH[usize::from(((x + y) / STRIPE).is_multiple_of(2))],
            None => grey,
            Some(_) if near(truth, x, y, &DARK) => INK,
            Some(_) if near(truth, x, y, &COLOURED) => class_colour(usize::from(truth[i])),
            Some(mask) if mask[i] == 0 => grey,
            Some(mask) if near(mask, x, y, &DARK) => class_colour(usize::from(mask[i])),
            Some(mask) => grey.mixed(class_colour(usize::from(mask[i])), TINT),
        }
    };
    let error = |x: usize, y: usize| match (example.truth[at(x, y)], example.predicted[at(x, y)]) {
        (PADDING, _) | (0, 0) => shade(None, x, y),
        (truth, predicted) if truth == predicted => Colour::of(ERRORS[0].1),
        (0, _) => Colour::of(ERRORS[3].1),
        (_, 0) => Colour::of(ERRORS[2].1),
        _ => Colour::of(ERRORS[1].1),
    };
    for (column, left) in lefts.into_iter().enumerate() {
        let mask = [None, Some(&example.truth), Some(&example.predicted)].get(column).copied();
        let pixel = |i: usize| mask.map_or_else(|| error(i % columns, i / columns), |mask| shade(mask, i % columns, i / columns));
        let pixels = (0..columns * rows).map(pixel).collect();
        scene.marks.push(Mark::Picture { picture: Picture { columns, pixels }, at: (left, top), side: 1.0 / PNG_SCALE as f64 });
    }
    let bottom = top + rows as f64 / PNG_SCALE as f64;
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

/// Colours and names from `top` on, as many in a line as fit; returns the height used.
fn legend(scene: &mut Scene, entries: &[(&str, Colour)], top: f64, width: f64) -> f64 {
    const SWATCH: f64 = 22.0;
    let (mut x, mut y) = (MARGIN, top + 14.0);
    for (name, colour) in entries {
        let name = fitted(name, TEXT, false, width - SWATCH - 8.0);
        let wide = SWATCH + 8.0 + text_width(&name, TEXT, false);
        if x > MARGIN && x + wide > MARGIN + width {
            (x, y) = (MARGIN, y + LINE + 3.0);
        }
        let frame = Frame { x0: x, y0: y - 11.0, x1: x + SWATCH, y1: y + 2.0 };
        scene.pill(frame, 2.0, (*colour, 1.0), INK, 1.0);
        scene.text(name, (x + SWATCH + 8.0, y), TEXT, Align::Left, INK);
        x += wide + 20.0;
    }
    y + 6.0 - top
}

fn notes(examples: &[Example]) -> Vec<String> {
    let mut notes = vec![
        "Each row is the slice with most foreground of a test volume; worst, median and best are by the Dice of the whole volume, which stands beside it. \
         Colours fill the classes of the mask; lines with a dark edge are the borders of the truth, in both columns. The last column tells right from wrong without the colours of classes."
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
    fn borders_of_the_truth_run_inside_their_class_and_padding_has_stripes() {
        let mut scene = Scene::new("", 0.0, 0.0);
        row(&mut scene, &example(3, 1, vec![2, 0, PADDING]), [0.0; 4], 0.0);
        let panels = scene.marks.iter().filter_map(|m| if let Mark::Picture { picture, .. } = m { Some(picture) } else { None });
        let panels: Vec<&Picture> = panels.collect();
        let (grey, class) = (Colour(90, 90, 90), class_colour(2));
        let side = panels[0].columns / 3;
        for (panel, [edge, line, inside]) in panels.into_iter().zip([[grey; 3], [INK, class, grey.mixed(class, TINT)]]) {
            let at = |x: usize| panel.pixels[side / 2 * panel.columns + x];
            assert_eq!([at(0), at(4), at(side / 2), at(side - 1), at(side)], [edge, line, inside, edge, grey]);
            assert!(HATCH.contains(&at(2 * side)));
        }
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
