//! What figures tell, and that it is what the tables tell.

use super::tests::{architecture, check_scene, drawn, run, search_of, searched};
use super::*;
use crate::plot::{self, Colour, Mark, palette};
use crate::report::claims::claims;
use crate::report::load::CurvePoint;
use serde_json::json;

#[test]
fn a_panel_has_one_kind_of_search_score_and_its_curve_ends_with_what_the_search_returned() {
    let mut enas = searched(run("enas", "micro", "digits", 0), 5);
    enas.curve = vec![CurvePoint { seconds: 1.0, best: 0.1 }, CurvePoint { seconds: 2.0, best: 0.12 }];
    let candidate =
        |score: f64| json!({"origin": "derived 0", "architecture": architecture(), "search_score": score, "select_score": null});
    let finding = json!({"format": 3, "method": "enas", "search_score_kind": "", "search_end": "completed", "candidates": [candidate(0.61), candidate(0.7)], "chosen": 0});
    enas.finding = Some(serde_json::from_value(finding).unwrap());
    let rows = [searched(run("darts", "first-order", "digits", 0), 5), searched(run("random", "darts-space", "digits", 0), 5), enas];
    let figure = drawn(&rows, Paper::SCREEN).into_iter().find(|f| f.name == "anytime").unwrap();
    let titles: Vec<&str> = figure.panels.iter().map(|p| p.scene.title.as_str()).collect();
    assert!(titles.len() == 3 && titles[1].contains("Best score of enas so far") && titles[1].contains("up to 70.0 %"), "{titles:?}");
    // The mark at the end is the architecture that was selected: what the table has.
    let tip = figure.panels[1].scene.groups().map(|(about, _)| &about.tip).find(|tip| !tip.is_empty()).unwrap();
    assert!(tip.contains("selected architecture 60.00 %, best seen 70.00 %"), "{tip}");
}

#[test]
fn the_reported_panel_marks_the_claims_that_stand_beside_measured_rows() {
    let marked = |runs: &[Run]| {
        let scene = drawn(runs, Paper::SCREEN)[0].panels.last().unwrap().scene.clone();
        let large = |marks: &[Mark]| marks.iter().any(|m| matches!(m, Mark::Disc { radius, .. } if *radius > 5.0));
        let tips: Vec<String> = scene.groups().filter(|(about, marks)| !about.entry && large(marks)).map(|(a, _)| a.tip.clone()).collect();
        (tips, scene)
    };
    // The headline of DARTS is the second order; what ran is the first. Without cutout in the retraining of the fixture only the variant decides.
    let (tips, scene) = marked(&[run("darts", "first-order", "digits", 0)]);
    assert!(tips.iter().any(|t| t.starts_with("darts first-order, reported: 97.00 ± 0.14 %")), "{tips:?}");
    assert!(!tips.iter().any(|t| t.contains("97.24")), "{tips:?}");
    assert!(scene.texts().any(|t| t.words == "darts (first-order)") && scene.title.contains("darts (first-order) 97.00 ± 0.14 %"));
    let (tips, _) = marked(&[run("amoebanet", "ageing", "digits", 0)]);
    assert!(tips.iter().any(|t| t.starts_with("darts second-order, reported: 97.24")), "the headline of a method without runs: {tips:?}");
}

/// Three runs of a method with these scores in per cent.
fn three(method: &str, cost: f64, scores: [f64; 3]) -> Vec<Run> {
    let of = |(seed, score): (u64, f64)| {
        let mut run = run(method, "", "digits", seed);
        search_of(&mut run, cost + seed as f64 * 1e-3);
        run.result.as_mut().unwrap().final_score = Some(score / 100.0);
        run
    };
    (0..3).zip(scores).map(of).collect()
}

#[test]
fn a_front_runs_through_means_that_are_told_apart_alone() {
    let front = |runs: &[Run]| {
        let figure = &drawn(runs, Paper::SCREEN)[0];
        let drawn = figure.panels[0].scene.texts().any(|t| t.words.starts_with("Pareto front"));
        (drawn, figure.notes.iter().any(|n| n.contains("no Pareto front is drawn")))
    };
    let apart = [three("a", 1.0, [80.0, 80.2, 80.1]), three("b", 9.0, [95.0, 95.2, 95.1])].concat();
    let close = [three("a", 1.0, [80.0, 90.0, 95.0]), three("b", 9.0, [85.0, 95.2, 99.1])].concat();
    assert_eq!((front(&apart), front(&close)), ((true, false), (false, true)));
}

#[test]
fn means_have_students_interval_and_small_differences_a_range_of_five_points() {
    let rows = three("a", 1.0, [7.6, 7.9, 8.4]);
    let figure = &drawn(&rows, Paper::SCREEN)[0];
    let scene = &figure.panels[0].scene;
    let tip = scene.groups().map(|(about, _)| &about.tip).find(|tip| tip.contains("mean of 3 seeds")).unwrap();
    // Student's t for two degrees of freedom: 4.303 sd / √3.
    assert!(tip.contains("95 % interval of the mean 6.96 to 8.97 %"), "{tip}");
    assert!(scene.texts().any(|t| t.words == "6") && scene.texts().any(|t| t.words == "10"), "ticks of five points at the least");
    assert!(scene.texts().any(|t| t.words.starts_with("chance level, 10 %")));
    assert!(figure.notes.iter().any(|n| n.contains("Student's 95 % interval of the mean")));
}

#[test]
fn unequal_final_trainings_are_told_and_total_cost_has_a_figure() {
    let mut rows = [three("a", 1.0, [80.0; 3]), three("b", 9.0, [95.0; 3]), three("c", 9.0, [95.0; 3])].concat();
    let recipe = |epochs: u64, cutout: u64| json!({"retrain": {"recipe": {"epochs": epochs}, "augment": {"cutout": cutout}}});
    for row in &mut rows {
        let manifest = row.manifest.as_mut().unwrap();
        manifest.settings = if manifest.method == "a" { recipe(10, 2) } else { recipe(4, 0) };
    }
    let figures = drawn(&rows, Paper::SCREEN);
    let told = "Final trainings differ (digits, smoke): a 10 epochs with cutout; all others 4 epochs without cutout.";
    assert!(figures[0].notes.iter().any(|n| n == told), "{:?}", figures[0].notes);
    assert_eq!(figures[1].name, "accuracy-total-cost");
    // 1 s of search, 12 s of retraining and 0.8 s of the other phases; the fixture has no selection.
    assert!(figures[1].panels[0].scene.title.contains("a 80.00 % at 13.8 CPU-seconds"), "{}", figures[1].panels[0].scene.title);
}

#[test]
fn type_and_lines_are_large_enough_in_print_and_every_colour_is_one_of_the_palette() {
    let methods = [("darts", "first-order"), ("random", "darts-space"), ("enas", "micro")];
    let rows: Vec<Run> = methods.into_iter().flat_map(|(m, v)| (0..4).map(move |seed| searched(run(m, v, "digits", seed), 9))).collect();
    let palette: Vec<Colour> = palette().into_iter().map(|(light, _)| light).collect();
    let points = 96.0 / 72.0;
    for (millimetres, figure) in [85.0, 178.0].into_iter().flat_map(|mm| drawn(&rows, Paper::print(mm)).into_iter().map(move |f| (mm, f))) {
        for Panelled { name, scene } in &figure.panels {
            let name = format!("{} {name}", figure.name);
            check_scene(&name, scene);
            assert!((scene.width - millimetres * 96.0 / 25.4).abs() < 1e-9, "{name}");
            assert!(scene.texts().all(|t| t.size >= 7.0 * points), "{name}: small type");
            for mark in scene.leaves() {
                let (colour, width) = match mark {
                    Mark::Line { colour, width, .. } => (*colour, *width),
                    Mark::Area { colour, edge, .. } => (*colour, edge.map_or(1.0, |e| e.1)),
                    Mark::Disc { colour, .. } => (*colour, 1.0),
                    Mark::Text(t) => (t.colour, 1.0),
                    _ => continue,
                };
                assert!(width >= 0.5 * points && palette.contains(&colour), "{name}: {width} {colour:?}");
            }
        }
    }
    let cell = plot::architecture(&architecture(), "a cell", "").unwrap().unwrap();
    assert!(cell.leaves().iter().all(|m| !matches!(m, Mark::Area { colour, .. } if !palette.contains(colour))));
}

#[test]
fn runs_means_and_claims_say_what_they_are_and_panels_have_names_of_their_own() {
    let rows = three("darts", 7.0, [95.0, 96.0, 97.0]);
    let cells = BTreeMap::from([(rows[0].name.clone(), "cell-darts".to_string())]);
    let claims = claims().unwrap();
    let all = figures(&Material { runs: &rows, claims: &claims, pairs: &[], studies: &[], cells: &cells }, Paper::SCREEN);
    let scene = &all[0].panels[0].scene;
    let told = "darts, seed 0: 95.00 % test score, 7.00 CPU-seconds (search cost), run darts--digits-s0";
    let (about, _) = scene.groups().find(|(a, _)| a.tip == told).unwrap();
    assert_eq!((&*about.series, &*about.cell), ("darts", "cell-darts"));
    assert!(scene.groups().any(|(a, _)| a.entry && a.series == "darts"));
    for figure in &all {
        let names: std::collections::BTreeSet<&str> = figure.panels.iter().map(|p| &*p.name).collect();
        assert_eq!(names.len(), figure.panels.len(), "{}", figure.name);
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')), "{names:?}");
    }
}
