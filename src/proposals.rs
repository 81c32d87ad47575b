//! Where trials come from: the core of a search, which knows nothing of who trains them or answers from a table.

use crate::seed::Streams;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a search knows of a trial that ended. Trials are numbered from 0, in the order of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Known<A> {
    /// What was tried.
    pub architecture: A,
    /// Its score; `None` if it failed.
    pub score: Option<f64>,
}

/// What to try next.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal<A> {
    /// The architecture.
    pub architecture: A,
    /// Trial it was mutated from.
    pub parent: Option<u64>,
    /// How it came to be.
    pub origin: Cow<'static, str>,
    /// Scores that its search predicted before any training, by name.
    pub proxies: BTreeMap<String, f64>,
}

impl<A> Proposal<A> {
    /// An architecture that was sampled.
    pub fn sampled(architecture: A) -> Self {
        Self { architecture, parent: None, origin: Cow::Borrowed("sampled"), proxies: BTreeMap::new() }
    }

    /// One that comes from another, and how.
    pub fn of_parent(architecture: A, parent: u64, how: &'static str) -> Self {
        Self { parent: Some(parent), origin: Cow::Borrowed(how), ..Self::sampled(architecture) }
    }
}

/// A search over architectures of type `A`: it draws from the outcomes that it asked for, and is told outcomes.
pub trait Proposals<A> {
    /// How many outcomes have to be known before trial `id` can be drawn, usually none. It never falls with `id`.
    fn needs(&self, _id: u64) -> u64 {
        0
    }

    /// Trial `id`, from the outcomes that it needs. `attempt` counts the draws of this trial that were refused as duplicates.
    fn draw(&mut self, id: u64, attempt: u64, history: &[Known<A>], streams: Streams) -> Proposal<A>;

    /// Told every outcome, the last of `history`, in the order of the trials. Returns figures for the search's curve; `None` where it has none.
    fn told(&mut self, _history: &[Known<A>]) -> Option<BTreeMap<String, f64>> {
        None
    }
}
