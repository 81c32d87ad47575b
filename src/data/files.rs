//! Reading, unpacking and checking files.

use crate::error::{Error, Result};
use crate::units::hex;
use md5::{Digest, Md5};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file that `naslab data check` looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file, or what it would be called.
    pub file: PathBuf,
    /// Its size on disk.
    pub bytes: u64,
    /// In words.
    pub state: String,
    /// False if it is missing or damaged.
    pub ok: bool,
}

impl Found {
    /// A file that is there, or the one that an error names.
    pub(super) fn there(file: &Path, state: Result<String>) -> Self {
        let ok = state.is_ok();
        let (file, state) = match state {
            Ok(state) => (file.to_path_buf(), state),
            Err(Error::Input { path, what }) => (path, what),
            Err(e) => (file.to_path_buf(), e.to_string()),
        };
        Self { bytes: size(&file), file, state, ok }
    }

    /// A file that is in none of `folders`.
    pub(super) fn missing(name: &str, folders: &[PathBuf]) -> Self {
        Self { file: name.into(), bytes: 0, state: format!("missing; looked in {}", list(folders)), ok: false }
    }
}

/// Bytes of a file on disk.
pub(super) fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |m| m.len())
}

/// The folders in words.
pub(super) fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The whole file, as it is on disk.
pub(super) fn stored(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        return Err(Error::input(path, "expected a file, found a folder"));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    if bytes.is_empty() {
        return Err(Error::input(path, "the file is empty; get it again"));
    }
    Ok(bytes)
}

/// Passes on what it reads and takes its MD5.
pub(super) struct Md5Reader {
    file: File,
    md5: Md5,
}

impl Md5Reader {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::input(path, "expected a file, found a folder"));
        }
        let file = File::open(path).map_err(|e| Error::reading(path, &e))?;
        Ok(Self { file, md5: Md5::new() })
    }

    /// Reads what is left; the MD5 of the whole file in hexadecimal.
    pub(super) fn finish(mut self) -> std::io::Result<String> {
        std::io::copy(&mut self, &mut std::io::sink())?;
        Ok(hex(&self.md5.finalize()))
    }
}

impl Read for Md5Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.md5.update(&buffer[..n]);
        Ok(n)
    }
}

/// MD5 in hexadecimal.
pub(super) fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}
