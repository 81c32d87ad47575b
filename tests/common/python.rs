//! Python programs that read what naslab writes for others.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the script `name` of `scripts/` prints for these arguments; `None`, said on standard error, where the packages of the tests are not installed.
///
/// # Panics
/// If the script fails, and where packages are missing in CI.
pub fn python(name: &str, arguments: &[&OsStr]) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = packages(root)?;
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(root.join("scripts").join(name)).args(arguments).env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
    Some(text(&output.stdout))
}

fn packages(root: &Path) -> Option<PathBuf> {
    let packages = root.join(".python");
    if packages.join("naslab-setup").is_file() {
        return Some(packages);
    }
    let missing = "the Python packages of the tests are not installed (scripts/setup.py --tests)";
    assert!(std::env::var_os("CI").is_none_or(|v| v.is_empty()), "{missing}");
    eprintln!("skipped: {missing}");
    None
}
