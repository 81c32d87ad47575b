//! Which part of the crate may use which: every arrow points down. See the module list in `src/lib.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A part, and the parts that it may use. `error`, `units` and `seed` may be used by all.
const LAYERS: [(&str, &[&str]); 16] = [
    ("nn", &["shim"]),
    // Architectures as values: no tensors.
    ("space", &[]),
    ("network", &["space", "nn"]),
    ("record", &["space"]),
    ("shim", &[]),
    ("device", &["shim", "record"]),
    ("budget", &["device", "shim", "record"]),
    ("data", &[]),
    ("task", &["data", "nn", "record"]),
    ("train", &["nn"]),
    ("lab", &["train", "task", "data", "network", "space", "nn", "budget", "device", "shim", "record"]),
    // Recorded files and architectures as data: no tensors, no methods.
    ("report", &["record", "space"]),
    // Networks for other programs: built by the lab, whatever the method.
    ("export", &["lab", "space", "nn", "shim", "record"]),
    ("reproductions", &["lab", "train", "task", "network", "space", "nn", "record"]),
    ("cli", &["reproductions", "report", "export", "lab", "data", "device", "space", "nn", "record"]),
    ("lib", &[]),
];

const SHARED: [&str; 3] = ["error", "units", "seed"];
/// Longest file, in lines.
const LONGEST: usize = 400;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for path in entries.map(|e| e.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// The text with `naslab::`, and every `super::` chain that climbs to the crate's root from `depth` modules below it, written as `crate::`.
fn from_root(text: &str, depth: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("super::") {
        out.push_str(&rest[..at]);
        let after = rest[at..].trim_start_matches("super::");
        let climbed = (rest.len() - at - after.len()) / "super::".len();
        out.push_str(if climbed >= depth { "crate::" } else { "super::" });
        rest = after;
    }
    out.push_str(rest);
    out.replace("naslab::", "crate::")
}

/// The parts that a source text, `depth` modules below the root, names from the root, grouped imports included.
fn used(text: &str, depth: usize) -> BTreeSet<String> {
    let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code = from_root(&code, depth);
    let ident = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(ident(rest));
            continue;
        };
        let mut depth = 1;
        let mut start = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => start = true,
                c if start && !c.is_whitespace() => {
                    names.insert(ident(&group[at..]));
                    start = false;
                }
                _ => (),
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.retain(|n| n.chars().next().is_some_and(char::is_lowercase));
    names
}

/// What `part` uses and may not use.
fn upward(part: &str, text: &str, depth: usize) -> Vec<String> {
    let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == part).unwrap_or_else(|| panic!("give '{part}' its place in LAYERS"));
    let fine = |name: &str| name == part || SHARED.contains(&name) || allowed.contains(&name);
    used(text, depth).into_iter().filter(|name| LAYERS.iter().any(|(n, _)| n == name) && !fine(name)).collect()
}

/// The part that a file belongs to; the crate's own root files may use everything.
fn part(path: &Path) -> Option<String> {
    let inner = path.strip_prefix(root()).expect("a file of this crate").to_path_buf();
    let names: Vec<String> = inner.iter().map(|n| n.to_string_lossy().into_owned()).collect();
    match names[0].as_str() {
        "reproductions" => Some("reproductions".into()),
        _ => Some(names[1].trim_end_matches(".rs").to_string())
            .filter(|n| !["lib", "main"].contains(&n.as_str()) && !SHARED.contains(&n.as_str())),
    }
}

/// How many modules below the crate's root a file's own module is.
fn depth(path: &Path) -> usize {
    let inner = path.strip_prefix(root()).expect("a file of this crate");
    let folders = inner.components().count() - 1;
    folders + usize::from(inner.starts_with("reproductions")) - usize::from(path.ends_with("mod.rs"))
}

#[test]
fn every_arrow_points_down() {
    let mut wrong = Vec::new();
    for path in [sources(&root().join("src")), sources(&root().join("reproductions"))].concat() {
        let Some(part) = part(&path) else {
            continue;
        };
        for name in upward(&part, &std::fs::read_to_string(&path).unwrap(), depth(&path)) {
            wrong.push(format!("{} uses {name}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn reproductions_do_not_use_each_other() {
    let folders: Vec<PathBuf> =
        std::fs::read_dir(root().join("reproductions")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    let names: Vec<String> = folders.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    for (folder, own) in folders.iter().zip(&names) {
        for path in sources(folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("crate::reproductions"), "{} reaches into another reproduction", path.display());
            for other in names.iter().filter(|n| *n != own) {
                assert!(
                    !text.contains(&format!("super::{other}::")) && !text.contains(&format!("super::super::{other}")),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn only_the_report_names_polars_and_plotters() {
    for path in [sources(&root().join("src")), sources(&root().join("reproductions"))].concat() {
        let text = std::fs::read_to_string(&path).unwrap();
        let heavy = text.contains("polars::") || text.contains("plotters::");
        assert!(!heavy || part(&path).as_deref() == Some("report"), "{}", path.display());
    }
}

#[test]
fn files_stay_short() {
    for path in [sources(&root().join("src")), sources(&root().join("reproductions"))].concat() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_guard_sees_what_it_should() {
    assert_eq!(upward("nn", "use crate::lab::Lab;", 2), ["lab"]);
    assert_eq!(upward("train", "use crate::{\n    error::Error,\n    nn::{self, Op},\n    task::Part,\n};", 2), ["task"]);
    assert_eq!(upward("report", "fn f() { crate::nn::count(); }", 2), ["nn"]);
    assert_eq!(upward("lab", "// crate::cli\nuse crate::nn::Op;", 2), Vec::<String>::new());
    assert_eq!(upward("nn", "use super::super::lab::Lab;", 2), ["lab"]);
    assert_eq!(upward("nn", "use super::{lab::Lab, error::Error};", 1), ["lab"]);
    assert_eq!(upward("nn", "mod tests { use super::super::super::lab::Lab; }", 2), ["lab"]);
    assert_eq!(upward("nn", "fn f() { naslab::lab::go() }", 2), ["lab"]);
    assert_eq!(upward("nn", "use super::lab::own_submodule;", 2), Vec::<String>::new());
    assert_eq!([depth(&root().join("src/nn/op.rs")), depth(&root().join("src/nn/mod.rs"))], [2, 1]);
    assert_eq!([depth(&root().join("src/units.rs")), depth(&root().join("reproductions/mod.rs"))], [1, 1]);
    assert_eq!(depth(&root().join("reproductions/darts/search.rs")), 3);
}
