//! `events.jsonl`: append-only, one numbered and checksummed event a line.
//!
//! `{"v":1,"n":17,"t":"2026-01-31T12:00:00Z","crc":"1a2b3c4d","event":{...}}`, where `crc` is the CRC-32 of the exact text of `event`.
//! A last line that is incomplete or fails its checksum was torn by a crash and is dropped; damage before it is an error.

use super::Event;
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Version of the line format.
const VERSION: u64 = 1;

/// An event with its number and time.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Consecutive, from 0.
    pub n: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// What happened.
    pub event: Event,
}

#[derive(Deserialize)]
struct Line<'a> {
    v: u64,
    n: u64,
    t: String,
    crc: String,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// Why a line cannot be used.
enum Fault {
    /// Cut off or corrupted.
    Damaged(String),
    /// Sound, but not for this program.
    Foreign(String),
}

/// A log that is open for appending.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
    length: u64,
    next: u64,
}

impl EventLog {
    /// Opens or creates the log; returns what is in it and what a user should know. A torn last line is cut off.
    pub fn append_to(path: &Path) -> Result<(Self, Vec<StoredEvent>, Vec<String>)> {
        let writing = |e: std::io::Error| Error::writing(path, &e);
        let (events, length, notices) = if path.exists() { parse(path)? } else { (Vec::new(), 0, Vec::new()) };
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(writing)?;
        file.set_len(length).map_err(writing)?;
        let next = events.len() as u64;
        Ok((Self { path: path.to_path_buf(), file, length, next }, events, notices))
    }

    /// Appends an event and returns its number. A write that fails leaves the log as it was.
    pub fn append(&mut self, event: &Event) -> Result<u64> {
        let text = serde_json::to_string(event).expect("events are plain data");
        let (n, time, crc) = (self.next, jiff::Timestamp::now(), crc32fast::hash(text.as_bytes()));
        let line = format!("{{\"v\":{VERSION},\"n\":{n},\"t\":\"{time:.3}\",\"crc\":\"{crc:08x}\",\"event\":{text}}}\n");
        if let Err(e) = self.file.write_all(line.as_bytes()) {
            // If this fails too, the torn line is dropped by the next reader.
            let _ = self.file.set_len(self.length);
            return Err(Error::writing(&self.path, &e));
        }
        self.length += line.len() as u64;
        self.next += 1;
        Ok(n)
    }

    /// Makes everything appended so far survive a crash of the machine.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::writing(&self.path, &e))
    }
}

/// Reads a log without changing it; returns what is in it and what a user should know.
pub fn read_events(path: &Path) -> Result<(Vec<StoredEvent>, Vec<String>)> {
    parse(path).map(|(events, _, notices)| (events, notices))
}

/// The events, the length of the sound part in bytes, and notices.
fn parse(path: &Path) -> Result<(Vec<StoredEvent>, u64, Vec<String>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::reading(path, &e))?;
    let (mut events, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (line, end, whole) = match bytes[at..].iter().position(|b| *b == b'\n') {
            Some(length) => (&bytes[at..at + length], at + length + 1, true),
            None => (&bytes[at..], bytes.len(), false),
        };
        match parse_line(line, events.len() as u64) {
            Ok(event) if whole => events.push(event),
            Err(Fault::Foreign(what)) => return Err(Error::input(path, format!("line {}, byte {at}: {what}", events.len() + 1))),
            Ok(_) | Err(Fault::Damaged(_)) if end == bytes.len() => {
                let notice = format!("{}: dropped a torn last line of {} bytes at byte {at}", path.display(), end - at);
                return Ok((events, at as u64, vec![notice]));
            }
            Ok(_) => unreachable!("a line without an end is the last"),
            Err(Fault::Damaged(what)) => {
                return Err(Error::input(
                    path,
                    format!(
                        "line {}, byte {at}: {what}. The log is damaged in the middle and was not changed; restore it from a copy, or start the run anew in another folder",
                        events.len() + 1
                    ),
                ));
            }
        }
        at = end;
    }
    Ok((events, at as u64, Vec::new()))
}

fn parse_line(line: &[u8], expected: u64) -> std::result::Result<StoredEvent, Fault> {
    let damaged = |what: String| Fault::Damaged(what);
    let text = std::str::from_utf8(line).map_err(|e| damaged(format!("not text: {e}")))?;
    let parsed: Line = serde_json::from_str(text).map_err(|e| damaged(format!("not a whole event: {e}")))?;
    let crc = format!("{:08x}", crc32fast::hash(parsed.event.get().as_bytes()));
    if crc != parsed.crc {
        return Err(damaged(format!("checksum {crc}, expected {}", parsed.crc)));
    }
    if parsed.n != expected {
        return Err(damaged(format!("event number {}, expected {expected}", parsed.n)));
    }
    if parsed.v != VERSION {
        return Err(Fault::Foreign(format!("event format {} is not known to this version of naslab, which reads {VERSION}", parsed.v)));
    }
    let event = serde_json::from_str(parsed.event.get())
        .map_err(|e| Fault::Foreign(format!("event {} is not known to this version of naslab: {e}", parsed.n)))?;
    Ok(StoredEvent { n: parsed.n, time: parsed.t, event })
}
