//! A found cell as a graph: inputs at the left, nodes in layers, output at the right; each operation stands in a box on its edge.

use super::chain::chain;
use super::graph::{Graph, layers as layers_of};
use super::layout::{Item, Placed, layers};
use super::render::{PNG_DPI, pdf, png, svg, text_width};
use super::scene::{Align, Colour, FAINT, Frame, INK, Mark, PAPER, Point, Scene, cubic};
use super::style::colour;
use super::words::{fitted, wrap};
use crate::error::{Error, Result};
use crate::record::write_output;
use crate::space::Architecture;
use std::path::Path;

const TEXT: f64 = 12.5;
const BOX: f64 = 23.0;
const BOX_GAP: f64 = 7.0;
const NODE: f64 = 15.0;
const TO_NODE: f64 = 22.0;
const GAP: f64 = 74.0;
const END_WIDTH: f64 = 58.0;
const MARGIN: f64 = 18.0;
const TITLE: f64 = 27.0;
/// A title that is longer than the drawing and than this is cut.
const LONGEST: f64 = 900.0;
/// Height of a line of small print.
const FOOT: f64 = 14.0;
const SUM: &str = "Each node adds its two operations";
/// An operation from which nothing comes.
const NONE: &str = "none";
/// A column of the drawing.
struct Column {
    left: f64,
    right: f64,
    /// Width of the operation boxes.
    boxes: f64,
    items: Vec<Placed>,
}

impl Column {
    /// Where the line of a state leaves: lanes and nodes end with the column, or before it, a narrower input with its box.
    fn port(&self, cell: &Graph, state: usize) -> Option<Point> {
        let placed = self.items.iter().find(|p| p.item.state() == Some(state))?;
        let right = match placed.item {
            Item::State(s) if s < cell.inputs => self.left + END_WIDTH,
            Item::State(_) => self.left + self.boxes + TO_NODE + 2.0 * NODE,
            _ => self.right,
        };
        Some((right, placed.y))
    }
}

/// The cells of an architecture, one below the other, or a whole network, and below them what is to be said about it; `None` for what has no drawing. Type has one size in all drawings.
///
/// # Errors
/// If a cell or a network is not sound.
pub fn architecture(architecture: &Architecture, title: &str, about: &str) -> Result<Option<Scene>> {
    let mut parts: Vec<Scene> = Graph::cells(architecture)?.iter().map(|(name, cell)| draw_cell(cell, name, title)).collect();
    parts.extend(layers_of(architecture)?.map(|layers| chain(&layers, title)));
    if parts.is_empty() {
        return Ok(None);
    }
    let width = parts.iter().map(|p| p.width).fold(0.0, f64::max);
    let mut page = Scene::new(title, width, 0.0);
    for part in parts {
        let (top, height) = (page.height, part.height);
        page.place(part, (0.0, top));
        page.height += height;
    }
    for line in wrap(about, TEXT - 1.0, width - 2.0 * MARGIN) {
        page.text(line, (MARGIN, page.height + 4.0), TEXT - 1.0, Align::Left, INK);
        page.height += FOOT + 2.0;
    }
    page.height = page.height.ceil();
    Ok(Some(page))
}

/// A cell with its name, its inputs and how its states are joined.
fn draw_cell(cell: &Graph, name: &str, title: &str) -> Scene {
    let before = ["k−2", "k−1"];
    let joins = if cell.stacked.is_empty() { SUM } else { "Round nodes add their two operations, square ones stack them" };
    let foot = format!("{joins}. The output is the concatenation of its inputs");
    let (kind, inputs, foot) = match name {
        "block" => (
            "block".to_string(),
            before,
            "Each node applies one operation with shared weights to both inputs and adds the results; the block's output is the mean of its inputs.".to_string(),
        ),
        "down" => ("down cell".into(), before, format!("{foot}; it is half as high and wide as the output of the cell before.")),
        "up" => (
            "up cell".into(),
            ["skip", before[1]],
            format!("{foot}; it is twice as high and wide as the output of the cell before. Skip is the map of that size on the way down."),
        ),
        "searched" => (
            "cell".into(),
            [before[1]; 2],
            "Each node adds the results of its operations on the nodes before it; none is zero. The output is the last node.".to_string(),
        ),
        other => (format!("{other} cell"), before, format!("{foot}.")),
    };
    let mut cell = cell.clone();
    let mut columns = columns(&mut cell);
    let items = || columns.iter().flat_map(|c| &c.items);
    let top = items().map(|i| i.y - height(&cell, i.item) / 2.0).fold(f64::INFINITY, f64::min);
    let bottom = items().map(|i| i.y + height(&cell, i.item) / 2.0).fold(f64::NEG_INFINITY, f64::max);
    let right = columns.last().map_or(0.0, |c| c.right);
    let title = &fitted(&format!("{title}: {kind}"), TEXT + 1.5, true, right.max(LONGEST));
    let width = (right + MARGIN).max(text_width(title, TEXT + 1.5, true) + 2.0 * MARGIN);
    let feet = wrap(&foot, TEXT - 2.0, width - 2.0 * MARGIN);
    let mut scene = Scene::new(title, width.ceil(), (bottom - top + TITLE + 2.0 * MARGIN + FOOT * feet.len() as f64).ceil());
    columns.iter_mut().flat_map(|c| &mut c.items).for_each(|i| i.y += TITLE + MARGIN - top);
    scene.bold(title, (MARGIN, 27.0), TEXT + 1.5, Align::Left, INK);
    columns.windows(2).for_each(|pair| draw_lines(&mut scene, &cell, &pair[0], &pair[1]));
    for column in &columns {
        column.items.iter().for_each(|item| draw_item(&mut scene, &cell, inputs, column, *item));
    }
    for (i, line) in feet.iter().rev().enumerate() {
        scene.text(line, (MARGIN, scene.height - 12.0 - FOOT * i as f64), TEXT - 2.0, Align::Left, FAINT);
    }
    scene
}

/// Room for an item.
fn height(cell: &Graph, item: Item) -> f64 {
    match item {
        Item::Lane(_) => 20.0,
        Item::State(s) if s < cell.inputs => 54.0,
        Item::State(s) => {
            let boxes = cell.nodes[s - cell.inputs].len() as f64;
            boxes * BOX + (boxes - 1.0) * BOX_GAP + 22.0
        }
        Item::Output => output_half(cell) * 2.0,
    }
}

fn output_half(cell: &Graph) -> f64 {
    (8.0 * cell.concat.len() as f64).max(17.0)
}

/// Lays the cell out; the operations of a node stand in the order of the heights of their sources.
fn columns(cell: &mut Graph) -> Vec<Column> {
    let mut left = MARGIN;
    let mut out: Vec<Column> = Vec::new();
    for items in layers(cell, |item| height(cell, item)) {
        let nodes = items.iter().filter_map(|i| if let Item::State(s) = i.item { s.checked_sub(cell.inputs) } else { None });
        let mut widest: f64 = 0.0;
        for node in nodes {
            let height = |from| out.last().and_then(|before| before.port(cell, from)).map_or(0.0, |at| at.1);
            let mut links = cell.nodes[node].clone();
            links.sort_by(|a, b| height(a.from).total_cmp(&height(b.from)));
            widest = links.iter().map(|link| text_width(&link.op, TEXT, false)).fold(widest, f64::max);
            cell.nodes[node] = links;
        }
        let boxes = widest + 18.0;
        let width = if widest > 0.0 { boxes + TO_NODE + 2.0 * NODE } else { END_WIDTH };
        out.push(Column { left, right: left + width, boxes, items });
        left += width + GAP;
    }
    out
}

/// Where the operations of a node enter: the left ends of so many boxes.
fn box_middles(y: f64, boxes: usize) -> impl Iterator<Item = f64> {
    let first = y - (BOX + BOX_GAP) * (boxes as f64 - 1.0) / 2.0;
    (0..boxes).map(move |i| first + (BOX + BOX_GAP) * i as f64)
}

/// The lines between two columns, and the lanes of the second.
fn draw_lines(scene: &mut Scene, cell: &Graph, before: &Column, column: &Column) {
    for target in &column.items {
        let sources = target.item.sources(cell).into_iter();
        let mut starts: Vec<(usize, Point)> = sources.filter_map(|s| Some((s, before.port(cell, s)?))).collect();
        starts.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let (apart, arrow) = match target.item {
            Item::Lane(s) => {
                scene.line(vec![(column.left, target.y), (column.right, target.y)], 1.7, colour(s));
                (0.0, false)
            }
            Item::State(_) => (BOX + BOX_GAP, true),
            Item::Output => (16.0, true),
        };
        let first = target.y - apart * (starts.len() as f64 - 1.0) / 2.0;
        for (i, (state, start)) in starts.into_iter().enumerate() {
            curve(scene, start, (column.left, first + apart * i as f64), colour(state), arrow);
        }
    }
}

fn curve(scene: &mut Scene, from: Point, to: Point, colour: Colour, arrow: bool) {
    let end = if arrow { (to.0 - 6.0, to.1) } else { to };
    let bend = 0.55 * (end.0 - from.0);
    scene.line(cubic(from, from.0 + bend, end.0 - bend, end), 1.7, colour);
    if arrow {
        scene.area(vec![to, (to.0 - 9.0, to.1 - 4.5), (to.0 - 9.0, to.1 + 4.5)], colour);
    }
}

fn draw_item(scene: &mut Scene, cell: &Graph, inputs: [&str; 2], column: &Column, placed: Placed) {
    let y = placed.y;
    match placed.item {
        Item::Lane(_) => {}
        Item::State(s) if s >= cell.inputs => draw_node(scene, cell, column, s, y),
        Item::State(s) => {
            let frame = Frame { x0: column.left, y0: y - 17.0, x1: column.left + END_WIDTH, y1: y + 17.0 };
            scene.pill(frame, 7.0, (colour(s), 0.12), colour(s), 1.6);
            let middle = column.left + END_WIDTH / 2.0;
            // The output of an earlier cell has an index.
            if inputs[s].starts_with('k') {
                indexed(scene, inputs[s], (middle, y));
            } else {
                scene.text(inputs[s], (middle, y + 0.35 * TEXT), TEXT, Align::Centre, INK);
            }
        }
        Item::Output => {
            let frame = Frame { x0: column.left, y0: y - output_half(cell), x1: column.right, y1: y + output_half(cell) };
            scene.pill(frame, 7.0, (INK, 0.07), INK, 1.6);
            indexed(scene, "k", (column.left + END_WIDTH / 2.0, y));
        }
    }
}

/// `c` with an index, in the middle of a box.
fn indexed(scene: &mut Scene, index: &str, middle: Point) {
    let (large, small) = (TEXT + 2.0, TEXT - 2.0);
    let (c, i) = (text_width("c", large, false), text_width(index, small, false));
    let left = middle.0 - (c + i + 1.0) / 2.0;
    scene.text("c", (left, middle.1 + 4.0), large, Align::Left, INK);
    scene.text(index, (left + c + 1.0, middle.1 + 8.0), small, Align::Left, INK);
}

fn draw_node(scene: &mut Scene, cell: &Graph, column: &Column, state: usize, y: f64) {
    let centre = (column.left + column.boxes + TO_NODE + NODE, y);
    let links = &cell.nodes[state - cell.inputs];
    for (edge, at) in links.iter().zip(box_middles(y, links.len())) {
        let right = column.left + column.boxes;
        if edge.op != NONE {
            scene.line(vec![(right, at), (centre.0 - 0.75 * NODE, y + (at - y) * 0.35)], 1.7, INK);
        }
        let frame = Frame { x0: column.left, y0: at - BOX / 2.0, x1: right, y1: at + BOX / 2.0 };
        scene.pill(frame, 5.0, (PAPER, 1.0), colour(edge.from), 1.6);
        let ink = if edge.op == NONE { FAINT } else { INK };
        scene.text(&edge.op, ((frame.x0 + frame.x1) / 2.0, at + 0.35 * TEXT), TEXT, Align::Centre, ink);
    }
    let node = Frame { x0: centre.0 - NODE, y0: y - NODE, x1: centre.0 + NODE, y1: y + NODE };
    if cell.stacked.contains(&state) {
        scene.pill(node, 3.0, (colour(state), 0.12), colour(state), 1.8);
    } else {
        scene.disc(centre, NODE + 0.9, colour(state));
        scene.disc(centre, NODE - 0.9, PAPER);
        scene.marks.push(Mark::Disc { at: centre, radius: NODE - 0.9, colour: colour(state), opacity: 0.12 });
    }
    // With two inputs the nodes are numbered by themselves, with one it is number 0.
    let number = if cell.inputs == 1 { state } else { state - cell.inputs };
    scene.text(number.to_string(), (centre.0, y + 0.36 * TEXT), TEXT, Align::Centre, INK);
}

/// Draws the cells of an architecture, one below the other, into an `.svg`, `.png` or `.pdf` file.
///
/// # Errors
/// [`Error::Usage`] for another extension, for a cell that is not sound and for an architecture that has no drawing, [`Error::Resource`] if the
/// file cannot be written.
pub fn draw_architecture(architecture: &Architecture, title: &str, path: &Path) -> Result<()> {
    let scene = || self::architecture(architecture, title, "")?.ok_or_else(|| Error::Usage(format!("{title}: there is no drawing of it")));
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let bytes = match extension.as_deref() {
        Some("svg") => svg(&scene()?)?.into_bytes(),
        Some("png") => png(&scene()?, PNG_DPI)?,
        Some("pdf") => pdf(&scene()?)?,
        _ => return Err(Error::Usage(format!("{}: name a file that ends in .svg, .png or .pdf", path.display()))),
    };
    write_output(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::super::graph::Link;
    use super::*;
    use crate::seed::Streams;
    use rand::RngExt;
    use serde_json::{Value, json};

    /// A cell of `nodes` nodes with sources drawn at random, and the loose ends and some others in its concat list.
    fn random_cell(nodes: usize, seed: u64) -> Graph {
        let mut rng = Streams::new(seed).rng("cell", nodes as u64);
        let ops = ["sep_conv_7x7", "conv_7x1_1x7", "skip_connect", "max_pool_3x3", "none", "dil_conv_5x5"];
        let mut draw = |i: usize| Link { op: ops[rng.random_range(0..ops.len())].into(), from: rng.random_range(0..i + 2) };
        let nodes: Vec<Vec<Link>> = (0..nodes).map(|i| vec![draw(i), draw(i)]).collect();
        let used = |s: usize| nodes.iter().flatten().any(|e| e.from == s);
        let concat = (0..nodes.len() + 2).filter(|s| (*s >= 2 && !used(*s)) || s % 3 == 1).collect();
        Graph { inputs: 2, nodes, concat, stacked: Vec::new() }
    }

    #[test]
    fn no_label_is_cut_or_covered_in_cells_of_one_to_seven_nodes() {
        for nodes in 1..=7 {
            for seed in 0..40 {
                let scene = draw_cell(&random_cell(nodes, seed), "normal", "drawn at random");
                scene.assert_sound();
                // Two operations and a number a node; c and its index three times; the title; a foot of one to three lines.
                let texts = scene.texts().count();
                assert!((3 * nodes + 8..=3 * nodes + 10).contains(&texts), "{texts} texts for {nodes} nodes");
            }
        }
    }

    fn e(op: &str, from: usize) -> Value {
        json!({"op": op, "from": from})
    }

    /// A U of cells with two nodes, the last edge of which reads this state.
    fn u(last: usize) -> Architecture {
        let down = [[e("avg_pool", 0), e("down_conv", 1)], [e("down_cweight", 1), e("identity", 2)]];
        let up = [[e("conv", 0), e("up_conv", 1)], [e("up_dep_conv", 1), e("cweight", last)]];
        serde_json::from_value(json!({"space": "nas_unet", "down": down, "up": up})).unwrap()
    }

    #[test]
    fn both_cells_of_a_u_are_drawn_with_the_inputs_of_their_direction() {
        let scene = architecture(&u(2), "a U", "97.1 %, 12 weights").unwrap().unwrap();
        scene.assert_sound();
        let count = |words: &str| scene.texts().filter(|t| t.words == words).count();
        assert_eq!((count("a U: down cell"), count("a U: up cell")), (1, 1));
        // Down: k-2, k-1, k. Up: skip, k-1, k.
        assert_eq!([count("k−2"), count("k−1"), count("k"), count("skip")], [1, 2, 2, 1]);
        for op in ["avg_pool", "down_conv", "down_cweight", "identity", "conv", "up_conv", "up_dep_conv", "cweight"] {
            assert_eq!(count(op), 1, "{op}");
        }
    }

    #[test]
    fn a_cell_with_one_input_is_drawn_with_all_its_edges() {
        let text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|";
        let cell: Architecture = serde_json::from_value(json!({"space": "nas-bench-201", "cell": text})).unwrap();
        let scene = architecture(&cell, "a cell", "").unwrap().unwrap();
        scene.assert_sound();
        let count = |words: &str| scene.texts().filter(|t| t.words == words).count();
        assert_eq!(["nor_conv_3x3", "none", "skip_connect", "nor_conv_1x1", "avg_pool_3x3"].map(count), [1, 2, 1, 1, 1]);
        assert_eq!(["a cell: cell", "k−1", "k", "1", "2", "3", "0"].map(count), [1, 1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn a_cell_or_a_layer_that_reads_ahead_is_refused_and_what_has_neither_is_not_drawn() {
        assert!(architecture(&u(7), "bad", "").is_err());
        let of = |value: Value| architecture(&serde_json::from_value(value).unwrap(), "t", "");
        let cell = |from| json!({"nodes": [[e("sep_conv_3x3", 0), e("sep_conv_3x3", from)]], "concat": [2]});
        let pair = |from| of(json!({"space": "darts", "normal": cell(1), "reduce": cell(from)}));
        assert!(pair(2).is_err() && pair(1).unwrap().is_some());
        let layer = |skips: &[usize]| json!({"op": "conv_3x3", "skips": skips});
        let net = |skips: &[usize]| of(json!({"space": "enas_macro", "layers": [layer(&[]), layer(&[]), layer(skips)]}));
        assert!(net(&[2]).is_err());
        net(&[0, 1]).unwrap().unwrap().assert_sound();
        assert_eq!(of(json!({"space": "unet", "channels": 8, "depth": 2})).unwrap(), None);
    }
}
