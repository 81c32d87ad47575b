//! TensorBoard's event files hold what the event log holds, while a run goes on, after a break, and made afterwards.

use crate::common::{naslab, only_run, run_arguments, spawn};
use crate::python;
use naslab::record::{Event, Phase, RunDir, read_events, scalars};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Step, value in single precision, seconds since 1970.
type Curves = BTreeMap<String, Vec<(i64, f32, f64)>>;

fn file(run: &Path) -> PathBuf {
    run.join("tensorboard/events.out.tfevents.naslab")
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn arguments(method: &str, out: &Path) -> Vec<String> {
    run_arguments(method, out).into_iter().chain(["--tensorboard".into()]).collect()
}

/// What the log and the result of a run hold.
fn recorded(run: &Path) -> Curves {
    let mut curves = Curves::new();
    let seconds = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1e3;
    let mut last = 0.0;
    for stored in read_events(&run.join("events.jsonl")).unwrap().0 {
        last = seconds(&stored.time);
        let (step, figures) = scalars(&stored.event);
        for (tag, figure) in figures {
            curves.entry(tag).or_default().push((step, figure as f32, last));
        }
    }
    if let Some(result) = RunDir::open(run).unwrap().result().unwrap() {
        let figures = [("search_score", result.search_score), ("select_score", result.select_score), ("final_score", result.final_score)];
        let figures = figures.into_iter().chain([("final_loss", result.final_loss), ("parameters", Some(result.parameters as f64))]);
        for (name, figure) in figures.filter_map(|(name, figure)| Some((name, figure?))) {
            curves.insert(format!("result/{name}"), vec![(0, figure as f32, last)]);
        }
    }
    curves
}

/// Step and loss of the points of a phase, read from the log by hand.
fn losses(run: &Path, of: Phase) -> Vec<(i64, f32)> {
    let loss = |e| match e {
        Event::Progress { phase, step, loss: Some(loss), .. } if phase == of => Some((step as i64, loss as f32)),
        _ => None,
    };
    read_events(&run.join("events.jsonl")).unwrap().0.into_iter().filter_map(|e| loss(e.event)).collect()
}

/// What TensorBoard reads in a folder: curves, and texts by tag.
fn shown(folder: &Path) -> Option<(Curves, BTreeMap<String, String>)> {
    let printed = python::python("read_events.py", &[folder.as_os_str()])?;
    let read: Value = serde_json::from_str(&printed).unwrap();
    let curves: BTreeMap<String, Vec<(i64, f64, f64)>> = serde_json::from_value(read["scalars"].clone()).unwrap();
    let single = |points: Vec<(i64, f64, f64)>| points.into_iter().map(|(step, value, time)| (step, value as f32, time)).collect();
    let curves = curves.into_iter().map(|(tag, points)| (tag, single(points))).collect();
    Some((curves, serde_json::from_value(read["texts"].clone()).unwrap()))
}

/// Curves without times: those of the points, and the curves that are times.
fn timeless(curves: Curves) -> BTreeMap<String, Vec<(i64, f32)>> {
    let values = |points: Vec<(i64, f32, f64)>| points.into_iter().map(|(step, value, _)| (step, value)).collect();
    curves.into_iter().filter(|(tag, _)| !tag.contains("seconds")).map(|(tag, points)| (tag, values(points))).collect()
}

fn has_all(curves: &Curves, tags: &[&str]) {
    for tag in tags {
        assert!(curves.get(*tag).is_some_and(|points| !points.is_empty()), "no {tag} among {:?}", curves.keys());
    }
}

#[test]
fn what_tensorboard_reads_is_what_is_recorded_and_can_be_made_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    for (method, tags) in [
        (
            "darts",
            &["search/loss", "search/score", "search/loss/1", "search/alpha_entropy", "search/learning_rate", "select_trial/score"][..],
        ),
        ("amoebanet", &["search_trial/score", "search_trial/loss", "search_trial/device_seconds", "search_trial/parameters"]),
    ] {
        let out = folder.path().join(method);
        naslab().args(arguments(method, &out)).assert().success();
        let run = only_run(&out);
        let recorded = recorded(&run);
        has_all(&recorded, tags);
        has_all(&recorded, &["retrain/loss", "retrain/learning_rate", "retrain/device_seconds", "result/final_score"]);
        let live = bytes(&file(&run));
        if let Some((curves, texts)) = shown(&run.join("tensorboard")) {
            assert_eq!(curves, recorded, "{method}");
            let points: Vec<(i64, f32)> = curves["retrain/loss"].iter().map(|(step, value, _)| (*step, *value)).collect();
            assert_eq!(points, losses(&run, Phase::Retrain), "{method}");
            assert!(texts["run"].contains(method) && texts["run"].contains("\"retrain\""), "{texts:?}");
            assert!(texts["result"].contains("architecture_hash"), "{texts:?}");
        }
        // Made from the record, beside the run and in it, it is the same to the byte.
        let beside = folder.path().join(format!("{method}-events"));
        let export = |extra: &[&str]| naslab().arg("export").arg(&run).args(["--format", "tensorboard"]).args(extra).assert().success();
        export(&["--out", &beside.display().to_string()]);
        assert!(bytes(&beside.join("events.out.tfevents.naslab")) == live, "{method}: beside");
        std::fs::write(file(&run), [&live[..live.len() - 7], b"torn or damaged"].concat()).unwrap();
        export(&[]).stdout(contains("tensorboard/events.out.tfevents.naslab"));
        assert!(bytes(&file(&run)) == live, "{method}: in place");
    }
}

/// Waits until the log has so many events of a kind, then kills the process.
fn kill_after(arguments: &[String], out: &Path, kind: &str, number: usize) {
    let mut child = spawn(arguments);
    let start = Instant::now();
    let reached = || {
        let runs = std::fs::read_dir(out).into_iter().flatten().flatten();
        runs.into_iter().any(|r| std::fs::read_to_string(r.path().join("events.jsonl")).is_ok_and(|t| t.matches(kind).count() >= number))
    };
    while !reached() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        assert!(start.elapsed() < Duration::from_secs(120), "no {number} {kind} within two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_that_is_killed_and_resumed_shows_what_an_unbroken_one_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    naslab().args(arguments("amoebanet", &whole)).assert().success();
    kill_after(&arguments("amoebanet", &broken), &broken, "\"kind\":\"trial\"", 3);
    let run = only_run(&broken);
    // An unfinished run can be shown too.
    let before = recorded(&run);
    if let Some((curves, _)) = shown(&run.join("tensorboard")) {
        let known = |tag: &String| curves[tag].len() <= before[tag].len() && before[tag].starts_with(&curves[tag]);
        assert!(!curves.is_empty() && curves.keys().all(known), "a file that is being written is at most an event behind");
    }
    let beside = folder.path().join("beside");
    naslab().arg("export").arg(&run).args(["--format", "tensorboard", "--out"]).arg(&beside).assert().success();
    if let Some((curves, _)) = shown(&beside) {
        assert_eq!(curves, before);
    }
    naslab().arg("export").arg(&run).args(["--out", "x"]).assert().code(3).stderr(contains("not finished"));
    // The file is there, so the resumed run goes on with it.
    naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
    let whole = only_run(&whole);
    assert_eq!(timeless(recorded(&run)), timeless(recorded(&whole)));
    if let Some(((resumed, _), (unbroken, _))) = shown(&run.join("tensorboard")).zip(shown(&whole.join("tensorboard"))) {
        assert_eq!(resumed, recorded(&run));
        assert_eq!(timeless(resumed), timeless(unbroken));
    }
}

#[test]
fn a_file_that_cannot_be_written_costs_one_notice_and_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("runs");
    kill_after(&run_arguments("random", &out), &out, "\"kind\":\"trial\"", 1);
    let run = only_run(&out);
    assert!(!run.join("tensorboard").exists(), "nobody asked for it");
    std::fs::write(run.join("tensorboard"), "in the way").unwrap();
    let resumed = naslab().arg("resume").arg(&run).arg("--tensorboard").assert().success();
    let said = String::from_utf8_lossy(&resumed.get_output().stderr).into_owned();
    assert_eq!(said.matches("goes on without TensorBoard's file").count(), 1, "{said}");
    assert!(run.join("result.json").exists());
    let mut export = naslab();
    export.arg("export").arg(&run).args(["--format", "tensorboard"]).assert().code(5).stderr(contains("cannot write"));
}

#[test]
fn what_has_no_curves_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let export = |source: &str| naslab().args(["export", source, "--format", "tensorboard"]).assert();
    export("darts-v2").code(2).stderr(contains("for the folder of a run").and(contains("darts-v2")));
    export(&empty.path().display().to_string()).code(3).stderr(contains("no run here"));
}
