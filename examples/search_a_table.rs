//! A search of one's own on NAS-Bench-201: climbs from the best cell so far, 100 seeds at 12,000 simulated seconds.

use naslab::proposals::{Known, Proposal, Proposals};
use naslab::seed::Streams;
use naslab::table::{self, Fidelity, Grid, Limit, Part, Point, RunOf, Score, SimulatedSeconds, Study};
use rand::RngExt;

struct Climb(Grid);

impl Proposals<Point> for Climb {
    fn needs(&self, id: u64) -> u64 {
        id
    }

    fn draw(&mut self, id: u64, attempt: u64, history: &[Known<Point>], streams: Streams) -> Proposal<Point> {
        let mut rng = streams.child("climb", id).rng("draw", attempt);
        let best = history.iter().max_by(|a, b| a.score.unwrap_or(0.0).total_cmp(&b.score.unwrap_or(0.0)));
        let place = rng.random_range(0..self.0.places());
        Proposal::sampled(match best {
            Some(known) => self.0.changed(known.architecture, place, &mut rng),
            None => self.0.sample(&mut rng),
        })
    }
}

fn main() -> naslab::Result<()> {
    let table = table::open("nas-bench-201")?;
    let (set, fidelity, look_up) = (table.about.set("cifar10")?, Fidelity(12), Fidelity(200));
    let (budget, max_trainings) = (SimulatedSeconds::new(12_000.0), None);
    let (score, run, limit) = (Score::Validation, RunOf::Mean, Limit::Fits);
    let study = Study { score, fidelity, look_up, run, limit, simulated_budget: Some(budget), max_trainings };
    study.check(&table, set)?;
    let queries = table.queries(set, score, fidelity, run)?;
    let mut tests = Vec::new();
    for seed in 0..100 {
        let trials = table::run_seed(&queries, &study, &mut Climb(table.grid.clone()), Streams::new(seed))?;
        let found = table::Seed { seed, trials };
        let best = found.incumbent().map(|trial| trial.row as usize);
        tests.extend(best.and_then(|row| table.accuracy(row, set, Part::Test, look_up)));
    }
    let mean = naslab::statistics::mean(&tests).unwrap_or_default();
    println!("climbing, {} seeds, {budget}: mean test accuracy {mean:.2} % (the best cell has 94.37 %)", tests.len());
    Ok(())
}
