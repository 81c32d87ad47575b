//! A run as TensorBoard shows it: one event file, made from the manifest, the event log and the result alone.
//!
//! The file is a function of what is recorded, so that it can be made while the run goes on, or again at any time. Where a run is resumed, what the file has
//! in common with the record stays and the rest is written anew.

use super::model::{EndReason, Manifest, RunResult};
use super::tfrecord::{numbers, text, version};
use super::{Event, StoredEvent};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Name of the file; TensorBoard looks for `tfevents` in it.
const FILE: &str = "events.out.tfevents.naslab";

/// An event file that is open for appending.
#[derive(Debug)]
pub struct Board {
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    length: u64,
    /// Of the last event, seconds since 1970.
    last: f64,
}

impl Board {
    /// The event file in `folder`, which is made if it is not there.
    pub fn path_in(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Brings the event file in `folder` to what is recorded so far.
    ///
    /// # Errors
    /// If the folder or the file cannot be made or written.
    pub fn open(folder: &Path, manifest: &Manifest, events: &[StoredEvent]) -> Result<Self> {
        let (path, began) = (Self::path_in(folder), seconds(&manifest.started).unwrap_or(0.0));
        let mut wanted = [version(began), text(began, "run", &describe(manifest))].concat();
        events.iter().for_each(|e| wanted.extend(record(&e.time, &e.event)));
        std::fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut found = Vec::new();
        file.read_to_end(&mut found)?;
        let same = found.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
        if found.len() > same {
            file.set_len(same as u64)?;
        }
        file.seek(SeekFrom::Start(same as u64))?;
        file.write_all(&wanted[same..])?;
        let last = events.last().and_then(|e| seconds(&e.time)).unwrap_or(began);
        Ok(Self { path, file, length: wanted.len() as u64, last })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an event with its time in the log.
    ///
    /// # Errors
    /// If it cannot be written; what is in the file stays whole.
    pub fn add(&mut self, time: &str, event: &Event) -> Result<()> {
        self.last = seconds(time).unwrap_or(self.last);
        self.append(&record(time, event))
    }

    /// Appends the result.
    ///
    /// # Errors
    /// As [`Board::add`].
    pub fn finish(&mut self, result: &RunResult) -> Result<()> {
        let scores = [("search_score", result.search_score), ("select_score", result.select_score), ("final_score", result.final_score)];
        let others = [("final_loss", result.final_loss), ("parameters", Some(result.parameters as f64))];
        let figures = figures(|name| format!("result/{name}"), &[&scores[..], &others].concat(), &BTreeMap::new());
        let records = [text(self.last, "result", &block(result)), numbers(self.last, 0, &figures)];
        self.append(&records.concat())
    }

    fn append(&mut self, records: &[u8]) -> Result<()> {
        self.file.write_all(records).inspect_err(|_| {
            // A reader takes a torn record for one that is being written, and waits for its rest.
            let _ = self.file.set_len(self.length);
        })?;
        self.length += records.len() as u64;
        Ok(())
    }
}

/// The numbers of an event by tag, and their step: nothing for an event that has none. What is not finite is left out, as the log leaves it out.
/// Times of phases and attempts are no curve: they are in the ledger.
pub fn scalars(event: &Event) -> (i64, Vec<(String, f64)>) {
    match event {
        Event::Progress { phase, part, epoch, step, device_seconds, loss, score, extra, .. } => {
            // The curves of several searches stand side by side.
            let tag = |name: &str| if *part == 0 { format!("{}/{name}", phase.name()) } else { format!("{}/{name}/{part}", phase.name()) };
            let all = [("epoch", Some(*epoch as f64)), ("device_seconds", Some(*device_seconds)), ("loss", *loss), ("score", *score)];
            (*step as i64, figures(tag, &all, extra))
        }
        // One that was interrupted is run again.
        Event::Trial(trial) if trial.end != EndReason::Interrupted => {
            let tag = |name: &str| format!("{}_trial/{name}", trial.phase.name());
            let measured = [("score", trial.score), ("loss", trial.loss), ("parameters", trial.parameters.map(|n| n as f64))];
            let times = [("device_seconds", Some(trial.device_seconds)), ("spent_seconds", Some(trial.spent_seconds))];
            (trial.id as i64, figures(tag, &[&measured[..], &times].concat(), &trial.proxies))
        }
        _ => (0, Vec::new()),
    }
}

/// Figures by tag; those that are finite in single precision, as the file has them.
fn figures(tag: impl Fn(&str) -> String, known: &[(&str, Option<f64>)], own: &BTreeMap<String, f64>) -> Vec<(String, f64)> {
    let own = own.iter().map(|(name, figure)| (name.as_str(), Some(*figure)));
    let finite = known.iter().copied().chain(own).filter_map(|(name, figure)| Some((name, figure.filter(|f| (*f as f32).is_finite())?)));
    finite.map(|(name, figure)| (tag(name), figure)).collect()
}

fn record(time: &str, event: &Event) -> Vec<u8> {
    let (step, figures) = scalars(event);
    if figures.is_empty() { Vec::new() } else { numbers(seconds(time).unwrap_or(0.0), step, &figures) }
}

/// Seconds since 1970 of an RFC 3339 time.
fn seconds(time: &str) -> Option<f64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_millisecond() as f64 / 1e3)
}

fn describe(m: &Manifest) -> String {
    let about = format!("**{} {}** on {}, preset {}, seed {}\n\n", m.method, m.variant, m.dataset, m.preset, m.seed);
    about + &block(&m.settings)
}

/// JSON as a block of code.
fn block(value: &impl serde::Serialize) -> String {
    format!("```json\n{}\n```", serde_json::to_string_pretty(value).expect("plain data"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Phase;

    fn point(part: u64, loss: f64) -> Event {
        let extra = BTreeMap::from([("alpha_entropy".to_string(), 1.5), ("odd".to_string(), f64::NAN), ("huge".to_string(), 1e300)]);
        Event::Progress {
            phase: Phase::Search,
            part,
            epoch: 2,
            step: 40,
            device_seconds: 3.5,
            loss: Some(loss),
            score: None,
            extra,
            architecture: None,
        }
    }

    #[test]
    fn a_point_gives_its_numbers_by_name_and_nothing_that_is_not_finite() {
        let named = |list: &[(&str, f64)]| list.iter().map(|(name, figure)| ((*name).to_string(), *figure)).collect::<Vec<_>>();
        let expected = [("search/epoch", 2.0), ("search/device_seconds", 3.5), ("search/loss", 0.25), ("search/alpha_entropy", 1.5)];
        assert_eq!(scalars(&point(0, 0.25)), (40, named(&expected)));
        let expected = [("search/epoch/1", 2.0), ("search/device_seconds/1", 3.5), ("search/alpha_entropy/1", 1.5)];
        assert_eq!(scalars(&point(1, f64::INFINITY)), (40, named(&expected)));
        assert_eq!(scalars(&Event::Notice { text: "hi".into() }), (0, Vec::new()));
    }

    fn manifest() -> Manifest {
        serde_json::from_value(serde_json::json!({
            "format": 3, "method": "darts", "variant": "", "declaration": crate::record::Declaration::default(), "dataset": "digits", "preset": "smoke", "seed": 3, "settings": {"rate": 0.025},
            "shrunk": [], "jobs": 1, "identity": "1f", "libtorch": "2.11.0", "clock": "monotonic", "started": "2026-01-31T12:00:00Z",
            "limits": {"budget_seconds": null, "max_trials": null, "max_memory_bytes": null},
            "program": {"version": "0.1.0", "commit": "unknown", "dirty": false},
            "device": {"kind": "cpu", "name": "a", "memory_bytes": null, "processor": "a", "cores": 2, "threads": 2},
            "data": {"folder": null, "hash": "2a", "split_hash": "3b", "counts": {}, "channels": 1, "height": 8, "width": 8, "classes": 10,
                "normalisation": {"pixels": "bytes", "mean": [0.5], "std": [0.25]}},
        }))
        .unwrap()
    }

    fn stored(n: u64, loss: f64) -> StoredEvent {
        StoredEvent { n, time: format!("2026-01-31T12:00:0{n}.250Z"), event: point(0, loss) }
    }

    #[test]
    fn whatever_is_in_the_file_it_becomes_what_is_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = Board::path_in(folder.path());
        let events = [stored(0, 0.5), stored(1, 0.25), stored(2, 0.125)];
        let mut board = Board::open(folder.path(), &manifest(), &events[..1]).unwrap();
        events[1..].iter().for_each(|e| board.add(&e.time, &e.event).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for found in [&whole[..], &whole[..whole.len() - 5], &whole[..3], b"", b"something else", &[&whole[..], b"more"].concat()] {
            std::fs::write(&path, found).unwrap();
            Board::open(folder.path(), &manifest(), &events).unwrap();
            assert!(std::fs::read(&path).unwrap() == whole);
        }
        // Fewer events than before, as after a copy of the log was put back.
        Board::open(folder.path(), &manifest(), &events[..1]).unwrap();
        assert!(whole.starts_with(&std::fs::read(&path).unwrap()) && std::fs::read(&path).unwrap().len() < whole.len());
    }

    #[test]
    fn a_failed_write_is_told_and_leaves_whole_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = Board::open(folder.path(), &manifest(), &[stored(0, 0.5)]).unwrap();
        let before = std::fs::read(board.path()).unwrap();
        board.file = File::open(board.path()).unwrap();
        assert!(board.add("2026-01-31T12:00:01.000Z", &point(0, 0.25)).is_err());
        assert_eq!(std::fs::read(board.path()).unwrap(), before);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(Board::open(&folder.path().join("file"), &manifest(), &[]).is_err());
    }
}
