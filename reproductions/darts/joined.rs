//! Which weights, running statistics and mixing weights the grouped form joins, and in what order.

use super::alpha::OPS;
use super::grouped::{Group, Grouped, GroupedCell, Norm};
use super::pieces::{ONE, Piece, Pieces, Places, ZERO};
use crate::gradient::alpha::offset;
use crate::network::is_reduction;
use crate::nn::Table;
use crate::space::darts::{EDGES, NODES};
use crate::space::{DartsOp, InputShape};
use std::ops::Range;
use tch::{Device, Tensor};

/// Operations with two stages, and those with one.
const SEPARABLE: [DartsOp; 2] = [DartsOp::SepConv3, DartsOp::SepConv5];
const DILATED: [DartsOp; 2] = [DartsOp::DilConv3, DartsOp::DilConv5];
const POOLS: [DartsOp; 2] = [DartsOp::MaxPool3, DartsOp::AvgPool3];
/// Side of all depthwise windows.
const SIDE: i64 = 5;

/// What is joined so far.
struct Joining {
    params: Places,
    stats: Places,
    weights: Pieces,
    mixing: Pieces,
    running: Pieces,
    back: Vec<i64>,
}

/// A group of edges of cell `cell`.
#[derive(Clone, Copy)]
struct Where {
    cell: usize,
    channels: i64,
    reduction: bool,
    /// 0 for the edges that leave the inputs, then the number of the node that they leave, from 1.
    group: usize,
}

impl Where {
    fn sources(self) -> Range<usize> {
        if self.group == 0 { 0..2 } else { self.group + 1..self.group + 2 }
    }

    /// The nodes that they go to, from 0.
    fn targets(self) -> Range<usize> {
        self.group..NODES
    }

    fn edge(self, target: usize, source: usize) -> String {
        format!("cell{}.node{}.from{source}", self.cell, target + 2)
    }

    /// All edges, by target and source.
    fn edges(self) -> Vec<String> {
        self.targets().flat_map(|target| self.sources().map(move |source| self.edge(target, source))).collect()
    }

    /// Whether its edges halve the maps.
    fn halves(self) -> bool {
        self.reduction && self.group == 0
    }

    /// Skip connections that halve, by source and target.
    fn skips(self) -> Vec<String> {
        let name = |target, source| format!("{}.{}.reduce", self.edge(target, source), DartsOp::SkipConnect.name());
        let of = |source| self.targets().map(move |target| name(target, source));
        if self.halves() { self.sources().flat_map(of).collect() } else { Vec::new() }
    }

    /// Where the logit of an operation on an edge stands among all.
    fn logit(self, op: DartsOp, target: usize, source: usize) -> i64 {
        let row = usize::from(self.reduction) * EDGES + offset(target) + source;
        (row * OPS + op as usize) as i64
    }

    /// The mixing weights of all blocks, for every row of what they are added up to, by row and block.
    fn mixing(self) -> (i64, Vec<i64>) {
        // One column a block: its weight for each node.
        let mut columns: Vec<[i64; NODES]> = Vec::new();
        let reached = |target: usize, entry: i64| if self.targets().contains(&target) { entry } else { ZERO };
        let of_state = |op, source| std::array::from_fn(|target| reached(target, self.logit(op, target, source)));
        if self.group > 0 {
            for node in 0..NODES {
                // A node goes on as it is, and the state that the group leaves to others by its skip connections.
                let left = if node + 1 == self.group { of_state(DartsOp::SkipConnect, node + 2) } else { [ZERO; NODES] };
                columns.push(std::array::from_fn(|target| if target == node { ONE } else { left[target] }));
            }
        } else if !self.reduction {
            columns.extend(self.sources().map(|source| of_state(DartsOp::SkipConnect, source)));
        }
        let only = |op, to, source| std::array::from_fn(|target| if target == to { self.logit(op, to, source) } else { ZERO });
        for op in SEPARABLE.into_iter().chain(DILATED) {
            columns.extend(self.targets().flat_map(|to| self.sources().map(move |source| only(op, to, source))));
        }
        columns.extend(POOLS.into_iter().flat_map(|op| self.sources().map(move |source| of_state(op, source))));
        if self.halves() {
            columns.extend(self.sources().flat_map(|source| self.targets().map(move |to| only(DartsOp::SkipConnect, to, source))));
        }
        // The next state is given once more to ReLU and pools.
        let again = if self.group + 1 < NODES { 3 } else { 0 };
        let rows = (0..NODES).chain(std::iter::repeat_n(self.group, again));
        (columns.len() as i64, rows.flat_map(|node| columns.iter().map(move |column| column[node])).collect())
    }
}

impl Joining {
    fn weights(&mut self, tail: &[i64], names: impl IntoIterator<Item = String>) -> Piece {
        let entries = names.into_iter().flat_map(|name| self.params.entries(&name)).collect();
        self.weights.add(tail, entries)
    }

    /// Depthwise kernels of a stage of operations on edges.
    fn depthwise(&mut self, at: Where, ops: [DartsOp; 2], stage: usize) -> Piece {
        let mut entries = Vec::new();
        for (op, edge) in ops.iter().flat_map(|op| at.edges().into_iter().map(move |edge| (op, edge))) {
            let kernel = self.params.entries(&format!("{edge}.{}.stage{stage}.conv0.weight", op.name()));
            let taps = (kernel.end - kernel.start) / at.channels;
            entries.extend(kernel.step_by(taps as usize).flat_map(|start| framed(start, taps)));
        }
        self.weights.add(&[1, SIDE, SIDE], entries)
    }

    fn pointwise(&mut self, at: Where, ops: [DartsOp; 2], stage: usize) -> Piece {
        let names =
            ops.iter().flat_map(|op| at.edges().into_iter().map(move |edge| format!("{edge}.{}.stage{stage}.conv1.weight", op.name())));
        self.weights(&[at.channels, 1, 1], names)
    }

    /// The two kernels of each of these factorised reductions as one of 2x2 pixels.
    fn halving(&mut self, names: &[String], inputs: i64) -> Piece {
        let mut entries = Vec::new();
        for name in names {
            let [straight, shifted] = ["conv0", "conv1"].map(|conv| self.params.entries(&format!("{name}.{conv}.weight")));
            entries.extend(straight.flat_map(|entry| [entry, ZERO, ZERO, ZERO]));
            entries.extend(shifted.flat_map(|entry| [ZERO, ZERO, ZERO, entry]));
        }
        self.weights.add(&[inputs, 2, 2], entries)
    }

    /// Joins norms; all of one block are alike, and the first of them is taken.
    fn norm(&mut self, blocks: &[Vec<String>]) -> Norm {
        Norm(["running_mean", "running_var"].map(|which| {
            let mut entries = Vec::new();
            for block in blocks {
                let taken = self.running.count() + entries.len() as i64;
                for name in block {
                    for (i, entry) in self.stats.entries(&format!("{name}.{which}")).enumerate() {
                        self.back[entry as usize] = taken + i as i64;
                    }
                }
                entries.extend(self.stats.entries(&format!("{}.{which}", block[0])));
            }
            self.running.add(&[], entries)
        }))
    }

    fn group(&mut self, at: Where) -> Group {
        let norms = |ops: [DartsOp; 2], stage: usize| -> Vec<Vec<String>> {
            ops.iter()
                .flat_map(|op| at.edges().into_iter().map(move |edge| vec![format!("{edge}.{}.stage{stage}.norm", op.name())]))
                .collect()
        };
        let pool =
            |op: DartsOp, source: usize| at.targets().map(|target| format!("{}.{}.norm", at.edge(target, source), op.name())).collect();
        let pools = POOLS.iter().flat_map(|op| at.sources().map(move |source| pool(*op, source)));
        let skips = at.skips();
        let last =
            [norms(SEPARABLE, 1), norms(DILATED, 0), pools.collect(), skips.iter().map(|name| vec![format!("{name}.norm")]).collect()];
        let (blocks, mixing) = at.mixing();
        Group {
            stride: if at.halves() { 2 } else { 1 },
            sources: at.sources().len() as i64,
            targets: at.targets().len() as i64,
            first: [self.depthwise(at, SEPARABLE, 0), self.depthwise(at, DILATED, 0)],
            pointwise: [self.pointwise(at, SEPARABLE, 0), self.pointwise(at, DILATED, 0)],
            inner: self.norm(&norms(SEPARABLE, 0)),
            second: self.depthwise(at, SEPARABLE, 1),
            second_pointwise: self.pointwise(at, SEPARABLE, 1),
            skip: (!skips.is_empty()).then(|| self.halving(&skips, at.channels)),
            norm: self.norm(&last.concat()),
            mixing: self.mixing.add(&[blocks, 1, 1], mixing),
        }
    }

    fn cell(&mut self, at: Where, inputs: (i64, i64), halves: bool) -> GroupedCell {
        let [older, newer] = [0, 1].map(|i| format!("cell{}.preprocess{i}", at.cell));
        let mut pointwise = |name: &str, inputs: i64| self.weights(&[inputs, 1, 1], [format!("{name}.conv0.weight")]);
        let second = pointwise(&newer, inputs.1);
        let first = if halves { self.halving(std::slice::from_ref(&older), inputs.0) } else { pointwise(&older, inputs.0) };
        GroupedCell {
            channels: at.channels,
            reduction: at.reduction,
            enter: [first, second],
            halves,
            norm: self.norm(&[older, newer].map(|name| vec![format!("{name}.norm")])),
            groups: (0..NODES).map(|group| self.group(Where { group, ..at })).collect(),
        }
    }
}

impl Grouped {
    /// Of the search network that `table` declares, with these sizes.
    pub fn new(table: &Table, input: InputShape, channels: i64, cells: usize, device: Device) -> Self {
        let stats = Places::new(table.stat_names(), table.stat_shapes());
        let back = vec![0; stats.count() as usize];
        let params = Places::new(table.names(), table.shapes());
        let mut joining =
            Joining { params, stats, weights: Pieces::default(), mixing: Pieces::default(), running: Pieces::default(), back };
        let j = &mut joining;
        let stem_norm = ["weight", "bias"].map(|name| j.weights(&[], [format!("stem.norm.{name}")]));
        let stem = (j.weights(&[input.channels, 3, 3], ["stem.conv.weight".into()]), stem_norm, j.norm(&[vec!["stem.norm".into()]]));
        let stem_channels = j.stats.entries("stem.norm.running_mean").count() as i64;
        let (mut older, mut newer, mut width, mut halves) = (stem_channels, stem_channels, channels, false);
        let mut cell = |index: usize| {
            let reduction = is_reduction(index, cells);
            width *= if reduction { 2 } else { 1 };
            let cell = j.cell(Where { cell: index, channels: width, reduction, group: 0 }, (older, newer), halves);
            (older, newer, halves) = (newer, NODES as i64 * width, reduction);
            cell
        };
        let cells = (0..cells).map(&mut cell).collect();
        let classifier = [j.weights(&[newer], ["classifier.weight".into()]), j.weights(&[], ["classifier.bias".into()])];
        let Joining { params, stats, weights, mixing, running, back } = joining;
        Self {
            weights: weights.gather(params.count(), device),
            mixing: mixing.gather((2 * EDGES * OPS) as i64, device),
            running: running.gather(stats.count(), device),
            back: Tensor::from_slice(&back).to_device(device),
            stem,
            cells,
            classifier,
        }
    }
}

/// A square kernel of so many taps in the middle of one of 5x5.
fn framed(start: i64, taps: i64) -> Vec<i64> {
    let side = if taps == SIDE * SIDE { SIDE } else { 3 };
    let border = (SIDE - side) / 2;
    let at = |row: i64, column: i64| {
        let inside = |i: i64| (border..border + side).contains(&i);
        if inside(row) && inside(column) { start + (row - border) * side + column - border } else { ZERO }
    };
    (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| at(row, column))).collect()
}
