//! The account of a run: which phase used how much, in this attempt and in earlier ones.

use crate::record::{EndReason, LedgerRow, Phase};
use crate::shim::DevicePeaks;

/// Readings that the ledger takes at every change of phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Wall seconds since some fixed moment, after the device finished its work.
    pub wall_seconds: f64,
    /// Processor seconds of this process.
    pub cpu_seconds: Option<f64>,
    /// Energy of the card since some fixed moment, joules.
    pub energy_joules: Option<f64>,
    /// Peak of the process since the last reset, bytes.
    pub peak_host_bytes: Option<u64>,
    /// Peaks of the device allocator since the last reset.
    pub peak_device: Option<DevicePeaks>,
}

/// Where the readings come from: the machine, or a script in tests.
pub trait Clock {
    /// Wall seconds alone, after the device finished its work.
    fn seconds(&mut self) -> f64;
    /// Waits for the device and reads all meters.
    fn read(&mut self) -> Reading;
    /// Starts the peaks anew.
    fn reset_peaks(&mut self);
}

/// Every moment of an attempt belongs to exactly one phase, so that the phases add up to the wall time.
pub struct Ledger {
    clock: Box<dyn Clock>,
    attempt: u32,
    earlier: Vec<LedgerRow>,
    rows: Vec<LedgerRow>,
    current: Phase,
    last: Reading,
    started: f64,
}

impl Ledger {
    /// Begins in [`Phase::Overhead`] at the reading `start`; `earlier` are the rows of the attempts before.
    pub fn new(clock: Box<dyn Clock>, start: Reading, attempt: u32, earlier: Vec<LedgerRow>) -> Self {
        Self { clock, attempt, earlier, rows: Vec::new(), current: Phase::Overhead, last: start, started: start.wall_seconds }
    }

    /// The phase that is charged now.
    pub fn phase(&self) -> Phase {
        self.current
    }

    /// Charges the time since the last reading to the present phase and goes on in `phase`. Returns the phase it left.
    pub fn switch(&mut self, phase: Phase) -> Phase {
        self.settle();
        let left = self.current;
        if phase != left {
            self.clock.reset_peaks();
            self.current = phase;
        }
        left
    }

    /// Charges the time since the last reading to the present phase.
    pub fn settle(&mut self) {
        let now = self.clock.read();
        let (last, phase) = (self.last, self.current);
        let wall = now.wall_seconds - last.wall_seconds;
        let row = self.row(phase);
        row.wall_seconds += wall;
        if phase != Phase::Overhead {
            row.device_seconds += wall;
        }
        row.cpu_seconds = add(row.cpu_seconds, now.cpu_seconds, last.cpu_seconds);
        row.energy_joules = add(row.energy_joules, now.energy_joules, last.energy_joules);
        row.peak_host_bytes = row.peak_host_bytes.max(now.peak_host_bytes);
        row.peak_device_allocated = row.peak_device_allocated.max(now.peak_device.map(|p| p.allocated));
        row.peak_device_reserved = row.peak_device_reserved.max(now.peak_device.map(|p| p.reserved));
        self.last = now;
    }

    /// Counts a step over `samples` training samples.
    pub fn count_step(&mut self, samples: u64) {
        let row = self.row(self.current);
        row.steps += 1;
        row.samples += samples;
    }

    /// Counts a finished trial.
    pub fn count_trial(&mut self) {
        self.row(self.current).trials += 1;
    }

    /// Notes why `phase` ended in this attempt and returns its row.
    pub fn end(&mut self, phase: Phase, reason: EndReason) -> LedgerRow {
        self.settle();
        let row = self.row(phase);
        row.end_reason = reason;
        row.clone()
    }

    /// Rows of this attempt so far; a phase that has not ended counts as interrupted.
    pub fn rows(&self) -> &[LedgerRow] {
        &self.rows
    }

    /// Rows of all attempts.
    pub fn all_rows(&self) -> Vec<LedgerRow> {
        self.earlier.iter().chain(&self.rows).cloned().collect()
    }

    /// Device-seconds of search and selection in all attempts, up to now.
    pub fn spent(&mut self) -> f64 {
        let limited = [Phase::Search, Phase::Select];
        let running = if limited.contains(&self.current) { self.clock.seconds() - self.last.wall_seconds } else { 0.0 };
        self.device_seconds(&limited) + running
    }

    /// Device-seconds of `phases` in all attempts, up to the last reading.
    pub fn device_seconds(&self, phases: &[Phase]) -> f64 {
        self.earlier.iter().chain(&self.rows).filter(|r| phases.contains(&r.phase)).map(|r| r.device_seconds).sum()
    }

    /// Wall seconds of this attempt up to now.
    pub fn elapsed(&mut self) -> f64 {
        self.clock.seconds() - self.started
    }

    /// Starts the peaks anew within the phase; its row keeps the largest.
    pub fn reset_peaks(&mut self) {
        self.settle();
        self.clock.reset_peaks();
    }

    /// Peak of this attempt's present phase so far: device memory where it is measured, else host memory.
    pub fn peak_bytes(&self) -> Option<u64> {
        self.last.peak_device.map(|p| p.allocated).or(self.last.peak_host_bytes)
    }

    fn row(&mut self, phase: Phase) -> &mut LedgerRow {
        let at = self.rows.iter().position(|r| r.phase == phase).unwrap_or_else(|| {
            self.rows.push(LedgerRow { phase, attempt: self.attempt, ..LedgerRow::default() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }
}

/// A sum with what a meter counted since its last reading, if it can be read.
fn add(sum: Option<f64>, now: Option<f64>, last: Option<f64>) -> Option<f64> {
    let more = now.zip(last).map(|(now, last)| now - last);
    more.map(|more| sum.unwrap_or(0.0) + more).or(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reading is a second of wall time after the last.
    struct Script {
        now: f64,
    }

    impl Clock for Script {
        fn seconds(&mut self) -> f64 {
            self.now
        }

        fn read(&mut self) -> Reading {
            self.now += 1.0;
            Reading {
                wall_seconds: self.now,
                cpu_seconds: Some(2.0 * self.now),
                peak_host_bytes: Some(100 * self.now as u64),
                ..Reading::default()
            }
        }

        fn reset_peaks(&mut self) {}
    }

    fn ledger(earlier: Vec<LedgerRow>) -> Ledger {
        let mut clock = Script { now: 0.0 };
        let start = clock.read();
        Ledger::new(Box::new(clock), start, 1, earlier)
    }

    #[test]
    fn every_second_belongs_to_one_phase() {
        let mut l = ledger(Vec::new());
        l.switch(Phase::Search);
        l.count_step(64);
        assert_eq!(l.switch(Phase::Overhead), Phase::Search);
        l.switch(Phase::Search);
        l.count_step(64);
        l.end(Phase::Search, EndReason::Completed);
        l.switch(Phase::Retrain);
        l.settle();
        let elapsed = l.elapsed();
        let of = |p: Phase| l.rows().iter().find(|r| r.phase == p).unwrap();
        assert_eq!(l.rows().iter().map(|r| r.wall_seconds).sum::<f64>(), elapsed);
        assert_eq!((of(Phase::Search).wall_seconds, of(Phase::Overhead).wall_seconds, of(Phase::Retrain).wall_seconds), (3.0, 2.0, 1.0));
        assert_eq!((of(Phase::Search).steps, of(Phase::Search).samples), (2, 128));
        assert_eq!(of(Phase::Overhead).device_seconds, 0.0, "the device rests");
        assert_eq!(of(Phase::Search).cpu_seconds, Some(6.0));
        assert_eq!(of(Phase::Search).end_reason, EndReason::Completed);
        assert_eq!(of(Phase::Retrain).end_reason, EndReason::Interrupted);
        assert_eq!(of(Phase::Search).energy_joules, None, "not measured is not zero");
    }

    #[test]
    fn earlier_attempts_are_charged() {
        let mut first = ledger(Vec::new());
        first.switch(Phase::Search);
        first.settle();
        let mut second = ledger(first.rows().to_vec());
        second.switch(Phase::Search);
        second.settle();
        assert_eq!(second.spent(), 2.0);
        assert_eq!(second.all_rows().len(), 4);
    }
}
