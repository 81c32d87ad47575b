//! Genotypes, the cell spaces that several methods share, their networks, counting and the canonical hash.

mod genotype;

pub use genotype::{Architecture, Cell, CellPair, Edge};
