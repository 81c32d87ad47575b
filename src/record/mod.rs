//! The run directory: manifest, events, checkpoints, finding, result, ledger, weights.

mod atomic;
mod checkpoint;
mod event;
mod events;
mod model;
mod rundir;

pub use atomic::{read_json, write_atomic, write_json};
pub use checkpoint::{Blob, Checkpoint, Checkpoints, Dtype, read_safetensors, write_safetensors};
pub use event::{Event, TrialRecord};
pub use events::{EventLog, StoredEvent, read as read_events};
pub use model::*;
pub use rundir::{RunDir, run_name};
