//! Runs that are segmentations: tables by class, the long CSV file, overlays, cells.

use super::{Fixture, hash, node, png_size, read, records, report, runs, table};
use naslab::record::{ClassScore, Example, ExampleInfo, PADDING, SegmentationRecord, write_examples};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn class(name: &str, dice: f64, pooled: f64) -> ClassScore {
    ClassScore {
        name: name.into(),
        volumes: 5,
        dice: Some(dice),
        dice_deviation: Some(0.125),
        iou: Some(dice / 2.0),
        pooled_dice: Some(pooled),
        pooled_iou: Some(pooled / 2.0),
    }
}

/// The cells of a U.
fn u() -> Value {
    let down = [node(("down_cweight", 0), ("down_conv", 1)), node(("down_cweight", 1), ("identity", 2))];
    let up = [node(("conv", 0), ("up_cweight", 1)), node(("up_cweight", 1), ("identity", 2))];
    json!({"space": "nas_unet", "down": down, "up": up})
}

/// A run of NAS-Unet on some organs, with a Dice of `dice` in its first class and `dice + 0.2` in its second.
fn segmented(seed: u64, dice: f64) -> (Fixture, Value) {
    let fixture = Fixture {
        method: "nas_unet",
        variant: "",
        kind: "Dice of the mixed network on the validation volumes",
        dataset: "organs",
        seed,
        final_score: Some(dice + 0.1),
        search_score: Some(dice),
        ..Fixture::default()
    };
    let record = SegmentationRecord {
        classes: vec![class("background", 0.99, 0.98), class("even", dice, dice + 0.05), class("odd <1>", dice + 0.2, dice + 0.25)],
        iou: Some(dice - 0.1),
        pixel_accuracy: 0.95,
        legacy_soft_dice: Some(0.75),
        legacy_background_iou: 0.875,
        volumes: 5,
        scored_volumes: 5,
        unet_parameters: 1_829_300,
    };
    let mut result = fixture.result();
    result["metric"] = json!("dice");
    result["architecture"] = u();
    result["architecture_hash"] = json!(hash(&u()));
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
    let rows = table(&out, "Segmentation");
    let cells = |r: &super::Record| {
        ["class", "Dice, mean over volumes (%)", "IoU, mean over volumes (%)", "Dice of all pixels together (%)"]
            .map(|head| r[head].clone())
    };
    let expected = [
        ["background", "99.00 ± 0.00", "49.50 ± 0.00", "98.00 ± 0.00"],
        ["even", "55.00 ± 7.07", "27.50 ± 3.54", "60.00 ± 7.07"],
        ["odd &lt;1>", "75.00 ± 7.07", "37.50 ± 3.54", "80.00 ± 7.07"],
        ["foreground", "65.00 ± 7.07", "45.00 ± 7.07", "–"],
    ];
    assert_eq!(rows.iter().map(cells).collect::<Vec<_>>(), expected, "a classification has no row");
    assert!(rows.iter().all(|r| [&r["seeds"], &r["volumes"]] == ["2", "5"]));
    assert_eq!([&rows[3]["soft Dice (authors' code, %)"], &rows[3]["mIoU (authors' code, %)"]], ["75.00 ± 0.00", "87.50 ± 0.00"]);
    assert!(read(out.join("results.md")).contains("“volumes” says how many do"));
    assert!(read(out.join("report.html")).contains("<td>odd &lt;1&gt;</td>"));
    assert!(read(out.join("results.tex")).contains("\\caption{Segmentation ("));
    // Weights of a network that nobody trained are no measure of these.
    assert!(!read(out.join("results.md")).contains("1,829,300"));

    let listed = records(out.join("segmentation.csv"));
    assert!(summary.files.iter().any(|f| f.ends_with("segmentation.csv")));
    assert_eq!(listed.len(), 6);
    let of = |name: &str| listed.iter().map(|r| r[name].as_str()).collect::<Vec<_>>();
    assert_eq!(of("class"), ["background", "even", "odd <1>", "background", "even", "odd <1>"]);
    assert_eq!(of("seed"), ["0", "0", "0", "1", "1", "1"]);
    assert_eq!(of("dice"), ["0.99", "0.5", "0.7", "0.99", "0.6", "0.8"]);
    assert_eq!(of("dice_sd_over_volumes"), ["0.125"; 6]);
    assert_eq!([of("class_volumes"), of("scored_volumes"), of("test_volumes")], [["5"; 6]; 3]);
    assert_eq!([listed[1]["iou"].as_str(), &listed[1]["pooled_dice"], &listed[1]["foreground_iou"]], ["0.25", "0.55", "0.4"]);
}

#[test]
fn one_seed_has_no_deviation_and_one_volume_leaves_a_field_empty() {
    let root = TempDir::new().unwrap();
    let (fixture, mut result) = segmented(0, 0.5);
    result["segmentation"]["classes"][1]["dice_deviation"] = Value::Null;
    write(&runs(&root), &(fixture, result));
    let (_, out) = report(&root);
    assert_eq!(table(&out, "Segmentation")[1]["Dice, mean over volumes (%)"], "50.00 ± –");
    assert_eq!(records(out.join("segmentation.csv"))[1]["dice_sd_over_volumes"], "");
}

#[test]
fn a_class_counts_only_in_the_volumes_that_have_it_and_the_tables_say_in_how_many() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    let with = |seed: u64, dice: f64, volumes: [u64; 2], scored: u64| {
        let (fixture, mut result) = segmented(seed, dice);
        let overlaps = &mut result["segmentation"];
        (overlaps["classes"][1]["volumes"], overlaps["classes"][2]["volumes"]) = (json!(volumes[0]), json!(volumes[1]));
        overlaps["scored_volumes"] = json!(scored);
        if volumes[1] == 0 {
            for figure in ["dice", "dice_deviation", "iou", "pooled_dice", "pooled_iou"] {
                overlaps["classes"][2][figure] = Value::Null;
            }
        }
        write(&folder, &(fixture, result));
    };
    with(0, 0.5, [3, 0], 3);
    with(1, 0.6, [4, 2], 5);
    let (_, out) = report(&root);
    let rows = table(&out, "Segmentation");
    let cells = |r: &super::Record| ["class", "volumes", "Dice, mean over volumes (%)"].map(|head| r[head].clone());
    let expected = [["even", "3–4", "55.00 ± 7.07"], ["odd &lt;1>", "0–2", "80.00 ± –"], ["foreground", "3–5", "65.00 ± 7.07"]];
    assert_eq!(rows[1..].iter().map(cells).collect::<Vec<_>>(), expected, "two empty masks count nowhere");
    assert_eq!(table(&out, "Outcome: Dice")[0]["test volumes"], "3–5");
    let listed = records(out.join("segmentation.csv"));
    let of = |row: usize| ["class_volumes", "scored_volumes", "dice", "iou", "pooled_iou"].map(|name| listed[row][name].as_str());
    assert_eq!(of(1), ["3", "3", "0.5", "0.25", "0.275"]);
    assert_eq!(of(2), ["0", "3", "", "", ""]);
}

#[test]
fn classifications_alone_have_no_table_of_overlaps() {
    let root = TempDir::new().unwrap();
    Fixture::default().write(&runs(&root));
    let (summary, out) = report(&root);
    assert!(!out.join("segmentation.csv").exists() && !read(out.join("results.md")).contains("Segmentation"));
    assert!(
        !read(out.join("report.html")).contains("<h2 id=\"Segmentation") && !summary.files.iter().any(|f| f.ends_with("segmentation.csv"))
    );
}

#[test]
fn accuracy_and_dice_never_share_an_axis_or_a_row() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    Fixture::default().write(&folder);
    // The same data set, preset and device, to be told apart by the metric alone.
    let (fixture, result) = segmented(0, 0.5);
    let same = Fixture { dataset: "digits", variant: "first-order", ..fixture };
    let mut moved = same.result();
    for key in ["metric", "architecture", "architecture_hash", "segmentation"] {
        moved[key] = result[key].clone();
    }
    write(&folder, &(same, moved));
    let (summary, out) = report(&root);
    let metrics: Vec<&str> = summary.rows.iter().map(|r| r.metric.as_str()).collect();
    assert_eq!(metrics, ["accuracy", "dice"]);
    assert!(summary.table.contains(" accuracy ") && summary.table.contains(" Dice "), "{}", summary.table);
    let anytime = read(out.join("anytime.svg"));
    for (file, here, there) in [("accuracy-cost", "accuracy", "Dice"), ("dice-cost", "Dice", "accuracy")] {
        let svg = read(out.join(format!("{file}.svg")));
        let count = |score: &str| svg.matches(&format!("test {score} after retraining (%)")).count();
        assert_eq!([count(here), count(there)], [1, 0], "{file}");
        assert_eq!(svg.matches("Measured here: digits, preset smoke").count(), 1);
    }
    assert_eq!(anytime.matches(", best so far (%)").count(), 2, "a panel for each kind of score");
    let unet = &summary.rows[1];
    assert_eq!(unet.claim.as_ref().map(|c| c.dataset.as_str()), Some("promise12"), "the headline of NAS-Unet is a Dice");
}

#[test]
fn the_cells_of_a_nas_unet_are_drawn_in_the_report() {
    let root = TempDir::new().unwrap();
    write(&runs(&root), &segmented(0, 0.5));
    let (summary, out) = report(&root);
    assert!(!summary.warnings.iter().any(|w| w.contains("its cell cannot be drawn")), "{:?}", summary.warnings);
    let svg = read(out.join("cell-nas_unet-organs-smoke-s0.svg"));
    assert_eq!([svg.matches("down_cweight").count(), svg.matches("up_cweight").count()], [2, 2], "{svg}");
    assert!(svg.contains("down cell") && svg.contains("up cell") && svg.contains("skip"));
}

/// Three slices with a disc of every foreground class, in a window that is larger than the slice at its right.
fn slices(width: usize, height: usize, classes: usize) -> Vec<Example> {
    let slice = |(i, rank): (usize, &str)| {
        let about = ExampleInfo { volume: format!("Case_0{i}"), slice: 7, rank: rank.into(), dice: 0.25 * (i + 1) as f64, height, width };
        let disc = |x: usize, y: usize, shift: f64| {
            let (across, down) = (x as f64 / width as f64, y as f64 / height as f64);
            let column = |c: usize| (0.18 + 0.22 * ((c - 1) % 4) as f64, 0.2 + 0.3 * ((c - 1) / 4) as f64);
            let near = |c: &usize| (across - column(*c).0 - shift).hypot(down - column(*c).1) < 0.1;
            (1..classes).find(near).unwrap_or(0) as u8
        };
        let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729 + i) % 61) as u8;
        let inside = |x: usize| x < width - width / 8;
        Example {
            about,
            image: pixels().map(|(x, y)| 40 + noise(x, y) + (100 * x / width) as u8).collect(),
            truth: pixels().map(|(x, y)| if inside(x) { disc(x, y, 0.0) } else { PADDING }).collect(),
            predicted: pixels().map(|(x, y)| disc(x, y, 0.06 - 0.02 * i as f64)).collect(),
        }
    };
    ["worst", "median", "best"].into_iter().enumerate().map(slice).collect()
}

#[test]
fn test_slices_are_drawn_into_the_page_and_the_same_every_time() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    for seed in 0..5 {
        let path = write(&folder, &segmented(seed, 0.5));
        write_examples(&path.join("examples.safetensors"), &slices(40, 48, 3)).unwrap();
    }
    Fixture::default().write(&folder);
    let (summary, out) = report(&root);
    let about: Vec<&String> = summary.warnings.iter().filter(|w| w.contains("test slices")).collect();
    assert!(about.len() == 1 && about[0].starts_with("test slices of 4 more runs are not drawn"), "{about:?}");
    let overlays = || summary.files.iter().filter(|f| f.file_name().unwrap().to_string_lossy().starts_with("overlay-"));
    assert_eq!(overlays().count(), 1);
    // Three panels of 40 x 9 pixels of the PNG in a row, three rows of 48 x 9.
    let (width, height) = png_size(out.join("overlay-nas_unet-organs-smoke-s0.png"));
    assert!(width > 3 * 360 && width < 2000 && height > 3 * 432 && height < 2000, "{width} x {height}");
    let html = read(out.join("report.html"));
    assert_eq!(html.matches("<img alt=\"").count(), 1);
    assert_eq!(html.matches("src=\"data:image/png;base64,iVBORw0KGgo").count(), 1);
    assert!(!html.contains("src=\"overlay"));

    let before: Vec<Vec<u8>> = summary.files.iter().map(|f| fs::read(f).unwrap()).collect();
    let (again, _) = report(&root);
    for (file, bytes) in again.files.iter().zip(&before) {
        assert!(fs::read(file).unwrap() == *bytes, "{}", file.display());
    }
}

#[test]
fn missing_and_damaged_test_slices_are_a_warning() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    write(&folder, &segmented(0, 0.5));
    let torn = write(&folder, &segmented(1, 0.5)).join("examples.safetensors");
    write_examples(&torn, &slices(16, 16, 3)).unwrap();
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let foreign = write(&folder, &segmented(2, 0.5)).join("examples.safetensors");
    write_examples(&foreign, &slices(16, 16, 5)).unwrap();
    let (summary, out) = report(&root);
    let named = |seed: u64, what: &str| {
        let run = format!("nas_unet-organs-s{seed}: its test slices cannot be drawn");
        summary.warnings.iter().any(|w| w.starts_with(&run) && w.contains(what))
    };
    assert!(named(0, "none was recorded") && named(1, "examples.safetensors") && named(2, "names class 4"), "{:?}", summary.warnings);
    assert_eq!(summary.rows[0].seeds, 3, "the runs count all the same");
    assert!(!read(out.join("report.html")).contains("<img "));
}
