//! A method of one's own in one file: local search (White, Nolen, Savani 2021) in the space of AmoebaNet. Each child is the best so far with one choice changed. It is run on the digits, beside its
//! control, which naslab derives: random search in the same space with the same training.
//!
//! `cargo run --example own_method -- [FOLDER]`, then `naslab report FOLDER`

use naslab::error::Result;
use naslab::lab::{
    Card, ChildTraining, Method, Order, Policy, Prepared, Region, SessionOptions, Settings, Signals, TrialPlan, control_order, prepare,
    read_settings,
};
use naslab::proposals::{Known, Proposal, Proposals};
use naslab::record::{Mark, Role, Shape};
use naslab::reproductions::amoebanet::mutation::Mutation;
use naslab::reproductions::random::Random;
use naslab::seed::Streams;
use naslab::space::{Architecture, CellPair, NasnetOp, nasnet};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

/// Every training of the smallest preset; `paper` would have the sizes of a paper.
macro_rules! training {
    ($channels:literal, $epochs:literal) => {
        concat!(
            "{ channels = ", $channels, ", cells = 5, recipe = { epochs = ", $epochs, ", batch = 32, learning_rate = 0.1, learning_rate_end = 0.0, momentum = 0.9, weight_decay = 3e-4, ",
            "decay_all = true, by_step = false, clip = 5.0, nesterov = false, restart = 0, restart_factor = 1, dropout = 0.0, auxiliary_weight = 0.0, drop_path = 0.0, drop_by_depth = false }, ",
            "augment = { crop_padding = 0, flip = false, cutout = 0 } }\n"
        )
    };
}

const PRESETS: &str = concat!(
    "[paper]\ndataset = \"digits\"\n[paper.settings]\ndata = { search_images = 256, valid_images = 0, retrain_images = 400 }\n",
    "select = ",
    training!("4", "1"),
    "retrain = ",
    training!("8", "2"),
    "[paper.settings.search]\noperations = [\"identity\", \"sep_conv_3x3\", \"max_pool_3x3\"]\ntrials = 4\nchild = ",
    training!("4", "1"),
);

const CARD: Card = Card {
    name: "local-search",
    title: "Local search",
    paper: "White, Nolen, Savani: Exploring the Loss Landscape in Neural Architecture Search, UAI 2021",
    about: "changes one choice of the best so far",
    role: Role::Search,
    mark: Mark { colour: [0x99, 0x33, 0x66], shape: Shape::Star, dashed: false },
    presets: PRESETS,
    spaces: &[("amoebanet", &[])],
};

struct LocalSearch;

/// Section `search` of the settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalSettings {
    operations: Vec<NasnetOp>,
    trials: u64,
    child: ChildTraining,
}

impl Method for LocalSearch {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<LocalSettings> = read_settings(CARD.name, settings)?;
        let (protocol, search) = (settings.protocol(), settings.search);
        // One child at a time: the next one needs its outcome. The best one of all goes on.
        let plan = TrialPlan::of_children(search.trials, &search.child, Policy::Train, 1);
        let region = Region::new("nasnet", json!({ "operations": search.operations, "stacking": false }));
        Prepared::by_trials(("amoebanet", region), protocol, (plan, 1), move |_| Climber(search.operations.clone()))
    }
}

struct Climber(Vec<NasnetOp>);

impl Proposals<Architecture> for Climber {
    fn needs(&self, id: u64) -> u64 {
        id // all earlier outcomes
    }

    fn draw(&mut self, id: u64, attempt: u64, history: &[Known<Architecture>], streams: Streams) -> Proposal<Architecture> {
        let rng = &mut streams.child("local search", id).rng("draw", attempt);
        let best = history.iter().zip(0..).max_by(|(a, _), (b, _)| a.score.unwrap_or(0.0).total_cmp(&b.score.unwrap_or(0.0)));
        let Some((best, number)) = best else { return Proposal::sampled(nasnet::sample(&self.0, false, rng).into()) };
        let best: &CellPair<NasnetOp> = best.architecture.get().expect("it was drawn here");
        let (child, change) = Mutation { ops: &self.0, identity: 0.0, exclude_current: true }.apply(best, rng);
        Proposal::of_parent(child.into(), number, change)
    }
}

fn run(method: &dyn Method, order: &Order, folder: &Path) -> Result<()> {
    let ready = prepare(method, order)?;
    let result = ready.directory(folder);
    let result = ready.run(&result, SessionOptions::quiet(1, Signals::default()))?;
    println!("{}: {:.1} % of the test images", method.card().title, 100.0 * result.final_score.unwrap_or_default());
    Ok(())
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "runs".into());
    let order = Order::new("paper", LocalSearch.resolve("paper", &[])?);
    run(&LocalSearch, &order, Path::new(&folder))?;
    let control = control_order(&LocalSearch, &order)?.expect("every search has one");
    run(&Random, &control, Path::new(&folder))
}
