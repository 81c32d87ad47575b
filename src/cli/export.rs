//! `naslab export`

use super::args::{ExportArguments, ExportFormat};
use super::run::{by_name, open_device};
use super::show::{percent, print_out};
use super::train::architecture;
use crate::error::{Error, Result, input, usage};
use crate::export::{Facts, Written, write};
use crate::lab::{Fixed, Protocol, build, prepare};
use crate::nn::count;
use crate::record::{ArchitectureRecord, Board, EndReason, FORMAT, Manifest, RunDir, RunResult, read_events};
use crate::space::Architecture;
use crate::units::show_count;
use std::path::{Path, PathBuf};

/// What is exported: everything that makes the network, and where its weights are from.
struct Source {
    manifest: Manifest,
    protocol: Protocol,
    architecture: Architecture,
    /// Method whose protocol belongs to the architecture.
    method: String,
    /// The file of the weights; none where they are those of a start.
    weights: Option<PathBuf>,
    /// The result of the run that trained them.
    result: Option<RunResult>,
}

/// Writes a network, or the curves of a run, for other programs.
pub fn export(a: &ExportArguments) -> Result<()> {
    let path = Path::new(&a.source);
    let kinds: Vec<Written> = a.format.iter().filter_map(kind).collect();
    if a.format.contains(&ExportFormat::Tensorboard) {
        export_curves(a, path)?;
    }
    if kinds.is_empty() {
        return Ok(());
    }
    let source = if path.is_dir() { of_run(a, path)? } else { of_architecture(a)? };
    export_network(a, &source, &kinds)
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
    notices.iter().for_each(|notice| eprintln!("{notice}"));
    let written = Board::open(&folder, &run.manifest()?, &events).and_then(|mut board| match run.result() {
        Ok(Some(result)) => board.finish(&result).map(|()| board),
        _ => Ok(board),
    });
    let board = written.map_err(|e| Error::writing(Board::path_in(&folder), &e))?;
    print_out(&format!("wrote     {}\n", board.path().display()))
}

fn export_network(a: &ExportArguments, source: &Source, kinds: &[Written]) -> Result<()> {
    let out = a.out.as_deref().ok_or_else(|| Error::Usage("say where to: --out DIR".into()))?;
    if out.is_file() {
        return Err(usage!("{} is a file; name a folder for --out", out.display()));
    }
    if out.join("manifest.json").exists() {
        return Err(usage!("{} holds a run; choose another folder for --out", out.display()));
    }
    let built = build(&source.manifest, &source.protocol, &source.architecture, source.weights.as_deref())?;
    let mut facts = Facts::new(&source.manifest, &source.architecture, built.input, source.words(), source.trained());
    facts.parameters = count(&*built.network).0;
    if let Some(result) = &source.result {
        (facts.final_score, facts.metric) = (result.final_score, Some(result.metric.clone()));
    }
    let record = ArchitectureRecord {
        format: FORMAT,
        method: source.method.clone(),
        architecture: source.architecture.clone(),
        hash: source.architecture.hash(),
    };
    source.warn();
    let paths = write(out, kinds, &built, &record, &facts)?;
    print_out(&describe(&facts, &paths))
}

fn kind(format: &ExportFormat) -> Option<Written> {
    match format {
        ExportFormat::Architecture => Some(Written::Architecture),
        ExportFormat::Weights => Some(Written::Weights),
        ExportFormat::Onnx => Some(Written::Onnx),
        ExportFormat::Tensorboard => None,
    }
}

impl Source {
    fn words(&self) -> String {
        match (&self.result, &self.weights) {
            (Some(r), _) => {
                format!("trained for {} epochs in a run of {} on {} with seed {}", r.retrain_epochs, r.method, r.dataset, r.seed)
            }
            (None, Some(path)) => format!("read from {}", path.file_name().unwrap_or_default().to_string_lossy()),
            (None, None) => format!("not trained: initialised from seed {}", self.manifest.seed),
        }
    }

    fn trained(&self) -> Option<bool> {
        match (&self.result, &self.weights) {
            (Some(result), _) => Some(result.retrain_end == EndReason::Completed),
            (None, Some(_)) => None,
            (None, None) => Some(false),
        }
    }

    /// What a user might overlook.
    fn warn(&self) {
        if self.trained() == Some(false) && self.result.is_none() {
            eprintln!(
                "the weights are not trained: they are initialised from seed {}; give trained ones with --weights",
                self.manifest.seed
            );
        }
        if let Some(result) = self.result.as_ref().filter(|r| r.retrain_end != EndReason::Completed) {
            eprintln!("the training of these weights did not end well: {}", result.retrain_end.words());
        }
        if self.manifest.data.normalisation.is_none() {
            eprintln!(
                "the run was recorded by an earlier version and does not say how its images were normalised; export.json has null there"
            );
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
    let protocol = by_name(&manifest.method)?.prepare(&manifest.settings)?.protocol;
    let architecture = result.architecture.clone();
    let method = if manifest.method == Fixed::NAME { architecture.space().home.to_string() } else { manifest.method.clone() };
    Ok(Source { method, protocol, architecture, weights: Some(run.weights_path()), result: Some(result), manifest })
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
    let given = [
        ("--weights", a.weights.is_some()),
        ("--preset", a.preset.is_some()),
        ("--dataset", a.dataset.is_some()),
        ("--data-dir", a.data_dir.is_some()),
        ("--set", !a.set.is_empty()),
        ("--seed", a.seed.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(usage!("{name} is for an architecture; {} is a run, which has its own", a.source)),
        None => Ok(()),
    }
}

/// An architecture by name or file, in the size that `naslab train` gives it.
fn of_architecture(a: &ExportArguments) -> Result<Source> {
    let named = architecture(&a.source)?;
    let settings = a.settings();
    let order = named.order(&settings, a.seed.unwrap_or(0), open_device(&settings)?)?;
    let ready = prepare(&Fixed, &order)?;
    for note in ready.notes() {
        eprintln!("{note}");
    }
    let protocol = by_name(&ready.manifest.method)?.prepare(&ready.manifest.settings)?.protocol;
    let method = named.home()?.card().name.to_string();
    Ok(Source { method, protocol, architecture: named.architecture, weights: a.weights.clone(), result: None, manifest: ready.manifest })
}

fn describe(facts: &Facts, paths: &[PathBuf]) -> String {
    let (_, channels, height, width) = facts.input.shape;
    let per = if facts.output.every_pixel { "every pixel" } else { "an image" };
    let score = facts.final_score.map(|s| format!(", test {} {}", facts.metric.as_deref().unwrap_or_default(), percent(Some(s))));
    let mut text = format!(
        "input     images [batch, {channels}, {height}, {width}], normalised as export.json says\n\
         output    logits, {} classes of {per}\n\
         weights   {}, {}{}\n",
        facts.output.classes,
        show_count(facts.parameters),
        facts.weights,
        score.unwrap_or_default()
    );
    for path in paths {
        text += &format!("wrote     {}\n", path.display());
    }
    text
}
