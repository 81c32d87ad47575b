//! Tables, figures and a page, from recorded files and `data/claims.csv` alone.
//!
//! Runs are loaded ([`load_runs`]), turned into one row each ([`rows`], [`frame()`]), summarised over seeds ([`summarise`]) and
//! written ([`write_report`]); [`gate`] compares them with a baseline. The same inputs give the same bytes.

mod cards;
mod checklist;
mod claims;
mod control;
mod correlation;
mod drawings;
mod figures;
mod frame;
pub mod gate;
mod grid;
mod html;
mod load;
mod outcome;
mod provenance;
mod proxies;
mod segmentation;
mod spread;
mod statistics;
mod summary;
mod tables;
mod text;
mod trials;
mod write;

pub use claims::{Claim, Cutout, Metric, SpreadKind, claims};
pub use control::{Comparison, MARGIN, comparisons};
pub use correlation::{Coefficient, Correlation, correlate};
pub use frame::{PhaseSeconds, Row, cost_unit, frame, rows};
pub use load::{CurvePoint, Loaded, Reported, Run, Status, load_runs};
pub use spread::Spread;
pub use statistics::{
    Interval, LEAST, Sample, Tested, difference_interval, equivalence, holm, mann_whitney, mean_interval, welch_interval,
};
pub use summary::{SummaryRow, summarise};
pub use write::{Summary, draw_architecture, draw_cell, write_report};
