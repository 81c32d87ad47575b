//! The population: who may have children, and who dies.

use crate::seed::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A member: the trial it was, and how well it did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Number of the trial; the order of birth.
    pub id: u64,
    /// Validation score; `search.failed_score` for a child that failed.
    pub score: f64,
}

/// Who dies when a child is born into a full population.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// The oldest: ageing evolution.
    Oldest,
    /// The worst of the sample from which the child's parent was chosen: non-ageing evolution.
    WorstOfSample,
}

impl Removal {
    /// What the evolution is called.
    pub fn variant(self) -> &'static str {
        match self {
            Self::Oldest => "ageing",
            Self::WorstOfSample => "non-ageing",
        }
    }
}

/// The living, oldest first.
#[derive(Clone, Debug)]
pub struct Population {
    /// In the order of their birth.
    pub members: VecDeque<Member>,
    size: usize,
    removal: Removal,
}

impl Population {
    /// Empty, to be filled up to `size`.
    pub fn new(size: usize, removal: Removal) -> Self {
        Self { members: VecDeque::with_capacity(size + 1), size, removal }
    }

    /// Numbers of the members in `count` draws with replacement, and of the best of them, the first drawn among equals.
    ///
    /// # Panics
    /// If nobody lives or `count` is 0.
    pub fn sample(&self, count: usize, rng: &mut Rng) -> (Vec<u64>, u64) {
        let drawn: Vec<Member> = (0..count).map(|_| self.members[rng.random_range(0..self.members.len())]).collect();
        let best = drawn.iter().copied().reduce(|best, m| if m.score > best.score { m } else { best }).expect("a sample has members");
        (drawn.iter().map(|m| m.id).collect(), best.id)
    }

    /// Lets a child in; `drawn` is the sample its parent came from. Returns who died.
    pub fn admit(&mut self, child: Member, drawn: &[u64]) -> Option<Member> {
        self.members.push_back(child);
        if self.members.len() <= self.size {
            return None;
        }
        let at = match self.removal {
            Removal::Oldest => 0,
            Removal::WorstOfSample => self.worst(drawn),
        };
        self.members.remove(at)
    }

    /// Place of the worst of `drawn` that still live, the older among equals; of all but the newest where fewer than two do, since a
    /// parent that was drawn alone is no loser.
    fn worst(&self, drawn: &[u64]) -> usize {
        let others = || self.members.iter().take(self.members.len() - 1).enumerate();
        let mut losers: Vec<(usize, &Member)> = others().filter(|(_, m)| drawn.contains(&m.id)).collect();
        if losers.len() < 2 {
            losers = others().collect();
        }
        losers.into_iter().reduce(|a, b| if b.1.score < a.1.score { b } else { a }).map_or(0, |(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use rand_distr::{Distribution, Normal};

    /// The authors' toy problem: 100 bits, fitness is the share of ones with noise; 1,000 trials, of which the last 100 are averaged.
    fn toy(removal: Option<Removal>, seed: u64) -> f64 {
        const BITS: usize = 100;
        let mut rng = Streams::new(seed).rng("toy", 0);
        let noise = Normal::new(0.0, 0.01).unwrap();
        let mut genomes: Vec<Vec<bool>> = Vec::new();
        let mut scores: Vec<f64> = Vec::new();
        let mut population = Population::new(100, removal.unwrap_or(Removal::Oldest));
        for id in 0..1000u64 {
            let (genome, drawn) = if id < 100 || removal.is_none() {
                ((0..BITS).map(|_| rng.random()).collect::<Vec<bool>>(), Vec::new())
            } else {
                let (drawn, parent) = population.sample(10, &mut rng);
                let mut genome = genomes[parent as usize].clone();
                let bit = rng.random_range(0..BITS);
                genome[bit] = !genome[bit];
                (genome, drawn)
            };
            let ones = genome.iter().filter(|b| **b).count() as f64 / BITS as f64;
            let score = (ones + noise.sample(&mut rng)).clamp(0.0, 1.0);
            genomes.push(genome);
            scores.push(score);
            population.admit(Member { id, score }, &drawn);
            assert_eq!(population.members.len(), 100.min(id as usize + 1));
        }
        scores[900..].iter().sum::<f64>() / 100.0
    }

    #[test]
    fn evolution_solves_the_toy_problem_and_random_search_does_not() {
        for seed in 0..4 {
            for removal in [Removal::Oldest, Removal::WorstOfSample] {
                assert!(toy(Some(removal), seed) > 0.80, "{removal:?} seed {seed}");
            }
            assert!(toy(None, seed) < 0.53, "random seed {seed}");
        }
    }

    #[test]
    fn the_oldest_dies_whatever_its_score_and_everyone_lives_for_as_many_births_as_there_are_members() {
        let mut population = Population::new(4, Removal::Oldest);
        for id in 0..20u64 {
            let dead = population.admit(Member { id, score: 1.0 / (id + 1) as f64 }, &[id]);
            assert_eq!(dead.map(|m| m.id), id.checked_sub(4));
        }
    }

    #[test]
    fn without_ageing_the_best_is_never_lost_where_scores_are_exact() {
        let mut population = Population::new(5, Removal::WorstOfSample);
        let mut rng = Streams::new(3).rng("toy", 0);
        let mut best = 0.0f64;
        for id in 0..300u64 {
            let drawn = if id < 5 { Vec::new() } else { population.sample(2, &mut rng).0 };
            let score = rng.random::<f64>();
            best = best.max(score);
            population.admit(Member { id, score }, &drawn);
            // The newest may be the best; after the next birth the best is among the old.
            assert!(population.members.iter().any(|m| m.score == best));
        }
    }

    #[test]
    fn samples_are_drawn_with_replacement_and_ties_go_to_the_first_drawn() {
        let mut population = Population::new(3, Removal::Oldest);
        for id in 0..3 {
            population.admit(Member { id, score: 0.5 }, &[]);
        }
        let mut rng = Streams::new(1).rng("sample", 0);
        let samples: Vec<(Vec<u64>, u64)> = (0..200).map(|_| population.sample(3, &mut rng)).collect();
        assert!(samples.iter().all(|(drawn, parent)| *parent == drawn[0]));
        assert!(samples.iter().any(|(drawn, _)| drawn[0] == drawn[1] && drawn[1] == drawn[2]));
    }
}
