//! Independent draws.

use crate::proposals::{Known, Proposal, Proposals};
use crate::seed::{Rng, Streams};
use std::collections::BTreeMap;

/// Draws by a function that draws one architecture.
pub struct Draws<F>(pub F);

impl<A, F: FnMut(&mut Rng) -> A> Proposals<A> for Draws<F> {
    fn draw(&mut self, id: u64, attempt: u64, _: &[Known<A>], streams: Streams) -> Proposal<A> {
        Proposal::sampled((self.0)(&mut streams.child("sample", id).rng("draw", attempt)))
    }

    fn told(&mut self, _: &[Known<A>]) -> Option<BTreeMap<String, f64>> {
        Some(BTreeMap::new())
    }
}
