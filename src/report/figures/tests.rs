//! Every figure, drawn from any runs: none, one, equal ones, very many, and values and names that are none.

use super::*;
use crate::plot::{self, Mark, PNG_DPI, png, svg};
use crate::record::{EndReason, Example, ExampleInfo, LedgerRecord, Phase, TrialRecord};
use crate::report::claims::claims;
use crate::report::load::{CurvePoint, Reported, Run, Status};
use crate::report::proxies;
use crate::space::Architecture;
use serde_json::json;
use std::collections::BTreeMap;

/// A figure has no more marks than this, whatever it is drawn from: what bounds the time and the size of its files.
const MOST_MARKS: usize = 40_000;
/// Nor is it larger, in pixels of the page.
const MOST_PIXELS: f64 = 1.2e7;
/// Nor more points on its lines.
const MOST_POINTS: usize = 600_000;
const LONG: &str = "a_name_of_a_method_without_any_space_in_it_that_is_far_wider_than_every_place_where_it_may_stand_";

pub fn architecture() -> Architecture {
    let e = |from: usize| json!({"op": "sep_conv_3x3", "from": from});
    let cell = || json!({"nodes": [[e(0), e(1)], [e(0), e(2)]], "concat": [2, 3]});
    serde_json::from_value(json!({"space": "darts", "normal": cell(), "reduce": cell()})).unwrap()
}

/// An account with these device-seconds, a phase without any is not there.
fn ledger(seconds: [Option<f64>; 5]) -> Option<LedgerRecord> {
    let row = |phase: Phase| {
        json!({"phase": phase.name(), "attempt": 0, "device_seconds": 0.0, "cpu_seconds": null, "wall_seconds": 1.0, "samples": 0, "steps": 0,
            "trials": 0, "peak_device_allocated": null, "peak_device_reserved": null, "peak_host_bytes": 500 << 20, "energy_joules": null,
            "end_reason": "completed"})
    };
    let rows: Vec<serde_json::Value> =
        Phase::ALL.into_iter().zip(seconds).filter(|(_, s)| s.is_some()).map(|(phase, _)| row(phase)).collect();
    let ledger = json!({"format": 3, "rows": rows, "wall_seconds": 1.0, "spent_seconds": 1.0, "budget_seconds": null, "overshoot_seconds": null,
        "finished": ""});
    let mut ledger: LedgerRecord = serde_json::from_value(ledger).unwrap();
    // Not a part of the above, which has no place for what is no number.
    ledger.rows.iter_mut().zip(seconds.into_iter().flatten()).for_each(|(row, s)| (row.device_seconds, row.cpu_seconds) = (s, Some(s)));
    Some(ledger)
}

/// A run whose search took so many seconds.
pub fn search_of(run: &mut Run, seconds: f64) {
    run.ledger = ledger([Some(seconds), None, Some(12.0), Some(0.5), Some(0.25)]);
}

/// A finished run with something for every figure.
pub fn run(method: &str, variant: &str, dataset: &str, seed: u64) -> Run {
    let manifest = json!({
        "format": 3, "method": method, "variant": variant, "dataset": dataset, "preset": "smoke", "seed": seed, "settings": {}, "shrunk": [], "jobs": 1,
        "declaration": {"title": method, "role": "search", "space": "", "keep": 1, "predictions": {"ghn": "predicted score"}, "claims": {}, "control": null,
            "mark": {"colour": [0, 114, 178], "shape": "circle", "dashed": method == "random"}},
        "limits": {"budget_seconds": null, "max_trials": null, "max_memory_bytes": null}, "identity": "",
        "program": {"version": "0", "commit": "0", "dirty": false}, "libtorch": "",
        "device": {"kind": "cpu", "name": "Example", "memory_bytes": null, "processor": "Example", "cores": 2, "threads": 2},
        "data": {"folder": null, "hash": "", "split_hash": "", "counts": {}, "channels": 1, "height": 8, "width": 8, "classes": 10,
                "normalisation": {"pixels": "bytes", "mean": [0.5], "std": [0.25]}},
        "clock": "", "started": ""
    });
    let result = json!({
        "format": 3, "method": method, "variant": variant, "dataset": dataset, "preset": "smoke", "seed": seed, "identity": "",
        "architecture": architecture(), "architecture_hash": "", "parameters": 30_000 + seed, "auxiliary_parameters": 0, "metric": "accuracy",
        "search_score": 0.6, "search_score_kind": format!("score of {method}"), "select_score": 0.7, "final_score": 0.9 + 0.0001 * (seed % 700) as f64,
        "final_loss": 0.1, "retrain_epochs": 5, "search_end": "completed", "retrain_end": "completed", "trials": {}, "extra": {}
    });
    let mut run = Run {
        name: format!("{method}-{variant}-{dataset}-s{seed}"),
        status: Status::Finished,
        manifest: Some(serde_json::from_value(manifest).unwrap()),
        result: Some(serde_json::from_value(result).unwrap()),
        protocol: Some("0a1b2c3d".into()),
        cost_unit: Some("CPU-days (2 cores, Example)".into()),
        ..Run::default()
    };
    search_of(&mut run, 20.0 + seed as f64);
    run
}

/// Adds trials, a curve and reported figures, `n` of each.
pub fn searched(mut row: Run, n: u64) -> Run {
    let wave = |i: u64| 0.5 + 0.4 * (i as f64 * 0.37).sin();
    row.curve = (0..n).map(|i| CurvePoint { seconds: 0.02 * (i + 1) as f64, best: 0.9 * (i + 1) as f64 / n as f64 }).collect();
    row.trials = (0..n).map(|i| trial(i, Some(wave(i)))).collect();
    let extra = |i: u64| BTreeMap::from([("baseline".to_string(), wave(i)), ("alpha_entropy".to_string(), wave(i + 7))]);
    row.points = (0..n).map(|i| Reported { part: 0, step: i, extra: extra(i) }).collect();
    row
}

fn trial(id: u64, score: Option<f64>) -> TrialRecord {
    TrialRecord {
        id,
        phase: Phase::Search,
        architecture: architecture(),
        hash: format!("{id:08}"),
        parent: None,
        origin: "sampled".into(),
        reused: None,
        end: EndReason::Completed,
        score,
        proxies: BTreeMap::from([("ghn".to_string(), (id as f64 * 0.71).cos().abs())]),
        loss: None,
        parameters: Some(1000 + id),
        device_seconds: 1.0,
        spent_seconds: id as f64,
    }
}

/// All figures of recorded runs.
pub fn drawn(rows: &[Run], paper: Paper) -> Vec<Figure> {
    let claims = claims().unwrap();
    let groups = experiments(rows);
    // Resampling is the work of the statistics, which are tested on their own; with many runs it takes longer than all drawing.
    let pairs = if rows.len() < 100 { proxies::pairs(&groups, &claims) } else { Vec::new() };
    figures(&Material { runs: rows, claims: &claims, pairs: &pairs, studies: &[], cells: &BTreeMap::new() }, paper)
}

/// Their pages, by name.
fn figures_of(rows: &[Run]) -> Vec<(&'static str, Scene)> {
    drawn(rows, Paper::SCREEN).iter().map(|figure| (figure.name, figure.sheet())).collect()
}

fn points(scene: &Scene) -> usize {
    scene.points().count()
}

/// Width and height of a PNG file.
fn size(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let at = |i: usize| u32::from_be_bytes(png[i..i + 4].try_into().unwrap());
    (at(16), at(20))
}

/// Nothing is cut or covered, and there is a bound on what has to be drawn.
pub fn check_scene(name: &str, scene: &Scene) {
    scene.assert_sound();
    assert!(scene.width * scene.height <= MOST_PIXELS, "{name}: {} x {}", scene.width, scene.height);
    assert!(
        scene.leaves().len() <= MOST_MARKS && points(scene) <= MOST_POINTS,
        "{name}: {} marks, {} points",
        scene.leaves().len(),
        points(scene)
    );
}

/// Draws a scene both ways and checks what came out.
fn draw_and_check(name: &str, scene: &Scene) {
    check_svg(name, scene);
    let expected = (scene.width.round() as u32 * 2, scene.height.round() as u32 * 2);
    assert_eq!(size(&png(scene, PNG_DPI).unwrap()), expected, "{name}");
}

fn check_svg(name: &str, scene: &Scene) {
    check_scene(name, scene);
    let svg = svg(scene).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{name}");
    let tags: String = svg.split('<').filter_map(|t| t.split_once('>')).map(|(tag, _)| format!("{tag}\n")).collect();
    let attributes = tags.lines().filter(|t| !t.starts_with("svg")).flat_map(|t| t.split('"').skip(1).step_by(2));
    for bad in ["NaN", "nan", "inf"] {
        assert!(!attributes.clone().any(|a| a.contains(bad)), "{name}: {bad}");
    }
    let fonts: Vec<&str> = tags.split("font-family=\"").skip(1).filter_map(|t| t.split('"').next()).collect();
    assert!(!fonts.is_empty() && fonts.iter().all(|f| f.ends_with(", sans-serif")), "{name}: {fonts:?}");
    assert!(!svg.chars().any(|c| c.is_control() && c != '\n'), "{name}");
}

fn check(rows: &[Run]) -> Vec<(&'static str, Scene)> {
    let all = figures_of(rows);
    all.iter().for_each(|(name, scene)| draw_and_check(name, scene));
    all
}

fn says(figures: &[(&str, Scene)], name: &str, words: &str) -> bool {
    let (_, scene) = figures.iter().find(|(n, _)| *n == name).unwrap();
    let all: Vec<&str> = scene.texts().map(|t| t.words.as_str()).collect();
    all.join(" ").contains(words)
}

#[test]
fn without_runs_every_figure_says_so() {
    assert!(check(&[]).is_empty());
    // Runs that do not count are no runs.
    let unfinished = Run { status: Status::Unfinished, ..run("darts", "", "digits", 0) };
    let all = check(&[unfinished]);
    let names: Vec<&str> = all.iter().map(|f| f.0).collect();
    assert_eq!(names, ["accuracy-cost", "accuracy-total-cost", "accuracy-parameters", "cost", "anytime"]);
    assert!(names.iter().all(|name| says(&all, name, "no finished run")));
}

#[test]
fn one_run_and_two_equal_ones_are_drawn() {
    let one = searched(run("darts", "first-order", "digits", 0), 6);
    let all = check(std::slice::from_ref(&one));
    assert_eq!(all.len(), 8);
    assert!(says(&all, "cost", "32.8 (n = 1)") && says(&all, "cost", "500.0 MiB (n = 1)"));
    let again = Run { name: "again".into(), ..one.clone() };
    let all = check(&[one, again]);
    assert!(says(&all, "accuracy-cost", "darts (first-order), n = 2") && says(&all, "cost", "32.8 (n = 2)"));
}

#[test]
fn a_thousand_runs_of_a_thousand_points_are_drawn_in_bounds() {
    // One run has what all others have, to build them quickly.
    let first = searched(run("darts", "first-order", "digits", 0), 1000);
    let seeds = (0..1000).map(|seed| Run {
        curve: first.curve.clone(),
        points: first.points.clone(),
        ..run("darts", "first-order", "digits", seed)
    });
    let mut rows: Vec<Run> = seeds.collect();
    rows[0].trials = first.trials;
    let all = check(&rows);
    assert!(says(&all, "accuracy-cost", "n = 1,000") && says(&all, "anytime", "n = 1,000"));
    assert!(says(&all, "diagnostics", "1,000 seeds (the first 8 drawn)"));
}

#[test]
fn a_thousand_groups_and_data_sets_are_drawn_in_bounds_and_the_rest_is_told() {
    let variant = |i: u64| searched(run("nasnet", &format!("variant-{i:04}"), "digits", i), 3);
    let all = check(&(0..1000).map(variant).collect::<Vec<_>>());
    for name in ["accuracy-cost", "accuracy-parameters", "cost", "anytime", "trials", "diagnostics"] {
        assert!(says(&all, name, "Drawn are the first 24 of 1,000 groups of a panel"), "{name}");
    }
    let set = |i: u64| searched(run("nasnet", &format!("variant-{}", i % 30), &format!("set-{:04}", i / 30), i), 3);
    let all = figures_of(&(0..990).map(set).collect::<Vec<_>>());
    all.iter().for_each(|(name, scene)| check_scene(name, scene));
    assert!(all.iter().all(|(name, _)| says(&all, name, "Drawn are the first 12 of 33 panels")));
}

#[test]
fn many_pairs_are_drawn_in_bounds() {
    let rows = [searched(run("darts", "first-order", "digits", 0), 6)];
    let groups = experiments(&rows);
    let mut pairs = proxies::pairs(&groups, &[]);
    assert_eq!(progress::early_late(&[], Paper::SCREEN), None);
    pairs[0].samples[0].values = (0..100_000).map(|i| (f64::from(i % 997) / 997.0, f64::from(i % 1009) / 1009.0)).collect();
    draw_and_check("early-late", &progress::early_late(&pairs, Paper::SCREEN).unwrap().sheet());
    let scene = progress::early_late(&vec![pairs[0].clone(); 60], Paper::SCREEN).unwrap().sheet();
    check_scene("early-late", &scene);
    assert!(says(&[("early-late", scene)], "early-late", "Drawn are the first 24 of 60 panels"));
}

#[test]
fn what_is_no_number_or_missing_is_named_and_not_drawn() {
    let mut nan = searched(run("enas", "micro", "digits", 0), 8);
    nan.result.as_mut().unwrap().final_score = Some(f64::NAN);
    nan.trials.iter_mut().for_each(|t| t.score = Some(f64::NAN));
    nan.points.iter_mut().for_each(|p| p.extra.values_mut().for_each(|v| *v = f64::NAN));
    nan.ledger = ledger([Some(f64::NAN), Some(f64::INFINITY), Some(-1.0), None, None]);
    let mut none = run("ghn", "top-best", "digits", 0);
    none.result.as_mut().unwrap().final_score = None;
    none.ledger = None;
    let mut beyond = searched(run("amoebanet", "", "digits", 0), 2);
    beyond.result.as_mut().unwrap().final_score = Some(1e300);
    search_of(&mut beyond, 1e300);
    beyond.points[0].extra.insert("baseline".into(), f64::NEG_INFINITY);
    beyond.points[1].extra.insert("baseline".into(), 1e308);
    let all = check(&[nan, none, beyond]);
    for words in [
        "Not shown, no final score between 0 and 1: amoebanet on digits (1 of 1), enas (micro) on digits (1 of 1)",
        "ghn (top-best), n = 0",
    ] {
        assert!(says(&all, "accuracy-cost", words), "{words}");
    }
    assert!(says(&all, "cost", "not measured") && says(&all, "cost", "enas (micro) on digits (1 of 1)"));
    assert!(says(&all, "cost", "No bar, memory not measured: ghn (top-best) on digits (1 of 1)."));
    assert!(says(&all, "anytime", "No curve, no search score was recorded: ghn (top-best) on digits (1 of 1)."));
}

#[test]
fn nothing_that_is_not_measured_has_a_bar() {
    // Of the phases, and of memory.
    let bars = |run: &Run| {
        let figure = usage::cost(&Few::of(std::slice::from_ref(run)), Paper::SCREEN);
        let of = |panel: &Panelled| panel.scene.leaves().iter().filter(|m| matches!(m, Mark::Area { edge: Some(_), .. })).count();
        figure.panels.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(bars(&Run { ledger: None, ..run("darts", "", "digits", 0) }), [0, 0]);
    // Four phases; no bar for the selection, which was not recorded.
    assert_eq!(bars(&run("darts", "", "digits", 1)), [4, 1]);
    // The host's peak never stands in for that of a card.
    let mut card = run("darts", "", "digits", 2);
    card.manifest.as_mut().unwrap().device.kind = "cuda".into();
    assert_eq!(bars(&card)[1], 0);
}

#[test]
fn zero_cost_and_zero_weights_stand_before_the_scale() {
    let mut zero = run("random", "", "digits", 0);
    search_of(&mut zero, 0.0);
    zero.result.as_mut().unwrap().parameters = 0;
    for rows in [vec![zero.clone()], vec![zero.clone(), run("random", "", "digits", 1), run("darts", "", "digits", 0)]] {
        let all = check(&rows);
        for (name, words) in [("accuracy-cost", "A search cost of exactly 0"), ("accuracy-parameters", "A number of weights of exactly 0")]
        {
            assert!(says(&all, name, words) && says(&all, name, &format!("random, n = {}", rows.len().min(2))), "{name}");
        }
    }
}

#[test]
fn names_of_any_length_and_alphabet_stay_in_their_places() {
    let names = [
        "größe ÄÖÜ ß",
        "名前",
        "имя метода",
        "a\u{0}b\u{1b}[31m\tc",
        "<b>&\"'",
        "e\u{301}\u{200d}👩‍🔬",
        &LONG.repeat(30),
        &"many words ".repeat(200),
    ];
    let rows: Vec<Run> =
        names.iter().flat_map(|name| [run("darts", name, name, 0), run(name, "", "digits", 1)]).map(|r| searched(r, 6)).collect();
    let all = figures_of(&rows);
    all.iter().for_each(|(name, scene)| check_svg(name, scene));
    // However long a name, what follows it is there: each has an area of its own, and one with all the others.
    let cost = &all[0].1;
    assert_eq!(cost.texts().filter(|t| t.words.ends_with(", n = 1")).count(), 2 * names.len());
    // Of the PNG files, which take longer, those of letters beyond ASCII, of control characters and of the longest name.
    check(&[&rows[..2], &rows[6..8], &rows[12..14]].concat());
    let mut odd = run("darts", "", "digits", 0);
    odd.cost_unit = Some(format!("CPU-days (2 cores, {})", LONG.repeat(3)));
    odd.result.as_mut().unwrap().metric = LONG.into();
    odd.result.as_mut().unwrap().search_score_kind = LONG.repeat(4);
    check(&[searched(odd, 3)]);
    for name in names {
        draw_and_check("cell", &plot::architecture(&architecture(), name, name).unwrap().unwrap());
        let about = ExampleInfo { volume: name.into(), slice: 0, rank: name.into(), dice: 0.5, height: 8, width: 8 };
        let example = Example { about, image: vec![90; 64], truth: vec![1; 64], predicted: vec![0; 64] };
        draw_and_check("overlay", &overlay(&[example], &["background", name], name).unwrap());
    }
}

/// Files of all figures.
fn files(rows: &[Run]) -> Vec<(String, Vec<u8>)> {
    let both = |(name, scene): (&str, Scene)| {
        [(format!("{name}.svg"), svg(&scene).unwrap().into_bytes()), (format!("{name}.png"), png(&scene, PNG_DPI).unwrap())]
    };
    figures_of(rows).into_iter().flat_map(both).collect()
}

#[test]
fn the_order_of_the_runs_and_drawing_again_change_no_byte() {
    let methods = [("darts", "first-order"), ("darts", "second-order"), ("random", "darts-space"), ("enas", "micro")];
    let seeds =
        |(method, variant): (&'static str, &'static str)| (0..11).map(move |seed| searched(run(method, variant, "digits", seed), 9));
    let rows: Vec<Run> = methods.into_iter().flat_map(seeds).collect();
    let (once, again) = (files(&rows), files(&rows));
    assert_eq!(once.len(), 16);
    for ((name, bytes), (_, other)) in once.iter().zip(&again) {
        assert!(bytes == other, "{name} differs");
    }
    // A file is made of its scene alone.
    let expected = figures_of(&rows);
    let reversed: Vec<Run> = rows.iter().rev().cloned().collect();
    let shuffled: Vec<Run> = (0..rows.len()).map(|i| rows[i * 7 % rows.len()].clone()).collect();
    for other in [reversed, shuffled] {
        for ((name, scene), (_, changed)) in expected.iter().zip(&figures_of(&other)) {
            assert!(scene == changed, "{name} depends on the order of the runs");
        }
    }
    let cell = || plot::architecture(&architecture(), "a cell", "").unwrap().unwrap();
    assert_eq!((svg(&cell()).unwrap(), png(&cell(), PNG_DPI).unwrap()), (svg(&cell()).unwrap(), png(&cell(), PNG_DPI).unwrap()));
}
