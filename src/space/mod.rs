//! Architectures as values: what a search returns, a file holds and a network is built from. One file a space, and the table of them; no tensors.

mod architecture;
mod cell;
pub mod darts;
pub mod enas_macro;
pub mod enas_micro;
pub mod ghn;
pub mod nas_bench_201;
pub mod nas_unet;
pub mod nasnet;
mod operations;
mod registry;
mod size;
#[cfg(test)]
mod tests;
pub mod unet;

pub use architecture::{Architecture, Genotype, read};
pub use cell::{Cell, CellGraph, CellPair, Edge, PairOp, Rule, differ, sample_nodes, unread};
pub use darts::DartsOp;
pub use enas_macro::{MacroLayer, MacroNet, MacroOp};
pub use enas_micro::MicroOp;
pub use ghn::GhnOp;
pub use nas_bench_201::{BenchCell, BenchOp, Simplify};
pub use nas_unet::{Direction, OpSet, SegmentOp, UnetCells, UnetEdge};
pub use nasnet::NasnetOp;
pub use registry::{Named, Nodes, Nothing, Sample, Space, all, named, parameters, published, published_names, register, spelled};
pub use size::{InputShape, NetSize, UnetSize};
