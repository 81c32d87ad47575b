//! The account of a run: which phase used how much, in this attempt and in earlier ones.

use crate::record::{EndReason, LedgerRow, Phase, TaskRecord};
use crate::shim::DevicePeaks;
use std::collections::BTreeMap;

/// Readings that the ledger takes at every change of phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Wall seconds since some fixed moment, after the device finished its work; without those in which the process did not run.
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
    /// Devices of this process that work for the present phase.
    working: u64,
    /// Trainings with an account of their own.
    tasks: BTreeMap<(Phase, u64, String), TaskRecord>,
    /// Device-seconds of trainings elsewhere that have no account yet.
    under_way: f64,
}

impl Ledger {
    /// Begins in [`Phase::Overhead`] at the reading `start`; `earlier` are the rows of the attempts before.
    pub fn new(clock: Box<dyn Clock>, start: Reading, attempt: u32, earlier: Vec<LedgerRow>) -> Self {
        let (current, started, tasks) = (Phase::Overhead, start.wall_seconds, BTreeMap::new());
        Self { clock, attempt, earlier, rows: Vec::new(), current, last: start, started, working: 1, tasks, under_way: 0.0 }
    }

    /// From now on so many devices of this process work for the present phase: one, some cards, or none where the work is done on a cluster.
    pub fn set_working(&mut self, devices: u64) {
        if devices != self.working {
            self.settle();
            self.working = devices;
        }
    }

    /// Takes the account of a training; it replaces an earlier one of the same training. False if it says nothing new.
    pub fn charge(&mut self, task: TaskRecord) -> bool {
        let earlier = self.tasks.get(&task.key());
        if earlier.is_some_and(|e| *e == task || e.account.wall_seconds > task.account.wall_seconds) {
            return false;
        }
        self.tasks.insert(task.key(), task);
        true
    }

    /// Device-seconds that trainings elsewhere have used so far, of which no account has come yet.
    pub fn set_under_way(&mut self, seconds: f64) {
        self.under_way = seconds;
    }

    /// Trainings with an account of their own, in the order of phases and trials.
    pub fn tasks(&self) -> Vec<TaskRecord> {
        self.tasks.values().cloned().collect()
    }

    /// Number of this attempt.
    pub fn attempt(&self) -> u32 {
        self.attempt
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
        let (last, phase, working) = (self.last, self.current, self.working as f64);
        let wall = now.wall_seconds - last.wall_seconds;
        let row = self.row(phase);
        row.wall_seconds += wall;
        if phase != Phase::Overhead {
            row.device_seconds += wall * working;
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
        self.count_steps(1, samples);
    }

    /// Counts some steps, together over `samples` training samples.
    pub fn count_steps(&mut self, steps: u64, samples: u64) {
        let row = self.row(self.current);
        row.steps += steps;
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

    /// Rows of all attempts. What was trained elsewhere is added to the last row of its phase, but for its wall time, which went by beside that of the run.
    pub fn all_rows(&self) -> Vec<LedgerRow> {
        let mut rows: Vec<LedgerRow> = self.earlier.iter().chain(&self.rows).cloned().collect();
        for task in self.tasks.values().filter(|task| task.apart) {
            let phase = task.account.phase;
            match rows.iter_mut().rfind(|row| row.phase == phase) {
                Some(row) => join(row, &task.account),
                None => rows.push(LedgerRow { wall_seconds: 0.0, attempt: self.attempt, ..task.account.clone() }),
            }
        }
        rows
    }

    /// Device-seconds of search and selection in all attempts, up to now.
    pub fn spent(&mut self) -> f64 {
        let limited = [Phase::Search, Phase::Select];
        let since = if limited.contains(&self.current) { self.clock.seconds() - self.last.wall_seconds } else { 0.0 };
        self.device_seconds(&limited) + since * self.working as f64 + self.under_way
    }

    /// Device-seconds of `phases` in all attempts, up to the last reading, and those of trainings elsewhere, as far as their accounts go.
    pub fn device_seconds(&self, phases: &[Phase]) -> f64 {
        let elsewhere = self.tasks.values().filter(|task| task.apart).map(|task| &task.account);
        self.earlier.iter().chain(&self.rows).chain(elsewhere).filter(|r| phases.contains(&r.phase)).map(|r| r.device_seconds).sum()
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

/// Adds what a training elsewhere used to the row of its phase.
fn join(row: &mut LedgerRow, account: &LedgerRow) {
    let sum = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b).or(a).or(b);
    row.device_seconds += account.device_seconds;
    row.cpu_seconds = sum(row.cpu_seconds, account.cpu_seconds);
    row.energy_joules = sum(row.energy_joules, account.energy_joules);
    row.samples += account.samples;
    row.steps += account.steps;
    row.peak_device_allocated = row.peak_device_allocated.max(account.peak_device_allocated);
    row.peak_device_reserved = row.peak_device_reserved.max(account.peak_device_reserved);
    row.peak_host_bytes = row.peak_host_bytes.max(account.peak_host_bytes);
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

    fn task(trial: u64, device_seconds: f64, apart: bool) -> TaskRecord {
        let account = LedgerRow {
            phase: Phase::Search,
            device_seconds,
            wall_seconds: device_seconds,
            steps: 2,
            peak_host_bytes: Some(9999),
            ..LedgerRow::default()
        };
        let [task, node, device, model] = ["7_0.0", "n1", "cpu", "a processor"].map(String::from);
        TaskRecord { trial, task, node, device, model, queued_seconds: None, apart, account }
    }

    #[test]
    fn what_is_trained_elsewhere_is_charged_once_and_not_by_the_wall() {
        let mut l = ledger(Vec::new());
        l.set_working(0);
        l.switch(Phase::Search);
        assert!(l.charge(task(0, 2.0, true)) && l.charge(task(0, 5.0, true)) && l.charge(task(1, 7.0, true)));
        assert!(!l.charge(task(1, 7.0, true)) && !l.charge(task(0, 4.0, true)), "the same account again, and an older one");
        l.set_under_way(3.0);
        assert_eq!(l.spent(), 15.0, "the last account of a training counts, and what has none yet");
        l.set_under_way(0.0);
        l.end(Phase::Search, EndReason::Completed);
        let row = l.all_rows().into_iter().find(|r| r.phase == Phase::Search).unwrap();
        assert_eq!((row.device_seconds, row.wall_seconds, row.steps, row.peak_host_bytes), (12.0, 1.0, 4, Some(9999)));
    }

    #[test]
    fn several_devices_of_this_process_are_summed() {
        let mut l = ledger(Vec::new());
        l.switch(Phase::Search);
        l.set_working(3);
        l.charge(task(0, 4.0, false));
        l.settle();
        // One second with one device, one with three; the account of the child is in them.
        assert_eq!(l.device_seconds(&[Phase::Search]), 4.0);
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
