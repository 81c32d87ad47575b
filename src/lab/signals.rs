//! SIGINT, SIGTERM and SIGHUP as a flag that is read between steps.

use crate::memory::status;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, iterator, low_level};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Ctrl-C, a request to end, a terminal that was closed, and `more`. Who started the process to outlive its terminal, as nohup does, has SIGHUP ignored, and so it stays.
fn ending(more: &[i32]) -> Vec<i32> {
    let ignored = status("SigIgn").and_then(|mask| u64::from_str_radix(&mask, 16).ok()).unwrap_or(0);
    let all = [&[SIGINT, SIGTERM, SIGHUP], more].concat();
    all.into_iter().filter(|signal| *signal != SIGHUP || ignored >> (SIGHUP - 1) & 1 == 0).collect()
}

/// The first signal sets the flag; the second ends the process at once, unless it is to be patient.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    caught: Arc<AtomicUsize>,
    /// How many came to a patient process.
    count: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers.
    pub fn install() -> std::io::Result<Self> {
        let signals = Self::default();
        for signal in ending(&[]) {
            // A terminal that is closed may say so twice, once itself and once by its shell.
            if signal != SIGHUP {
                let again = Arc::new(AtomicBool::new(false));
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
                flag::register(signal, again)?;
            }
            flag::register_usize(signal, Arc::clone(&signals.caught), signal as usize)?;
        }
        Ok(signals)
    }

    /// Counts the signals instead, since the first and the second mean different things; the third ends the process at once.
    pub fn patient() -> std::io::Result<Self> {
        Self::counting(&ending(&[]), 3)
    }

    /// Those of a task of a cluster, which is warned by SIGUSR1 before its time is over and ends when its state is saved.
    pub fn of_a_task() -> std::io::Result<Self> {
        Self::counting(&ending(&[SIGUSR1]), usize::MAX)
    }

    fn counting(which: &[i32], last: usize) -> std::io::Result<Self> {
        let signals = Self::default();
        let (mut arriving, own) = (iterator::Signals::new(which)?, signals.clone());
        std::thread::Builder::new().spawn(move || {
            for signal in arriving.forever() {
                // What was asked for first is what ends the process.
                let first = own.caught.compare_exchange(0, signal as usize, Ordering::Relaxed, Ordering::Relaxed).is_ok();
                if signal == SIGHUP && !first {
                    continue;
                }
                if own.count.fetch_add(1, Ordering::Relaxed) + 1 >= last {
                    low_level::exit(128 + signal);
                }
            }
        })?;
        Ok(signals)
    }

    /// The signal that came, if one did.
    pub fn caught(&self) -> Option<i32> {
        Some(self.caught.load(Ordering::Relaxed) as i32).filter(|signal| *signal != 0)
    }

    /// Whether it is the warning that a task gets before its time is over.
    pub fn is_warning(&self) -> bool {
        self.caught() == Some(SIGUSR1)
    }

    /// How many came to a patient process; else whether one came.
    pub fn count(&self) -> u64 {
        (self.count.load(Ordering::Relaxed) as u64).max(u64::from(self.caught().is_some()))
    }
}
