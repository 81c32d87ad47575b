//! Threads that train cells of a table side by side.

use super::{Key, Tabulation, Trained};
use crate::error::{Error, Result};
use crate::lab::Signals;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// Trains all `wanted`, as many at a time as there are jobs, as long as `may_begin` says so, and tells each to `done` as it ends.
///
/// # Errors
/// [`Error::Suite`] after a signal, the first error of a training or of `done`.
pub fn train(
    table: &Tabulation,
    wanted: &[Key],
    (jobs, signals, may_begin): (u64, &Signals, &(dyn Fn() -> bool + Sync)),
    mut done: impl FnMut(Key, Trained) -> Result<()>,
) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stop = || failed.load(Ordering::Relaxed) || signals.caught().is_some();
    let (sender, receiver) = channel();
    let ended = thread::scope(|scope| {
        let mut ended = Ok(());
        for _ in 0..jobs.min(wanted.len() as u64) {
            let (plan, task, test, sender) = (&table.plan, table.task.share(), table.test.share(), sender.clone());
            let (next, stop) = (&next, &stop);
            let work = move || {
                // One thread a training: then its sums are the same for any number of jobs.
                tch::set_num_threads(1);
                while !stop() && may_begin() {
                    let Some(key) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    let outcome = plan.train_once((&*task, &*test), *key, stop);
                    let _ = sender.send((*key, outcome));
                }
            };
            if let Err(e) = thread::Builder::new().spawn_scoped(scope, work) {
                failed.store(true, Ordering::Relaxed);
                ended = Err(Error::thread(&e));
                break;
            }
        }
        drop(sender);
        for (key, outcome) in receiver {
            let one = outcome.and_then(|trained| trained.map_or(Ok(()), |trained| done(key, trained)));
            if one.is_err() {
                failed.store(true, Ordering::Relaxed);
                ended = ended.and(one);
            }
        }
        ended
    });
    match signals.caught() {
        Some(signal) if ended.is_ok() => Err(Error::Suite {
            what: format!("stopped by signal {signal}; what was trained is kept, and the same command goes on"),
            code: 128 + signal,
        }),
        _ => ended,
    }
}
