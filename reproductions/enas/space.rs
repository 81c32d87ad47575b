//! The two spaces, and how decisions become architectures.

use crate::arch::enas_space::{self, MACRO_OPS, MICRO_OPS, MacroLayer, MacroNet};
use crate::arch::{Architecture, CellPair};
use crate::seed::Rng;

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
}

impl Space {
    /// Operations to choose from.
    pub fn operations(self) -> usize {
        match self {
            Self::Micro { .. } => MICRO_OPS.len(),
            Self::Macro { .. } => MACRO_OPS.len(),
        }
    }

    /// Decisions of an architecture.
    pub fn decisions(self) -> usize {
        match self {
            Self::Micro { nodes } => 8 * nodes,
            Self::Macro { layers } => layers + layers * (layers - 1) / 2,
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
                Architecture::EnasMicro(CellPair { normal: enas_space::cell(normal), reduce: enas_space::cell(reduce) })
            }
            Self::Macro { layers } => {
                let mut rest = decisions.iter();
                let layers = (0..layers)
                    .map(|l| {
                        let op = MACRO_OPS[*rest.next().expect("counted")];
                        let skips = rest.by_ref().take(l).enumerate().filter(|(_, bit)| **bit == 1).map(|(j, _)| j).collect();
                        MacroLayer { op, skips }
                    })
                    .collect();
                Architecture::EnasMacro(MacroNet { layers })
            }
        }
    }

    /// A uniform sample.
    pub fn sample(self, rng: &mut Rng) -> Architecture {
        match self {
            Self::Micro { nodes } => enas_space::sample_micro(nodes, rng),
            Self::Macro { layers } => enas_space::sample_macro(layers, rng),
        }
    }
}
