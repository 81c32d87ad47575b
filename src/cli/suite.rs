//! Several runs by one command, one after the other or one a device, each in a process of its own: no run sees the memory of another, and one that fails or is
//! killed does not take the others with it.

use super::member::{MemberPlan, ended};
use super::progress::{Row, percent, results, scored};
use crate::error::{Error, Result, resource};
use crate::lab::Signals;
use crate::message::say;
use crate::record::RunDir;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;
use tch::Device;
use tempfile::TempPath;

/// Time between two looks at a run and at the signals.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One run of a suite.
pub struct Member {
    /// What the suite calls it.
    pub name: String,
    /// What it does.
    pub plan: MemberPlan,
    /// Whether its end is not said.
    pub quiet: bool,
}

/// Runs `members`, one on each of `devices` at a time, and prints what came out. A finished run is skipped and an unfinished one resumed.
///
/// # Errors
/// After all others are done, with the exit code of the first that failed; after those that run have ended if a signal came.
pub fn suite(members: &[Member], devices: &[Device], signals: &Signals) -> Result<()> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for outcome in outcomes(members, devices, signals)? {
        match outcome {
            Ok(directory) => rows.push(finished(&directory)?),
            Err(Error::Suite { what, code }) => failed.push((what, code)),
            Err(other) => return Err(other),
        }
    }
    show_rows(&rows)?;
    if let Some(signal) = signals.caught() {
        let (what, code) = failed.into_iter().next().unwrap_or_else(|| (format!("stopped by signal {signal}"), 128 + signal));
        let what = format!("{what}; {} of {} runs are finished, the same command goes on", rows.len(), members.len());
        return Err(Error::Suite { what, code });
    }
    let Some((_, code)) = failed.first() else { return scored(&rows) };
    scored(&rows).unwrap_or_else(|e| say!("naslab: {e}"));
    let list: Vec<&str> = failed.iter().map(|(text, _)| text.as_str()).collect();
    let what = format!("{} of {} runs failed, the reasons are above: {}", failed.len(), members.len(), list.join("; "));
    Err(Error::Suite { what, code: *code })
}

/// Says what a run came to, while others go on.
fn say_end(Member { name, quiet, .. }: &Member, directory: &Path) {
    if let Some((result, _)) = finished(directory).ok().filter(|_| !quiet) {
        say!("{name}: finished, test {}, in {}", percent(result.final_score), directory.display());
    }
}

fn show_rows(rows: &[Row]) -> Result<()> {
    if rows.is_empty() { Ok(()) } else { results(rows) }
}

/// The row of a finished run.
pub fn finished(directory: &Path) -> Result<Row> {
    let run = RunDir::open(directory)?;
    run.result()?.zip(run.ledger()?).ok_or_else(|| Error::input(directory, "the run has no result"))
}

/// A run at work.
struct AtWork<'a> {
    number: usize,
    name: &'a str,
    device: Device,
    child: Child,
    /// It is there until the run has ended.
    _plan_file: TempPath,
}

impl<'a> AtWork<'a> {
    /// In a process group of its own, so that a signal reaches it once: through us.
    fn start(number: usize, Member { name, plan, .. }: &'a Member, device: Device) -> Result<Self> {
        let (mut command, _plan_file) = plan.on(device).command()?;
        let child = command.process_group(0).spawn().map_err(|e| resource!("cannot start a run: {e}"))?;
        Ok(Self { number, name, device, child, _plan_file })
    }

    /// Once it has ended: its directory, or an [`Error::Suite`] that says how.
    fn end(&mut self) -> Result<Option<Result<PathBuf>>> {
        let Some(status) = self.child.try_wait().map_err(|e| resource!("lost sight of a run: {e}"))? else { return Ok(None) };
        if !status.success() {
            return Ok(Some(Err(ended(self.name, status))));
        }
        let mut said = Vec::new();
        let pipe = self.child.stdout.as_mut().expect("its output is a pipe");
        pipe.read_to_end(&mut said).map_err(|e| resource!("cannot read what a run printed: {e}"))?;
        said.pop_if(|last| *last == b'\n');
        Ok(Some(Ok(OsString::from_vec(said).into())))
    }

    fn pass_on(&self, signal: i32) {
        if let (Some(signal), Some(pid)) = (Signal::from_named_raw(signal), Pid::from_raw(self.child.id() as i32)) {
            // It may have ended just now; the next look tells.
            let _ = kill_process(pid, signal);
        }
    }
}

/// How the runs ended, in their order; after a signal those that were begun.
fn outcomes(members: &[Member], devices: &[Device], signals: &Signals) -> Result<Vec<Result<PathBuf>>> {
    let (mut done, mut at_work, mut free) = (BTreeMap::new(), Vec::<AtWork>::new(), devices.to_vec());
    let (mut next, mut passed_on) = (members.iter().enumerate(), false);
    // The first device is taken first.
    free.reverse();
    loop {
        while signals.caught().is_none()
            && let Some(device) = free.pop()
        {
            let Some((number, member)) = next.next() else { break };
            at_work.push(AtWork::start(number, member, device)?);
        }
        if at_work.is_empty() {
            return Ok(done.into_values().collect());
        }
        if let Some(signal) = signals.caught().filter(|_| !passed_on) {
            passed_on = true;
            at_work.iter().for_each(|run| run.pass_on(signal));
        }
        for at in (0..at_work.len()).rev() {
            if let Some(outcome) = at_work[at].end()? {
                let run = at_work.remove(at);
                if let Ok(directory) = &outcome {
                    say_end(&members[run.number], directory);
                }
                done.insert(run.number, outcome);
                free.push(run.device);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
