//! The run directory: manifest, events, checkpoints, finding, result, ledger, weights, examples of a segmentation; and the events as TensorBoard reads them.

mod atomic;
mod checkpoint;
mod declaration;
mod event;
mod events;
mod identity;
mod ledger;
mod messages;
mod model;
mod rundir;
mod segmentation;
mod task;
mod tensorboard;
mod tfrecord;

pub use atomic::{is_node, read_json, write_atomic, write_json, write_json_output, write_output};
pub use checkpoint::{Blob, Checkpoint, Checkpoints, Dtype, encode_safetensors, read_safetensors, write_safetensors};
pub use declaration::{ControlRecord, Declaration, Mark, Role, Shape, settings_digest};
pub use event::{Event, LEARNING_RATE, TrialRecord};
pub use events::{EventLog, StoredEvent, read as read_events};
pub use ledger::{LedgerRecord, LedgerRow};
pub(crate) use messages::messages;
pub use model::*;
pub use rundir::{RunDir, read_architecture, run_name};
pub use segmentation::{ClassScore, Example, ExampleInfo, PADDING, SegmentationRecord, read_examples, write_examples};
pub use task::{ClusterRecord, Submission, TaskRecord};
pub use tensorboard::{Board, scalars};
