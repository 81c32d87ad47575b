//! The weights that children share, in either space (paper, sections 2.2 and 2.3).

use super::Enas;
use super::macro_bank::MacroBank;
use super::micro::MicroBank;
use super::space::Space;
use crate::error::Result;
use crate::nn::{Output, Pass, Table, Weights};
use crate::space::{Architecture, InputShape};
use tch::Tensor;

/// The shared weights of either space.
pub enum Bank {
    /// Cells.
    Micro(Box<MicroBank>),
    /// Layers with skips.
    Macro(MacroBank),
}

impl Bank {
    /// Declares the search network.
    pub fn declare(s: &Enas, space: Space, input: InputShape) -> Result<Self> {
        Ok(match space {
            Space::Micro { nodes } => {
                Self::Micro(Box::new(MicroBank::declare(input, s.channels, s.cells, nodes, s.weights.auxiliary_weight > 0.0)?))
            }
            Space::Macro { layers } => Self::Macro(MacroBank::declare(input, s.channels, layers)?),
        })
    }

    /// What it declares.
    pub fn table(&self) -> &Table {
        match self {
            Self::Micro(bank) => &bank.table,
            Self::Macro(bank) => &bank.table,
        }
    }

    /// Scores images by a child of the bank's space.
    pub fn forward(&self, w: &Weights, child: &Architecture, x: &Tensor, pass: &mut Pass) -> Output {
        let own = "children are of the bank's space";
        match self {
            Self::Micro(bank) => bank.forward(w, child.get().expect(own), x, pass),
            Self::Macro(bank) => bank.forward(w, child.get().expect(own), x, pass),
        }
    }
}
