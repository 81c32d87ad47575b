//! The binary as a user meets it: what it prints, refuses and leaves behind.

use crate::common::{self, naslab, only_run, run_arguments, unbroken};
use naslab::record::{EndReason, FindingRecord, LedgerRecord, Manifest, Phase, RunResult};
use predicates::prelude::*;
use std::path::Path;

fn read<T: serde::de::DeserializeOwned>(run: &Path, name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(run.join(name)).unwrap()).unwrap()
}

#[test]
fn list_names_methods_data_and_published_cells() {
    naslab().arg("list").assert().success().stdout(
        predicate::str::contains("darts")
            .and(predicate::str::contains("random"))
            .and(predicate::str::contains("digits"))
            .and(predicate::str::contains("darts-v2")),
    );
}

#[test]
fn data_lists_and_checks_sets_of_both_kinds() {
    let listed = naslab().args(["data", "list"]).assert().success().get_output().stdout.clone();
    let listed = String::from_utf8(listed).unwrap();
    assert!(naslab::data::set_names().iter().all(|name| listed.contains(&format!("{name}: "))), "{listed}");
    let check = naslab().args(["data", "check", "digits", "hippocampus"]).assert().success();
    check.stdout(predicate::str::contains("1797 images").and(predicate::str::contains("40 volumes")));
    let folder = tempfile::tempdir().unwrap();
    let check = |set: &str| naslab().args(["data", "check", set, "--data-dir"]).arg(folder.path()).assert();
    check("msd").code(3).stderr(predicate::str::contains("missing; looked in"));
    check("brats").code(2).stderr(predicate::str::contains("digits, fashion-mnist, cifar10, noise, hippocampus, msd"));
}

#[test]
fn what_is_unknown_is_refused_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], says: &str| {
        naslab().current_dir(folder.path()).args(arguments).assert().code(2).stderr(predicate::str::contains(says));
    };
    refused(&["run", "dart"], "the methods are amoebanet, nasnet, enas, ghn, darts, nas_unet, random");
    refused(&["run", "darts", "--preset", "huge"], "paper, smoke, small");
    refused(&["run", "darts", "--set", "search.epoch=3"], "there is no setting 'search.epoch'");
    refused(&["run", "darts", "--set", "search.epochs=0"], "search.epochs = 0");
    refused(&["run", "darts", "--seeds", "3..3"], "names no seeds");
    refused(&["run", "darts", "--budget", "10"], "not a duration");
    refused(&["run", "darts", "--dataset", "mnist"], "digits, fashion-mnist, cifar10");
    refused(&["run", "darts", "--device", "gpu"], "gpu");
    refused(&["run", "darts", "--set", "retrain.recipe.auxiliary_weight=0.4"], "auxiliary head needs a map");
    refused(&["run", "darts", "--dataset", "msd"], "darts classifies whole images, and 'msd' has classes of every pixel");
    refused(&["run", "nas_unet", "--dataset", "digits"], "choose --dataset hippocampus, msd");
    refused(&["run", "nas_unet", "--set", "data.window.height=0"], "a data.window, not 3 and 0x32 pixels");
    refused(&["run", "nas_unet", "--set", "search.warm_up=4"], "no epoch would be left");
    refused(&["run", "nas_unet", "--set", "retrain.cells=6"], "2 depth + 1 cells");
    refused(&["run", "nas_unet", "--set", "search.nodes=9"], "at most 8");
    refused(&["run", "nas_unet", "--set", "search.channels=5000"], "1 to 4096 channels");
    refused(&["run", "nas_unet", "--set", "retrain.recipe.drop_path=0.2"], "have no drop path");
    refused(&["run", "darts", "--set", "search.alpha.beta1=1.0"], "search.alpha.beta1 = 1");
    let none = ["--set", "retrain.recipe.loss.cross_entropy=0.0", "--set", "retrain.recipe.loss.dice=0.0"];
    refused(&[&["run", "nas_unet"], &none[..]].concat(), "give one a positive weight");
    refused(&["run", "nas_unet", "--set", "retrain.recipe.optimizer=\"lion\""], "sgd");
    refused(&["run", "random", "--set", "search.child.recipe.loss.dice=1.0"], "needs a class for every pixel");
    refused(&["run", "random", "--set", "data.window.height=8"], "for slices of volumes");
    refused(&["run"], "METHODS");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a refusal leaves nothing behind");
}

#[test]
fn missing_input_has_exit_code_3() {
    let empty = tempfile::tempdir().unwrap();
    let missing = |arguments: &[&str], says: &str| {
        naslab().args(arguments).assert().code(3).stderr(predicate::str::contains(says));
    };
    let folder = empty.path().display().to_string();
    missing(&["run", "darts", "--dataset", "cifar10", "--data-dir", &folder, "--out", &folder], "cifar");
    missing(&["resume", &folder], "manifest");
    missing(&["train", "no-such-cell", "--out", &folder], "darts-v1, darts-v2");
    let text = empty.path().join("not.json");
    std::fs::write(&text, "{\"space\": \"darts\"").unwrap();
    missing(&["train", &text.display().to_string()], "not JSON");
    std::fs::write(&text, "{\"space\": \"darts\", \"normal\": 3}").unwrap();
    missing(&["train", &text.display().to_string()], "not an architecture");
}

#[test]
fn a_cuda_device_that_is_not_there_is_an_error_with_the_reason() {
    if Path::new("/proc/driver/nvidia").exists() {
        println!("skipped: this machine has an NVIDIA driver");
        return;
    }
    naslab().args(["run", "darts", "--device", "cuda"]).assert().code(5).stderr(predicate::str::contains("cuda"));
}

#[test]
fn a_run_leaves_a_complete_record() {
    let out = tempfile::tempdir().unwrap();
    let run = unbroken("darts", out.path());
    let (manifest, finding): (Manifest, FindingRecord) = (read(&run, "manifest.json"), read(&run, "finding.json"));
    let (result, ledger): (RunResult, LedgerRecord) = (read(&run, "result.json"), read(&run, "ledger.json"));
    assert_eq!(manifest.data.counts.values().copied().collect::<Vec<_>>(), [160, 360, 64, 64], "retrain, test, train, valid");
    assert_eq!(finding.candidates.len(), 2);
    assert!(finding.candidates.iter().all(|c| c.search_score.is_some() && c.select_score.is_some()));
    assert_eq!(result.architecture, finding.candidates[finding.chosen].architecture);
    assert_eq!((result.search_end, result.retrain_end), (EndReason::Completed, EndReason::Completed));
    assert!(result.final_score.is_some_and(|s| (0.0..=1.0).contains(&s)));
    assert!(manifest.shrunk.iter().any(|s| s.key == "search.channels"));
    check_ledger(&ledger);
    let weights = std::fs::read(run.join("weights.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let count: usize =
        tensors.iter().filter(|(name, _)| !name.contains("running_")).map(|(_, t)| t.shape().iter().product::<usize>()).sum();
    assert_eq!(count as u64, result.parameters + result.auxiliary_parameters);
}

/// The phases add up to the wall time, which is measured apart from them, and what was not measured is not zero.
fn check_ledger(ledger: &LedgerRecord) {
    let sum: f64 = ledger.rows.iter().map(|r| r.wall_seconds).sum();
    assert!((sum - ledger.wall_seconds).abs() <= 0.02 * ledger.wall_seconds, "{sum} of {}", ledger.wall_seconds);
    let of = |phase| ledger.rows.iter().filter(move |r| r.phase == phase);
    for phase in [Phase::Search, Phase::Select, Phase::Retrain, Phase::Test] {
        assert!(of(phase).map(|r| r.device_seconds).sum::<f64>() > 0.0, "{phase:?}");
    }
    assert_eq!(of(Phase::Overhead).map(|r| r.device_seconds).sum::<f64>(), 0.0);
    assert!(ledger.rows.iter().all(|r| r.peak_device_allocated.is_none() && r.energy_joules.is_none()), "there is no card");
    let spent: f64 = of(Phase::Search).chain(of(Phase::Select)).map(|r| r.device_seconds).sum();
    assert!((spent - ledger.spent_seconds).abs() < 1e-6);
}

#[test]
fn a_finished_run_is_not_run_again_and_another_run_is_not_overwritten() {
    let out = tempfile::tempdir().unwrap();
    let run = unbroken("random", out.path());
    let before = std::fs::read(run.join("ledger.json")).unwrap();
    naslab().args(run_arguments("random", out.path())).assert().success().stdout(predicate::str::contains("random"));
    naslab().arg("resume").arg(&run).assert().success().stderr(predicate::str::contains("is finished"));
    assert_eq!(before, std::fs::read(run.join("ledger.json")).unwrap());
    let mut other = run_arguments("random", out.path());
    other.extend(["--set".into(), "search.trials=5".into()]);
    naslab()
        .args(other)
        .assert()
        .code(2)
        .stderr(predicate::str::contains("holds another run: settings.search.trials is 4 there and 5 here"));
}

#[test]
fn a_budget_ends_the_search_with_the_best_so_far() {
    for method in ["darts", "random"] {
        let out = tempfile::tempdir().unwrap();
        let mut arguments = run_arguments(method, out.path());
        let long = if method == "darts" { "search.epochs=10000" } else { "search.trials=100000" };
        arguments.extend(["--set", long, "--budget", "3s"].map(String::from));
        arguments.retain(|a| a != "--quiet");
        naslab()
            .args(arguments)
            .assert()
            .success()
            .stderr(predicate::str::contains("will end it early"))
            .stdout(predicate::str::contains("budget reached"));
        let run = only_run(out.path());
        let (result, ledger): (RunResult, LedgerRecord) = (read(&run, "result.json"), read(&run, "ledger.json"));
        assert_eq!(result.search_end, EndReason::BudgetReached);
        assert!(result.final_score.is_some());
        let (budget, over) = (ledger.budget_seconds.unwrap(), ledger.overshoot_seconds.unwrap());
        assert_eq!(budget, 3.0);
        assert!(over > 0.0 && (ledger.spent_seconds - budget - over).abs() < 1e-9);
        check_phases(&ledger);
    }
}

fn check_phases(ledger: &LedgerRecord) {
    let sum: f64 = ledger.rows.iter().map(|r| r.wall_seconds).sum();
    assert!((sum - ledger.wall_seconds).abs() <= 0.02 * ledger.wall_seconds);
}

#[test]
fn a_budget_too_small_for_any_result_is_exit_code_4() {
    let out = tempfile::tempdir().unwrap();
    let mut arguments = run_arguments("random", out.path());
    arguments.extend(["--budget".into(), "1ms".into()]);
    naslab().args(arguments).assert().code(4).stderr(predicate::str::contains("--budget"));
}

#[test]
fn a_limit_on_trials_ends_the_search() {
    let out = tempfile::tempdir().unwrap();
    let mut arguments = run_arguments("random", out.path());
    arguments.extend(["--max-trials".into(), "2".into()]);
    naslab().args(arguments).assert().success();
    let result: RunResult = read(&only_run(out.path()), "result.json");
    assert_eq!(result.search_end, EndReason::TrialLimit);
    assert_eq!(result.trials, [("completed".to_string(), 2)].into());
}

#[test]
fn a_diverging_trial_is_recorded_and_charged() {
    let out = tempfile::tempdir().unwrap();
    let mut arguments = run_arguments("random", out.path());
    arguments.extend(["--set", "search.child.recipe.learning_rate=1e30", "--set", "search.child.recipe.clip=0.0"].map(String::from));
    naslab().args(arguments).assert().code(4);
    let events = std::fs::read_to_string(only_run(out.path()).join("events.jsonl")).unwrap();
    assert_eq!(events.matches("\"end\":\"diverged\"").count(), 4, "{events}");
}

#[test]
fn training_a_published_cell_needs_no_search() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().display().to_string();
    let sizes = ["--set", "retrain.recipe.epochs=1", "--set", "data.retrain_images=64", "--quiet", "--out", &folder];
    for name in ["nas-unet-v3", "unet-8"] {
        let out = tempfile::tempdir().unwrap();
        let sizes = ["--set", "retrain.recipe.epochs=1", "--set", "data.retrain_images=1", "--quiet", "--out"];
        naslab().args(["train", name]).args(sizes).arg(out.path()).assert().success();
        let run = only_run(out.path());
        let result: RunResult = read(&run, "result.json");
        assert_eq!((result.metric.as_str(), result.segmentation.as_ref().map(|s| s.classes.len())), ("dice", Some(3)));
        assert_eq!(naslab::record::RunDir::open(&run).unwrap().examples().unwrap().len(), 3);
    }
    naslab().args(["train", "darts-v2"]).args(sizes).assert().success().stdout(predicate::str::contains("train darts-v2"));
    let result: RunResult = read(&only_run(out.path()), "result.json");
    assert_eq!(result.search_score, None, "nothing was searched");
    assert!(result.final_score.is_some());
}

#[test]
fn a_cell_of_nas_bench_201_is_trained_by_its_string_and_by_the_recipe_of_its_benchmark() {
    let out = tempfile::tempdir().unwrap();
    let sizes = ["--set", "retrain.recipe.epochs=1", "--set", "data.retrain_images=64", "--quiet", "--out"];
    let cell = "nb201:|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|";
    naslab().args(["train", cell]).args(sizes).arg(out.path()).assert().success().stdout(predicate::str::contains("train nb201-301024"));
    let run = only_run(out.path());
    assert!(run.ends_with("train-nb201-301024-digits-smoke-s0"), "{}", run.display());
    let recipe = read::<Manifest>(&run, "manifest.json").settings["retrain"]["recipe"].clone();
    assert_eq!(
        [&recipe["learning_rate"], &recipe["weight_decay"], &recipe["auxiliary_weight"]].map(|v| v.as_f64().unwrap()),
        [0.1, 5e-4, 0.0]
    );
    naslab().args(["train", "nb201:|none~0|"]).assert().code(2).stderr(predicate::str::contains("1 edges where there have to be 6"));
    naslab().args(["draw", "nb201:|none~0|", "-o", "x.svg"]).assert().code(2);
}

#[test]
fn plan_prints_settings_and_a_measured_forecast_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    naslab().current_dir(folder.path()).args(["plan", "darts", "--budget", "1s"]).assert().success().stdout(
        predicate::str::contains("CPU-days")
            .and(predicate::str::contains("paper: 50"))
            .and(predicate::str::contains("warning: the budget of 1.00 s")),
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Interrupting, then resuming, is tested with SIGTERM; SIGINT goes the same way.
#[test]
fn bench_measures_every_kind_of_step_by_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("bench.json");
    let all = ["bench", "enas", "random", "--steps", "2", "--threads", "1", "--json"];
    let out = naslab()
        .args(all)
        .arg(&json)
        .assert()
        .success()
        .stderr(predicate::str::contains("enas: channels-last"))
        .get_output()
        .stdout
        .clone();
    let out = String::from_utf8(out).unwrap();
    for kind in ["step of the shared weights", "update of the controller", "training step of a child"] {
        assert_eq!(out.lines().filter(|l| l.contains(kind)).count(), 3, "{out}");
    }
    let entries: Vec<serde_json::Value> = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(entries.len(), 6);
    for entry in &entries {
        assert!(entry["measured"]["peak_bytes"].as_u64().is_some_and(|b| b > 1 << 20), "{entry}");
        for timing in entry["measured"]["timings"].as_array().unwrap() {
            let seconds = timing["seconds"].as_array().unwrap();
            assert!(seconds.len() == 2 && seconds.iter().all(|s| s.as_f64().unwrap() > 0.0), "{timing}");
            assert!(timing["operators"].as_u64().is_some_and(|n| n > 100), "{timing}");
        }
    }
    let operators = |i: usize| entries[i]["measured"]["timings"][0]["operators"].as_u64().unwrap();
    assert!(operators(0) < operators(2), "a kernel of our own is one operator");
    let refused = |arguments: &[&str], code: i32, says: &str| {
        naslab().args(["bench"]).args(arguments).assert().code(code).stderr(predicate::str::contains(says));
    };
    refused(&["darts", "--steps", "0"], 2, "0 is not in 1..=100000");
    refused(&["dart"], 2, "the methods are");
    refused(&["darts", "--set", "search.channels=1"], 2, "search.channels");
    refused(&["darts", "--kernels", "fast"], 2, "channels-last");
    refused(&["enas", "--kernels", "grouped"], 2, "enas has no grouped form");
    refused(&["darts", "--set", "search.form=grouped"], 2, "choose with --kernels");
    refused(&["darts", "--set", "search.space=nas-bench-201", "--set", "search.form=grouped"], 2, "search.form");
    refused(&["darts", "--dataset", "cifar10", "--data-dir", "/nowhere"], 3, "/nowhere");
}

#[test]
fn a_step_of_darts_at_the_papers_size_calls_few_operators_in_the_grouped_form() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("bench.json");
    // The number of images does not change what is called.
    let size = ["--preset", "paper", "--dataset", "noise", "--set", "search.batch=2", "--steps", "1", "--threads", "1"];
    naslab().args(["bench", "darts", "--kernels", "grouped", "--json"]).arg(&json).args(size).assert().success();
    let entries: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let operators = entries[0]["measured"]["timings"][0]["operators"].as_u64().unwrap();
    assert!((1000..=3000).contains(&operators), "{operators}");
}

#[test]
fn a_signal_saves_and_says_how_to_go_on() {
    let (whole, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut arguments = run_arguments("darts", out.path());
    arguments.retain(|a| a != "0s" && a != "--checkpoint-every");
    let child = common::spawn(&arguments);
    while !events(out.path()).contains("phase_started") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    let run = only_run(out.path());
    naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
    common::assert_same(&unbroken("darts", whole.path()), &run, "interrupted");
}

fn events(out: &Path) -> String {
    let run = std::fs::read_dir(out).unwrap().next().and_then(Result::ok);
    run.and_then(|r| std::fs::read_to_string(r.path().join("events.jsonl")).ok()).unwrap_or_default()
}

#[test]
fn a_torn_last_event_is_dropped_and_damage_in_the_middle_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let run = unbroken("random", out.path());
    std::fs::remove_file(run.join("result.json")).unwrap();
    let path = run.join("events.jsonl");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    naslab().arg("resume").arg(&run).assert().success().stderr(predicate::str::contains("torn").or(predicate::str::contains("incomplete")));
    std::fs::remove_file(run.join("result.json")).unwrap();
    let mut damaged = std::fs::read(&path).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    naslab()
        .arg("resume")
        .arg(&run)
        .assert()
        .code(3)
        .stderr(predicate::str::contains("events.jsonl").and(predicate::str::contains("byte")));
}

#[test]
fn a_full_disk_loses_nothing_and_the_run_can_be_resumed() {
    let whole = tempfile::tempdir().unwrap();
    let mut expected = None;
    for kilobytes in [48, 120, 260, 700] {
        let Some(disk) = TinyDisk::mount(kilobytes) else {
            println!("skipped: mounting a small file system is not permitted here");
            return;
        };
        let out = disk.folder.path().join("runs");
        let status = naslab().args(run_arguments("darts", &out)).assert();
        let code = status.get_output().status.code();
        assert!(code == Some(5) || (code == Some(0) && kilobytes > 500), "{kilobytes} KiB: {code:?}");
        disk.grow();
        if out.join("darts-first-order-digits-smoke-s0/manifest.json").exists() {
            naslab().arg("resume").arg(only_run(&out)).arg("--quiet").assert().success();
        } else {
            naslab().args(run_arguments("darts", &out)).assert().success();
        }
        let expected = expected.get_or_insert_with(|| unbroken("darts", whole.path()));
        common::assert_same(expected, &only_run(&out), &format!("{kilobytes} KiB"));
    }
}

struct TinyDisk {
    folder: tempfile::TempDir,
}

impl TinyDisk {
    fn mount(kilobytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        done.is_ok_and(|s| s.success()).then_some(Self { folder })
    }

    fn grow(&self) {
        let status = std::process::Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.folder.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.folder.path()).status();
    }
}

#[cfg(feature = "report")]
#[test]
fn widths_of_figures_that_no_paper_has_are_refused() {
    for width in ["8.5", "1cm", "wide"] {
        let refused = naslab().args(["report", "--figure-width", width]).assert().code(2);
        refused.stderr(predicate::str::contains("write 8.5cm, 85mm, 3.35in or 241pt"));
    }
    naslab().args(["report", "--figure-width", "85mm", "--figure-dpi", "5"]).assert().code(2);
}

#[test]
fn a_forecast_on_a_busy_machine_says_so() {
    let mut other = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let plan = naslab().args(["plan", "random", "--preset", "smoke", "--threads", "1", "--jobs", "1"]).output().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    let said = String::from_utf8_lossy(&plan.stdout);
    assert!(said.contains("note: other programs kept ") && said.contains("cores busy meanwhile"), "{said}");
}
