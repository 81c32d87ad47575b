//! Steps that are measured.

use crate::budget::{Clock, Probes, Since};
use crate::device::wait_for;
use crate::error::Result;
use crate::shim::count_operators;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use tch::Device;

/// What some steps took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// What a step does.
    pub what: String,
    /// Seconds of each step.
    pub seconds: Vec<f64>,
    /// Operators that one step calls, where they were counted.
    pub operators: Option<u64>,
    /// Energy that the card used for one step, on average, where it was measured.
    #[serde(default)]
    pub joules: Option<f64>,
}

impl Timing {
    /// Seconds of the middle step.
    pub fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n == 0 { f64::NAN } else { (sorted[n / 2] + sorted[(n - 1) / 2]) / 2.0 }
    }
}

/// Seconds of steps of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Of the first, which is slower than the others.
    pub first: f64,
    /// Mean of those after it.
    pub mean: f64,
}

/// Measures steps and remembers what they took.
pub struct Stopwatch {
    steps: usize,
    counts: bool,
    timings: Mutex<Vec<Timing>>,
}

impl Stopwatch {
    /// For a forecast: a few steps.
    pub fn brief() -> Self {
        Self { steps: 3, counts: false, timings: Mutex::default() }
    }

    /// For a measurement: so many steps of each kind, a count of what one of them calls, and the energy that a card uses.
    pub fn thorough(steps: usize) -> Self {
        Self { steps, counts: true, timings: Mutex::default() }
    }

    /// How fast `step` is on `device`. Where operators are counted, that is done in the first call and slows it down.
    pub fn pace(&self, what: &str, device: Device, mut step: impl FnMut() -> Result<()>) -> Result<Pace> {
        let start = Since::now();
        let (done, operators) = if self.counts { count_operators(&mut step) } else { (step(), None) };
        done?;
        wait_for(device);
        let first = start.seconds();
        let mut meters = self.counts.then(|| Probes::new(device));
        let mut energy = || meters.as_mut().and_then(|meters| meters.read().energy_joules);
        let before = energy();
        let mut seconds = Vec::new();
        for _ in 0..self.steps {
            let start = Since::now();
            step()?;
            wait_for(device);
            seconds.push(start.seconds());
        }
        let joules = energy().zip(before).map(|(after, before)| (after - before) / self.steps as f64);
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).push(Timing { what: what.into(), seconds, operators, joules });
        Ok(Pace { first, mean })
    }

    /// All that was measured, in order.
    pub fn into_timings(self) -> Vec<Timing> {
        self.timings.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
