//! AmoebaNet: Regularized Evolution for Image Classifier Architecture Search (Real, Aggarwal, Huang, Le; AAAI 2019; arXiv 1802.01548).
//!
//! A population of cells; in each cycle the best of a random sample has one mutated child ([`mutation`]), which is trained from scratch
//! and let in, and the oldest member dies ([`population`]). The best of everything that was ever trained go on.

pub mod mutation;
pub mod population;

use crate::error::{Result, usage};
use crate::lab::{Card, ChildTraining, Method, Policy, Prepared, Proposals, Region, Settings, Trial, TrialPlan, read_settings};
use crate::record::{Mark, Role, Shape, TrialRecord};
use crate::seed::Streams;
use crate::space::{CellPair, NasnetOp, nasnet};
use mutation::Mutation;
use population::{Member, Population, Removal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The method's entry in the table.
pub struct AmoebaNet;

const CARD: Card = Card {
    name: "amoebanet",
    title: "AmoebaNet",
    paper: "Real, Aggarwal, Huang, Le: Regularized Evolution for Image Classifier Architecture Search. AAAI 2019, arXiv 1802.01548",
    about: "evolution in which the oldest dies: the best of a sample has a mutated child, trained from scratch",
    role: Role::Search,
    mark: Mark { colour: [0xCC, 0x79, 0xA7], shape: Shape::Triangle, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[("amoebanet", &[])],
};

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evolution {
    /// Operations of the space.
    pub operations: Vec<NasnetOp>,
    /// P: members of the population; as many first trials are random.
    pub population: usize,
    /// S: draws from the population, of which the best is the parent.
    pub sample: usize,
    /// C: trials in all, those of the first population included.
    pub trials: u64,
    /// Who dies.
    pub removal: Removal,
    /// Probability that a child equals its parent.
    pub identity: f64,
    /// Whether a mutated operation always differs from the one before.
    pub exclude_current: bool,
    /// Children that are drawn before the outcome of the first of them is known; 1 is the paper's loop word for word.
    pub in_flight: u64,
    /// Score of a child that diverged or failed; it enters the population all the same.
    pub failed_score: f64,
    /// What is done with an architecture that was trained before. Anything but `train` defeats ageing.
    pub duplicates: Policy,
    /// How many of the best go to the selection phase.
    pub keep: usize,
    /// How each child is trained.
    pub child: ChildTraining,
}

impl Method for AmoebaNet {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<Evolution> = read_settings(CARD.name, settings)?;
        let (protocol, search) = (settings.protocol(), settings.search);
        let (p, s, c) = (search.population, search.sample, search.trials);
        if p == 0 || s == 0 || search.keep == 0 || search.in_flight == 0 || c < p as u64 {
            return Err(usage!(
                "search: population {p}, sample {s}, keep {}, in_flight {} must be at least 1, and trials {c} at least the population",
                search.keep,
                search.in_flight
            ));
        }
        if !(0.0..=1.0).contains(&search.identity) {
            return Err(usage!("search.identity = {}: must be a probability", search.identity));
        }
        nasnet::check_operations(&search.operations)?;
        // The best of the history, not of the last population.
        let plan = (TrialPlan::of_children(search.trials, &search.child, search.duplicates, search.in_flight), search.keep);
        let variant = match search.removal {
            Removal::Oldest => "ageing".into(),
            Removal::WorstOfSample => "non-ageing".into(),
        };
        let region = Region::new("nasnet", json!({ "operations": search.operations, "stacking": false }));
        let begin = move |_| Cycles::new(search.clone());
        Ok(Prepared { variant, ..Prepared::by_trials(("amoebanet", region), protocol, plan, begin)? })
    }
}

/// The cycles of the evolution.
struct Cycles {
    search: Evolution,
    /// As far as the next child may know it.
    known: Population,
    admitted: usize,
    /// As far as outcomes are committed, for the curves.
    present: Population,
    /// Sample of each child.
    samples: HashMap<u64, Vec<u64>>,
}

impl Cycles {
    fn new(search: Evolution) -> Self {
        let empty = Population::new(search.population, search.removal);
        Self { search, known: empty.clone(), admitted: 0, present: empty, samples: HashMap::new() }
    }

    fn mutated(&mut self, history: &[TrialRecord], streams: Streams, attempt: u64, id: u64) -> Trial {
        let mut rng = streams.child("cycle", id).rng("draw", attempt);
        let (drawn, parent) = self.known.sample(self.search.sample, &mut rng);
        let genotype: &CellPair<NasnetOp> = history[parent as usize].architecture.get().expect("parents were drawn here");
        let Evolution { operations, identity, exclude_current, .. } = &self.search;
        let (child, kind) = Mutation { ops: operations, identity: *identity, exclude_current: *exclude_current }.apply(genotype, &mut rng);
        let trial = Trial { id, architecture: child.into(), parent: Some(parent), origin: kind.into(), proxies: BTreeMap::new() };
        self.samples.insert(id, drawn);
        trial
    }
}

impl Evolution {
    /// A child that failed enters too, so that the clock of ageing goes on.
    fn member(&self, record: &TrialRecord) -> Member {
        Member { id: record.id, score: record.score.unwrap_or(self.failed_score) }
    }
}

impl Proposals for Cycles {
    fn needs(&self, id: u64) -> u64 {
        let first = self.search.population as u64;
        if id < first { 0 } else { first.max((id + 1).saturating_sub(self.search.in_flight)) }
    }

    fn draw(&mut self, id: u64, attempt: u64, history: &[TrialRecord], streams: Streams) -> Trial {
        if id < self.search.population as u64 {
            let mut rng = streams.child("cycle", id).rng("draw", attempt);
            let architecture = nasnet::sample(&self.search.operations, false, &mut rng).into();
            return Trial::sampled(id, architecture);
        }
        for record in &history[self.admitted..] {
            self.known.admit(self.search.member(record), self.samples.get(&record.id).map_or(&[], Vec::as_slice));
        }
        self.admitted = history.len();
        self.mutated(history, streams, attempt, id)
    }

    fn told(&mut self, history: &[TrialRecord]) -> Option<BTreeMap<String, f64>> {
        let newest = history.last().expect("a trial was committed");
        self.present.admit(self.search.member(newest), self.samples.get(&newest.id).map_or(&[], Vec::as_slice));
        let scores: Vec<f64> = self.present.members.iter().map(|m| m.score).collect();
        Some(BTreeMap::from([
            ("population_mean".to_string(), scores.iter().sum::<f64>() / scores.len() as f64),
            ("population_best".to_string(), scores.iter().copied().fold(0.0, f64::max)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::resolve;
    use crate::record::EndReason;

    fn settings(changes: &[&str]) -> Evolution {
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_string()).collect();
        serde_json::from_value(resolve(&CARD, "smoke", &changes).unwrap().settings["search"].clone()).unwrap()
    }

    fn record(trial: &Trial, score: Option<f64>) -> TrialRecord {
        TrialRecord {
            id: trial.id,
            phase: crate::record::Phase::Search,
            architecture: trial.architecture.clone(),
            hash: trial.architecture.hash(),
            parent: trial.parent,
            origin: trial.origin.clone(),
            reused: None,
            end: if score.is_some() { EndReason::Completed } else { EndReason::Diverged },
            score,
            proxies: BTreeMap::new(),
            loss: None,
            parameters: None,
            device_seconds: 0.0,
            spent_seconds: 0.0,
        }
    }

    /// A history with made-up scores.
    fn history(search: &Evolution, seed: u64) -> Vec<TrialRecord> {
        let mut cycles = Cycles::new(search.clone());
        let mut history: Vec<TrialRecord> = Vec::new();
        for id in 0..search.trials {
            let known = cycles.needs(id) as usize;
            assert!(known <= history.len());
            let trial = cycles.draw(id, 0, &history[..known], Streams::new(seed));
            let score = if id % 7 == 3 { None } else { Some(f64::from(trial.architecture.hash().as_bytes()[0]) / 255.0) };
            history.push(record(&trial, score));
        }
        history
    }

    #[test]
    fn the_same_seed_gives_the_same_history_and_parents_are_alive() {
        for in_flight in [1, 2, 5] {
            let search =
                settings(&["search.population=6", "search.sample=2", "search.trials=40", &format!("search.in_flight={in_flight}")]);
            let all = history(&search, 3);
            assert_eq!(all, history(&search, 3));
            assert_ne!(all, history(&search, 4));
            for trial in &all[6..] {
                let parent = trial.parent.unwrap();
                // Ageing: the parent is one of the last six that were known.
                let known = Cycles::new(search.clone()).needs(trial.id);
                assert!((known - 6..known).contains(&parent), "trial {} of parent {parent}, in flight {in_flight}", trial.id);
            }
        }
    }

    #[test]
    fn every_early_member_is_gone_after_two_populations() {
        let search = settings(&["search.population=6", "search.sample=3", "search.trials=24"]);
        let mut population = Population::new(6, Removal::Oldest);
        for record in &history(&search, 1) {
            population.admit(search.member(record), &[]);
        }
        assert!(population.members.iter().all(|m| m.id >= 18));
    }
}
