//! The regression gate over recorded runs made by hand: what it catches, what it lets pass, and what it refuses to judge.

use crate::common;
use assert_cmd::Command;
use naslab::Error;
use naslab::record::Manifest;
use naslab::report::gate::{Mode, Options, Outcome, Verdict, check, junit, update};
use naslab::space::Architecture;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// A finished run of two-phase cost.
#[derive(Clone)]
struct Fixture {
    method: &'static str,
    seed: u64,
    operation: &'static str,
    score: Option<f64>,
    /// Processor seconds of the search.
    seconds: f64,
    memory: u64,
    threads: u32,
    kind: &'static str,
    epochs: u32,
}

impl Default for Fixture {
    fn default() -> Self {
        Self {
            method: "darts",
            seed: 0,
            operation: "sep_conv_3x3",
            score: Some(0.9),
            seconds: 20.0,
            memory: 100 << 20,
            threads: 1,
            kind: "cpu",
            epochs: 3,
        }
    }
}

fn architecture(operation: &str) -> Value {
    let e = |from: usize| json!({"op": operation, "from": from});
    let node = || json!([e(0), e(1)]);
    let cell = || json!({"nodes": [node(), node(), node(), node()], "concat": [2, 3, 4, 5]});
    json!({"space": "darts", "normal": cell(), "reduce": cell()})
}

fn hash(operation: &str) -> String {
    serde_json::from_value::<Architecture>(architecture(operation)).unwrap().hash()
}

/// The hash of an architecture as a verdict shows it.
fn short(operation: &str) -> String {
    hash(operation)[..12].to_string()
}

impl Fixture {
    fn write(&self, root: &Path) -> PathBuf {
        let folder = root.join(format!("{}-s{}", self.method, self.seed));
        fs::create_dir_all(&folder).unwrap();
        let put = |name: &str, value: Value| fs::write(folder.join(name), value.to_string()).unwrap();
        let mut manifest = json!({
            "format": 3, "method": self.method, "variant": "first-order", "dataset": "digits", "preset": "smoke", "seed": self.seed,
            "settings": {"search": {"epochs": self.epochs}}, "shrunk": [], "jobs": 1,
            "declaration": {"title": "DARTS", "role": "search", "space": "darts", "keep": 1, "predictions": {}, "claims": {}, "control": null,
                "mark": {"colour": [0, 114, 178], "shape": "circle", "dashed": false}},
            "limits": {"budget_seconds": null, "max_trials": null, "max_memory_bytes": null}, "identity": "",
            "program": {"version": "0.1.0", "commit": "0123456789abcdef", "dirty": false}, "libtorch": "2.11.0",
            "device": {"kind": self.kind, "name": "Example", "memory_bytes": null, "processor": "Example", "cores": 2, "threads": self.threads},
            "data": {"folder": null, "hash": "d", "split_hash": "s", "counts": {}, "channels": 1, "height": 8, "width": 8, "classes": 10,
            "normalisation": {"pixels": "bytes", "mean": [0.5], "std": [0.25]}},
            "clock": "monotonic", "started": "2026-01-31T12:00:00Z"
        });
        let identity = serde_json::from_value::<Manifest>(manifest.clone()).unwrap().digest();
        manifest["identity"] = json!(identity);
        put("manifest.json", manifest);
        put(
            "result.json",
            json!({
                "format": 3, "method": self.method, "variant": "first-order", "dataset": "digits", "preset": "smoke", "seed": self.seed,
                "identity": identity, "architecture": architecture(self.operation), "architecture_hash": hash(self.operation), "parameters": 1000,
                "auxiliary_parameters": 0, "metric": "accuracy", "search_score": 0.6, "search_score_kind": "supernet validation accuracy",
                "select_score": null, "final_score": self.score, "final_loss": 0.1, "retrain_epochs": 5, "search_end": "completed",
                "retrain_end": "completed", "trials": {}, "extra": {}
            }),
        );
        let row = |phase: &str, seconds: f64| {
            json!({"phase": phase, "attempt": 0, "device_seconds": seconds, "cpu_seconds": seconds, "wall_seconds": seconds, "samples": 1,
                "steps": 1, "trials": 0, "peak_device_allocated": if self.kind == "cuda" { Some(self.memory) } else { None },
                "peak_device_reserved": null, "peak_host_bytes": self.memory, "energy_joules": null, "end_reason": "completed"})
        };
        put(
            "ledger.json",
            json!({"format": 3, "rows": [row("search", self.seconds), row("retrain", 10.0)], "wall_seconds": 35.0,
                "spent_seconds": self.seconds, "budget_seconds": null, "overshoot_seconds": null, "finished": "2026-01-31T12:01:00Z"}),
        );
        folder
    }
}

/// Three seeds of two methods, and the baseline made from them.
struct Scene {
    root: TempDir,
}

const SCORES: [f64; 3] = [0.90, 0.905, 0.91];

impl Scene {
    fn new() -> Self {
        Self::with(&Fixture::default(), None)
    }

    fn with(base: &Fixture, calibration_seconds: Option<f64>) -> Self {
        let scene = Self { root: TempDir::new().unwrap() };
        for method in ["darts", "random"] {
            for (seed, score) in SCORES.into_iter().enumerate() {
                Fixture { method, seed: seed as u64, score: Some(score), ..base.clone() }.write(&scene.runs());
            }
        }
        let (count, notes) = update(&[scene.runs()], &scene.baseline(), calibration_seconds).unwrap();
        assert_eq!((count, notes), (6, Vec::<String>::new()));
        scene
    }

    fn runs(&self) -> PathBuf {
        self.root.path().join("runs")
    }

    fn baseline(&self) -> PathBuf {
        self.root.path().join("baseline.csv")
    }

    /// Changes all seeds of `darts`.
    fn change(&self, change: impl Fn(&mut Fixture)) {
        for (seed, score) in SCORES.into_iter().enumerate() {
            let mut fixture = Fixture { seed: seed as u64, score: Some(score), ..Fixture::default() };
            change(&mut fixture);
            fixture.write(&self.runs());
        }
    }

    fn check(&self, options: Options) -> Verdict {
        check(&[self.runs()], &self.baseline(), &options).unwrap()
    }

    fn refusal(&self) -> String {
        let error = check(&[self.runs()], &self.baseline(), &Options::default()).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
        error.to_string()
    }

    fn edit(&self, change: impl Fn(&str) -> String) {
        let text = fs::read_to_string(self.baseline()).unwrap();
        fs::write(self.baseline(), change(&text)).unwrap();
    }
}

const STATISTICAL: Options =
    Options { mode: Some(Mode::Statistical), margin: 0.01, time_ratio: 1.3, memory_ratio: 1.2, calibration_seconds: None };

/// Group and name of the checks that found something worse.
fn worse(verdict: &Verdict) -> Vec<(&str, &str)> {
    let bad = verdict.checks.iter().filter(|c| c.outcome == Outcome::Regression);
    bad.map(|c| (c.group.split(' ').next().unwrap(), c.name)).collect()
}

#[test]
fn unchanged_runs_pass() {
    let scene = Scene::new();
    let exact = scene.check(Options::default());
    assert_eq!(worse(&exact), []);
    let names: Vec<&str> = exact.checks.iter().take(6).map(|c| c.name).collect();
    assert_eq!(names, ["seeds", "finding", "test score", "search score", "search time", "retraining time"]);
    assert_eq!(exact.checks.len(), 14);
    let statistical = scene.check(STATISTICAL);
    assert_eq!((worse(&statistical), statistical.checks.len()), (vec![], 10));
}

#[test]
fn one_flipped_genotype_is_caught_when_it_has_to_be_exact() {
    let scene = Scene::new();
    Fixture { seed: 1, operation: "sep_conv_5x5", score: Some(SCORES[1]), ..Fixture::default() }.write(&scene.runs());
    let verdict = scene.check(Options::default());
    assert_eq!(worse(&verdict), [("darts", "finding")]);
    let finding = verdict.checks.iter().find(|c| c.outcome == Outcome::Regression).unwrap();
    assert_eq!(
        [finding.baseline.clone(), finding.here.clone()],
        ["sep_conv_3x3", "sep_conv_5x5"].map(|op| format!("seed 1: {}, 1000 weights", short(op)))
    );
    assert_eq!(worse(&scene.check(STATISTICAL)), []);
}

#[test]
fn the_last_bit_of_a_score_counts_when_it_has_to_be_exact() {
    let scene = Scene::new();
    Fixture { score: Some(f64::from_bits(SCORES[0].to_bits() + 1)), ..Fixture::default() }.write(&scene.runs());
    assert_eq!(worse(&scene.check(Options::default())), [("darts", "test score")]);
}

#[test]
fn a_lower_accuracy_is_caught_when_the_seeds_can_tell() {
    let scene = Scene::new();
    // scipy: the half width of Welch's interval for these deviations is 0.0113347.
    let half = 0.011_334_7;
    for (lower, regression) in
        [(0.0, false), (0.01, false), (0.01 + half - 0.0001, false), (0.01 + half + 0.0001, true), (0.01 + 2.0 * half, true)]
    {
        scene.change(|f| f.score = f.score.map(|s| s - lower));
        let expected: &[(&str, &str)] = if regression { &[("darts", "test score")] } else { &[] };
        assert_eq!(worse(&scene.check(STATISTICAL)), expected, "{lower}");
    }
    scene.change(|f| f.score = f.score.map(|s| s + 0.05));
    assert_eq!(worse(&scene.check(STATISTICAL)), [], "better is not worse");
    scene.change(|f| f.score = f.score.filter(|_| f.seed > 0));
    assert_eq!(worse(&scene.check(STATISTICAL)), [("darts", "test score")], "a score that is gone");
}

#[test]
fn two_seeds_are_judged_by_margin_and_two_deviations() {
    let scene = Scene::new();
    for method in ["darts", "random"] {
        fs::remove_dir_all(scene.runs().join(format!("{method}-s2"))).unwrap();
    }
    update(&[scene.runs()], &scene.baseline(), None).unwrap();
    // Deviation of 0.90 and 0.905: 0.0035355; a margin of 0.01 and two of them are 0.017071.
    for (lower, count) in [(0.0170, 0), (0.0172, 1)] {
        for (seed, score) in SCORES[..2].iter().enumerate() {
            Fixture { seed: seed as u64, score: Some(score - lower), ..Fixture::default() }.write(&scene.runs());
        }
        assert_eq!(scene.check(STATISTICAL).regressions(), count, "{lower}");
    }
}

#[test]
fn time_and_memory_are_caught_by_ratio() {
    let scene = Scene::new();
    scene.change(|f| f.seconds *= 1.25);
    assert_eq!(worse(&scene.check(Options::default())), []);
    scene.change(|f| f.seconds *= 1.5);
    assert_eq!(worse(&scene.check(Options::default())), [("darts", "search time")]);
    assert_eq!(worse(&scene.check(Options { time_ratio: 1.6, ..Options::default() })), []);
    scene.change(|f| f.memory = f.memory * 3 / 2);
    assert_eq!(worse(&scene.check(Options::default())), [("darts", "peak memory")]);
    assert_eq!(worse(&scene.check(Options { memory_ratio: 1.6, ..Options::default() })), []);
    let short = Scene::with(&Fixture { seconds: 0.2, ..Fixture::default() }, None);
    short.change(|f| f.seconds = 0.6);
    assert_eq!(worse(&short.check(Options::default())), [], "tenths of a second are noise");
}

#[test]
fn a_slower_machine_is_not_a_slower_program() {
    let scene = Scene::with(&Fixture::default(), Some(0.1));
    let at = |seconds| Options { calibration_seconds: Some(seconds), ..Options::default() };
    scene.change(|f| f.seconds *= 2.0);
    assert_eq!(worse(&scene.check(at(0.2))), []);
    assert_eq!(worse(&scene.check(at(0.1))), [("darts", "search time")]);
    scene.change(|_| ());
    let verdict = scene.check(at(0.05));
    assert!(worse(&verdict).contains(&("darts", "search time")), "as slow on a machine that is twice as fast");
    assert!(verdict.remarks.is_empty());
    assert!(scene.check(Options::default()).remarks.iter().any(|r| r.contains("not corrected")));
}

#[test]
fn what_is_missing_is_a_regression_and_what_is_new_a_remark() {
    let scene = Scene::new();
    for seed in 0..3 {
        fs::remove_dir_all(scene.runs().join(format!("random-s{seed}"))).unwrap();
    }
    fs::remove_dir_all(scene.runs().join("darts-s1")).unwrap();
    Fixture { seed: 7, ..Fixture::default() }.write(&scene.runs());
    Fixture { method: "enas", ..Fixture::default() }.write(&scene.runs());
    let verdict = scene.check(Options::default());
    assert_eq!(worse(&verdict), [("darts", "seeds"), ("random", "seeds")]);
    assert_eq!([&verdict.checks[0].here, &verdict.checks.last().unwrap().here], ["seed 1 missing", "no run"]);
    let remark = |what: &str| verdict.remarks.iter().any(|r| r.contains(what));
    assert!(remark("seed 7 not in the baseline") && remark("enas (first-order), digits, smoke, cpu"), "{:?}", verdict.remarks);
}

#[test]
fn other_settings_and_other_devices_are_said_to_be_the_reason() {
    let scene = Scene::new();
    scene.change(|f| f.epochs = 4);
    let verdict = scene.check(Options::default());
    assert_eq!(worse(&verdict), [("darts", "seeds")]);
    assert!(verdict.checks[0].here.contains("other settings"), "{:?}", verdict.checks[0]);
    scene.change(|f| f.kind = "cuda");
    assert!(scene.check(Options::default()).checks[0].here.contains("on cuda"));
}

#[test]
fn the_mode_follows_device_and_threads() {
    let scene = Scene::new();
    scene.change(|f| f.threads = 2);
    let verdict = scene.check(Options::default());
    let of = |name: &str| verdict.checks.iter().filter(|c| c.group.starts_with("darts") && c.name == name).count();
    assert_eq!((of("finding"), of("test score")), (0, 1));
    assert!(verdict.checks.iter().any(|c| c.name == "search time" && c.outcome == Outcome::NotCompared));
    let cuda = Scene::with(&Fixture { kind: "cuda", ..Fixture::default() }, Some(0.1));
    let verdict = cuda.check(Options { calibration_seconds: Some(0.2), ..Options::default() });
    assert!(verdict.checks.iter().all(|c| c.name != "finding" && c.outcome == Outcome::Holds));
}

#[test]
fn another_processor_is_not_held_to_the_last_bit() {
    let scene = Scene::new();
    scene.edit(|text| text.replace("Example", "Another"));
    let modes = |mode| {
        let verdict = scene.check(Options { mode, ..Options::default() });
        assert_eq!(worse(&verdict), []);
        (
            verdict.checks.iter().filter(|c| c.name == "finding").count(),
            verdict.remarks.iter().any(|r| r.contains("was 'Another' and is 'Example'")),
        )
    };
    assert_eq!(modes(None), (0, true));
    assert_eq!(modes(Some(Mode::Exact)), (2, true));
}

#[test]
fn runs_that_cannot_be_judged_are_refused_by_name() {
    let scene = Scene::new();
    let folder = scene.runs().join("darts-s0");
    let result = fs::read(folder.join("result.json")).unwrap();
    fs::write(folder.join("result.json"), "{\"format\": 2, \"me").unwrap();
    assert!(scene.refusal().contains("darts-s0: the run is damaged"), "{}", scene.refusal());
    fs::remove_file(folder.join("result.json")).unwrap();
    assert!(scene.refusal().contains("naslab resume"), "{}", scene.refusal());
    fs::write(folder.join("result.json"), result).unwrap();
    Fixture { threads: 2, ..Fixture::default() }.write(&scene.runs().join("other"));
    assert!(scene.refusal().contains("seed 0 is there twice"), "{}", scene.refusal());
    fs::remove_dir_all(scene.runs().join("other")).unwrap();
    Fixture::default().write(&scene.runs().join("copy"));
    assert!(scene.check(Options::default()).remarks.iter().any(|r| r.contains("the same run as")));
    Fixture { seed: 9, score: Some(1.5), ..Fixture::default() }.write(&scene.runs());
    assert!(scene.refusal().contains("final_score is 1.5"), "{}", scene.refusal());
}

#[test]
fn baselines_that_cannot_be_used_are_refused_with_line_and_column() {
    type Change = fn(&str) -> String;
    let cases: [(Change, &str); 8] = [
        (|_| String::new(), "the baseline is empty"),
        (|t| t.lines().next().unwrap().to_string(), "the baseline is empty"),
        (|t| t.replacen("final_score", "score", 1), "lacks columns: final_score"),
        (|t| t.replacen(",0.9,", ",NaN,", 1), "line 2: final_score is NaN"),
        (|t| t.replacen(",0.9,", ",inf,", 1), "line 2: final_score is inf"),
        (|t| t.replacen(",0.9,", ",high,", 1), "line 2: final_score: invalid float literal"),
        (|t| t.replacen(",0.9,", ",", 1), "found record with 22 fields"),
        (|t| format!("{t}{}\n", t.lines().nth(1).unwrap()), "line 8: darts (first-order), digits, smoke, cpu: seed 0 is there twice"),
    ];
    for (change, expected) in cases {
        let scene = Scene::new();
        scene.edit(change);
        let text = scene.refusal();
        assert!(text.contains("baseline.csv") && text.contains(expected), "{expected}: {text}");
    }
    let scene = Scene::new();
    fs::remove_file(scene.baseline()).unwrap();
    assert!(scene.refusal().contains("--update"));
}

/// Panics unless every tag is closed in its place and every attribute is quoted; returns the names of the elements.
fn elements(xml: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "{rest}");
        let (tag, after) = rest[at + 1..].split_once('>').unwrap();
        rest = after;
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap().to_string();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else {
            all.push(name.clone());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?}");
    all
}

fn naslab() -> Command {
    Command::cargo_bin("naslab").expect("the binary is built with the tests")
}

#[test]
fn the_binary_tells_by_table_exit_code_and_junit() {
    let scene = Scene::new();
    let path = |p: PathBuf| p.display().to_string();
    let (runs, baseline, xml) = (path(scene.runs()), path(scene.baseline()), scene.root.path().join("junit.xml"));
    let run = |more: &[&str]| {
        let output = naslab().args(["check", "--baseline", &baseline]).args(more).arg(&runs).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    // This baseline was written by a machine as fast as this one, so that only the calibration then and now can differ.
    let (code, out, _) = run(&["--update"]);
    assert_eq!((code, out), (0, format!("{baseline}: 6 runs\n")));
    let calibrated = |text: &str| text.lines().nth(1).unwrap().rsplit(',').next().unwrap().parse::<f64>().unwrap() > 0.0;
    assert!(calibrated(&fs::read_to_string(&baseline).unwrap()));
    let plain = ["--no-calibration", "--junit", xml.to_str().unwrap()];
    let (code, out, err) = run(&plain);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("14 checks, 0 regressions") && out.contains("holds"), "{out}");
    assert_eq!(elements(&fs::read_to_string(&xml).unwrap()).iter().filter(|e| *e == "testcase").count(), 14);

    scene.change(|f| f.seconds *= 10.0);
    let (code, out, err) = run(&["--junit", xml.to_str().unwrap()]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("REGRESSION") && err.contains("regression"), "{out}{err}");
    let names = elements(&fs::read_to_string(&xml).unwrap());
    assert!(names.contains(&"failure".to_string()), "{names:?}");

    for (arguments, expected, what) in [
        (&["--margin", "-1"][..], 2, "--margin"),
        (&["--time-ratio", "0.5"], 2, "--time-ratio"),
        (&["--memory-ratio", "NaN"], 2, "--memory-ratio"),
        (&["--mode", "loose"], 2, "statistical"),
        (&["--update", "--mode", "exact"], 2, "--update"),
    ] {
        let (code, _, err) = run(arguments);
        assert!(code == expected && err.contains(what), "{arguments:?}: {code} {err}");
    }
    naslab().args(["check", &runs]).assert().code(2);
    fs::write(&baseline, "").unwrap();
    let (code, _, err) = run(&["--no-calibration"]);
    assert!(code == 3 && err.contains("the baseline is empty"), "{err}");
}

/// Keeps every core busy until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let work = |stop: Arc<AtomicBool>| {
            let mut numbers = vec![1.0_f64; 1 << 16];
            while !stop.load(Ordering::Relaxed) {
                numbers.iter_mut().for_each(|x| *x = std::hint::black_box(*x * 1.000_001));
            }
        };
        let workers = (0..cores)
            .map(|_| {
                std::thread::spawn({
                    let stop = stop.clone();
                    move || work(stop)
                })
            })
            .collect();
        Self { stop, workers }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.drain(..).for_each(|w| w.join().unwrap());
    }
}

#[test]
fn an_unchanged_rerun_on_a_loaded_machine_passes() {
    let root = TempDir::new().unwrap();
    let (first, second) = (root.path().join("first"), root.path().join("second"));
    let baseline = root.path().join("baseline.csv");
    let gate = |runs: &Path, more: &[&str]| {
        naslab().arg("check").args(more).args([runs.as_os_str(), "--baseline".as_ref(), baseline.as_os_str()]).output().unwrap()
    };
    common::unbroken("random", &first);
    assert!(gate(&first, &["--update"]).status.success());
    let load = Load::start();
    common::unbroken("random", &second);
    let output = gate(&second, &[]);
    drop(load);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("finding") && text.contains(" 0 regressions"), "{text}");
}

#[test]
fn the_same_verdict_gives_the_same_junit() {
    let scene = Scene::new();
    scene.change(|f| f.operation = "sep_conv_5x5");
    let texts = [scene.check(Options::default()), scene.check(Options::default())].map(|v| junit(&v));
    assert_eq!(texts[0], texts[1]);
    let failure = format!("<failure message=\"baseline: seed 0: {}, 1000 weights; seed 1", short("sep_conv_3x3"));
    assert!(texts[0].contains(&failure), "{}", texts[0]);
}
