//! A search of one's own on NAS-Bench-201: climbs from the best cell so far, 100 seeds at 12,000 simulated seconds.

use naslab::proposals::{Known, Proposal, Proposals};
use naslab::seed::Streams;
use naslab::table::{self, Grid, Part, Point, Seed, SimulatedSeconds, Study};
use rand::RngExt;

struct Climb(Grid);

impl Proposals<Point> for Climb {
    fn needs(&self, id: u64) -> u64 {
        id // all earlier outcomes
    }

    fn draw(&mut self, id: u64, _: u64, history: &[Known<Point>], streams: Streams) -> Proposal<Point> {
        let mut rng = streams.rng("climb", id);
        let place = rng.random_range(0..self.0.places());
        let best = history.iter().max_by(|a, b| a.score.unwrap_or(0.0).total_cmp(&b.score.unwrap_or(0.0)));
        let start = best.map_or_else(|| self.0.sample(&mut rng), |b| b.architecture);
        Proposal::sampled(self.0.changed(start, place, &mut rng))
    }
}

fn main() -> naslab::Result<()> {
    let table = table::open("nas-bench-201")?;
    let (study, set) = (Study::within(SimulatedSeconds::new(12_000.0), &table), table.about.set("cifar10")?);
    let queries = table.queries(set, study.score, study.fidelity, study.run)?;
    let mut tests = Vec::new();
    for seed in 0..100 {
        let trials = table::run_seed(&queries, &study, &mut Climb(table.grid.clone()), Streams::new(seed))?;
        let best = Seed { seed, trials }.incumbent().map(|trial| trial.row as usize);
        tests.extend(best.and_then(|row| table.accuracy(row, set, Part::Test, study.look_up)));
    }
    let mean = naslab::statistics::mean(&tests).unwrap_or_default();
    println!("climbing, {} seeds: mean test accuracy {mean:.2} % (the best cell has 94.37 %)", tests.len());
    Ok(())
}
