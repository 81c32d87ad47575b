//! `naslab export`

use super::named::architecture;
use super::progress::percent;
use super::run::{by_name, open_device};
use super::run_args::{ChoiceArgs, ExportArguments, RunSettingsArgs};
use super::show::print_out;
use crate::error::{Error, Result, input, usage};
use crate::export::{Written, facts, write};
use crate::lab::{Fixed, build, prepare};
use crate::message::say;
use crate::nn::count;
use crate::record::{ArchitectureRecord, Board, EndReason, FORMAT, Manifest, RunDir, RunResult, read_events};
use crate::space::Architecture;
use crate::units::show_count;
use std::path::{Path, PathBuf};

/// What is exported: everything that makes the network, and where its weights are from.
struct Source {
    manifest: Manifest,
    /// With the method whose protocol belongs to it.
    architecture: ArchitectureRecord,
    /// The file of the weights; none where they are those of a start.
    weights: Option<PathBuf>,
    /// The result of the run that trained them.
    result: Option<RunResult>,
}

/// Writes a network, or the curves of a run, for other programs.
pub fn export(a: &ExportArguments) -> Result<()> {
    let path = Path::new(&a.source);
    if a.format.contains(&Written::Tensorboard) {
        export_curves(a, path)?;
    }
    if a.format.iter().all(|format| *format == Written::Tensorboard) {
        return Ok(());
    }
    export_network(a, &if path.is_dir() { of_run(a, path)? } else { of_architecture(a)? })
}

/// The event file of a run, as far as it is recorded.
fn export_curves(a: &ExportArguments, path: &Path) -> Result<()> {
    if !path.is_dir() {
        return Err(usage!("--format tensorboard is for the folder of a run, and {} is none", a.source));
    }
    refuse_settings(a)?;
    let run = open_run(path)?;
    // Beside the run nobody else writes; in it, the run itself may.
    let (run, folder) = match &a.out {
        Some(out) => (run, out.clone()),
        None => {
            let run = run.lock()?;
            let folder = run.tensorboard_path();
            (run, folder)
        }
    };
    let (events, notices) = read_events(&run.events_path())?;
    notices.iter().for_each(|notice| say!("{notice}"));
    let written = Board::open(&folder, &run.manifest()?, &events).and_then(|mut board| match run.result() {
        Ok(Some(result)) => board.finish(&result).map(|()| board),
        _ => Ok(board),
    });
    let board = written.map_err(|e| Error::writing(Board::path_in(&folder), &e))?;
    print_out(format!("wrote     {}\n", board.path().display()))
}

fn export_network(a: &ExportArguments, source: &Source) -> Result<()> {
    let out = a.out.as_deref().ok_or_else(|| Error::Usage("say where to: --out DIR".into()))?;
    if out.is_file() {
        return Err(usage!("{} is a file; name a folder for --out", out.display()));
    }
    if out.join("manifest.json").exists() {
        return Err(usage!("{} holds a run; choose another folder for --out", out.display()));
    }
    let Source { manifest, architecture, weights, result } = source;
    let protocol = by_name(&manifest.method)?.prepare(&manifest.settings)?.protocol;
    let built = build(manifest, &protocol, &architecture.architecture, weights.as_deref())?;
    let (from, trained) = source.weights();
    source.warn();
    let facts = facts(manifest, architecture, &built, (&from, trained), result.as_ref());
    let paths = write(out, &a.format, &built, architecture, &facts)?;
    let size = built.input;
    let per = if architecture.architecture.classifies_pixels() { "every pixel" } else { "an image" };
    let score = result.as_ref().filter(|r| r.final_score.is_some()).map(|r| format!(", test {} {}", r.metric, percent(r.final_score)));
    let text = format!(
        "input     images [batch, {}, {}, {}], normalised as export.json says\n\
         output    logits, {} classes of {per}\n\
         weights   {}, {from}{}\n",
        size.channels,
        size.height,
        size.width,
        size.classes,
        show_count(count(&*built.network).0),
        score.unwrap_or_default()
    );
    print_out(text + &paths.iter().map(|path| format!("wrote     {}\n", path.display())).collect::<String>())
}

impl Source {
    fn new(manifest: Manifest, method: &str, architecture: Architecture, weights: Option<PathBuf>, result: Option<RunResult>) -> Self {
        let hash = architecture.hash();
        let architecture = ArchitectureRecord { format: FORMAT, method: method.into(), architecture, hash };
        Self { manifest, architecture, weights, result }
    }

    /// Where the weights are from, and whether they are trained: nothing if only who gave them knows.
    fn weights(&self) -> (String, Option<bool>) {
        match (&self.result, &self.weights) {
            (Some(r), _) => {
                let run = format!("a run of {} on {} with seed {}", r.method, r.dataset, r.seed);
                (format!("trained for {} epochs in {run}", r.retrain_epochs), Some(r.retrain_end == EndReason::Completed))
            }
            (None, Some(path)) => (format!("read from {}", path.file_name().unwrap_or_default().to_string_lossy()), None),
            (None, None) => (format!("not trained: initialised from seed {}", self.manifest.seed), Some(false)),
        }
    }

    /// What a user might overlook.
    fn warn(&self) {
        let seed = self.manifest.seed;
        match &self.result {
            Some(r) if r.retrain_end != EndReason::Completed => {
                say!("the training of these weights did not end well: {}", r.retrain_end.words());
            }
            None if self.weights.is_none() => {
                say!("the weights are not trained: they are initialised from seed {seed}; give trained ones with --weights");
            }
            _ => (),
        }
    }
}

/// A finished run: what it found, with the weights that it trained.
fn of_run(a: &ExportArguments, path: &Path) -> Result<Source> {
    refuse_settings(a)?;
    let run = open_run(path)?;
    let manifest = run.manifest()?;
    let result = run.result()?.ok_or_else(|| {
        input!(path, "the run is not finished, so there is no trained network yet; go on with: naslab resume {}", path.display())
    })?;
    let found = result.architecture.clone();
    let method = if manifest.method == Fixed::NAME { found.space().home.to_string() } else { manifest.method.clone() };
    Ok(Source::new(manifest, &method, found, Some(run.weights_path()), Some(result)))
}

fn open_run(path: &Path) -> Result<RunDir> {
    if !path.join("manifest.json").exists() {
        let what = "no run here (no manifest.json); name a run's folder, a JSON file, or a published architecture (naslab list)";
        return Err(Error::input(path, what));
    }
    RunDir::open(path)
}

/// A run says everything itself.
fn refuse_settings(a: &ExportArguments) -> Result<()> {
    let ChoiceArgs { preset, dataset, data_dir, set } = &a.choice;
    let given = [
        ("--weights", a.weights.is_some()),
        ("--preset", preset.is_some()),
        ("--dataset", dataset.is_some()),
        ("--data-dir", data_dir.is_some()),
        ("--set", !set.is_empty()),
        ("--seed", a.seed.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(usage!("{name} is for an architecture; {} is a run, which has its own", a.source)),
        None => Ok(()),
    }
}

/// An architecture by name or file, in the size that `naslab train` gives it, on the processor.
fn of_architecture(a: &ExportArguments) -> Result<Source> {
    let named = architecture(&a.source)?;
    let settings = RunSettingsArgs { choice: a.choice.clone(), device: "cpu".into(), ..RunSettingsArgs::default() };
    let ready = prepare(&Fixed, &named.order(&settings, a.seed.unwrap_or(0), open_device(&settings)?)?)?;
    ready.notes().iter().for_each(|note| say!("{note}"));
    let method = named.home()?.card().name;
    Ok(Source::new(ready.manifest, method, named.architecture, a.weights.clone(), None))
}
