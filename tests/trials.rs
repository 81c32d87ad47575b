//! Trials: side by side or one after the other, duplicates, small spaces, failures.

use crate::common::{self, assert_same, history, naslab, only_run, run_arguments};
use naslab::error::{Error, Result};
use naslab::lab::{
    Card, Control, Engine, Method, Order, Policy, Prepared, SessionOptions, Settings, Signals, TrialPlan, Update, prepare, read_settings,
};
use naslab::nn::{Network, Output, Pass, Table, Weights};
use naslab::proposals::{Known, Proposal, Proposals};
use naslab::record::{EndReason, LedgerRecord, Manifest, Mark, Phase, Role, RunResult, Shape, TrialRecord, read_json};
use naslab::reproductions::method;
use naslab::seed::{Rng, Streams};
use naslab::space::{Architecture, Genotype, Space, published};
use naslab::{network, space};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::Tensor;

#[test]
fn any_number_of_jobs_gives_the_same_history() {
    for method in ["amoebanet", "nasnet", "random"] {
        let runs: Vec<_> = ["1", "2", "3"]
            .iter()
            .map(|jobs| {
                let out = tempfile::tempdir().unwrap();
                let mut arguments = run_arguments(method, out.path());
                arguments.extend(["--jobs", jobs].map(String::from));
                naslab().args(arguments).assert().success();
                out
            })
            .collect();
        let expected = history(&only_run(runs[0].path()));
        assert!(expected.len() >= 4);
        for out in &runs[1..] {
            assert_eq!(history(&only_run(out.path())), expected, "{method}");
            assert_same(&only_run(runs[0].path()), &only_run(out.path()), method);
        }
    }
}

#[test]
fn children_are_spread_over_several_devices_and_the_history_is_the_same() {
    let (one, three) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let several = |device: &str, out: &Path| {
        let arguments = run_arguments("amoebanet", out);
        arguments.into_iter().map(|a| if a == "cpu" { device.to_string() } else { a }).collect::<Vec<_>>()
    };
    naslab().args(several("cpu", one.path())).assert().success();
    naslab().args(several("cpu:0,1,2", three.path())).assert().success();
    let (home, run) = (only_run(one.path()), only_run(three.path()));
    assert_eq!(history(&home), history(&run));
    assert_same(&home, &run, "three devices");
    let ledger: LedgerRecord = read_json(&run.join("ledger.json")).unwrap();
    for phase in [Phase::Search, Phase::Select] {
        let tasks: Vec<_> = ledger.tasks.iter().filter(|t| t.account.phase == phase).collect();
        let trials = history(&run).into_iter().filter(|t| t.phase == phase).count();
        assert_eq!(tasks.len(), trials, "an account a child");
        let devices: BTreeSet<&str> = tasks.iter().map(|t| t.device.as_str()).collect();
        assert!(devices.len() > 1 && devices.iter().all(|d| ["cpu:0", "cpu:1", "cpu:2"].contains(d)), "{devices:?}");
        // What the rows hold is the sum over the devices, so that the accounts are not added to it.
        let of_tasks: f64 = tasks.iter().map(|t| t.account.device_seconds).sum();
        let of_rows: f64 = ledger.rows.iter().filter(|r| r.phase == phase).map(|r| r.device_seconds).sum();
        assert!((of_tasks - of_rows).abs() < 0.1 * of_rows && tasks.iter().all(|t| !t.apart), "{of_tasks} and {of_rows}");
    }
    let manifest: Manifest = read_json(&run.join("manifest.json")).unwrap();
    assert_eq!((manifest.jobs, manifest.devices.len()), (3, 3), "one child a device");
    naslab().args(several("cpu:0,0", one.path())).assert().code(2).stderr(predicates::str::contains("each card once"));
}

#[test]
fn a_mutated_child_names_its_parent_and_its_mutation() {
    let out = tempfile::tempdir().unwrap();
    let trials = history(&common::unbroken("amoebanet", out.path()));
    for trial in trials.iter().filter(|t| t.phase == naslab::record::Phase::Search) {
        assert_eq!(trial.parent.is_some(), trial.id >= 3);
        let origins: &[&str] = if trial.id < 3 { &["sampled"] } else { &["identity", "op mutation", "hidden state mutation"] };
        assert!(origins.contains(&trial.origin.as_str()), "{}", trial.origin);
    }
}

#[test]
fn jobs_must_be_at_least_one() {
    naslab().args(["run", "random", "--jobs", "0"]).assert().code(2);
}

#[test]
fn an_interrupted_trial_is_recorded_and_run_again() {
    let (out, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let many = ["--set", "search.trials=16"].map(String::from);
    let mut arguments = run_arguments("random", out.path());
    arguments.extend(["--jobs", "2"].map(String::from).into_iter().chain(many.clone()));
    let child = common::spawn(&arguments);
    let log = || std::fs::read_dir(out.path()).unwrap().next().map(|e| e.unwrap().path().join("events.jsonl"));
    while !log().is_some_and(|l| std::fs::read_to_string(l).is_ok_and(|t| t.contains("\"phase_started\",\"phase\":\"search\""))) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    let run = only_run(out.path());
    let cut_off = history(&run).iter().filter(|t| t.end == EndReason::Interrupted).count();
    assert!((1..=4).contains(&cut_off), "{cut_off} trials were cut off");
    naslab().arg("resume").arg(&run).arg("--quiet").assert().success();
    let mut arguments = run_arguments("random", whole.path());
    arguments.extend(many);
    naslab().args(arguments).assert().success();
    assert_same(&only_run(whole.path()), &run, "interrupted");
    let committed = |run: &Path| history(run).into_iter().filter(|t| t.end != EndReason::Interrupted).collect::<Vec<_>>();
    assert_eq!(committed(&only_run(whole.path())), committed(&run));
}

/// A method whose space has two architectures.
struct Toy {
    policy: Policy,
    fault: Fault,
}

/// What is wrong with the children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Fault {
    None,
    /// Those of the second architecture make libtorch fail.
    Broken,
    /// Two of them are more than memory holds.
    Hungry,
}

/// One of two architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Two {
    second: bool,
    fault: Fault,
}

static TWO: Space = Space::of::<Two>("two", "toy", |_: &Value, _: &mut Rng| Ok(Two { second: false, fault: Fault::None }.into()));

impl Genotype for Two {
    const SPACE: &'static Space = &TWO;

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

fn register() {
    space::register(&TWO).unwrap();
    // The tests run side by side, and the first of them adds it.
    let _ = network::register(TWO.name, |architecture, input, size| {
        let two: &Two = architecture.get().expect("of this space");
        let network = network::build(&published(if two.second { "amoebanet-a" } else { "nasnet-a" }).unwrap(), input, size)?;
        Ok(match two.fault {
            Fault::Broken if two.second => Box::new(Broken(network)),
            Fault::Hungry => Box::new(Hungry(network)),
            _ => network,
        })
    });
}

const CARD: Card = Card {
    name: "toy",
    title: "Toy",
    paper: "",
    about: "",
    role: Role::Search,
    mark: Mark { colour: [0; 3], shape: Shape::Circle, dashed: false },
    presets: "",
    spaces: &[],
};

impl Method for Toy {
    fn card(&self) -> &'static Card {
        &CARD
    }

    /// With the settings of random search.
    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        register();
        let settings: Settings<Control> = read_settings(CARD.name, settings)?;
        let plan = TrialPlan {
            trials: settings.search.trials,
            child: settings.search.child.clone(),
            section: "search.child",
            duplicates: self.policy,
            side_by_side: 2,
        };
        let fault = self.fault;
        Ok(Prepared {
            variant: String::new(),
            protocol: settings.protocol(),
            keep: 2,
            example: Two { second: false, fault }.into(),
            space: TWO.name.into(),
            predictions: BTreeMap::new(),
            claims: BTreeMap::new(),
            control: None,
            check: Box::new(|_| Ok(())),
            has_groups: false,
            engine: Engine::by_trials(plan, move |_| Draws(fault)),
        })
    }
}

struct Draws(Fault);

impl Proposals<Architecture> for Draws {
    fn draw(&mut self, id: u64, attempt: u64, _: &[Known<Architecture>], _: Streams) -> Proposal<Architecture> {
        Proposal::sampled(Two { second: (id + attempt) % 2 == 1, fault: self.0 }.into())
    }
}

struct Broken(Box<dyn Network>);

impl Network for Broken {
    fn table(&self) -> &Table {
        self.0.table()
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        self.0.forward(w, &x.view([7, 7, 7, 7]), pass)
    }
}

/// Two jobs on digits, as random search has it at its smallest.
fn toy_order() -> Order {
    let changes: Vec<String> = common::tiny("random").iter().map(|s| (*s).to_string()).collect();
    let resolved = method("random").unwrap().resolve("smoke", &changes).unwrap();
    Order { dataset: "digits".into(), jobs: 2, ..Order::new("smoke", resolved) }
}

fn run_toy(toy: &Toy, out: &Path) -> (RunResult, Vec<TrialRecord>) {
    let options = SessionOptions::quiet(2, Signals::default());
    let result = prepare(toy, &toy_order()).unwrap().run(&out.join("run"), options).unwrap();
    (result, history(&out.join("run")).into_iter().filter(|t| t.phase == Phase::Search).collect())
}

/// Nothing is under way then, and nothing may be drawn: the phase must not count as done.
#[test]
fn a_signal_between_two_phases_ends_the_attempt_and_not_the_phase() {
    let toy = Toy { policy: Policy::Train, fault: Fault::None };
    let out = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| out.path().join(name));
    // The identity has the number of threads, and a run of two jobs sets it to one.
    tch::set_num_threads(1);
    prepare(&toy, &toy_order()).unwrap().run(&whole, SessionOptions::quiet(2, Signals::default())).unwrap();

    let watch = Box::new(|update: Update<'_>| {
        if matches!(update, Update::Phase(Phase::Select)) {
            signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
        }
    });
    let options = SessionOptions { watch, ..SessionOptions::quiet(2, Signals::install().unwrap()) };
    let error = prepare(&toy, &toy_order()).unwrap().run(&broken, options).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    prepare(&toy, &toy_order()).unwrap().run(&broken, SessionOptions::quiet(2, Signals::default())).unwrap();
    assert_same(&whole, &broken, "a signal as the selection begins");
    assert_eq!(history(&whole), history(&broken).into_iter().filter(|t| t.end != EndReason::Interrupted).collect::<Vec<_>>());
}

#[test]
fn a_space_of_two_architectures_is_exhausted() {
    let out = tempfile::tempdir().unwrap();
    let (result, trials) = run_toy(&Toy { policy: Policy::Redraw, fault: Fault::None }, out.path());
    assert_eq!(result.search_end, EndReason::SpaceExhausted);
    assert_eq!(trials.len(), 2);
    assert!(result.final_score.is_some());
}

#[test]
fn duplicates_are_trained_again_or_take_the_first_score() {
    let out = tempfile::tempdir().unwrap();
    let (result, trials) = run_toy(&Toy { policy: Policy::Train, fault: Fault::None }, out.path());
    assert_eq!((trials.len(), result.search_end), (4, EndReason::Completed));
    assert!(trials.iter().all(|t| t.reused.is_none()));
    assert_ne!((trials[0].score, trials[0].loss), (trials[2].score, trials[2].loss), "another seed of its own");
    assert_eq!(result.extra["distinct_architectures"], 2.0);

    let out = tempfile::tempdir().unwrap();
    let (result, trials) = run_toy(&Toy { policy: Policy::Reuse, fault: Fault::None }, out.path());
    assert_eq!(trials.iter().map(|t| t.reused).collect::<Vec<_>>(), [None, None, Some(0), Some(1)]);
    assert_eq!((trials[0].score, trials[1].score), (trials[2].score, trials[3].score));
    assert_eq!(result.extra["reused_scores"], 2.0);
}

#[test]
fn a_trial_that_libtorch_gives_up_on_is_recorded_and_the_search_goes_on() {
    let out = tempfile::tempdir().unwrap();
    let (result, trials) = run_toy(&Toy { policy: Policy::Train, fault: Fault::Broken }, out.path());
    let ends: Vec<EndReason> = trials.iter().map(|t| t.end).collect();
    assert_eq!(ends, [EndReason::Completed, EndReason::Failed, EndReason::Completed, EndReason::Failed]);
    assert_eq!(result.trials, [("completed".to_string(), 2), ("failed".to_string(), 2)].into());
    let log = std::fs::read_to_string(out.path().join("run/events.jsonl")).unwrap();
    assert!(log.contains("libtorch failed"), "the reason is in the log");
}

/// A network whose memory suffices for one child at a time.
struct Hungry(Box<dyn Network>);

static EATING: AtomicUsize = AtomicUsize::new(0);

struct Meal;

impl Meal {
    fn begin() -> (Self, usize) {
        (Self, EATING.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

impl Drop for Meal {
    fn drop(&mut self) {
        EATING.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Network for Hungry {
    fn table(&self) -> &Table {
        self.0.table()
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let (_meal, eating) = Meal::begin();
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert!(eating < 2, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes");
        self.0.forward(w, x, pass)
    }
}

#[test]
fn trials_that_run_out_of_memory_beside_others_run_again_alone() {
    let out = tempfile::tempdir().unwrap();
    let (result, trials) = run_toy(&Toy { policy: Policy::Train, fault: Fault::Hungry }, out.path());
    assert_eq!(result.trials, [("completed".to_string(), 4)].into(), "nobody is to blame");
    assert_eq!(trials.iter().map(|t| t.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let log = std::fs::read_to_string(out.path().join("run/events.jsonl")).unwrap();
    assert!(log.contains("tried to allocate 10 bytes"), "two did run side by side");
}

#[test]
fn a_search_without_any_scored_trial_says_so() {
    let out = tempfile::tempdir().unwrap();
    let mut arguments = run_arguments("amoebanet", out.path());
    arguments.extend(["--set", "search.child.recipe.learning_rate=1e30", "--set", "search.child.recipe.clip=0.0"].map(String::from));
    naslab().args(arguments).assert().code(4).stderr(predicates::str::contains("8 diverged"));
}
