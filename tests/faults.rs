//! What is promised under faults of the system around: `docs/faults.md` names these tests, which try the binary itself.

#[path = "faults/walk.rs"]
mod walk;

use crate::common::{naslab, only_run, run_arguments, trials};
use assert_cmd::assert::Assert;
use naslab::record::{EndReason, Event, LedgerRecord, RunDir, read_events};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn said(assert: &Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

/// A tiny run that says what it does.
fn talking(method: &str, out: &Path) -> Vec<String> {
    run_arguments(method, out).into_iter().filter(|word| word != "--quiet").collect()
}

/// The binary below a shell that sets limits first.
fn limited(limits: &str, arguments: &[String]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits}; exec \"$@\""), "sh"]).arg(assert_cmd::cargo::cargo_bin("naslab")).args(arguments);
    command
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn code_and_words(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Whether a tool did something that not every system permits.
fn done(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
}

/// Waits until the search of the run below `out` has begun.
fn wait_for_search(out: &Path) {
    let log = || fs::read_dir(out).ok()?.next().map(|e| e.unwrap().path().join("events.jsonl"));
    let start = Instant::now();
    while !log().is_some_and(|l| fs::read_to_string(l).is_ok_and(|t| t.contains("\"phase_started\",\"phase\":\"search\""))) {
        assert!(start.elapsed() < Duration::from_secs(120), "waited two minutes for the search");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// ---- outputs that are no regular files

#[test]
fn a_device_and_a_fifo_are_written_into_and_a_link_is_followed() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    naslab().args(run_arguments("random", &at("runs"))).assert().success();
    // A folder of outputs in which each file is a link, to a file, to a device or to nothing yet.
    let nodes = done(Command::new("mknod").arg(at("null")).args(["c", "1", "3"]));
    for out in ["report", "export"] {
        fs::create_dir(at(out)).unwrap();
    }
    fs::write(at("table.csv"), "before").unwrap();
    symlink(at("table.csv"), at("report/results.csv")).unwrap();
    symlink(at("weights"), at("export/weights.safetensors")).unwrap();
    symlink(at("page"), at("report/report.html")).unwrap();
    naslab().arg("report").arg(at("runs")).arg("--out").arg(at("report")).assert().success();
    naslab()
        .arg("export")
        .arg(only_run(&at("runs")))
        .args(["--format", "architecture,weights", "--out"])
        .arg(at("export"))
        .assert()
        .success();
    for (link, to) in [("report/results.csv", "table.csv"), ("report/report.html", "page"), ("export/weights.safetensors", "weights")] {
        assert!(at(link).is_symlink() && fs::metadata(at(to)).unwrap().len() > 100, "{link}");
    }
    // One file by name.
    if nodes {
        let is_node = || fs::symlink_metadata(at("null")).unwrap().file_type().is_char_device();
        symlink(at("null"), at("null.svg")).unwrap();
        naslab().args(["draw", "darts-v2", "-o"]).arg(at("null.svg")).assert().success();
        naslab().args(["check", "--no-calibration", "--update", "--baseline"]).arg(at("null")).arg(at("runs")).assert().success();
        naslab().args(["check", "--no-calibration", "--update", "--baseline"]).arg(at("base.csv")).arg(at("runs")).assert().success();
        naslab()
            .args(["check", "--no-calibration", "--baseline"])
            .arg(at("base.csv"))
            .arg("--junit")
            .arg(at("null"))
            .arg(at("runs"))
            .assert()
            .success();
        naslab()
            .args(["bench", "random", "--steps", "1", "--kernels", "plain", "--threads", "1", "--json"])
            .arg(at("null"))
            .assert()
            .success();
        assert!(is_node() && at("null.svg").is_symlink());
    } else {
        println!("devices: skipped, mknod is not permitted here");
    }
    // A file that the shell opened is written into, behind what is there.
    fs::write(at("redirected"), "before\n").unwrap();
    let redirected = fs::OpenOptions::new().append(true).open(at("redirected")).unwrap();
    let mut check = Command::new(assert_cmd::cargo::cargo_bin("naslab"));
    check.args(["check", "--no-calibration", "--update", "--baseline", "/dev/stdout"]).arg(at("runs"));
    assert!(check.stdout(redirected).status().unwrap().success());
    let text = fs::read_to_string(at("redirected")).unwrap();
    assert!(text.starts_with("before\n") && text.lines().count() > 2, "{text}");
    assert!(done(Command::new("mkfifo").arg(at("pipe.svg"))));
    let reader = std::thread::spawn({
        let pipe = at("pipe.svg");
        move || fs::read_to_string(pipe).unwrap()
    });
    naslab().args(["draw", "darts-v2", "-o"]).arg(at("pipe.svg")).assert().success();
    assert!(reader.join().unwrap().ends_with("</svg>\n") && fs::symlink_metadata(at("pipe.svg")).unwrap().file_type().is_fifo());
}

#[test]
fn a_place_that_cannot_be_written_gets_the_advice_that_fits() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    symlink(at("nothing"), at("dangling")).unwrap();
    let assert = naslab().args(run_arguments("random", &at("dangling"))).assert().code(5);
    assert!(said(&assert).contains("a link that leads nowhere") && !said(&assert).contains("free some space"), "{}", said(&assert));
    let assert = naslab().args(["plan", "random", "--threads", "1"]).env("TMPDIR", at("none")).assert().code(5);
    assert!(said(&assert).contains("TMPDIR") && !said(&assert).contains("free some space"), "{}", said(&assert));
    // Enough for a manifest, not for a checkpoint.
    let output = limited("ulimit -f 64", &run_arguments("random", &at("small"))).output().unwrap();
    let (code, text) = code_and_words(&output);
    assert!(code == Some(5) && text.contains("ulimit -f"), "{code:?} {text}");
    let run = only_run(&at("small"));
    naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
}

// ---- nobody listens

#[test]
fn losing_messages_does_not_end_a_suite() {
    let folder = folder();
    let suite = |out: &Path| {
        let mut all = talking("random", out);
        all.extend(words("--seeds 0..2"));
        all
    };
    let count = |out: &Path| fs::read_dir(out).unwrap().filter(|e| e.as_ref().unwrap().path().join("result.json").exists()).count();
    // A reader that goes away at once.
    let out = folder.path().join("gone");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("naslab"))
        .args(suite(&out))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success());
    assert_eq!(count(&out), 2);
    // A disk without room for a word.
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let out = folder.path().join("full");
    let status =
        Command::new(assert_cmd::cargo::cargo_bin("naslab")).args(suite(&out)).stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert!(status.success());
    assert_eq!(count(&out), 2);
    // Results that cannot be said are an error, once all is done.
    let output = Command::new(assert_cmd::cargo::cargo_bin("naslab")).args(suite(&out)).stdout(full()).output().unwrap();
    assert_eq!(code_and_words(&output).0, Some(5));
}

#[test]
fn a_closed_terminal_stops_a_run_in_good_order_and_nohup_keeps_it() {
    let (out, kept) = (folder(), folder());
    // The harness may itself have been started by nohup.
    let start = |how: &str, out: &Path| {
        let mut command = Command::new("env");
        command.arg(how).arg(assert_cmd::cargo::cargo_bin("naslab")).args(talking("random", out)).args(["--set", "search.trials=16"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let child = start("--default-signal=HUP", out.path());
    wait_for_search(out.path());
    signal(&child, Signal::HUP);
    signal(&child, Signal::HUP);
    let (code, text) = code_and_words(&child.wait_with_output().unwrap());
    let run = only_run(out.path());
    assert!(code == Some(129) && text.contains(&format!("go on with: naslab resume {}", run.display())), "{code:?} {text}");
    naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
    let child = start("--ignore-signal=HUP", kept.path());
    wait_for_search(kept.path());
    signal(&child, Signal::HUP);
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn on_a_terminal_the_bar_begins_anew_with_each_phase_and_a_suite_tells_of_finished_runs() {
    let folder = folder();
    let mut all = talking("random", &folder.path().join("runs"));
    all.extend(words("--seeds 0..2 --set search.keep=2"));
    let quoted: Vec<String> = all.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("'{}' {}", assert_cmd::cargo::cargo_bin("naslab").display(), quoted.join(" "));
    let typescript = folder.path().join("typescript");
    let run = Command::new("script").args(["-qec", &line]).arg(&typescript).stdin(Stdio::null()).stdout(Stdio::null()).status();
    if !run.is_ok_and(|status| status.success()) {
        println!("skipped: script(1) gives no terminal here");
        return;
    }
    let text = String::from_utf8_lossy(&fs::read(typescript).unwrap()).into_owned();
    let first = text.split("select ").nth(1).unwrap_or_else(|| panic!("no selection in {text}"));
    let count = first.split_whitespace().find(|word| word.contains('/')).unwrap();
    assert!(count.starts_with("0/"), "the selection begins at {count}");
    for seed in 0..2 {
        let told = text.lines().filter(|l| l.contains(&format!("seed {seed}: finished, test "))).count();
        assert_eq!(told, 1, "{text}");
    }
}

// ---- another libtorch

#[test]
fn another_libtorch_at_run_time_is_refused_with_both_versions_and_its_file() {
    let folder = folder();
    let (source, library) = (folder.path().join("other.cpp"), folder.path().join("libother.so"));
    let version = r#"#include <string>
        namespace at { std::string show_config() { return "Build settings: BUILD_TYPE=Release, TORCH_VERSION=2.10.0, USE_CUDA=ON"; } }"#;
    fs::write(&source, version).unwrap();
    if !done(Command::new("c++").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source)) {
        println!("skipped: there is no C++ compiler");
        return;
    }
    for command in ["list", "run random --preset smoke"] {
        let assert = naslab().args(words(command)).env("LD_PRELOAD", &library).current_dir(folder.path()).assert().code(5);
        let text = said(&assert);
        let names = ["2.11.0", "2.10.0", library.to_str().unwrap(), "LD_LIBRARY_PATH"];
        assert!(names.iter().all(|name| text.contains(name)), "{text}");
    }
    assert!(!folder.path().join("runs").exists());
}

// ---- limits of memory and threads

#[test]
fn a_child_that_is_larger_than_memory_is_an_outcome() {
    let folder = folder();
    let mut all = run_arguments("random", folder.path());
    all.extend(words("--jobs 1 --set search.child.channels=2000 --set search.trials=2"));
    let (code, text) = code_and_words(&limited("ulimit -v 1500000", &all).output().unwrap());
    assert!(code == Some(5) && text.contains("out of memory"), "{code:?} {text}");
    let ends: Vec<EndReason> = trials(&only_run(folder.path())).iter().map(|t| t.end).collect();
    assert_eq!(ends, [EndReason::OutOfMemory; 2]);
}

#[test]
fn memory_that_our_own_code_is_refused_is_a_resource_failure() {
    let folder = folder();
    let all = run_arguments("random", folder.path());
    // From too little to load libtorch to enough; what lies between has a documented code.
    let codes: Vec<Option<i32>> = (4..=20)
        .map(|step| {
            let output = limited(&format!("ulimit -v {}", step * 75_000), &all).output().unwrap();
            assert!(output.status.code() == Some(127) || !code_and_words(&output).1.contains("this is a bug"), "{step}: {output:?}");
            output.status.code()
        })
        .collect();
    // 127 is the loader's: nothing of naslab has run. 4: libtorch failed in every trial, in other words than those of exhausted memory.
    assert!(codes.iter().all(|code| [Some(0), Some(4), Some(5), Some(127)].contains(code)), "{codes:?}");
}

#[test]
fn a_limit_of_threads_is_a_resource_failure_and_nobody_waits_for_ever() {
    let folder = folder();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut all = run_arguments("random", &folder.path().join("runs"));
    let threads = all.iter().position(|a| a == "--threads").expect("it is given");
    all[threads + 1] = "2".into();
    all.extend(words("--jobs 2"));
    // The limit counts all processes of a user, so it needs one who has no others and is not root.
    let user = "setpriv --reuid=54321 --regid=54321 --clear-groups";
    if !done(Command::new("sh").args(["-c", &format!("{user} {} list", assert_cmd::cargo::cargo_bin("naslab").display())])) {
        println!("skipped: another user cannot run the binary here");
        return;
    }
    for most in 1..=8 {
        let shell = format!("exec {user} timeout 120 prlimit --nproc={most} \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &shell, "sh"]).arg(assert_cmd::cargo::cargo_bin("naslab")).args(&all).env("TMPDIR", folder.path());
        let (code, text) = code_and_words(&command.output().unwrap());
        assert!(code == Some(0) || (code == Some(5) && text.contains("ulimit -u")), "{most}: {code:?} {text}");
    }
}

#[test]
fn extreme_numbers_are_refused_at_the_command_line() {
    let folder = folder();
    let refused = [
        ("run random --seeds 0..99999999999", "at most 100000"),
        ("run random --seeds 0,0", "twice"),
        ("run random random", "twice"),
        ("run all random", "no other beside it"),
        ("table run random random", "twice"),
        ("run random --seeds 0..50000", "at most 10000 runs"),
        ("train darts-v2 --seeds 0..50000", "at most 10000 runs"),
        ("run random --jobs 18446744073709551615", "1024"),
        ("run random --threads 4294967295", "1024"),
        ("run random --budget 1e300d", "36500d"),
        ("run random --max-memory 1e300GiB", "800MiB"),
        ("run random --set search.cells=1000000", "search"),
        ("run darts --set search.cells=1000000", "at most 1000"),
        ("run darts --set search.channels=9223372036854775807", "at most 65536"),
        ("run darts --set search.epochs=18446744073709551615", "at most"),
        ("run amoebanet --set search.population=18446744073709551615", "at most"),
        ("table workers --workers 18446744073709551615", "1000000"),
        ("bench darts --steps 18446744073709551615", "100000"),
        ("report --figure-width 8cm --figure-dpi 99999", "1200"),
    ];
    for (line, why) in refused {
        let assert = naslab().args(words(line)).current_dir(folder.path()).assert().code(2);
        assert!(said(&assert).contains(why), "{line}: {}", said(&assert));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

// ---- time in which the process does not run

#[test]
fn suspended_time_is_named_and_not_charged() {
    let out = folder();
    let mut all = talking("random", out.path());
    all.extend(words("--set search.trials=16"));
    let child =
        Command::new(assert_cmd::cargo::cargo_bin("naslab")).args(&all).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_search(out.path());
    signal(&child, Signal::STOP);
    let stopped = Instant::now();
    std::thread::sleep(Duration::from_secs(6));
    signal(&child, Signal::CONT);
    let stopped = stopped.elapsed().as_secs_f64();
    let (code, text) = code_and_words(&child.wait_with_output().unwrap());
    assert!(code == Some(0) && text.contains("this process did not run"), "{code:?} {text}");
    let run = only_run(out.path());
    let (events, _) = read_events(&run.join("events.jsonl")).unwrap();
    let is_notice = |e: &Event| matches!(e, Event::Notice { text } if text.contains("that time is not charged"));
    assert!(events.iter().any(|e| is_notice(&e.event)));
    let ledger: LedgerRecord = RunDir::open(&run).unwrap().ledger().unwrap().unwrap();
    let charged: f64 = ledger.rows.iter().map(|row| row.wall_seconds).sum();
    assert!((charged - ledger.wall_seconds).abs() < 0.02 * ledger.wall_seconds + 0.3, "{charged} of {}", ledger.wall_seconds);
    // By the dates of the events the attempt took the pause longer than was charged.
    let first: jiff::Timestamp = fs::read_to_string(run.join("manifest.json")).ok().and_then(|t| started(&t)).unwrap();
    let last: jiff::Timestamp = ledger.finished.parse().unwrap();
    let by_date = last.duration_since(first).as_secs_f64();
    assert!(by_date - ledger.wall_seconds > stopped - 2.0, "{by_date} by date, {} charged", ledger.wall_seconds);
}

fn started(manifest: &str) -> Option<jiff::Timestamp> {
    serde_json::from_str::<serde_json::Value>(manifest).ok()?["started"].as_str()?.parse().ok()
}

// ---- the command line

#[test]
fn a_random_walk_over_the_command_line_meets_documented_exit_codes_only() {
    let folder: PathBuf = folder().keep();
    walk::walk(&folder, std::env::var("NASLAB_WALK").ok().and_then(|n| n.parse().ok()).unwrap_or(250));
    fs::remove_dir_all(folder).unwrap();
}
