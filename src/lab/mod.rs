//! The engine that all methods share, and the conduct of a run.
//!
//! A [`Method`] is a [`Card`] and settings that become [`Prepared`]: a declaration and an [`Engine`], which is a search by steps ([`Stepwise`]) or by trials ([`Proposals`](crate::proposals::Proposals)).
//! [`Ready::run`] takes a run from its search to its test; everything that is charged, limited or recorded goes through the [`Session`].

mod blobs;
mod built;
mod child;
mod cluster;
mod conduct;
mod control;
mod evaluate;
mod fixed;
mod history;
mod keep;
#[allow(clippy::module_inception)]
mod lab;
mod launch;
mod memory;
mod method;
mod mirror;
mod open;
mod queue;
mod recorder;
mod segmentation;
mod session;
mod settings;
mod signals;
mod steps;
mod stopwatch;
mod tabulate;
mod trace;
mod trials;

pub use built::{Built, blobs, build, metadata};
pub use cluster::{
    Array, Awaited, Place, REST, Snapshot, TaskId, TaskState, TrialFile, await_late, check as check_cluster, ended_without, exit_code,
    most_tasks, parse_name as parse_trial, quoted, refuse, requeue_if_warned, send_job, sent_at, snapshot, wait_for,
};
pub use control::{CONTROL, Control, Region, control_order, resolve_control};
pub use evaluate::{Evaluator, News, Outcome};
pub use fixed::Fixed;
pub use lab::{Lab, Point};
pub use launch::{Forecast, Measured, Order, Ready, order_of, prepare};
pub use memory::guard;
pub use method::{Card, ChildTraining, ControlSize, DataUse, Engine, Method, Prepared, Protocol, Settings, read_settings};
pub use open::suits;
pub use session::{Session, SessionOptions, Start, Update, Watch};
pub use settings::{PAPER, Resolved, preset_names, resolve};
pub use signals::Signals;
pub use steps::{Rehearsal, Stepwise};
pub use stopwatch::{Stopwatch, Timing};
pub use tabulate::{Again, Effort, Spread, Tabulation, Verified, Wanted, verify};
pub use trace::{TraceTo, TracedStep};
pub use trials::{Policy, Trial, TrialPlan};
