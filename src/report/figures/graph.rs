//! A cell as its drawing sees it, whatever space it is of.

use crate::error::Result;
use crate::space::{Cell, Direction, Genotype, UnetCells};

/// An operation and the state it reads.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Name of the operation.
    pub label: &'static str,
    /// Index of the state: 0 and 1 are the inputs of the cell, 2.. its nodes in order.
    pub from: usize,
}

/// What stands in the box of an input.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// `c` with this index: the output of an earlier cell.
    Output(&'static str),
    /// A word.
    Word(&'static str),
}

/// A cell: each node joins two operations; the output joins the states in `concat`.
#[derive(Clone, Debug)]
pub struct Graph {
    /// States 0 and 1.
    pub inputs: [Input; 2],
    /// Node `i` is state `i + 2`.
    pub nodes: Vec<[Link; 2]>,
    /// States that make the output.
    pub concat: Vec<usize>,
    /// Nodes (by state) that stack their two operations; the others add them.
    pub stacked: Vec<usize>,
}

/// The outputs of the two cells before.
const BEFORE: [Input; 2] = [Input::Output("k−2"), Input::Output("k−1")];

impl Graph {
    /// A cell of classification; an error names it by `name`.
    ///
    /// # Errors
    /// If an edge reads a state that does not come before it, or a list names an unknown state.
    pub fn of_cell(cell: &Cell<&'static str>, name: &str) -> Result<Self> {
        cell.check(name)?;
        let nodes = cell.nodes.iter().map(|node| node.map(|e| Link { label: e.op, from: e.from })).collect();
        Ok(Self { inputs: BEFORE, nodes, concat: cell.concat.clone(), stacked: cell.stacked.clone() })
    }

    /// A cell of NAS-Unet, whose output joins all nodes.
    ///
    /// # Errors
    /// If the cells do not belong to their space.
    pub fn of_unet(cells: &UnetCells, direction: Direction) -> Result<Self> {
        cells.check()?;
        let inputs = match direction {
            Direction::Down => BEFORE,
            Direction::Up => [Input::Word("skip"), Input::Output("k−1")],
        };
        let nodes = cells.cell(direction).iter().map(|node| node.map(|e| Link { label: e.op.name(), from: e.from })).collect();
        Ok(Self { inputs, nodes, concat: (2..2 + cells.nodes()).collect(), stacked: Vec::new() })
    }
}
