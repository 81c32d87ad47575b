//! The run directory under torn writes, damage, full disks, and two processes.

use crate::common::{files::manifest, test_name};
use naslab::record::*;
use naslab::space::{Architecture, Cell, CellPair, DartsOp as Op, Edge};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn architecture(from: usize) -> Architecture {
    let edge = |op, from| Edge { op, from };
    let cell = Cell::new(vec![[edge(Op::SepConv3, 0), edge(Op::SkipConnect, from)]], vec![2]);
    CellPair { normal: cell.clone(), reduce: cell }.into()
}

fn notice(text: &str) -> Event {
    Event::Notice { text: text.into() }
}

// ---- events

fn figure() -> impl Strategy<Value = f64> {
    use proptest::num::f64;
    f64::NORMAL | f64::SUBNORMAL | f64::ZERO | f64::POSITIVE | f64::NEGATIVE
}

fn phase() -> impl Strategy<Value = Phase> {
    proptest::sample::select(vec![Phase::Search, Phase::Select, Phase::Retrain, Phase::Test, Phase::Overhead])
}

fn progress() -> impl Strategy<Value = Event> {
    let figures = (figure(), proptest::option::of(figure()), proptest::option::of(figure()));
    let extra = proptest::collection::btree_map("\\PC{0,8}", figure(), 0..4);
    let place = (phase(), any::<u64>(), any::<u64>(), any::<u64>());
    (place, figures, extra, proptest::option::of(0usize..2)).prop_map(|(place, figures, extra, from)| {
        let (phase, part, epoch, step) = place;
        let (device_seconds, loss, score) = figures;
        let architecture = from.map(architecture);
        Event::Progress { phase, part, epoch, step, device_seconds, loss, score, extra, architecture }
    })
}

fn trial() -> impl Strategy<Value = Event> {
    let figures = (figure(), figure(), proptest::option::of(figure()), proptest::option::of(figure()));
    (any::<u64>(), phase(), proptest::option::of(any::<u64>()), ".{0,20}", figures).prop_map(|(id, phase, parent, origin, figures)| {
        let (device_seconds, spent_seconds, score, loss) = figures;
        Event::Trial(TrialRecord {
            reused: None,
            id,
            phase,
            architecture: architecture(1),
            hash: "ab12".into(),
            parent,
            origin,
            end: EndReason::Diverged,
            score,
            proxies: [("step 10".to_string(), device_seconds)].into(),
            loss,
            parameters: Some(id / 2),
            device_seconds,
            spent_seconds,
        })
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![progress(), trial(), ".{0,40}".prop_map(|text| notice(&text))]
}

fn write_log(path: &Path, events: &[Event]) {
    let mut log = EventLog::create(path).unwrap();
    for (n, event) in events.iter().enumerate() {
        assert_eq!(log.append_at(jiff::Timestamp::now(), event).unwrap(), n as u64);
    }
    log.sync().unwrap();
}

fn plain(stored: Vec<StoredEvent>) -> Vec<Event> {
    assert!(stored.iter().enumerate().all(|(n, s)| s.n == n as u64));
    stored.into_iter().map(|s| s.event).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_read_back_exactly(events in proptest::collection::vec(event(), 0..6)) {
        let folder = folder();
        let path = folder.path().join("events.jsonl");
        write_log(&path, &events);
        let (stored, notices) = read_events(&path).unwrap();
        prop_assert!(notices.is_empty());
        prop_assert_eq!(plain(stored), events);
    }
}

/// A log of several kinds of lines, and where each line begins.
fn sample_log(path: &Path) -> (Vec<Event>, Vec<u8>, Vec<usize>) {
    let extra = BTreeMap::from([("alpha_entropy".to_string(), 1.5), ("größe".to_string(), -0.25)]);
    let events = vec![
        Event::AttemptStarted { attempt: 0 },
        notice("quotes \" and \n line ends \\ and {\"v\":1,\"n\": inside"),
        Event::Progress {
            phase: Phase::Search,
            part: 0,
            epoch: 1,
            step: 12,
            device_seconds: 0.1 + 0.2,
            loss: Some(2.25),
            score: None,
            extra,
            architecture: Some(architecture(0)),
        },
        notice("the last"),
    ];
    write_log(path, &events);
    let bytes = std::fs::read(path).unwrap();
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1);
    let starts: Vec<usize> = std::iter::once(0).chain(ends).collect();
    assert_eq!(starts.len(), events.len() + 1);
    (events, bytes, starts)
}

#[test]
fn a_log_cut_anywhere_keeps_exactly_its_whole_lines_and_goes_on() {
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    let (events, bytes, starts) = sample_log(&path);
    for length in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let whole = starts.iter().filter(|s| **s <= length).count() - 1;
        let torn = length - starts[whole];

        let (stored, notices) = read_events(&path).unwrap();
        assert_eq!(plain(stored), events[..whole], "cut at {length}");
        assert_eq!(notices.len(), usize::from(torn > 0), "cut at {length}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes[..length], "a reader changes nothing");

        let (mut log, stored, notices) = EventLog::append_to(&path).unwrap();
        assert_eq!(plain(stored), events[..whole]);
        if torn > 0 {
            assert!(notices[0].contains(&format!("{torn} bytes at byte {}", starts[whole])), "{}", notices[0]);
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes[..starts[whole]]);
        assert_eq!(log.append_at(jiff::Timestamp::now(), &notice("on")).unwrap(), whole as u64);
        let (stored, notices) = read_events(&path).unwrap();
        assert_eq!(stored.len(), whole + 1, "cut at {length}");
        assert!(notices.is_empty());
    }
}

/// Bytes of the digits of the time stamps, which no checksum covers.
fn time_digits(bytes: &[u8], starts: &[usize]) -> Vec<usize> {
    let mark = b"\"t\":\"";
    let time = |start: &usize| {
        let at = bytes[*start..].windows(mark.len()).position(|w| w == mark).unwrap() + start + mark.len();
        at..at + "2026-01-31T12:00:00.000Z".len()
    };
    starts[..starts.len() - 1].iter().flat_map(time).filter(|i| bytes[*i].is_ascii_digit()).collect()
}

#[test]
fn every_changed_byte_before_the_last_line_is_found_with_its_place() {
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    let (events, bytes, starts) = sample_log(&path);
    let digits = time_digits(&bytes, &starts);
    let last = starts[starts.len() - 2];
    for at in 0..last {
        let line = starts.iter().filter(|s| **s <= at).count();
        for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            std::fs::write(&path, &damaged).unwrap();
            match EventLog::append_to(&path) {
                Err(error) => {
                    assert_eq!(error.exit_code(), 3, "{error}");
                    // A byte that became a line end moves the rest of its line to the next.
                    let text = error.to_string();
                    let expected = format!("line {line}, byte {}:", starts[line - 1]);
                    assert!(text.contains(&expected) && text.contains("events.jsonl"), "byte {at} ^ {flip:#x}: {text}");
                }
                Ok((_, stored, notices)) => {
                    assert!(digits.contains(&at), "byte {at} ^ {flip:#x} was not found: {notices:?}");
                    assert_eq!(plain(stored), events);
                }
            }
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "a damaged log is not changed");
        }
    }
}

#[test]
fn a_changed_byte_in_the_last_event_drops_that_line_alone() {
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    let (events, bytes, starts) = sample_log(&path);
    let last = starts[starts.len() - 2];
    let text = b"\"event\":";
    let event = last + bytes[last..].windows(text.len()).position(|w| w == text).unwrap() + text.len();
    for at in event..bytes.len() - 2 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x01;
        std::fs::write(&path, &damaged).unwrap();
        let (stored, notices) = read_events(&path).unwrap();
        assert_eq!(plain(stored), events[..events.len() - 1]);
        assert!(notices[0].contains(&format!("at byte {last}")), "{}", notices[0]);
    }
}

// ---- checkpoints

fn checkpoint(step: u64) -> Checkpoint {
    let bytes = (0..400u32).flat_map(|i| (i as f32 + step as f32).to_le_bytes()).collect();
    let weights = Blob { name: "weights".into(), dtype: Dtype::F32, shape: vec![20, 20], bytes };
    Checkpoint { state: serde_json::json!({"step": step, "seconds": 0.1 + 0.2}), blobs: vec![weights] }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_save_that_was_killed_leaves_the_last_checkpoint_and_no_litter() {
    let folder = folder();
    let checkpoints = Checkpoints::new(folder.path());
    checkpoints.save(&checkpoint(1)).unwrap();
    let saved = files(folder.path());
    let whole = std::fs::read(&saved[0]).unwrap();
    std::fs::write(folder.path().join(".tmp-Ab3dE9"), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(checkpoints.load().unwrap(), (Some(checkpoint(1)), Vec::new()));
    assert_eq!(files(folder.path()), saved);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
    let whole = {
        let folder = folder();
        Checkpoints::new(folder.path()).save(&checkpoint(2)).unwrap();
        std::fs::read(&files(folder.path())[0]).unwrap().len()
    };
    for at in [0, 9, whole / 2, whole - 1] {
        let folder = folder();
        let checkpoints = Checkpoints::new(folder.path());
        checkpoints.save(&checkpoint(1)).unwrap();
        checkpoints.save(&checkpoint(2)).unwrap();
        let newest = files(folder.path()).pop().unwrap();
        flip(&newest, at);
        let (found, notices) = checkpoints.load().unwrap();
        assert_eq!(found, Some(checkpoint(1)));
        assert!(notices[0].contains(newest.file_name().unwrap().to_str().unwrap()), "{notices:?}");

        // The damaged one must not push the sound one out of the two that are kept.
        checkpoints.save(&checkpoint(3)).unwrap();
        flip(files(folder.path()).iter().rfind(|p| p.extension().is_some_and(|e| e == "safetensors")).unwrap(), at);
        assert_eq!(checkpoints.load().unwrap().0, Some(checkpoint(1)));
    }
}

#[test]
fn damaged_checkpoints_alone_are_bad_input() {
    let folder = folder();
    let checkpoints = Checkpoints::new(folder.path());
    for step in [1, 2] {
        checkpoints.save(&checkpoint(step)).unwrap();
    }
    let all = files(folder.path());
    assert_eq!(all.len(), 2);
    for path in &all {
        std::fs::write(path, b"").unwrap();
    }
    let error = checkpoints.load().unwrap_err();
    assert_eq!(error.exit_code(), 3);
    for path in &all {
        assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    }
    assert_eq!(files(folder.path()), all);
}

// ---- the run directory

fn result() -> RunResult {
    RunResult {
        format: FORMAT,
        method: "darts".into(),
        variant: "first-order".into(),
        dataset: "digits".into(),
        preset: "smoke".into(),
        seed: 3,
        identity: "1f".into(),
        architecture: architecture(1),
        architecture_hash: architecture(1).hash(),
        parameters: 10,
        auxiliary_parameters: 0,
        metric: "accuracy".into(),
        search_score: Some(0.1 + 0.2),
        search_score_kind: "supernet validation accuracy".into(),
        select_score: None,
        final_score: None,
        final_loss: None,
        retrain_epochs: 0,
        search_end: EndReason::BudgetReached,
        retrain_end: EndReason::Diverged,
        trials: BTreeMap::new(),
        extra: BTreeMap::new(),
        cut_selection: Some(CutSelection { planned: 4, compared: 1, limit: EndReason::BudgetReached }),
        segmentation: None,
    }
}

#[test]
fn a_run_is_made_read_and_finished() {
    let folder = folder();
    let path = folder.path().join("runs/a").join(run_name("darts", "", "digits", "smoke", 3));
    let run = RunDir::create(&path, &manifest()).unwrap();
    assert_eq!(read_events(&run.events_path()).unwrap(), (Vec::new(), Vec::new()));
    assert!(run.result().unwrap().is_none());
    let reader = RunDir::open(&path).unwrap();
    assert_eq!(reader.manifest().unwrap(), manifest());
    assert!(reader.finding().unwrap().is_none() && reader.result().unwrap().is_none() && reader.ledger().unwrap().is_none());

    let finding = FindingRecord {
        format: FORMAT,
        method: "darts".into(),
        search_score_kind: "supernet validation accuracy".into(),
        search_end: EndReason::BudgetReached,
        candidates: vec![Candidate {
            origin: "search 0".into(),
            architecture: architecture(0),
            search_score: Some(0.5),
            select_score: None,
        }],
        chosen: 0,
    };
    let ledger = LedgerRecord {
        format: FORMAT,
        rows: Vec::new(),
        tasks: Vec::new(),
        wall_seconds: 1.5,
        spent_seconds: 1.25,
        budget_seconds: None,
        overshoot_seconds: None,
        finished: "2026-01-31T12:00:09Z".into(),
    };
    run.write_finding(&finding).unwrap();
    run.write_ledger(&ledger).unwrap();
    run.write_weights(&checkpoint(1).blobs, &BTreeMap::new()).unwrap();
    run.checkpoints().save(&checkpoint(1)).unwrap();
    assert!(reader.result().unwrap().is_none());
    run.write_result(&result()).unwrap();
    assert!(reader.result().unwrap().is_some());
    assert_eq!(reader.finding().unwrap(), Some(finding));
    assert_eq!(reader.ledger().unwrap(), Some(ledger));
    assert_eq!(reader.result().unwrap(), Some(result()));
    assert_eq!(read_safetensors(&reader.weights_path()).unwrap().0, checkpoint(1).blobs);
}

#[test]
fn only_an_empty_folder_becomes_a_run() {
    let folder = folder();
    let foreign = folder.path().join("thesis");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("chapter.tex"), b"text").unwrap();
    let error = RunDir::create(&foreign, &manifest()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("chapter.tex"), "{error}");
    assert_eq!(files(&foreign), [foreign.join("chapter.tex")]);
    assert_eq!(RunDir::create(&foreign.join("chapter.tex"), &manifest()).unwrap_err().exit_code(), 2);

    let run = folder.path().join("run");
    drop(RunDir::create(&run, &manifest()).unwrap());
    let error = RunDir::create(&run, &manifest()).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("naslab resume"), "{error}");

    // A start that was killed before its manifest was whole can be repeated.
    let killed = folder.path().join("killed");
    std::fs::create_dir(&killed).unwrap();
    std::fs::write(killed.join("lock"), b"1").unwrap();
    std::fs::write(killed.join(".tmp-x1"), b"{\"form").unwrap();
    let run = RunDir::create(&killed, &manifest()).unwrap();
    assert_eq!(run.manifest().unwrap(), manifest());
    assert!(!killed.join(".tmp-x1").exists());
}

#[test]
fn what_is_no_run_is_not_opened() {
    let folder = folder();
    for path in [folder.path().to_path_buf(), folder.path().join("none")] {
        let error = RunDir::open(&path).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("no run here"), "{error}");
        assert!(files(folder.path()).is_empty());
    }
}

const HELPER: &str = "NASLAB_TEST_LOCKS_RUN";

/// Not a test of its own: the second process of the next one.
#[test]
fn helper_holds_the_lock() {
    let Some(path) = std::env::var_os(HELPER) else { return };
    let _run = RunDir::open(Path::new(&path)).unwrap().lock().unwrap();
    println!("\nlocked");
    // Until it is killed, or its parent is gone.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn two_processes_never_work_on_one_run() {
    let folder = folder();
    let path = folder.path().join("run");
    let run = RunDir::create(&path, &manifest()).unwrap();
    let error = RunDir::open(&path).unwrap().lock().unwrap_err();
    assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
    drop(run);

    let name = test_name(module_path!(), "helper_holds_the_lock");
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(HELPER, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(helper.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "locked"));
    let error = RunDir::open(&path).unwrap().lock().unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains(&format!("another naslab process works on this run (pid {})", helper.id())), "{error}");
    assert_eq!(RunDir::open(&path).unwrap().manifest().unwrap(), manifest());

    helper.kill().unwrap();
    helper.wait().unwrap();
    RunDir::open(&path).unwrap().lock().unwrap();
}

// ---- full disks

/// A file system of 64 KiB that goes away with this value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = folder();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path()).stderr(Stdio::null()).status();
        if mount.is_ok_and(|s| s.success()) {
            return Some(Self(folder));
        }
        println!("skipped: mounting a small tmpfs is not permitted here");
        None
    }

    /// Leaves `free` bytes, in whole pages.
    fn fill(&self, free: usize) {
        let path = self.0.path().join("filler");
        let mut size = 0;
        while std::fs::write(&path, vec![1; size + 4096]).is_ok() {
            size += 4096;
        }
        std::fs::write(&path, vec![1; size.saturating_sub(free)]).unwrap();
    }

    /// Makes room. A larger size, since the pages of a removed file may come back late.
    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
        let larger = Command::new("mount").args(["-o", "remount,size=1m"]).arg(self.0.path()).status().unwrap();
        assert!(larger.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_a_replaced_file_as_it_was() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("a.json");
    write_atomic(&path, b"before").unwrap();
    disk.fill(4096);
    let error = write_atomic(&path, &[7; 20_000]).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(files(disk.0.path()), [path.clone(), disk.0.path().join("filler")]);
    disk.empty();
    write_atomic(&path, &[7; 20_000]).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [7; 20_000]);
}

#[test]
fn a_full_disk_loses_no_event_and_leaves_no_torn_line() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("events.jsonl");
    let mut log = EventLog::create(&path).unwrap();
    log.append_at(jiff::Timestamp::now(), &notice("first")).unwrap();
    disk.fill(4096);
    let long = notice(&"x".repeat(1500));
    let mut written = 1;
    let error = loop {
        match log.append_at(jiff::Timestamp::now(), &long) {
            Ok(n) => written = n + 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(written > 1, "some room was left");
    let (stored, notices) = read_events(&path).unwrap();
    assert_eq!((stored.len() as u64, notices.len()), (written, 0));

    disk.empty();
    assert_eq!(log.append_at(jiff::Timestamp::now(), &long).unwrap(), written);
    let (mut log, stored, notices) = EventLog::append_to(&path).unwrap();
    assert_eq!((stored.len() as u64, notices.len()), (written + 1, 0));
    assert_eq!(log.append_at(jiff::Timestamp::now(), &notice("last")).unwrap(), written + 1);
}

#[test]
fn a_full_disk_keeps_the_earlier_checkpoints() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.0.path().join("checkpoint");
    let checkpoints = Checkpoints::new(&folder);
    for step in [1, 2] {
        checkpoints.save(&checkpoint(step)).unwrap();
    }
    let before = files(&folder);
    disk.fill(0);
    let error = checkpoints.save(&checkpoint(3)).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert_eq!(files(&folder), before);
    assert_eq!(checkpoints.load().unwrap(), (Some(checkpoint(2)), Vec::new()));

    disk.empty();
    checkpoints.save(&checkpoint(3)).unwrap();
    assert_eq!(checkpoints.load().unwrap().0, Some(checkpoint(3)));
}
