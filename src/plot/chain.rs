//! A whole network as a chain of layers, with its skips as arcs.

use super::graph::Layer;
use super::render::text_width;
use super::scene::{Align, Colour, FAINT, Frame, INK, PAPER, Point, Scene, cubic};
use super::style::colour;
use super::words::fitted;

const TEXT: f64 = 12.5;
const ROW: f64 = 34.0;
const BOX: f64 = 23.0;
const MARGIN: f64 = 18.0;
const NUMBER: f64 = 30.0;
const TITLE: f64 = 44.0;
/// A title that is longer is cut.
const LONGEST: f64 = 900.0;

/// The network from top to bottom: stem, layers, classifier.
pub fn chain(layers: &[Layer], title: &str) -> Scene {
    let widest = layers.iter().map(|l| text_width(&l.op, TEXT, false)).fold(text_width("classifier", TEXT, false), f64::max);
    let (left, right) = (MARGIN + NUMBER, MARGIN + NUMBER + widest + 20.0);
    let reach = (0..layers.len()).flat_map(|l| layers[l].skips.iter().map(move |s| bulge(l + 1 - s))).fold(40.0, f64::max);
    let foot = "Arcs carry earlier outputs to a layer. After a dashed line the maps are half as large.";
    let title = &fitted(title, TEXT + 1.5, true, LONGEST);
    let width = (right + reach + MARGIN)
        .max(text_width(title, TEXT + 1.5, true) + 2.0 * MARGIN)
        .max(text_width(foot, TEXT - 2.0, false) + 2.0 * MARGIN);
    let mut scene = Scene::new(title, width.ceil(), (TITLE + ROW * (layers.len() + 2) as f64 + 30.0).ceil());
    scene.bold(title, (MARGIN, 27.0), TEXT + 1.5, Align::Left, INK);
    let middle = |row: usize| TITLE + ROW * (row as f64 + 0.5);
    for (l, layer) in layers.iter().enumerate() {
        for source in &layer.skips {
            arc(&mut scene, (right, middle(*source)), (right, middle(l + 1)), bulge(l + 1 - source), colour(*source));
        }
    }
    let names = std::iter::once("stem").chain(layers.iter().map(|l| l.op.as_str())).chain(["classifier"]);
    let centre = (left + right) / 2.0;
    for (row, name) in names.enumerate() {
        let y = middle(row);
        if row > 0 {
            scene.line(vec![(centre, y - ROW + BOX / 2.0), (centre, y - BOX / 2.0)], 1.7, INK);
        }
        scene.pill(Frame { x0: left, y0: y - BOX / 2.0, x1: right, y1: y + BOX / 2.0 }, 5.0, (PAPER, 1.0), INK, 1.6);
        scene.text(name, (centre, y + 0.35 * TEXT), TEXT, Align::Centre, INK);
        if row > 0 && row <= layers.len() {
            scene.text((row - 1).to_string(), (left - 8.0, y + 0.35 * TEXT), TEXT - 1.0, Align::Right, FAINT);
        }
    }
    // A network is three parts of as many layers.
    let third = layers.len() / 3;
    for layer in [third, 2 * third].into_iter().filter_map(|end| end.checked_sub(1)) {
        let y = middle(layer + 1) + ROW / 2.0;
        scene.dashes(vec![(left - 12.0, y), (right + 12.0, y)], 1.2, FAINT, 4.0);
    }
    scene.text(foot, (MARGIN, scene.height - 12.0), TEXT - 2.0, Align::Left, FAINT);
    scene
}

/// How far an arc over `rows` rows swings out.
fn bulge(rows: usize) -> f64 {
    14.0 + 12.0 * rows as f64
}

fn arc(scene: &mut Scene, from: Point, to: Point, bulge: f64, colour: Colour) {
    let end = (to.0 + 6.0, to.1);
    // The ends leave sideways, so the curve reaches three quarters of its control points.
    scene.line(cubic(from, from.0 + bulge / 0.75, end.0 + bulge / 0.75, end), 1.3, colour);
    scene.area(vec![to, (to.0 + 8.0, to.1 - 4.0), (to.0 + 8.0, to.1 + 4.0)], colour);
}
