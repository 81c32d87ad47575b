//! The weights that children share, in any of the spaces (paper, sections 2.2 and 2.3).

use super::Enas;
use super::macro_bank::MacroBank;
use super::micro::MicroBank;
use super::space::Space;
use crate::error::Result;
use crate::network::BenchSupernet;
use crate::nn::{Output, Pass, Table, Weights};
use crate::space::{Architecture, BenchCell, InputShape};
use tch::Tensor;

/// The search network. Batch norm uses the batch, but for children of NAS-Bench-201 that are scored by running averages if the settings say so: all children share these, so they are those
/// of none.
pub enum Bank {
    /// Cells.
    Micro(Box<MicroBank>),
    /// Layers with skips.
    Macro(MacroBank),
    /// The cells of NAS-Bench-201, and whether running averages score.
    Bench(BenchSupernet, bool),
}

impl Bank {
    /// Declares the search network.
    pub fn declare(s: &Enas, space: Space, input: InputShape) -> Result<Self> {
        Ok(match space {
            Space::Micro { nodes } => {
                Self::Micro(Box::new(MicroBank::declare(input, s.channels, s.cells, nodes, s.weights.auxiliary_weight > 0.0)?))
            }
            Space::Macro { layers } => Self::Macro(MacroBank::declare(input, s.channels, layers)?),
            Space::Bench => Self::Bench(BenchSupernet::declare(input, s.channels, s.cells, s.affine)?, s.running_averages),
        })
    }

    /// What it declares.
    pub fn table(&self) -> &Table {
        match self {
            Self::Micro(bank) => &bank.table,
            Self::Macro(bank) => &bank.table,
            Self::Bench(bank, _) => bank.table(),
        }
    }

    /// Whether running statistics decide anything.
    pub fn reads_statistics(&self) -> bool {
        matches!(self, Self::Bench(_, true))
    }

    /// Scores images [N, C, H, W] by a child.
    ///
    /// # Panics
    /// If the child is not of the bank's space.
    pub fn forward(&self, w: &Weights, child: &Architecture, x: &Tensor, pass: &mut Pass) -> Output {
        let own = "children are of the bank's space";
        match self {
            Self::Micro(bank) => bank.forward(w, child.get().expect(own), x, pass),
            Self::Macro(bank) => bank.forward(w, child.get().expect(own), x, pass),
            Self::Bench(bank, running) => {
                let mut by_batch = Pass::by_batch();
                let pass = if pass.training || *running { pass } else { &mut by_batch };
                let (cell, training): (&BenchCell, bool) = (child.get().expect(own), pass.training);
                let logits = bank.forward(w, x, pass, |edge, ops, x| ops[cell.0[edge] as usize].adds(w, x, training));
                Output { logits, auxiliary: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::space::BenchOp;
    use tch::{Device, Kind};

    fn bank(running: bool) -> (Bank, Weights, Tensor) {
        let input = InputShape { channels: 1, height: 8, width: 8, classes: 10 };
        let bank = Bank::Bench(BenchSupernet::declare(input, 4, 5, false).unwrap(), running);
        let w = Weights::init(bank.table(), &mut Streams::new(0).rng("init", 0), Device::Cpu, Kind::Double);
        (bank, w, (Tensor::arange(4 * 64, (Kind::Double, Device::Cpu)) * 0.7).sin().view([4, 1, 8, 8]))
    }

    #[test]
    fn only_chosen_operations_get_a_gradient() {
        tch::set_num_threads(1);
        let (bank, w, x) = bank(false);
        for op in BenchOp::ALL {
            let out = bank.forward(&w, &BenchCell([op; 6]).into(), &x, &mut Pass::by_batch());
            let grads = Tensor::run_backward(&[out.logits.square().sum(Kind::Double)], w.params(), false, false);
            for (name, g) in bank.table().names().zip(&grads).filter(|(name, _)| name.contains(".from")) {
                assert_eq!(g.defined(), name.contains(op.name()), "{op:?} {name}");
            }
        }
    }

    #[test]
    fn children_are_scored_by_their_batch_or_by_averages_over_all_children() {
        tch::set_num_threads(1);
        let child = BenchCell([BenchOp::Conv3; 6]).into();
        let score = |running: bool| {
            let (bank, w, x) = bank(running);
            let _ = bank.forward(&w, &BenchCell([BenchOp::Skip; 6]).into(), &x, &mut Pass::by_batch());
            let before = w.flat_stats().copy();
            let scored = bank.forward(&w, &child, &x, &mut Pass::evaluation()).logits;
            assert!(!running || w.flat_stats().equal(&before), "scoring by averages moves none");
            (bank.forward(&w, &child, &x, &mut Pass::by_batch()).logits, scored)
        };
        let (by_batch, scored) = score(false);
        assert!(scored.equal(&by_batch));
        let (by_batch, scored) = score(true);
        assert!(!scored.allclose(&by_batch, 1e-3, 1e-3, false));
    }
}
