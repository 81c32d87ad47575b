//! The reproductions: one folder a paper. They use what is in `src/`, never each other.

pub mod amoebanet;
#[cfg(feature = "search")]
pub mod darts;
#[cfg(feature = "search")]
pub mod enas;
#[cfg(feature = "search")]
pub mod ghn;
#[cfg(feature = "search")]
pub mod nas_unet;
#[cfg(feature = "search")]
pub mod nasnet;
pub mod random;
pub mod reinforce;

use crate::error::{Result, usage};
#[cfg(feature = "search")]
use crate::lab::Method;
use crate::table::Algorithm;

/// Every method, in the order of `naslab list`.
#[cfg(feature = "search")]
pub const METHODS: &[&dyn Method] =
    &[&amoebanet::AmoebaNet, &nasnet::NasNet, &enas::EnasMethod, &ghn::GhnMethod, &darts::Darts, &nas_unet::NasUnet, &random::Random];

/// A method by its name.
#[cfg(feature = "search")]
pub fn method(name: &str) -> Result<&'static dyn Method> {
    METHODS.iter().find(|m| m.card().name == name).copied().ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(|m| m.card().name).collect();
        usage!("there is no method '{name}'; the methods are {}", names.join(", "))
    })
}

/// Every algorithm that searches a table.
pub const ALGORITHMS: &[&Algorithm] = &[
    &amoebanet::tabular::ALGORITHM,
    &random::tabular::ALGORITHM,
    &reinforce::ALGORITHM,
    #[cfg(feature = "search")]
    &nasnet::tabular::ALGORITHM,
];

/// An algorithm by its name.
pub fn algorithm(name: &str) -> Result<&'static Algorithm> {
    ALGORITHMS.iter().find(|a| a.name == name).copied().ok_or_else(|| {
        let names: Vec<&str> = ALGORITHMS.iter().map(|a| a.name).collect();
        usage!("no algorithm '{name}' searches a table; there are {}", names.join(", "))
    })
}
