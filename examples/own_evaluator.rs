//! An evaluator of one's own: it answers at once instead of training, so that what is left is the coordinator. With 20,000 trials of ageing evolution and 10,000 of them in flight it
//! prints how many trials a second are drawn, recorded and committed, and the memory that it takes.
//!
//! `cargo run --example own_evaluator -- [TRIALS] [IN_FLIGHT]`

use naslab::error::Result;
use naslab::lab::{Evaluator, Method, News, Order, Outcome, SessionOptions, Signals, Trial, prepare};
use naslab::record::EndReason;
use naslab::reproductions::method;
use std::collections::VecDeque;
use std::time::Instant;

/// Trials that were begun; each is answered when nothing more can be begun.
struct AtOnce {
    capacity: u64,
    begun: VecDeque<Trial>,
    most: usize,
}

impl Evaluator for AtOnce {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn begin(&mut self, trial: &Trial) -> Result<()> {
        self.begun.push_back(trial.clone());
        self.most = self.most.max(self.begun.len());
        Ok(())
    }

    fn hear(&mut self) -> Result<Option<News>> {
        let Some(trial) = self.begun.pop_front() else { return Ok(None) };
        // Some score that depends on the architecture alone.
        let digits = u64::from_str_radix(&trial.architecture.hash()[..8], 16).unwrap_or(0);
        let score = Some(digits as f64 / f64::from(u32::MAX));
        Ok(Some(News::End { id: trial.id, outcome: Outcome { score, ..Outcome::nothing(EndReason::Completed) }, seconds: 0.0 }))
    }

    fn stop(&mut self, _: EndReason) {
        self.begun.clear();
    }

    fn forget(&mut self, _: u64) {}

    fn working(&self) -> u64 {
        0
    }
}

fn main() -> Result<()> {
    let number = |at: usize, usual: u64| std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (trials, in_flight) = (number(1, 20_000), number(2, 10_000));
    let search: &dyn Method = method("amoebanet")?;
    let changes = [
        format!("search.trials={trials}"),
        "search.population=100".into(),
        "search.sample=25".into(),
        format!("search.in_flight={in_flight}"),
    ];
    let order = Order::new("smoke", search.resolve("smoke", &changes)?);
    let mut evaluator = AtOnce { capacity: in_flight, begun: VecDeque::new(), most: 0 };
    let ready = prepare(search, &order)?;
    let before = resident("VmRSS:");
    let began = Instant::now();
    let history = ready.search_with(SessionOptions::quiet(in_flight, Signals::default()), &mut evaluator)?;
    let seconds = began.elapsed().as_secs_f64();
    let best = history.iter().filter_map(|t| t.score).fold(0.0, f64::max);
    println!(
        "{} trials in {seconds:.1} s: {:.0} a second; {} in flight at most; best score {best:.4}",
        history.len(),
        history.len() as f64 / seconds,
        evaluator.most
    );
    println!("resident memory: {before} MiB before the search, {} MiB at most", resident("VmHWM:"));
    Ok(())
}

/// Resident memory of this process in MiB.
fn resident(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
