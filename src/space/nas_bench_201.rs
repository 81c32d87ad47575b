//! The cells of NAS-Bench-201 (Dong, Yang 2020, section 2): four nodes, each the sum of an operation on every node before it. Node 0 is the input of the cell, node 3 its output.
//!
//! All 15,625 cells are known by number: their operations are the digits of a number to the base 5, edge 0-1 first.

mod classes;

pub use classes::{Classes, classes};

use super::operations::operations;
use super::{Genotype, Nothing, Space, parameters};
use crate::error::{Error, Result, usage};
use crate::seed::Rng;
use classes::Values;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

operations! {
    /// An operation on an edge.
    BenchOp {
        /// Nothing passes.
        None = "none",
        /// The input itself.
        Skip = "skip_connect",
        /// ReLU, 1x1 convolution, batch norm.
        Conv1 = "nor_conv_1x1",
        /// ReLU, 3x3 convolution, batch norm.
        Conv3 = "nor_conv_3x3",
        /// 3x3 average pooling; the border is not counted.
        AvgPool3 = "avg_pool_3x3",
    }
}

/// The edges, from and to which node, in the order of a cell's operations.
pub const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];
/// How many cells there are.
pub const CELLS: usize = 15_625;

/// A cell: the operations of [`EDGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct BenchCell(pub [BenchOp; 6]);

/// A cell in a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    cell: String,
}

impl TryFrom<Written> for BenchCell {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        written.cell.parse()
    }
}

impl From<BenchCell> for Written {
    fn from(cell: BenchCell) -> Self {
        Self { cell: cell.to_string() }
    }
}

/// The space.
pub static SPACE: Space = Space::of::<BenchCell>("nas-bench-201", "darts", |given, rng| {
    parameters::<Nothing>(&SPACE, given)?;
    Ok(BenchCell::sample(&BenchOp::ALL, rng).into())
});

impl Genotype for BenchCell {
    const SPACE: &'static Space = &SPACE;

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn canonical(&self) -> Self {
        let classes = classes();
        Self::of_number(usize::from(classes.first[usize::from(classes.of[self.number()])])).expect("a number of a cell")
    }
}

impl BenchCell {
    /// Its number below [`CELLS`].
    pub fn number(&self) -> usize {
        self.0.iter().fold(0, |number, op| number * 5 + *op as usize)
    }

    /// The cell of this number, if there is one.
    pub fn of_number(number: usize) -> Option<Self> {
        let digit = |i: u32| BenchOp::ALL[number / 5usize.pow(5 - i) % 5];
        (number < CELLS).then(|| Self([0, 1, 2, 3, 4, 5].map(digit)))
    }

    /// All cells, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CELLS).filter_map(Self::of_number)
    }

    /// Each operation uniformly.
    pub fn sample(operations: &[BenchOp], rng: &mut Rng) -> Self {
        Self([(); 6].map(|()| operations[rng.random_range(0..operations.len())]))
    }

    /// How often an operation occurs.
    pub fn count(&self, op: BenchOp) -> u64 {
        self.0.iter().filter(|o| **o == op).count() as u64
    }

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

impl fmt::Display for BenchCell {
    /// `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, as the benchmark writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (edge, ((from, to), op)) in EDGES.iter().zip(self.0).enumerate() {
            let before = if *from > 0 {
                ""
            } else if *to > 1 {
                "+|"
            } else {
                "|"
            };
            debug_assert!(edge < 6);
            write!(f, "{before}{}~{from}|", op.name())?;
        }
        Ok(())
    }
}

impl FromStr for BenchCell {
    type Err = Error;

    /// The inverse of writing it, and nothing else.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            usage!(
                "'{text}': {what}; a cell of NAS-Bench-201 looks like |nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
            )
        };
        if text.trim_start().starts_with('[') {
            return Err(wrong("this looks like a matrix of NAS-Bench-101, another space"));
        }
        let edges: Vec<&str> = text.split(['|', '+']).filter(|part| !part.is_empty()).collect();
        if edges.len() != 6 {
            return Err(wrong(&format!("{} edges where there have to be 6", edges.len())));
        }
        let mut ops = [BenchOp::None; 6];
        for ((edge, (from, to)), op) in edges.iter().zip(EDGES).zip(&mut ops) {
            let (name, node) = edge.split_once('~').ok_or_else(|| wrong(&format!("'{edge}' names no node; write {edge}~{from}")))?;
            if node != from.to_string() {
                return Err(wrong(&format!("'{edge}' stands where node {to} reads node {from}")));
            }
            let known = || BenchOp::ALL.map(BenchOp::name).join(", ");
            let found = BenchOp::ALL.into_iter().find(|o| o.name() == name);
            *op = found.ok_or_else(|| wrong(&format!("there is no operation '{name}'; the operations are {}", known())))?;
        }
        let cell = Self(ops);
        if cell.to_string() == text { Ok(cell) } else { Err(wrong("its bars and plus signs are not where they belong")) }
    }
}

#[cfg(test)]
mod tests {
    use super::BenchOp::{AvgPool3, Conv1, Conv3, None, Skip};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_strings_lead_there_and_back() {
        let mut written = HashSet::new();
        for (number, cell) in BenchCell::all().enumerate() {
            assert_eq!(cell.number(), number);
            assert_eq!(cell.to_string().parse::<BenchCell>().unwrap(), cell);
            written.insert(cell.to_string());
        }
        assert_eq!(written.len(), CELLS);
        assert_eq!(BenchCell::of_number(CELLS), Option::None);
        let first = BenchCell([AvgPool3, Conv1, Skip, Conv1, Skip, Skip]);
        assert_eq!(first.to_string(), "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|");
    }

    #[test]
    fn what_is_no_cell_is_named() {
        let whole = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";
        let broken = [
            (whole.replace("none~2", "none~1"), "node 3 reads node 2"),
            (whole.replace("+|none~0|none~1|+", "+|none~1|none~0|+"), "node 2 reads node 0"),
            (whole.replacen("none~0", "conv~0", 1), "there is no operation 'conv'"),
            (whole.replace("none~2|", "none~2|none~3|"), "7 edges"),
            (whole.replace("|none~2|", "|"), "5 edges"),
            (whole.replace('+', ""), "bars and plus signs"),
            (format!("{whole} "), "7 edges"),
            ("[[0, 1], [0, 0]]".into(), "NAS-Bench-101"),
        ];
        for (text, words) in broken {
            let error = text.parse::<BenchCell>().unwrap_err();
            assert!(error.to_string().contains(words) && error.exit_code() == 2, "{error}");
        }
    }

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
