//! Files that are either as before or complete, and JSON that says what is wrong with it.

use super::FORMAT;
use crate::error::{Error, Result, input, usage};
use crate::unpack::without_mark;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How the names of temporary files begin. One that a killed process left behind may be removed.
pub(super) const TEMPORARY: &str = ".tmp-";

/// Links that are followed before they count as a circle; the kernel's own bound.
const LINKS: usize = 40;

/// Replaces `path` by `bytes`, or leaves it as it was. A link at `path` is replaced and never followed: whoever may put one into the folder of a run must not choose what is overwritten.
///
/// # Errors
/// [`Error::writing`] if any part fails; the temporary file is gone then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|e| Error::writing(path, &e))
}

/// As [`write_atomic`], for a file that a user named. A link stays a link: the file that it leads to is replaced. A device, a fifo ([`is_node`]) or a file that is open already
/// (`/dev/stdout`) gets the bytes written into it.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = |end: PathBuf| if is_node(&end) { write_into(&end, bytes) } else { replace(&end, bytes) };
    end_of_links(path).and_then(write).map_err(|e| Error::writing(path, &e))
}

/// Whether `path` leads to a device, a fifo, an open file or the like, which is written into and never replaced by a file.
pub fn is_node(path: &Path) -> bool {
    let other = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    other || end_of_links(path).is_ok_and(|end| is_open_file(&end))
}

/// Whether `path` is a descriptor of a process, such as `/proc/self/fd/1`, under whatever name its folder has.
fn is_open_file(path: &Path) -> bool {
    folder_of(path).canonicalize().is_ok_and(|folder| folder.starts_with("/proc"))
}

fn write_into(node: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What was written into it before stays.
    File::options().append(true).open(node)?.write_all(bytes)
}

/// Where the links of `path` end, also at a file that is not there yet.
fn end_of_links(path: &Path) -> std::io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        let to = std::fs::read_link(&path).ok().filter(|_| !is_open_file(&path));
        let Some(to) = to else { return Ok(path) };
        path = folder_of(&path).join(to);
    }
    Err(std::io::Error::other("its links lead in a circle"))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = folder_of(path);
    // The usual mode of a new file: the umask applies to it.
    let mode = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).permissions(mode).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// The folder that holds `path`.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes creations, renames and removals in `folder` survive a crash of the machine.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes what interrupted writes left in `folder`. One that cannot be removed does no harm.
pub(super) fn remove_temporaries(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Writes indented JSON with a final newline by [`write_atomic`].
///
/// # Errors
/// As [`write_atomic`]; [`Error::Usage`] for a value that JSON cannot hold.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<()> {
    write_atomic(path, &json(path, value)?)
}

/// As [`write_json`], for a file that a user named: by [`write_output`].
///
/// # Errors
/// As [`write_json`].
pub fn write_json_output<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<()> {
    write_output(path, &json(path, value)?)
}

fn json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| usage!("{}: not a JSON value: {e}", path.display()))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a JSON record.
///
/// # Errors
/// [`Error::Input`] with line and column, and what was expected there; a `format` that is not [`FORMAT`] is named.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    let bytes = without_mark(&bytes);
    // The version comes first: a newer file may well have another shape.
    if let Some(format) = format_of(bytes).filter(|f| *f != u64::from(FORMAT)) {
        let who = if format > u64::from(FORMAT) { "a newer" } else { "an older" };
        return Err(input!(path, "written by {who} naslab: format {format}, this one reads {FORMAT}; use the naslab that wrote it"));
    }
    serde_json::from_slice(bytes).map_err(|e| Error::input(path, explain(&e)))
}

/// Reads a JSON record if the file is there.
pub(super) fn read_json_if<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match path.try_exists() {
        Ok(true) => read_json(path).map(Some),
        Ok(false) => Ok(None),
        Err(e) => Err(Error::reading(path, &e)),
    }
}

/// The number `format` of a JSON object that has one.
fn format_of(bytes: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Header {
        format: Option<serde_json::Value>,
    }
    serde_json::from_slice::<Header>(bytes).ok()?.format?.as_u64()
}

/// Place and cause of a JSON error.
fn explain(e: &serde_json::Error) -> String {
    let (line, column, text) = (e.line(), e.column(), e.to_string());
    let cause = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    let kind = match e.classify() {
        Category::Eof => "the file ends too early",
        Category::Syntax => "not JSON",
        Category::Data => "not the record expected here",
        Category::Io => "cannot read",
    };
    format!("line {line}, column {column}: {kind}: {cause}; restore the file from a copy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Limits;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Versioned {
        format: u32,
        limits: Limits,
    }

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"2nd").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"2nd");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_replaced_file_has_the_mode_of_an_ordinary_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomic(&ours, b"x").unwrap();
        std::fs::write(&plain, b"x").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_failed_write_is_a_resource_failure_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        // A folder with something in it cannot be replaced by a file.
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"kept").unwrap();
        let error = write_atomic(&path, b"x").unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
        assert_eq!(names(folder.path()), ["taken"]);
        assert_eq!(std::fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(write_atomic(&folder.path().join("no/such/a"), b"x").unwrap_err().exit_code(), 5);
    }

    #[test]
    fn a_link_to_an_output_stays_a_link_also_where_it_leads_to_nothing_yet() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("elsewhere")).unwrap();
        for (link, to) in [("first", "elsewhere/a"), ("second", "first"), ("round", "about"), ("about", "round")] {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        for text in ["new", "again"] {
            write_output(&at("second"), text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(at("elsewhere/a")).unwrap(), text);
        }
        assert!(["first", "second"].iter().all(|link| at(link).is_symlink()) && !at("elsewhere/a").is_symlink());
        let error = write_output(&at("round"), b"x").unwrap_err().to_string();
        assert!(error.contains("circle"), "{error}");
        // A record is none that a user named.
        write_atomic(&at("first"), b"own").unwrap();
        assert!(!at("first").is_symlink());
        assert_eq!(std::fs::read_to_string(at("elsewhere/a")).unwrap(), "again");
    }

    #[test]
    fn json_reads_back_and_ends_with_a_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let value = Versioned { format: FORMAT, limits: Limits { budget_seconds: Some(0.1 + 0.2), ..Limits::default() } };
        write_json(&path, &value).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\n  \"format\": 3,\n") && text.ends_with("}\n"), "{text}");
        assert_eq!(read_json::<Versioned>(&path).unwrap(), value);
    }

    #[test]
    fn damaged_json_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let cases = [
            (
                "{\n  \"format\": 3,\n  \"limits\": 7\n}",
                "line 3, column 13: not the record expected here: invalid type: integer `7`, expected struct Limits",
            ),
            ("{\n  \"format\": 3,\n", "the file ends too early"),
            ("{\n  format: 2\n}", "line 2, column 3: not JSON: key must be a string"),
            ("{\"format\": 3}", "missing field `limits`"),
            ("[]", "line 1"),
            ("", "the file ends too early"),
            ("{\"format\": 4, \"shape\": []}", "written by a newer naslab: format 4, this one reads 3"),
            ("{\"format\": 0}", "written by an older naslab: format 0, this one reads 3"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, text).unwrap();
            let error = read_json::<Versioned>(&path).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{text}");
            let message = error.to_string();
            assert!(message.contains(expected) && message.contains("a.json"), "{text}: {message}");
        }
        assert_eq!(read_json::<Versioned>(&folder.path().join("none")).unwrap_err().exit_code(), 3);
    }
}
