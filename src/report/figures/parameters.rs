//! Test score against the number of weights.

use super::scatter::{Across, scatter};
use super::scene::Scene;
use crate::report::claims::Claim;
use crate::report::frame::Row;

const PARAMETERS: Across = Across {
    title: "Test score against the number of weights, measured here and reported by the papers",
    name: "number of weights",
    of_run: |row| row.result.as_ref().map(|r| r.parameters as f64),
    label: |_| "weights of the retrained network, log scale".into(),
    // Claims count in millions.
    of_claim: |claim| claim.params.map(|millions| 1e6 * millions),
    claim_label: "weights as reported, log scale",
    less: "smaller",
    notes: &[
        "Weights are those of the retrained network without its auxiliary head.",
        "Areas do not share axes: presets shrink the networks, and the papers' networks are for another data set.",
    ],
};

/// One area for each data set, preset and unit of cost, and one for the papers' claims on CIFAR-10.
pub fn accuracy_parameters(rows: &[Row], claims: &[Claim]) -> Scene {
    scatter(rows, claims, &PARAMETERS)
}
