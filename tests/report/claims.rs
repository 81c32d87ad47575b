//! Which reported number stands beside a run, and what is said of the two.

use super::{Fixture, figures, put_manifest, random, read, report, runs, table};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// Three runs with the paper's settings, that cut squares of `cutout` pixels out of the images of the retraining.
fn as_the_paper(folder: &Path, of: Fixture, cutout: u32) {
    for (seed, score) in [0.970, 0.971, 0.969].into_iter().enumerate() {
        let fixture = Fixture { seed: seed as u64, final_score: Some(score), dataset: "cifar10", ..of.clone() };
        let path = fixture.write(folder);
        let mut manifest = fixture.manifest();
        manifest["settings"]["retrain"] = json!({"augment": {"cutout": cutout}});
        manifest["shrunk"] = Value::Array(Vec::new());
        put_manifest(&path, manifest);
    }
}

fn search(method: &'static str, variant: &'static str, preset: &'static str) -> Fixture {
    Fixture { method, variant, preset, ..Fixture::default() }
}

/// Of every row in order: value, what is in the way of a comparison, gap and verdict.
fn outcomes(root: &TempDir) -> Vec<[String; 4]> {
    let (_, out) = report(root);
    let reported = figures(&out, "reported_final_score");
    let row = |r: super::Record| {
        let of = reported.iter().find(|line| line["preset"] == r["preset"]);
        let apart = of.and_then(|line| line["note"].split("; ").nth(2).map(String::from)).unwrap_or_default();
        let value = of.map_or_else(String::new, |line| format!("{:.2}", 100.0 * line["mean"].parse::<f64>().unwrap()));
        let gap = r.get("gap (points)").cloned().unwrap_or_default();
        [value, apart, gap, r["verdict"].clone()]
    };
    table(&out, "Outcome: accuracy").into_iter().map(row).collect()
}

#[test]
fn a_gap_and_a_verdict_need_the_cutout_of_the_paper() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    as_the_paper(&folder, search("enas", "micro", "a-with"), 16);
    as_the_paper(&folder, search("enas", "micro", "b-without"), 0);
    as_the_paper(&folder, search("ghn", "top-best", "c-without"), 0);
    let expected = [
        ["97.11", "", "-0.11", "as reported, within 1 point"],
        ["96.46", "", "+0.54", "as reported, within 1 point"],
        ["97.16", "other cutout", "–", "other cutout"],
    ];
    assert_eq!(outcomes(&root), expected);
    let (summary, out) = report(&root);
    let text = read(out.join("results.md"));
    assert!(text.contains("² micro on cifar10, without cutout; "), "{text}");
    assert!(text.contains("| 97.16 ± 0.07³ |") && text.contains("³ Top-Best, F=32 on cifar10, with cutout; "), "{text}");
    assert!(text.contains("does not reproduce a ranking of methods"));
    assert!(summary.table.contains("97.16 ± 0.07 on cifar10 (other cutout)"), "{}", summary.table);
    let listed = figures(&out, "reported_final_score");
    let status = |line: &super::Record| line["note"].split("; ").nth(1).unwrap().to_string();
    let said: Vec<(String, String)> = listed.iter().map(|line| (line["retrained_with_cutout"].clone(), status(line))).collect();
    let expected = [("true", "confirmed"), ("false", "quoted"), ("false", "confirmed")];
    assert_eq!(said, expected.map(|(cutout, status)| (cutout.to_string(), status.to_string())));
}

#[test]
fn a_variant_without_a_number_has_no_claim() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    as_the_paper(&folder, search("amoebanet", "ageing", "a"), 0);
    as_the_paper(&folder, search("amoebanet", "non-ageing", "b"), 0);
    assert_eq!(outcomes(&root), [["96.66", "", "+0.34", "as reported, within 1 point"], ["", "", "–", "no claim"]]);
}

#[test]
fn a_control_stands_beside_no_number_of_another_space() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    for (preset, variant) in [("a", "darts-space"), ("b", "ghn-space-unselected"), ("c", "nasnet-space")] {
        as_the_paper(&folder, Fixture { variant, preset, ..random(0, 0.96) }, 16);
    }
    let expected = [
        ["96.71", "", "+0.29", "as reported, within 1 point"],
        ["94.60", "cutout not stated", "–", "cutout not stated"],
        ["", "", "–", "no claim"],
    ];
    assert_eq!(outcomes(&root), expected);
}
