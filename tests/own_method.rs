//! A method and a space of a user's own, from here alone: it runs, goes on after kill -9, has a control, and is in the report with its mark.

use crate::common::{assert_same, test_name};
use naslab::error::{Error, Result};
use naslab::lab::{
    Card, ChildTraining, Method, Order, Policy, Prepared, Region, SessionOptions, Settings, Signals, TrialPlan, control_order, prepare,
    read_settings,
};
use naslab::nn::{ConvBn, ConvShape, Linear, Network, Output, Pass, ReluConvBn, Table, Weights, global_average};
use naslab::proposals::{Known, Proposal, Proposals};
use naslab::record::{Mark, Role, Shape, read_events};
use naslab::reproductions::random::Random;
use naslab::seed::{Rng, Streams};
use naslab::space::{Architecture, Genotype, InputShape, NetSize, Nothing, Space, parameters};
use naslab::{network, space};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tch::Tensor;

/// Kernel sizes of three convolutions, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stack {
    kernels: [i64; 3],
}

const KERNELS: [i64; 3] = [1, 3, 5];

static STACK: Space = Space::of::<Stack>("stack", "climb", |given, rng| {
    parameters::<Nothing>(&STACK, given)?;
    Ok(Stack { kernels: [0; 3].map(|_| KERNELS[rng.random_range(0..3)]) }.into())
});

impl Genotype for Stack {
    const SPACE: &'static Space = &STACK;

    fn check(&self) -> Result<()> {
        let foreign = self.kernels.iter().find(|k| !KERNELS.contains(k));
        foreign.map_or(Ok(()), |k| Err(Error::Usage(format!("a kernel of {k}"))))
    }
}

struct StackNetwork {
    table: Table,
    stem: ConvBn,
    layers: Vec<ReluConvBn>,
    classifier: Linear,
}

impl StackNetwork {
    fn declare(stack: &Stack, input: InputShape, size: NetSize) -> Self {
        let (mut t, width) = (Table::default(), size.channels);
        let stem = ConvBn::declare(&mut t, "stem", ConvShape::square(input.channels, width, 3, 1));
        let layer = |(i, kernel): (usize, &i64)| {
            ReluConvBn::declare(&mut t, &format!("layer{i}"), &[ConvShape::square(width, width, *kernel, 1)], true)
        };
        let layers = stack.kernels.iter().enumerate().map(layer).collect();
        let classifier = Linear::declare(&mut t, "classifier", width, input.classes);
        Self { table: t, stem, layers, classifier }
    }
}

impl Network for StackNetwork {
    fn table(&self) -> &Table {
        &self.table
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Output {
        let stem = self.stem.forward(w, x, pass.training);
        let features = self.layers.iter().fold(stem, |x, layer| layer.forward(w, &x, pass.training));
        Output { logits: self.classifier.forward(w, &global_average(&features)), auxiliary: None }
    }
}

/// How the method is named in tables and figures.
const TITLE: &str = "Climb";

fn register() {
    space::register(&STACK).unwrap();
    // Tests of one process share the table; the first adds to it.
    let _ = network::register(STACK.name, |architecture, input, size| {
        Ok(Box::new(StackNetwork::declare(architecture.get().expect("of this space"), input, size)))
    });
}

/// The best so far, with one kernel changed.
struct Climb;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClimbSettings {
    trials: u64,
    child: ChildTraining,
}

const PRESETS: &str = r#"
[paper]
dataset = "digits"

[paper.settings.search]
trials = 8
child = { channels = 4, cells = 3, recipe = { epochs = 1, batch = 32, learning_rate = 0.1, learning_rate_end = 0.0, momentum = 0.9, weight_decay = 3e-4, decay_all = true, by_step = false, clip = 5.0, nesterov = false, restart = 0, restart_factor = 1, dropout = 0.0, auxiliary_weight = 0.0, drop_path = 0.0, drop_by_depth = false }, augment = { crop_padding = 0, flip = false, cutout = 0 } }

[paper.settings]
data = { search_images = 400, valid_images = 0, retrain_images = 400 }
select = { channels = 4, cells = 3, recipe = { epochs = 1, batch = 32, learning_rate = 0.1, learning_rate_end = 0.0, momentum = 0.9, weight_decay = 3e-4, decay_all = true, by_step = false, clip = 5.0, nesterov = false, restart = 0, restart_factor = 1, dropout = 0.0, auxiliary_weight = 0.0, drop_path = 0.0, drop_by_depth = false }, augment = { crop_padding = 0, flip = false, cutout = 0 } }
retrain = { channels = 8, cells = 3, recipe = { epochs = 2, batch = 32, learning_rate = 0.1, learning_rate_end = 0.0, momentum = 0.9, weight_decay = 3e-4, decay_all = true, by_step = false, clip = 5.0, nesterov = false, restart = 0, restart_factor = 1, dropout = 0.0, auxiliary_weight = 0.0, drop_path = 0.0, drop_by_depth = false }, augment = { crop_padding = 0, flip = false, cutout = 0 } }
"#;

const CARD: Card = Card {
    name: "climb",
    title: TITLE,
    paper: "nobody: A method of a test",
    about: "changes one kernel of the best",
    role: Role::Search,
    mark: Mark { colour: [0x12, 0x34, 0x56], shape: Shape::Star, dashed: false },
    presets: PRESETS,
    spaces: &[("stack", &[])],
};

impl Method for Climb {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        register();
        let settings: Settings<ClimbSettings> = read_settings(CARD.name, settings)?;
        let ClimbSettings { trials, child } = settings.search.clone();
        let plan = TrialPlan::of_children(trials, &child, Policy::Train, 1);
        Prepared::by_trials((STACK.name, Region::new(STACK.name, json!({}))), settings.protocol(), (plan, 1), |_| Climber)
    }
}

struct Climber;

impl Proposals<Architecture> for Climber {
    fn needs(&self, id: u64) -> u64 {
        id
    }

    fn draw(&mut self, id: u64, attempt: u64, history: &[Known<Architecture>], streams: Streams) -> Proposal<Architecture> {
        let rng = &mut streams.child("climb", id).rng("draw", attempt);
        let best = history.iter().zip(0..).max_by(|(a, _), (b, _)| a.score.unwrap_or(0.0).total_cmp(&b.score.unwrap_or(0.0)));
        let Some((best, parent)) = best else { return Proposal::sampled((STACK.sample)(&json!({}), rng).unwrap()) };
        let mut stack = best.architecture.get::<Stack>().expect("of this space").clone();
        change(&mut stack, rng);
        Proposal::of_parent(stack.into(), parent, "kernel changed")
    }

    fn told(&mut self, _: &[Known<Architecture>]) -> Option<BTreeMap<String, f64>> {
        Some(BTreeMap::new())
    }
}

fn change(stack: &mut Stack, rng: &mut Rng) {
    stack.kernels[rng.random_range(0..3)] = KERNELS[rng.random_range(0..3)];
}

fn order() -> Order {
    Order::new("paper", Climb.resolve("paper", &[]).unwrap())
}

fn run(method: &dyn Method, order: &Order, out: &Path) -> PathBuf {
    tch::set_num_threads(1);
    let options = SessionOptions { checkpoint_seconds: 0.0, ..SessionOptions::quiet(1, Signals::default()) };
    let ready = prepare(method, order).unwrap();
    let directory = ready.directory(out);
    ready.run(&directory, options).unwrap();
    directory
}

/// Where a process that this test starts writes its run.
const OUT: &str = "NASLAB_TEST_OWN_METHOD_OUT";

/// In a process of its own the run of the method; else nothing.
#[test]
fn a_process_of_its_own() {
    if let Some(out) = std::env::var_os(OUT) {
        run(&Climb, &order(), Path::new(&out));
    }
}

fn committed(run: &Path) -> usize {
    let events = read_events(&run.join("events.jsonl"));
    events.map_or(0, |(events, _)| events.iter().filter(|e| matches!(e.event, naslab::record::Event::Trial(_))).count())
}

#[test]
fn a_method_and_a_space_of_ones_own_are_like_the_others() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(&Climb, &order(), whole.path());
    let directory = broken.path().join(expected.file_name().unwrap());

    // Killed after its second trial, and gone on with here.
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test_name(module_path!(), "a_process_of_its_own")])
        .env(OUT, broken.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while committed(&directory) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!directory.join("result.json").exists(), "it was killed before its end");
    assert_eq!(run(&Climb, &order(), broken.path()), directory);
    assert_same(&expected, &directory, "after kill -9");

    // Its control draws from its space and trains as it does.
    let control = control_order(&Climb, &order()).unwrap().expect("it has one");
    let control_run = run(&Random, &control, whole.path());
    let finding: Value = naslab::record::read_json(&control_run.join("finding.json")).unwrap();
    assert_eq!(finding["candidates"][0]["architecture"]["space"], "stack");
    let protocol = json!(Climb.prepare(&order().settings).unwrap().protocol);
    for section in ["data", "select", "retrain"] {
        assert_eq!(control.settings[section], protocol[section]);
    }
    report(whole.path());
}

/// Both are in the tables, the method beside its control, and in the figures with its mark.
#[cfg(feature = "report")]
fn report(runs: &Path) {
    let out = runs.join("report");
    naslab::report::write_report(&[runs.to_path_buf()], &out, &naslab::report::Extras::default()).unwrap();
    let text = std::fs::read_to_string(out.join("results.md")).unwrap();
    let against = text.split("## Against random search").nth(1).expect("the table of controls");
    let row = against.lines().find(|l| l.contains(TITLE)).unwrap_or_else(|| panic!("no row of the method: {against}"));
    assert!(row.contains("Random search (stack-space)"), "{row}");
    let figures = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "svg"));
    // Its colour is the nearest of those that show on light and dark ground.
    let marked = figures.filter(|p| std::fs::read_to_string(p).unwrap().contains(&format!("data-series=\"{TITLE}"))).count();
    assert!(marked > 0, "no figure has the method");
}

#[cfg(not(feature = "report"))]
fn report(_: &Path) {}

#[test]
fn files_name_the_space_and_unknown_ones_are_refused() {
    register();
    let architecture: Architecture = Stack { kernels: [1, 3, 5] }.into();
    let text = serde_json::to_string(&architecture).unwrap();
    assert_eq!(text, r#"{"space":"stack","kernels":[1,3,5]}"#);
    assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), architecture);
    let unknown = serde_json::from_str::<Architecture>(&text.replace("stack", "heap")).unwrap_err().to_string();
    assert!(unknown.contains("heap") && unknown.contains("stack") && unknown.contains("darts"), "{unknown}");
}

/// Every program in `examples/` but the one that measures; `cargo test` builds them.
#[test]
fn the_examples_run() {
    let out = tempfile::tempdir().unwrap();
    let folder = assert_cmd::cargo::cargo_bin("naslab").with_file_name("examples");
    let says = [
        ("one_run", "amoebanet ageing: test accuracy"),
        ("own_method", "Local search: "),
        ("published_cell", "of 16 images right"),
        ("search_a_table", "climbing, 100 seeds"),
        ("own_evaluator", "100 trials in"),
    ];
    for (name, says) in says {
        let program = folder.join(name);
        assert!(program.exists(), "{} is missing; cargo build --examples", program.display());
        let mut command = assert_cmd::Command::new(program);
        // The folder of the runs, or how many trials.
        command.arg(if name == "own_evaluator" { "100".into() } else { out.path().as_os_str().to_owned() }).env("OMP_NUM_THREADS", "1");
        command.assert().success().stdout(predicates::str::contains(says));
    }
    let runs = std::fs::read_dir(out.path()).unwrap().count();
    assert_eq!(runs, 3, "one run, and a method with its control");
}
