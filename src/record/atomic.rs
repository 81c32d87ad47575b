//! Files that are either as before or complete, and JSON that names what is wrong with it.

use super::FORMAT;
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Prefix of temporary files; whatever carries it may be removed.
pub const TEMPORARY: &str = ".tmp-";

/// Replaces `path` by `bytes`: temporary file in the same folder, sync, rename, sync of the folder. On failure the old file stays.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        set_permissions(file.as_file())?;
        file.persist(path).map_err(|e| e.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|e: std::io::Error| Error::writing(path, &e))
}

/// Temporary files are private; records are as readable as any other file.
fn set_permissions(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// Writes indented JSON with a final newline.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).expect("records are plain data");
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Reads JSON of this program's format version.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::reading(path, &e))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| Error::input(path, format!("damaged JSON: {e}")))?;
    match value["format"].as_u64() {
        Some(format) if format == u64::from(FORMAT) => (),
        Some(format) => {
            return Err(Error::input(path, format!("written by another version of naslab: format {format}, this one reads {FORMAT}")));
        }
        None => return Err(Error::input(path, "not a record of naslab: it has no number 'format'")),
    }
    serde_json::from_value(value).map_err(|e| Error::input(path, format!("not the record that was expected: {e}")))
}

/// Reads JSON if the file is there.
pub fn read_json_if<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.exists() { read_json(path).map(Some) } else { Ok(None) }
}
