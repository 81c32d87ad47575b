//! The same evolution over the architectures of a table.

use super::cycles::{Breeding, Cycles, Rules};
use super::population::Removal;
use crate::record::{Mark, Role, Shape};
use crate::seed::Rng;
use crate::settings::typed;
use crate::table::{Algorithm, Grid, Point};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// The algorithm's entry in the table.
pub const ALGORITHM: Algorithm = Algorithm {
    name: "amoebanet",
    title: "Ageing evolution (AmoebaNet)",
    paper: "Real, Aggarwal, Huang, Le: Regularized Evolution for Image Classifier Architecture Search. AAAI 2019, arXiv 1802.01548",
    mark: Mark { colour: [0xCC, 0x79, 0xA7], shape: Shape::Triangle, dashed: false },
    defaults: include_str!("tabular.toml"),
    role: Role::Search,
    form: |settings| typed::<Settings>("amoebanet", settings).map(|s| s.removal.variant().into()),
    told_by_form: &["removal"],
    begin: |settings, grid, _| {
        let Settings { population, sample, removal, mutate, in_flight } = typed("amoebanet", settings)?;
        let rules = Rules { population, sample, removal, in_flight, failed_score: 0.0 };
        rules.check()?;
        Ok(Box::new(Cycles::new(rules, Places { grid: grid.clone(), mutate })))
    },
};

/// Section `search` of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// P: members of the population.
    pub population: usize,
    /// S: draws from the population, of which the best is the parent.
    pub sample: usize,
    /// Who dies.
    pub removal: Removal,
    /// How the place that changes is drawn.
    pub mutate: Mutate,
    /// Children that are drawn before the outcome of the first of them is known; more than 1 for virtual workers alone.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub in_flight: u64,
}

fn one() -> u64 {
    1
}

fn is_one(n: &u64) -> bool {
    *n == 1
}

/// How the place that changes is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mutate {
    /// A node uniformly, then one of the places that lead to it, as the code released with NAS-Bench-201 does.
    Node,
    /// A place uniformly.
    Edge,
}

/// The places of a grid, of which one changes.
struct Places {
    grid: Grid,
    mutate: Mutate,
}

impl Breeding<Point> for Places {
    fn sample(&self, rng: &mut Rng) -> Point {
        self.grid.sample(rng)
    }

    fn mutate(&self, parent: &Point, rng: &mut Rng) -> (Point, &'static str) {
        let place = match self.mutate {
            Mutate::Edge => rng.random_range(0..self.grid.places()),
            Mutate::Node => {
                let nodes = self.grid.space.nodes();
                let node = nodes[rng.random_range(0..nodes.len())];
                node[rng.random_range(0..node.len())]
            }
        };
        (self.grid.changed(*parent, place, rng), "op mutation")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Streams;
    use crate::table::TableSpace;

    #[test]
    fn places_change_as_often_as_the_released_code_changes_them() {
        let grid = Grid { space: TableSpace::NasBench201, options: vec![0, 1, 2, 3, 4] };
        for (mutate, expected) in
            [(Mutate::Node, [1.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 9.0, 1.0 / 9.0, 1.0 / 9.0]), (Mutate::Edge, [1.0 / 6.0; 6])]
        {
            let places = Places { grid: grid.clone(), mutate };
            let (mut rng, mut changed, mut options) = (Streams::new(1).rng("mutate", 0), [0usize; 6], [0usize; 5]);
            const N: usize = 30_000;
            for _ in 0..N {
                let child = places.mutate(&Point::default(), &mut rng).0;
                let at: Vec<usize> = (0..6).filter(|i| child.0[*i] != 0).collect();
                assert_eq!(at.len(), 1, "one place, and another operation");
                changed[at[0]] += 1;
                options[usize::from(child.0[at[0]])] += 1;
            }
            let near = |count: usize, p: f64| (count as f64 - N as f64 * p).abs() < 4.5 * (N as f64 * p * (1.0 - p)).sqrt();
            assert!(changed.iter().zip(expected).all(|(n, p)| near(*n, p)), "{changed:?}");
            assert!(options[1..].iter().all(|n| near(*n, 0.25)), "{options:?}");
        }
    }
}
