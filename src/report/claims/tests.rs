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

/// Value and reason not to compare of what stands beside a training on CIFAR-10.
fn on_cifar(method: &str, variant: &str, cutout: bool) -> Option<(f64, Option<&'static str>)> {
    let all = claims().unwrap();
    let run = Beside { method, variant, dataset: "cifar10", metric: Metric::TestAccuracy, cutout };
    beside(&all, &run).map(|c| (c.value.unwrap(), apart(c, "cifar10", cutout)))
}

#[test]
fn the_claim_with_the_cutout_of_the_run_stands_beside_it() {
    assert_eq!(on_cifar("enas", "micro", true), Some((97.11, None)), "the headline before the rerun of 97.09");
    assert_eq!(on_cifar("enas", "micro", false), Some((96.46, None)));
    assert_eq!(on_cifar("nasnet", "ppo", true), Some((97.35, None)));
    assert_eq!(on_cifar("nasnet", "ppo", false), Some((96.59, None)));
}

#[test]
fn a_claim_of_another_or_unknown_cutout_is_shown_and_not_compared() {
    assert_eq!(on_cifar("amoebanet", "ageing", false), Some((96.66, None)));
    assert_eq!(on_cifar("amoebanet", "ageing", true), Some((96.66, Some("other cutout"))));
    assert_eq!(on_cifar("ghn", "top-best", false), Some((97.16, Some("other cutout"))));
    for cutout in [true, false] {
        assert_eq!(on_cifar("random", "ghn-space-unselected", cutout), Some((94.6, Some("cutout not stated"))));
    }
}

#[test]
fn a_variant_has_its_own_claim_or_none() {
    assert_eq!(on_cifar("darts", "first-order", true), Some((97.00, None)));
    assert_eq!(on_cifar("darts", "second-order", true), Some((97.24, None)));
    // The number of the ageing variant is none of the non-ageing one, that of the search none of the other experiment.
    for (method, variant) in [("amoebanet", "non-ageing"), ("ghn", "correlation"), ("ghn", ""), ("train", "darts-v2")] {
        assert_eq!(on_cifar(method, variant, true), None, "{method} {variant}");
    }
}

#[test]
fn random_search_has_a_claim_in_its_own_space_or_none() {
    assert_eq!(on_cifar("random", "darts-space", true), Some((96.71, None)));
    // What a user measured comes before what is recalled.
    assert_eq!(on_cifar("random", "enas-micro-space", false), Some((96.05, None)));
    assert_eq!(on_cifar("random", "enas-micro-space", true), Some((96.05, Some("other cutout"))));
    // The paper chose none of its random networks; the best of several has no number.
    for space in ["nasnet-space", "amoebanet-space", "nas-unet-space", "enas-micro", "ghn-space"] {
        assert_eq!(on_cifar("random", space, true), None, "{space}");
    }
}

#[test]
fn a_mask_stands_beside_a_mask_of_the_same_data_first() {
    let all = claims().unwrap();
    let dataset = |method, variant, dataset, metric| {
        let found = beside(&all, &Beside { method, variant, dataset, metric, cutout: false });
        found.map(|c| (c.dataset.as_str(), apart(c, dataset, false)))
    };
    assert_eq!(dataset("nas_unet", "first-order", "nerve", Metric::Dice), Some(("nerve", None)));
    assert_eq!(dataset("nas_unet", "first-order", "hippocampus", Metric::Dice), Some(("promise12", Some("other data"))));
    assert_eq!(dataset("nas_unet", "second-order", "nerve", Metric::Dice), None);
    assert_eq!(dataset("random", "darts-space", "promise12", Metric::Dice), None, "an accuracy is never set beside a Dice");
    assert_eq!(dataset("nas_unet", "first-order", "cifar10", Metric::TestAccuracy), None);
    assert_eq!(dataset("darts", "first-order", "digits", Metric::TestAccuracy), Some(("cifar10", Some("other data"))));
}

#[test]
fn the_correlations_of_every_early_score_are_there_by_name() {
    let all = claims().unwrap();
    let value = |variant: &str, metric| all.iter().find(|c| c.method == "ghn" && c.variant == variant && c.metric == metric).unwrap().value;
    let expected = [
        ("GHN, N=7, T=5", 0.68, 0.48),
        ("SGD 10 steps", 0.26, -0.05),
        ("SGD 100 steps", 0.59, 0.06),
        ("SGD 200 steps", 0.62, 0.20),
        ("SGD 1000 steps", 0.77, 0.26),
        ("one-shot", 0.58, 0.31),
    ];
    for (variant, random, top) in expected {
        let found = [Metric::PearsonRandom100, Metric::PearsonTop50].map(|metric| value(variant, metric));
        assert_eq!(found, [Some(random), Some(top)], "{variant}");
    }
}

#[test]
fn only_the_status_says_what_is_recalled_and_the_note_says_both() {
    let all = claims().unwrap();
    assert_eq!((all.iter().filter(|c| c.is_of_table()).count(), all.iter().filter(|c| c.is_of_table() && c.recalled()).count()), (72, 47));
    let recalled: Vec<&Claim> = all.iter().filter(|c| c.recalled() && !c.is_of_table()).collect();
    let names: Vec<&str> = recalled.iter().map(|c| c.variant.as_str()).collect();
    assert_eq!(names, ["macro", "macro, more channels", "controller frozen", "enas-micro-space", "enas-macro-space"]);
    assert!(all.iter().all(|c| !c.erratum.as_deref().is_some_and(|text| text.contains("recall"))));
    assert!(all.iter().filter(|c| c.status == Confirmation::Quoted).all(|c| c.source.contains("quote")), "a quoted row names where");
    let note = recalled[1].note();
    assert!(note.starts_with("macro, more channels on cifar10, cutout not stated; ") && note.contains(RECALLED), "{note}");
    assert!(note.ends_with("the released script arc has 42.6 M weights"), "{note}");
    let sure = all.iter().find(|c| c.method == "enas" && c.value == Some(96.46)).unwrap();
    assert_eq!((sure.status, sure.note()), (Confirmation::Quoted, format!("{}; {}", sure.about(), sure.source)));
}

#[test]
fn a_bad_row_names_its_line() {
    let header = CSV.lines().next().unwrap();
    let good = "darts,x,,cifar10,test_accuracy,97,,,,,,,yes,no,confirmed,paper,";
    let cases = [
        (",x,,cifar10,test_accuracy,97,,,,,,,yes,no,confirmed,paper,", "method, source and dataset must not be empty"),
        ("darts,x,,cifar10,test_accuracy,2.76,0,unknown,,,,,yes,no,confirmed,paper,", "spread must be a number above 0"),
        ("darts,x,,cifar10,test_accuracy,197,,,,,,,yes,no,confirmed,paper,", "not between 0 and 100"),
        ("darts,x,,cifar10,test_accuracy,97,0.1,,,,,,yes,no,confirmed,paper,", "go together"),
        ("darts,x,,cifar10,test_accuracy,97,,,,,,,maybe,no,confirmed,paper,", "maybe"),
        ("darts,x,,cifar10,test_accuracy,97,,,,,,,yes,perhaps,confirmed,paper,", "perhaps"),
        ("darts,x,,cifar10,test_accuracy,97,,,,,,,yes,no,confirmed,,", "source"),
        ("darts,x,,cifar10,test_accuracy,97,,,,,,,yes,no,surely,paper,", "surely"),
        ("darts,x,,cifar10,test_accuracy,97,,,,,,,yes,no,,paper,", "expected one of `confirmed`"),
        ("darts,x,,cifar10,test_accuracy,97,,,,,,,yes,yes,confirmed,paper,", "a headline needs a naslab_variant"),
        ("darts,x,,cifar10,test_accuracy,97", "line: 3"),
    ];
    for (row, expected) in cases {
        let text = parse(&format!("{header}\n{good}\n{row}\n")).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains("3"), "{row}: {text}");
    }
}

#[test]
fn two_headlines_of_a_method_are_refused() {
    let header = CSV.lines().next().unwrap();
    let row = "darts,x,y,cifar10,test_accuracy,97,,,,,,,yes,yes,confirmed,paper,";
    let text = parse(&format!("{header}\n{row}\n{row}\n")).unwrap_err().to_string();
    assert!(text.contains("line 3") && text.contains("second headline"), "{text}");
}
