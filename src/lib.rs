#![cfg_attr(feature = "search", doc = include_str!("../README.md"))]
//!
//! # The parts
//!
//! [`Run`] is one run, for programs that use the library. Read from the bottom up: [`space`] has architectures as values, [`nn`] operations on explicit weights, [`network`] the networks of
//! architectures, [`data`] and [`task`] the images and their batches, [`train`] the training of one network. [`budget`] measures, [`record`] writes the
//! run directory, and [`lab`] conducts a run: search, select, retrain, test. Each paper is one folder of [`reproductions`].
//! [`report`] turns recorded runs into tables and figures, which [`plot`] draws, [`table`] answers searches from measured trainings, [`export`] hands networks to other programs, and [`cli`] is what was typed.
//!
//! Without the feature `search` there is no libtorch: records, tables, their searches and reports are there, and nothing that trains.

// A line that cannot be said must not end work: see `message`.
#![warn(clippy::print_stderr, clippy::print_stdout)]

#[cfg(feature = "search")]
pub mod budget;
pub mod cli;
pub mod data;
#[cfg(feature = "search")]
pub mod device;
pub mod error;
#[cfg(feature = "search")]
pub mod export;
#[cfg(feature = "search")]
pub mod gradient;
#[cfg(feature = "search")]
pub mod lab;
#[cfg(feature = "search")]
mod memory;
mod message;
#[cfg(feature = "search")]
pub mod network;
#[cfg(feature = "search")]
pub mod nn;
#[cfg(feature = "report")]
pub mod plot;
pub mod proposals;
pub mod record;
#[cfg(feature = "report")]
pub mod report;
#[path = "../reproductions/mod.rs"]
pub mod reproductions;
#[cfg(feature = "search")]
mod run;
pub mod seed;
pub mod settings;
#[cfg(feature = "search")]
pub mod shim;
pub mod space;
pub mod statistics;
pub mod table;
#[cfg(feature = "search")]
pub mod task;
#[cfg(feature = "search")]
pub mod train;
pub mod units;
mod unpack;

pub use error::{Error, Result};
#[cfg(feature = "search")]
pub use run::{Done, Run};
