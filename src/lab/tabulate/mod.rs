//! Builds a table: every class of cells of NAS-Bench-201 over some operations, trained several times by each of several schedules; and trains drawn rows of one anew.

mod pool;
mod rows;
mod verify;

pub use verify::{Again, Verified, verify};

use super::child::Child;
use super::method::{ChildTraining, DataUse, Protocol};
use super::session::{Update, Watch};
use super::signals::Signals;
use crate::budget::{Since, thread_seconds};
use crate::data;
use crate::device::processor_kind;
use crate::error::{Error, Result, input, usage};
use crate::record::{EventLog, Program};
use crate::seed::Streams;
use crate::settings::typed;
use crate::space::{Architecture, BenchCell};
use crate::statistics::{mean, share_between};
use crate::table::{self, About, Fidelity, Made, Part, RowsOf, TableSet, TableSpace};
use crate::task::{self, Classification, Task, Test};
use crate::train::Step;
use rand::seq::index;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tch::Device;

/// A table that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Operations of its cells, by name; all if none is named.
    pub options: Vec<String>,
    /// Its schedules: the same training for so many epochs, each with a whole course of the learning rate.
    pub fidelities: Vec<Fidelity>,
    /// Trainings of a class and schedule.
    pub runs: u32,
    /// Of all random streams.
    pub seed: u64,
    /// Name of the data set.
    pub dataset: String,
    /// Folder with its files.
    pub data_dir: Option<PathBuf>,
}

/// How a table is trained, as its settings say.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    data: DataUse,
    training: ChildTraining,
}

/// How far, how long and how many at a time.
pub struct Effort {
    /// Trainings side by side, each on one thread.
    pub jobs: u64,
    /// No training begins after so long.
    pub budget: Option<Duration>,
    /// What may stop it.
    pub signals: Signals,
    /// Is told how far it is.
    pub watch: Watch,
}

/// A class, and one of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Number of its cell.
    cell: u64,
    /// From 1.
    run: u32,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// What is being built.
    Begun { table: Box<About> },
    /// A class was trained once by every schedule.
    Trained { cell: u64, run: u32, by_schedule: Vec<Scores>, processor_seconds: f64 },
}

/// What one training came to; it has no accuracies if it diverged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scores {
    /// Validation accuracy, per cent.
    valid: Option<f64>,
    /// Test accuracy, per cent.
    test: Option<f64>,
    /// Processor seconds of the training steps.
    seconds: f64,
}

impl Scores {
    fn of(self, part: Part) -> Option<f64> {
        if part == Part::Valid { self.valid } else { self.test }
    }
}

/// The trainings of a class by every schedule, and their processor seconds with all scoring.
#[derive(Clone, Debug, PartialEq)]
struct Trained {
    by_schedule: Vec<Scores>,
    processor_seconds: f64,
}

/// What a table is to be of, and how it is trained.
struct Plan {
    about: About,
    made: Made,
    recipe: Recipe,
}

/// A table on its way, with its data.
pub struct Tabulation {
    plan: Plan,
    task: Box<dyn Task>,
    test: Box<dyn Test>,
}

/// How far classes of cells differ beyond the noise of their trainings.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// After which schedule.
    pub fidelity: Fidelity,
    /// Validation or test.
    pub part: Part,
    /// Accuracy in per cent: least, mean and largest training.
    pub accuracy: [f64; 3],
    /// Share of the variance of single trainings that lies between classes.
    pub between: Option<f64>,
    /// Processor seconds of the training steps of one training, on average.
    pub seconds: f64,
}

/// The cell of a number.
fn architecture(cell: u64) -> Result<Architecture> {
    let found = BenchCell::of_number(cell as usize);
    found.map(Architecture::from).ok_or_else(|| usage!("there is no cell number {cell}"))
}

/// Accuracies as a table has them.
fn per_cent(fraction: f64) -> f64 {
    (fraction * 1e6).round() / 1e4
}

impl Plan {
    /// Trains a cell by every schedule, from the same start and with the same order of images; `None` if `stop` says so.
    fn train_once(&self, (task, test): (&dyn Task, &dyn Test), key: Key, stop: &dyn Fn() -> bool) -> Result<Option<Trained>> {
        let architecture = architecture(key.cell)?;
        let streams = Streams::new(self.made.seed).child("cell", key.cell).child("run", u64::from(key.run));
        let (begin, mut by_schedule) = (thread_seconds(), Vec::new());
        for fidelity in &self.about.fidelities {
            let mut training = self.recipe.training.clone();
            training.recipe.epochs = u64::from(fidelity.0);
            let child = Child { task, training: &training, part: task::Part::Train, streams, device: Device::Cpu };
            let mut trainer = child.trainer(&architecture)?;
            let (began, mut diverged) = (thread_seconds(), false);
            while !(trainer.is_finished() || diverged) {
                if stop() {
                    return Ok(None);
                }
                let batch = child.next_batch(&trainer);
                diverged = trainer.step(&batch.images, &batch.labels) == Step::Diverged;
            }
            let seconds = thread_seconds() - began;
            let (batch, mut go_on) = (training.recipe.batch, || Ok(true));
            let mut scores = Scores { valid: None, test: None, seconds };
            if !diverged {
                scores.valid = task.score(task::Part::Valid, batch, &|x| trainer.score(x), &mut go_on)?.map(|s| per_cent(s.value));
                scores.test = test.share().score(batch, &|x| trainer.score(x), &mut go_on)?.map(|(s, _)| per_cent(s.value));
            }
            by_schedule.push(scores);
        }
        Ok(Some(Trained { by_schedule, processor_seconds: thread_seconds() - begin }))
    }
}

impl Tabulation {
    /// Reads the data of a table that is trained by the section `retrain` of `protocol`, on the search images that train.
    ///
    /// # Errors
    /// [`Error::Usage`] for a request that makes no table, [`Error::Input`] for data that are not there.
    pub fn open(wanted: &Wanted, protocol: &Protocol) -> Result<Self> {
        let Wanted { name, options, fidelities, runs, seed, dataset, data_dir } = wanted;
        if *runs == 0 || fidelities.is_empty() || fidelities.contains(&Fidelity(0)) {
            return Err(usage!("a table has at least one run of at least one schedule, of at least one epoch"));
        }
        let mut recipe = Recipe { data: protocol.data, training: protocol.retrain.clone() };
        // Every schedule has its own number; what is recorded is that of the longest.
        recipe.training.recipe.epochs = fidelities.iter().map(|f| u64::from(f.0)).max().unwrap_or(0);
        let info = data::info(dataset)?;
        if info.is_segmentation() {
            return Err(usage!("a table is of classes of whole images, and '{dataset}' has one for every pixel"));
        }
        let made = Made {
            dataset: dataset.clone(),
            data_sha256: String::new(),
            split_sha256: String::new(),
            settings: json!(recipe),
            seed: *seed,
            runs: *runs,
            program: Program::current(),
            libtorch: crate::shim::libtorch_version(),
            processor: processor_kind(),
            trainings: 0,
            failed: 0,
            processor_seconds: 0.0,
            rows_sha256: String::new(),
        };
        let mut fidelities = fidelities.clone();
        fidelities.sort_unstable();
        fidelities.dedup();
        let column = dataset.replace('-', "_");
        let about = About {
            name: name.clone(),
            space: TableSpace::NasBench201,
            options: options.clone(),
            rows: RowsOf::Classes,
            sets: vec![TableSet { name: dataset.clone(), title: info.title.into(), column, images: 0 }],
            fidelities,
            seconds_of_images: None,
            device: format!("one thread of {}, processor time", made.processor),
            source: "trained by naslab table build".into(),
            licence: "that of the images".into(),
            remarks: Vec::new(),
            made: None,
        };
        about.grid()?;
        Self::with(about, made, recipe, data_dir.as_deref())
    }

    /// The tabulation that made `about`, once more.
    ///
    /// # Errors
    /// [`Error::Usage`] where it does not say how, [`Error::Input`] where the data are others.
    pub fn again(about: &About, data_dir: Option<&Path>) -> Result<Self> {
        let silent =
            || usage!("'{}' does not say how it was made, so it cannot be made again; naslab table check reads and checks it", about.name);
        let made = about.made.clone().ok_or_else(silent)?;
        let recipe: Recipe = typed("the table", &made.settings)?;
        let again = Self::with(about.clone(), made.clone(), recipe, data_dir)?;
        for (what, then, now) in
            [("data", &made.data_sha256, &again.plan.made.data_sha256), ("split", &made.split_sha256, &again.plan.made.split_sha256)]
        {
            if then != now {
                return Err(input!(&made.dataset, "the {what} have SHA-256 {now}, and the table was made of {then}"));
            }
        }
        Ok(again)
    }

    fn with(mut about: About, mut made: Made, recipe: Recipe, data_dir: Option<&Path>) -> Result<Self> {
        let set = data::open(&made.dataset, data_dir)?;
        let (task, test) = Classification::open(&set, recipe.data.limit(), Device::Cpu)?;
        (made.data_sha256, made.split_sha256) = (set.hash, task.split_hash().to_string());
        let images = task.len(task::Part::Train) as u64;
        about.sets[0].images = images;
        about.seconds_of_images = Some(images);
        let (task, test): (Box<dyn Task>, Box<dyn Test>) = (Box::new(task), Box::new(test));
        let opened = Self { plan: Plan { about, made, recipe }, task, test };
        opened.plan.recipe.training.check_for("retrain", &architecture(0)?, super::child::input(&*opened.task))?;
        Ok(opened)
    }

    /// Where trainings are kept until the table at `path` is complete.
    pub fn journal(path: &Path) -> PathBuf {
        PathBuf::from(format!("{}.journal", path.display()))
    }

    /// Trains what is missing, writes the table to `path` and removes the journal. A table that is there already is left as it is.
    ///
    /// # Errors
    /// [`Error::NoResult`] where the budget ends before the last training, [`Error::Suite`] after a signal: the same command goes on.
    pub fn build(&self, path: &Path, effort: Effort) -> Result<About> {
        if path.exists() {
            let there = table::read(path)?;
            return if self.is_of(&there.about) { Ok(there.about) } else { Err(self.other(path)) };
        }
        let trained = self.train(path, &self.cells()?, effort)?;
        let (about, rows, columns) = self.tabulate(&trained)?;
        table::write(path, &about, &rows, &columns)?;
        let journal = Self::journal(path);
        std::fs::remove_file(&journal).map_err(|e| Error::writing(&journal, &e))?;
        Ok(about)
    }

    /// Trains some classes, drawn by the seed, and says how far they differ. The trainings are kept for the table.
    ///
    /// # Errors
    /// As [`Tabulation::build`].
    pub fn pilot(&self, path: &Path, classes: usize, effort: Effort) -> Result<Vec<Spread>> {
        let cells = self.cells()?;
        let drawn = index::sample(&mut Streams::new(self.plan.made.seed).rng("pilot", 0), cells.len(), classes.min(cells.len()));
        let cells: Vec<u64> = drawn.iter().map(|i| cells[i]).collect();
        let trained = self.train(path, &cells, effort)?;
        let spread = |(at, fidelity): (usize, &Fidelity), part: Part| {
            let groups: Vec<Vec<f64>> =
                cells.iter().map(|cell| self.scores(*cell, &trained, at).filter_map(|s| s.of(part)).collect()).collect();
            let all = groups.concat();
            let seconds: Vec<f64> = cells.iter().flat_map(|cell| self.scores(*cell, &trained, at).map(|s| s.seconds)).collect();
            Spread {
                fidelity: *fidelity,
                part,
                accuracy: [all.iter().copied().fold(100.0, f64::min), mean(&all).unwrap_or(0.0), all.iter().copied().fold(0.0, f64::max)],
                between: share_between(&groups),
                seconds: mean(&seconds).unwrap_or(0.0),
            }
        };
        Ok(self.plan.about.fidelities.iter().enumerate().flat_map(|f| [Part::Valid, Part::Test].map(|part| spread(f, part))).collect())
    }

    /// Whether `other` is the table that is wanted here, whoever made it.
    fn is_of(&self, other: &About) -> bool {
        let Plan { about, made, .. } = &self.plan;
        let table = |of: &About| (of.grid().ok(), of.fidelities.clone());
        let training = |of: &Made| (of.settings.clone(), of.seed, of.runs, of.data_sha256.clone(), of.split_sha256.clone());
        other.made.as_ref().is_some_and(|theirs| training(theirs) == training(made)) && table(other) == table(about)
    }

    fn other(&self, path: &Path) -> Error {
        usage!(
            "{} holds another table than is asked for (operations, schedules, runs, seed, settings or data differ); choose another file, or remove it",
            path.display()
        )
    }

    /// Numbers of the cells that stand for the classes.
    fn cells(&self) -> Result<Vec<u64>> {
        Ok(self.plan.about.grid()?.classes().into_iter().map(|point| self.plan.about.space.number(point) as u64).collect())
    }

    /// All trainings of `cells`: those of the journal, and those that are still to be done.
    fn train(&self, path: &Path, cells: &[u64], mut effort: Effort) -> Result<BTreeMap<Key, Trained>> {
        let file = Self::journal(path);
        let (mut journal, before, notices) = EventLog::<Line>::append_to(&file)?;
        notices.iter().for_each(|text| (effort.watch)(Update::Line(text)));
        let (begins, mut trained) = (before.is_empty(), BTreeMap::new());
        for line in before {
            match line.event {
                Line::Begun { table } if self.is_of(&table) => (),
                Line::Begun { .. } => return Err(self.other(&file)),
                Line::Trained { cell, run, by_schedule, processor_seconds } => {
                    trained.insert(Key { cell, run }, Trained { by_schedule, processor_seconds });
                }
            }
        }
        if begins {
            let table = Box::new(About { made: Some(self.plan.made.clone()), ..self.plan.about.clone() });
            journal.append_at(jiff::Timestamp::now(), &Line::Begun { table })?;
        }
        // All classes once, then all again: what slows the machine for a while does not fall on some classes alone.
        let wanted: Vec<Key> = (1..=self.plan.made.runs).flat_map(|run| cells.iter().map(move |cell| Key { cell: *cell, run })).collect();
        let missing: Vec<Key> = wanted.iter().filter(|key| !trained.contains_key(key)).copied().collect();
        let (planned, mut done) = (wanted.len(), wanted.len() - missing.len());
        let (began, budget) = (Since::now(), effort.budget);
        let may_begin = || budget.is_none_or(|b| began.seconds() < b.as_secs_f64());
        pool::train(self, &missing, (effort.jobs, &effort.signals, &may_begin), |key, outcome| {
            let line = Line::Trained {
                cell: key.cell,
                run: key.run,
                by_schedule: outcome.by_schedule.clone(),
                processor_seconds: outcome.processor_seconds,
            };
            journal.append_at(jiff::Timestamp::now(), &line)?;
            trained.insert(key, outcome);
            done += 1;
            (effort.watch)(Update::Step { phase: crate::record::Phase::Search, done: done as u64, planned: planned as u64 });
            Ok(())
        })?;
        journal.sync()?;
        if done < planned {
            return Err(Error::NoResult(format!(
                "the budget ended after {done} of {planned} runs of the classes; they are kept in {}, and the same command goes on",
                file.display()
            )));
        }
        Ok(trained)
    }

    /// The runs of a cell by the schedule at place `at`, in their order.
    fn scores<'a>(&'a self, cell: u64, trained: &'a BTreeMap<Key, Trained>, at: usize) -> impl Iterator<Item = Scores> + 'a {
        (1..=self.plan.made.runs).map(move |run| trained[&Key { cell, run }].by_schedule[at])
    }
}
