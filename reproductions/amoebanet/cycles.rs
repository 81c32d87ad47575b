//! The cycles of the evolution, over any space whose architectures can be sampled and mutated.

use super::population::{Member, Population, Removal};
use crate::error::Result;
use crate::proposals::{Known, Proposal, Proposals};
use crate::seed::{Rng, Streams};
use crate::settings::at_least;
use std::collections::{BTreeMap, HashMap};

/// What evolution needs of a space.
pub trait Breeding<A> {
    /// An architecture of the first population.
    fn sample(&self, rng: &mut Rng) -> A;

    /// A mutated copy, and the kind of mutation.
    fn mutate(&self, parent: &A, rng: &mut Rng) -> (A, &'static str);
}

/// How the population lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// P: members of the population; as many first trials are random.
    pub population: usize,
    /// S: draws from the population, of which the best is the parent.
    pub sample: usize,
    /// Who dies.
    pub removal: Removal,
    /// Children that are drawn before the outcome of the first of them is known; 1 is the paper's loop word for word.
    pub in_flight: u64,
    /// Score of a child that failed; it enters all the same, so that the clock of ageing goes on.
    pub failed_score: f64,
}

/// A population and its history.
pub struct Cycles<B> {
    rules: Rules,
    breeding: B,
    /// As far as the next child may know it: the first `admitted` trials.
    known: Population,
    admitted: usize,
    /// As far as outcomes are committed, for the curves.
    present: Population,
    /// Sample of each child.
    samples: HashMap<u64, Vec<u64>>,
}

impl<B> Cycles<B> {
    /// With nobody alive.
    pub fn new(rules: Rules, breeding: B) -> Self {
        let empty = Population::new(rules.population, rules.removal);
        Self { rules, breeding, known: empty.clone(), admitted: 0, present: empty, samples: HashMap::new() }
    }
}

impl Rules {
    /// Refuses a population that cannot live.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) that names the setting.
    pub fn check(&self) -> Result<()> {
        at_least("search.population", self.population as u64, 1)?;
        at_least("search.sample", self.sample as u64, 1)?;
        at_least("search.in_flight", self.in_flight, 1)
    }

    fn member(&self, id: u64, score: Option<f64>) -> Member {
        Member { id, score: score.unwrap_or(self.failed_score) }
    }
}

/// The sample from which the parent of child `id` was chosen.
fn sample_of(samples: &HashMap<u64, Vec<u64>>, id: u64) -> &[u64] {
    samples.get(&id).map_or(&[], Vec::as_slice)
}

impl<A, B: Breeding<A>> Proposals<A> for Cycles<B> {
    fn needs(&self, id: u64) -> u64 {
        let first = self.rules.population as u64;
        if id < first { 0 } else { first.max((id + 1).saturating_sub(self.rules.in_flight)) }
    }

    fn draw(&mut self, id: u64, attempt: u64, history: &[Known<A>], streams: Streams) -> Proposal<A> {
        let mut rng = streams.child("cycle", id).rng("draw", attempt);
        if id < self.rules.population as u64 {
            return Proposal::sampled(self.breeding.sample(&mut rng));
        }
        for (known, newest) in history.iter().zip(0..).skip(self.admitted) {
            self.known.admit(self.rules.member(newest, known.score), sample_of(&self.samples, newest));
        }
        self.admitted = history.len();
        let (drawn, parent) = self.known.sample(self.rules.sample, &mut rng);
        let (child, kind) = self.breeding.mutate(&history[parent as usize].architecture, &mut rng);
        self.samples.insert(id, drawn);
        Proposal::of_parent(child, parent, kind)
    }

    fn told(&mut self, history: &[Known<A>]) -> Option<BTreeMap<String, f64>> {
        let id = history.len() as u64 - 1;
        let newest = self.rules.member(id, history.last().expect("a trial was committed").score);
        self.present.admit(newest, sample_of(&self.samples, id));
        let scores: Vec<f64> = self.present.members.iter().map(|m| m.score).collect();
        Some(BTreeMap::from([
            ("population_mean".to_string(), scores.iter().sum::<f64>() / scores.len() as f64),
            ("population_best".to_string(), scores.iter().copied().fold(0.0, f64::max)),
        ]))
    }
}
