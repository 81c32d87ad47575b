//! `naslab train`

use super::cluster::{devices_on, with_jobs};
use super::named::{Named, architecture};
use super::run::{MOST_RUNS, Planned, order, run_all};
use super::run_args::{RunSettingsArgs, Runs};
use crate::error::{Result, usage};
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
    let order = placed(named.order(&settings, 0, devices.first)?);
    if seeds.len() > MOST_RUNS {
        return Err(usage!("{} seeds: a command makes at most {MOST_RUNS} runs", seeds.len()));
    }
    let planned = |seed: &u64| Planned { method: &Fixed, name: text.into(), order: Order { seed: *seed, ..order.clone() } };
    run_all(&seeds.iter().map(planned).collect::<Vec<_>>(), runs)
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
        // What the method decides for its space, such as that a network has no auxiliary head, holds here too.
        let of_method = home.prepare(&order.settings)?.complete(&order.settings);
        order.settings = Fixed::settings(of_method, &self.name, &self.architecture);
        // It neither searches nor selects, and has no control.
        order.shrunk.retain(|s| !["search.", "select.", "control."].iter().any(|section| s.key.starts_with(section)));
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::run_args::ChoiceArgs;
    use crate::lab::preset_names;
    use crate::space::{InputShape, published_names};

    #[test]
    fn every_published_architecture_has_every_preset_of_its_space() {
        let mut tried = Vec::new();
        for name in published_names() {
            let named = architecture(name).unwrap();
            let home = named.home().unwrap();
            let wanted = named.choice(home).unwrap();
            for preset in preset_names(home.card()) {
                // A preset of another space says so; those that say nothing of it are for all.
                let space = |set: &[String]| home.resolve(&preset, set).unwrap().settings["search"]["space"].clone();
                let paper = home.resolve(PAPER, &[]).unwrap().settings["search"]["space"].clone();
                if space(&[]) != paper && space(&[]) != space(&wanted) {
                    continue;
                }
                let choice = ChoiceArgs { preset: Some(preset.clone()), ..ChoiceArgs::default() };
                let settings = RunSettingsArgs { choice, device: "cpu".into(), ..RunSettingsArgs::default() };
                let order = named.order(&settings, 0, Device::Cpu).unwrap_or_else(|e| panic!("{name} {preset}: {e}"));
                let input = match named.architecture.classifies_pixels() {
                    true => InputShape { channels: 1, height: 64, width: 64, classes: 3 },
                    false => InputShape { channels: 3, height: 32, width: 32, classes: 10 },
                };
                let prepared = Fixed.prepare(&order.settings).unwrap_or_else(|e| panic!("{name} {preset}: {e}"));
                prepared.check(input).unwrap_or_else(|e| panic!("{name} {preset}: {e}"));
                tried.push(format!("{name} {preset}"));
            }
        }
        for pair in ["enas-macro paper-macro", "enas-macro smoke", "enas-micro paper", "darts-v2 paper", "nas-unet-v3 small", "unet paper"]
        {
            assert!(tried.iter().any(|t| t == pair), "{pair} is not among {tried:?}");
        }
        assert!(!tried.contains(&"enas-micro paper-macro".to_string()));
    }
}
