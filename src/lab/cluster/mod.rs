//! A Slurm cluster: its commands, the files by which coordinator and tasks talk, what a task does, jobs that are awaited.

mod array;
mod commands;
mod files;
mod job;
mod run;
mod task;

pub use array::{Array, quoted};
pub use commands::{Refusal, Snapshot, TaskId, TaskState, cancel, check, exit_code, most_tasks, snapshot};
pub use files::{Ended, TaskFiles, TrialFile, parse_name, trial_name};
pub use job::{Awaited, await_late, ended_without, no_answer, obeyed, send_job, wait_for};
pub use run::{REST, sent_at};
pub use task::{Place, refuse, requeue_if_warned};
