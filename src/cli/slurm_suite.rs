//! Several runs by one command on a cluster: one job a run, at most so many at a time. The same command later goes on: it waits for what is in the queue or at work, and sends what is
//! neither there nor finished.

use super::member::{MemberPlan, Work};
use super::progress::{Row, results, scored};
use super::run::Planned;
use super::run_args::Runs;
use super::suite::finished;
use crate::error::{Error, Result};
use crate::lab::{
    Array, Awaited, Order, Signals, Snapshot, TaskId, exit_code, failed_job, most_tasks, prepare, quoted, send_job, snapshot, wait_for,
};
use crate::message::say;
use crate::record::{ClusterRecord, read_json, run_name, write_json};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Folder below that of the runs for scripts, plans, and what the jobs printed.
const FOLDER: &str = ".cluster";

/// An array that was sent: recorded before it is, then without a number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sent {
    name: String,
    job: Option<u64>,
    /// Folder names of its runs.
    runs: Vec<String>,
}

/// A run of the suite.
struct Member<'a> {
    label: String,
    folder: String,
    planned: &'a Planned,
}

/// See the module.
///
/// # Errors
/// After all others are done, with the exit code of the first that failed.
pub fn slurm_suite(planned: &[Planned], runs: &Runs, signals: &Signals) -> Result<()> {
    let cluster = planned[0].order.cluster.clone().expect("a suite on a cluster");
    let out = std::path::absolute(&runs.out).unwrap_or_else(|_| runs.out.clone());
    let members = planned.iter().enumerate().map(|(i, p)| Member::new(p, i + 1, planned.len())).collect::<Result<Vec<_>>>()?;
    let mut suite = Suite { out, cluster, runs, tasks: HashMap::new(), failed: Vec::new() };
    suite.adopt()?;
    let mut interrupted = suite.wait(&members, signals)?;
    let mut left: Vec<&Member> = members.iter().filter(|m| !suite.tasks.contains_key(&m.folder)).collect();
    left.retain(|member| suite.is_to_be_done(member));
    while interrupted.is_none() && !left.is_empty() {
        let some: Vec<&Member> = left.drain(..left.len().min(most_tasks())).collect();
        suite.send(&some, signals)?;
        interrupted = suite.wait(&members, signals)?;
    }
    suite.finish(&members, interrupted)
}

impl<'a> Member<'a> {
    fn new(planned: &'a Planned, number: usize, of: usize) -> Result<Self> {
        let Planned { method, name, order } = planned;
        let variant = method.prepare(&order.settings)?.variant;
        let folder = run_name(method.card().name, &variant, &order.dataset, &order.preset, order.seed);
        Ok(Self { label: format!("[{number}/{of}] {name} {} seed {}", order.preset, order.seed), folder, planned })
    }

    /// What its job is to do: as at home, on the node.
    fn plan(&self, out: &Path, runs: &Runs) -> MemberPlan {
        let order = Order { cluster: None, ..self.planned.order.clone() };
        let work = Work::Run { out: out.as_os_str().to_os_string(), output: runs.output.clone(), label: self.label.clone() };
        MemberPlan::new(self.planned.method, order, work).for_a_task()
    }
}

struct Suite<'a> {
    out: PathBuf,
    cluster: ClusterRecord,
    runs: &'a Runs,
    /// Name of the array, and the task in it, by the folder of the run.
    tasks: HashMap<String, (String, TaskId)>,
    failed: Vec<(String, i32)>,
}

impl Suite<'_> {
    fn folder(&self) -> PathBuf {
        self.out.join(FOLDER)
    }

    fn sent(&self) -> Result<Vec<Sent>> {
        let path = self.folder().join("arrays.json");
        if path.exists() { read_json(&path) } else { Ok(Vec::new()) }
    }

    fn say(&self, text: &str) {
        if !self.runs.output.quiet {
            say!("{text}");
        }
    }

    /// Takes over what an earlier call of the command left in the queue or at work.
    fn adopt(&mut self) -> Result<()> {
        let sent = self.sent()?;
        if sent.is_empty() {
            return Ok(());
        }
        let queue = snapshot().map_err(|said| Error::Resource(format!("Slurm's controller does not answer: {said}; try again later")))?;
        for ((job, index), task) in queue.iter().filter(|(_, task)| task.is_alive()) {
            let Some(array) = sent.iter().find(|array| array.name == task.name) else { continue };
            if let Some(run) = array.runs.get(*index as usize) {
                self.tasks.insert(run.clone(), (array.name.clone(), (*job, *index)));
            }
        }
        Ok(())
    }

    /// False for a run that is finished, and for one whose folder holds another run, which is then named.
    fn is_to_be_done(&mut self, member: &Member) -> bool {
        let directory = self.out.join(&member.folder);
        if !directory.join("result.json").exists() {
            return true;
        }
        match prepare(member.planned.method, &member.planned.order).and_then(|ready| ready.is_same(&directory)) {
            Ok(_) => self.say(&format!("{}: {} is finished, nothing to do", member.label, directory.display())),
            Err(error) => {
                say!("naslab: {}: {error}", member.label);
                self.failed.push((member.label.clone(), error.exit_code()));
            }
        }
        false
    }

    fn send(&mut self, members: &[&Member], signals: &Signals) -> Result<()> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(|e| Error::writing(&folder, &e))?;
        let name = Array::new_name(&folder);
        let mut lines = Vec::new();
        for (member, index) in members.iter().zip(0..) {
            let path = folder.join(format!("{name}.{index}.plan.json"));
            write_json(&path, &member.plan(&self.out, self.runs))?;
            lines.push(format!("member {}", quoted(&path.display().to_string())));
        }
        let array = Array::write(&folder, name.clone(), &self.cluster.program, &lines)?;
        let mut sent = self.sent()?;
        sent.push(Sent { name: name.clone(), job: None, runs: members.iter().map(|m| m.folder.clone()).collect() });
        write_json(&folder.join("arrays.json"), &sent)?;
        let at_once = members[0].planned.order.jobs;
        let job = send_job(&array, (&self.cluster.words, Some(at_once), false), signals, &mut |text| say!("{text}"))?;
        if let Some(last) = sent.last_mut() {
            last.job = Some(job);
        }
        write_json(&folder.join("arrays.json"), &sent)?;
        self.say(&format!("{} runs are job {job}, at most {at_once} at a time; what they print is in {}", members.len(), folder.display()));
        for (member, index) in members.iter().zip(0..) {
            self.tasks.insert(member.folder.clone(), (name.clone(), (job, index)));
        }
        Ok(())
    }

    /// Waits for all that were sent, and says when one begins or ends. The signal, if one came.
    fn wait(&self, members: &[Member], signals: &Signals) -> Result<Option<i32>> {
        let tasks: Vec<TaskId> = self.tasks.values().map(|(_, task)| *task).collect();
        let mut states: HashMap<&str, String> = HashMap::new();
        let mut each = |queue: &Snapshot| {
            for Member { label, folder, .. } in members {
                let Some(state) = self.tasks.get(folder).and_then(|(_, task)| queue.get(task)) else { continue };
                if states.insert(label, state.state.clone()).as_ref() != Some(&state.state) && state.state != "PENDING" {
                    let on = if state.node.is_empty() { String::new() } else { format!(" on {}", state.node) };
                    self.say(&format!("{label}: {}{on}", state.state.to_lowercase().replace('_', " ")));
                }
            }
            Ok(())
        };
        Ok(match wait_for(&tasks, signals, &mut |text| say!("{text}"), &mut each)? {
            Awaited::Over => None,
            Awaited::Interrupted(signal) => Some(signal),
        })
    }

    /// Prints what came out, and names what failed.
    fn finish(mut self, members: &[Member], interrupted: Option<i32>) -> Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        for member in members.iter().filter(|m| !self.failed.iter().any(|(label, _)| *label == m.label)).collect::<Vec<_>>() {
            match (finished(&self.out.join(&member.folder)), self.tasks.get(&member.folder)) {
                (Ok(row), _) => rows.push(row),
                (Err(_), Some((name, task))) if interrupted.is_none() => {
                    let error = failed_job(&self.folder(), name, task.1, task.0);
                    say!("naslab: {}: {error}", member.label);
                    self.failed.push((member.label.clone(), exit_code(*task).unwrap_or_else(|| error.exit_code())));
                }
                (Err(error), None) if interrupted.is_none() => return Err(error),
                (Err(_), _) => (),
            }
        }
        if !rows.is_empty() {
            results(&rows)?;
        }
        if let Some(signal) = interrupted {
            let what =
                format!("stopped by signal {signal}; {} of {} runs are finished, the same command goes on", rows.len(), members.len());
            return Err(Error::Suite { what, code: 128 + signal });
        }
        let Some((_, code)) = self.failed.first() else { return scored(&rows) };
        scored(&rows).unwrap_or_else(|e| say!("naslab: {e}"));
        let list: Vec<&str> = self.failed.iter().map(|(label, _)| label.as_str()).collect();
        let what = format!("{} of {} runs failed, the reasons are above: {}", self.failed.len(), members.len(), list.join("; "));
        Err(Error::Suite { what, code: *code })
    }
}
