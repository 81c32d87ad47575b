//! Runs that are segmentations: tables by class, the long CSV file.

use super::{Fixture, read, records, report, runs};
use naslab::arch::nas_unet_space;
use naslab::record::{ClassScore, SegmentationRecord};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn class(name: &str, dice: f64, pooled: f64) -> ClassScore {
    ClassScore { name: name.into(), dice, dice_deviation: Some(0.125), iou: dice / 2.0, pooled_dice: pooled, pooled_iou: pooled / 2.0 }
}

/// A run of NAS-Unet on canvases of digits, with a Dice of `dice` in its first class and `dice + 0.2` in its second.
fn segmented(seed: u64, dice: f64) -> (Fixture, Value) {
    let fixture = Fixture {
        method: "nas_unet",
        variant: "",
        kind: "Dice of the mixed network on the validation volumes",
        dataset: "digit_canvases",
        seed,
        final_score: Some(dice + 0.1),
        search_score: Some(dice),
        ..Fixture::default()
    };
    let record = SegmentationRecord {
        classes: vec![class("background", 0.99, 0.98), class("even", dice, dice + 0.05), class("odd <1>", dice + 0.2, dice + 0.25)],
        iou: dice - 0.1,
        pixel_accuracy: 0.95,
        legacy_soft_dice: 0.75,
        legacy_background_iou: 0.875,
        volumes: 5,
        unet_parameters: 1_829_300,
    };
    let mut result = fixture.result();
    result["metric"] = json!("dice");
    result["architecture"] = serde_json::to_value(nas_unet_space::PUBLISHED[0].1()).unwrap();
    result["segmentation"] = serde_json::to_value(record).unwrap();
    (fixture, result)
}

fn write(folder: &Path, (fixture, result): &(Fixture, Value)) -> PathBuf {
    let path = fixture.write(folder);
    fs::write(path.join("result.json"), result.to_string()).unwrap();
    path
}

#[test]
fn tables_and_the_long_file_hold_every_class_and_the_seeds_means() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    write(&folder, &segmented(0, 0.5));
    write(&folder, &segmented(1, 0.6));
    Fixture::default().write(&folder);
    let (summary, out) = report(&root);
    let markdown = read(out.join("results.md"));
    // 36,586 and 36,686 weights beside 1,829,300: 0.0200 and 0.02005.
    let whole = "| nas_unet | digit_canvases | smoke | 2 | 65.00 ± 7.07 | 45.00 ± 7.07 | 95.00 ± 0.00 | 75.00 ± 0.00 | 87.50 ± 0.00 \
                 | 36,636 (36,586–36,686) | 1,829,300 | 0.0200 |";
    assert!(markdown.contains(whole), "{markdown}");
    for line in [
        "| nas_unet | digit_canvases | smoke | background | 2 | 99.00 ± 0.00 | 49.50 ± 0.00 | 98.00 ± 0.00 |",
        "| nas_unet | digit_canvases | smoke | even | 2 | 55.00 ± 7.07 | 27.50 ± 3.54 | 60.00 ± 7.07 |",
        "| nas_unet | digit_canvases | smoke | odd &lt;1> | 2 | 75.00 ± 7.07 | 37.50 ± 3.54 | 80.00 ± 7.07 |",
    ] {
        assert!(markdown.contains(line), "{line} is not in\n{markdown}");
    }
    assert_eq!(markdown.matches("| background |").count(), 1, "a classification has no row");
    assert!(markdown.contains("of two empty masks both are 1"));
    let html = read(out.join("report.html"));
    assert!(html.contains("<h2>Segmentation, whole</h2>") && html.contains("<td>odd &lt;1&gt;</td><td class=\"n\">2</td>"));
    assert!(read(out.join("results.tex")).contains("\\caption{Segmentation by class}"));

    let listed = records(out.join("segmentation.csv"));
    assert!(summary.files.iter().any(|f| f.ends_with("segmentation.csv")));
    assert_eq!(listed.len(), 6);
    let of = |name: &str| listed.iter().map(|r| r[name].as_str()).collect::<Vec<_>>();
    assert_eq!(of("class"), ["background", "even", "odd <1>", "background", "even", "odd <1>"]);
    assert_eq!(of("seed"), ["0", "0", "0", "1", "1", "1"]);
    assert_eq!(of("dice"), ["0.99", "0.5", "0.7", "0.99", "0.6", "0.8"]);
    assert_eq!(of("dice_sd_over_volumes"), ["0.125"; 6]);
    assert_eq!([listed[1]["iou"].as_str(), &listed[1]["pooled_dice"], &listed[1]["foreground_iou"]], ["0.25", "0.55", "0.4"]);
}

#[test]
fn one_seed_has_no_deviation_and_one_volume_leaves_a_field_empty() {
    let root = TempDir::new().unwrap();
    let (fixture, mut result) = segmented(0, 0.5);
    result["segmentation"]["classes"][1]["dice_deviation"] = Value::Null;
    write(&runs(&root), &(fixture, result));
    let (_, out) = report(&root);
    assert!(read(out.join("results.md")).contains("| even | 1 | 50.00 ± – | 25.00 ± – | 55.00 ± – |"));
    assert_eq!(records(out.join("segmentation.csv"))[1]["dice_sd_over_volumes"], "");
}

#[test]
fn classifications_alone_have_no_table_of_overlaps() {
    let root = TempDir::new().unwrap();
    Fixture::default().write(&runs(&root));
    let (summary, out) = report(&root);
    assert!(!out.join("segmentation.csv").exists() && !read(out.join("results.md")).contains("Segmentation"));
    assert!(!read(out.join("report.html")).contains("Segmentation,") && !summary.files.iter().any(|f| f.ends_with("segmentation.csv")));
}

#[test]
fn accuracy_and_dice_never_share_an_axis_or_a_row() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    Fixture::default().write(&folder);
    // The same data set, preset and device, to be told apart by the metric alone.
    let (fixture, result) = segmented(0, 0.5);
    let same = Fixture { dataset: "digits", ..fixture };
    let mut moved = same.result();
    for key in ["metric", "architecture", "segmentation"] {
        moved[key] = result[key].clone();
    }
    write(&folder, &(same, moved));
    let (summary, out) = report(&root);
    let metrics: Vec<&str> = summary.rows.iter().map(|r| r.metric.as_str()).collect();
    assert_eq!(metrics, ["accuracy", "dice"]);
    assert!(summary.table.contains(" accuracy ") && summary.table.contains(" Dice "), "{}", summary.table);
    let (cost, anytime) = (read(out.join("accuracy-cost.svg")), read(out.join("anytime.svg")));
    for words in ["test accuracy after retraining (%)", "test Dice after retraining (%)"] {
        assert_eq!(cost.matches(words).count(), 1, "{words}");
    }
    assert_eq!(cost.matches("Measured here: digits, preset smoke").count(), 2);
    for words in ["best search score so far (accuracy, %)", "best search score so far (Dice, %)"] {
        assert_eq!(anytime.matches(words).count(), 1, "{words}");
    }
    let unet = &summary.rows[1];
    assert_eq!(unet.claim.as_ref().map(|c| c.dataset.as_str()), Some("promise12"), "the headline of NAS-Unet is a Dice");
}

#[test]
fn the_cells_of_a_nas_unet_are_drawn_in_the_report() {
    let root = TempDir::new().unwrap();
    write(&runs(&root), &segmented(0, 0.5));
    let (summary, out) = report(&root);
    assert!(!summary.warnings.iter().any(|w| w.contains("its cell cannot be drawn")), "{:?}", summary.warnings);
    let svg = read(out.join("cell-nas_unet-digit_canvases-smoke-s0.svg"));
    assert_eq!([svg.matches("down_cweight").count(), svg.matches("up_cweight").count()], [5, 4], "{svg}");
    assert!(svg.contains("down cell") && svg.contains("up cell") && svg.contains("skip"));
}
