//! Cells as values, and the one form that equivalent cells share.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// One operation and the state it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge<O> {
    /// The operation.
    pub op: O,
    /// Index of the state it reads: 0 and 1 are the inputs of the cell, 2.. its nodes in order.
    pub from: usize,
}

/// A cell: each node joins two edges; the output concatenates the states in `concat`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell<O> {
    /// Nodes in topological order; node `i` is state `i + 2`.
    pub nodes: Vec<[Edge<O>; 2]>,
    /// States that make the output, in channel order.
    pub concat: Vec<usize>,
    /// Nodes (by state) whose two edges are concatenated and brought back to the cell's width; the others are sums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacked: Vec<usize>,
}

/// A normal and a reduction cell, stacked by the rules of their space.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellPair<O> {
    /// Keeps the resolution.
    pub normal: Cell<O>,
    /// Halves it.
    pub reduce: Cell<O>,
}

impl<O: Copy + Ord> CellPair<O> {
    /// Both cells, each with its name.
    pub fn both(&self) -> [(&'static str, &Cell<O>); 2] {
        [("normal", &self.normal), ("reduction", &self.reduce)]
    }

    /// Both cells in their canonical form.
    pub fn canonical(&self) -> Self {
        Self { normal: self.normal.canonical(), reduce: self.reduce.canonical() }
    }

    /// Both cells as they are drawn, with their operations' names.
    pub fn drawn(&self, name: impl Fn(O) -> &'static str) -> Vec<(&'static str, Cell<&'static str>)> {
        self.both().map(|(title, cell)| (title, cell.map(&name))).into()
    }
}

impl<O: Copy + Ord> Cell<O> {
    /// A cell in which every node is the sum of its edges.
    pub fn new(nodes: Vec<[Edge<O>; 2]>, concat: Vec<usize>) -> Self {
        Self { nodes, concat, stacked: Vec::new() }
    }

    /// The same cell with other operations.
    pub fn map<P>(&self, op: impl Fn(O) -> P) -> Cell<P> {
        let nodes = self.nodes.iter().map(|node| node.map(|e| Edge { op: op(e.op), from: e.from })).collect();
        Cell { nodes, concat: self.concat.clone(), stacked: self.stacked.clone() }
    }

    /// Checks that every edge reads an earlier state and that the concat list names states of this cell.
    pub fn check(&self, name: &str) -> Result<()> {
        let bad = |what: String| Err(Error::Usage(format!("{name} cell: {what}")));
        if self.nodes.is_empty() || self.concat.is_empty() {
            return bad("needs at least one node and one state in its concat list".into());
        }
        for (i, edges) in self.nodes.iter().enumerate() {
            if let Some(edge) = edges.iter().find(|e| e.from >= i + 2) {
                return bad(format!("node {} reads state {}, which does not come before it", i + 2, edge.from));
            }
        }
        let states = self.nodes.len() + 2;
        if let Some(state) = self.concat.iter().find(|s| **s >= states) {
            return bad(format!("the concat list names state {state}, but the last state is {}", states - 1));
        }
        if let Some(state) = self.stacked.iter().find(|s| **s < 2 || **s >= states) {
            return bad(format!("the stacked list names state {state}, the nodes are the states 2 to {}", states - 1));
        }
        for (list, what) in [(&self.concat, "concat"), (&self.stacked, "stacked")] {
            if (1..list.len()).any(|i| list[..i].contains(&list[i])) {
                return bad(format!("the {what} list names a state twice"));
            }
        }
        Ok(())
    }

    /// The smallest of all equivalent forms: edges of a node sorted, nodes in the topological order that sorts first.
    pub fn canonical(&self) -> Self {
        let mut best: Option<Self> = None;
        let mut order = Vec::with_capacity(self.nodes.len());
        self.extend_order(&mut order, &mut best);
        best.expect("a cell whose edges read earlier states has a topological order")
    }

    /// Exact: the nodes sort first, so only orders whose next node has the smallest row can be best; where several have it, all are tried that
    /// differ in what reads them.
    fn extend_order(&self, order: &mut Vec<usize>, best: &mut Option<Self>) {
        if order.len() == self.nodes.len() {
            let renamed = self.in_order(order);
            if best.as_ref().is_none_or(|b| renamed < *b) {
                *best = Some(renamed);
            }
            return;
        }
        let ready = |n: &usize| !order.contains(n) && self.nodes[*n].iter().all(|e| e.from < 2 || order.contains(&(e.from - 2)));
        let rows: Vec<(usize, [Edge<O>; 2])> = (0..self.nodes.len()).filter(ready).map(|n| (n, self.row(n, order))).collect();
        let Some(smallest) = rows.iter().map(|(_, row)| *row).min() else { return };
        let mut tried = Vec::new();
        for node in rows.into_iter().filter(|(_, row)| *row == smallest).map(|(n, _)| n) {
            let use_of = self.readers(node);
            if !tried.contains(&use_of) {
                tried.push(use_of);
                order.push(node);
                self.extend_order(order, best);
                order.pop();
            }
        }
    }

    /// Everything that reads a node: (reader, operation) in order, whether it is concatenated, whether it stacks. Nodes of equal rows and equal
    /// readers can be exchanged.
    fn readers(&self, node: usize) -> (Vec<(usize, O)>, bool, bool) {
        let state = node + 2;
        let mut readers: Vec<(usize, O)> = Vec::new();
        for (reader, edges) in self.nodes.iter().enumerate() {
            readers.extend(edges.iter().filter(|e| e.from == state).map(|e| (reader, e.op)));
        }
        readers.sort_unstable();
        (readers, self.concat.contains(&state), self.stacked.contains(&state))
    }

    /// The edges of a node in sorted order, their sources named by their places in `order`.
    fn row(&self, node: usize, order: &[usize]) -> [Edge<O>; 2] {
        let mut edges = self.nodes[node].map(|e| Edge { op: e.op, from: place(e.from, order) });
        edges.sort_unstable();
        edges
    }

    fn in_order(&self, order: &[usize]) -> Self {
        let nodes = order.iter().map(|n| self.row(*n, order)).collect();
        let sorted = |states: &[usize]| {
            let mut renamed: Vec<usize> = states.iter().map(|s| place(*s, order)).collect();
            renamed.sort_unstable();
            renamed
        };
        Self { nodes, concat: sorted(&self.concat), stacked: sorted(&self.stacked) }
    }
}

/// The name of a state where the nodes stand in `order`.
fn place(state: usize, order: &[usize]) -> usize {
    if state < 2 { state } else { 2 + order.iter().position(|n| *n == state - 2).expect("a source comes before its reader") }
}

/// The states from `first` on that no node reads.
pub fn unread<O>(nodes: &[[Edge<O>; 2]], first: usize) -> Vec<usize> {
    (first..nodes.len() + 2).filter(|state| nodes.iter().flatten().all(|e| e.from != *state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::{DartsOp as Op, ghn};
    use rand::RngExt;

    fn edge(op: Op, from: usize) -> Edge<Op> {
        Edge { op, from }
    }

    #[test]
    fn isomorphic_cells_have_one_canonical_form() {
        let (sep, skip) = (Op::SepConv3, Op::SkipConnect);
        let a = Cell::new(vec![[edge(sep, 0), edge(skip, 1)], [edge(sep, 1), edge(sep, 0)], [edge(skip, 2), edge(sep, 3)]], vec![4, 2]);
        let b = Cell::new(vec![[edge(sep, 0), edge(sep, 1)], [edge(skip, 1), edge(sep, 0)], [edge(sep, 2), edge(skip, 3)]], vec![3, 4]);
        assert_eq!(a.canonical(), b.canonical());
        let other = Cell { concat: vec![2, 4], ..b.clone() };
        assert_ne!(a.canonical(), other.canonical());
        let (left, right) = (Cell { stacked: vec![2], ..a.clone() }, Cell { stacked: vec![3], ..b.clone() });
        assert_eq!(left.canonical(), right.canonical());
        assert_ne!(a.canonical(), left.canonical());
    }

    #[test]
    fn two_equal_nodes_are_not_one_node_used_twice() {
        let sep = Op::SepConv3;
        let twins = [edge(sep, 0), edge(sep, 1)];
        let a = Cell::new(vec![twins, twins, [edge(sep, 2), edge(sep, 3)]], vec![4]);
        let b = Cell::new(vec![twins, twins, [edge(sep, 2), edge(sep, 2)]], vec![4]);
        assert_ne!(a.canonical(), b.canonical());
    }

    #[test]
    fn large_cells_have_one_canonical_form_in_every_order() {
        let mut rng = Streams::new(9).rng("orders", 0);
        for i in 0..30 {
            let cell = ghn::sample(if i == 0 { 40 } else { 15 }, &mut rng);
            // Nodes in another topological order, with the sides swapped.
            let (mut order, mut left) = (Vec::new(), (0..cell.nodes.len()).collect::<Vec<_>>());
            while !left.is_empty() {
                let ready = |n: &usize| cell.nodes[*n].iter().all(|e| e.from < 2 || order.contains(&(e.from - 2)));
                let choices: Vec<usize> = left.iter().copied().filter(ready).collect();
                let next = choices[rng.random_range(0..choices.len())];
                order.push(next);
                left.retain(|n| *n != next);
            }
            let other = cell.in_order(&order);
            let swapped = Cell { nodes: other.nodes.iter().map(|[a, b]| [*b, *a]).collect(), ..other };
            assert_eq!(swapped.canonical(), cell.canonical());
        }
    }

    #[test]
    fn a_cell_that_reads_ahead_is_refused() {
        let cell = Cell::new(vec![[edge(Op::SepConv3, 0), edge(Op::SepConv3, 2)]], vec![2]);
        let text = cell.check("normal").unwrap_err().to_string();
        assert!(text.contains("node 2 reads state 2"), "{text}");
    }
}
