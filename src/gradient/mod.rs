//! Algorithm 1 of DARTS (Liu, Simonyan, Yang; ICLR 2019; arXiv 1806.09055), which DARTS and NAS-Unet share: the logits alpha of a mixed network and its weights take
//! alternating gradient steps, on validation and on training images.
//!
//! [`GradientSearch`] is the loop, [`Ahead`] the gradient of alpha (equations 5 to 8), [`Alternation`] the settings, [`alpha`] what both do with logits. What is mixed, and how
//! alpha becomes an architecture, is the method's: [`Mixed`].

pub mod alpha;
mod architect;
mod settings;
mod steps;

pub use architect::{Ahead, Order, RADIUS};
pub use settings::{AlphaSteps, Alternation, WeightSteps, read};
pub use steps::{GradientSearch, MakeMixed, prepared};

use crate::nn::{Pass, Table, Weights};
use crate::space::Architecture;
use std::collections::BTreeMap;
use tch::Tensor;

/// A network whose edges mix operations by the softmax of logits (the first line of algorithm 1; equation 2).
pub trait Mixed {
    /// What it declares; alpha is not in it.
    fn table(&self) -> &Table;

    /// The logits, leaves of the graph.
    fn alpha(&self) -> Vec<&Tensor>;

    /// Class scores of images [N, C, H, W].
    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Tensor;

    /// The architecture that alpha stands for (the last line of algorithm 1).
    fn genotype(&self) -> Architecture;

    /// Figures for the curves.
    fn figures(&self) -> BTreeMap<String, f64>;
}
