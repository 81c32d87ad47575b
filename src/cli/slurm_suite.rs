//! Several runs by one command on a cluster: one job a run, at most so many at a time. The same command later goes on: it waits for what is in the queue or at work, and sends what is
//! neither there nor finished.

use super::member::{MemberPlan, Work};
use super::progress::{Row, results, scored};
use super::run::Planned;
use super::run_args::Runs;
use super::suite::finished;
use crate::error::{Error, Result};
use crate::lab::{
    Array, Awaited, Order, Signals, Snapshot, TaskId, TaskState, await_late, ended_without, exit_code, most_tasks, prepare, quoted,
    send_job, snapshot, wait_for,
};
use crate::message::say;
use crate::record::{ClusterRecord, read_json, run_name, write_json};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Folder below that of the runs for scripts, plans, and what the jobs printed.
const FOLDER: &str = ".cluster";

/// An array that was sent; it is recorded before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sent {
    name: String,
    /// Folder names of its runs.
    runs: Vec<String>,
}

/// Where a run is done.
struct Task {
    /// Name of its array.
    array: String,
    id: TaskId,
    /// Whether an earlier call sent it.
    adopted: bool,
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
    let mut suite = Suite { out, cluster, runs, tasks: HashMap::new(), states: HashMap::new(), failed: Vec::new() };
    suite.adopt(&members)?;
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
    /// By the folder of the run.
    tasks: HashMap<String, Task>,
    /// What was seen last of each.
    states: HashMap<TaskId, TaskState>,
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

    /// Takes over those of these runs that an earlier call left in the queue or at work.
    fn adopt(&mut self, members: &[Member]) -> Result<()> {
        let sent = self.sent()?;
        if sent.is_empty() {
            return Ok(());
        }
        let queue = snapshot().map_err(|said| Error::Resource(format!("Slurm's controller does not answer: {said}; try again later")))?;
        // Another command may have runs in the same folder.
        let own: HashSet<&str> = members.iter().map(|member| member.folder.as_str()).collect();
        for (id, state) in queue.iter().filter(|(_, state)| state.is_alive()) {
            let Some(array) = sent.iter().find(|array| array.name == state.name) else { continue };
            if let Some(run) = array.runs.get(id.1 as usize).filter(|run| own.contains(run.as_str())) {
                self.tasks.insert(run.clone(), Task { array: array.name.clone(), id: *id, adopted: true });
            }
        }
        Ok(())
    }

    /// Refuses a folder that holds another run than the member's, which is then named.
    fn check(&self, member: &Member) -> Result<()> {
        let ready = prepare(member.planned.method, &member.planned.order)?;
        ready.is_same(&self.out.join(&member.folder)).map(drop)
    }

    /// Says why a run failed, and keeps it in mind.
    fn fail(&mut self, member: &Member, error: &Error) {
        say!("naslab: {}: {error}", member.label);
        self.failed.push((member.label.clone(), error.exit_code()));
    }

    /// False for a run that is finished, and for one whose folder holds another run, which is then named.
    fn is_to_be_done(&mut self, member: &Member) -> bool {
        let directory = self.out.join(&member.folder);
        if !directory.join("result.json").exists() {
            return true;
        }
        match self.check(member) {
            Ok(()) => self.say(&format!("{}: {} is finished, nothing to do", member.label, directory.display())),
            Err(error) => self.fail(member, &error),
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
        let mut array = Array::write(&folder, name.clone(), &self.cluster.program, &lines)?;
        let mut sent = self.sent()?;
        sent.push(Sent { name: name.clone(), runs: members.iter().map(|m| m.folder.clone()).collect() });
        write_json(&folder.join("arrays.json"), &sent)?;
        let at_once = members[0].planned.order.jobs;
        let job = send_job(&mut array, (&self.cluster.words, Some(at_once), false), signals, &mut |text| say!("{text}"))?;
        self.say(&format!("{} runs are job {job}, at most {at_once} at a time; what they print is in {}", members.len(), folder.display()));
        for (member, index) in members.iter().zip(0..) {
            self.tasks.insert(member.folder.clone(), Task { array: name.clone(), id: (job, index), adopted: false });
        }
        Ok(())
    }

    /// Waits for all that were sent, and says when one begins or ends. The signal, if one came.
    fn wait(&mut self, members: &[Member], signals: &Signals) -> Result<Option<i32>> {
        let tasks: Vec<TaskId> = self.tasks.values().map(|task| task.id).collect();
        let mut states = std::mem::take(&mut self.states);
        let mut each = |queue: &Snapshot| {
            for Member { label, folder, .. } in members {
                let Some(id) = self.tasks.get(folder).map(|task| task.id) else { continue };
                let Some(state) = queue.get(&id) else { continue };
                let before = states.insert(id, state.clone());
                if before.is_none_or(|before| before.state != state.state) && state.state != "PENDING" {
                    let on = if state.node.is_empty() { String::new() } else { format!(" on {}", state.node) };
                    self.say(&format!("{label}: {}{on}", state.state.to_lowercase().replace('_', " ")));
                }
            }
            Ok(())
        };
        let awaited = wait_for(&tasks, signals, &mut |text| say!("{text}"), &mut each)?;
        self.states = states;
        Ok(match awaited {
            Awaited::Over => None,
            Awaited::Interrupted(signal) => Some(signal),
        })
    }

    /// The row of a run. What was sent is waited for where a shared file system shows it late, counted
    /// from `since`, if it is given.
    fn row(&self, member: &Member, since: Option<Instant>) -> Result<Row> {
        let directory = self.out.join(&member.folder);
        let Some(Task { array, id, adopted }) = self.tasks.get(&member.folder) else { return finished(&directory) };
        let state = self.states.get(id).filter(|state| !state.is_alive());
        let row = match since {
            Some(since) => await_late(state, since, &|| Ok(finished(&directory).ok()))?,
            None => Some(finished(&directory)?),
        };
        if *adopted && row.is_some() {
            self.check(member)?;
        }
        row.ok_or_else(|| {
            let error = Error::Resource(ended_without("a result", (&self.folder(), array), *id, state));
            Error::Suite { what: error.to_string(), code: exit_code(*id).unwrap_or_else(|| error.exit_code()) }
        })
    }

    /// Prints what came out, and names what failed.
    fn finish(mut self, members: &[Member], interrupted: Option<i32>) -> Result<()> {
        let (mut rows, since) = (Vec::new(), interrupted.is_none().then(Instant::now));
        let left: Vec<&Member> = members.iter().filter(|m| !self.failed.iter().any(|(label, _)| *label == m.label)).collect();
        for member in left {
            match self.row(member, since) {
                Ok(row) => rows.push(row),
                Err(_) if interrupted.is_some() => (),
                Err(error) if !self.tasks.contains_key(&member.folder) => return Err(error),
                Err(error) => self.fail(member, &error),
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
