//! Methods, the lab that they work in, and the conduct of a run.

mod alternation;
pub mod bilevel;
mod blobs;
mod child;
mod conduct;
mod fixed;
mod history;
#[allow(clippy::module_inception)]
mod lab;
mod launch;
mod memory;
mod method;
mod mirror;
mod network;
mod open;
mod pool;
mod segmentation;
mod session;
mod settings;
mod signals;
mod stopwatch;
mod trials;

pub use crate::budget::calibrate;
pub use conduct::conduct;
pub use fixed::Fixed;
pub use lab::{Lab, Point};
pub use launch::{Forecast, Measured, Order, Ready, order_of, prepare};
pub use memory::{guard, is_exhaustion};
pub use method::{Card, ChildTraining, ControlArm, DataUse, Found, Method, Protocol, Search, at_least, check, read_settings};
pub use network::{Built, blobs, build, metadata};
pub use open::suits;
pub use session::{Flow, Manner, Session, Start, Update, Watch};
pub use settings::{PAPER, Resolved, preset_names, resolve};
pub use signals::Signals;
pub use stopwatch::{Stopwatch, Timing};
pub use trials::{Duplicates, Evaluated, Policy, Proposals, Trial, best, tally};
