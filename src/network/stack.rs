//! What networks of cells have in common: a stem, cells of which each reads the two outputs before it, and a classifier of the averaged maps.

use super::auxiliary::Auxiliary;
use super::candidate::Candidate;
use super::map::Map;
use crate::error::Result;
use crate::nn::{ConvBn, Linear, Network, Output, Pass, ReluConvBn, Table, Weights, global_average};
use tch::Tensor;

/// A side of a node.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub op: Candidate,
    /// The state that it reads.
    pub from: usize,
    /// Drop path never drops it.
    pub spared: bool,
}

impl Side {
    fn forward(&self, w: &Weights, states: &[Tensor], pass: &mut Pass) -> Tensor {
        let out = self.op.forward(w, &states[self.from], pass.training);
        if self.spared { out } else { pass.drop_path(out) }
    }
}

/// A node of a cell: its two sides, added or stacked.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub sides: [Side; 2],
    /// Where the sides are stacked and not added: back to the cell's width.
    pub join: Option<ReluConvBn>,
}

/// A cell of a stack; its output joins states.
#[derive(Clone, Debug)]
pub(super) struct BuiltCell {
    /// What the older and the newer input go through, in a row.
    pub inputs: [Vec<Candidate>; 2],
    /// Whether the newer input goes first, which decides in which order gradients are added.
    pub newer_first: bool,
    pub nodes: Vec<Node>,
    /// The states of the output, and what they go through.
    pub outputs: Vec<(usize, Candidate)>,
    /// The output is the mean of the states.
    pub averages: bool,
}

impl BuiltCell {
    pub fn forward(&self, w: &Weights, older: &Tensor, newer: &Tensor, pass: &mut Pass) -> Tensor {
        let training = pass.training;
        let enter = |i: usize, x: &Tensor| self.inputs[i].iter().fold(x.shallow_clone(), |x, op| op.forward(w, &x, training));
        let first = self.newer_first.then(|| enter(1, newer));
        let older = enter(0, older);
        let mut states = vec![older, first.unwrap_or_else(|| enter(1, newer))];
        for node in &self.nodes {
            let [a, b] = [0, 1].map(|side| node.sides[side].forward(w, &states, pass));
            states.push(match &node.join {
                Some(join) => join.forward(w, &Tensor::cat(&[a, b], 1), training),
                None => a + b,
            });
        }
        let outputs: Vec<Tensor> = self.outputs.iter().map(|(s, op)| op.forward(w, &states[*s], training)).collect();
        if self.averages {
            return outputs[1..].iter().fold(outputs[0].shallow_clone(), |sum, x| sum + x) / outputs.len() as f64;
        }
        Tensor::cat(&outputs, 1)
    }
}

/// An auxiliary head that is asked for.
pub(super) struct Head {
    /// The cell whose output it reads.
    pub at: usize,
    pub declare: fn(&mut Table, Map, i64) -> Result<Auxiliary>,
    pub classes: i64,
}

/// Cells in a row, and perhaps an auxiliary head.
#[derive(Debug)]
pub(super) struct Stack {
    pub cells: Vec<BuiltCell>,
    /// What the first cell reads, twice, and the output of each.
    pub maps: Vec<Map>,
    pub auxiliary: Option<(usize, Auxiliary)>,
}

impl Stack {
    /// Declares `count` cells under `scope` and their number; `cell` declares one, of this number, that reads an older and a newer map.
    pub fn declare(
        t: &mut Table,
        (scope, count): (&str, usize),
        first: Map,
        head: Option<Head>,
        mut cell: impl FnMut(&mut Table, usize, [Map; 2]) -> (BuiltCell, Map),
    ) -> Result<Self> {
        let (mut cells, mut maps, mut auxiliary) = (Vec::new(), vec![first, first], None);
        for i in 0..count {
            let (built, out) = t.scope(format!("{scope}{i}"), |t| cell(t, i, [maps[i], maps[i + 1]]));
            cells.push(built);
            maps.push(out);
            if let Some(head) = head.as_ref().filter(|head| head.at == i) {
                auxiliary = Some((i, (head.declare)(t, out, head.classes)?));
            }
        }
        Ok(Self { cells, maps, auxiliary })
    }

    /// Channels of the last output.
    pub fn channels(&self) -> i64 {
        self.maps[self.maps.len() - 1].channels
    }
}

/// In what networks of cells differ beside their cells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// Scheduled drop path grows with the depth of a cell.
    pub by_depth: bool,
    /// A ReLU follows the last cell.
    pub relu: bool,
    /// Dropout comes before the classifier.
    pub dropout: bool,
}

/// A network of cells, and of an auxiliary head if it is asked for.
#[derive(Debug)]
pub struct CellNetwork {
    pub(super) table: Table,
    pub(super) stem: ConvBn,
    pub(super) stack: Stack,
    pub(super) classifier: Linear,
    pub(super) manner: Manner,
}

impl Network for CellNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let stem = self.stem.forward(w, x, pass.training);
        let (mut older, mut newer, mut auxiliary) = (stem.shallow_clone(), stem, None);
        for (i, cell) in self.stack.cells.iter().enumerate() {
            if self.manner.by_depth {
                pass.enter_cell(i, self.stack.cells.len());
            }
            let out = cell.forward(w, &older, &newer, pass);
            (older, newer) = (newer, out);
            if let Some((_, head)) = self.stack.auxiliary.as_ref().filter(|(at, _)| *at == i && pass.training) {
                auxiliary = Some(head.forward(w, &newer));
            }
        }
        let features = global_average(&if self.manner.relu { newer.relu() } else { newer });
        let features = if self.manner.dropout { pass.dropout(features) } else { features };
        Output { logits: self.classifier.forward(w, &features), auxiliary }
    }
}
