//! Studies on tables of measured trainings: their tables and figures. Their seconds are simulated, so nothing of theirs stands in a table or on an axis of the runs.

mod curves;
mod load;
mod tables;

pub use curves::{Agreement, Curve, Rank, agreements, curve, ranks};
pub use load::{Study, load};
pub(super) use tables::{lines, reported_test, tables};
