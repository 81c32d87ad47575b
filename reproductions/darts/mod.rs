//! DARTS: Differentiable Architecture Search (Liu, Simonyan, Yang; ICLR 2019; arXiv 1806.09055), first and second order.
//!
//! Every edge of a cell mixes eight operations by a softmax over logits alpha ([`supernet`]); alpha and the weights take alternating
//! gradient steps on validation and training images ([`crate::gradient`]); then every node keeps its two strongest sources ([`alpha`]).

pub mod alpha;
pub mod supernet;

use crate::error::Result;
use crate::gradient::{self, AlphaSteps, Alternation, Mixed, Order, WeightSteps};
use crate::lab::{Card, Control, Lab, Method, Prepared, Region, Settings, at_least, read_settings};
use crate::nn::{Loss, Pass, Table, Weights};
use crate::record::{Mark, Role, Shape};
use crate::seed::Streams;
use crate::space::{Architecture, darts};
use crate::task::Augment;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use supernet::Supernet;
use tch::{Kind, Tensor};

/// The method's entry in the table.
pub struct Darts;

const CARD: Card = Card {
    name: "darts",
    title: "DARTS",
    paper: "Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, arXiv 1806.09055",
    about: "gradient steps on a continuous mixture of operations, alternating with weight steps",
    role: Role::Search,
    mark: Mark { colour: [0x00, 0x72, 0xB2], shape: Shape::Circle, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[("darts", &[])],
};

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DartsSearch {
    /// Whether alpha's gradient looks a weight step ahead.
    pub order: Order,
    /// Independent searches, of which the selection phase chooses one.
    pub searches: u64,
    /// Width of the first cell.
    pub channels: i64,
    /// Number of cells.
    pub cells: usize,
    /// Passes over the training half.
    pub epochs: u64,
    /// Images a step, of each half.
    pub batch: usize,
    /// Weight steps.
    pub weights: WeightSteps,
    /// Architecture steps.
    pub alpha: AlphaSteps,
    /// Changes of the images of both halves.
    pub augment: Augment,
}

/// The supernet with its logits.
struct MixedCells {
    net: Supernet,
    alpha: Tensor,
}

impl Mixed for MixedCells {
    fn table(&self) -> &Table {
        &self.net.table
    }

    fn alpha(&self) -> Vec<&Tensor> {
        vec![&self.alpha]
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.net.forward(w, &self.alpha, x, pass.training)
    }

    fn genotype(&self) -> Architecture {
        alpha::genotype(&self.alpha)
    }

    fn figures(&self) -> BTreeMap<String, f64> {
        let skips = alpha::normal_skips(&self.genotype());
        [("alpha_entropy".to_string(), alpha::entropy(&self.alpha)), ("normal_skips".to_string(), skips as f64)].into()
    }
}

impl DartsSearch {
    fn alternation(&self) -> Alternation {
        Alternation {
            order: self.order,
            searches: self.searches,
            epochs: self.epochs,
            batch: self.batch,
            weights: self.weights.clone(),
            alpha: self.alpha.clone(),
            augment: self.augment.clone(),
            loss: Loss::default(),
            dropout: 0.0,
            warm_up: 0,
            patience: 0,
        }
    }

    fn mixed(&self, lab: &Lab, streams: Streams) -> Result<Box<dyn Mixed>> {
        let net = Supernet::declare(lab.input(), self.channels, self.cells);
        let alpha = alpha::initial(&mut streams.rng("alpha", 0), lab.device, Kind::Float);
        Ok(Box::new(MixedCells { net, alpha }))
    }
}

impl Method for Darts {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<DartsSearch> = read_settings(CARD.name, settings)?;
        let search = settings.search.clone();
        at_least("search.channels", search.channels.max(0) as u64, 2)?;
        at_least("search.cells", search.cells as u64, 3)?;
        let how = search.alternation();
        how.check()?;
        let augment = how.augment.clone();
        Ok(Prepared {
            variant: how.order.name().into(),
            protocol: settings.protocol(),
            keep: how.searches,
            example: darts::sample(&mut Streams::new(0).rng("example", 0)).into(),
            space: "darts".into(),
            predictions: BTreeMap::new(),
            control: Some(Control::of_steps("darts", Region::new("darts", json!({})), &settings)?),
            check: Box::new(move |input| augment.check("search.augment", input.height, input.width)),
            engine: gradient::engine(how, Box::new(move |lab, streams| search.mixed(lab, streams))),
        })
    }
}
