//! A network for other programs: its architecture, its weights, and both as an ONNX model.
//!
//! No network is written twice. The forward pass that scores is run once under libtorch's tracer, and what it did is translated operation by
//! operation ([`onnx()`]).

mod convert;
mod files;
mod graph;
mod onnx;
mod parts;
mod proto;

pub use files::{Written, facts, write};
pub use onnx::{IMAGES, LOGITS, OPSET, onnx};
