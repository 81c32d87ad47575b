//! Overlaps of segmentations: two tables for a reader, and a long CSV file with one row a run and class.

use super::grid::{Grid, field};
use super::load::Run;
use super::spread::{Spread, percent, significant};
use super::summary::{SummaryRow, or_none};
use crate::error::Result;
use crate::record::{ClassScore, RunResult, SegmentationRecord};
use crate::units::show_count;

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

    fn runs_with(&self, class: &str) -> usize {
        self.runs.iter().filter(|(_, s)| s.classes.iter().any(|c| c.name == class)).count()
    }

    /// Over the seeds that have the class.
    fn of_class(&self, class: &str, get: fn(&ClassScore) -> Option<f64>) -> String {
        percent(self.spread(|_, s| s.classes.iter().find(|c| c.name == class).and_then(get)))
    }

    /// Volumes behind a figure: one number, or the fewest and the most over the seeds, since a prediction may have a class that the truth lacks.
    fn volumes(&self, get: impl Fn(&SegmentationRecord) -> Option<u64>) -> String {
        self.spread(|_, s| get(s).map(|n| n as f64)).span()
    }

    /// Mean of the weights, in those of a U-Net.
    fn unets(&self) -> Option<f64> {
        self.spread(|result, s| (s.unet_parameters > 0).then(|| result.parameters as f64 / s.unet_parameters as f64)).mean
    }
}

fn groups<'a>(runs: &'a [Run], summary: &'a [SummaryRow]) -> Vec<Group<'a>> {
    let segmented = |i: &usize| runs[*i].result.as_ref().and_then(|r| Some((r, r.segmentation.as_ref()?)));
    let group = |row: &'a SummaryRow| Group { row, runs: row.members.iter().filter_map(segmented).collect() };
    summary.iter().map(group).filter(|g| !g.runs.is_empty()).collect()
}

/// One row a group: what is about all classes together.
pub(super) fn whole(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    Grid::of(
        "Segmentation, whole",
        3,
        groups(runs, summary),
        &[
            ("method", &|g| g.row.name()),
            ("data set", &|g| g.row.dataset.clone()),
            ("preset", &|g| g.row.preset.clone()),
            ("seeds", &|g| g.runs.len().to_string()),
            ("volumes", &|g| g.volumes(|s| Some(s.scored_volumes))),
            ("foreground Dice (%)", &|g| percent(g.spread(|result, _| result.final_score))),
            ("foreground IoU (%)", &|g| percent(g.spread(|_, s| s.iou))),
            ("pixel accuracy (%)", &|g| percent(g.spread(|_, s| Some(s.pixel_accuracy)))),
            ("Dice as the public code counts it (%)", &|g| percent(g.spread(|_, s| s.legacy_soft_dice))),
            ("mIoU as the public code counts it (%)", &|g| percent(g.spread(|_, s| Some(s.legacy_background_iou)))),
            ("parameters", &|g| g.row.parameters_text()),
            ("U-Net's parameters", &|g| show_count(g.runs[0].1.unet_parameters)),
            ("parameters / U-Net's", &|g| or_none(g.unets().map(significant))),
        ],
    )
}

/// One row a group and class.
pub(super) fn by_class(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    let groups = groups(runs, summary);
    Grid::of(
        "Segmentation by class",
        4,
        groups.iter().flat_map(|g| classes(g).into_iter().map(move |class| (g, class))),
        &[
            ("method", &|(g, _)| g.row.name()),
            ("data set", &|(g, _)| g.row.dataset.clone()),
            ("preset", &|(g, _)| g.row.preset.clone()),
            ("class", &|(_, class)| class.to_string()),
            ("seeds", &|(g, class)| g.runs_with(class).to_string()),
            ("volumes", &|(g, class)| g.volumes(|s| s.classes.iter().find(|c| c.name == *class).map(|c| c.volumes))),
            ("Dice, mean over volumes (%)", &|(g, class)| g.of_class(class, |c| c.dice)),
            ("IoU, mean over volumes (%)", &|(g, class)| g.of_class(class, |c| c.iou)),
            ("Dice of all pixels together (%)", &|(g, class)| g.of_class(class, |c| c.pooled_dice)),
        ],
    )
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

/// Every class of every segmented run, with its number.
fn scored(runs: &[Run]) -> impl Iterator<Item = (&Run, &RunResult, &SegmentationRecord, usize, &ClassScore)> {
    let segmented = runs.iter().filter_map(|run| Some((run, run.result.as_ref()?, run.result.as_ref()?.segmentation.as_ref()?)));
    segmented.flat_map(|(run, result, whole)| whole.classes.iter().enumerate().map(move |(i, class)| (run, result, whole, i, class)))
}

/// `segmentation.csv`: one row a run and class, with what is about all classes repeated; an empty field is unknown. `None` without any
/// segmentation.
pub(super) fn segmentation_csv(runs: &[Run]) -> Result<Option<Vec<u8>>> {
    let grid = Grid::of(
        "segmentation.csv",
        9,
        scored(runs),
        &[
            ("run", &|s| s.0.name.clone()),
            ("status", &|s| s.0.status.word().into()),
            ("method", &|s| s.1.method.clone()),
            ("variant", &|s| s.1.variant.clone()),
            ("dataset", &|s| s.1.dataset.clone()),
            ("preset", &|s| s.1.preset.clone()),
            ("seed", &|s| s.1.seed.to_string()),
            ("class_index", &|s| s.3.to_string()),
            ("class", &|s| s.4.name.clone()),
            ("class_volumes", &|s| s.4.volumes.to_string()),
            ("dice", &|s| field(s.4.dice)),
            ("dice_sd_over_volumes", &|s| field(s.4.dice_deviation)),
            ("iou", &|s| field(s.4.iou)),
            ("pooled_dice", &|s| field(s.4.pooled_dice)),
            ("pooled_iou", &|s| field(s.4.pooled_iou)),
            ("foreground_iou", &|s| field(s.2.iou)),
            ("pixel_accuracy", &|s| s.2.pixel_accuracy.to_string()),
            ("legacy_soft_dice", &|s| field(s.2.legacy_soft_dice)),
            ("legacy_background_iou", &|s| s.2.legacy_background_iou.to_string()),
            ("test_volumes", &|s| s.2.volumes.to_string()),
            ("scored_volumes", &|s| s.2.scored_volumes.to_string()),
            ("unet_parameters", &|s| s.2.unet_parameters.to_string()),
        ],
    );
    (!grid.rows.is_empty()).then(|| grid.csv()).transpose()
}
