//! The same controller over the architectures of a table: one decision a place, all of one kind.

use super::decisions::Decisions;
use super::learner::{Learner, Lessons};
use super::ppo::Ppo;
use crate::record::{Mark, Role, Shape};
use crate::settings::typed;
use crate::table::Algorithm;
use serde::Deserialize;

/// The algorithm's entry in the table.
pub const ALGORITHM: Algorithm = Algorithm {
    name: "nasnet",
    title: "NASNet's controller (PPO)",
    paper: "Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018, arXiv 1707.07012",
    mark: Mark { colour: [0xD5, 0x5E, 0x00], shape: Shape::Diamond, dashed: false },
    defaults: include_str!("tabular.toml"),
    role: Role::Search,
    form: |settings| typed::<Settings>("nasnet", settings).map(|_| "ppo".into()),
    told_by_form: &[],
    begin: |settings, grid, streams| {
        let Settings { batch, hidden, failed_reward, ppo } = typed("nasnet", settings)?;
        let lessons = Lessons { trials: u64::MAX, batch, hidden, ppo, failed_reward };
        lessons.check()?;
        let decisions = Decisions::of_places(grid.places(), grid.options.len());
        let grid = grid.clone();
        let decode = move |chosen: &[usize]| grid.point(chosen.iter().copied());
        Ok(Box::new(Learner::new(lessons, &decisions, decode, streams)))
    },
};

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    batch: usize,
    hidden: i64,
    failed_reward: f64,
    ppo: Ppo,
}
