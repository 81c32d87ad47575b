//! Test score against search cost.

use super::scatter::{Across, scatter};
use super::scene::Scene;
use crate::report::claims::Claim;
use crate::report::frame::Row;

const COST: Across = Across {
    title: "Test score against search cost, measured here and reported by the papers",
    name: "measured search cost",
    of_run: Row::search_days,
    label: |group| format!("search cost, {}, log scale", group.map_or("device-days", |g| g.cost_unit)),
    of_claim: |claim| claim.gpu_days,
    claim_label: "search cost as reported, GPU-days of the papers' own cards, log scale",
    less: "cheaper",
    notes: &[
        "Cost is that of the search alone, without selection and retraining.",
        "Areas do not share axes: a GPU-day of a paper is a day of its own card, and a day of the device used here is another quantity.",
    ],
};

/// One area for each data set, preset and unit of cost, and one for the papers' claims on CIFAR-10.
pub fn accuracy_cost(rows: &[Row], claims: &[Claim]) -> Scene {
    scatter(rows, claims, &COST)
}

#[cfg(test)]
mod tests {
    use super::super::parameters::accuracy_parameters;
    use super::*;
    use crate::report::claims::claims;

    #[test]
    fn every_headline_has_a_name_that_covers_nothing() {
        for scene in [accuracy_cost(&[], &claims().unwrap()), accuracy_parameters(&[], &claims().unwrap())] {
            scene.assert_sound();
            for name in ["amoebanet", "nasnet", "enas", "ghn", "darts", "random"] {
                assert_eq!(scene.texts().filter(|t| t.words == name).count(), 1, "{name}");
            }
        }
    }
}
