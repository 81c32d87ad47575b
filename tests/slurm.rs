//! The same searches on a real Slurm cluster of three nodes: equal to those at home, whatever happens to tasks, nodes, coordinator and controller.

#[path = "slurm/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "not every test binary needs all of it")]
mod common;

use cluster::{Cluster, arguments, assert_ledger, events, ledger, on_slurm, signal, times_sent, wait_for};
use common::{assert_same, history, naslab, only_run};
use naslab::record::{EndReason, Event, Phase, TrialRecord};
use predicates::prelude::*;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;

/// So many epochs that a training takes some seconds, on this machine.
fn long() -> Option<u64> {
    static EPOCHS: OnceLock<u64> = OnceLock::new();
    let measure = || {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("runs");
        naslab().args(arguments("random", &out, Some(FEW))).args(["--jobs", "1"]).assert().success();
        let ledger = ledger(&only_run(&out));
        let search: Vec<_> = ledger.rows.iter().filter(|row| row.phase == Phase::Search).collect();
        let seconds: f64 = search.iter().map(|row| row.device_seconds).sum();
        let steps: u64 = search.iter().map(|row| row.steps).sum();
        (5.0 / seconds * steps as f64 / STEPS_OF_AN_EPOCH as f64).ceil() as u64
    };
    Some(*EPOCHS.get_or_init(measure).max(&FEW))
}

const FEW: u64 = 20;

/// Of the training of a child with the tiny settings.
const STEPS_OF_AN_EPOCH: u64 = 2;

/// Trials as they count.
fn committed(run: &Path) -> Vec<TrialRecord> {
    history(run).into_iter().filter(|t| t.end != EndReason::Interrupted).collect()
}

/// The same at home, in `name` below the cluster's folder.
fn at_home(cluster: &Cluster, method: &str, epochs: Option<u64>) -> PathBuf {
    let out = cluster.out(&format!("home-{method}"));
    naslab().args(arguments(method, &out, epochs)).args(["--jobs", "2"]).assert().success();
    only_run(&out)
}

fn assert_equal(home: &Path, run: &Path, what: &str) {
    assert_eq!(committed(home), committed(run), "{what}");
    assert_same(home, run, what);
    assert_ledger(run);
}

/// What a coordinator said and how it ended.
fn end_of(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn resume(cluster: &Cluster, run: &Path) -> String {
    let assert = cluster.naslab().arg("resume").arg(run).assert().success();
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn searches_by_trials_are_those_at_home() {
    let Some(cluster) = Cluster::start() else { return };
    for (method, more) in
        [("amoebanet", &[][..]), ("nasnet", &["--trials-per-task", "2"]), ("random", &["--sbatch", "--comment='two words' --mem=100"])]
    {
        let out = cluster.out(method);
        cluster.naslab().args(on_slurm(method, &out, None, more)).assert().success();
        let run = only_run(&out);
        assert_equal(&at_home(&cluster, method, None), &run, method);
        assert!(times_sent(&run, Phase::Search).iter().all(|n| *n == 1) && times_sent(&run, Phase::Select).iter().all(|n| *n == 1));
        wait_for("an empty queue", || cluster.queue().is_empty());
        // Retraining and test have an account too, by the job that did them.
        let places = ledger(&run).tasks.into_iter().filter(|t| !t.apart).map(|t| t.account.phase).collect::<Vec<_>>();
        assert_eq!(places, [Phase::Retrain, Phase::Test], "{method}");
        cluster
            .naslab()
            .args(on_slurm(method, &out, None, more))
            .assert()
            .success()
            .stderr(predicate::str::contains("is finished, nothing to do"));
    }
}

#[test]
fn searches_by_steps_are_one_job_each_and_those_at_home() {
    let Some(cluster) = Cluster::start() else { return };
    for method in ["darts", "enas"] {
        let out = cluster.out(method);
        cluster.naslab().args(on_slurm(method, &out, None, &[])).assert().success();
        let run = only_run(&out);
        assert_same(&at_home(&cluster, method, None), &run, method);
        let sent = events(&run).into_iter().filter(|e| matches!(e, Event::Submission(s) if s.job.is_some())).count();
        assert_eq!(sent, 1, "{method}");
        assert!(ledger(&run).tasks.iter().any(|t| t.account.phase == Phase::Search && t.node.starts_with('n')));
    }
}

#[test]
fn a_suite_is_one_job_a_run_and_goes_on() {
    let Some(cluster) = Cluster::start() else { return };
    let (out, home) = (cluster.out("suite"), cluster.out("home"));
    let both = |out: &Path| {
        let mut all = arguments("random", out, None);
        all.insert(2, "nasnet".into());
        all.extend(["--seeds", "0..2", "--set", "search.trials=4"].map(String::from));
        all
    };
    let mut on_cluster = both(&out);
    on_cluster.extend(["--on", "slurm", "--jobs", "2"].map(String::from));
    // Killed when the first runs work: they go on, and the same command waits for them.
    let mut child = cluster.spawn(&on_cluster);
    wait_for("two runs at work", || cluster.queue().iter().filter(|t| t.state == "RUNNING").count() == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let table = predicate::str::contains("random nasnet-space").count(2).and(predicate::str::contains("nasnet ppo").count(2));
    cluster.naslab().args(&on_cluster).assert().success().stdout(table);
    naslab().args(both(&home)).args(["--jobs", "1"]).assert().success();
    let mut runs: Vec<PathBuf> = std::fs::read_dir(&home).unwrap().map(|e| e.unwrap().path()).collect();
    runs.sort();
    assert_eq!(runs.len(), 4);
    for run in runs {
        let other = out.join(run.file_name().unwrap());
        assert_same(&run, &other, "a run of a suite");
        let attempts = events(&other).into_iter().filter(|e| matches!(e, Event::AttemptStarted { .. })).count();
        assert_eq!(attempts, 1, "none was sent twice");
    }
    wait_for("an empty queue", || cluster.queue().is_empty());
    cluster.naslab().args(&on_cluster).assert().success().stderr(predicate::str::contains("is finished, nothing to do").count(4));
}

#[test]
fn a_node_that_is_lost_and_a_task_that_somebody_cancels_change_nothing() {
    let Some(cluster) = Cluster::start() else { return };
    let out = cluster.out("runs");
    let child = cluster.spawn(&on_slurm("random", &out, long(), &["--sbatch", "--nodes=1 --exclusive"]));
    let task = cluster.wait_for_training(&out, "search");
    cluster.ask("scancel", &[&task.id]);
    wait_for("another task in training", || cluster.queue().iter().any(|t| t.state == "RUNNING" && t.id != task.id));
    let lost = cluster.wait_for_training(&out, "search");
    cluster.node(&lost.node, "stop");
    wait_for("the node to be down", || cluster.ask("sinfo", &["-h", "-n", &lost.node, "-o", "%t"]).starts_with("down"));
    wait_for("the end", || {
        cluster.hurry();
        only_run(&out).join("result.json").exists()
    });
    let (code, said) = end_of(child);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ended without an outcome (CANCELLED)") && said.contains("it is sent again"), "{said}");
    let run = only_run(&out);
    assert_equal(&at_home(&cluster, "random", long()), &run, "a lost node");
    // What came to nothing is charged too.
    assert!(ledger(&run).tasks.iter().filter(|t| t.apart && t.account.end_reason == EndReason::Interrupted).count() >= 2);
}

#[test]
fn a_coordinator_that_is_killed_finds_its_tasks_again() {
    let Some(cluster) = Cluster::start() else { return };
    let out = cluster.out("runs");
    let kill = |mut child: Child| {
        child.kill().unwrap();
        child.wait().unwrap();
    };
    // In the search, in the selection, and while the rest is a job.
    let child = cluster.spawn(&on_slurm("random", &out, long(), &[]));
    cluster.wait_for_training(&out, "search");
    kill(child);
    let run = only_run(&out);
    let again = vec!["resume".to_string(), run.display().to_string()];
    let child = cluster.spawn(&again);
    cluster.wait_for_training(&out, "select");
    kill(child);
    let child = cluster.spawn(&again);
    wait_for("the rest", || events(&run).iter().any(|e| matches!(e, Event::Submission(s) if s.phase == Phase::Retrain && s.job.is_some())));
    kill(child);
    resume(&cluster, &run);
    let rests = events(&run).into_iter().filter(|e| matches!(e, Event::Submission(s) if s.phase == Phase::Retrain && s.job.is_some()));
    assert_eq!(rests.count(), 1, "the rest was taken over, and not sent again");
    assert_equal(&at_home(&cluster, "random", long()), &run, "a killed coordinator");
    for phase in [Phase::Search, Phase::Select] {
        assert!(times_sent(&run, phase).iter().all(|n| *n == 1), "{phase:?}: a trial was sent twice");
    }
    let interrupted = ledger(&run).tasks.iter().filter(|t| t.account.end_reason == EndReason::Interrupted).count();
    assert_eq!(interrupted, 0, "no training was begun twice");
    wait_for("an empty queue", || cluster.queue().is_empty());
}

#[test]
fn ctrl_c_cancels_what_waits_and_a_second_one_what_runs() {
    let Some(cluster) = Cluster::start() else { return };
    let home = at_home(&cluster, "random", long());
    for times in [1, 2] {
        let out = cluster.out(&format!("runs-{times}"));
        // One task at a time, so that some wait.
        let child = cluster.spawn(&on_slurm("random", &out, long(), &["--sbatch", "--nodelist=n1 --exclusive"]));
        cluster.wait_for_training(&out, "search");
        signal(&child, Signal::INT);
        if times == 2 {
            wait_for("one task", || cluster.queue().len() == 1);
            signal(&child, Signal::INT);
        }
        let (code, said) = end_of(child);
        assert_eq!(code, Some(130), "{said}");
        assert!(said.contains("what waits in the queue is cancelled; waiting for 1 tasks that run"), "{said}");
        assert_eq!(times == 2, said.contains("tasks that run are cancelled; they save where they are"), "{said}");
        wait_for("an empty queue", || cluster.queue().is_empty());
        let run = only_run(&out);
        assert_eq!(committed(&run).len(), if times == 1 { 1 } else { 0 }, "the task that ran was waited for, or not");
        resume(&cluster, &run);
        assert_equal(&home, &run, "Ctrl-C");
        // Every trial was trained once, or went on where it was.
        let steps: u64 = ledger(&run).tasks.iter().filter(|t| t.account.phase == Phase::Search).map(|t| t.account.steps).sum();
        let planned = 4 * long().unwrap() * STEPS_OF_AN_EPOCH;
        assert_eq!(steps, planned, "no step was done twice");
    }
}

#[test]
fn a_training_that_is_longer_than_the_time_of_a_task_ends_with_the_same_weights() {
    let Some(cluster) = Cluster::start() else { return };
    let out = cluster.out("runs");
    let (epochs, trials) = (long(), "search.trials=2");
    // A minute is the least that Slurm knows. It warns fifty seconds before its end, or earlier. However fast the processor is, the first training of
    // each trial has not ended by then: when it has begun it is stopped until the warning waits for it.
    let stopped = script(
        &cluster,
        "stopped.sh",
        r#"waits() { echo $((0x$(sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status") & 0x200)); }
task=$$
case "$3" in search-*) [ -n "$SLURM_RESTART_COUNT" ] || (
  until [ "$(waits $task SigCgt)" != 0 ]; do sleep 0.1; done
  sleep 1; kill -STOP $task
  # The warning may have come before.
  tries=0; until [ "$(waits $task ShdPnd)" != 0 ] || [ $tries = 200 ]; do sleep 0.2; tries=$((tries + 1)); done
  kill -CONT $task
) & ;; esac
exec $naslab "$@""#,
    );
    let child = cluster.spawn(&on_slurm(
        "random",
        &out,
        epochs,
        &["--sbatch", "--time=1 --signal=B:USR1@50", "--set", trials, "--set", "search.keep=1", "--node-program", &stopped],
    ));
    wait_for("the first requeue", || {
        cluster.hurry();
        only_run_if(&out).is_some_and(|run| run.join("result.json").exists())
    });
    let (code, said) = end_of(child);
    assert_eq!(code, Some(0), "{said}");
    let home = cluster.out("home");
    naslab().args(arguments("random", &home, epochs)).args(["--jobs", "2", "--set", trials, "--set", "search.keep=1"]).assert().success();
    let run = only_run(&out);
    assert_equal(&only_run(&home), &run, "a time limit");
    let restarted = ledger(&run).tasks.iter().filter(|t| t.apart && t.task.ends_with(".1")).count();
    assert!(restarted >= 1, "no task was restarted: {said} {:?}", ledger(&run).tasks);
    assert!(
        times_sent(&run, Phase::Search).iter().all(|n| *n == 1),
        "Slurm put it back into the queue, and nobody was to send it again: {said}"
    );
}

/// The run below `out`, once there is one.
fn only_run_if(out: &Path) -> Option<PathBuf> {
    let first = std::fs::read_dir(out).ok()?.next()?;
    first.ok().map(|entry| entry.path())
}

/// A program for the nodes.
fn script(cluster: &Cluster, name: &str, lines: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = cluster.out(name);
    let naslab = assert_cmd::cargo::cargo_bin("naslab");
    std::fs::write(&path, format!("#!/bin/sh\nnaslab={}\n{lines}\n", naslab.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn an_outcome_that_appears_late_is_waited_for_and_a_controller_that_is_away_too() {
    let Some(cluster) = Cluster::start() else { return };
    let out = cluster.out("runs");
    // Trial 1 is trained in a copy of the run; its outcome comes to the run twelve seconds after the end of the task.
    let copy = cluster.out("copy");
    let lines = format!(
        "case $3 in\nsearch-1) cp -r \"$2\" {copy}; $naslab trial {copy} search-1;;\n*) exec $naslab \"$@\";;\nesac",
        copy = copy.display()
    );
    let program = script(&cluster, "late.sh", &lines);
    let child = cluster.spawn(&on_slurm("random", &out, long(), &["--node-program", &program]));
    let outcomes = copy.join("tasks/outcomes");
    let late = |folder: &Path| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .find(|p| p.to_string_lossy().contains("search-1.") && p.extension().is_some_and(|e| e == "json"))
    };
    cluster.wait_for_training(&out, "search");
    cluster.controller("stop");
    std::thread::sleep(std::time::Duration::from_secs(5));
    cluster.controller("start");
    wait_for("the outcome", || late(&outcomes).is_some());
    let path = late(&outcomes).unwrap();
    let log = only_run(&out).join("events.jsonl");
    wait_for("the notice", || std::fs::read_to_string(&log).unwrap().contains("its outcome is not to be seen yet"));
    std::fs::rename(&path, only_run(&out).join("tasks/outcomes").join(path.file_name().unwrap())).unwrap();
    let (code, said) = end_of(child);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Slurm's controller does not answer") && said.contains("Slurm's controller answers again"), "{said}");
    let run = only_run(&out);
    assert_equal(&at_home(&cluster, "random", long()), &run, "a late outcome");
    let sent = times_sent(&run, Phase::Search);
    assert!(sent.iter().all(|n| *n == 1), "{sent:?}: {said}");
}

#[test]
fn a_node_with_another_program_refuses_and_one_without_it_is_named() {
    let Some(cluster) = Cluster::start() else { return };
    let program = script(
        &cluster,
        "other.sh",
        "sed -i 's/\"version\": \"[^\"]*\"/\"version\": \"9.9.9\"/' \"$2/tasks/$3/trial.json\"\nexec $naslab \"$@\"",
    );
    let out = cluster.out("other");
    let refused =
        predicate::str::contains("a task refuses to train search-").and(predicate::str::contains("its trials were drawn by naslab 9.9.9"));
    cluster.naslab().args(on_slurm("random", &out, None, &["--node-program", &program])).assert().code(3).stderr(refused);
    cluster.wait_until_empty();
    let out = cluster.out("none");
    let named = predicate::str::contains("3 tasks of trial").and(predicate::str::contains("not found"));
    cluster.naslab().args(on_slurm("random", &out, None, &["--node-program", "/nowhere/naslab"])).assert().code(5).stderr(named);
    cluster.wait_until_empty();
}

#[test]
fn what_is_missing_is_said_before_anything_is_spent() {
    let out = tempfile::tempdir().unwrap();
    let runs = out.path().join("runs");
    let wrong = |more: &[&str], code: i32, says: &str| {
        let path = out.path().join("empty");
        std::fs::create_dir_all(&path).unwrap();
        naslab()
            .args(arguments("random", &runs, None))
            .args(more)
            .env("PATH", path)
            .assert()
            .code(code)
            .stderr(predicate::str::contains(says));
        assert!(!runs.exists(), "{more:?}");
    };
    wrong(&["--on", "slurm"], 5, "'sbatch' cannot be run");
    wrong(&["--sbatch", "--time=1"], 2, "--sbatch is for tasks of a cluster; add --on slurm");
    wrong(&["--trials-per-task", "2"], 2, "add --on slurm");
    wrong(&["--on", "moon"], 2, "possible values: local, slurm");
    wrong(&["--on", "slurm", "--sbatch", "--comment='a"], 2, "a quotation mark is not closed");
    let Some(cluster) = Cluster::start() else { return };
    let says = predicate::str::contains("sbatch refuses '--partition=none'");
    cluster.naslab().args(on_slurm("random", &runs, None, &["--sbatch", "--partition=none"])).assert().code(2).stderr(says);
    cluster.controller("stop");
    let says = predicate::str::contains("Slurm's controller does not answer");
    cluster.naslab().args(on_slurm("random", &runs, None, &[])).assert().code(5).stderr(says);
    assert!(!runs.exists());
}
