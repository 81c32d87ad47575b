//! A study: one algorithm on one table and data set, with one simulated budget and many seeds.

use super::about::Fidelity;
use super::algorithm::Algorithm;
use super::cost::Limit;
use super::grid::Point;
use super::query::{Answer, Queries, RunOf, Score};
use super::rows::Table;
use super::units::SimulatedSeconds;
use crate::error::{Error, Result, usage};
use crate::proposals::{Known, Proposals};
use crate::seed::Streams;
use serde_json::Value;
use std::thread;

/// What a study does.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// Place of the data set that is searched.
    pub set: usize,
    /// What the search is told.
    pub score: Score,
    /// After which schedule.
    pub fidelity: Fidelity,
    /// The schedule whose accuracies are looked up at the end.
    pub look_up: Fidelity,
    /// Which of several trainings answers.
    pub run: RunOf,
    /// What ends a search.
    pub limit: Limit,
    /// When.
    pub budget: Option<SimulatedSeconds>,
    /// Most trainings of a seed.
    pub max_trainings: Option<u64>,
    /// Whether the search may be told what is looked up.
    pub allow_same: bool,
}

/// A training that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Row of the architecture.
    pub row: u32,
    /// Accuracy in per cent.
    pub score: Option<f64>,
    /// What it took.
    pub seconds: Option<SimulatedSeconds>,
}

/// The search of one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// Its trainings, in their order.
    pub trials: Vec<Trial>,
}

/// All seeds.
pub type Done = Vec<Seed>;

impl Seed {
    /// Number of the trial with the highest score, the earlier among equals.
    pub fn incumbent(&self) -> Option<usize> {
        self.incumbents().last().copied()
    }

    /// The trials that were each the best so far.
    pub fn incumbents(&self) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        for (i, trial) in self.trials.iter().enumerate() {
            let best = found.last().and_then(|b| self.trials[*b].score);
            if trial.score.is_some() && trial.score > best {
                found.push(i);
            }
        }
        found
    }

    /// What all trainings took.
    pub fn seconds(&self) -> SimulatedSeconds {
        self.trials.iter().filter_map(|t| t.seconds).sum()
    }
}

impl Study {
    /// Refuses what cannot be searched, or proves nothing.
    ///
    /// # Errors
    /// [`Error::Usage`], or [`Error::NoResult`] where the budget is below the cheapest training.
    pub fn check(&self, table: &Table) -> Result<()> {
        let name = &table.about.name;
        let queries = table.queries(self.set, self.score, self.fidelity, self.run)?;
        let known = table.about.fidelities.contains(&self.look_up);
        if !known {
            return Err(usage!("the table '{name}' has nothing after {}", self.look_up.words()));
        }
        if !self.allow_same && self.score == Score::Test {
            let what = "a search that is told test accuracies chooses by the number that is reported";
            return Err(usage!("{what}; allow it with --allow-same, and its results are labelled so in every table"));
        }
        if !self.allow_same && self.fidelity == self.look_up {
            let what = format!("searched and looked up after {} alike", self.fidelity.words());
            return Err(usage!("{what}: choose --look-up and --fidelity apart, or allow it with --allow-same"));
        }
        match (self.budget, queries.cheapest()) {
            (Some(_), None) => {
                Err(usage!("the table '{name}' has no times, so that no simulated budget can be spent; use --max-trainings"))
            }
            (Some(budget), Some(least)) if self.limit == Limit::Fits && budget < least => {
                let least = least.number();
                Err(Error::NoResult(format!("nothing could be trained: the cheapest architecture costs {least:.1} simulated seconds")))
            }
            (None, _) if self.max_trainings.is_none() => Err(usage!("what ends the search? Give --simulated-budget or --max-trainings")),
            _ if self.max_trainings == Some(0) => Err(Error::NoResult("nothing could be trained: --max-trainings 0".into())),
            _ => Ok(()),
        }
    }

    /// What this study is labelled with in every output.
    pub fn label(&self) -> Option<&'static str> {
        match (self.score, self.fidelity == self.look_up) {
            (Score::Test, _) => Some("searched on test accuracies"),
            (_, true) => Some("searched and looked up after the same schedule"),
            _ => None,
        }
    }

    /// Whether a training may still be done.
    fn permits(&self, spent: SimulatedSeconds, trials: usize, answer: &Answer) -> bool {
        let of_time = self.budget.zip(answer.seconds).is_none_or(|(budget, cost)| self.limit.permits(spent, cost, budget));
        of_time && self.max_trainings.is_none_or(|most| (trials as u64) < most)
    }
}

/// Runs one search: draws, asks, and tells, one training after the other, until the budget ends.
///
/// # Errors
/// [`Error::Usage`] where the search proposes what the table does not have.
pub fn run_seed(queries: &Queries, study: &Study, search: &mut dyn Proposals<Point>, streams: Streams) -> Result<Vec<Trial>> {
    let (mut trials, mut known) = (Vec::new(), Vec::new());
    let mut spent = SimulatedSeconds::default();
    loop {
        let id = trials.len() as u64;
        let needs = search.needs(id) as usize;
        let point = search.draw(id, 0, &known[..needs], streams).architecture;
        let answer =
            queries.answer(point, streams, id).ok_or_else(|| usage!("the search proposed {point:?}, which the table does not have"))?;
        if !study.permits(spent, trials.len(), &answer) {
            return Ok(trials);
        }
        let Answer { row, score, seconds } = answer;
        spent += seconds.unwrap_or_default();
        trials.push(Trial { row, score, seconds });
        known.push(Known { architecture: point, score: score.map(|s| s / 100.0) });
    }
}

/// Runs an algorithm for all `seeds`, `jobs` at a time. The outcome does not depend on `jobs`.
///
/// # Errors
/// Those of [`Study::check`], and of settings that do not fit.
pub fn run(table: &Table, study: &Study, (algorithm, settings): (&Algorithm, &Value), seeds: &[u64], jobs: usize) -> Result<Done> {
    study.check(table)?;
    let queries = table.queries(study.set, study.score, study.fidelity, study.run)?;
    let one = |seed: u64| {
        let streams = Streams::new(seed);
        let mut search = (algorithm.begin)(settings, &table.grid, streams)?;
        run_seed(&queries, study, &mut *search, streams).map(|trials| Seed { seed, trials })
    };
    let share = seeds.len().div_ceil(jobs.max(1)).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> =
            seeds.chunks(share).map(|part| scope.spawn(|| part.iter().map(|s| one(*s)).collect::<Result<Done>>())).collect();
        let mut done = Done::with_capacity(seeds.len());
        for part in parts {
            done.extend(part.join().expect("a search does not panic")?);
        }
        Ok(done)
    })
}
