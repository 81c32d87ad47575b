//! Reads a table: CSV, plain or gzipped, one architecture a line. A JSON file beside it says what it is of ([`About`]).

use super::about::{About, Fidelity, RowsOf};
use super::rows::{Column, Part, Row, Table};
use crate::error::{Error, Result, input};
use crate::record::read_json;
use crate::units::hex;
use crate::unpack::{Gunzip, is_gzip};
use csv::{ByteRecord, ReaderBuilder};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Columns of a row that are no accuracies. Only `arch` must be there, and `seconds_per_epoch` where the table has times.
const OF_ROW: [&str; 7] = ["index", "arch", "class", "params", "macs", "runs", "seconds_per_epoch"];

/// Reads a user's table, and what it says of itself from `NAME.json` beside `NAME.csv` or `NAME.csv.gz`.
///
/// # Errors
/// [`Error::Input`] with line and column of what is wrong.
pub fn read(path: &Path) -> Result<Table> {
    let bytes = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    let sidecar = sidecar(path);
    if !sidecar.exists() && !is_foreign(&bytes) {
        return Err(input!(
            path,
            "there is no {} beside it, which says what the table is of: name, space, sets, fidelities, device, source, licence",
            sidecar.display()
        ));
    }
    let text = unpacked(path, &bytes)?;
    parse(path, &text, hex(&Sha256::digest(&text)), read_json::<About>(&sidecar)?)
}

/// `NAME.json` beside `NAME.csv` or `NAME.csv.gz`.
pub fn sidecar(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.strip_suffix(".csv").unwrap_or(stem);
    path.with_file_name(format!("{stem}.json"))
}

/// A pickle or an archive of one: `torch.save` and the official files of the benchmark.
fn is_foreign(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x80]) || bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"BZh")
}

/// The text of a file that may be gzipped.
pub(super) fn unpacked(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    if is_foreign(bytes) {
        let columns = "arch, seconds_per_epoch, and for every set and schedule SET_valid_EPOCHS and SET_test_EPOCHS";
        return Err(input!(path, "this is a pickle or an archive, which is not read; a table is a CSV file with the columns {columns}"));
    }
    if !is_gzip(bytes) {
        return Ok(bytes.to_vec());
    }
    let mut text = Vec::new();
    let read = Gunzip::new(bytes).read_to_end(&mut text);
    read.map_err(|e| input!(path, "truncated or damaged gzip after {} bytes of text ({e}); fetch it again", text.len()))?;
    Ok(text)
}

/// The table that `text`, which has this SHA-256, is.
pub(super) fn parse(path: &Path, text: &[u8], sha256: String, about: About) -> Result<Table> {
    let grid = about.grid().map_err(|e| Error::input(path, e.to_string()))?;
    let mut reader = ReaderBuilder::new().flexible(false).from_reader(text);
    let header = reader.headers().map_err(|e| input!(path, "not a table: {e}"))?.clone();
    let names: Vec<&str> = header.iter().map(str::trim).collect();
    let layout = Layout::of(path, &names, &about)?;
    let mut table = Table {
        at: vec![u32::MAX; grid.space.size()],
        grid,
        sha256,
        rows: Vec::new(),
        columns: layout.accuracies.iter().map(|(_, column)| column.clone()).collect(),
        about,
    };
    let mut record = ByteRecord::new();
    loop {
        let more = reader.read_byte_record(&mut record).map_err(|e| input!(path, "{e}"))?;
        if !more {
            break;
        }
        let line = record.position().map_or(0, csv::Position::line);
        layout.add(&mut table, &record).map_err(|what| input!(path, "line {line}: {what}"))?;
    }
    if table.about.rows == RowsOf::Classes {
        answer_classes(path, &mut table)?;
    }
    complete(path, &table)?;
    Ok(table)
}

/// Where everything stands in a line.
struct Layout {
    names: Vec<String>,
    /// Place of each of [`OF_ROW`].
    of_row: [Option<usize>; 7],
    accuracies: Vec<(usize, Column)>,
}

impl Layout {
    fn of(path: &Path, names: &[&str], about: &About) -> Result<Self> {
        if let Some(name) = names.iter().enumerate().find_map(|(i, n)| names[..i].contains(n).then_some(n)) {
            return Err(input!(path, "line 1: the column '{name}' is there twice"));
        }
        let of_row = OF_ROW.map(|name| names.iter().position(|n| *n == name));
        let mut accuracies = Vec::new();
        for (at, name) in names.iter().enumerate().filter(|(_, n)| !OF_ROW.contains(n)) {
            let column = accuracy(name, about).ok_or_else(|| {
                let what = "is neither known nor SET_valid_EPOCHS or SET_test_EPOCHS, with _runN for a single training, of the sets and fidelities that are stated";
                input!(path, "line 1: the column '{name}' {what}")
            })?;
            accuracies.push((at, column));
        }
        let mut needed = vec!["arch".to_string()];
        needed.extend(about.seconds_of_images.map(|_| "seconds_per_epoch".to_string()));
        for set in &about.sets {
            let of = |f: &Fidelity| format!("{}_test{}", set.column, f.ending());
            needed.extend(about.fidelities.iter().map(of));
        }
        if let Some(missing) = needed.iter().find(|n| !names.contains(&n.as_str())) {
            return Err(input!(path, "line 1: the column '{missing}' is missing; it has {}", names.join(", ")));
        }
        Ok(Self { names: names.iter().map(|n| (*n).to_string()).collect(), of_row, accuracies })
    }

    fn text<'r>(&self, record: &'r ByteRecord, at: usize) -> std::result::Result<&'r str, String> {
        std::str::from_utf8(&record[at]).map(str::trim).map_err(|_| format!("column '{}': not UTF-8", self.names[at]))
    }

    /// A number, if the field is not empty.
    fn number<T: std::str::FromStr>(&self, record: &ByteRecord, at: usize) -> std::result::Result<Option<T>, String> {
        let text = self.text(record, at)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| format!("column '{}': '{text}' is no number", self.names[at]))
    }

    fn whole(&self, record: &ByteRecord, of_row: usize) -> std::result::Result<Option<u64>, String> {
        self.of_row[of_row].map_or(Ok(None), |at| self.number(record, at))
    }

    fn add(&self, table: &mut Table, record: &ByteRecord) -> std::result::Result<(), String> {
        let row = table.rows.len();
        let arch = self.text(record, self.of_row[1].expect("it was asked for"))?;
        let point = table.grid.space.read(arch).map_err(|e| format!("column 'arch': {e}"))?;
        if !point.0[..table.grid.places()].iter().all(|o| table.grid.options.contains(o)) {
            return Err(format!("column 'arch': {arch} has an operation that the table is not said to have"));
        }
        let seconds_per_epoch: Option<f64> = self.of_row[6].map_or(Ok(None), |at| self.number(record, at))?;
        if table.about.seconds_of_images.is_some() && !seconds_per_epoch.is_some_and(|s| s.is_finite() && s > 0.0) {
            return Err("column 'seconds_per_epoch': must be a number above 0".into());
        }
        let at = &mut table.at[table.grid.space.number(point)];
        if *at != u32::MAX {
            return Err(format!("{arch} was there before, as row {} of the table", *at + 1));
        }
        *at = row as u32;
        let (class, params, macs, runs) = (self.whole(record, 2)?, self.whole(record, 3)?, self.whole(record, 4)?, self.whole(record, 5)?);
        let index = self.whole(record, 0)?.unwrap_or(row as u64);
        let mut single = BTreeMap::new();
        for ((at, column), place) in self.accuracies.iter().zip(0..) {
            let value: Option<f64> = self.number(record, *at)?;
            if value.is_some_and(|v| !(0.0..=100.0).contains(&v)) {
                return Err(format!("column '{}': {} is no accuracy in per cent", self.names[*at], value.unwrap_or(f64::NAN)));
            }
            if column.run.is_some() {
                *single.entry((column.set, column.fidelity.0)).or_insert(0u64) += u64::from(value.is_some());
            }
            table.columns[place].values.push(value.unwrap_or(f64::NAN));
        }
        if let (Some(runs), Some(filled)) = (runs, single.values().copied().find(|n| Some(*n) != runs)) {
            return Err(format!("column 'runs': says {runs}, and {filled} single trainings are there"));
        }
        table.rows.push(Row { index, point, class, params, macs, runs, seconds_per_epoch });
        Ok(())
    }
}

/// The column that a name stands for: `cifar10_valid_200_run1`.
fn accuracy(name: &str, about: &About) -> Option<Column> {
    about.sets.iter().enumerate().find_map(|(set, of)| {
        let rest = name.strip_prefix(&of.column)?.strip_prefix('_')?;
        let (part, rest) = [Part::Valid, Part::Test].into_iter().find_map(|p| Some((p, rest.strip_prefix(p.word())?)))?;
        let (rest, run) = match rest.split_once("_run") {
            Some((rest, run)) => (rest, Some(run.parse().ok()?)),
            None => (rest, None),
        };
        let fidelity = *about.fidelities.iter().find(|f| f.ending() == rest)?;
        Some(Column { set, part, fidelity, run, values: Vec::new() })
    })
}

/// The row of a class answers for all its architectures.
fn answer_classes(path: &Path, table: &mut Table) -> Result<()> {
    let space = table.grid.space;
    let mut rows = BTreeMap::new();
    for (row, number) in table.rows.iter().zip(0u32..) {
        if let Some(before) = rows.insert(space.class(row.point), number) {
            let [one, other] = [before, number].map(|r| space.write(table.rows[r as usize].point));
            return Err(input!(path, "{one} and {other} are of one class, which must have one row"));
        }
    }
    for point in table.grid.all().collect::<Vec<_>>() {
        if let Some(row) = rows.get(&space.class(point)) {
            table.at[space.number(point)] = *row;
        }
    }
    Ok(())
}

/// Every architecture that can be chosen has a row.
fn complete(path: &Path, table: &Table) -> Result<()> {
    let mut missing = table.grid.all().filter(|p| table.row_of(*p).is_none());
    let Some(first) = missing.next() else { return Ok(()) };
    let (all, rest) = (table.grid.size(), missing.count());
    Err(input!(path, "{} of {all} architectures are missing, the first is {}", rest + 1, table.grid.space.write(first)))
}
