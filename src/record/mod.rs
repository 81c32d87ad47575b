//! The run directory: manifest, events, checkpoints, finding, result, ledger, weights.

mod atomic;
mod checkpoint;
mod event;
mod events;
mod model;
mod rundir;

pub use atomic::write_atomic;
pub use checkpoint::{Blob, Checkpoint, Dtype};
pub use event::{Event, TrialRecord};
pub use events::{EventLog, StoredEvent, read_events};
pub use model::*;
pub use rundir::{RunDir, run_name};
