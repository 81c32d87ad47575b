//! `events.jsonl`: append-only, one numbered and checksummed event a line.
//!
//! `{"v":1,"n":17,"t":"2026-01-31T12:00:00.000Z","crc":"1a2b3c4d","event":{...}}`, where `crc` is the CRC-32 of the exact
//! text of `event`. A last line that is incomplete or fails its checksum was torn by a crash and is cut off with a
//! notice; any other damage is an error. The checksum covers the event, not its time stamp: of the latter only the form is checked.

use super::Event;
use super::atomic::{folder_of, sync_folder};
use crate::error::{Error, Result, input, usage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Version of the line format.
const VERSION: u64 = 1;
/// How every line begins; quotes inside texts are escaped, so that it can only be the start of a line.
const LINE_START: &[u8] = b"{\"v\":1,\"n\":";

/// An event with its number and time.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent<E = Event> {
    /// Consecutive, from 0.
    pub n: u64,
    /// RFC 3339, UTC, in milliseconds.
    pub time: String,
    /// What happened.
    pub event: E,
}

/// A log of events of one type, open for appending.
#[derive(Debug)]
pub struct EventLog<E = Event> {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    next: u64,
    /// A failed write may have left part of a line behind.
    torn: bool,
    of: PhantomData<E>,
}

impl<E: Serialize + DeserializeOwned> EventLog<E> {
    /// Makes an empty log.
    ///
    /// # Errors
    /// [`Error::Resource`] if it cannot be made, also because there is one already.
    pub fn create(path: &Path) -> Result<Self> {
        let make = || {
            let file = OpenOptions::new().append(true).create_new(true).open(path)?;
            file.sync_all()?;
            sync_folder(folder_of(path))?;
            Ok(file)
        };
        let file = make().map_err(|e: std::io::Error| Error::writing(path, &e))?;
        Ok(Self { path: path.to_path_buf(), file, length: 0, next: 0, torn: false, of: PhantomData })
    }

    /// Opens a log to go on with it, and returns what is in it and what a user should know. A torn last line is cut off.
    /// A log that is not there is empty: a process may have died between writing the manifest and making the log.
    ///
    /// # Errors
    /// [`Error::Input`] with line and byte for damage other than a torn last line; [`Error::Resource`] if it cannot be written.
    pub fn append_to(path: &Path) -> Result<(Self, Vec<StoredEvent<E>>, Vec<String>)> {
        if let Ok(false) = path.try_exists() {
            return Ok((Self::create(path)?, Vec::new(), Vec::new()));
        }
        let content = parse(path)?;
        let open = || {
            let file = OpenOptions::new().append(true).open(path)?;
            if content.torn.is_some() {
                file.set_len(content.length)?;
                file.sync_all()?;
            }
            Ok(file)
        };
        let file = open().map_err(|e: std::io::Error| Error::writing(path, &e))?;
        let next = content.events.len() as u64;
        let log = Self { path: path.to_path_buf(), file, length: content.length, next, torn: false, of: PhantomData };
        Ok((log, content.events, content.torn.into_iter().collect()))
    }

    /// Appends an event that happened at `time`, which the log holds in milliseconds, and returns its number. A figure in `extra` that is not finite is left
    /// out, as one that was not measured; an optional figure that is not finite reads back as `None`.
    ///
    /// # Errors
    /// [`Error::Resource`] for a failed write, after which the log is as before; [`Error::Usage`], and nothing is written, for
    /// an event that would not read back because a figure that must be there is NaN or infinite.
    pub fn append_at(&mut self, time: jiff::Timestamp, event: &E) -> Result<u64> {
        let line = render(self.next, time, &text_of(event)?);
        self.write_line(line.as_bytes()).map_err(|e| Error::writing(&self.path, &e))?;
        self.length += line.len() as u64;
        self.next += 1;
        Ok(self.next - 1)
    }

    fn write_line(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.torn {
            self.cut()?;
        }
        self.file.write_all(line).inspect_err(|_| {
            self.torn = true;
            // If this fails as well, the next append tries again, and a reader drops the torn line.
            let _ = self.cut();
        })
    }

    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.torn = false;
        Ok(())
    }

    /// Makes everything appended so far survive a crash of the machine.
    ///
    /// # Errors
    /// [`Error::Resource`].
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::writing(&self.path, &e))
    }
}

/// Reads a log without changing it, and returns what is in it and what a user should know.
///
/// # Errors
/// [`Error::Input`] with line and byte for damage other than a torn last line.
pub fn read(path: &Path) -> Result<(Vec<StoredEvent>, Vec<String>)> {
    parse(path).map(|content| (content.events, content.torn.into_iter().collect()))
}

/// The JSON text of an event that is sure to read back.
fn text_of<E: Serialize + DeserializeOwned>(event: &E) -> Result<String> {
    let mut value = serde_json::to_value(event).map_err(|e| usage!("an event cannot be recorded: {e}"))?;
    // JSON has no NaN and writes null for it; among a method's own figures a missing one says "not measured".
    if let Some(Value::Object(extra)) = value.get_mut("extra") {
        extra.retain(|_, figure| !figure.is_null());
    }
    let text = value.to_string();
    match serde_json::from_str::<E>(&text) {
        Ok(_) => Ok(text),
        Err(e) => Err(usage!("an event cannot be recorded, a figure in it is NaN or infinite ({e}): {text}")),
    }
}

fn render(n: u64, time: jiff::Timestamp, event: &str) -> String {
    let crc = crc32fast::hash(event.as_bytes());
    format!("{{\"v\":{VERSION},\"n\":{n},\"t\":\"{time:.3}\",\"crc\":\"{crc:08x}\",\"event\":{event}}}\n")
}

/// What a log holds.
struct Content<E> {
    events: Vec<StoredEvent<E>>,
    /// Bytes of whole lines.
    length: u64,
    /// What a user should know of a torn line after them.
    torn: Option<String>,
}

/// Why a line cannot be used.
enum Fault {
    /// It was cut off or changed.
    Damaged(String),
    /// Its checksum holds, but this program does not know it, or it stands in the wrong place.
    Foreign(String),
}

fn parse<E: DeserializeOwned>(path: &Path) -> Result<Content<E>> {
    let bytes = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    let mut content = Content { events: Vec::new(), length: 0, torn: None };
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let (n, at, length) = (content.events.len() as u64, content.length, line.len());
        let last = at as usize + length == bytes.len();
        match parse_line(line, n) {
            Ok(event) => content.events.push(event),
            Err(Fault::Damaged(what)) if last && is_one_line(line) => {
                let left_out = format!("a torn last line of {length} bytes at byte {at} is left out ({what})");
                content.torn = Some(format!("{}: {left_out}; everything before it is sound", path.display()));
                break;
            }
            Err(Fault::Damaged(what)) => {
                let advice = "restore it from a copy, or start the run anew in another folder";
                return Err(input!(path, "line {}, byte {at}: {what}; the log is damaged here and was not changed: {advice}", n + 1));
            }
            Err(Fault::Foreign(what)) => return Err(input!(path, "line {}, byte {at}: {what}", n + 1)),
        }
        content.length += length as u64;
    }
    Ok(content)
}

/// False for two lines whose separator was damaged: then more than a torn tail is at stake.
fn is_one_line(line: &[u8]) -> bool {
    !line.windows(LINE_START.len()).skip(1).any(|w| w == LINE_START)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(rename = "v")]
    _version: u64,
    n: u64,
    t: String,
    crc: String,
    #[serde(borrow)]
    event: &'a RawValue,
}

fn parse_line<E: DeserializeOwned>(line: &[u8], expected: u64) -> std::result::Result<StoredEvent<E>, Fault> {
    let line = line.strip_suffix(b"\n").ok_or_else(|| Fault::Damaged("the line has no end".into()))?;
    // A line of another version may have other fields, so this is looked at first. What is no line at all is found out next.
    let other = if line.starts_with(LINE_START) { Value::Null } else { serde_json::from_slice(line).unwrap_or_default() };
    if let Some(v) = other["v"].as_u64().filter(|v| *v != VERSION) {
        let what = format!("event lines of version {v}, this naslab reads {VERSION}; use the naslab that wrote them");
        return Err(Fault::Foreign(what));
    }
    let parsed: Line = serde_json::from_slice(line).map_err(|e| Fault::Damaged(format!("not a whole event line: {e}")))?;
    let text = parsed.event.get();
    let crc = format!("{:08x}", crc32fast::hash(text.as_bytes()));
    if crc != parsed.crc {
        return Err(Fault::Damaged(format!("the event has checksum {crc}, its line says {:?}", parsed.crc)));
    }
    if parsed.n != expected {
        return Err(Fault::Foreign(format!("event number {} where {expected} was expected; restore the log from a copy", parsed.n)));
    }
    if !parsed.t.parse::<jiff::Timestamp>().is_ok_and(|t| format!("{t:.3}") == parsed.t) {
        return Err(Fault::Foreign(format!("event number {expected} has {:?} for a time; restore the log from a copy", parsed.t)));
    }
    let event = serde_json::from_str(text).map_err(|e| unknown(text, expected, &e))?;
    Ok(StoredEvent { n: parsed.n, time: parsed.t, event })
}

fn unknown(text: &str, n: u64, e: &serde_json::Error) -> Fault {
    let event: Value = serde_json::from_str(text).unwrap_or_default();
    let kind = event["kind"].as_str().map_or_else(|| "without a kind".into(), |kind| format!("of kind '{kind}'"));
    Fault::Foreign(format!("event number {n} {kind} is not known to this naslab ({e}); use the naslab that wrote it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Phase;
    use std::collections::BTreeMap;

    fn progress(epoch: u64, device_seconds: f64, loss: Option<f64>, extra: &[(&str, f64)]) -> Event {
        let extra = extra.iter().map(|(k, v)| ((*k).to_string(), *v)).collect::<BTreeMap<_, _>>();
        Event::Progress { phase: Phase::Search, part: 0, epoch, step: epoch, device_seconds, loss, score: None, extra, architecture: None }
    }

    fn log() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        (folder, path)
    }

    #[test]
    fn a_line_has_the_documented_form() {
        let time: jiff::Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let text = text_of(&Event::Notice { text: "hi".into() }).unwrap();
        assert_eq!(text, r#"{"kind":"notice","text":"hi"}"#);
        // The checksum is what zlib's crc32 gives for that text.
        let line = render(17, time, &text);
        assert_eq!(line, format!("{{\"v\":1,\"n\":17,\"t\":\"2026-01-31T12:00:00.000Z\",\"crc\":\"60fd51d8\",\"event\":{text}}}\n"));
        assert!(line.as_bytes().starts_with(LINE_START));
    }

    #[test]
    fn optional_and_extra_figures_that_are_not_finite_read_back_as_missing() {
        let (_folder, path) = log();
        let mut log = EventLog::create(&path).unwrap();
        log.append_at(jiff::Timestamp::now(), &progress(0, 1.0, Some(f64::NAN), &[("a", f64::INFINITY), ("b", 2.0)])).unwrap();
        assert_eq!(read(&path).unwrap().0[0].event, progress(0, 1.0, None, &[("b", 2.0)]));
    }

    #[test]
    fn an_event_that_would_not_read_back_is_refused_and_the_log_goes_on() {
        let (_folder, path) = log();
        let mut log = EventLog::create(&path).unwrap();
        assert_eq!(log.append_at(jiff::Timestamp::now(), &progress(0, f64::NAN, None, &[])).unwrap_err().exit_code(), 2);
        assert_eq!(log.append_at(jiff::Timestamp::now(), &progress(1, 1.0, None, &[])).unwrap(), 0);
        assert_eq!(read(&path).unwrap().0.len(), 1);
    }

    #[test]
    fn a_stored_null_where_a_figure_must_be_is_named() {
        let (_folder, path) = log();
        let now = jiff::Timestamp::now();
        let text = text_of(&progress(0, 1.5, None, &[("b", 2.0)])).unwrap();
        std::fs::write(&path, render(0, now, &text.replace("1.5", "null"))).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("event number 0 of kind 'progress'"), "{error}");
    }

    #[test]
    fn what_another_version_wrote_is_named_even_in_the_last_line() {
        let (_folder, path) = log();
        let now = jiff::Timestamp::now();
        let cases = [
            (render(0, now, r#"{"kind":"teleport"}"#), "event number 0 of kind 'teleport'"),
            (render(0, now, "{}"), "event number 0 without a kind"),
            ("{\"v\":2,\"number\":0}\n".to_string(), "line 1, byte 0: event lines of version 2, this naslab reads 1"),
            (render(3, now, r#"{"kind":"notice","text":""}"#), "event number 3 where 0 was expected"),
        ];
        for (line, expected) in cases {
            std::fs::write(&path, &line).unwrap();
            let error = EventLog::<Event>::append_to(&path).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
        }
    }

    #[test]
    fn a_log_is_made_once_and_a_missing_one_is_empty() {
        let (_folder, path) = log();
        assert_eq!(read(&path).unwrap_err().exit_code(), 3);
        let (_, events, notices) = EventLog::<Event>::append_to(&path).unwrap();
        assert!(events.is_empty() && notices.is_empty());
        assert_eq!(EventLog::<Event>::create(&path).unwrap_err().exit_code(), 5);
    }
}
