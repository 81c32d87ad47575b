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
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::thread;

/// What a study asks, and what ends it: what studies have in common that are set side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What the search is told.
    pub score: Score,
    /// After which schedule.
    pub fidelity: Fidelity,
    /// The schedule whose accuracies are looked up at the end.
    pub look_up: Fidelity,
    /// Which of several trainings answers.
    pub run: RunOf,
    /// What the budget does to the training that crosses it.
    pub limit: Limit,
    /// What the trainings of a seed may take.
    pub simulated_budget: Option<SimulatedSeconds>,
    /// Most trainings of a seed.
    pub max_trainings: Option<u64>,
}

/// The search of one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// Its trainings, in their order.
    pub trials: Vec<Answer>,
}

/// All seeds.
pub type Done = Vec<Seed>;

impl Seed {
    /// The trial with the highest score, the earlier among equals.
    pub fn incumbent(&self) -> Option<&Answer> {
        self.trials.iter().filter(|t| t.score.is_some()).reduce(|best, t| if t.score > best.score { t } else { best })
    }

    /// What all trainings took.
    pub fn seconds(&self) -> SimulatedSeconds {
        self.trials.iter().filter_map(|t| t.seconds).sum()
    }
}

impl Study {
    /// The usual study of a table: a search is told validation accuracies after the shortest schedule, as means, and trains what fits into the budget; the longest schedule is looked up.
    pub fn within(budget: SimulatedSeconds, table: &Table) -> Self {
        let fidelities = || table.about.fidelities.iter().copied();
        let (fidelity, look_up) = (fidelities().min().unwrap_or(Fidelity(0)), fidelities().max().unwrap_or(Fidelity(0)));
        let (score, run, limit) = (Score::Validation, RunOf::Mean, Limit::Fits);
        Self { score, fidelity, look_up, run, limit, simulated_budget: Some(budget), max_trainings: None }
    }

    /// Refuses what cannot be searched on the data set at place `set`.
    ///
    /// # Errors
    /// [`Error::Usage`], or [`Error::NoResult`] where the budget is below the cheapest training.
    pub fn check(&self, table: &Table, set: usize) -> Result<()> {
        let name = &table.about.name;
        let queries = table.queries(set, self.score, self.fidelity, self.run)?;
        if !table.about.fidelities.contains(&self.look_up) {
            return Err(usage!("the table '{name}' has nothing after {}", self.look_up.words()));
        }
        match (self.simulated_budget, queries.cheapest()) {
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

    /// Refuses what proves nothing: a search that is told what is looked up.
    ///
    /// # Errors
    /// [`Error::Usage`] that says how to permit it.
    pub fn check_apart(&self) -> Result<()> {
        match self.label() {
            None => Ok(()),
            Some(_) if self.score == Score::Test => {
                let what = "a search that is told test accuracies chooses by the number that is reported";
                Err(usage!("{what}; allow it with --allow-same, and its results are labelled so in every table"))
            }
            Some(_) => {
                let what = format!("searched and looked up after {} alike", self.fidelity.words());
                Err(usage!("{what}: choose --look-up and --fidelity apart, or allow it with --allow-same"))
            }
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
        let of_time = self.simulated_budget.zip(answer.seconds).is_none_or(|(budget, cost)| self.limit.permits(spent, cost, budget));
        of_time && self.max_trainings.is_none_or(|most| (trials as u64) < most)
    }
}

/// Runs one search: draws, asks, and tells, one training after the other, until the budget ends.
///
/// # Errors
/// [`Error::Usage`] where the search proposes what the table does not have.
pub fn run_seed(queries: &Queries, study: &Study, search: &mut dyn Proposals<Point>, streams: Streams) -> Result<Vec<Answer>> {
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
        spent += answer.seconds.unwrap_or_default();
        trials.push(answer);
        known.push(Known { architecture: point, score: answer.score.map(|s| s / 100.0) });
    }
}

/// Runs an algorithm on the data set at place `set` for all `seeds`, `jobs` at a time. The outcome does not depend on `jobs`.
///
/// # Errors
/// Those of [`Study::check`], and of settings that do not fit.
pub fn run(
    (table, set): (&Table, usize),
    study: &Study,
    (algorithm, settings): (&Algorithm, &Value),
    seeds: &[u64],
    jobs: usize,
) -> Result<Done> {
    study.check(table, set)?;
    let queries = table.queries(set, study.score, study.fidelity, study.run)?;
    let one = |seed: u64| {
        let streams = Streams::new(seed);
        let mut search = (algorithm.begin)(settings, &table.grid, streams)?;
        run_seed(&queries, study, &mut *search, streams).map(|trials| Seed { seed, trials })
    };
    let share = seeds.len().div_ceil(jobs.max(1)).max(1);
    thread::scope(|scope| {
        let work = |part: &'_ [u64]| part.iter().map(|s| one(*s)).collect::<Result<Done>>();
        let start = |part| thread::Builder::new().spawn_scoped(scope, move || work(part)).map_err(|e| Error::thread(&e));
        let parts = seeds.chunks(share).map(start).collect::<Result<Vec<_>>>()?;
        let mut done = Done::with_capacity(seeds.len());
        for part in parts {
            done.extend(part.join().expect("a search does not panic")?);
        }
        Ok(done)
    })
}
