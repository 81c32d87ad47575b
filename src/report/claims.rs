//! What papers reported: `data/claims.csv`, typed and checked. `data/claims.md` says what the columns mean.

use crate::error::{Error, Result};
use crate::table::BUILT_IN;
use serde::Deserialize;

/// The file, as built in.
const CSV: &str = include_str!("../../data/claims.csv");
/// How messages name it.
const NAME: &str = "data/claims.csv";
/// What is said of a number from memory.
const RECALLED: &str = "recalled: not read again in its source";

/// What a claim's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Per cent of test images classified correctly: 100 - error.
    TestAccuracy,
    /// The same of validation images.
    ValidationAccuracy,
    /// Per cent, first guess.
    Top1Accuracy,
    /// Per cent, first five guesses.
    Top5Accuracy,
    /// Per cent; overlap of foreground masks.
    Dice,
    /// Per cent; dice of probabilities over all classes.
    SoftDice,
    /// Per cent; intersection over union of the background.
    BackgroundIou,
    /// Correlation, -1 to 1, over 100 random networks.
    #[serde(rename = "pearson_random_100")]
    PearsonRandom100,
    /// Correlation, -1 to 1, over the 50 best networks.
    #[serde(rename = "pearson_top_50")]
    PearsonTop50,
    /// Perplexity of a language model; lower is better.
    TestPerplexity,
}

impl Metric {
    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::TestAccuracy => "test accuracy",
            Self::ValidationAccuracy => "validation accuracy",
            Self::Top1Accuracy => "top-1 accuracy",
            Self::Top5Accuracy => "top-5 accuracy",
            Self::Dice => "Dice",
            Self::SoftDice => "soft Dice",
            Self::BackgroundIou => "IoU of the background",
            Self::PearsonRandom100 => "Pearson, 100 random networks",
            Self::PearsonTop50 => "Pearson, 50 best networks",
            Self::TestPerplexity => "test perplexity",
        }
    }

    /// Of masks, not of whole images.
    pub fn of_segmentation(self) -> bool {
        matches!(self, Self::Dice | Self::SoftDice | Self::BackgroundIou)
    }

    /// Smallest and largest value that makes sense.
    fn range(self) -> (f64, f64) {
        match self {
            Self::PearsonRandom100 | Self::PearsonTop50 => (-1.0, 1.0),
            Self::TestPerplexity => (1.0, f64::MAX),
            _ => (0.0, 100.0),
        }
    }
}

/// What the number after "±" is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpreadKind {
    /// Of single runs.
    StandardDeviation,
    /// Of the mean.
    StandardError,
    /// The source does not say.
    Unknown,
}

/// Whether the training used cutout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cutout {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// The source does not say.
    Unknown,
}

impl Cutout {
    /// Of a training that is known.
    pub fn of(with: bool) -> Self {
        if with { Self::Yes } else { Self::No }
    }

    /// For a reader.
    pub fn words(self) -> &'static str {
        match self {
            Self::Yes => "with cutout",
            Self::No => "without cutout",
            Self::Unknown => "cutout not stated",
        }
    }
}

/// What confirms the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// It was read in the source itself.
    Confirmed,
    /// It was read where the source says that it is quoted.
    Quoted,
    /// It is from memory: the source was not read again.
    Recalled,
}

impl Confirmation {
    /// As in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Quoted => "quoted",
            Self::Recalled => "recalled",
        }
    }
}

/// One reported number. `None` is unknown.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Name of the method, as in `naslab list`.
    pub method: String,
    /// Form of the method, or network of the paper.
    pub variant: String,
    /// The variant of this program's runs that it may stand beside; `None` is none.
    pub naslab_variant: Option<String>,
    /// Data set.
    pub dataset: String,
    /// What `value` is.
    pub metric: Metric,
    /// The number, in the unit of the metric.
    pub value: Option<f64>,
    /// The number after "±".
    pub spread: Option<f64>,
    /// What that is.
    pub spread_kind: Option<SpreadKind>,
    /// Trainings behind the value.
    pub runs: Option<u32>,
    /// Weights, millions.
    pub params: Option<f64>,
    /// Search cost in days of one of the source's own cards.
    pub gpu_days: Option<f64>,
    /// That card.
    pub gpu_model: Option<String>,
    /// With cutout?
    pub cutout: Cutout,
    /// The one row a survey would cite for the method.
    #[serde(deserialize_with = "yes_or_no")]
    pub headline: bool,
    /// What confirms `value`; where there is none, the other numbers.
    pub status: Confirmation,
    /// Where the number was read.
    pub source: String,
    /// What is doubtful or corrected.
    pub erratum: Option<String>,
}

impl Claim {
    /// Value and spread as printed: `97.24 ± 0.09`.
    pub fn value_text(&self) -> Option<String> {
        let value = self.value?;
        Some(self.spread.map_or_else(|| format!("{value:.2}"), |s| format!("{value:.2} ± {s:.2}")))
    }

    /// Whether it is about a search of a built-in table.
    pub fn is_of_table(&self) -> bool {
        BUILT_IN.iter().any(|table| self.dataset.strip_prefix(table).is_some_and(|rest| rest.starts_with('-')))
    }

    /// Whether it is from memory.
    pub fn recalled(&self) -> bool {
        self.status == Confirmation::Recalled
    }

    /// What it is about: variant, data set and cutout, since a row beside it may have others. No mask is trained with cutout.
    pub fn about(&self) -> String {
        let about = format!("{} on {}", if self.variant.is_empty() { &self.method } else { &self.variant }, self.dataset);
        if self.metric.of_segmentation() { about } else { format!("{about}, {}", self.cutout.words()) }
    }

    /// What a table says of it in a footnote: what it is about, where it was read, that it is recalled, and the erratum.
    pub fn note(&self) -> String {
        let recalled = self.recalled().then_some(RECALLED);
        let parts = [Some(self.source.as_str()), recalled, self.erratum.as_deref()];
        std::iter::once(self.about()).chain(parts.into_iter().flatten().map(String::from)).collect::<Vec<_>>().join("; ")
    }

    fn check(&self) -> std::result::Result<(), String> {
        let (low, high) = self.metric.range();
        if self.value.is_some_and(|v| !(low..=high).contains(&v)) {
            return Err(format!("value {:?} is not between {low} and {high}", self.value));
        }
        let positive = [("spread", self.spread), ("params", self.params), ("gpu_days", self.gpu_days)];
        if let Some((name, _)) = positive.iter().find(|(_, v)| v.is_some_and(|v| !v.is_finite() || v <= 0.0)) {
            return Err(format!("{name} must be a number above 0, or empty if it is unknown"));
        }
        if self.spread.is_some() != self.spread_kind.is_some() {
            return Err("spread and spread_kind go together".into());
        }
        if [&self.method, &self.source, &self.dataset].iter().any(|text| text.is_empty()) {
            return Err("method, source and dataset must not be empty".into());
        }
        if self.headline && self.naslab_variant.is_none() {
            return Err("a headline needs a naslab_variant".into());
        }
        Ok(())
    }
}

fn yes_or_no<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<bool, D::Error> {
    match String::deserialize(d)?.as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(serde::de::Error::custom(format!("headline is '{other}', must be yes or no"))),
    }
}

/// All claims, in the order of the file.
pub fn claims() -> Result<Vec<Claim>> {
    parse(CSV)
}

/// Reads claims from CSV text; an error names the line.
fn parse(text: &str) -> Result<Vec<Claim>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| Error::input(NAME, format!("bad header: {e}")))?.clone();
    let mut claims: Vec<Claim> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| Error::input(NAME, e.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let at = |what: String| Error::input(NAME, format!("line {line}: {what}"));
        let claim: Claim = record.deserialize(Some(&header)).map_err(|e| at(e.to_string()))?;
        claim.check().map_err(at)?;
        if claim.headline && claims.iter().any(|c| c.headline && c.method == claim.method) {
            return Err(at(format!("a second headline for {}", claim.method)));
        }
        claims.push(claim);
    }
    Ok(claims)
}

/// Methods with a claim about segmentation, or those without, in the order of the file.
pub fn methods(claims: &[Claim], of_segmentation: bool) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let segments = |method: &str| claims.iter().any(|c| c.method == method && c.metric.of_segmentation());
    for claim in claims.iter().filter(|c| !c.is_of_table() && segments(&c.method) == of_segmentation) {
        names.extend((!names.contains(&claim.method.as_str())).then_some(claim.method.as_str()));
    }
    names
}

/// What of a run decides which claim stands beside it. For random search the variant names the space.
pub struct Beside<'a> {
    /// Method.
    pub method: &'a str,
    /// Its variant.
    pub variant: &'a str,
    /// Data set.
    pub dataset: &'a str,
    /// [`Metric::TestAccuracy`] or [`Metric::Dice`].
    pub metric: Metric,
    /// Whether the retraining used cutout.
    pub cutout: bool,
}

/// The claim to set beside a run: of its method, variant and metric, or none. A claim about the same data comes first, then one with the run's cutout,
/// then the headline, then one that is not recalled. Whether the two can be compared is another question: see [`apart`].
pub fn beside<'a>(claims: &'a [Claim], run: &Beside) -> Option<&'a Claim> {
    let fits = |c: &&Claim| c.method == run.method && c.naslab_variant.as_deref() == Some(run.variant) && c.metric == run.metric;
    let farther = |c: &&Claim| (c.dataset != run.dataset, c.cutout != Cutout::of(run.cutout), !c.headline, c.recalled());
    claims.iter().filter(fits).min_by_key(farther)
}

/// Why a claim cannot be compared with a run on a data set, with or without cutout; `None` if it can.
pub fn apart(claim: &Claim, dataset: &str, cutout: bool) -> Option<&'static str> {
    match claim.cutout {
        _ if claim.dataset != dataset => Some("other data"),
        Cutout::Unknown => Some("cutout not stated"),
        of_claim => (of_claim != Cutout::of(cutout)).then_some("other cutout"),
    }
}

#[cfg(test)]
mod tests;
