//! Tabular benchmarks: measured trainings of every architecture of a space, so that a search asks instead of training.
//!
//! A **table** has rows, one an architecture; a **fidelity** is a whole training schedule. A search asks **queries** (architecture, data set, fidelity) and is told a validation score and
//! the **simulated seconds** that the training took on the device of the table ([`SimulatedSeconds`]). After the search a report **looks up** the test accuracies, which no search sees. A
//! **study** is one algorithm on one table and data set with one simulated budget and many seeds ([`Study`]).
//!
//! Nothing here needs libtorch.

mod about;
mod algorithm;
mod built_in;
mod cost;
mod files;
mod grid;
mod query;
mod read;
mod rows;
mod study;
mod units;
mod workers;
mod write;

pub use about::{About, Fidelity, Made, RowsOf, TableSet};
pub use algorithm::{Algorithm, Begun};
pub use built_in::{BUILT_IN, NAS_BENCH_201, open};
pub use cost::{Limit, cost};
pub use files::{Account, Ended, HistoryRow, Manifest, Report, STUDY, read_history, read_study, write_study};
pub use grid::{Grid, PLACES, Point, TableSpace};
pub use query::{Answer, Queries, RunOf, Score};
pub use read::{read, sidecar};
pub use rows::{Column, Part, Row, Table};
pub use study::{Done, Seed, Study, run, run_seed};
pub use units::SimulatedSeconds;
pub use workers::{Commit, Shift, work};
pub use write::{rows_sha256, write};
