//! Which part of the crate may use which: every arrow points down. See the module list in `src/lib.rs`.

use naslab::reproductions::{ALGORITHMS, METHODS};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A part, and the parts that it may use, from the top down: the picture in `docs/architecture.md`. `error`, `memory`, `message`, `units`, `seed`, `statistics` and `unpack` may be used by all.
const LAYERS: [(&str, &[&str]); 21] = [
    ("cli", &["reproductions", "report", "plot", "export", "lab", "budget", "device", "data", "table", "space", "nn", "record"]),
    // One run for programs that use the library.
    ("run", &["reproductions", "lab", "device", "space", "record"]),
    ("reproductions", &["gradient", "lab", "train", "task", "network", "table", "proposals", "settings", "space", "nn", "record"]),
    ("gradient", &["lab", "train", "task", "settings", "space", "nn", "record"]),
    // Networks for other programs: built by the lab, whatever the method.
    ("export", &["lab", "network", "space", "nn", "shim", "record"]),
    ("lab", &["train", "task", "data", "network", "budget", "device", "table", "proposals", "settings", "space", "nn", "shim", "record"]),
    // Recorded files and architectures as data: no tensors, no methods.
    ("report", &["plot", "table", "record", "space"]),
    // Drawings of marks, panels and architectures, whatever they are of.
    ("plot", &["record", "space"]),
    // Measured trainings and searches of them: no tensors either.
    ("table", &["proposals", "settings", "space", "record"]),
    ("proposals", &[]),
    ("settings", &["record"]),
    ("train", &["nn"]),
    ("task", &["data", "nn", "record"]),
    ("network", &["space", "nn"]),
    ("nn", &["shim"]),
    ("budget", &["device", "shim", "record"]),
    ("device", &["shim", "record"]),
    ("record", &["space"]),
    ("space", &[]),
    ("data", &[]),
    ("shim", &[]),
];

const SHARED: [&str; 7] = ["error", "memory", "message", "units", "seed", "statistics", "unpack"];
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

/// The other parts of which a source text hands something on under its own name. It would let a layer see around this one.
fn handed_on(part: &str, text: &str, depth: usize) -> Vec<String> {
    let code = from_root(text, depth);
    let exports = code.match_indices("pub use crate::").map(|(at, start)| &code[at + start.len()..]);
    let first = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    exports.map(first).filter(|name| name != part && LAYERS.iter().any(|(n, _)| n == name)).collect()
}

#[test]
fn no_part_hands_on_what_belongs_to_another() {
    for path in [sources(&root().join("src")), sources(&root().join("reproductions"))].concat() {
        let Some(part) = part(&path) else { continue };
        let found = handed_on(&part, &std::fs::read_to_string(&path).unwrap(), depth(&path));
        assert!(found.is_empty(), "{} hands on {found:?}", path.display());
    }
}

#[test]
fn the_report_knows_no_method_by_name() {
    let methods: Vec<String> = METHODS.iter().map(|m| format!("\"{}\"", m.card().name)).collect();
    for path in sources(&root().join("src/report")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = path.file_name().is_some_and(|n| n.to_string_lossy().contains("tests"));
        let named = methods.iter().find(|name| code.contains(name.as_str()));
        assert!(is_test || named.is_none(), "{} names {named:?}", path.display());
    }
}

#[test]
fn the_papers_numbers_are_of_methods_that_exist() {
    let claims = std::fs::read_to_string(root().join("data/claims.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(claims.as_bytes());
    for row in reader.records() {
        let method = row.unwrap()[0].to_string();
        let known = METHODS.iter().map(|m| m.card().name).chain(ALGORITHMS.iter().map(|a| a.name));
        assert!(known.into_iter().any(|name| name == method), "data/claims.csv: no method '{method}'");
    }
}

/// Settings that choose the variants of a method beside those of its presets and spaces.
const FORMS: [&str; 5] = [
    "search.order=\"second\"",
    "search.order=\"first\"",
    "search.experiment=\"correlation\"",
    "search.experiment=\"top\"",
    "search.removal=\"worst_of_sample\"",
];

/// Method and variant of all that can be run, with the settings of preset `paper`.
fn variants() -> BTreeSet<(&'static str, String)> {
    let methods = METHODS;
    let variant = |m: &dyn naslab::lab::Method, set: &[String]| Some(m.prepare(&m.resolve("paper", set).ok()?.settings).ok()?.variant);
    let spaces = || methods.iter().flat_map(|m| m.card().spaces.iter().map(|(space, set)| (space, set)));
    let of_spaces =
        spaces().flat_map(|(space, set)| [vec![format!("search.space=\"{space}\"")], set.iter().map(ToString::to_string).collect()]);
    let unselected = vec!["search.space=\"ghn\"".to_string(), "search.trials=1".to_string()];
    let sets: Vec<Vec<String>> = of_spaces.chain(FORMS.map(|form| vec![form.to_string()])).chain([unselected]).collect();
    methods.iter().flat_map(|m| sets.iter().filter_map(|set| Some((m.card().name, variant(*m, set)?)))).collect()
}

/// Whether a variant is that of a study with the usual settings, some of which the paper may not say: `rate ?, 12000 s on cifar10, fits, 12 to 200 epochs`.
fn is_of_a_table(method: &str, variant: &str) -> bool {
    let (Some(algorithm), Some((form, terms))) = (ALGORITHMS.iter().find(|a| a.name == method), variant.split_once(", ")) else {
        return false;
    };
    let usual = algorithm.variant(&algorithm.resolve(&[]).unwrap()).unwrap();
    let known = form.strip_suffix('?').map_or(form == usual, |start| usual.starts_with(start));
    known && terms.contains(" s on ") && terms.ends_with(", 12 to 200 epochs")
}

#[test]
fn the_papers_numbers_stand_beside_variants_that_exist() {
    let all = variants();
    let rows = naslab::report::claims().unwrap();
    let named: Vec<_> = rows.iter().filter_map(|c| Some((c.method.as_str(), c.naslab_variant.clone()?))).collect();
    assert!(named.len() > 20);
    for pair in named.into_iter().filter(|(method, variant)| !is_of_a_table(method, variant)) {
        assert!(all.contains(&pair), "data/claims.csv: nothing that can be run is {pair:?}; there are {all:?}");
    }
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
fn only_report_and_drawings_name_polars_and_plotters() {
    for path in [sources(&root().join("src")), sources(&root().join("reproductions"))].concat() {
        let text = std::fs::read_to_string(&path).unwrap();
        let part = part(&path).unwrap_or_default();
        assert!(!text.contains("polars::") || part == "report", "{}", path.display());
        assert!(!text.contains("plotters::") || part == "plot", "{}", path.display());
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
    assert_eq!(handed_on("device", "pub use crate::shim::Kernels;", 1), ["shim"]);
    assert_eq!(handed_on("nn", "pub use super::super::shim::pool;\nuse crate::shim;", 2), ["shim"]);
    assert_eq!(handed_on("nn", "pub use blocks::Conv;", 1), Vec::<String>::new());
    assert_eq!([depth(&root().join("src/nn/op.rs")), depth(&root().join("src/nn/mod.rs"))], [2, 1]);
    assert_eq!([depth(&root().join("src/units.rs")), depth(&root().join("reproductions/mod.rs"))], [1, 1]);
    assert_eq!(depth(&root().join("reproductions/darts/search.rs")), 3);
}

/// The palette's contrasts are tested where it is; a colour that is not in it would be replaced.
#[cfg(feature = "report")]
#[test]
fn marks_of_methods_and_algorithms_have_colours_of_the_reports_palette() {
    let palette: Vec<_> = naslab::plot::palette().into_iter().map(|(light, _)| light).collect();
    let methods = METHODS.iter().map(|m| (m.card().name, m.card().mark));
    for (name, mark) in methods.chain(ALGORITHMS.iter().map(|a| (a.name, a.mark))) {
        let [red, green, blue] = mark.colour;
        assert!(palette.contains(&naslab::plot::Colour(red, green, blue)), "{name}: {:?}", mark.colour);
    }
}
