//! The integration tests, as one program.

#[allow(dead_code, reason = "without some features not all of it is used")]
mod common;
#[cfg(feature = "search")]
#[path = "common/python.rs"]
mod python;

#[cfg(feature = "search")]
mod architecture;
#[cfg(all(feature = "search", feature = "report"))]
mod check;
#[cfg(feature = "search")]
mod cli;
#[cfg(feature = "search")]
mod contract;
#[cfg(feature = "search")]
mod controls;
#[cfg(feature = "search")]
mod data;
#[cfg(all(feature = "search", feature = "report"))]
mod data_faults;
#[cfg(feature = "search")]
mod export;
#[cfg(all(feature = "search", feature = "report"))]
mod faults;
#[cfg(feature = "search")]
mod own_method;
#[cfg(feature = "search")]
mod record;
#[cfg(feature = "search")]
mod reference;
#[cfg(all(feature = "search", feature = "report"))]
mod report;
#[cfg(feature = "search")]
mod segmentation;
#[cfg(feature = "search")]
mod suite;
mod table;
#[cfg(feature = "search")]
mod tensorboard;
#[cfg(feature = "search")]
mod trace;
#[cfg(feature = "search")]
mod trials;
