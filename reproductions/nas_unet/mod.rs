//! NAS-Unet: Neural Architecture Search for Medical Image Segmentation (Weng, Zhou, Li, Qiu; IEEE Access 7, 2019; doi
//! 10.1109/ACCESS.2019.2908991).
//!
//! A cell that halves the maps and one that doubles them stand in a U ([`supernet`]). Their edges mix three sets of operations by softmaxes
//! over logits alpha; alpha and the weights take alternating gradient steps as in DARTS ([`crate::gradient`]), alpha only after some epochs; then
//! every node keeps its two strongest edges ([`alpha`]).

pub mod alpha;
pub mod supernet;

use crate::error::Result;
use crate::gradient::{self, Mixed};
use crate::lab::{Card, Lab, Method, Prepared, Region};
use crate::nn::{Pass, Table, Weights};
use crate::record::{Mark, Role, Shape};
use crate::seed::Streams;
use crate::settings::{at_least, at_most};
use crate::space::nas_unet::MOST_NODES;
use crate::space::{Architecture, UnetSize};
use alpha::Alpha;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
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
    mark: Mark { colour: [0x33, 0x8F, 0xC4], shape: Shape::Wedge, dashed: false },
    presets: include_str!("presets.toml"),
    spaces: &[("nas-unet", &[])],
};

/// What section `search` of the settings has beside the keys of [`gradient::Alternation`].
#[derive(Clone, Copy, Deserialize)]
struct Size {
    /// Nodes of a cell.
    nodes: usize,
    /// Width of a cell.
    channels: i64,
    /// Cells on the way down.
    depth: usize,
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
        let (settings, how, Size { nodes, channels, depth }) = gradient::read(CARD.name, settings, &["nodes", "channels", "depth"])?;
        at_least("search.nodes", nodes as u64, 1)?;
        at_most("search.nodes", nodes as u64, MOST_NODES as u64)?;
        let size = UnetSize { channels, depth };
        size.check()?;
        let make = move |lab: &Lab, streams: Streams| -> Result<Box<dyn Mixed>> {
            let net = NasUnetSupernet::declare(lab.input(), nodes, size)?;
            let alpha = Alpha::initial(nodes, &mut streams.rng("alpha", 0), lab.device, Kind::Float);
            Ok(Box::new(MixedUnet { net, alpha }))
        };
        let region = Region::new("nas_unet", json!({ "nodes": nodes }));
        gradient::prepared(("nas-unet", region), &settings, how, Arc::new(make))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::published;

    /// No release of the public code gives Adam betas; the rest is the first release for PROMISE12.
    #[test]
    fn the_optimisers_of_the_paper_preset_are_those_of_the_first_release() {
        let search = &NasUnet.resolve("paper", &[]).unwrap().settings["search"];
        assert_eq!(search["alpha"], json!({ "learning_rate": 3e-4, "beta1": 0.9, "beta2": 0.999, "weight_decay": 1e-3 }));
        let weights = json!({ "learning_rate": 0.025, "learning_rate_end": 1e-3, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0 });
        assert_eq!((&search["weights"], &search["batch"]), (&weights, &json!(2)));
    }

    /// The demo sets `unet-8` beside it: the networks that are trained have the width of that U-Net.
    #[test]
    fn smoke_keeps_the_steps_and_trains_networks_as_wide_as_the_narrow_unet() {
        let [smoke, paper] = ["smoke", "paper"].map(|preset| NasUnet.resolve(preset, &[]).unwrap());
        assert_eq!(smoke.dataset, "hippocampus");
        for key in ["order", "searches", "dropout"] {
            assert_eq!(smoke.settings["search"][key], paper.settings["search"][key], "{key}");
        }
        let unet = published("unet-8").unwrap();
        for section in ["select", "retrain"] {
            assert_eq!(smoke.settings[section]["channels"], json!(unet.get::<UnetSize>().unwrap().channels), "{section}");
        }
    }
}
