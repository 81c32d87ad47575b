//! The spaces, and how decisions become architectures.

use crate::space::nas_bench_201::EDGES;
use crate::space::{Architecture, BenchCell, BenchOp, CellPair, MacroOp, MicroOp, enas_macro, enas_micro};

/// Which space is searched, and how large its architectures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// A normal and a reduction cell of so many nodes.
    Micro {
        /// B
        nodes: usize,
    },
    /// A chain of so many layers with skips.
    Macro {
        /// L
        layers: usize,
    },
    /// The cells of NAS-Bench-201.
    Bench,
}

impl Space {
    /// Operations to choose from.
    pub fn operations(self) -> usize {
        match self {
            Self::Micro { .. } => MicroOp::ALL.len(),
            Self::Macro { .. } => MacroOp::ALL.len(),
            Self::Bench => BenchOp::ALL.len(),
        }
    }

    /// Decisions of an architecture.
    pub fn decisions(self) -> usize {
        match self {
            Self::Micro { nodes } => 8 * nodes,
            Self::Macro { layers } => layers + layers * (layers - 1) / 2,
            Self::Bench => EDGES.len(),
        }
    }

    /// The architecture that the controller's decisions stand for.
    ///
    /// # Panics
    /// If they are not as many as the space has.
    pub fn architecture(self, decisions: &[usize]) -> Architecture {
        assert_eq!(decisions.len(), self.decisions());
        match self {
            Self::Micro { .. } => {
                // (input, input, operation, operation) → the release's (input, operation, input, operation).
                let arc: Vec<usize> = decisions.chunks_exact(4).flat_map(|d| [d[0], d[2], d[1], d[3]]).collect();
                let (normal, reduce) = arc.split_at(arc.len() / 2);
                CellPair { normal: enas_micro::cell(normal), reduce: enas_micro::cell(reduce) }.into()
            }
            Self::Macro { .. } => enas_macro::net(decisions).into(),
            Self::Bench => BenchCell([0, 1, 2, 3, 4, 5].map(|edge| BenchOp::ALL[decisions[edge]])).into(),
        }
    }
}
