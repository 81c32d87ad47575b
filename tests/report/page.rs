//! The page in a real browser: its links lead somewhere, its tables sort, it fits a phone, and it fetches nothing.

use super::{Fixture, read, report, runs, two_methods};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Put at the end of a copy of the page: does what a reader does and writes what it saw into the title.
const READER: &str = r##"<script>
const seen = [];
const say = (name, value) => seen.push(name + "=" + value);
const links = [...document.querySelectorAll("a")];
say("links", links.length);
say("dead", links.filter((a) => !document.getElementById(a.getAttribute("href").slice(1))).length);
say("sections", document.querySelectorAll("nav a").length === document.querySelectorAll("section").length);
const table = document.querySelector("#outcome-accuracy table");
const column = (name) => [...table.tHead.rows[0].cells].findIndex((c) => c.textContent.startsWith(name));
const cells = (at) => [...table.tBodies[0].rows].map((r) => r.cells[at].textContent);
const click = (at) => table.tHead.rows[0].cells[at].click();
for (const name of ["accuracy", "search cost", "weights", "method"]) {
  const at = column(name);
  const before = cells(at).join("|");
  click(at);
  say(name + " up", cells(at).join("|") + " " + table.tHead.rows[0].cells[at].ariaSort);
  click(at);
  say(name + " down", cells(at).join("|"));
  click(at);
  say(name + " back", cells(at).join("|") === before && table.tHead.rows[0].cells[at].ariaSort === null);
}
const filter = document.getElementById("filter");
const [chip, row] = [filter.children[0], [...table.tBodies[0].rows].find((r) => r.cells[0].textContent === filter.children[0]?.textContent)];
chip?.click();
say("filter", chip && row.classList.contains("gone") && document.querySelector(`svg [data-series="${chip.textContent}"]`).classList.contains("gone"));
const mark = document.querySelector("svg [data-tip]");
mark.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
say("tip", document.getElementById("tip").textContent === mark.dataset.tip && !document.getElementById("tip").hidden);
const stops = [...document.querySelectorAll(".panel svg")].map((svg) => svg.querySelectorAll("[tabindex='0']").length);
say("stops", Math.max(...stops));
say("downloads", [...document.querySelectorAll(".tools")].length >= document.querySelectorAll("table, .panel").length);
say("fetched", performance.getEntriesByType("resource").length);
say("overflow", document.documentElement.scrollWidth > window.innerWidth);
document.title = seen.join(" ## ").replace(/\u00a0/g, " ");
</script>"##;

fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|b| Command::new(b).arg("--version").output().is_ok())
}

/// The page's title after a reader was there, in a window of this width.
fn visit(browser: &str, page: &Path, width: u32) -> String {
    let profile = TempDir::new().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--window-size={width},1000"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let title = dom.split("<title>").nth(1).and_then(|t| t.split("</title>").next()).map(str::to_string);
    title.unwrap_or_else(|| panic!("no page: {dom} {}", String::from_utf8_lossy(&output.stderr)))
}

fn page(root: &TempDir) -> PathBuf {
    let folder = runs(root);
    two_methods(&folder);
    // More and fewer digits than the others: words would sort another way than numbers.
    for (seed, dataset, score) in [(0, "cifar10", 0.0975), (0, "fashion_mnist", 1.0)] {
        Fixture { seed, dataset, final_score: Some(score), search_seconds: 8640.0, ..Fixture::default() }.write(&folder);
    }
    let (_, out) = report(root);
    let text = read(out.join("report.html"));
    let path = out.join("visited.html");
    std::fs::write(&path, text.replace("</body>", &format!("{READER}</body>"))).unwrap();
    path
}

#[test]
fn a_reader_can_sort_and_follow_links() {
    let Some(browser) = browser() else {
        println!("skipped: no chromium on this machine");
        return;
    };
    let root = TempDir::new().unwrap();
    let page = page(&root);
    let seen = visit(browser, &page, 1440);
    let value = |name: &str| {
        let part = seen.split(" ## ").find_map(|part| part.strip_prefix(&format!("{name}=")));
        part.unwrap_or_else(|| panic!("no {name}: {seen}")).to_string()
    };
    assert!(value("links").parse::<u32>().unwrap() > 10, "{seen}");
    assert_eq!(["dead", "sections", "fetched", "overflow"].map(value), ["0", "true", "0", "false"], "{seen}");
    assert_eq!(["filter", "tip", "stops", "downloads"].map(value), ["true", "true", "1", "true"], "{seen}");
    assert_eq!(value("accuracy up"), "9.75 ± –|96.00 ± 0.50|97.00 ± 0.50|100.00 ± – ascending");
    assert_eq!(value("accuracy down"), "100.00 ± –|97.00 ± 0.50|96.00 ± 0.50|9.75 ± –");
    assert!(value("search cost down").starts_with("4h 48m|4h 48m"), "{seen}");
    assert!(value("method up").starts_with("darts (first-order)|") && value("method down").starts_with("random (darts-space)|"), "{seen}");
    assert!(["accuracy back", "search cost back", "weights back", "method back"].iter().all(|name| value(name) == "true"), "{seen}");
    let phone = visit(browser, &page, 500);
    assert!(phone.contains("overflow=false") && phone.contains("dead=0"), "{phone}");
}

#[test]
fn the_page_needs_no_other_file() {
    let root = TempDir::new().unwrap();
    two_methods(&runs(&root));
    let (_, out) = report(&root);
    let html = read(out.join("report.html"));
    for outside in ["src=\"http", "href=\"http", "url(", "@import", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
}
