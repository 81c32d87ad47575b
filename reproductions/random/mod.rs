//! Random search, the control: children drawn uniformly from a space, each trained from scratch for a short time and scored on validation images; the best go on.
//!
//! It has no protocol of its own. Its images, its training of children, its selection and its retraining are those of the method whose space it searches, so that it is the control of
//! that method and nothing else ([`crate::lab::Control`]).

pub mod draws;
#[cfg(feature = "search")]
mod method;
pub mod tabular;

#[cfg(feature = "search")]
pub use method::Random;
