//! Cells as values, and the one form that equivalent cells share.

use super::{Genotype, Space};
use crate::error::{Result, usage};
use crate::seed::Rng;
use rand::RngExt;
use rand::seq::index;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// What a rule says of a cell that breaks it.
pub type Rule = std::result::Result<(), String>;

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

/// A cell of any space as it is drawn: nodes that join any number of operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellGraph {
    /// How many inputs it has, which are the first states.
    pub inputs: usize,
    /// Node `i` is state `inputs + i`.
    pub nodes: Vec<Vec<Edge<&'static str>>>,
    /// States that make the output.
    pub concat: Vec<usize>,
    /// Nodes (by state) that concatenate their operations; the others add them.
    pub stacked: Vec<usize>,
}

impl From<Cell<&'static str>> for CellGraph {
    fn from(cell: Cell<&'static str>) -> Self {
        let nodes = cell.nodes.into_iter().map(Vec::from).collect();
        Self { inputs: 2, nodes, concat: cell.concat, stacked: cell.stacked }
    }
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

    /// The reduction cell or the normal one.
    pub fn of(&self, reduction: bool) -> &Cell<O> {
        if reduction { &self.reduce } else { &self.normal }
    }
}

/// An operation of cells in pairs.
pub trait PairOp: Copy + Ord + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The space of the pairs.
    const SPACE: &'static Space;
    /// Its name in a genotype.
    const NAME: fn(Self) -> &'static str;

    /// Says where a sound cell does not belong to the space.
    fn check(cell: &Cell<Self>) -> Rule;
}

impl<O: PairOp> Genotype for CellPair<O> {
    const SPACE: &'static Space = O::SPACE;

    fn check(&self) -> Result<()> {
        self.both().into_iter().try_for_each(|(name, cell)| cell.check(name, O::check))
    }

    fn canonical(&self) -> Self {
        Self { normal: self.normal.canonical(), reduce: self.reduce.canonical() }
    }

    fn cells(&self) -> Vec<(&'static str, CellGraph)> {
        self.both().map(|(name, cell)| (name, cell.map(O::NAME).into())).into()
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

    /// Checks that every edge reads an earlier state, that the lists name states of this cell, and what else the space demands.
    pub fn check(&self, name: &str, rule: impl Fn(&Self) -> Rule) -> Result<()> {
        self.sound().and_then(|()| rule(self)).map_err(|what| usage!("{name} cell: {what}"))
    }

    fn sound(&self) -> Rule {
        if self.nodes.is_empty() || self.concat.is_empty() {
            return Err("needs at least one node and one state in its concat list".into());
        }
        self.check_nodes(|state, edges| {
            let edge = edges.iter().find(|e| e.from >= state)?;
            Some(format!("reads state {}, which does not come before it", edge.from))
        })?;
        let last = self.nodes.len() + 1;
        for (list, what, first) in [(&self.concat, "concat", 0), (&self.stacked, "stacked", 2)] {
            if let Some(state) = list.iter().find(|s| !(first..=last).contains(*s)) {
                return Err(format!("the {what} list names state {state}, which is none of the states {first} to {last}"));
            }
            if (1..list.len()).any(|i| list[..i].contains(&list[i])) {
                return Err(format!("the {what} list names a state twice"));
            }
        }
        Ok(())
    }

    /// Checks every node, given its state and its edges, by a rule that says what a node does wrong.
    pub fn check_nodes(&self, rule: impl Fn(usize, &[Edge<O>; 2]) -> Option<String>) -> Rule {
        let broken = self.nodes.iter().enumerate().find_map(|(i, edges)| Some((i + 2, rule(i + 2, edges)?)));
        broken.map_or(Ok(()), |(state, what)| Err(format!("node {state} {what}")))
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
            let mut renamed = self.in_order(order);
            renamed.nodes.iter_mut().for_each(|edges| edges.sort_unstable());
            if best.as_ref().is_none_or(|b| renamed < *b) {
                *best = Some(renamed);
            }
            return;
        }
        let rows: Vec<(usize, [Edge<O>; 2])> = self.next_in(order).map(|n| (n, self.row(n, order))).collect();
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
        let reads = |(reader, edges): (usize, &[Edge<O>; 2])| edges.map(|e| (e.from == state).then_some((reader, e.op)));
        let mut readers: Vec<(usize, O)> = self.nodes.iter().enumerate().flat_map(reads).flatten().collect();
        readers.sort_unstable();
        (readers, self.concat.contains(&state), self.stacked.contains(&state))
    }

    /// The edges of a node in sorted order, their sources named by their places in `order`.
    fn row(&self, node: usize, order: &[usize]) -> [Edge<O>; 2] {
        let mut edges = self.renamed(node, order);
        edges.sort_unstable();
        edges
    }

    fn renamed(&self, node: usize, order: &[usize]) -> [Edge<O>; 2] {
        self.nodes[node].map(|e| Edge { op: e.op, from: place(e.from, order) })
    }

    /// The nodes that may follow those in `order`: they read nothing else.
    fn next_in(&self, order: &[usize]) -> impl Iterator<Item = usize> {
        let is_known = |e: &Edge<O>| e.from < 2 || order.contains(&(e.from - 2));
        (0..self.nodes.len()).filter(move |n| !order.contains(n) && self.nodes[*n].iter().all(is_known))
    }

    /// The same cell with every node after those that it reads, otherwise in the order that they have.
    ///
    /// # Panics
    /// If a node depends on itself.
    pub fn ordered(&self) -> Self {
        let mut order = Vec::with_capacity(self.nodes.len());
        while order.len() < self.nodes.len() {
            let next = self.next_in(&order).next().expect("no node depends on itself");
            order.push(next);
        }
        self.in_order(&order)
    }

    fn in_order(&self, order: &[usize]) -> Self {
        let nodes = order.iter().map(|n| self.renamed(*n, order)).collect();
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

/// Says so where the two sources of a node are one.
pub fn differ<O>([a, b]: &[Edge<O>; 2]) -> Option<String> {
    (a.from == b.from).then(|| format!("reads state {} twice; its two sources must differ", a.from))
}

/// Nodes with two different sources each, drawn uniformly, and for each source a uniform operation of those that `ops` names for it.
pub fn sample_nodes<O: Copy + 'static>(nodes: usize, rng: &mut Rng, ops: impl Fn(usize) -> &'static [O]) -> Vec<[Edge<O>; 2]> {
    let mut node = |i: usize| {
        let sources = index::sample(rng, i + 2, 2);
        [0, 1].map(|k| {
            let (from, ops) = (sources.index(k), ops(sources.index(k)));
            Edge { op: ops[rng.random_range(0..ops.len())], from }
        })
    };
    (0..nodes).map(&mut node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::{DartsOp as Op, ghn};

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
        let text = cell.check("normal", |_| Ok(())).unwrap_err().to_string();
        assert!(text.contains("node 2 reads state 2"), "{text}");
    }
}
