//! Which cells are the same network, by the authors' rule and by ours.

use super::{BenchCell, BenchOp, CELLS, EDGES};
use std::collections::HashMap;
use std::sync::OnceLock;

impl BenchCell {
    /// Class by function and trainable weights; see [`classes`].
    pub fn class(&self) -> usize {
        usize::from(classes().of[self.number()])
    }

    /// Whether any path leads from the input to the output.
    pub fn has_path(&self) -> bool {
        !Values::of(self).output().is_empty()
    }

    /// Edges with an operation that the output depends on.
    pub fn live(&self) -> Vec<usize> {
        let mut reached = [false, false, false, true];
        let mut live = Vec::new();
        let values = Values::of(self);
        for (edge, (from, to)) in EDGES.iter().enumerate().rev() {
            if reached[*to] && self.0[edge] != BenchOp::None && !values.nodes[*from].is_empty() {
                reached[*from] = true;
                live.push(edge);
            }
        }
        live.reverse();
        live
    }

    /// The string by which the benchmark's authors tell cells apart: nested operations, the terms of a node in order.
    pub fn authors_string(&self, simplify: Simplify) -> String {
        let mut nodes = vec!["0".to_string()];
        for to in 1..4 {
            let edges = EDGES.iter().zip(self.0).filter(|((_, t), _)| *t == to);
            let mut terms: Vec<String> = edges.map(|((from, _), op)| simplify.term(op, &nodes[*from])).collect();
            terms.sort();
            nodes.push(terms.join("+"));
        }
        nodes.pop().expect("the output is the last node")
    }
}

/// How far the authors' strings are simplified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simplify {
    /// Not at all.
    Nothing,
    /// A skip is its input.
    Skips,
    /// Also what carries zero is zero: the rule of the benchmark.
    SkipsAndZeros,
}

impl Simplify {
    fn term(self, op: BenchOp, input: &str) -> String {
        match op {
            BenchOp::None if self == Self::SkipsAndZeros => "#".into(),
            _ if self == Self::SkipsAndZeros && input == "#" => "#".into(),
            BenchOp::Skip if self != Self::Nothing => input.into(),
            _ => format!("({input})@{}", op.name()),
        }
    }
}

/// A term of the sum that a node is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Term {
    Input,
    /// The convolution on this edge.
    Conv(usize),
    /// A pooled sum: a function of its terms, wherever it stands.
    Pool(Vec<Term>),
}

/// The sums that the nodes of a cell are.
struct Values<'a> {
    cell: &'a BenchCell,
    nodes: Vec<Vec<Term>>,
}

impl<'a> Values<'a> {
    fn of(cell: &'a BenchCell) -> Self {
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

    fn output(&self) -> &[Term] {
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
/// equal convolutions on one input are two, one that is read twice is one, and a pool is a function of its input. What a norm makes of zeros, which is its shift, counts as nothing.
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

#[cfg(test)]
mod tests {
    use super::BenchOp::{AvgPool3, Conv1, Conv3, None, Skip};
    use super::*;
    use crate::space::Genotype;
    use std::collections::HashSet;

    #[test]
    fn the_authors_rule_finds_as_many_classes_as_they_did() {
        let count = |simplify| BenchCell::all().map(|c| c.authors_string(simplify)).collect::<HashSet<String>>().len();
        let counts = [Simplify::SkipsAndZeros, Simplify::Skips, Simplify::Nothing].map(count);
        assert_eq!(counts, [6_466, 12_751, 15_625]);
    }

    #[test]
    fn classes_by_function_and_weights() {
        let among = |operations: &[BenchOp]| {
            let cells = BenchCell::all().filter(|c| c.0.iter().all(|op| operations.contains(op)));
            let of: Vec<usize> = cells.map(|c| c.class()).collect();
            (of.len(), of.into_iter().collect::<HashSet<usize>>().len())
        };
        assert_eq!(among(&BenchOp::ALL), (15_625, 5_260));
        assert_eq!(among(&[Skip, Conv1, Conv3]), (729, 483));
        assert_eq!(among(&[None, Skip, Conv1, Conv3]), (4_096, 1_011));
        assert_eq!(among(&[None, Skip, Conv3, AvgPool3]), (4_096, 941));
        let dead: Vec<BenchCell> = BenchCell::all().filter(|c| !c.has_path()).collect();
        assert_eq!(dead.len(), 341);
        assert_eq!(dead.iter().map(BenchCell::class).collect::<HashSet<usize>>().len(), 1);
        // Every class has one count of live weights, and one form.
        for cell in BenchCell::all() {
            let live = |cell: &BenchCell| {
                let of = cell.live();
                [Conv1, Conv3].map(|op| of.iter().filter(|edge| cell.0[**edge] == op).count())
            };
            let first = cell.canonical();
            assert_eq!((live(&cell), cell.class()), (live(&first), first.class()), "{cell} and {first}");
        }
    }

    #[test]
    fn two_convolutions_on_one_input_are_two_and_one_that_is_read_twice_is_one() {
        // Node 1 is a convolution of the input, and the output has it twice.
        let shared = BenchCell([Conv3, None, Skip, None, Skip, Skip]);
        let separate = BenchCell([Conv3, Conv3, None, None, Skip, Skip]);
        assert_ne!(shared.class(), separate.class());
        // The same sum by another way.
        assert_eq!(separate.class(), BenchCell([Conv3, None, None, Conv3, Skip, None]).class());
    }
}
