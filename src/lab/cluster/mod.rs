//! A Slurm cluster: its commands, the files by which coordinator and tasks talk, what a task does, jobs that are awaited.

mod array;
mod commands;
mod files;
mod job;
mod run;
mod task;

pub use array::{Array, last_words, quoted};
pub use commands::{Refusal, Snapshot, TaskId, cancel, check, exit_code, most_tasks, snapshot};
pub use files::{Ended, TaskFiles, TrialFile, parse_name, trial_name};
pub use job::{Awaited, failed, send_job, wait_for};
pub use run::{REST, sent_at};
pub use task::{Place, refuse, requeue_if_warned};
