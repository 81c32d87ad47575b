//! Overlaps of segmentations: a table for a reader, and a long CSV file with one row a run and class.

use super::grid::Grid;
use super::lines::line;
use super::load::Run;
use super::spread::{Spread, percent};
use super::summary::{SummaryRow, or_none};
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

    fn runs_with(&self, class: &str) -> usize {
        self.runs.iter().filter(|(_, s)| of(s, class).is_some()).count()
    }

    /// Over the seeds that have the class.
    fn of_class(&self, class: &str, get: fn(&ClassScore) -> Option<f64>) -> String {
        percent(self.spread(|_, s| of(s, class).and_then(get)))
    }

    /// Volumes behind a figure: one number, or the fewest and the most over the seeds, since a prediction may have a class that the truth lacks.
    fn volumes(&self, get: impl Fn(&SegmentationRecord) -> Option<u64>) -> String {
        self.spread(|_, s| get(s).map(|n| n as f64)).span()
    }
}

fn groups<'a>(runs: &'a [Run], summary: &'a [SummaryRow]) -> Vec<Group<'a>> {
    let segmented = |i: &usize| runs[*i].result.as_ref().and_then(|r| Some((r, r.segmentation.as_ref()?)));
    let group = |row: &'a SummaryRow| Group { row, runs: row.members.iter().filter_map(segmented).collect() };
    summary.iter().map(group).filter(|g| !g.runs.is_empty()).collect()
}

/// One row a group and class.
pub(super) fn by_class(runs: &[Run], summary: &[SummaryRow]) -> Grid {
    let groups = groups(runs, summary);
    let grid = Grid::of(
        "Segmentation",
        4,
        groups.iter().flat_map(|g| classes(g).into_iter().map(Some).chain([None]).map(move |class| (g, class))),
        &[
            ("method", &|(g, _)| g.row.name()),
            ("data set", &|(g, _)| g.row.dataset.clone()),
            ("preset", &|(g, _)| g.row.preset.clone()),
            ("class", &|(_, class)| class.unwrap_or("foreground").into()),
            ("seeds", &|(g, class)| class.map_or(g.runs.len(), |class| g.runs_with(class)).to_string()),
            ("volumes", &|(g, class)| g.volumes(|s| class.map_or(Some(s.scored_volumes), |class| of(s, class).map(|c| c.volumes)))),
            ("Dice, mean over volumes (%)", &|(g, class)| {
                class.map_or_else(|| percent(g.spread(|r, _| r.final_score)), |class| g.of_class(class, |c| c.dice))
            }),
            ("IoU, mean over volumes (%)", &|(g, class)| {
                class.map_or_else(|| percent(g.spread(|_, s| s.iou)), |class| g.of_class(class, |c| c.iou))
            }),
            ("Dice of all pixels together (%)", &|(g, class)| or_none(class.map(|class| g.of_class(class, |c| c.pooled_dice)))),
            ("soft Dice (authors' code, %)", &|(g, class)| or_none(class.is_none().then(|| percent(g.spread(|_, s| s.legacy_soft_dice))))),
            ("mIoU (authors' code, %)", &|(g, class)| {
                or_none(class.is_none().then(|| percent(g.spread(|_, s| Some(s.legacy_background_iou)))))
            }),
        ],
    );
    grid.about(READING).without_equal(&["class"]).printed(&[
        "method",
        "class",
        "volumes",
        "Dice, mean over volumes (%)",
        "IoU, mean over volumes (%)",
    ])
}

/// How to read the table.
const READING: &str = "Dice and IoU are computed for every class of a volume and averaged over the test volumes; foreground means all classes but the background. A class that neither truth nor \
     prediction has in a volume does not count there, and a volume without any class of the foreground does not count at all; “volumes” says how many do. What the authors' code of NAS-Unet prints as \
     Dice is computed from probabilities, for all classes, and averaged over slices; what it prints as mIoU leaves out the last class.";

fn of<'a>(record: &'a SegmentationRecord, class: &str) -> Option<&'a ClassScore> {
    record.classes.iter().find(|c| c.name == class)
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

line! {
    /// `segmentation.csv`: one line a run and class, with what is about all classes repeated.
    ClassLine(run: &Run, r: &RunResult, s: &SegmentationRecord, i: usize, c: &ClassScore) {
        run: String = run.name.clone();
        status: &'static str = run.status.word();
        method: String = r.method.clone();
        variant: String = r.variant.clone();
        dataset: String = r.dataset.clone();
        preset: String = r.preset.clone();
        seed: u64 = r.seed;
        class_index: usize = i;
        class: String = c.name.clone();
        class_volumes: u64 = c.volumes;
        dice: Option<f64> = c.dice;
        dice_sd_over_volumes: Option<f64> = c.dice_deviation;
        iou: Option<f64> = c.iou;
        pooled_dice: Option<f64> = c.pooled_dice;
        pooled_iou: Option<f64> = c.pooled_iou;
        foreground_iou: Option<f64> = s.iou;
        pixel_accuracy: f64 = s.pixel_accuracy;
        legacy_soft_dice: Option<f64> = s.legacy_soft_dice;
        legacy_background_iou: f64 = s.legacy_background_iou;
        test_volumes: u64 = s.volumes;
        scored_volumes: u64 = s.scored_volumes;
        unet_parameters: u64 = s.unet_parameters;
    }
}

/// The lines of all segmented runs.
pub(super) fn lines(runs: &[Run]) -> Vec<ClassLine> {
    let segmented = runs.iter().filter_map(|run| Some((run, run.result.as_ref()?, run.result.as_ref()?.segmentation.as_ref()?)));
    segmented.flat_map(|(run, r, s)| s.classes.iter().enumerate().map(move |(i, c)| ClassLine::of(run, r, s, i, c))).collect()
}
