//! What a run leaves on disk, as plain data. `naslab report` and `naslab check` read nothing else.
//!
//! `manifest.json` is [`Manifest`], `events.jsonl` holds one [`Event`](super::Event) a line, `finding.json` is
//! [`FindingRecord`], `result.json` is [`RunResult`] and `ledger.json` is [`LedgerRecord`](super::LedgerRecord).
//! Everything that depends on how fast the machine was is in the ledger and the events, so that finding and
//! result of two equal runs are equal byte for byte.

use super::declaration::Declaration;
use super::segmentation::SegmentationRecord;
use super::task::ClusterRecord;
use crate::space::Architecture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the run directory's formats; readers refuse what they do not know.
pub const FORMAT: u32 = 3;

/// Settings, program, device and data of a run; written before anything is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the method, as in `naslab list`.
    pub method: String,
    /// What is special about this run of the method, such as `first-order`; empty where there is one form only.
    pub variant: String,
    /// What the method says of the run, for a report that knows no method by name.
    pub declaration: Declaration,
    /// Name of the data set.
    pub dataset: String,
    /// Name of the preset.
    pub preset: String,
    /// Seed of the run; all random streams derive from it.
    pub seed: u64,
    /// Every setting of the method with its value.
    pub settings: serde_json::Value,
    /// Where the settings differ from the paper's: what the preset or the user shrank.
    pub shrunk: Vec<Shrunk>,
    /// What the run may use.
    pub limits: Limits,
    /// SHA-256 over all that decides the outcome: method, settings, seed, data, splits, device kind, threads.
    pub identity: String,
    /// This program.
    pub program: Program,
    /// Version of libtorch.
    pub libtorch: String,
    /// The device that does the arithmetic.
    pub device: DeviceRecord,
    /// The data.
    pub data: DataRecord,
    /// How device time is measured, in words.
    pub clock: String,
    /// Children trained side by side in the first attempt; without a limit of time or memory the outcome does not depend on it.
    pub jobs: u64,
    /// The devices that train children side by side, by their names, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// How the run is spread over a cluster, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterRecord>,
    /// Start of the first attempt, RFC 3339.
    pub started: String,
}

/// A setting that differs from the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shrunk {
    /// Dotted key, such as `retrain.epochs`.
    pub key: String,
    /// The value of the preset `paper`.
    pub paper: serde_json::Value,
    /// The value in this run.
    pub here: serde_json::Value,
}

/// Limits of a run; `None` is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Device-seconds for search and selection together.
    pub budget_seconds: Option<f64>,
    /// Trials of the search.
    pub max_trials: Option<u64>,
    /// Peak bytes of host (CPU) or device (CUDA) memory.
    pub max_memory_bytes: Option<u64>,
}

/// Version and commit of this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Crate version.
    pub version: String,
    /// Git commit it was built from, or `unknown`.
    pub commit: String,
    /// True if the tree had uncommitted changes when it was built.
    pub dirty: bool,
}

impl Program {
    /// The one that runs.
    pub fn current() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), commit: env!("NASLAB_COMMIT").into(), dirty: env!("NASLAB_DIRTY") == "true" }
    }
}

/// The device and its host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// `cpu` or `cuda`.
    pub kind: String,
    /// Number of the CUDA device.
    pub index: Option<u32>,
    /// Model of the card, or of the processor.
    pub name: String,
    /// Memory of the card, or of the host, in bytes; `None` if unknown.
    pub memory_bytes: Option<u64>,
    /// Model of the host's processor.
    pub processor: String,
    /// Cores of the host that this process may use.
    pub cores: u32,
    /// Threads that libtorch uses for one operation.
    pub threads: u32,
}

/// What the data are and how they were split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Folder given by the user, where one was; a resume looks there again.
    pub folder: Option<std::path::PathBuf>,
    /// SHA-256 over the unpacked images and labels.
    pub hash: String,
    /// SHA-256 over the index lists of all parts.
    pub split_hash: String,
    /// Number of items a part: `train`, `valid`, `retrain`, `test`.
    pub counts: BTreeMap<String, u64>,
    /// Channels of an image.
    pub channels: u32,
    /// Height of an image in pixels.
    pub height: u32,
    /// Width of an image in pixels.
    pub width: u32,
    /// Number of classes.
    pub classes: u32,
    /// How pixels become what a network is given.
    pub normalisation: Normalisation,
}

/// What a network is given of a pixel: (pixel - mean) / deviation, channel by channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// What the pixels are, in words.
    pub pixels: String,
    /// Mean of every channel.
    pub mean: Vec<f64>,
    /// Deviation of every channel.
    pub std: Vec<f64>,
}

/// An enum, and what each of its variants is called.
macro_rules! worded {
    ($(#[$about:meta])* $name:ident, $(#[$called:meta])* $words:ident { $($(#[$of:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            $(#[$called])*
            pub fn $words(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

worded! {
    /// The parts of a run. Their times add up to the run's wall time.
    Phase,
    /// As it is recorded.
    name {
        /// Finding candidate architectures.
        Search => "search",
        /// Choosing one among the candidates.
        Select => "select",
        /// Training the chosen one from scratch.
        Retrain => "retrain",
        /// Scoring it once on the test split.
        Test => "test",
        /// Everything else: opening data, writing records and checkpoints.
        #[default]
        Overhead => "overhead",
    }
}

#[cfg(test)]
impl Phase {
    /// All phases in the order of a run.
    pub const ALL: [Self; 5] = [Self::Search, Self::Select, Self::Retrain, Self::Test, Self::Overhead];
}

worded! {
    /// Why a phase or a trial ended.
    EndReason,
    /// The reason in words, as tables print it.
    words {
        /// It did all it was set to do.
        Completed => "completed",
        /// The device-time budget was used up.
        BudgetReached => "budget reached",
        /// The limit on trials was reached.
        TrialLimit => "trial limit reached",
        /// Every architecture of the space was tried.
        SpaceExhausted => "space exhausted",
        /// The loss became NaN or infinite.
        Diverged => "diverged",
        /// libtorch gave up on it.
        Failed => "failed",
        /// Host or device memory ran out, or the memory limit was passed.
        OutOfMemory => "out of memory",
        /// A signal stopped it, or the process died; a later attempt goes on. So is what has not ended yet.
        #[default]
        Interrupted => "interrupted",
    }
}

impl EndReason {
    /// Whether a limit of the run ended it.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::BudgetReached | Self::TrialLimit | Self::OutOfMemory)
    }
}

/// An architecture that a search proposes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it comes from, such as `search 0` or `trial 17`.
    pub origin: String,
    /// The architecture.
    pub architecture: Architecture,
    /// Score at search time (fraction correct on the validation part, by shared, mixed or briefly trained weights).
    pub search_score: Option<f64>,
    /// Validation score in the selection phase; `None` if there was nothing to select.
    pub select_score: Option<f64>,
}

/// `finding.json`: what the search returned and which candidate was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the method.
    pub method: String,
    /// What `search_score` of a candidate means, such as `supernet validation accuracy`.
    pub search_score_kind: String,
    /// Why the search ended.
    pub search_end: EndReason,
    /// All candidates, best search score first where there is one.
    pub candidates: Vec<Candidate>,
    /// Index of the chosen one.
    pub chosen: usize,
}

/// `result.json`: the outcome of a run, without anything that depends on the machine's speed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the method.
    pub method: String,
    /// As in the manifest.
    pub variant: String,
    /// Name of the data set.
    pub dataset: String,
    /// Name of the preset.
    pub preset: String,
    /// Seed of the run.
    pub seed: u64,
    /// As in the manifest.
    pub identity: String,
    /// The chosen architecture.
    pub architecture: Architecture,
    /// SHA-256 of its canonical form: equal for isomorphic cells.
    pub architecture_hash: String,
    /// Weights of the retrained network without auxiliary head.
    pub parameters: u64,
    /// Weights of the auxiliary head; 0 without one.
    pub auxiliary_parameters: u64,
    /// `accuracy` (fraction of test images classified correctly) or `dice`.
    pub metric: String,
    /// Search-time score of the chosen candidate.
    pub search_score: Option<f64>,
    /// What that score means.
    pub search_score_kind: String,
    /// Validation score of the chosen candidate in the selection phase.
    pub select_score: Option<f64>,
    /// Score on the test split after retraining; `None` if retraining did not end well. Never filled from another score.
    pub final_score: Option<f64>,
    /// Mean test loss after retraining.
    pub final_loss: Option<f64>,
    /// Epochs of the retraining.
    pub retrain_epochs: u64,
    /// Why the search ended.
    pub search_end: EndReason,
    /// Why the retraining ended.
    pub retrain_end: EndReason,
    /// Trials of the search by end reason.
    pub trials: BTreeMap<String, u64>,
    /// Figures of the method's own, such as the skip connections in the normal cell.
    pub extra: BTreeMap<String, f64>,
    /// Where a limit left fewer candidates to compare than the protocol wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_selection: Option<CutSelection>,
    /// Overlaps by class, where every pixel was classified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<SegmentationRecord>,
}

impl RunResult {
    /// Why there is no test score, where there is none.
    pub fn unscored(&self) -> Option<String> {
        let why = self.failure()?.words();
        Some(match self.retrain_end {
            EndReason::Completed => format!("no test score: {why} in the test"),
            _ => format!("no test score: the retraining ended early, {why}"),
        })
    }

    /// Why there is no test score, if there is none.
    pub fn failure(&self) -> Option<EndReason> {
        let of_test = (self.retrain_end == EndReason::Completed).then_some(EndReason::OutOfMemory);
        self.final_score.is_none().then(|| of_test.unwrap_or(self.retrain_end))
    }
}

/// A selection that a limit kept from comparing all candidates that the protocol wants to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutSelection {
    /// Candidates that the protocol compares.
    pub planned: u64,
    /// Those that have a score of the selection; with none, the best search score decided.
    pub compared: u64,
    /// The limit.
    pub limit: EndReason,
}

impl CutSelection {
    /// For a reader.
    pub fn words(&self) -> String {
        let Self { planned, compared, limit } = self;
        let decided = if *compared == 0 { "; the search score decided" } else { "" };
        format!("{compared} of {planned} candidates were compared in the selection ({}){decided}", limit.words())
    }
}

/// `architecture.json`: an architecture on its own, as `naslab export` writes it and every command that takes an architecture reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchitectureRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// Method whose retraining protocol belongs to it.
    pub method: String,
    /// The architecture.
    pub architecture: Architecture,
    /// SHA-256 of its canonical form.
    pub hash: String,
}
