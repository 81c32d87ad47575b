//! The method that trains children on images.

use super::cycles::{Breeding, Cycles, Rules};
use super::mutation::Mutation;
use super::population::Removal;
use crate::error::{Result, usage};
use crate::lab::{Card, ChildTraining, Method, Policy, Prepared, Region, Settings, TrialPlan, read_settings};
use crate::record::Role;
use crate::seed::Rng;
use crate::settings::at_least;
use crate::space::{Architecture, CellPair, NasnetOp, nasnet};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The method's entry in the table.
pub struct AmoebaNet;

const CARD: Card = Card {
    name: "amoebanet",
    title: "AmoebaNet",
    paper: super::tabular::ALGORITHM.paper,
    about: "evolution in which the oldest dies: the best of a sample has a mutated child, trained from scratch",
    role: Role::Search,
    mark: super::tabular::ALGORITHM.mark,
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
        search.rules().check()?;
        at_least("search.keep", search.keep as u64, 1)?;
        // The first population is complete.
        at_least("search.trials", search.trials, search.population as u64)?;
        if !(0.0..=1.0).contains(&search.identity) {
            return Err(usage!("search.identity = {}: must be a probability", search.identity));
        }
        nasnet::check_operations(&search.operations)?;
        // The best of the history, not of the last population.
        let plan = (TrialPlan::of_children(search.trials, &search.child, search.duplicates, search.in_flight), search.keep);
        let variant = search.removal.variant().into();
        let region = Region::new("nasnet", json!({ "operations": search.operations, "stacking": false }));
        let begin = move |_| search.cycles();
        Ok(Prepared { variant, ..Prepared::by_trials(("amoebanet", region), protocol, plan, begin)? })
    }
}

/// Pairs of cells, and how they mutate.
struct Pairs(Evolution);

impl Breeding<Architecture> for Pairs {
    fn sample(&self, rng: &mut Rng) -> Architecture {
        nasnet::sample(&self.0.operations, false, rng).into()
    }

    fn mutate(&self, parent: &Architecture, rng: &mut Rng) -> (Architecture, &'static str) {
        let parent: &CellPair<NasnetOp> = parent.get().expect("parents were drawn here");
        let Evolution { operations, identity, exclude_current, .. } = &self.0;
        let (child, kind) = Mutation { ops: operations, identity: *identity, exclude_current: *exclude_current }.apply(parent, rng);
        (child.into(), kind)
    }
}

impl Evolution {
    fn rules(&self) -> Rules {
        let Self { population, sample, removal, in_flight, failed_score, .. } = *self;
        Rules { population, sample, removal, in_flight, failed_score }
    }

    fn cycles(&self) -> Cycles<Pairs> {
        Cycles::new(self.rules(), Pairs(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::population::{Member, Population};
    use super::*;
    use crate::lab::resolve;
    use crate::proposals::{Known, Proposal, Proposals};
    use crate::seed::Streams;

    fn settings(changes: &[&str]) -> Evolution {
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_string()).collect();
        serde_json::from_value(resolve(&CARD, "smoke", &changes).unwrap().settings["search"].clone()).unwrap()
    }

    /// A history with made-up scores: what was proposed, and what came out.
    fn history(search: &Evolution, seed: u64) -> (Vec<Proposal<Architecture>>, Vec<Known<Architecture>>) {
        let mut cycles = search.cycles();
        let (mut drawn, mut history) = (Vec::new(), Vec::new());
        for id in 0..search.trials {
            let known = cycles.needs(id) as usize;
            assert!(known <= history.len());
            let proposal = cycles.draw(id, 0, &history[..known], Streams::new(seed));
            let architecture = proposal.architecture.clone();
            let score = if id % 7 == 3 { None } else { Some(f64::from(architecture.hash().as_bytes()[0]) / 255.0) };
            drawn.push(proposal);
            history.push(Known { architecture, score });
        }
        (drawn, history)
    }

    #[test]
    fn the_same_seed_gives_the_same_history_and_parents_are_alive() {
        for in_flight in [1, 2, 5] {
            let search =
                settings(&["search.population=6", "search.sample=2", "search.trials=40", &format!("search.in_flight={in_flight}")]);
            let all = history(&search, 3);
            assert_eq!(all, history(&search, 3));
            assert_ne!(all, history(&search, 4));
            for (trial, id) in all.0.iter().zip(0..).skip(6) {
                let parent = trial.parent.unwrap();
                // Ageing: the parent is one of the last six that were known.
                let known = search.cycles().needs(id);
                assert!((known - 6..known).contains(&parent), "trial {id} of parent {parent}, in flight {in_flight}");
            }
        }
    }

    #[test]
    fn every_early_member_is_gone_after_two_populations() {
        let search = settings(&["search.population=6", "search.sample=3", "search.trials=24"]);
        let mut population = Population::new(6, Removal::Oldest);
        for (known, id) in history(&search, 1).1.iter().zip(0..) {
            population.admit(Member { id, score: known.score.unwrap_or(0.0) }, &[]);
        }
        assert!(population.members.iter().all(|m| m.id >= 18));
    }
}
