//! Cells whose networks are the same function with the same trainable weights.

use super::{BenchCell, BenchOp, CELLS, EDGES};
use std::collections::HashMap;
use std::sync::OnceLock;

/// A term of the sum that a node is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Term {
    Input,
    /// The convolution on this edge.
    Conv(usize),
    /// A pooled sum: a function of its terms, wherever it stands.
    Pool(Vec<Term>),
}

/// The sums that the nodes of a cell are.
pub(super) struct Values<'a> {
    cell: &'a BenchCell,
    pub nodes: Vec<Vec<Term>>,
}

impl<'a> Values<'a> {
    pub fn of(cell: &'a BenchCell) -> Self {
        let mut nodes = vec![vec![Term::Input]];
        for to in 1..4 {
            let mut sum = Vec::new();
            for (edge, (from, _)) in EDGES.iter().enumerate().filter(|(_, (_, t))| *t == to) {
                let input = &nodes[*from];
                match cell.0[edge] {
                    _ if input.is_empty() => (),
                    BenchOp::None => (),
                    BenchOp::Skip => sum.extend(input.iter().cloned()),
                    BenchOp::Conv1 | BenchOp::Conv3 => sum.push(Term::Conv(edge)),
                    BenchOp::AvgPool3 => sum.push(Term::Pool(input.clone())),
                }
            }
            sum.sort();
            nodes.push(sum);
        }
        Self { cell, nodes }
    }

    pub fn output(&self) -> &[Term] {
        &self.nodes[3]
    }

    /// What the convolution on `edge` reads.
    fn input_of(&self, edge: usize) -> &[Term] {
        &self.nodes[EDGES[edge].0]
    }

    /// A sum in words; `name` names a convolution.
    fn words(&self, sum: &[Term], name: &impl Fn(usize) -> String) -> String {
        let word = |term: &Term| match term {
            Term::Input => "x".to_string(),
            Term::Conv(edge) => name(*edge),
            Term::Pool(inner) => format!("pool({})", self.words(inner, name)),
        };
        let mut words: Vec<String> = sum.iter().map(word).collect();
        words.sort();
        words.join("+")
    }

    /// A sum with every convolution written out, so that two convolutions of equal inputs look alike.
    fn tree(&self, sum: &[Term]) -> String {
        self.words(sum, &|edge| format!("{}({})", self.cell.0[edge].name(), self.tree(self.input_of(edge))))
    }

    /// Convolutions that a sum depends on.
    fn convolutions(&self, sum: &[Term], found: &mut Vec<usize>) {
        for term in sum {
            match term {
                Term::Conv(edge) if !found.contains(edge) => {
                    found.push(*edge);
                    self.convolutions(self.input_of(*edge), found);
                }
                Term::Pool(inner) => self.convolutions(inner, found),
                _ => (),
            }
        }
    }

    /// The same text for all cells of a class: the smallest over the ways to name those convolutions that look alike.
    fn signature(&self) -> String {
        let mut live = Vec::new();
        self.convolutions(self.output(), &mut live);
        let mut named: Vec<(String, usize)> = live.iter().map(|edge| (self.tree(&[Term::Conv(*edge)]), *edge)).collect();
        named.sort();
        let mut best: Option<String> = None;
        permutations(&mut named, 0, &mut |order| {
            let name = |edge: usize| {
                let at = order.iter().position(|(_, e)| *e == edge).expect("a live convolution");
                format!("c{at}")
            };
            let objects =
                order.iter().map(|(_, edge)| format!("{}({})", self.cell.0[*edge].name(), self.words(self.input_of(*edge), &name)));
            let text = objects.chain([self.words(self.output(), &name)]).collect::<Vec<String>>().join(";");
            if best.as_ref().is_none_or(|b| text < *b) {
                best = Some(text);
            }
        });
        best.expect("there is at least one order")
    }
}

/// Visits all orders that differ only among neighbours that look alike.
fn permutations(named: &mut [(String, usize)], at: usize, visit: &mut impl FnMut(&[(String, usize)])) {
    if at == named.len() {
        return visit(named);
    }
    for other in at..named.len() {
        if named[other].0 == named[at].0 {
            named.swap(at, other);
            permutations(named, at + 1, visit);
            named.swap(at, other);
        }
    }
}

/// The classes of cells whose networks are the same function with the same trainable weights: edges that carry nothing or lead nowhere are dropped, a skip passes its terms on, two
/// equal convolutions on one input are two, one that is read twice is one, and a pool is a function of its input.
#[derive(Debug)]
pub struct Classes {
    /// Class of each cell by number; classes are numbered by their first cell.
    pub of: Vec<u16>,
    /// First cell of each class.
    pub first: Vec<u16>,
}

/// All classes, computed once.
pub fn classes() -> &'static Classes {
    static CLASSES: OnceLock<Classes> = OnceLock::new();
    CLASSES.get_or_init(|| {
        let (mut by_signature, mut of, mut first) = (HashMap::new(), Vec::with_capacity(CELLS), Vec::new());
        for cell in BenchCell::all() {
            let class = *by_signature.entry(Values::of(&cell).signature()).or_insert_with(|| {
                first.push(cell.number() as u16);
                first.len() as u16 - 1
            });
            of.push(class);
        }
        Classes { of, first }
    })
}
