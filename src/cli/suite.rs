//! Several runs by one command, one after the other, each in a process of its own: no run sees the memory of another, and one that fails or is
//! killed does not take the others with it.

use super::member::{MemberPlan, ended};
use super::progress::{Row, results};
use crate::error::{Error, Result, resource};
use crate::lab::Signals;
use crate::record::RunDir;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// Time between two looks at a run and at the signals.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One run of a suite.
pub struct Member {
    /// What the suite calls it.
    pub name: String,
    /// What it does.
    pub plan: MemberPlan,
}

/// Runs `members` and prints what came out. A finished run is skipped and an unfinished one resumed.
///
/// # Errors
/// After all others are done, with the exit code of the first that failed; at once if a signal came.
pub fn suite(members: &[Member], signals: &Signals) -> Result<()> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for Member { name, plan } in members {
        match outcome(name, plan, signals) {
            Ok(directory) => rows.push(finished(&directory)?),
            Err(Error::Suite { what, code }) if signals.caught().is_some() => {
                show_rows(&rows)?;
                let what = format!("{what}; {} of {} runs are finished, the same command goes on", rows.len(), members.len());
                return Err(Error::Suite { what, code });
            }
            Err(Error::Suite { what, code }) => failed.push((what, code)),
            Err(other) => return Err(other),
        }
    }
    show_rows(&rows)?;
    let Some((_, code)) = failed.first() else { return Ok(()) };
    let list: Vec<&str> = failed.iter().map(|(text, _)| text.as_str()).collect();
    let what = format!("{} of {} runs failed, the reasons are above: {}", failed.len(), members.len(), list.join("; "));
    Err(Error::Suite { what, code: *code })
}

fn show_rows(rows: &[Row]) -> Result<()> {
    if rows.is_empty() { Ok(()) } else { results(rows) }
}

/// The row of a finished run.
pub fn finished(directory: &Path) -> Result<Row> {
    let run = RunDir::open(directory)?;
    run.result()?.zip(run.ledger()?).ok_or_else(|| Error::input(directory, "the run has no result"))
}

/// Runs a member in a process group of its own, so that a signal reaches it once: through us. Its directory, or an [`Error::Suite`] that says how it
/// ended.
fn outcome(name: &str, plan: &MemberPlan, signals: &Signals) -> Result<PathBuf> {
    let (mut command, _plan_file) = plan.command()?;
    let mut child = command.process_group(0).spawn().map_err(|e| resource!("cannot start a run: {e}"))?;
    let status = wait(&mut child, signals)?;
    if !status.success() {
        return Err(ended(name, status));
    }
    let mut said = Vec::new();
    let pipe = child.stdout.as_mut().expect("its output is a pipe");
    pipe.read_to_end(&mut said).map_err(|e| resource!("cannot read what a run printed: {e}"))?;
    said.pop_if(|last| *last == b'\n');
    Ok(OsString::from_vec(said).into())
}

fn wait(child: &mut Child, signals: &Signals) -> Result<ExitStatus> {
    let mut passed_on = false;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => (),
            Err(e) => return Err(resource!("lost sight of a run: {e}")),
        }
        if let Some(signal) = signals.caught().filter(|_| !passed_on) {
            passed_on = true;
            if let (Some(signal), Some(pid)) = (Signal::from_named_raw(signal), Pid::from_raw(child.id() as i32)) {
                // It may have ended just now; the next look tells.
                let _ = kill_process(pid, signal);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
