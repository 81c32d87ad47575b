//! Writes a table as it is read: a gzipped CSV file, and what it says of itself beside it.

use super::about::About;
use super::read::sidecar;
use super::rows::{Column, Row};
use crate::error::{Error, Result, resource};
use crate::record::{write_json_output, write_output};
use crate::units::hex;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

/// `bytes` gzipped, without a date.
pub(super) fn gzipped(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(9));
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// Writes the rows to `path` and `about` to the JSON file beside it, which comes last: without it there is no table.
///
/// # Errors
/// [`Error::Resource`] where they cannot be written.
pub fn write(path: &Path, about: &About, rows: &[Row], columns: &[Column]) -> Result<()> {
    let bytes = gzipped(&text(about, rows, columns, true)?).map_err(|e| Error::writing(path, &e))?;
    write_output(path, &bytes)?;
    write_json_output(&sidecar(path), about)
}

/// SHA-256 over the rows without their seconds, which are never measured twice alike.
///
/// # Errors
/// None that is known.
pub fn rows_sha256(about: &About, rows: &[Row], columns: &[Column]) -> Result<String> {
    Ok(hex(&Sha256::digest(text(about, rows, columns, false)?)))
}

/// The rows as CSV.
fn text(about: &About, rows: &[Row], columns: &[Column], seconds: bool) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| resource!("the rows of a table: {e}");
    let timed = seconds && about.seconds_of_images.is_some();
    let of_row = ["index", "arch", "params"].into_iter().chain(timed.then_some("seconds_per_epoch")).map(String::from);
    writer.write_record(of_row.chain(columns.iter().map(|c| c.name(about)))).map_err(failed)?;
    for (row, at) in rows.iter().zip(0..) {
        let number = |n: Option<u64>| n.map_or_else(String::new, |n| n.to_string());
        let mut fields = vec![row.index.to_string(), about.space.write(row.point), number(row.params)];
        fields.extend(timed.then(|| row.seconds_per_epoch.map_or_else(String::new, |s| s.to_string())));
        fields.extend(columns.iter().map(|c| c.values[at]).map(|v| if v.is_finite() { v.to_string() } else { String::new() }));
        writer.write_record(fields).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| resource!("the rows of a table: {e}"))
}
