//! What papers reported: `data/claims.csv`, typed and checked. `data/claims.md` says what the columns mean.

use crate::error::{Error, Result};
use serde::Deserialize;

/// The file, as built in.
const CSV: &str = include_str!("../../data/claims.csv");
/// How messages name it.
const NAME: &str = "data/claims.csv";

/// What a claim's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Per cent of test images classified correctly: 100 - error.
    TestAccuracy,
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

/// One reported number. `None` is unknown.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Name of the method, as in `naslab list`.
    pub method: String,
    /// Form of the method, or network of the paper.
    pub variant: String,
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
    for claim in claims.iter().filter(|c| segments(&c.method) == of_segmentation) {
        names.extend((!names.contains(&claim.method.as_str())).then_some(claim.method.as_str()));
    }
    names
}

/// The claim to set beside a segmentation: the method's Dice on the same data set, else its headline if that is a Dice. An accuracy is
/// never set beside a Dice.
pub fn beside_dice<'a>(claims: &'a [Claim], method: &str, dataset: &str) -> Option<&'a Claim> {
    let of_method = || claims.iter().filter(|c| c.method == method && c.metric == Metric::Dice);
    of_method().find(|c| c.dataset == dataset).or_else(|| of_method().find(|c| c.headline))
}

/// The claim to set beside a run: that of the same variant on CIFAR-10, with cutout before without; else the method's headline.
pub fn beside<'a>(claims: &'a [Claim], method: &str, variant: &str) -> Option<&'a Claim> {
    let comparable = |c: &&Claim| c.method == method && c.metric == Metric::TestAccuracy && c.dataset == "cifar10";
    let of_variant = || claims.iter().filter(comparable).filter(|c| !variant.is_empty() && c.variant == variant);
    of_variant()
        .find(|c| c.headline)
        .or_else(|| of_variant().find(|c| c.cutout == Cutout::Yes))
        .or_else(|| of_variant().next())
        .or_else(|| claims.iter().find(|c| c.headline && c.method == method))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headline(method: &str) -> Claim {
        claims().unwrap().into_iter().find(|c| c.headline && c.method == method).unwrap()
    }

    #[test]
    fn every_method_has_the_headline_of_its_specification() {
        let expected = [
            ("amoebanet", 96.66, Some(0.06), 3.2, 3150.0),
            ("nasnet", 97.35, None, 3.3, 2000.0),
            ("enas", 97.11, None, 4.6, 0.45),
            ("ghn", 97.16, Some(0.07), 5.7, 0.84),
            ("darts", 97.24, Some(0.09), 3.3, 4.0),
            ("random", 96.71, Some(0.15), 3.2, 4.0),
        ];
        for (method, value, spread, params, days) in expected {
            let claim = headline(method);
            assert_eq!(claim.dataset, "cifar10", "{method}");
            assert_eq!((claim.value, claim.spread), (Some(value), spread), "{method}");
            assert_eq!((claim.params, claim.gpu_days), (Some(params), Some(days)), "{method}");
        }
        let unet = headline("nas_unet");
        assert_eq!((unet.dataset.as_str(), unet.value, unet.params, unet.gpu_days), ("promise12", None, Some(0.8), Some(1.5)));
    }

    #[test]
    fn a_variant_has_its_own_claim_and_else_the_headline() {
        let all = claims().unwrap();
        assert_eq!(beside(&all, "darts", "first-order").unwrap().value, Some(97.00));
        assert_eq!(beside(&all, "darts", "second-order").unwrap().value, Some(97.24));
        assert_eq!(beside(&all, "enas", "micro").unwrap().value, Some(97.11));
        assert_eq!(beside(&all, "ghn", "").unwrap().value, Some(97.16));
        assert_eq!(beside(&all, "train", "darts-v2"), None);
        let dataset = |method, dataset| beside_dice(&all, method, dataset).map(|c| c.dataset.as_str());
        assert_eq!([dataset("nas_unet", "nerve"), dataset("nas_unet", "digits")], [Some("nerve"), Some("promise12")]);
        assert_eq!(dataset("random", "promise12"), None, "an accuracy is never set beside a Dice");
    }

    #[test]
    fn a_bad_row_names_its_line() {
        let header = CSV.lines().next().unwrap();
        let good = "darts,x,cifar10,test_accuracy,97,,,,,,,yes,no,paper,";
        let cases = [
            (",x,cifar10,test_accuracy,97,,,,,,,yes,no,paper,", "method, source and dataset must not be empty"),
            ("darts,x,cifar10,test_accuracy,2.76,0,unknown,,,,,yes,no,paper,", "spread must be a number above 0"),
            ("darts,x,cifar10,test_accuracy,197,,,,,,,yes,no,paper,", "not between 0 and 100"),
            ("darts,x,cifar10,test_accuracy,97,0.1,,,,,,yes,no,paper,", "go together"),
            ("darts,x,cifar10,test_accuracy,97,,,,,,,maybe,no,paper,", "maybe"),
            ("darts,x,cifar10,test_accuracy,97,,,,,,,yes,perhaps,paper,", "perhaps"),
            ("darts,x,cifar10,test_accuracy,97,,,,,,,yes,no,,", "source"),
            ("darts,x,cifar10,test_accuracy,97", "line: 3"),
        ];
        for (row, expected) in cases {
            let text = parse(&format!("{header}\n{good}\n{row}\n")).unwrap_err().to_string();
            assert!(text.contains(expected) && text.contains("3"), "{row}: {text}");
        }
    }

    #[test]
    fn two_headlines_of_a_method_are_refused() {
        let header = CSV.lines().next().unwrap();
        let row = "darts,x,cifar10,test_accuracy,97,,,,,,,yes,yes,paper,";
        let text = parse(&format!("{header}\n{row}\n{row}\n")).unwrap_err().to_string();
        assert!(text.contains("line 3") && text.contains("second headline"), "{text}");
    }
}
