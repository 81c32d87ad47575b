//! Random search, the control arm: children drawn uniformly from a cell space, each trained from scratch for a short time and
//! scored on validation images; the best go on. The same child training and the same budget as every other method.

use crate::arch::{Architecture, InputShape, darts_space};
use crate::error::{Error, Result};
use crate::lab::{Card, ChildTraining, Found, Lab, Method, Point, Protocol, Search, Trial, read_settings};
use crate::record::{Candidate, EndReason, TrialRecord};
use crate::seed::Streams;
use crate::task::Part;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The method's entry in the table.
pub struct Random;

const CARD: Card = Card {
    name: "random",
    title: "Random search",
    paper: "the control arm; Li, Talwalkar: Random Search and Reproducibility for NAS. UAI 2019, arXiv 1902.07638",
    about: "uniform samples of the cell space, each trained briefly from scratch; the best go on",
    presets: include_str!("presets.toml"),
};

/// Section `search` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSearch {
    /// Children to draw.
    pub trials: u64,
    /// How many of the best go to the selection phase.
    pub keep: usize,
    /// How each child is trained.
    pub child: ChildTraining,
}

/// Settings, checked.
struct Prepared {
    search: RandomSearch,
    protocol: Protocol,
}

impl Method for Random {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn prepare(&self, settings: &Value) -> Result<Box<dyn Search>> {
        let (search, protocol): (RandomSearch, Protocol) = read_settings(CARD.name, settings)?;
        if search.trials == 0 || search.keep == 0 {
            return Err(Error::Usage("search.trials and search.keep must be at least 1".into()));
        }
        Ok(Box::new(Prepared { search, protocol }))
    }
}

impl Search for Prepared {
    fn variant(&self) -> String {
        "darts-space".into()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn check(&self, input: InputShape) -> Result<()> {
        self.search.child.check("search.child", input)?;
        self.protocol.check(input)
    }

    fn run(&self, lab: &mut Lab) -> Result<Found> {
        let (mut history, mut end): (Vec<TrialRecord>, _) = (Vec::new(), EndReason::Completed);
        for id in 0..self.search.trials {
            let architecture = darts_space::sample(&mut lab.streams.rng("sample", id));
            let trial = Trial { id, architecture, parent: None, origin: "sampled".into() };
            let (outcomes, stop) = lab.evaluate(self, &[trial], &self.search.child)?;
            history.extend(outcomes);
            report(lab, &history)?;
            lab.show(id + 1, self.search.trials);
            if let Some(reason) = stop {
                end = reason;
                break;
            }
        }
        Ok(Found {
            candidates: best(&history, self.search.keep),
            score_kind: "validation accuracy of briefly trained children".into(),
            end,
            extra: BTreeMap::new(),
        })
    }

    fn example(&self) -> Architecture {
        darts_space::sample(&mut Streams::new(0).rng("example", 0))
    }

    fn forecast(&self, lab: &mut Lab) -> Result<f64> {
        let architecture = self.example();
        Ok(lab.forecast_child(self, &architecture, &self.search.child, Part::Train)? * self.search.trials as f64)
    }
}

/// The anytime curve: best score so far after every trial.
fn report(lab: &mut Lab, history: &[TrialRecord]) -> Result<()> {
    let score = history.iter().filter_map(|t| t.score).reduce(f64::max);
    let step = history.len() as u64;
    lab.progress(Point { step, score, loss: history.last().and_then(|t| t.loss), ..Point::default() })
}

/// The `keep` best scores, the earlier trial first among equals.
fn best(history: &[TrialRecord], keep: usize) -> Vec<Candidate> {
    let mut scored: Vec<&TrialRecord> = history.iter().filter(|t| t.score.is_some()).collect();
    scored.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    scored
        .iter()
        .take(keep)
        .map(|t| Candidate {
            origin: format!("trial {}", t.id),
            architecture: t.architecture.clone(),
            search_score: t.score,
            select_score: None,
        })
        .collect()
}
