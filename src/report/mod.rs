//! Tables, figures and a page, from recorded files and `data/claims.csv` alone.
//!
//! Runs are loaded ([`load_runs`]), put into one long table, summarised over seeds ([`SummaryRow`]) and written
//! ([`write_report`]); [`gate`] compares them with a baseline. No method is known by name: what has to be known of one is in the manifests of its
//! runs. Studies on tables ([`crate::table`]) stand in sections and figures of their own, since their seconds are simulated. The same inputs give the same bytes.

mod checklist;
mod claims;
mod control;
mod curve;
mod drawings;
mod figures;
mod frame;
pub mod gate;
mod grid;
mod lines;
mod load;
mod outcome;
mod page;
mod proxies;
mod render;
mod segmentation;
mod spread;
mod studies;
mod summary;
mod tables;
mod text;
mod trials;
mod write;

pub use claims::{Claim, claims};
pub use load::{Loaded, Run, Status, load_runs};
pub use spread::Spread;
pub use summary::SummaryRow;
pub use write::{Extras, Print, Summary, write_report};
