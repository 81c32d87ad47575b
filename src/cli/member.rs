//! `naslab member`: a run of a suite, or a measurement, in a process of its own. The parent resolves everything and writes it to a plan file.

use super::cluster::own_processors;
use super::run::{by_name, conduct, quietly, set_threads, threads};
use super::run_args::OutputArgs;
use super::show::print_out;
use super::trial::conduct_as_task;
use crate::device;
use crate::error::{Error, Result, input};
use crate::lab::{Method, Order, Ready, prepare};
use crate::nn::{Kernels, use_kernels};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use tch::Device;
use tempfile::TempPath;

/// This program, even if its file was replaced since it started.
pub const SELF: &str = "/proc/self/exe";

/// What a process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct MemberPlan {
    method: String,
    order: Order,
    threads: u32,
    work: Work,
    /// Whether it is a job of a cluster, which is warned before its time is over.
    #[serde(default)]
    task: bool,
}

/// A run or a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A run, or the rest of it. Its directory is printed.
    Run {
        /// Folder of the run directories. It need not be UTF-8.
        out: OsString,
        /// How it saves and talks.
        output: OutputArgs,
        /// What its messages begin with.
        label: String,
    },
    /// A measurement, printed as JSON.
    Measure {
        /// What does the arithmetic.
        kernels: Kernels,
        /// Measured steps of each kind.
        steps: usize,
    },
}

impl MemberPlan {
    /// Work on `order`, with as many threads as this process has.
    pub fn new(method: &dyn Method, order: Order, work: Work) -> Self {
        Self { method: method.card().name.into(), order, threads: threads(), work, task: false }
    }

    /// The same on another device of that kind.
    pub fn on(&self, device: Device) -> Self {
        let order = Order { device, ..self.order.clone() };
        Self { order, method: self.method.clone(), threads: self.threads, work: self.work.clone(), task: self.task }
    }

    /// The same as a job of a cluster.
    pub fn for_a_task(self) -> Self {
        Self { task: true, ..self }
    }

    /// The process that does it, not started, and its plan file, which is there until it is dropped.
    pub fn command(&self) -> Result<(Command, TempPath)> {
        let failed = |e: std::io::Error| Error::writing(std::env::temp_dir(), &e);
        let file = tempfile::Builder::new().prefix("naslab-member-").suffix(".json").tempfile().map_err(failed)?;
        let plan = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        std::fs::write(file.path(), plan).map_err(failed)?;
        let mut command = Command::new(SELF);
        command.arg0("naslab").arg("member").arg(file.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        Ok((command, file.into_temp_path()))
    }
}

/// Does what a plan file says; ends with the parent, also if that is killed.
pub fn member(plan: &Path) -> Result<()> {
    // Where the system does not know this, a member merely goes on to its own end.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let bytes = std::fs::read(plan).map_err(|e| Error::reading(plan, &e))?;
    let mut plan: MemberPlan = serde_json::from_slice(&bytes).map_err(|e| input!(plan, "not a member's plan: {e}"))?;
    set_threads(plan.threads)?;
    if plan.task && plan.order.device == Device::Cpu {
        plan.order.jobs = own_processors();
    } else if plan.task {
        plan.order.jobs = 1;
    }
    device::open(plan.order.device)?;
    let method = by_name(&plan.method)?;
    match plan.work {
        Work::Run { out, output, label } => {
            let place = |ready: &Ready| ready.directory(Path::new(&out));
            let directory = match plan.task {
                true => conduct_as_task(method, &plan.order, place, &output, &label)?,
                false => conduct(method, &plan.order, place, &output, &label)?,
            };
            print_out([directory.into_os_string().as_bytes(), b"\n"].concat())
        }
        Work::Measure { kernels, steps } => {
            use_kernels(kernels);
            let measured = prepare(method, &plan.order)?.measure(quietly(plan.order.jobs)?, steps)?;
            print_out(serde_json::to_string(&measured).map_err(|e| Error::Resource(e.to_string()))?)
        }
    }
}

/// That the process `name` failed, and how.
pub fn ended(name: &str, status: ExitStatus) -> Error {
    let (code, how) = match status.code() {
        Some(code) => (code, format!("ended with exit code {code}")),
        None => {
            let signal = status.signal().unwrap_or_default();
            (Error::Resource(String::new()).exit_code(), format!("was killed by signal {signal} (did memory run out?)"))
        }
    };
    Error::Suite { what: format!("{name} {how}"), code }
}
