//! A Slurm cluster of three nodes on this machine, for one test. Where the packages are missing, or we are not root, the test is skipped.

use crate::common::{history, naslab, run_arguments};
use naslab::record::{Event, LedgerRecord, Phase, Submission, TaskRecord, read_events, read_json};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running cluster, and a folder that all its nodes see.
pub struct Cluster {
    folder: tempfile::TempDir,
}

/// What a task or job in the queue is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// `12_0`
    pub id: String,
    pub state: String,
    pub node: String,
}

impl Cluster {
    /// Starts one, or says that the test is skipped.
    pub fn start() -> Option<Self> {
        let there =
            |program: &str| std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|p| p.join(program).exists()));
        let sbin = |program: &str| there(program) || Path::new("/usr/sbin").join(program).exists();
        if !["slurmctld", "slurmd", "sbatch", "munged"].into_iter().all(sbin) || !rustix::process::geteuid().is_root() {
            eprintln!("skipped: a Slurm cluster for tests needs slurmctld, slurmd, slurm-client and munge, and root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self { folder };
        cluster.script(&["start"], &["3"]);
        Some(cluster)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("slurm")
    }

    fn script(&self, before: &[&str], after: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster.sh");
        // The daemons would keep pipes open.
        let log = std::fs::File::create(self.folder.path().join("script.log")).unwrap();
        let mut command = Command::new(script);
        command.args(before).arg(self.home()).args(after).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let status = command.status().unwrap();
        let said = std::fs::read_to_string(self.folder.path().join("script.log")).unwrap();
        assert!(status.success(), "{before:?} {after:?}: {said}");
    }

    pub fn node(&self, name: &str, what: &str) {
        self.script(&["node"], &[name, what]);
    }

    pub fn controller(&self, what: &str) {
        self.script(&["controller"], &[what]);
    }

    /// A folder of runs that does not exist yet.
    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn environment(&self) -> (&'static str, PathBuf) {
        ("SLURM_CONF", self.home().join("slurm.conf"))
    }

    pub fn naslab(&self) -> assert_cmd::Command {
        let mut command = naslab();
        let (key, value) = self.environment();
        command.env(key, value);
        command
    }

    /// A coordinator that can be killed. What it says is read from its pipe.
    pub fn spawn(&self, arguments: &[String]) -> Child {
        let (key, value) = self.environment();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("naslab"));
        command.args(arguments).env(key, value).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    pub fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let (key, value) = self.environment();
        let output = Command::new(program).args(arguments).env(key, value).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is in the queue or at work.
    pub fn queue(&self) -> Vec<Queued> {
        let text = self.ask("squeue", &["--noheader", "--array", "--format=%F_%K|%T|%N"]);
        let one = |line: &str| {
            let [id, state, node] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
            Queued { id: String::from(id), state: state.into(), node: node.into() }
        };
        text.lines().map(one).collect()
    }

    /// Tasks that were put back into the queue begin at once; Slurm would let them wait for two minutes.
    pub fn hurry(&self) {
        for task in self.queue().iter().filter(|t| t.state == "PENDING") {
            self.ask("scontrol", &["update", &format!("jobid={}", task.id), "StartTime=now"]);
        }
    }

    /// Waits until a trial has been in training for several steps, and returns its task.
    pub fn wait_for_training(&self, out: &Path, phase: &str) -> Queued {
        let mut found = None;
        wait_for("a trial in training", || {
            let Some(run) = std::fs::read_dir(out).ok().and_then(|mut d| d.next()).map(|e| e.unwrap().path()) else { return false };
            let accounts = glob(&run.join("tasks"), |name| name.starts_with(phase))
                .into_iter()
                .flat_map(|d| glob(&d, |n| n.ends_with(".account.json")));
            let accounts: Vec<TaskRecord> = accounts.filter_map(|path| read_json(&path).ok()).collect();
            let queue = self.queue();
            let at_work = |a: &TaskRecord| {
                queue.iter().find(|t| t.state == "RUNNING" && a.account.steps > 4 && a.task.starts_with(&format!("{}.", t.id)))
            };
            found = accounts.iter().find_map(at_work).cloned();
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until nothing is in the queue or at work.
    pub fn wait_until_empty(&self) {
        wait_for("an empty queue", || self.queue().is_empty());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script(&["stop"], &[]);
    }
}

fn glob(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|e| fits(&e.file_name().to_string_lossy())).map(|e| e.path()).collect()
}

/// Waits for ten minutes at most: a busy machine is slow, not wrong.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(600), "waited ten minutes for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The tiny settings of a method with children that train for so many epochs.
pub fn arguments(method: &str, out: &Path, epochs: Option<u64>) -> Vec<String> {
    let mut all = run_arguments(method, out);
    all.retain(|a| a != "--quiet");
    if let Some(epochs) = epochs {
        all.extend(
            ["search.child.recipe.epochs", "select.recipe.epochs"].iter().flat_map(|key| ["--set".into(), format!("{key}={epochs}")]),
        );
    }
    all
}

/// The same on the cluster, with three tasks at a time.
pub fn on_slurm(method: &str, out: &Path, epochs: Option<u64>, more: &[&str]) -> Vec<String> {
    let mut all = arguments(method, out, epochs);
    all.extend(["--on", "slurm", "--jobs", "3"].iter().chain(more).map(|s| (*s).to_string()));
    all
}

pub fn events(run: &Path) -> Vec<Event> {
    read_events(&run.join("events.jsonl")).unwrap().0.into_iter().map(|e| e.event).collect()
}

/// How often each trial was sent.
pub fn times_sent(run: &Path, phase: Phase) -> Vec<usize> {
    let sent: Vec<Submission> = events(run)
        .into_iter()
        .filter_map(|e| match e {
            Event::Submission(s) if s.phase == phase && s.job.is_some() => Some(s),
            _ => None,
        })
        .collect();
    let mut names = std::collections::BTreeSet::new();
    let sent: Vec<u64> = sent.into_iter().filter(|s| names.insert(s.name.clone())).flat_map(|s| s.tasks.concat()).collect();
    let trials = history(run).iter().filter(|t| t.phase == phase).count() as u64;
    (0..trials).map(|id| sent.iter().filter(|other| **other == id).count()).collect()
}

pub fn ledger(run: &Path) -> LedgerRecord {
    read_json(&run.join("ledger.json")).unwrap()
}

/// The device-seconds of search and selection are those of the tasks, and every training has an account that says where it was.
pub fn assert_ledger(run: &Path) {
    let ledger = ledger(run);
    for phase in [Phase::Search, Phase::Select] {
        let of_rows: f64 = ledger.rows.iter().filter(|r| r.phase == phase).map(|r| r.device_seconds).sum();
        let tasks: Vec<&TaskRecord> = ledger.tasks.iter().filter(|t| t.account.phase == phase).collect();
        let of_tasks: f64 = tasks.iter().map(|t| t.account.device_seconds).sum();
        assert!((of_rows - of_tasks).abs() < 1e-6, "{phase:?}: {of_rows} in the rows, {of_tasks} in the tasks");
        let trials = history(run).into_iter().filter(|t| t.phase == phase && t.reused.is_none());
        for trial in trials {
            assert!(tasks.iter().any(|t| t.trial == trial.id && t.apart && t.node.starts_with('n')), "trial {} has no account", trial.id);
        }
    }
    // The rows add up to the wall time, whoever did the work.
    let wall: f64 = ledger.rows.iter().map(|r| r.wall_seconds).sum();
    assert!((wall - ledger.wall_seconds).abs() <= 0.02 * ledger.wall_seconds, "{wall} of {}", ledger.wall_seconds);
}
