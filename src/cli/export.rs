//! `naslab export`

use super::args::{ExportArguments, ExportFormat};
use super::run::{by_name, open_device, order};
use super::show::{percent, print_out};
use super::train::{Named, architecture};
use crate::arch::{Architecture, InputShape};
use crate::error::{Error, Result};
use crate::export::{Facts, Written, write};
use crate::lab::{Fixed, Search, build, prepare};
use crate::nn::count;
use crate::record::{ArchitectureRecord, EndReason, FORMAT, Manifest, RunDir, RunResult};
use crate::reproductions::method;
use crate::units::show_count;
use std::path::{Path, PathBuf};

/// What is exported: everything that makes the network, and where its weights are from.
struct Source {
    manifest: Manifest,
    search: Box<dyn Search>,
    architecture: Architecture,
    /// Method whose protocol belongs to the architecture.
    method: String,
    /// The file of the weights; none where they are those of a start.
    weights: Option<PathBuf>,
    /// The result of the run that trained them.
    result: Option<RunResult>,
}

/// Writes a network for other programs.
pub fn export(a: &ExportArguments) -> Result<()> {
    let path = Path::new(&a.source);
    let source = if path.is_dir() { of_run(a, path)? } else { of_architecture(a)? };
    export_network(a, &source)
}

fn export_network(a: &ExportArguments, source: &Source) -> Result<()> {
    let out = a.out.as_deref().ok_or_else(|| Error::Usage("say where to: --out DIR".into()))?;
    if out.join("manifest.json").exists() {
        return Err(Error::Usage(format!("{} holds a run; choose another folder for --out", out.display())));
    }
    let built = build(&source.manifest, &*source.search, &source.architecture, source.weights.as_deref())?;
    let data = &source.manifest.data;
    let [channels, height, width, classes] = [data.channels, data.height, data.width, data.classes].map(i64::from);
    let input = InputShape { channels, height, width, classes };
    let mut facts = Facts::new(&source.manifest, &source.architecture, input, source.words(), source.trained());
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
    let paths = write(out, &kinds(&a.format), &built, &record, &facts)?;
    print_out(&describe(&facts, &paths))
}

fn kinds(formats: &[ExportFormat]) -> Vec<Written> {
    let kind = |f: &ExportFormat| match f {
        ExportFormat::Architecture => Written::Architecture,
        ExportFormat::Weights => Written::Weights,
        ExportFormat::Onnx => Written::Onnx,
    };
    formats.iter().map(kind).collect()
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
    refuse_choices(a)?;
    if !path.join("manifest.json").exists() {
        return Err(Error::input(
            path,
            "no run here (no manifest.json); name a run's folder, a JSON file, or a published architecture (naslab list)",
        ));
    }
    let run = RunDir::open(path)?;
    let manifest = run.manifest()?;
    let result = run.result()?.ok_or_else(|| {
        Error::input(
            path,
            format!("the run is not finished, so there is no trained network yet; go on with: naslab resume {}", path.display()),
        )
    })?;
    let search = by_name(&manifest.method)?.prepare(&manifest.settings)?;
    let architecture = result.architecture.clone();
    let method = if manifest.method == Fixed::NAME { architecture.home().to_string() } else { manifest.method.clone() };
    Ok(Source { method, search, architecture, weights: Some(run.weights_path()), result: Some(result), manifest })
}

/// A run says everything itself.
fn refuse_choices(a: &ExportArguments) -> Result<()> {
    let given = [
        ("--weights", a.weights.is_some()),
        ("--preset", a.preset.is_some()),
        ("--dataset", a.dataset.is_some()),
        ("--data-dir", a.data_dir.is_some()),
        ("--set", !a.set.is_empty()),
        ("--seed", a.seed.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::Usage(format!("{name} is for an architecture; {} is a run, which has its own", a.source))),
        None => Ok(()),
    }
}

/// An architecture by name or file, in the size that `naslab train` gives it.
fn of_architecture(a: &ExportArguments) -> Result<Source> {
    let Named { name, architecture, method: found_by } = architecture(&a.source)?;
    let home = found_by.and_then(|m| method(&m).ok()).map_or_else(|| method(architecture.home()), Ok)?;
    let choices = a.choices();
    let device = open_device(&choices)?;
    let mut order = order(home, &choices, a.seed.unwrap_or(0), device)?;
    order.settings = Fixed::settings(order.settings, &name, &architecture);
    let ready = prepare(&Fixed, &order)?;
    for note in ready.notes() {
        eprintln!("{note}");
    }
    let search = by_name(&ready.manifest.method)?.prepare(&ready.manifest.settings)?;
    let method = home.card().name.to_string();
    Ok(Source { method, search, architecture, weights: a.weights.clone(), result: None, manifest: ready.manifest })
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
