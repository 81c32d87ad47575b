//! Overlaps of segmentations: two tables for a reader, and a long CSV file with one row a run and class.

use super::frame::Row;
use super::grid::Grid;
use super::spread::{Spread, percent, significant};
use super::summary::{NONE, SummaryRow};
use crate::error::{Error, Result};
use crate::record::{ClassScore, RunResult, SegmentationRecord};

/// A row of the summary and its segmentations, one a seed.
struct Group<'a> {
    row: &'a SummaryRow,
    runs: Vec<(&'a RunResult, &'a SegmentationRecord)>,
}

impl Group<'_> {
    /// Over the seeds.
    fn spread(&self, get: impl Fn(&RunResult, &SegmentationRecord) -> Option<f64>) -> Spread {
        Spread::of(self.runs.iter().filter_map(|(result, record)| get(result, record)))
    }

    fn begin(&self) -> Vec<String> {
        vec![self.row.name(), self.row.dataset.clone(), self.row.preset.clone()]
    }
}

fn groups<'a>(rows: &'a [Row], summary: &'a [SummaryRow]) -> Vec<Group<'a>> {
    let segmented = |i: &usize| rows[*i].result.as_ref().and_then(|r| Some((r, r.segmentation.as_ref()?)));
    let group = |row: &'a SummaryRow| Group { row, runs: row.members.iter().filter_map(segmented).collect() };
    summary.iter().map(group).filter(|g| !g.runs.is_empty()).collect()
}

/// One row a group: what is about all classes together.
pub(super) fn whole(rows: &[Row], summary: &[SummaryRow]) -> Grid {
    let line = |g: &Group| {
        let scores = [
            g.spread(|result, _| result.final_score),
            g.spread(|_, s| Some(s.iou)),
            g.spread(|_, s| Some(s.pixel_accuracy)),
            g.spread(|_, s| s.legacy_soft_dice),
            g.spread(|_, s| Some(s.legacy_background_iou)),
        ];
        let ratio = g.spread(|result, s| (s.unet_parameters > 0).then(|| result.parameters as f64 / s.unet_parameters as f64)).mean;
        let mut cells = g.begin();
        cells.push(g.runs.len().to_string());
        cells.extend(scores.map(percent));
        cells.push(g.row.parameters_text());
        cells.push(crate::units::show_count(g.runs[0].1.unet_parameters));
        cells.push(ratio.map_or_else(|| NONE.into(), significant));
        cells
    };
    Grid {
        title: "Segmentation, whole".into(),
        head: vec![
            "method",
            "data set",
            "preset",
            "seeds",
            "foreground Dice (%)",
            "foreground IoU (%)",
            "pixel accuracy (%)",
            "Dice as the public code counts it (%)",
            "mIoU as the public code counts it (%)",
            "parameters",
            "U-Net's parameters",
            "parameters / U-Net's",
        ],
        rows: groups(rows, summary).iter().map(line).collect(),
        left: 3,
        ..Grid::default()
    }
}

/// One row a group and class.
pub(super) fn by_class(rows: &[Row], summary: &[SummaryRow]) -> Grid {
    let line = |g: &Group, class: &str| {
        let score = |get: fn(&ClassScore) -> f64| percent(g.spread(|_, s| s.classes.iter().find(|c| c.name == class).map(get)));
        let seeds = g.runs.iter().filter(|(_, s)| s.classes.iter().any(|c| c.name == class)).count();
        let mut cells = g.begin();
        cells.extend([class.to_string(), seeds.to_string(), score(|c| c.dice), score(|c| c.iou), score(|c| c.pooled_dice)]);
        cells
    };
    let lines = |g: &Group| classes(g).into_iter().map(|class| line(g, class)).collect::<Vec<_>>();
    Grid {
        title: "Segmentation by class".into(),
        head: vec![
            "method",
            "data set",
            "preset",
            "class",
            "seeds",
            "Dice, mean over volumes (%)",
            "IoU, mean over volumes (%)",
            "Dice of all pixels together (%)",
        ],
        rows: groups(rows, summary).iter().flat_map(lines).collect(),
        left: 4,
        ..Grid::default()
    }
}

/// Names of the classes in the order of the first run that has them.
fn classes<'a>(group: &Group<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for class in group.runs.iter().flat_map(|(_, s)| &s.classes) {
        if !names.contains(&class.name.as_str()) {
            names.push(&class.name);
        }
    }
    names
}

const CLASS_COLUMNS: [&str; 20] = [
    "run",
    "status",
    "method",
    "variant",
    "dataset",
    "preset",
    "seed",
    "class_index",
    "class",
    "dice",
    "dice_sd_over_volumes",
    "iou",
    "pooled_dice",
    "pooled_iou",
    "foreground_iou",
    "pixel_accuracy",
    "legacy_soft_dice",
    "legacy_background_iou",
    "test_volumes",
    "unet_parameters",
];

/// `segmentation.csv`: one row a run and class, with what is about all classes repeated; an empty field is unknown. `None` without any
/// segmentation.
pub(super) fn segmentation_csv(rows: &[Row]) -> Result<Option<Vec<u8>>> {
    let failed = |e: csv::Error| Error::Resource(format!("the overlaps by class could not be written: {e}"));
    let segmented = || rows.iter().filter_map(|row| row.result.as_ref().and_then(|r| Some((row, r, r.segmentation.as_ref()?))));
    if segmented().next().is_none() {
        return Ok(None);
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(CLASS_COLUMNS).map_err(failed)?;
    for (row, result, record) in segmented() {
        for (i, class) in record.classes.iter().enumerate() {
            writer.write_record(fields(row, result, record, (i, class))).map_err(failed)?;
        }
    }
    writer.into_inner().map(Some).map_err(|e| Error::Resource(format!("the overlaps by class could not be written: {e}")))
}

fn fields(row: &Row, r: &RunResult, s: &SegmentationRecord, (i, class): (usize, &ClassScore)) -> [String; CLASS_COLUMNS.len()] {
    [
        row.run.clone(),
        row.status.to_string(),
        r.method.clone(),
        r.variant.clone(),
        r.dataset.clone(),
        r.preset.clone(),
        r.seed.to_string(),
        i.to_string(),
        class.name.clone(),
        class.dice.to_string(),
        class.dice_deviation.map_or_else(String::new, |d| d.to_string()),
        class.iou.to_string(),
        class.pooled_dice.to_string(),
        class.pooled_iou.to_string(),
        s.iou.to_string(),
        s.pixel_accuracy.to_string(),
        s.legacy_soft_dice.map_or_else(String::new, |d| d.to_string()),
        s.legacy_background_iou.to_string(),
        s.volumes.to_string(),
        s.unet_parameters.to_string(),
    ]
}
