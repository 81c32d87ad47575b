//! The report over recorded runs made by hand: counting, averaging, what is missing, what is damaged, and the same bytes twice.

use naslab::Error;
use naslab::plot::draw_architecture;
use naslab::record::{Manifest, Phase, settings_digest};
use naslab::report::{Extras, Print, Status, claims, load_runs, write_report};
use naslab::space::Architecture;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[path = "report/claims.rs"]
mod beside;
#[path = "report/page.rs"]
mod page;
#[path = "report/segmentation.rs"]
mod segmentation;

/// What differs between the runs of these tests.
#[derive(Clone)]
struct Fixture {
    method: &'static str,
    variant: &'static str,
    kind: &'static str,
    dataset: &'static str,
    preset: &'static str,
    seed: u64,
    final_score: Option<f64>,
    search_score: Option<f64>,
    search_seconds: f64,
    cuda: bool,
    points: u32,
    /// The space of its random search, whose settings are named in the manifest.
    control: Option<&'static str>,
}

impl Default for Fixture {
    fn default() -> Self {
        Self {
            method: "darts",
            variant: "first-order",
            kind: "supernet validation accuracy",
            dataset: "digits",
            preset: "smoke",
            seed: 0,
            final_score: Some(0.97),
            search_score: Some(0.61),
            search_seconds: 21.6,
            cuda: false,
            points: 12,
            control: None,
        }
    }
}

/// A node of two operations and the states that they read.
fn node(a: (&str, usize), b: (&str, usize)) -> Value {
    json!([{"op": a.0, "from": a.1}, {"op": b.0, "from": b.1}])
}

fn cell(nodes: &[Value]) -> Value {
    json!({"nodes": nodes, "concat": (2..2 + nodes.len()).collect::<Vec<usize>>()})
}

fn pair(normal: Value, reduce: Value) -> Architecture {
    serde_json::from_value(json!({"space": "darts", "normal": normal, "reduce": reduce})).unwrap()
}

fn architecture() -> Architecture {
    let (conv, skip, pool) = ("sep_conv_3x3", "skip_connect", "max_pool_3x3");
    let normal = [node((conv, 0), (conv, 1)), node((conv, 0), (conv, 1)), node((conv, 1), (skip, 0)), node((skip, 0), ("dil_conv_5x5", 2))];
    let reduce = [node((pool, 0), (pool, 1)), node((skip, 2), (pool, 1)), node((pool, 0), (skip, 2)), node((skip, 4), (pool, 1))];
    pair(cell(&normal), cell(&reduce))
}

/// Settings of random search in a space.
fn control_settings(space: &str) -> Value {
    json!({"search": {"space": space, "epochs": 3}})
}

/// With the identity that belongs to it.
fn sealed(mut manifest: Value) -> Value {
    manifest["identity"] = json!(serde_json::from_value::<Manifest>(manifest.clone()).unwrap().digest());
    manifest
}

fn hash(architecture: &Value) -> String {
    serde_json::from_value::<naslab::space::Architecture>(architecture.clone()).unwrap().hash()
}

/// Replaces the manifest of a run, with all that belongs to it.
fn put_manifest(run: &Path, manifest: Value) {
    let (manifest, path) = (sealed(manifest), run.join("result.json"));
    let mut result: Value = serde_json::from_str(&read(path.clone())).unwrap();
    result["identity"] = manifest["identity"].clone();
    fs::write(path, result.to_string()).unwrap();
    fs::write(run.join("manifest.json"), manifest.to_string()).unwrap();
}

fn ledger_row(phase: &str, attempt: u32, seconds: f64, cuda: bool) -> Value {
    json!({
        "phase": phase, "attempt": attempt, "device_seconds": seconds, "cpu_seconds": 2.0 * seconds, "wall_seconds": seconds * 1.01,
        "samples": 1000, "steps": 20, "trials": 0,
        "peak_device_allocated": if cuda { json!(3_221_225_472_u64) } else { Value::Null },
        "peak_device_reserved": Value::Null, "peak_host_bytes": 536_870_912_u64,
        "energy_joules": if cuda { json!(1500.0 * seconds) } else { Value::Null }, "end_reason": "completed"
    })
}

impl Fixture {
    fn identity(&self) -> Value {
        self.manifest()["identity"].clone()
    }

    fn declaration(&self) -> Value {
        let (role, dashed) = match self.method {
            "random" => ("control", true),
            "train" => ("training", false),
            _ => ("search", false),
        };
        let control =
            |space: &str| json!({"method": "random", "variant": space, "settings_digest": settings_digest(&control_settings(space))});
        let (predictions, claims) = match self.method {
            "ghn" => (json!({"ghn": "score with predicted weights"}), json!({"ghn": "GHN, N=7, T=5", "step 2": "nobody's"})),
            _ => (json!({}), json!({})),
        };
        json!({"title": self.method, "role": role, "space": "darts", "keep": 1, "predictions": predictions, "claims": claims, "control": self.control.map(control),
            "mark": {"colour": [0, 114, 178], "shape": "circle", "dashed": dashed}})
    }

    fn manifest(&self) -> Value {
        let settings = if self.method == "random" { control_settings(self.variant) } else { json!({"search": {"epochs": 3}}) };
        let device = if self.cuda { ("cuda", "NVIDIA H100") } else { ("cpu", "Example CPU") };
        sealed(json!({
            "format": 3, "method": self.method, "variant": self.variant, "dataset": self.dataset, "preset": self.preset, "seed": self.seed,
            "settings": settings, "declaration": self.declaration(),
            "shrunk": [{"key": "search.epochs", "paper": 50, "here": 3}],
            "limits": {"budget_seconds": null, "max_trials": null, "max_memory_bytes": null},
            "identity": "", "program": {"version": "0.1.0", "commit": "0123456789abcdef", "dirty": false}, "libtorch": "2.11.0",
            "device": {"kind": device.0, "name": device.1, "memory_bytes": null, "processor": "Example CPU", "cores": 2, "threads": 2},
            "data": {"folder": null, "hash": "d", "split_hash": format!("{} split", self.preset), "counts": {"train": 600}, "channels": 1, "height": 8, "width": 8, "classes": 10,
                "normalisation": {"pixels": "bytes", "mean": [0.5], "std": [0.25]}},
            "clock": "monotonic", "jobs": 1, "started": "2026-01-31T12:00:00Z"
        }))
    }

    fn result(&self) -> Value {
        json!({
            "format": 3, "method": self.method, "variant": self.variant, "dataset": self.dataset, "preset": self.preset, "seed": self.seed,
            "identity": self.identity(), "architecture": architecture(), "architecture_hash": architecture().hash(), "parameters": 36_586 + 100 * (self.seed % 2),
            "auxiliary_parameters": 0, "metric": "accuracy", "search_score": self.search_score, "search_score_kind": self.kind,
            "select_score": null, "final_score": self.final_score, "final_loss": 0.1, "retrain_epochs": 5, "search_end": "completed",
            "retrain_end": "completed", "trials": {"completed": 7, "diverged": 1}, "extra": {}
        })
    }

    fn ledger(&self) -> Value {
        let rows = [("search", self.search_seconds), ("retrain", 12.0), ("test", 0.5), ("overhead", 0.1)];
        let rows: Vec<Value> = rows.iter().map(|(phase, s)| ledger_row(phase, 0, *s, self.cuda)).collect();
        json!({"format": 3, "rows": rows, "wall_seconds": 35.0, "spent_seconds": self.search_seconds, "budget_seconds": null,
            "overshoot_seconds": null, "finished": "2026-01-31T12:01:00Z"})
    }

    fn events(&self) -> Vec<Value> {
        let seconds = |i: u32| self.search_seconds * f64::from(i + 1) / f64::from(self.points);
        let score = |i: u32| self.search_score.map(|s| s * (1.0 - 0.7 * (-f64::from(i) / 3.0).exp()));
        (0..self.points).map(|i| progress(i, seconds(i), score(i))).collect()
    }

    fn write(&self, root: &Path) -> PathBuf {
        let preset = self.preset.trim_start_matches("smoke");
        let folder = root.join(format!("{}-{}{preset}-s{}{}", self.method, self.dataset, self.seed, if self.cuda { "-cuda" } else { "" }));
        fs::create_dir_all(&folder).unwrap();
        let put = |name: &str, value: Value| fs::write(folder.join(name), serde_json::to_string_pretty(&value).unwrap()).unwrap();
        put("manifest.json", self.manifest());
        put("result.json", self.result());
        put("ledger.json", self.ledger());
        write_events(&folder, &self.events());
        folder
    }
}

fn progress(i: u32, seconds: f64, score: Option<f64>) -> Value {
    json!({"kind": "progress", "phase": "search", "part": 0, "epoch": i + 1, "step": 10 * (i + 1), "device_seconds": seconds, "loss": 1.0,
        "score": score, "extra": {}, "architecture": null})
}

fn write_events(folder: &Path, events: &[Value]) {
    let line = |(n, event): (usize, &Value)| {
        let text = serde_json::to_string(event).unwrap();
        format!(
            "{{\"v\":1,\"n\":{n},\"t\":\"2026-01-31T12:00:00.000Z\",\"crc\":\"{:08x}\",\"event\":{text}}}\n",
            crc32fast::hash(text.as_bytes())
        )
    };
    fs::write(folder.join("events.jsonl"), events.iter().enumerate().map(line).collect::<String>()).unwrap();
}

fn random(seed: u64, final_score: f64) -> Fixture {
    Fixture {
        method: "random",
        variant: "darts-space",
        kind: "validation accuracy of briefly trained children",
        seed,
        final_score: Some(final_score),
        search_score: Some(0.83 + 0.01 * seed as f64),
        search_seconds: 30.0 + seed as f64,
        ..Fixture::default()
    }
}

/// Three seeds of each of two methods, on the digits.
fn two_methods(root: &Path) {
    for (seed, score) in [0.970, 0.975, 0.965].into_iter().enumerate() {
        let seed = seed as u64;
        Fixture { seed, final_score: Some(score), search_seconds: 21.6 + 3.0 * seed as f64, ..Fixture::default() }.write(root);
        random(seed, score - 0.01).write(root);
    }
}

fn report(root: &TempDir) -> (naslab::report::Summary, PathBuf) {
    let out = root.path().join("out");
    let summary = write_report(&[root.path().join("runs")], &out, &Extras::default()).unwrap();
    (summary, out)
}

fn runs(root: &TempDir) -> PathBuf {
    let path = root.path().join("runs");
    fs::create_dir_all(&path).unwrap();
    path
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

/// Cells by the heads of their columns.
type Record = std::collections::BTreeMap<String, String>;

/// A table of `results.md` by its title, with the columns that are equal in all rows; empty if there is none.
fn table(out: &Path, title: &str) -> Vec<Record> {
    let text = read(out.join("results.md"));
    let Some(part) = text.split(&format!("\n## {title}\n")).nth(1).and_then(|rest| rest.split("\n## ").next()) else { return Vec::new() };
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|c| c.trim().trim_matches('|').trim().to_string()).collect::<Vec<_>>();
    let before = part.split("\n| ").next().unwrap().trim().lines().last().unwrap_or("").trim_end_matches('.');
    let equal: Vec<(String, String)> =
        before.split("; ").filter_map(|pair| pair.split_once(": ")).map(|(head, cell)| (head.into(), cell.into())).collect();
    let mut lines = part.lines().filter(|line| line.starts_with("| "));
    let head = cells(lines.next().unwrap());
    let row = |line: &str| head.iter().cloned().zip(cells(line)).chain(equal.clone()).collect::<Record>();
    lines.skip(1).map(row).collect()
}

/// The lines of `results-summary.csv` about a figure.
fn figures(out: &Path, figure: &str) -> Vec<Record> {
    records(out.join("results-summary.csv")).into_iter().filter(|line| line["figure"] == figure).collect()
}

/// A CSV file as records by column name; ragged lines fail.
fn records(path: PathBuf) -> Vec<Record> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_path(path).unwrap();
    reader.deserialize().map(std::result::Result::unwrap).collect()
}

#[test]
fn tables_of_two_methods() {
    let root = TempDir::new().unwrap();
    two_methods(&runs(&root));
    let (summary, out) = report(&root);
    assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
    insta::assert_snapshot!("results_md", read(out.join("results.md")));
    insta::assert_snapshot!("results_tex", read(out.join("results.tex")));
    insta::assert_snapshot!("terminal", summary.table);
}

#[test]
fn the_long_frame_has_one_row_a_run_and_nulls_are_empty() {
    let root = TempDir::new().unwrap();
    Fixture { seed: 7, final_score: None, ..Fixture::default() }.write(&runs(&root));
    let (_, out) = report(&root);
    let rows = records(out.join("results.csv"));
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    for (column, value) in [
        ("run", "darts-digits-s7"),
        ("seed", "7"),
        ("final_score", ""),
        ("search_score", "0.61"),
        ("select_device_seconds", ""),
        ("search_device_seconds", "21.6"),
        ("search_cost_days", "0.0005"),
        ("cost_unit", "core-days (Example CPU, 2 cores)"),
        ("energy_joules", ""),
        ("peak_device_allocated_bytes", ""),
        ("peak_host_bytes", "536870912"),
        ("trials", "8"),
        ("trials_completed", "7"),
        ("wall_seconds", "35.0"),
        ("cpu_seconds", "68.4"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    let [last, first] = ["final_score", "search_score"].map(|figure| figures(&out, figure).remove(0));
    assert_eq!([&last["mean"], &last["n"], &last["unit"], &first["mean"], &first["n"]], ["", "", "fraction", "0.61", "1"]);
    let of_paper = figures(&out, "reported_final_score").remove(0);
    assert_eq!([&of_paper["mean"], &of_paper["unit"]], ["0.97", "fraction"], "one file has one unit for scores");
}

#[test]
fn means_are_over_seeds_with_the_sample_deviation() {
    let root = TempDir::new().unwrap();
    two_methods(&runs(&root));
    let (summary, _) = report(&root);
    let darts = &summary.rows[0];
    assert_eq!((darts.method.as_str(), darts.seeds), ("darts", 3));
    assert!((darts.final_score.mean.unwrap() - 0.97).abs() < 1e-12);
    assert!((darts.final_score.deviation.unwrap() - 0.005).abs() < 1e-12);
    // Two cores worked all the time.
    assert!((darts.search_days.mean.unwrap() - 2.0 * 24.6 / 86_400.0).abs() < 1e-12);
    assert!((darts.total_days.mean.unwrap() - 2.0 * (24.6 + 12.6) / 86_400.0).abs() < 1e-12);
    assert_eq!((darts.parameters.low, darts.parameters.high), (Some(36_586.0), Some(36_686.0)));
    assert_eq!(darts.claim.as_ref().unwrap().value, Some(97.0));
    assert_eq!(darts.select_days.mean, None);
}

#[test]
fn a_method_is_tested_against_its_control() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    let search = |seed: u64, final_score: Option<f64>| Fixture { seed, final_score, control: Some("small-space"), ..Fixture::default() };
    for (seed, score) in [0.970, 0.975, 0.965].into_iter().enumerate() {
        search(seed as u64, Some(score)).write(&folder);
        // In another space: no control.
        random(seed as u64, 0.5).write(&folder);
    }
    let control = |seed: u64, score: f64| {
        // The folder is named after the preset.
        let path = Fixture { variant: "small-space", preset: "smoke-small", ..random(seed, score) }.write(&folder);
        let manifest = read(path.join("manifest.json")).replace("smoke-small\"", "smoke\"");
        fs::write(path.join("manifest.json"), manifest).unwrap();
    };
    for seed in 0..2 {
        control(seed, 0.94 + 0.001 * seed as f64);
    }
    let (_, out) = report(&root);
    let compared = |out: &Path| table(out, "Against random search");
    let few = compared(&out);
    assert_eq!(few.len(), 1, "random search in another space is no control: {few:?}");
    let not = "n &lt; 3: not tested";
    let cells = |row: &Record, heads: &[&str]| heads.iter().map(|h| row[*h].clone()).collect::<Vec<_>>();
    let heads = ["control", "n", "n (control)", "difference (points)", "95 % interval", "Mann-Whitney p", "verdict"];
    assert_eq!(cells(&few[0], &heads), ["random (small-space)", "3", "2", "+2.95", "–", not, not]);
    assert!(read(out.join("report.html")).contains("n &lt; 3: not tested</td>"));
    control(2, 0.942);
    let (_, out) = report(&root);
    let full = compared(&out);
    // scipy: ttest_ind(equal_var=False) with its interval, mannwhitneyu, and two one-sided Welch tests.
    let heads = ["difference (points)", "95 % interval", "Welch p, Holm-corrected", "Mann-Whitney p", "equivalence p", "verdict"];
    assert_eq!(cells(&full[0], &heads), ["+2.90", "+1.72 to +4.08", "0.0078", "0.1000", "0.9905", "higher than its control"]);
    let of_darts = figures(&out, "final_score").into_iter().find(|r| r["method"] == "darts").unwrap();
    let [low, high] = ["ci95_low", "ci95_high"].map(|end| of_darts[end].parse::<f64>().unwrap());
    // Student's t for two degrees of freedom is 4.3027 at 97.5 %.
    assert!((low - (0.97 - 4.3027 * 0.005 / 3_f64.sqrt())).abs() < 1e-6 && (low + high - 1.94).abs() < 1e-12, "{low} {high}");
    let text = read(out.join("results.md"));
    assert!(
        text.contains("Of 1 searches with a control, 1 scored higher than random search in the same space (darts (first-order))."),
        "{text}"
    );
}

#[test]
fn ties_are_counted_and_the_table_never_says_what_three_seeds_cannot() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    for (seed, (score, chance)) in [(0.9083, 0.7972), (0.9111, 0.7806), (0.9083, 0.8139)].into_iter().enumerate() {
        Fixture { seed: seed as u64, final_score: Some(score), control: Some("darts-space"), ..Fixture::default() }.write(&folder);
        random(seed as u64, chance).write(&folder);
    }
    let (_, out) = report(&root);
    assert_eq!(table(&out, "Against random search")[0]["Mann-Whitney p"], "0.1000");
}

#[test]
fn two_trials_side_by_side_cost_two_cores_and_a_budget_that_ended_nothing_is_said_so() {
    let root = TempDir::new().unwrap();
    let fixture = Fixture::default();
    let path = fixture.write(&runs(&root));
    let (mut manifest, mut ledger) = (fixture.manifest(), fixture.ledger());
    manifest["limits"]["budget_seconds"] = json!(40.0);
    manifest["jobs"] = json!(2);
    manifest["data"]["counts"]["test"] = json!(360);
    ledger["budget_seconds"] = json!(40.0);
    put_manifest(&path, manifest);
    fs::write(path.join("ledger.json"), ledger.to_string()).unwrap();
    let (_, out) = report(&root);
    let cost = table(&out, "Cost of a run").remove(0);
    // 21.6 s of device time with two cores at work.
    assert_eq!(
        [&cost["search"], &cost["wall time"], &cost["trials side by side (jobs)"], &cost["budget used (%)"]],
        ["43.2 s", "35.0 s", "2", "54"]
    );
    let outcome = table(&out, "Outcome: accuracy").remove(0);
    assert_eq!(
        [&outcome["search cost"], &outcome["total cost"], &outcome["cost in"]],
        ["43.2 s", "68.4 s", "core time (Example CPU, 2 cores)"]
    );
    // The square root of 0.97 x 0.03 / 360.
    assert_eq!([&outcome["test images"], &outcome["error of one score"]], ["360", "0.90"]);
    let text = read(out.join("results.md"));
    assert!(text.contains("- Budget per run: 40.0 s of device time for search and selection (1 runs); used 54 %; it ended 0 searches; largest overshoot 0.00 s"), "{text}");
    let said = "the budget is the same, but it ended 0 of 1 searches; they used 54 % of it";
    assert!(table(&out, "Checklist of best practices").iter().any(|r| r["answer"] == "not met" && r["why"] == said), "{text}");
}

#[test]
fn times_of_unlike_devices_are_not_added() {
    let root = TempDir::new().unwrap();
    let fixture = Fixture { search_seconds: 30.0, ..Fixture::default() };
    let path = fixture.write(&runs(&root));
    let mut ledger = fixture.ledger();
    let task = |trial: u64, model: &str, seconds: f64| {
        json!({"trial": trial, "task": format!("7_{trial}.0"), "node": "n1", "device": "cpu", "model": model, "queued_seconds": 1.5, "apart": true,
            "account": ledger_row("search", 0, seconds, false)})
    };
    ledger["tasks"] = json!([task(0, "Slow CPU", 20.0), task(1, "Fast CPU", 10.0)]);
    fs::write(path.join("ledger.json"), ledger.to_string()).unwrap();
    let (_, out) = report(&root);
    let [results, csv] = ["results.md", "results.csv"].map(|name| read(out.join(name)));
    assert!(results.contains("used unlike devices, whose times are not added. Fast CPU: 10.0 s; Slow CPU: 20.0 s."), "{results}");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names = reader.headers().unwrap().clone();
    let columns = ["search_cost_days", "retrain_cost_days", "total_cost_days", "queued_seconds", "tasks"]
        .map(|name| names.iter().position(|n| n == name).unwrap());
    let row = reader.records().next().unwrap().unwrap();
    let [search, retrain, total, queued, tasks] = columns.map(|i| row[i].to_string());
    // Only the search was spread over them.
    assert!(search.is_empty() && !retrain.is_empty() && total.is_empty(), "{search} {retrain} {total}");
    assert_eq!((queued.parse::<f64>().unwrap(), tasks.as_str()), (3.0, "2"));
}

#[test]
fn the_tables_of_a_paper_fit_their_page() {
    if std::process::Command::new("pdflatex").arg("--version").output().is_err() {
        println!("skipped: no pdflatex on this machine");
        return;
    }
    let root = TempDir::new().unwrap();
    for (seed, score) in [0.970, 0.975, 0.965].into_iter().enumerate() {
        Fixture { seed: seed as u64, final_score: Some(score), control: Some("darts-space"), ..Fixture::default() }.write(&runs(&root));
        random(seed as u64, score - 0.01).write(&runs(&root));
    }
    let (_, out) = report(&root);
    let paper = "\\documentclass[10pt]{article}\\usepackage{booktabs,longtable,tabularx}\\begin{document}\\input{results.tex}\\ref{tab:cost-of-a-run}\\end{document}";
    fs::write(out.join("paper.tex"), paper).unwrap();
    let tex = std::process::Command::new("pdflatex").args(["-interaction=nonstopmode", "paper.tex"]).current_dir(&out).output().unwrap();
    let said = String::from_utf8_lossy(&tex.stdout);
    assert!(tex.status.success() && !said.contains("Overfull") && out.join("paper.pdf").exists(), "{said}");
    let tables = read(out.join("results.tex"));
    assert!(tables.matches("\\label{tab:").count() >= 4 && tables.matches("\\small").count() >= 4, "{tables}");
}

#[test]
fn panels_for_print_have_the_width_that_was_asked_for() {
    let root = TempDir::new().unwrap();
    two_methods(&runs(&root));
    let out = root.path().join("out");
    let extras = Extras { print: Some(Print { millimetres: 85.0, dpi: 300 }), ..Extras::default() };
    let summary = write_report(&[root.path().join("runs")], &out, &extras).unwrap();
    let printed: Vec<&PathBuf> = summary.files.iter().filter(|f| f.parent().unwrap().ends_with("print")).collect();
    assert!(printed.len() >= 3 * 5, "{printed:?}");
    for file in printed {
        match file.extension().unwrap().to_str().unwrap() {
            "svg" => assert!(read(file.clone()).contains("width=\"85.00mm\""), "{}", file.display()),
            // 85 mm at 300 dots an inch.
            "png" => assert!(png_size(file.clone()).0.abs_diff(1004) <= 1, "{}", file.display()),
            _ => assert!(fs::read(file).unwrap().starts_with(b"%PDF-"), "{}", file.display()),
        }
    }
}

#[test]
fn runs_are_compared_with_the_results_of_an_earlier_report() {
    let root = TempDir::new().unwrap();
    two_methods(&runs(&root));
    let (_, out) = report(&root);
    let earlier = root.path().join("earlier.csv");
    fs::copy(out.join("results.csv"), &earlier).unwrap();
    for (seed, score) in [0.960, 0.955, 0.950].into_iter().enumerate() {
        Fixture { seed: seed as u64, final_score: Some(score), ..Fixture::default() }.write(&runs(&root));
    }
    write_report(&[root.path().join("runs")], &out, &Extras { against: Some(earlier.clone()), ..Extras::default() }).unwrap();
    let rows = table(&out, "Compared with earlier results");
    let score = rows.iter().find(|r| r["row"].starts_with("darts") && r["what"] == "test score").unwrap();
    assert_eq!([&score["earlier"], &score["here"], &score["verdict"]], ["97.00 % (n = 3)", "95.50 % (n = 3)", "holds"]);
    assert_eq!(score["difference"], "-1.50 points [-2.63, -0.37]", "the upper end is above the margin of one point");
    assert!(read(out.join("results.md")).contains("Against earlier.csv: "));
    let error =
        write_report(&[root.path().join("runs")], &out, &Extras { against: Some(root.path().join("absent.csv")), ..Extras::default() })
            .unwrap_err();
    assert!(matches!(error, Error::Input { .. }), "{error}");
}

#[test]
fn a_search_that_collapsed_is_named_whatever_its_space() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    let fixture = Fixture::default();
    let path = fixture.write(&folder);
    Fixture { seed: 1, ..Fixture::default() }.write(&folder);
    let mut result = fixture.result();
    let skips = |op| [node((op, 0), (op, 1)), node((op, 0), ("sep_conv_3x3", 1)), node((op, 0), (op, 1)), node((op, 2), (op, 1))];
    result["architecture"] = serde_json::to_value(pair(cell(&skips("skip_connect")), cell(&skips("max_pool_3x3")))).unwrap();
    result["architecture_hash"] = json!(hash(&result["architecture"]));
    fs::write(path.join("result.json"), result.to_string()).unwrap();
    let (summary, out) = report(&root);
    let warned = "darts-digits-s0: 7 of 8 edges of its normal cell are skip connections; the search collapsed";
    assert_eq!(summary.warnings.iter().filter(|w| w.contains("skip connections")).collect::<Vec<_>>(), [warned]);
    let found = table(&out, "Collapsed searches").remove(0);
    assert_eq!([&found["run"], &found["its first cell"], &found["skip connections in that cell"]], ["darts-digits-s0", "normal", "7"]);
}

#[test]
fn a_missing_seed_and_a_missing_method_are_named() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    two_methods(&folder);
    Fixture { seed: 4, ..Fixture::default() }.write(&folder);
    let missing = table(&report(&root).1, "What is missing");
    let said: Vec<[&str; 2]> = missing.iter().map(|r| [r["what"].as_str(), &r["which"]]).collect();
    let seeds = ["seeds that others have", "random (darts-space) seed 4"];
    assert_eq!(said, [["no finished run", "amoebanet, nasnet, enas, ghn"], seeds]);
}

#[test]
fn the_checklist_is_answered_from_what_was_recorded() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    two_methods(&folder);
    let (_, out) = report(&root);
    let answers = |out: &Path| {
        let answer = |r: Record| (r["item"].clone(), format!("{}: {}", r["answer"], r["why"]));
        table(out, "Checklist of best practices").into_iter().map(answer).collect::<Record>()
    };
    let first = answers(&out);
    assert_eq!(first.len(), 13, "{first:?}");
    assert!(first["several runs, with their seeds"].starts_with("met"));
    assert_eq!(first["compared with random search in the same space"], "not met: no control of: darts (first-order)");
    assert!(first["ablations of the method's parts"].starts_with("not measured"));
    for (seed, score) in [0.970, 0.975, 0.965].into_iter().enumerate() {
        Fixture { seed: seed as u64, final_score: Some(score), control: Some("darts-space"), ..Fixture::default() }.write(&folder);
    }
    for seed in 0..2 {
        Fixture { method: "train", variant: "darts-v2", seed, ..Fixture::default() }.write(&folder);
    }
    let second = answers(&report(&root).1);
    assert!(second["compared with random search in the same space"].starts_with("met"), "{second:?}");
    assert_eq!(second["several runs, with their seeds"], "not met: fewer than three seeds of: train (darts-v2) (n = 2)");
}

#[test]
fn processor_time_is_never_called_gpu_days_and_devices_are_not_mixed() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    Fixture::default().write(&folder);
    Fixture { cuda: true, search_seconds: 2.0, ..Fixture::default() }.write(&folder);
    let (summary, out) = report(&root);
    let units: Vec<&str> = summary.rows.iter().map(|r| r.cost_unit.as_str()).collect();
    assert_eq!(units, ["GPU-days (NVIDIA H100)", "core-days (Example CPU, 2 cores)"]);
    assert_eq!(summary.rows[0].peak_bytes, Some(3 << 30));
    assert_eq!(summary.rows[0].energy_joules.mean, Some(1500.0 * 14.6));
    assert_eq!(summary.rows[1].energy_joules.mean, None);
    let energy: Vec<String> = table(&out, "Outcome: accuracy").into_iter().map(|r| format!("{}: {}", r["cost in"], r["energy"])).collect();
    let expected = ["GPU time (NVIDIA H100): 21900 J", "core time (Example CPU, 2 cores): not measured"];
    assert_eq!(energy, expected, "energy on a processor is not measured, never 0");
}

#[test]
fn runs_with_other_settings_are_not_averaged() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    Fixture::default().write(&folder);
    let other = Fixture { seed: 1, ..Fixture::default() };
    let path = other.write(&folder);
    let mut manifest = other.manifest();
    manifest["settings"]["search"]["epochs"] = json!(9);
    put_manifest(&path, manifest);
    let (summary, _) = report(&root);
    assert_eq!(summary.rows.len(), 2);
    assert!(summary.rows.iter().all(|r| r.seeds == 1 && r.preset.starts_with("smoke [")), "{:?}", summary.rows);
}

#[test]
fn unfinished_damaged_foreign_and_repeated_runs_are_named_and_left_out() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    Fixture::default().write(&folder);
    let unfinished = Fixture { seed: 1, final_score: Some(0.1), ..Fixture::default() }.write(&folder);
    fs::remove_file(unfinished.join("result.json")).unwrap();
    let damaged = Fixture { seed: 2, ..Fixture::default() }.write(&folder);
    fs::write(damaged.join("result.json"), "{\"format\": 1, \"meth").unwrap();
    let foreign = Fixture { seed: 3, ..Fixture::default() }.write(&folder);
    let mut manifest = Fixture { seed: 3, ..Fixture::default() }.manifest();
    manifest["format"] = json!(99);
    fs::write(foreign.join("manifest.json"), manifest.to_string()).unwrap();
    let middle = Fixture { seed: 4, ..Fixture::default() }.write(&folder);
    let log = read(middle.join("events.jsonl")).replacen("{\"v\":1,\"n\":3", "{\"v\":1,#", 1);
    fs::write(middle.join("events.jsonl"), log).unwrap();
    Fixture::default().write(&folder.join("again"));
    let later = Fixture { seed: 5, ..Fixture::default() }.write(&folder);
    let log = read(later.join("events.jsonl")).replacen("{\"v\":1,", "{\"v\":2,", 1);
    fs::write(later.join("events.jsonl"), log).unwrap();

    let (summary, out) = report(&root);
    assert_eq!((summary.rows.len(), summary.rows[0].seeds), (1, 1));
    assert_eq!(summary.rows[0].final_score.mean, Some(0.97));
    let named = |run: &str, what: &str| summary.warnings.iter().any(|w| w.starts_with(run) && w.contains(what));
    assert!(named("darts-digits-s1", "unfinished"), "{:?}", summary.warnings);
    assert!(named("darts-digits-s2", "result.json: line 1"), "{:?}", summary.warnings);
    assert!(named("darts-digits-s5", "event lines of version 2, this naslab reads 1"), "{:?}", summary.warnings);
    assert!(named("darts-digits-s3", "format 99"), "{:?}", summary.warnings);
    assert!(named("darts-digits-s4", "events.jsonl"), "{:?}", summary.warnings);
    assert!(summary.warnings.iter().any(|w| w.contains("the same run as")), "{:?}", summary.warnings);
    let statuses: Vec<String> = records(out.join("results.csv")).into_iter().map(|r| r["status"].clone()).collect();
    assert_eq!(statuses.iter().filter(|s| *s == "damaged").count(), 4);
    assert_eq!(statuses.len(), 7);
}

#[test]
fn a_resumed_run_goes_on_with_its_curve_and_adds_its_attempts() {
    let root = TempDir::new().unwrap();
    let fixture = Fixture::default();
    let path = fixture.write(&runs(&root));
    let mut ledger = fixture.ledger();
    ledger["rows"].as_array_mut().unwrap().push(ledger_row("search", 1, 3.4, false));
    fs::write(path.join("ledger.json"), ledger.to_string()).unwrap();
    let again = [
        json!({"kind": "attempt_started", "attempt": 0}),
        progress(0, 1.0, Some(0.2)),
        progress(1, 2.0, Some(0.9)),
        json!({"kind": "attempt_started", "attempt": 1}),
        progress(2, 5.0, Some(0.95)),
    ];
    write_events(&path, &again);
    let mut torn = read(path.join("events.jsonl"));
    torn.push_str("{\"v\":1,\"n\":5,\"t\":\"20");
    fs::write(path.join("events.jsonl"), torn).unwrap();

    let loaded = load_runs(&[root.path().join("runs")]).unwrap();
    let curve: Vec<(f64, f64)> = loaded.runs[0].curve.iter().map(|p| (p.seconds, p.best)).collect();
    assert_eq!(curve, [(1.0, 0.2), (2.0, 0.9), (5.0, 0.95)]);
    assert!(loaded.notices.iter().any(|n| n.contains("torn last line")), "{:?}", loaded.notices);
    let run = &loaded.runs[0];
    assert_eq!((run.seconds(Phase::Search), run.most(|row| Some(u64::from(row.attempt)))), (Some(25.0), Some(1)));
    assert_eq!(loaded.runs[0].status, Status::Finished);
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let root = TempDir::new().unwrap();
    two_methods(&runs(&root));
    let (first, out) = report(&root);
    let before: Vec<Vec<u8>> = first.files.iter().map(|f| fs::read(f).unwrap()).collect();
    let second = write_report(&[root.path().join("runs")], &out, &Extras::default()).unwrap();
    assert_eq!(first.files, second.files);
    for (file, bytes) in second.files.iter().zip(&before) {
        assert!(fs::read(file).unwrap() == *bytes, "{}", file.display());
    }
    let names: Vec<String> = first.files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(names.contains(&"cell-darts-first-order-digits-smoke-s0.svg".to_string()), "{names:?}");
    let left: Vec<_> =
        fs::read_dir(&out).unwrap().filter_map(|e| e.ok()).filter(|e| e.file_name().to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "temporary files remain: {left:?}");
}

/// Width and height of a PNG, checked to be one.
fn png_size(path: PathBuf) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let at = |i: usize| u32::from_be_bytes(bytes[i..i + 4].try_into().unwrap());
    (at(16), at(20))
}

fn figures_are_sound(out: &Path) {
    for name in ["accuracy-cost", "accuracy-total-cost", "accuracy-parameters", "cost", "anytime"] {
        let svg = read(out.join(format!("{name}.svg")));
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"), "{name}");
        let (width, height) = png_size(out.join(format!("{name}.png")));
        assert!(width > 500 && height > 200 && height < 20_000, "{name}: {width} x {height}");
    }
}

#[test]
fn figures_hold_without_points() {
    let root = TempDir::new().unwrap();
    let path = Fixture::default().write(&runs(&root));
    fs::remove_file(path.join("result.json")).unwrap();
    let (summary, out) = report(&root);
    assert!(summary.rows.is_empty());
    assert_eq!(summary.table, "no finished run\n");
    figures_are_sound(&out);
    for name in ["accuracy-cost", "accuracy-total-cost", "accuracy-parameters", "cost", "anytime"] {
        assert!(read(out.join(format!("{name}.svg"))).contains("no finished run"), "{name}");
    }
}

#[test]
fn figures_hold_for_one_equal_zero_and_missing_values() {
    let cases: [Vec<Fixture>; 5] = [
        vec![Fixture::default()],
        vec![Fixture::default(), Fixture { seed: 1, ..Fixture::default() }],
        vec![Fixture { search_seconds: 0.0, ..Fixture::default() }],
        vec![Fixture { final_score: None, search_score: None, points: 0, ..Fixture::default() }],
        vec![
            Fixture { final_score: Some(1.0), ..Fixture::default() },
            Fixture { seed: 5, final_score: Some(0.0), search_seconds: 1e9, ..Fixture::default() },
        ],
    ];
    for fixtures in cases {
        let root = TempDir::new().unwrap();
        let folder = runs(&root);
        fixtures.iter().for_each(|f| drop(f.write(&folder)));
        let (_, out) = report(&root);
        figures_are_sound(&out);
    }
}

#[test]
fn a_zero_cost_has_a_place_before_the_scale_and_a_missing_score_is_named() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    Fixture { search_seconds: 0.0, ..Fixture::default() }.write(&folder);
    Fixture { seed: 1, final_score: None, ..Fixture::default() }.write(&folder);
    let (_, out) = report(&root);
    let svg = read(out.join("accuracy-cost.svg"));
    assert!(svg.contains("A search cost of exactly 0 has no place on a logarithmic scale"), "{svg}");
    assert!(svg.contains("darts (first-order), n = 1"), "{svg}");
    let caption = "Not shown, no final score between 0 and 1: darts (first-order) on digits (1 of 2).";
    assert!(read(out.join("report.html")).contains(caption), "{svg}");
}

#[test]
fn a_thousand_points_on_a_curve_and_many_runs() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    for seed in 0..60 {
        Fixture {
            seed,
            final_score: Some(0.95 + 0.0005 * (seed % 50) as f64),
            search_seconds: 10.0 + seed as f64,
            points: 1000,
            ..Fixture::default()
        }
        .write(&folder);
    }
    let (summary, out) = report(&root);
    assert_eq!(summary.rows[0].seeds, 60);
    figures_are_sound(&out);
    assert!(summary.warnings.iter().any(|w| w.contains("50 more cells are not drawn")), "{:?}", summary.warnings);
}

#[test]
fn no_run_is_bad_input_and_an_unwritable_folder_is_a_resource_failure() {
    let root = TempDir::new().unwrap();
    let empty = runs(&root);
    let error = write_report(std::slice::from_ref(&empty), &root.path().join("out"), &Extras::default()).unwrap_err();
    assert!(matches!(error, Error::Input { .. }) && error.to_string().contains("manifest.json"), "{error}");
    let error = write_report(&[root.path().join("absent")], &root.path().join("out"), &Extras::default()).unwrap_err();
    assert!(matches!(error, Error::Input { .. }), "{error}");
    Fixture::default().write(&empty);
    let blocked = root.path().join("file");
    fs::write(&blocked, "not a folder").unwrap();
    let error = write_report(&[empty], &blocked.join("out"), &Extras::default()).unwrap_err();
    assert!(matches!(error, Error::Resource(_)), "{error}");
}

#[test]
fn overlapping_and_non_ascii_folders_count_a_run_once() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root).join("größe");
    let run = Fixture::default().write(&folder);
    let loaded = load_runs(&[root.path().join("runs"), folder, run]).unwrap();
    let names: Vec<&str> = loaded.runs.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["größe/darts-digits-s0"]);
}

#[test]
fn a_very_long_name_is_cut_in_the_names_of_files() {
    let root = TempDir::new().unwrap();
    let folder = runs(&root);
    let variant = Box::leak("größe_名前_".repeat(40).into_boxed_str());
    let path = Fixture { variant, ..Fixture::default() }.write(&folder);
    fs::rename(&path, folder.join("first")).unwrap();
    Fixture { variant, preset: "smoke-other", ..Fixture::default() }.write(&folder);
    let (summary, _) = report(&root);
    let cells = summary.files.iter().filter_map(|f| f.file_name()?.to_str()).filter(|n| n.starts_with("cell-") && n.ends_with(".png"));
    assert_eq!(cells.filter(|n| n.len() < 220).count(), 2);
}

#[test]
fn cells_are_drawn_by_extension() {
    let root = TempDir::new().unwrap();
    let svg = root.path().join("cells.SVG");
    draw_architecture(&architecture(), "darts-v2", &svg).unwrap();
    let text = read(svg);
    assert_eq!(["sep_conv_3x3", "skip_connect", "darts-v2: reduction cell"].map(|words| text.matches(words).count()), [5, 5, 1]);
    let png = root.path().join("both.png");
    draw_architecture(&architecture(), "darts-v2", &png).unwrap();
    assert!(png_size(png).0 > 800);
    let error = draw_architecture(&architecture(), "darts-v2", &root.path().join("cell.gif")).unwrap_err();
    assert!(matches!(error, Error::Usage(_)) && error.to_string().contains(".svg, .png or .pdf"), "{error}");
    let ahead = [node(("sep_conv_3x3", 0), ("sep_conv_3x3", 2))];
    assert!(draw_architecture(&pair(cell(&ahead), cell(&ahead)), "ahead", &root.path().join("ahead.svg")).is_err());
}

#[test]
fn claims_cover_the_six_papers_and_the_control() {
    let all = claims().unwrap();
    for method in ["amoebanet", "nasnet", "enas", "ghn", "darts", "nas_unet", "random"] {
        assert_eq!(all.iter().filter(|c| c.method == method && c.headline).count(), 1, "{method}");
    }
    assert!(all.len() > 80);
}

#[test]
fn trials_are_listed_counted_and_drawn() {
    let root = TempDir::new().unwrap();
    let path = random(0, 0.95).write(&runs(&root));
    let trial = |id: u64, phase: &str, hash: &str, end: &str, score: Option<f64>, reused: Option<u64>| {
        json!({"kind": "trial", "id": id, "phase": phase, "architecture": architecture(), "hash": hash, "parent": if id > 1 { Some(0) } else { None },
            "origin": "op mutation", "reused": reused, "end": end, "score": score, "loss": 0.5, "parameters": if end == "failed" { None } else { Some(1000) },
            "device_seconds": 2.5, "spent_seconds": 2.5 * (id + 1) as f64})
    };
    let mut point = progress(0, 2.5, Some(0.5));
    point["extra"] = json!({"population_mean": 0.4, "controller_entropy": 1.6});
    let mut later = progress(1, 5.0, Some(0.6));
    later["extra"] = json!({"population_mean": 0.5, "controller_entropy": 1.5});
    let events = [
        point,
        later,
        trial(0, "search", "aaaaaaaaaa", "completed", Some(0.5), None),
        trial(1, "search", "bbbbbbbbbb", "interrupted", None, None),
        trial(1, "search", "bbbbbbbbbb", "failed", None, None),
        trial(2, "search", "aaaaaaaaaa", "completed", Some(0.5), Some(0)),
        trial(3, "search", "aaaaaaaaaa", "completed", Some(0.625), None),
        trial(0, "select", "aaaaaaaaaa", "completed", Some(0.7), None),
    ];
    write_events(&path, &events);
    let (summary, out) = report(&root);
    let listed = records(out.join("trials.csv"));
    assert_eq!(listed.len(), 6, "every recorded trial, that of the selection and the one cut off included");
    let of = |name: &str| listed.iter().map(|r| r[name].as_str()).collect::<Vec<_>>();
    assert_eq!(of("end"), ["completed", "failed", "completed", "completed", "interrupted", "completed"]);
    assert_eq!(of("parameters"), ["1000", "", "1000", "1000", "1000", "1000"], "what is not known is empty");
    assert_eq!(of("reused"), ["", "", "0", "", "", ""]);
    assert_eq!(of("parent"), ["", "", "0", "0", "", ""]);
    // Four trials of two architectures: one was trained again, one score was reused.
    let counts = table(&out, "Trials of the searches").remove(0);
    assert_eq!(
        ["how they ended", "trials", "different architectures", "trained again", "score reused"].map(|head| counts[head].as_str()),
        ["3 completed, 1 failed", "4", "2", "1", "1"]
    );
    for name in ["trials.svg", "trials.png", "diagnostics.svg", "diagnostics.png"] {
        assert!(summary.files.iter().any(|f| f.ends_with(name)), "{name}");
    }
    assert!(read(out.join("trials.svg")).contains("mean of the population"));
    assert!(read(out.join("diagnostics.svg")).contains("Entropy of the controller"));
}

/// Pearson's coefficients of the ten networks below and of the five best, by scipy.
const OF_TEN: f64 = -0.7596106381781886;
const OF_BEST: f64 = 0.878048780487805;

#[test]
fn early_scores_are_correlated_with_late_ones_and_a_ranking_search_shows_its_parts() {
    let root = TempDir::new().unwrap();
    let trial = |id: u64, phase: &str, proxies: Value, score: Option<f64>| {
        json!({"kind": "trial", "id": id, "phase": phase, "architecture": architecture(), "hash": format!("{id:010}"), "parent": null, "origin": "sampled",
            "end": if score.is_some() { "completed" } else { "diverged" }, "score": score, "proxies": proxies, "loss": 0.5, "parameters": 1000 + id,
            "device_seconds": 2.5, "spent_seconds": 2.5 * (id + 1) as f64})
    };
    // The five that come out best are ordered well; the others are predicted better the worse they are.
    let best = [(0.1, 0.6), (0.2, 0.8), (0.3, 0.7), (0.4, 0.9), (0.45, 0.95)];
    let networks: Vec<(f64, f64)> = [(0.9, 0.1), (0.8, 0.15), (0.7, 0.2), (0.6, 0.25), (0.5, 0.3)].into_iter().chain(best).collect();
    for seed in 0..3 {
        let fixture =
            Fixture { method: "ghn", variant: "correlation", kind: "accuracy with predicted weights", seed, ..Fixture::default() };
        let path = fixture.write(&runs(&root));
        let mut ranked = progress(2, 15.0, Some(0.4));
        ranked["extra"] = json!({"ranked": 50});
        let mut events = vec![progress(0, 5.0, Some(0.2)), progress(1, 12.6, Some(0.3)), ranked];
        // The second seed has another level, which says nothing of its networks, and the third predicts without a fault.
        let of_seed = |(early, late): (f64, f64)| [(early, late), (0.1 * early, late), (late, late)][seed as usize];
        for (i, (early, late)) in networks.iter().map(|n| of_seed(*n)).enumerate() {
            events.push(trial(i as u64, "search", json!({"ghn": early, "step 10": 0.1, "step 2": 1.0 - late}), Some(late)));
        }
        events.push(trial(10, "search", json!({"ghn": 0.9}), None));
        events.push(trial(0, "select", json!({"search": 0.5}), Some(0.7)));
        write_events(&path, &events);
    }
    let (summary, out) = report(&root);
    let listed = records(out.join("correlations.csv"));
    let of = |name: &str| listed.iter().map(|r| r[name].as_str()).collect::<Vec<_>>();
    let four = |name: &'static str| [name; 4];
    let proxies = [four("score with predicted weights"), four("score after 2 steps"), four("score after 10 steps"), four("parameters")];
    assert_eq!(of("proxy"), [proxies.concat(), vec!["search score"]].concat(), "one pair a run is nothing to correlate in it");
    assert_eq!(of("n")[..4], ["10", "10", "10", ""], "a trial without a score is in no pair");
    assert_eq!(of("top_half_n")[..4], ["5", "5", "5", ""]);
    assert_eq!([&of("seed")[..4], &of("seed")[16..]].concat(), ["0", "1", "2", "", ""]);
    assert_eq!([&of("seeds")[..4], &of("seeds")[16..], &of("n")[16..]].concat(), ["1", "1", "1", "3", "3", "3"]);
    let value = |row: usize, name: &str| listed[row][name].parse::<f64>().unwrap();
    let near = |row, name, expected: f64| assert!((value(row, name) - expected).abs() < 1e-9, "{row} {name}: {}", value(row, name));
    // By the definition; the level of a seed does not matter, which it would if all pairs were one sample.
    for (row, all, top) in [
        (0, OF_TEN, OF_BEST),
        (1, OF_TEN, OF_BEST),
        (2, 1.0, 1.0),
        (3, (2.0 * OF_TEN + 1.0) / 3.0, (2.0 * OF_BEST + 1.0) / 3.0),
        (4, -1.0, -1.0),
    ] {
        near(row, "pearson", all);
        near(row, "top_half_pearson", top);
    }
    assert!(value(0, "pearson_low") < OF_TEN && value(0, "pearson_high") > OF_TEN);
    // Student's interval of three seeds; no coefficient lies outside of -1 and 1.
    assert_eq!([value(3, "pearson_low"), value(3, "pearson_high"), value(3, "top_half_pearson_high")], [-1.0, 1.0, 1.0]);
    near(3, "top_half_pearson_low", 0.7437946044817294);
    assert_eq!(
        [&listed[8]["pearson"], &listed[11]["pearson"], &listed[16]["pearson"]],
        ["", "", ""],
        "a constant score has no coefficient"
    );
    assert_eq!(of("paper_pearson_random_100")[..5], ["0.68", "0.68", "0.68", "0.68", ""]);
    assert_eq!(of("paper_pearson_top_50")[..5], ["0.48", "0.48", "0.48", "0.48", ""]);
    assert!(summary.files.iter().any(|f| f.ends_with("early-late.png")));
    let figure = read(out.join("early-late.svg"));
    for words in ["seed 0: n = 10, Pearson −0.76", "mean over 3 seeds: Pearson −0.17", "paper, cifar10: Pearson 0.68"] {
        assert!(figure.contains(words), "{words}: {figure}");
    }
    let rows = table(&out, "Do early scores predict final ones?");
    let found = rows.iter().find(|r| r["early"] == "score with predicted weights").unwrap();
    let cells = ["seeds", "pairs", "Pearson", "pairs of the top half", "Pearson of the top half"].map(|head| found[head].as_str());
    assert_eq!(cells, ["3", "10", "-0.17 [-1.00, 1.00]", "5", "0.92 [0.74, 1.00]"]);
    assert_eq!(
        [&found["paper, 100 random networks"], &found["paper, 50 best of them"]],
        ["0.68 (GHN, N=7, T=5 on cifar10)", "0.48 (GHN, N=7, T=5 on cifar10)"]
    );
    assert!(rows.iter().all(|r| r["late"] != "test score" || r["Pearson"] == "–"), "three seeds are too few for a coefficient: {rows:?}");
    // 12.6 of 21.6 s.
    assert_eq!(table(&out, "Cost of a run")[0]["of it training"], "58 %");
}
