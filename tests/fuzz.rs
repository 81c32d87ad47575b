//! Mutated valid files: no reader panics, goes on for ever, or holds much more memory than its file has bytes. `NASLAB_FUZZ=20000` is the number of inputs for each
//! reader of the long form; every input is a function of reader and number, so a failure can be repeated.

#[allow(dead_code, reason = "not every test program needs all of it")]
#[path = "common/files.rs"]
mod files;

use files::{BATCHES, batch, cifar_tar, gzip, idx, manifest, table};
use naslab::data::{self, read_grid};
use naslab::record::{EndReason, Example, ExampleInfo, RunDir, read_architecture, read_events, read_safetensors};
use naslab::seed::{Rng, Streams};
use rand::RngExt;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// Inputs for each reader.
const SHORT: u64 = 300;
/// A reader may hold this many times the bytes of its file, and as much beside.
const TIMES: usize = 10;
const BESIDE: usize = 1 << 20;
/// Longer than the long form of any reader takes.
const FOR_EVER: Duration = Duration::from_secs(3000);

/// The system's allocator, which counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: everything is handed on to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` held at a time, beyond what was held before.
fn most_held(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    work();
    (MOST.get() - before).max(0) as usize
}

/// A valid file, and how it is put together again after its bytes were changed, so that a check sum does not end every reading.
struct Seed {
    name: String,
    bytes: Vec<u8>,
    mend: fn(Vec<u8>) -> Vec<u8>,
}

fn as_it_is(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

fn seed(name: &str, bytes: Vec<u8>) -> Seed {
    Seed { name: name.into(), bytes, mend: as_it_is }
}

fn fixtures(folder: &str, endings: &[&str]) -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/segmentation").join(folder);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|p| endings.iter().any(|e| p.to_string_lossy().ends_with(e)));
    found.sort();
    found.iter().map(|p| seed(p.file_name().unwrap().to_str().unwrap(), std::fs::read(p).unwrap())).collect()
}

fn packed(bytes: Vec<u8>) -> Vec<u8> {
    gzip(&bytes)
}

const EXTREMES: [u64; 10] = [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// One change, of the kinds by which headers lie and copies break.
fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = if bytes.is_empty() { 0 } else { rng.random_range(0..bytes.len()) };
    let length = rng.random_range(1..64).min(bytes.len() - at);
    match rng.random_range(0..9) {
        0 | 1 if length > 0 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, rng.random()][rng.random_range(0..6)],
        2 if length > 0 => bytes[at] ^= 1 << rng.random_range(0..8),
        3 | 4 => {
            let value = EXTREMES[rng.random_range(0..EXTREMES.len())];
            let width = [2, 4, 8][rng.random_range(0..3)].min(bytes.len() - at);
            let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
            let written = if rng.random() { &little[..width] } else { &big[8 - width..] };
            bytes[at..at + width].copy_from_slice(written);
        }
        5 => bytes.truncate(at),
        6 => {
            bytes.drain(at..at + length);
        }
        7 => {
            let part = bytes[at..at + length].to_vec();
            let to = rng.random_range(0..=bytes.len());
            bytes.splice(to..to, part);
        }
        // A number in a text.
        _ => {
            let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            let number = ["0", "-1", "1e309", "18446744073709551616", "99999999", "NaN", "0.5", "\"", "[[[[[[[["][rng.random_range(0..9)];
            bytes.splice(at..at + digits, number.bytes());
        }
    }
}

/// Lets `read` have inputs made of `seeds`, each in a file of its seed's name in `folder`.
fn fuzz(reader: &'static str, folder: tempfile::TempDir, seeds: Vec<Seed>, read: impl Fn(&Path) + Send + 'static) {
    let inputs = std::env::var("NASLAB_FUZZ").map_or(SHORT, |n| n.parse().expect("NASLAB_FUZZ is a number of inputs"));
    let (done, ended) = mpsc::channel();
    let work = move || {
        for number in 0..inputs {
            let mut rng = Streams::new(7).rng(reader, number);
            let seed = &seeds[rng.random_range(0..seeds.len())];
            let mut bytes = seed.bytes.clone();
            for _ in 0..rng.random_range(1..5) {
                change(&mut bytes, &mut rng);
            }
            let bytes = if rng.random() { (seed.mend)(bytes) } else { bytes };
            let path = folder.path().join(&seed.name);
            std::fs::write(&path, &bytes).unwrap();
            let mut panicked = false;
            let held = most_held(|| panicked = catch_unwind(AssertUnwindSafe(|| read(&path))).is_err());
            let allowed = TIMES * bytes.len() + BESIDE;
            if panicked || held > allowed {
                let kept = std::env::temp_dir().join(format!("naslab-fuzz-{reader}-{number}-{}", seed.name));
                std::fs::write(&kept, &bytes).unwrap();
                let what = if panicked { "panicked".to_string() } else { format!("held {held} bytes, of {} in the file", bytes.len()) };
                done.send(Err(format!("{reader}, input {number}: {what}; it is kept in {}", kept.display()))).unwrap();
                return;
            }
            std::fs::write(&path, &seed.bytes).unwrap();
        }
        done.send(Ok(())).unwrap();
    };
    std::thread::spawn(work);
    let end = ended.recv_timeout(FOR_EVER).unwrap_or_else(|_| panic!("{reader} went on for ever"));
    end.unwrap_or_else(|what| panic!("{what}"));
    println!("{reader}: {inputs} inputs");
}

fn grid(path: &Path) {
    if let Ok(grid) = read_grid(path) {
        assert_eq!(grid.values.len(), grid.shape.iter().product::<usize>());
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// As many bytes as a reader may not simply multiply.
fn noise(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    Streams::new(0).rng("noise", 0).fill(&mut out[..]);
    out
}

#[test]
fn nifti() {
    let mut seeds = fixtures("nifti", &[".nii", ".nii.gz"]);
    // The same unpacked, changed and packed again; and one with more than a header.
    seeds.extend(fixtures("nifti", &[".nii"]).into_iter().take(6).map(|s| Seed { name: format!("{}.gz", s.name), mend: packed, ..s }));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/hippocampus/imagesTr/hippocampus_001.nii.gz");
    seeds.push(seed("large.nii.gz", std::fs::read(shipped).unwrap()));
    fuzz("nifti", folder(), seeds, grid);
}

#[test]
fn meta_image() {
    let folder = folder();
    let voxels = fixtures("meta", &["raw"]);
    voxels.iter().for_each(|s| std::fs::write(folder.path().join(&s.name), &s.bytes).unwrap());
    let mut seeds = fixtures("meta", &[".mhd", ".mha"]);
    let head = "ObjectType = Image\nNDims = 3\nDimSize = 50 40 30\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nElementSpacing = 1 1 2\nOffset = 0 0 0\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n";
    seeds.push(seed("large.mha", [head.as_bytes(), &noise(60_000)].concat()));
    fuzz("meta-image", folder, seeds, grid);
}

#[test]
fn dicom() {
    fuzz("dicom", folder(), fixtures("dicom", &[".dcm"]), grid);
}

/// Every chunk with its check sum.
fn png_sums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 8) {
        let end = at + 8 + u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        if end + 4 > bytes.len() {
            break;
        }
        let sum = crc32fast::hash(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
    bytes
}

#[test]
fn png_images() {
    let mut seeds: Vec<Seed> = fixtures("flat", &[".png"]).into_iter().map(|s| Seed { mend: png_sums, ..s }).collect();
    let mut large = Vec::new();
    let mut encoder = png::Encoder::new(&mut large, 250, 200);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&noise(50_000)).unwrap();
    seeds.push(Seed { mend: png_sums, ..seed("large.png", large) });
    fuzz("png", folder(), seeds, grid);
}

#[test]
fn tiff_images() {
    fuzz("tiff", folder(), fixtures("flat", &[".tif"]), grid);
}

#[test]
fn idx_images() {
    let folder = folder();
    let pixels = noise(20 * 28 * 28);
    let labels: Vec<u8> = (0..20).map(|i| i % 10).collect();
    let train = [idx(&[20, 28, 28], &pixels), idx(&[20], &labels)];
    let files = [
        ("train-images-idx3-ubyte", train[0].clone()),
        ("train-labels-idx1-ubyte", train[1].clone()),
        ("t10k-images-idx3-ubyte.gz", train[0].clone()),
        ("t10k-labels-idx1-ubyte.gz", train[1].clone()),
    ];
    let whole = |(name, bytes): (&str, Vec<u8>)| match name.ends_with(".gz") {
        true => Seed { name: name.into(), bytes, mend: packed },
        false => seed(name, bytes),
    };
    let seeds: Vec<Seed> = files.into_iter().map(whole).collect();
    // A file that is not changed is there as it should be; the gzipped ones are recognised by their content.
    seeds.iter().for_each(|s| std::fs::write(folder.path().join(&s.name), &s.bytes).unwrap());
    assert_eq!(data::open("fashion-mnist", Some(folder.path())).unwrap().train.len(), 20);
    fuzz("idx", folder, seeds, |path| {
        let _ = data::open("fashion-mnist", path.parent());
    });
}

#[test]
fn cifar() {
    let folder = folder();
    let mut seeds: Vec<Seed> = BATCHES.iter().zip(0..).map(|(name, label)| seed(name, batch(label))).collect();
    seeds.push(seed("batches.meta.txt", (0..10).map(|i| format!("class {i}\n")).collect::<String>().into_bytes()));
    seeds.iter().for_each(|s| std::fs::write(folder.path().join(&s.name), &s.bytes).unwrap());
    fuzz("cifar-folder", folder, seeds, |path| {
        let _ = data::open("cifar10", path.parent());
    });
}

#[test]
fn cifar_archive() {
    // As it is packed, and packed again after a change.
    let (name, bytes) = ("cifar-10-binary.tar.gz", cifar_tar());
    let seeds = vec![seed(name, gzip(&bytes)), Seed { mend: packed, ..seed(name, bytes) }];
    fuzz("cifar-archive", folder(), seeds, |path| {
        let _ = data::open("cifar10", Some(path));
    });
}

#[test]
fn names_of_classes() {
    let folder = folder();
    for part in ["imagesTr", "labelsTr"] {
        let (from, to) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/segmentation/msd").join(part), folder.path().join(part));
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let text = r#"{"name": "a", "labels": {"0": "background", "1": "Anterior", "2": "Posterior"}, "numTraining": 260}"#;
    fuzz("dataset.json", folder, vec![seed("dataset.json", text.into())], |path| {
        let _ = data::open_segmentation("msd", path.parent());
    });
}

fn architecture() -> naslab::space::Architecture {
    naslab::space::published("darts-v2").unwrap()
}

fn result() -> serde_json::Value {
    let candidate = architecture();
    serde_json::json!({
        "format": 3, "method": "darts", "variant": "first-order", "dataset": "digits", "preset": "smoke", "seed": 3, "identity": "1f",
        "architecture": candidate, "architecture_hash": candidate.hash(), "parameters": 1000, "auxiliary_parameters": 0, "metric": "accuracy",
        "search_score": 0.6, "search_score_kind": "accuracy", "select_score": null, "final_score": 0.9, "final_loss": 0.1, "retrain_epochs": 5,
        "search_end": EndReason::Completed, "retrain_end": EndReason::Completed, "trials": {}, "extra": {}
    })
}

#[test]
fn records_in_json() {
    let folder = folder();
    let candidate = architecture();
    let finding = serde_json::json!({"format": 3, "method": "darts", "search_score_kind": "accuracy", "search_end": "completed", "chosen": 0,
        "candidates": [{"origin": "search 0", "architecture": candidate, "search_score": 0.5, "select_score": null}]});
    let ledger = serde_json::json!({"format": 3, "wall_seconds": 35.0, "spent_seconds": 1.0, "budget_seconds": null, "overshoot_seconds": null,
        "finished": "2026-01-31T12:01:00Z", "rows": [{"phase": "search", "attempt": 0, "device_seconds": 1.5, "cpu_seconds": 1.5, "wall_seconds": 1.5,
        "samples": 1, "steps": 1, "trials": 0, "peak_device_allocated": null, "peak_device_reserved": null, "peak_host_bytes": 1024,
        "energy_joules": null, "end_reason": "completed"}]});
    let own = serde_json::json!({"format": 3, "method": "darts", "architecture": candidate, "hash": candidate.hash()});
    let first = serde_json::to_value(manifest()).unwrap();
    let files = [("manifest.json", first), ("result.json", result()), ("finding.json", finding), ("ledger.json", ledger)];
    let mut seeds: Vec<Seed> = files.into_iter().map(|(name, value)| seed(name, serde_json::to_vec_pretty(&value).unwrap())).collect();
    seeds.push(seed("architecture.json", serde_json::to_vec_pretty(&own).unwrap()));
    seeds.iter().for_each(|s| std::fs::write(folder.path().join(&s.name), &s.bytes).unwrap());
    let run = RunDir::open(folder.path()).unwrap();
    assert_eq!(run.manifest().unwrap(), manifest());
    assert!(run.result().unwrap().is_some() && run.finding().unwrap().is_some() && run.ledger().unwrap().is_some());
    assert_eq!(read_architecture(&folder.path().join("architecture.json")).unwrap().architecture, candidate);
    fuzz("json", folder, seeds, |path| {
        let run = RunDir::open(path.parent().unwrap()).unwrap();
        let _ =
            (run.manifest().is_ok(), run.result().is_ok(), run.finding().is_ok(), run.ledger().is_ok(), read_architecture(path).is_ok());
    });
}

#[test]
fn event_logs() {
    let line = |n: usize| {
        let event = format!(
            r#"{{"kind":"progress","phase":"search","part":0,"epoch":{n},"step":{n},"device_seconds":1.5,"loss":1.0,"score":null,"extra":{{}},"architecture":null}}"#
        );
        format!(
            "{{\"v\":1,\"n\":{n},\"t\":\"2026-01-31T12:00:00.000Z\",\"crc\":\"{:08x}\",\"event\":{event}}}\n",
            crc32fast::hash(event.as_bytes())
        )
    };
    let log: String = (0..8).map(line).collect();
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, &log).unwrap();
    assert_eq!(read_events(&path).unwrap().0.len(), 8);
    fuzz("events", folder, vec![seed("events.jsonl", log.into())], |path| {
        let _ = read_events(path);
    });
}

#[test]
fn weights() {
    let blob = |name: &str, n: usize| naslab::record::Blob {
        name: name.into(),
        dtype: naslab::record::Dtype::F32,
        shape: vec![n, 4],
        bytes: noise(16 * n),
    };
    let folder = folder();
    let path = folder.path().join("weights.safetensors");
    let metadata = [("architecture".to_string(), serde_json::to_string(&architecture()).unwrap())].into();
    naslab::record::write_safetensors(&path, &[blob("a", 3), blob("b.c", 1000)], &metadata).unwrap();
    let mut seeds = vec![seed("weights.safetensors", std::fs::read(&path).unwrap())];
    let about = ExampleInfo { volume: "a".into(), slice: 7, rank: "only".into(), dice: 0.5, height: 20, width: 30 };
    let example = Example { about, image: noise(600), truth: vec![1; 600], predicted: vec![0; 600] };
    naslab::record::write_examples(&path, &[example]).unwrap();
    seeds.push(seed("examples.safetensors", std::fs::read(&path).unwrap()));
    fuzz("safetensors", folder, seeds, |path| {
        let _ = (read_safetensors(path).is_ok(), naslab::record::read_examples(path).is_ok());
    });
}

#[cfg(feature = "report")]
#[test]
fn baselines() {
    let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/baseline.csv")).unwrap();
    fuzz("baseline", folder(), vec![seed("baseline.csv", text)], |path| {
        use naslab::report::gate::{Options, check};
        // The baseline is read first; of runs there are none.
        let _ = check(&[], path, &Options::default());
    });
}

#[test]
fn tables() {
    let ((text, about), folder) = (table(), folder());
    let again = Seed { mend: packed, ..seed("mine.csv", text.clone().into()) };
    let seeds = vec![seed("mine.csv", text.into()), seed("mine.json", about.into()), again];
    seeds.iter().for_each(|s| std::fs::write(folder.path().join(&s.name), &s.bytes).unwrap());
    naslab::table::read(&folder.path().join("mine.csv")).unwrap();
    fuzz("table", folder, seeds, |path| {
        let _ = naslab::table::read(&path.with_extension("csv"));
    });
}
