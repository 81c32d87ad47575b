//! What every method keeps: its presets resolve, equal runs are equal to the byte, and a run that is killed anywhere and resumed
//! ends like one that was not.

use crate::common::{self, assert_same, only_run, run_arguments, spawn, unbroken};
use naslab::data::is_segmentation;
use naslab::reproductions::METHODS;
use naslab::space::InputShape;
use std::path::Path;
use std::time::Duration;

/// Phases in which the process is killed, in this order.
const KILLS: [&str; 7] = ["search", "search", "search", "select", "retrain", "retrain", "retrain"];

#[test]
fn presets_resolve_and_suit_their_data() {
    for method in METHODS {
        let card = method.card();
        let names = method.presets();
        assert!(["paper", "small", "smoke"].iter().all(|p| names.iter().any(|n| n == p)), "{}: {names:?}", card.name);
        for preset in names {
            let resolved = method.resolve(&preset, &[]).unwrap();
            let prepared = method.prepare(&resolved.settings).unwrap_or_else(|e| panic!("{} {preset}: {e}", card.name));
            let window = prepared.protocol.data.window;
            let slices = |classes| InputShape { channels: 1, height: window.height as i64, width: window.width as i64, classes };
            let input = match resolved.dataset.as_str() {
                "hippocampus" | "msd" => slices(3),
                "promise12" => slices(2),
                "digits" => InputShape { channels: 1, height: 8, width: 8, classes: 10 },
                "fashion-mnist" => InputShape { channels: 1, height: 28, width: 28, classes: 10 },
                _ => InputShape { channels: 3, height: 32, width: 32, classes: 10 },
            };
            assert_eq!(is_segmentation(&resolved.dataset).unwrap(), prepared.example.classifies_pixels(), "{} {preset}", card.name);
            prepared.check(input).unwrap_or_else(|e| panic!("{} {preset}: {e}", card.name));
            assert_eq!(resolved.shrunk.is_empty(), preset == "paper", "{} {preset}", card.name);
        }
    }
}

#[test]
fn settings_that_do_not_exist_are_refused_by_every_method() {
    for method in METHODS {
        let resolved = method.resolve("smoke", &[]).unwrap();
        let mut settings = resolved.settings;
        settings["search"]["no_such_setting"] = serde_json::json!(1);
        let error = method.prepare(&settings).err().expect("an unknown key is refused").to_string();
        assert!(error.contains("no_such_setting"), "{error}");
    }
}

#[test]
fn the_same_seed_gives_the_same_files() {
    for method in METHODS {
        let name = method.card().name;
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_same(&unbroken(name, a.path()), &unbroken(name, b.path()), name);
    }
}

#[test]
fn a_run_killed_anywhere_and_resumed_ends_like_an_unbroken_one() {
    for method in METHODS {
        let name = method.card().name;
        let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = unbroken(name, whole.path());
        let mut kills = 0;
        for (i, phase) in KILLS.iter().enumerate() {
            kills += usize::from(kill_in(phase, &run_arguments(name, broken.path()), broken.path(), i as u64));
        }
        assert!(kills >= 6, "{name}: only {kills} of {} kills hit a running process", KILLS.len());
        let run = only_run(broken.path());
        common::naslab().arg("resume").arg(&run).args(["--quiet", "--checkpoint-every", "0s"]).assert().success();
        assert_same(&expected, &run, name);
        assert_eq!(common::history(&expected), common::history(&run), "{name}: every trial stands in the log once");
        let attempts = std::fs::read_to_string(run.join("events.jsonl")).unwrap().matches("attempt_started").count();
        assert!(attempts > kills, "{name}: {attempts} attempts");
    }
}

#[test]
fn a_second_order_search_killed_anywhere_ends_like_an_unbroken_one() {
    for (method, name) in [("darts", "darts-second-order-digits-smoke-s0"), ("nas_unet", "nas_unet-second-order-hippocampus-smoke-s0")] {
        killed_searches(method, &["search.order=\"second\"", "search.searches=1"], name);
    }
}

#[test]
fn a_search_of_nas_bench_201_killed_anywhere_ends_like_an_unbroken_one() {
    let space = "search.space=\"nas-bench-201\"";
    let cells = ["search.cells=5", "select.cells=5", "retrain.cells=5"];
    let darts = [&[space, "search.order=\"second\""], &cells[..]].concat();
    killed_searches("darts", &darts, "darts-second-order-nas-bench-201-digits-smoke-s0");
    // Its children are scored by running averages, which therefore belong to its state.
    killed_searches("enas", &[space, "search.channels=4"], "enas-nas-bench-201-digits-smoke-s0");
}

#[test]
fn a_search_that_settles_ends_early_and_is_the_same_after_a_kill() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let patience = ["--set", "search.patience=2", "--set", "search.epochs=400", "--set", "search.alpha.learning_rate=1e-6"];
    let arguments = |out: &Path| run_arguments("nas_unet", out).into_iter().chain(patience.map(String::from)).collect::<Vec<_>>();
    common::naslab().args(arguments(whole.path())).assert().success();
    for number in 0..2 {
        assert!(kill_in("search", &arguments(broken.path()), broken.path(), number), "it ended before it was killed");
    }
    let run = only_run(broken.path());
    common::naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
    assert_same(&only_run(whole.path()), &run, "patience");
    let (events, _) = naslab::record::read_events(&run.join("events.jsonl")).unwrap();
    let epochs = events.iter().filter_map(|e| match &e.event {
        naslab::record::Event::Progress { phase: naslab::record::Phase::Search, part: 0, epoch, .. } => Some(*epoch),
        _ => None,
    });
    // One epoch of warm-up, one to compare with, two without change.
    assert_eq!(epochs.max(), Some(4));
}

/// A search with these settings as well, killed three times, ends like one that was not, in a run of this name.
fn killed_searches(method: &str, set: &[&str], name: &str) {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let set = set.iter().flat_map(|s| ["--set".to_string(), (*s).to_string()]);
    let arguments = |out: &Path| run_arguments(method, out).into_iter().chain(set.clone()).collect::<Vec<_>>();
    common::naslab().args(arguments(whole.path())).assert().success();
    for number in 0..3 {
        assert!(kill_in("search", &arguments(broken.path()), broken.path(), number), "it ended before it was killed");
    }
    let run = only_run(broken.path());
    common::naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
    assert!(run.ends_with(name), "{}", run.display());
    assert_same(&only_run(whole.path()), &run, name);
}

#[test]
fn a_limited_run_killed_after_its_budget_keeps_what_it_found() {
    for method in METHODS {
        let name = method.card().name;
        let out = tempfile::tempdir().unwrap();
        let mut arguments = run_arguments(name, out.path());
        let long = if ["darts", "enas", "ghn", "nas_unet"].contains(&name) { "search.epochs=10000" } else { "search.trials=100000" };
        arguments.extend(["--set", long, "--budget", "2s", "--set", "retrain.recipe.epochs=60"].map(String::from));
        let mut child = spawn(&arguments);
        while !reached(out.path(), "select") {
            assert!(child.try_wait().unwrap().is_none(), "{name} ended early");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let run = only_run(out.path());
        common::naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
        let result: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(run.join("result.json")).unwrap()).unwrap();
        assert_eq!(result["search_end"], "budget_reached", "{name}");
        assert!(result["final_score"].is_number(), "{name}");
    }
}

/// Starts the run by its arguments or resumes it, with one or two jobs, waits until the present attempt works in `phase` (or a later one), then some milliseconds, and
/// kills it. False if the run ended before that.
fn kill_in(phase: &str, start: &[String], out: &Path, number: u64) -> bool {
    let (delay, jobs) = (37 * number % 90, (1 + number % 2).to_string());
    let started_before = std::fs::read_dir(out).unwrap().next().is_some();
    let mut arguments = if started_before {
        ["resume", &only_run(out).display().to_string(), "--quiet", "--checkpoint-every", "0s"].map(String::from).to_vec()
    } else {
        start.to_vec()
    };
    arguments.extend(["--jobs".to_string(), jobs]);
    let before = attempts(out);
    let mut child = spawn(&arguments);
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if attempts(out) > before && reached(out, phase) {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(delay));
    let alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    alive
}

fn events(out: &Path) -> String {
    let run = std::fs::read_dir(out).unwrap().next().and_then(std::result::Result::ok);
    run.and_then(|r| std::fs::read_to_string(r.path().join("events.jsonl")).ok()).unwrap_or_default()
}

fn attempts(out: &Path) -> usize {
    events(out).matches("attempt_started").count()
}

/// The last attempt began `phase` or something that follows it.
fn reached(out: &Path, phase: &str) -> bool {
    let order = ["search", "select", "retrain", "test"];
    let from = order.iter().position(|p| *p == phase).unwrap();
    let text = events(out);
    let last = text.rfind("attempt_started").map_or("", |at| &text[at..]);
    order[from..].iter().any(|p| last.contains(&format!("\"phase_started\",\"phase\":\"{p}\"")))
}

#[test]
fn a_checkpoint_or_a_run_of_another_format_is_refused_by_its_number() {
    let out = tempfile::tempdir().unwrap();
    let arguments = run_arguments("random", out.path());
    assert!(kill_in("search", &arguments, out.path(), 0), "it ended before it was killed");
    let run = only_run(out.path());
    let manifest = std::fs::read_to_string(run.join("manifest.json")).unwrap();
    std::fs::write(run.join("manifest.json"), manifest.replacen("\"format\": 3", "\"format\": 1", 1)).unwrap();
    let refused = common::naslab().arg("resume").arg(&run).assert().code(3);
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(said.contains(&run.display().to_string()) && said.contains("format 1, this one reads 3"), "{said}");
}
