//! NAS-Unet: Neural Architecture Search for Medical Image Segmentation (Weng, Zhou, Li, Qiu; IEEE Access 7, 2019; doi
//! 10.1109/ACCESS.2019.2908991).
//!
//! A cell that halves the maps and one that doubles them stand in a U ([`supernet`]). Their edges mix three sets of operations by softmaxes
//! over logits alpha; alpha and the weights take alternating gradient steps as in DARTS ([`crate::gradient`]), alpha only after some epochs; then
//! every node keeps its two strongest edges ([`alpha`]).

pub mod alpha;
pub mod supernet;

use crate::error::{Error, Result};
use crate::gradient::{self, AlphaSteps, Alternation, Mixed, Order, WeightSteps};
use crate::lab::{Card, Control, Lab, Method, Prepared, Region, Settings, at_least, read_settings};
use crate::nn::{Loss, Pass, Table, Weights};
use crate::record::{Mark, Role, Shape};
use crate::seed::Streams;
use crate::space::nas_unet::{self, MOST_NODES};
use crate::space::{Architecture, UnetSize};
use crate::task::Augment;
use alpha::Alpha;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use supernet::NasUnetSupernet;
use tch::{Kind, Tensor};

/// The method's entry in the table.
pub struct NasUnet;

const CARD: Card = Card {
    name: "nas_unet",
    title: "NAS-Unet",
    paper: "Weng, Zhou, Li, Qiu: NAS-Unet: Neural Architecture Search for Medical Image Segmentation. IEEE Access 7, 2019",
    about: "gradient steps on mixed cells that halve and double the maps of a U, for segmentation",
    role: Role::Search,
    mark: Mark { colour: [0x56, 0xB4, 0xE9], shape: Shape::Wedge, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[("nas-unet", &[])],
};

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NasUnetSearch {
    /// Whether alpha's gradient looks a weight step ahead.
    pub order: Order,
    /// Independent searches, of which the selection phase chooses one.
    pub searches: u64,
    /// Nodes of a cell.
    pub nodes: usize,
    /// Width of a cell.
    pub channels: i64,
    /// Cells on the way down.
    pub depth: usize,
    /// Passes over the training half.
    pub epochs: u64,
    /// Slices a step, of each half.
    pub batch: usize,
    /// Epochs before the first architecture step.
    pub warm_up: u64,
    /// The search ends when the architecture has stayed the same for so many epochs after that; 0 for never.
    pub patience: u64,
    /// Probability that a channel is dropped before the head.
    pub dropout: f64,
    /// What both steps minimise.
    pub loss: Loss,
    /// Weight steps.
    pub weights: WeightSteps,
    /// Architecture steps.
    pub alpha: AlphaSteps,
    /// Changes of the slices of both halves.
    pub augment: Augment,
}

impl NasUnetSearch {
    fn size(&self) -> UnetSize {
        UnetSize { channels: self.channels, depth: self.depth }
    }

    fn alternation(&self) -> Alternation {
        Alternation {
            order: self.order,
            searches: self.searches,
            epochs: self.epochs,
            batch: self.batch,
            weights: self.weights.clone(),
            alpha: self.alpha.clone(),
            augment: self.augment.clone(),
            loss: self.loss,
            dropout: self.dropout,
            warm_up: self.warm_up,
            patience: self.patience,
        }
    }

    fn mixed(&self, lab: &Lab, streams: Streams) -> Result<Box<dyn Mixed>> {
        let net = NasUnetSupernet::declare(lab.input(), self.nodes, self.size())?;
        let alpha = Alpha::initial(self.nodes, &mut streams.rng("alpha", 0), lab.device, Kind::Float);
        Ok(Box::new(MixedUnet { net, alpha }))
    }
}

/// The supernet with its logits.
struct MixedUnet {
    net: NasUnetSupernet,
    alpha: Alpha,
}

impl Mixed for MixedUnet {
    fn table(&self) -> &Table {
        &self.net.table
    }

    fn alpha(&self) -> Vec<&Tensor> {
        self.alpha.logits.iter().collect()
    }

    fn forward(&self, w: &Weights, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.net.forward(w, &self.alpha.softmax(), x, pass)
    }

    fn genotype(&self) -> Architecture {
        alpha::genotype(&self.alpha)
    }

    fn figures(&self) -> BTreeMap<String, f64> {
        alpha::entropies(&self.alpha).map(|(name, entropy)| (format!("alpha_entropy_{name}"), entropy)).into()
    }
}

impl Method for NasUnet {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let settings: Settings<NasUnetSearch> = read_settings(CARD.name, settings)?;
        let search = settings.search.clone();
        at_least("search.nodes", search.nodes as u64, 1)?;
        if search.nodes > MOST_NODES {
            return Err(Error::Usage(format!("search.nodes = {}: must be at most {MOST_NODES}", search.nodes)));
        }
        search.size().check()?;
        let how = search.alternation();
        how.check()?;
        if how.warm_up >= how.epochs {
            return Err(Error::Usage(format!(
                "search.warm_up = {} of search.epochs = {}: no epoch would be left for architecture steps",
                how.warm_up, how.epochs
            )));
        }
        let augment = how.augment.clone();
        let region = Region::new("nas_unet", json!({ "nodes": search.nodes }));
        Ok(Prepared {
            variant: how.order.name().into(),
            protocol: settings.protocol(),
            keep: how.searches,
            example: nas_unet::sample(search.nodes, &mut Streams::new(0).rng("example", 0)).into(),
            space: "nas-unet".into(),
            predictions: BTreeMap::new(),
            control: Some(Control::of_steps("nas-unet", region, &settings)?),
            check: Box::new(move |input| augment.check("search.augment", input.height, input.width)),
            engine: gradient::engine(how, Box::new(move |lab, streams| search.mixed(lab, streams))),
        })
    }
}
