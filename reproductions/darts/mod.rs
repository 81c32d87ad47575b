//! DARTS: Differentiable Architecture Search (Liu, Simonyan, Yang; ICLR 2019; arXiv 1806.09055), first and second order.
//!
//! Every edge of a cell mixes eight operations by a softmax over logits alpha ([`supernet`]); alpha and the weights take alternating
//! gradient steps on validation and training images ([`crate::gradient`]); then every node keeps its two strongest sources ([`alpha`]).
//! The same network by few operators, for a card, is `grouped.rs`.
//!
//! The same steps search the space of NAS-Bench-201 ([`nas_bench_201`]).

pub mod alpha;
mod blocked;
mod grouped;
mod joined;
pub mod nas_bench_201;
mod pieces;
pub mod supernet;

use crate::error::{Result, usage};
use crate::gradient::{self, Mixed};
use crate::lab::{Card, Lab, Method, Prepared, Region};
use crate::nn::{Pass, Table, Weights, by_groups};
use crate::record::{Mark, Role, Shape};
use crate::seed::Streams;
use crate::settings::at_least;
use crate::space::Architecture;
use grouped::Grouped;
use nas_bench_201::MixedBench;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
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
    spaces: &[("darts", &[]), ("nas-bench-201", &["search.space=\"nas-bench-201\""])],
};

/// The spaces by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SpaceName {
    /// That of the paper.
    #[default]
    Darts,
    /// That of NAS-Bench-201.
    #[serde(rename = "nas-bench-201")]
    NasBench201,
}

/// How the search network is computed; the numbers agree up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// An operation of an edge after the other, on a processor by kernels of our own.
    #[default]
    Plain,
    /// By groups of edges (`grouped.rs`).
    Grouped,
}

/// What section `search` of the settings has beside the keys of [`gradient::Alternation`].
#[derive(Clone, Copy, Deserialize)]
struct Size {
    /// Which space is searched.
    #[serde(default)]
    space: SpaceName,
    /// How the network is computed; in the space of the paper only.
    #[serde(default)]
    form: Form,
    /// Width of the first cell.
    channels: i64,
    /// Number of cells.
    cells: usize,
    /// Whether the norms of the operations have scale and shift; in the space of NAS-Bench-201 only.
    #[serde(default)]
    affine: bool,
}

/// The supernet with its logits.
struct MixedCells {
    net: Supernet,
    /// How it is computed, if not by the supernet itself.
    grouped: Option<Grouped>,
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
        match &self.grouped {
            Some(grouped) => grouped.forward(w, &self.alpha, x, pass.training),
            None => self.net.forward(w, &self.alpha, x, pass.training),
        }
    }

    fn genotype(&self) -> Architecture {
        alpha::genotype(&self.alpha)
    }

    fn figures(&self) -> BTreeMap<String, f64> {
        let skips = alpha::normal_skips(&self.genotype());
        [("alpha_entropy".to_string(), alpha::entropy(&self.alpha)), ("normal_skips".to_string(), skips as f64)].into()
    }
}

impl Method for Darts {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Prepared> {
        let (settings, how, size) = gradient::read(CARD.name, settings, &["space", "form", "channels", "cells", "affine"])?;
        let Size { space, form, channels, cells, affine } = size;
        at_least("search.channels", channels.max(0) as u64, 2)?;
        at_least("search.cells", cells as u64, 3)?;
        if space == SpaceName::NasBench201 {
            nas_bench_201::check(cells)?;
            if form != Form::Plain {
                return Err(usage!(
                    "search.form = \"grouped\" is for search.space = \"darts\"; the space nas-bench-201 has the form plain alone"
                ));
            }
            let make = move |lab: &Lab, streams: Streams| -> Result<Box<dyn Mixed>> {
                Ok(Box::new(MixedBench::new(lab.input(), channels, cells, affine, &mut streams.rng("alpha", 0), lab.device)?))
            };
            let name = "nas-bench-201";
            let prepared = gradient::prepared((name, Region::new(name, json!({}))), &settings, how, Arc::new(make))?;
            return Ok(Prepared { variant: format!("{}-{name}", prepared.variant), ..prepared });
        }
        let make = move |lab: &Lab, streams: Streams| -> Result<Box<dyn Mixed>> {
            let net = Supernet::declare(lab.input(), channels, cells);
            let grouped =
                (form == Form::Grouped || by_groups()).then(|| Grouped::new(&net.table, lab.input(), channels, cells, lab.device));
            let alpha = alpha::initial(&mut streams.rng("alpha", 0), lab.device, Kind::Float);
            Ok(Box::new(MixedCells { net, grouped, alpha }))
        };
        let prepared = gradient::prepared(("darts", Region::new("darts", json!({}))), &settings, how, Arc::new(make))?;
        Ok(Prepared { has_groups: true, ..prepared })
    }
}
