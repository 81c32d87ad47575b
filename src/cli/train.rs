//! `naslab train`

use super::cluster::{devices_on, with_jobs};
use super::named::{Named, architecture};
use super::run::{MOST_RUNS, Planned, order, run_all};
use super::run_args::{RunSettingsArgs, Runs};
use crate::error::{Error, Result, usage};
use crate::lab::{Fixed, Method, Order, PAPER};
use crate::record::Role;
use crate::reproductions::method;
use tch::Device;

/// Trains one architecture with every seed, by the retraining protocol of the method that found it, or else of its space.
pub fn train(text: &str, runs: &Runs) -> Result<()> {
    let named = architecture(text)?;
    let (cluster, seeds) = (runs.cluster.resolve(None)?, &runs.seeds.0);
    let devices = devices_on(cluster.as_ref(), &runs.settings)?;
    let settings = with_jobs(cluster.as_ref(), &devices, &runs.settings.shared_by(seeds.len()));
    let placed = |order| Order { cluster: cluster.clone(), devices: devices.several.clone(), ..order };
    let order = |seed: u64| Ok::<_, Error>(placed(named.order(&settings, seed, devices.first)?));
    if seeds.len() > MOST_RUNS {
        return Err(usage!("{} seeds: a command makes at most {MOST_RUNS} runs", seeds.len()));
    }
    let planned = |seed: &u64| Ok(Planned { method: &Fixed, name: text.into(), order: order(*seed)? });
    run_all(&seeds.iter().map(planned).collect::<Result<Vec<_>>>()?, runs)
}

impl Named {
    /// The method whose protocol trains it: the one that found it, or else that of its space. Random search has no protocol of its own.
    pub fn home(&self) -> Result<&'static dyn Method> {
        let finder = self.method.as_ref().and_then(|m| method(m).ok()).filter(|m| m.card().role == Role::Search);
        finder.map_or_else(|| method(self.architecture.space().home), Ok)
    }

    /// The settings by which a method chooses the space of the architecture.
    fn choice(&self, method: &dyn Method) -> Result<Vec<String>> {
        for (_, set) in method.card().spaces {
            let set: Vec<String> = set.iter().map(|s| (*s).to_string()).collect();
            let prepared = method.prepare(&method.resolve(PAPER, &set)?.settings)?;
            if std::ptr::eq(prepared.example.space(), self.architecture.space()) {
                return Ok(set);
            }
        }
        Ok(Vec::new())
    }

    /// Its training from scratch, with everything resolved but the data.
    pub fn order(&self, settings: &RunSettingsArgs, seed: u64, device: Device) -> Result<Order> {
        let home = self.home()?;
        let mut settings = settings.clone();
        settings.choice.set.splice(0..0, self.choice(home)?);
        let mut order = order(home, &settings, seed, device)?;
        order.settings = Fixed::settings(order.settings, &self.name, &self.architecture);
        // It neither searches nor selects, and has no control.
        order.shrunk.retain(|s| !["search.", "select.", "control."].iter().any(|section| s.key.starts_with(section)));
        Ok(order)
    }
}
