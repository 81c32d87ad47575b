//! The networks of architectures, one file a space, and the table of them.

mod auxiliary;
mod candidate;
mod darts;
mod enas_macro;
mod enas_micro;
mod ghn;
mod map;
mod nas_bench_201;
mod nas_unet;
mod nas_unet_backbone;
mod nasnet;
mod segment_block;
mod space_op;
mod stack;
mod unet;

pub use auxiliary::Auxiliary;
pub use candidate::{Candidate, Form, PoolOf};
pub use darts::{Preprocess, Stem, is_reduction};
pub use ghn::network as ghn_network;
pub use map::{Map, adapted};
pub use nas_bench_201::BenchSupernet;
pub use nas_unet_backbone::{NasUnetBackbone, NasUnetPreprocess};
pub use segment_block::SegmentBlock;
pub use stack::CellNetwork;
pub use unet::UnetNetwork;

use crate::error::{Result, usage};
use crate::nn::Network;
use crate::space::{self, Architecture, Genotype, InputShape, NetSize};
use std::sync::{PoisonError, RwLock};

/// Declares the network of an architecture of one space.
pub type Builder = fn(&Architecture, InputShape, NetSize) -> Result<Box<dyn Network>>;

/// The builders of this crate, by the names of their spaces.
static BUILT_IN: [(&str, Builder); 8] = [
    (space::darts::SPACE.name, |a, input, size| boxed(darts::network(of(a), input, size))),
    (space::nasnet::SPACE.name, |a, input, size| boxed(nasnet::network(of(a), input, size))),
    (space::enas_micro::SPACE.name, |a, input, size| boxed(enas_micro::network(of(a), input, size))),
    (space::enas_macro::SPACE.name, |a, input, size| boxed(enas_macro::MacroNetwork::declare(of(a), input, size))),
    (space::ghn::SPACE.name, |a, input, size| boxed(ghn_network(of(a), input, size, true))),
    (space::nas_bench_201::SPACE.name, |a, input, size| boxed(nas_bench_201::CellNetwork::declare(of(a), input, size))),
    (space::nas_unet::SPACE.name, |a, input, size| boxed(nas_unet::NasUnetNetwork::declare(of(a), input, size.try_into()?))),
    // A U-Net has a size of its own.
    (space::unet::SPACE.name, |a, input, _| boxed(UnetNetwork::declare(input, *of(a)))),
];

/// The builders that were added.
static ADDED: RwLock<Vec<(&str, Builder)>> = RwLock::new(Vec::new());

/// The network of an architecture, declared and without memory.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) if the architecture does not belong to its space, cannot be built at this size, or nobody registered a builder for its space.
pub fn build(architecture: &Architecture, input: InputShape, size: NetSize) -> Result<Box<dyn Network>> {
    if size.channels < 2 || size.cells < 3 {
        return Err(usage!("a network needs at least 2 channels and 3 cells, not {} and {}", size.channels, size.cells));
    }
    architecture.check()?;
    let name = architecture.space().name;
    let builder = builder(name).ok_or_else(|| usage!("there is no network for architectures of the space '{name}'"))?;
    builder(architecture, input, size)
}

/// Adds the builder of a space that was added.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) if the space has one.
pub fn register(space: &'static str, build: Builder) -> Result<()> {
    if builder(space).is_some() {
        return Err(usage!("there is a network for architectures of the space '{space}' already"));
    }
    ADDED.write().unwrap_or_else(PoisonError::into_inner).push((space, build));
    Ok(())
}

fn builder(space: &str) -> Option<Builder> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    BUILT_IN.iter().chain(added.iter()).find(|(name, _)| *name == space).map(|(_, build)| *build)
}

/// The genotype, which is of the type of its space.
fn of<G: Genotype>(architecture: &Architecture) -> &G {
    architecture.get().expect("the space of an architecture follows from its type")
}

fn boxed<N: Network + 'static>(network: Result<N>) -> Result<Box<dyn Network>> {
    Ok(Box::new(network?))
}
