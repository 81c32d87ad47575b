//! A budget that binds changes how far a search goes, not the protocol: what it found is compared as without a budget, or the result says why not.

#[allow(dead_code, reason = "these tests need some of it")]
mod common;

use common::{naslab, only_run, run_arguments};
use naslab::record::{EndReason, FindingRecord, LedgerRecord, Phase, RunResult, TrialRecord, read_json};
use naslab::reproductions::METHODS;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

const SHARES: [f64; 5] = [0.2, 0.35, 0.5, 0.7, 0.9];

/// Tiny settings whose search is long beside its selection.
fn arguments(method: &str, out: &Path) -> Vec<String> {
    let longer: &[&str] = match method {
        "darts" | "nas_unet" => &["search.epochs=5"],
        "enas" => &["search.epochs=5", "search.derive=12", "search.keep=3"],
        "ghn" => &["search.epochs=8", "search.candidates=12", "search.keep=3"],
        _ => &["search.trials=16", "search.keep=3"],
    };
    let mut all = run_arguments(method, out);
    all.retain(|a| a != "--checkpoint-every" && a != "0s");
    // One trial at a time: of several, each may be under way when the budget ends.
    all.push("--jobs=1".into());
    all.extend(longer.iter().chain(&["retrain.recipe.epochs=1"]).flat_map(|s| ["--set".to_string(), (*s).to_string()]));
    all
}

struct Run {
    result: RunResult,
    finding: FindingRecord,
    ledger: LedgerRecord,
    selected: Vec<TrialRecord>,
}

impl Run {
    fn of(method: &str, budget: Option<f64>) -> Self {
        let out = tempfile::tempdir().unwrap();
        let mut all = arguments(method, out.path());
        all.extend(budget.map(|b| format!("--budget={b:.3}s")));
        naslab().args(all).assert().success();
        let run = only_run(out.path());
        let selected = common::trials(&run).into_iter().filter(|t| t.phase == Phase::Select).collect();
        let file = |name| run.join(name);
        Self {
            result: read_json(&file("result.json")).unwrap(),
            finding: read_json(&file("finding.json")).unwrap(),
            ledger: read_json(&file("ledger.json")).unwrap(),
            selected,
        }
    }

    /// Candidates with a score of the selection.
    fn compared(&self) -> u64 {
        self.finding.candidates.iter().filter(|c| c.select_score.is_some()).count() as u64
    }
}

fn check(method: &str, whole: &Run, budget: f64) -> bool {
    let run = Run::of(method, Some(budget));
    let over = run.ledger.overshoot_seconds.unwrap();
    assert!((over - (run.ledger.spent_seconds - budget).max(0.0)).abs() < 1e-3, "{method}");
    // One trial may be under way when the budget ends; none begins after that.
    let late = run.selected.iter().filter(|t| t.spent_seconds > budget + 1e-3).count();
    assert!(late <= 1, "{method}: {late} trials ended after the budget");
    match run.result.cut_selection {
        None => assert_eq!(run.compared(), whole.compared(), "{method}: fewer candidates without a word"),
        Some(cut) => {
            assert_eq!((cut.compared, cut.limit), (run.compared(), EndReason::BudgetReached), "{method}");
            assert!(cut.compared < cut.planned, "{method}");
        }
    }
    run.result.search_end == EndReason::BudgetReached && run.result.cut_selection.is_none()
}

#[test]
fn a_search_that_a_budget_ends_leaves_time_to_compare_what_it_found() {
    // Two methods side by side, since every run has one thread.
    let methods = Mutex::new(METHODS.iter().map(|m| m.card().name));
    let next = || methods.lock().unwrap().next();
    let worker = || std::iter::from_fn(next).map(kept).sum::<usize>();
    let all: usize = thread::scope(|s| [s.spawn(worker), s.spawn(worker)].map(|w| w.join().unwrap()).iter().sum());
    // On a busy machine a forecast may fall short, but not for every method and budget.
    assert!(all > 0, "no cut search was followed by a whole selection");
}

/// At how many budgets that cut the search of `method` all candidates were compared.
fn kept(method: &str) -> usize {
    let whole = Run::of(method, None);
    assert_eq!((whole.result.cut_selection, whole.result.search_end), (None, EndReason::Completed), "{method}");
    assert!(whole.compared() > 1, "{method} has one candidate");
    let kept = SHARES.iter().filter(|share| check(method, &whole, whole.ledger.spent_seconds * **share)).count();
    println!("{method}: {kept} of {} cut searches compared all candidates", SHARES.len());
    kept
}
