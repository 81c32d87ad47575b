//! The same draws over the architectures of a table.

use super::draws::Draws;
use crate::record::{Mark, Role, Shape};
use crate::seed::Rng;
use crate::settings::typed;
use crate::table::Algorithm;
use serde::Deserialize;

/// The algorithm's entry in the table.
pub const ALGORITHM: Algorithm = Algorithm {
    name: "random",
    title: "Random search",
    paper: "Li, Talwalkar: Random Search and Reproducibility for NAS. UAI 2019, arXiv 1902.07638",
    mark: Mark { colour: [0x33, 0x33, 0x33], shape: Shape::Cross, dashed: true },
    defaults: "",
    role: Role::Control,
    form: |settings| typed::<Settings>("random", settings).map(|_| "uniform".into()),
    told_by_form: &[],
    begin: |_, grid, _| {
        let grid = grid.clone();
        Ok(Box::new(Draws(move |rng: &mut Rng| grid.sample(rng))))
    },
};

/// There is nothing to set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}
