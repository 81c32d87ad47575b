//! Time in which this process could work. While it is stopped (SIGSTOP, Ctrl-Z, a frozen container) or the machine sleeps it cannot, and nothing of that is charged.

use rustix::time::{ClockId, clock_gettime};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two beats of a thread that does nothing else: whatever the other threads wait for, it beats while the process runs.
const BEAT: Duration = Duration::from_millis(250);
/// The longest gap between two beats that a busy machine explains. A longer one is time in which the process did not run.
const GAP: Duration = Duration::from_secs(3);

/// The last beat, and what did not run before it.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    last: Instant,
    /// Time that the clock counted while the process did not run; it is taken off.
    stopped: Duration,
    /// By how much the clock that counts while the machine sleeps was ahead of the one that is charged by, which does not.
    ahead: f64,
    /// Seconds that the machine slept.
    slept: f64,
}

impl Pulse {
    fn beat(&mut self, now: Instant, ahead: f64) {
        let gap = now.saturating_duration_since(self.last);
        if gap > GAP {
            self.stopped += gap - BEAT;
        }
        if ahead - self.ahead > GAP.as_secs_f64() {
            self.slept += ahead - self.ahead;
            self.ahead = ahead;
        }
        self.last = now;
    }
}

static PULSE: Mutex<Option<Pulse>> = Mutex::new(None);
static BEATING: Once = Once::new();

/// Beats, and tells how it stands.
fn pulse() -> Pulse {
    let mut pulse = PULSE.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, ahead) = (Instant::now(), seconds(ClockId::Boottime) - seconds(ClockId::Monotonic));
    let pulse = pulse.get_or_insert(Pulse { last: now, stopped: Duration::ZERO, ahead, slept: 0.0 });
    pulse.beat(now, ahead);
    *pulse
}

pub(super) fn seconds(clock: ClockId) -> f64 {
    let t = clock_gettime(clock);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// Seconds since the first clock of this process began in which it did not run: stopped, or the machine asleep.
pub fn suspended_seconds() -> f64 {
    let Pulse { stopped, slept, .. } = pulse();
    stopped.as_secs_f64() + slept
}

/// A moment from which the time is counted in which this process could work.
#[derive(Clone, Copy, Debug)]
pub struct Since(Pulse);

impl Since {
    /// Now. The first one starts the thread that beats; where the system starts none, gaps between readings alone tell.
    pub fn now() -> Self {
        BEATING.call_once(|| {
            let _ = thread::Builder::new().name("clock".into()).spawn(|| {
                loop {
                    pulse();
                    thread::sleep(BEAT);
                }
            });
        });
        Self(pulse())
    }

    /// Seconds since then. They never go back.
    pub fn seconds(&self) -> f64 {
        self.until(&pulse())
    }

    fn until(&self, now: &Pulse) -> f64 {
        (now.last - self.0.last).saturating_sub(now.stopped - self.0.stopped).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_pulse_is_not_counted() {
        let start = Instant::now();
        let mut pulse = Pulse { last: start, stopped: Duration::ZERO, ahead: 5.0, slept: 0.0 };
        let since = Since(pulse);
        let mut at = |seconds: f64, ahead| {
            pulse.beat(start + Duration::from_secs_f64(seconds), ahead);
            (since.until(&pulse), pulse.slept)
        };
        assert_eq!(at(0.25, 5.0), (0.25, 0.0));
        assert_eq!(at(2.25, 5.0), (2.25, 0.0), "a busy machine");
        assert_eq!(at(62.25, 5.0), (2.5, 0.0), "a minute stopped counts as one beat");
        assert_eq!(at(62.5, 5.0), (2.75, 0.0));
        assert_eq!(at(62.75, 605.0), (3.0, 600.0), "the machine slept: the clock stood still, and it is named");
    }

    #[test]
    fn the_time_goes_on() {
        let since = Since::now();
        let first = since.seconds();
        thread::sleep(Duration::from_millis(2));
        assert!(since.seconds() > first && suspended_seconds() >= 0.0);
    }
}
