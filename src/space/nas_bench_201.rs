//! The cells of NAS-Bench-201 (Dong, Yang 2020, section 2): four nodes, each the sum of an operation on every node before it. Node 0 is the input of the cell, node 3 its output.
//!
//! All 15,625 cells are known by number: their operations are the digits of a number to the base 5, edge 0-1 first.

mod classes;

pub use classes::{Classes, Simplify, classes};

use super::operations::operations;
use super::{Architecture, CellGraph, Edge, Genotype, Nothing, Space, parameters};
use crate::error::{Error, Result, usage};
use crate::seed::Rng;
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

/// The space, with the cells that the paper tells of: the best of the benchmark by test accuracy on each of its sets, that of ResNets, and that which gradients fall into.
pub static SPACE: Space = Space {
    published: &[
        ("nb201-best-cifar10", best_cifar10),
        ("nb201-best-cifar100", best_cifar100),
        ("nb201-best-imagenet16", best_imagenet16),
        ("nb201-resnet", resnet),
        ("nb201-skips", skips),
    ],
    spelled: Some(("nb201", spelled)),
    ..Space::of::<BenchCell>("nas-bench-201", "darts", |given, rng| {
        parameters::<Nothing>(&SPACE, given)?;
        Ok(BenchCell::sample(&BenchOp::ALL, rng).into())
    })
};

impl Genotype for BenchCell {
    const SPACE: &'static Space = &SPACE;

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn canonical(&self) -> Self {
        let classes = classes();
        Self::of_number(usize::from(classes.first[usize::from(classes.of[self.number()])])).expect("a number of a cell")
    }

    fn cells(&self) -> Vec<(&'static str, CellGraph)> {
        let into = |node: usize| EDGES.iter().zip(self.0).filter(move |((_, to), _)| *to == node);
        let node = |node: usize| into(node).map(|((from, _), op)| Edge { op: op.name(), from: *from }).collect();
        vec![("searched", CellGraph { inputs: 1, nodes: [1, 2, 3].map(node).into(), concat: vec![3], stacked: Vec::new() })]
    }
}

/// Number 6111 of the benchmark.
fn best_cifar10() -> Architecture {
    use BenchOp::{Conv1, Conv3, Skip};
    BenchCell([Conv3, Conv3, Conv3, Skip, Conv3, Conv1]).into()
}

/// Number 9930.
fn best_cifar100() -> Architecture {
    use BenchOp::{Conv3, Skip};
    BenchCell([Conv3, Conv3, Conv3, Skip, Conv3, Conv3]).into()
}

/// Number 857, on ImageNet16-120.
fn best_imagenet16() -> Architecture {
    use BenchOp::{Conv1, Conv3, Skip};
    BenchCell([Conv1, Conv1, Conv3, Skip, Conv3, Conv3]).into()
}

/// Number 11472: two convolutions and a skip.
fn resnet() -> Architecture {
    use BenchOp::{Conv3, None, Skip};
    BenchCell([Conv3, None, Conv3, Skip, None, Skip]).into()
}

/// Number 1835: no weights.
fn skips() -> Architecture {
    BenchCell([BenchOp::Skip; 6]).into()
}

/// A cell by its string, and a name for it that fits file names: the places of its operations in [`BenchOp::ALL`].
fn spelled(text: &str) -> Result<(String, Architecture)> {
    let cell: BenchCell = text.parse()?;
    Ok((cell.0.iter().fold("nb201-".to_string(), |name, op| format!("{name}{}", *op as usize)), cell.into()))
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
}

impl fmt::Display for BenchCell {
    /// `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, as the benchmark writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((from, to), op) in EDGES.iter().zip(self.0) {
            let before = if *from > 0 {
                ""
            } else if *to > 1 {
                "+|"
            } else {
                "|"
            };
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
    fn published_cells_are_those_of_the_benchmark() {
        let written = [
            ("nb201-best-cifar10", "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"),
            ("nb201-best-cifar100", "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"),
            ("nb201-best-imagenet16", "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"),
            ("nb201-resnet", "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"),
            ("nb201-skips", "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"),
        ];
        for ((name, make), (expected, text)) in SPACE.published.iter().zip(written) {
            assert_eq!((*name, make().get::<BenchCell>().unwrap().to_string().as_str()), (expected, text));
        }
    }

    #[test]
    fn a_cell_is_spelled_by_its_string() {
        let text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|none~2|";
        let (name, architecture) = crate::space::spelled(&format!("nb201:{text}")).unwrap().unwrap();
        assert_eq!((name.as_str(), architecture.get::<BenchCell>().unwrap().to_string().as_str()), ("nb201-421210", text));
        assert!(crate::space::spelled("nb201-skips").is_none() && crate::space::spelled(text).is_none());
        assert!(crate::space::spelled("nb201:").unwrap().unwrap_err().to_string().contains("0 edges where there have to be 6"));
    }

    #[test]
    fn a_drawing_has_every_edge() {
        let cell = BenchCell([Conv3, None, Skip, AvgPool3, Conv1, None]);
        let graph = &cell.cells()[0].1;
        let edges: Vec<(usize, usize, &str)> =
            graph.nodes.iter().enumerate().flat_map(|(i, edges)| edges.iter().map(move |e| (e.from, i + 1, e.op))).collect();
        assert_eq!(edges, EDGES.iter().zip(cell.0).map(|((from, to), op)| (*from, *to, op.name())).collect::<Vec<_>>());
    }
}
