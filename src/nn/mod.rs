//! Operations as functions of explicit weight tensors, blocks, initialisers, drop path.

mod op;

pub use op::Op;
