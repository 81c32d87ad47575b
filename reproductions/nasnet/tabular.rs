//! The same controller over the architectures of a table: one decision a place, all of one kind.

use super::decisions::Decisions;
use super::learner::{Learner, Lessons};
use super::ppo::Ppo;
use crate::error::usage;
use crate::record::{Mark, Role, Shape};
use crate::table::{Algorithm, settings_of};
use serde::Deserialize;

/// The algorithm's entry in the table.
pub const ALGORITHM: Algorithm = Algorithm {
    name: "nasnet",
    title: "NASNet's controller (PPO)",
    paper: "Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018, arXiv 1707.07012",
    mark: MARK,
    defaults: include_str!("tabular.toml"),
    role: Role::Search,
    form: |settings| settings_of::<Settings>("nasnet", settings).map(|_| "ppo".into()),
    told_by_form: &[],
    begin: |settings, grid, streams| {
        let Settings { batch, hidden, failed_reward, ppo } = settings_of("nasnet", settings)?;
        if batch == 0 || hidden < 1 || ppo.passes == 0 {
            return Err(usage!("search.batch, search.hidden and search.ppo.passes must be at least 1"));
        }
        let decisions = Decisions::of_places(grid.places(), grid.options.len());
        let grid = grid.clone();
        let decode = move |chosen: &[usize]| grid.point(chosen.iter().copied());
        Ok(Box::new(Learner::new(Lessons { trials: u64::MAX, batch, hidden, ppo, failed_reward }, &decisions, decode, streams)))
    },
};

/// In figures, here and where children are trained.
pub const MARK: Mark = Mark { colour: [0xD5, 0x5E, 0x00], shape: Shape::Diamond, dashed: false };

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    batch: usize,
    hidden: i64,
    failed_reward: f64,
    ppo: Ppo,
}
