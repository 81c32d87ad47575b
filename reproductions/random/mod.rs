//! Random search, the control arm: children drawn uniformly from a cell space, each trained from scratch for a short time and
//! scored on validation images; the best go on. The same child training and the same budget as every other method.

use crate::error::{Error, Result};
use crate::lab::{Card, ChildTraining, Duplicates, Found, Lab, Method, Policy, Proposals, Protocol, Search, Trial, read_settings};
use crate::record::TrialRecord;
use crate::seed::{Rng, Streams};
use crate::space::nas_unet::MOST_NODES;
use crate::space::{Architecture, InputShape, darts, ghn, nas_unet, nasnet};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The method's entry in the table.
pub struct Random;

const CARD: Card = Card {
    name: "random",
    title: "Random search",
    paper: "the control arm; Li, Talwalkar: Random Search and Reproducibility for NAS. UAI 2019, arXiv 1902.07638",
    about: "uniform samples of a cell space, each trained briefly from scratch; the best go on",
    presets: include_str!("presets.toml"),
    control: None,
};

/// The cell spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Thirteen operations, blocks that add or stack.
    Nasnet,
    /// Eight operations, blocks that add.
    Amoebanet,
    /// Four nodes with two distinct sources each, seven operations.
    Darts,
    /// One block, eight operations with two distinct sources each.
    Ghn,
    /// A cell that halves the maps and one that doubles them, for segmentation.
    #[serde(rename = "nas-unet")]
    NasUnet,
}

impl Space {
    fn sample(self, nodes: usize, rng: &mut Rng) -> Architecture {
        match self {
            Self::Ghn => ghn::sample(nodes, rng).into(),
            Self::NasUnet => nas_unet::sample(nodes, rng).into(),
            Self::Nasnet => nasnet::sample(&nasnet::NASNET_OPS, true, rng).into(),
            Self::Amoebanet => nasnet::sample(&nasnet::AMOEBANET_OPS, false, rng).into(),
            Self::Darts => darts::sample(rng).into(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nasnet => "nasnet-space",
            Self::Amoebanet => "amoebanet-space",
            Self::Darts => "darts-space",
            Self::Ghn => "ghn-space",
            Self::NasUnet => "nas-unet-space",
        }
    }
}

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSearch {
    /// What is drawn from.
    pub space: Space,
    /// Nodes of a block of GHN or of a cell of NAS-Unet; the cells of the other spaces have a fixed number.
    pub nodes: usize,
    /// Children to draw.
    pub trials: u64,
    /// What is done with a child that was drawn before.
    pub duplicates: Policy,
    /// How many of the best go to the selection phase.
    pub keep: usize,
    /// How each child is trained.
    pub child: ChildTraining,
}

/// Settings, checked.
struct Prepared {
    search: RandomSearch,
    protocol: Protocol,
}

impl Method for Random {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Box<dyn Search>> {
        let (search, protocol): (RandomSearch, Protocol) = read_settings(CARD.name, settings)?;
        if search.trials == 0 || search.keep == 0 || search.nodes == 0 {
            return Err(Error::Usage("search.trials, search.keep and search.nodes must be at least 1".into()));
        }
        if search.space == Space::NasUnet && search.nodes > MOST_NODES {
            return Err(Error::Usage(format!("search.nodes = {}: cells of NAS-Unet have at most {MOST_NODES}", search.nodes)));
        }
        Ok(Box::new(Prepared { search, protocol }))
    }
}

impl Search for Prepared {
    fn variant(&self) -> String {
        self.search.space.name().into()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn check(&self, input: InputShape) -> Result<()> {
        self.search.child.check_for("search.child", self, input)
    }

    fn run(&self, lab: &mut Lab) -> Result<Found> {
        let mut duplicates = Duplicates::new(self.search.duplicates);
        let mut draws = Draws(&self.search);
        let (history, stop) = lab.stream(self, 0..self.search.trials, &self.search.child, &mut duplicates, &mut draws)?;
        Ok(Found::of_trials(&history, self.search.keep, stop, lab.metric()))
    }

    fn keep(&self) -> u64 {
        self.search.keep as u64
    }

    fn example(&self) -> Architecture {
        self.search.space.sample(self.search.nodes, &mut Streams::new(0).rng("example", 0))
    }

    fn forecast(&self, lab: &mut Lab) -> Result<f64> {
        lab.forecast_trials(self, &self.example(), &self.search.child, self.search.trials, u64::MAX)
    }
}

/// Independent draws.
struct Draws<'a>(&'a RandomSearch);

impl Proposals for Draws<'_> {
    fn needs(&self, _: u64) -> u64 {
        0
    }

    fn draw(&mut self, id: u64, attempt: u64, _: &[TrialRecord], streams: Streams) -> Trial {
        let architecture = self.0.space.sample(self.0.nodes, &mut streams.child("sample", id).rng("draw", attempt));
        Trial { id, architecture, parent: None, origin: "sampled".into(), proxies: BTreeMap::new() }
    }

    fn committed(&mut self, history: &[TrialRecord], lab: &mut Lab) -> Result<()> {
        lab.report_trial(None, history, self.0.trials, BTreeMap::new())
    }
}
