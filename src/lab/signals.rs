//! SIGINT and SIGTERM as a flag that is read between steps.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The first signal sets the flag; the second ends the process at once.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    caught: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers.
    pub fn install() -> std::io::Result<Self> {
        let signals = Self::default();
        for signal in [SIGINT, SIGTERM] {
            let again = Arc::new(AtomicBool::new(false));
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, again)?;
            flag::register_usize(signal, Arc::clone(&signals.caught), signal as usize)?;
        }
        Ok(signals)
    }

    /// The signal that came, if one did.
    pub fn caught(&self) -> Option<i32> {
        Some(self.caught.load(Ordering::Relaxed) as i32).filter(|signal| *signal != 0)
    }
}
