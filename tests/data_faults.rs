//! What users of similar tools suffered: geometry that disagrees, classes that are nowhere, files that are half read, harmless variants, trainings that fail, records
//! that were edited. Each kind through the binary, or on the reader that it is of.

use crate::common::files::{cifar_tar, contains, gzip, idx, table};
use crate::common::{self, naslab, only_run};
use naslab::data::{SegmentationSet, check, open, open_segmentation};
use naslab::record::{EndReason, RunDir};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Exit code and standard error of the binary.
fn fails(arguments: &[&str], code: i32) -> String {
    let assert = naslab().args(arguments).assert().code(code);
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

// ---- geometry

/// Columns of an affine map: where a step along x, y and z of the file leads, and where voxel 0 is.
type Affine = [[f32; 3]; 4];

/// 1 x 2 x 3 mm, to the right, to the front and upwards.
const STRAIGHT: Affine = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [-10.0, 5.0, 7.0]];

/// Voxels of a file, x fastest.
struct Voxels {
    size: [usize; 3],
    values: Vec<u8>,
    affine: Affine,
}

impl Voxels {
    fn nifti(&self) -> Vec<u8> {
        let mut out = vec![0; 348];
        out[..4].copy_from_slice(&348i32.to_le_bytes());
        let dim: Vec<i16> = [3].into_iter().chain(self.size.map(|s| s as i16)).chain([1; 4]).collect();
        dim.iter().enumerate().for_each(|(i, d)| out[40 + 2 * i..42 + 2 * i].copy_from_slice(&d.to_le_bytes()));
        out[70..74].copy_from_slice(&[2, 0, 8, 0]);
        out[108..112].copy_from_slice(&352f32.to_le_bytes());
        // The sform: rows of the map.
        out[254..256].copy_from_slice(&1i16.to_le_bytes());
        for (i, column) in self.affine.iter().enumerate() {
            for (row, value) in column.iter().enumerate() {
                let at = 280 + 16 * row + 4 * i;
                out[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        out[344..].copy_from_slice(b"n+1\0");
        out.extend([0; 4]);
        [out, self.values.clone()].concat()
    }

    fn meta_image(&self) -> Vec<u8> {
        // MetaImage counts to the left and to the back.
        let [x, y, z, origin] = self.affine.map(|[x, y, z]| [-x, -y, z]);
        let sizes = [x, y, z].map(|v| v.iter().map(|x| x * x).sum::<f32>().sqrt());
        let words = |v: &[f32]| v.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let matrix: Vec<f32> = [x, y, z].iter().zip(sizes).flat_map(|(v, s)| v.map(|x| x / s)).collect();
        let head = format!(
            "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = {}\nOffset = {}\nElementSpacing = {}\nDimSize = {} {} {}\n\
             ElementType = MET_UCHAR\nElementDataFile = LOCAL\n",
            words(&matrix),
            words(&origin),
            words(&sizes),
            self.size[0],
            self.size[1],
            self.size[2]
        );
        [head.as_bytes(), &self.values].concat()
    }

    /// The same voxels in space with `axes[i]` as axis i of the file, `reversed` or not.
    fn turned(&self, axes: [usize; 3], reversed: [bool; 3]) -> Self {
        let (size, strides) = (axes.map(|a| self.size[a]), [1, self.size[0], self.size[0] * self.size[1]]);
        let mut affine = [[0.0; 3]; 4];
        affine[3] = self.affine[3];
        for i in 0..3 {
            let step = self.affine[axes[i]];
            let last = (self.size[axes[i]] - 1) as f32;
            affine[i] = step.map(|v| if reversed[i] { -v } else { v });
            (0..3).filter(|_| reversed[i]).for_each(|j| affine[3][j] += last * step[j]);
        }
        let mut values = Vec::new();
        for (k, j, i) in (0..size[2]).flat_map(|k| (0..size[1]).flat_map(move |j| (0..size[0]).map(move |i| (k, j, i)))) {
            let place = |axis: usize, at: usize| strides[axes[axis]] * if reversed[axis] { size[axis] - 1 - at } else { at };
            values.push(self.values[place(0, i) + place(1, j) + place(2, k)]);
        }
        Self { size, values, affine }
    }
}

/// Image and label of volume `n`: a block of each of `classes` in noise, nowhere symmetric.
fn pair(n: usize, classes: &[u8]) -> [Voxels; 2] {
    let size = [8, 7, 6];
    let all = || (0..6).flat_map(|z| (0..7).flat_map(move |y| (0..8).map(move |x| (x, y, z))));
    let label = |(x, y, z): (usize, usize, usize)| {
        let class = if y < 3 { 0 } else { 1 };
        if x >= 2 && x < 5 + n % 2 && z >= 1 && y < 6 { *classes.get(class).unwrap_or(&0) } else { 0 }
    };
    let labels: Vec<u8> = all().map(label).collect();
    let image = labels.iter().enumerate().map(|(i, c)| c * 60 + (i * (n + 3) % 23) as u8).collect();
    [image, labels].map(|values| Voxels { size, values, affine: STRAIGHT })
}

/// A task of the Decathlon of six volumes; `change` writes label number n as a file.
fn task(classes: &[u8], label: impl Fn(usize, Voxels) -> Vec<u8>) -> TempDir {
    let folder = folder();
    for part in ["imagesTr", "labelsTr"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    for n in 0..6 {
        let [image, labels] = pair(n, classes);
        std::fs::write(folder.path().join(format!("imagesTr/v{n}.nii.gz")), gzip(&image.nifti())).unwrap();
        std::fs::write(folder.path().join(format!("labelsTr/v{n}.nii.gz")), gzip(&label(n, labels))).unwrap();
    }
    folder
}

fn plain(_: usize, labels: Voxels) -> Vec<u8> {
    labels.nifti()
}

fn msd(folder: &TempDir) -> SegmentationSet {
    open_segmentation("msd", Some(folder.path())).unwrap()
}

const TURNS: [([usize; 3], [bool; 3]); 6] = [
    ([0, 1, 2], [true, false, false]),
    ([0, 1, 2], [true, true, true]),
    ([1, 0, 2], [false, false, false]),
    ([2, 1, 0], [false, true, false]),
    ([1, 2, 0], [true, false, true]),
    ([2, 0, 1], [false, false, true]),
];

#[test]
fn labels_with_other_axes_are_brought_to_those_of_their_images() {
    let straight = msd(&task(&[1, 2], plain));
    let turned = task(&[1, 2], |n, labels| labels.turned(TURNS[n].0, TURNS[n].1).nifti());
    assert_eq!(msd(&turned).hash, straight.hash, "the same voxels lie on each other");
    naslab().args(["data", "check", "msd", "--data-dir"]).arg(turned.path()).assert().success();
    // By the qform alone: a turn by 180 degrees around z is the quaternion (0, 0, 0, 1).
    let by_qform = task(&[1, 2], |_, labels| {
        let turned = labels.turned([0, 1, 2], [true, true, false]);
        let mut bytes = turned.nifti();
        bytes[254..256].fill(0);
        bytes[252..254].copy_from_slice(&1i16.to_le_bytes());
        let numbers = [0.0, 0.0, 1.0, turned.affine[3][0], turned.affine[3][1], turned.affine[3][2]];
        numbers.iter().enumerate().for_each(|(i, v): (usize, &f32)| bytes[256 + 4 * i..260 + 4 * i].copy_from_slice(&v.to_le_bytes()));
        [1.0f32, 1.0, 2.0, 3.0].iter().enumerate().for_each(|(i, v)| bytes[76 + 4 * i..80 + 4 * i].copy_from_slice(&v.to_le_bytes()));
        bytes
    });
    assert_eq!(msd(&by_qform).hash, straight.hash);
}

#[test]
fn segmentations_of_metaimage_are_brought_to_the_axes_of_their_images() {
    let cases = |turn: bool| {
        let folder = folder();
        for (n, case) in [0, 1, 5, 15].into_iter().enumerate() {
            let [image, labels] = pair(n, &[1, 1]);
            let labels = if turn { labels.turned(TURNS[n + 1].0, TURNS[n + 1].1) } else { labels };
            std::fs::write(folder.path().join(format!("Case{case:02}.mha")), image.meta_image()).unwrap();
            std::fs::write(folder.path().join(format!("Case{case:02}_segmentation.MHA")), labels.meta_image()).unwrap();
        }
        open_segmentation("promise12", Some(folder.path())).unwrap().hash
    };
    assert_eq!(cases(true), cases(false));
}

#[test]
fn labels_elsewhere_are_refused_with_both_geometries() {
    let [far, large, tilted] = [
        |l: &mut Voxels| l.affine[3] = [500.0, 5.0, 7.0],
        |l: &mut Voxels| l.affine[0] = [1.25, 0.0, 0.0],
        |l: &mut Voxels| l.affine[0] = [0.9, 0.4, 0.0],
    ];
    for (change, words) in [(far, "from [500.0, 5.0, 7.0]"), (large, "[1.25, 2.0, 3.0] mm"), (tilted, "[0.98, 2.0, 3.0] mm")] {
        let folder = task(&[1, 2], |n, mut labels| {
            if n == 2 {
                change(&mut labels);
            }
            labels.nifti()
        });
        let path = folder.path().to_str().unwrap();
        let both = [
            "labelsTr/v2.nii.gz",
            "different places",
            words,
            "imagesTr/v2.nii.gz has 8 x 7 x 6 voxels of [1.0, 2.0, 3.0] mm from [-10.0, 5.0, 7.0]",
        ];
        contains(&fails(&["train", "unet-8", "--dataset", "msd", "--data-dir", path, "--out", &format!("{path}/out")], 3), &both);
        let checked = naslab().args(["data", "check", "msd", "--data-dir", path]).assert().code(3);
        contains(&String::from_utf8_lossy(&checked.get_output().stdout), &both);
    }
}

/// A DICOM slice of 4x4 pixels.
fn dicom(number: usize, plane: &str) -> Vec<u8> {
    let mut out = vec![0; 128];
    out.extend(b"DICM");
    let mut element = |tag: [u16; 2], kind: &[u8; 2], value: &[u8]| {
        let padded = [value, if value.len() % 2 == 1 { b" ".as_slice() } else { b"" }].concat();
        tag.iter().for_each(|t| out.extend(t.to_le_bytes()));
        out.extend(kind);
        out.extend((padded.len() as u16).to_le_bytes());
        out.extend(padded);
    };
    element([2, 0x10], b"UI", b"1.2.840.10008.1.2.1\0");
    element([0x20, 0x13], b"IS", number.to_string().as_bytes());
    element([0x20, 0x37], b"DS", plane.as_bytes());
    [(0x10, 4), (0x11, 4), (0x100, 8), (0x101, 8)].iter().for_each(|(tag, value)| element([0x28, *tag], b"US", &[*value, 0]));
    element([0x7fe0, 0x10], b"OW", &[]);
    // The pixels have a length of 32 bits.
    out.truncate(out.len() - 2);
    out.extend([0, 0, 16, 0, 0, 0]);
    out.extend((0..16).map(|i| i as u8 * 10 + number as u8));
    out
}

fn png(width: u32, values: &[u8], frames: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, values.len() as u32 / width);
    encoder.set_color(png::ColorType::Grayscale);
    if frames > 1 {
        encoder.set_animated(frames, 0).unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    (0..frames).for_each(|_| writer.write_image_data(values).unwrap());
    writer.finish().unwrap();
    out
}

#[test]
fn slices_of_two_orientations_are_no_volume() {
    let folder = folder();
    let plane = "1\\0\\0\\0\\1\\0";
    let write = |planes: [&str; 3]| {
        for patient in 0..2 {
            let [images, masks] = ["DICOM_anon", "Ground"].map(|part| folder.path().join(format!("CT/{patient}/{part}")));
            std::fs::create_dir_all(&images).unwrap();
            std::fs::create_dir_all(&masks).unwrap();
            for (n, own) in planes.into_iter().enumerate() {
                let plane = if patient == 1 { own } else { plane };
                std::fs::write(images.join(format!("i{n}.DCM")), dicom(n, plane)).unwrap();
                std::fs::write(masks.join(format!("m{n}.png")), png(4, &[0, 0, 0, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 0, 0, 0], 1))
                    .unwrap();
            }
        }
    };
    write([plane, "1\\0\\0\\0\\0.9999\\0.001", plane]);
    assert!(open_segmentation("chaos-ct", Some(folder.path())).is_ok(), "rounded cosines are the same");
    let odd = "0\\1\\0\\0\\0\\-1";
    write([plane, odd, plane]);
    let error = fails(&["train", "unet-8", "--dataset", "chaos-ct", "--data-dir", folder.path().to_str().unwrap()], 3);
    contains(&error, &["i1.DCM", "direction cosines [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]", "i0.DCM has [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]"]);
    // The first slice does not say how it lies, and the others disagree.
    write(["", odd, plane]);
    refused("chaos-ct", folder.path(), &["direction cosines [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]", "i2.DCM", "i1.DCM has [0.0, 1.0"]);
    write(["", plane, plane]);
    assert!(open_segmentation("chaos-ct", Some(folder.path())).is_ok(), "a slice that says nothing is no contradiction");
}

// ---- classes that occur nowhere

#[test]
fn a_class_that_no_mask_has_is_said_and_in_no_mean() {
    let gap = task(&[2], plain);
    let checked = naslab().args(["data", "check", "msd", "--data-dir"]).arg(gap.path()).assert().success();
    contains(
        &String::from_utf8_lossy(&checked.get_output().stdout),
        &["ok, 6 volumes", "no mask has the class 'class 1'", "highest label is 2"],
    );
    std::fs::write(gap.path().join("dataset.json"), r#"{"labels": {"0": "background", "1": "liver", "2": "spleen", "3": "kidney"}}"#)
        .unwrap();
    contains(&msd(&gap).notes.concat(), &["no mask has the class 'liver', 'kidney'"]);
    let out = folder();
    let settings = ["data.valid_images=1", "data.search_images=3", "data.retrain_images=3", "retrain.recipe.epochs=1"];
    let set = settings.iter().flat_map(|s| ["--set", s]);
    let assert = naslab()
        .args(["train", "unet-8", "--preset", "smoke", "--dataset", "msd", "--data-dir"])
        .arg(gap.path())
        .arg("--out")
        .arg(out.path())
        .args(set)
        .assert()
        .success();
    contains(&String::from_utf8_lossy(&assert.get_output().stderr), &["no mask has the class 'liver', 'kidney'"]);
    let result = RunDir::open(&only_run(out.path())).unwrap().result().unwrap().unwrap();
    let overlaps = result.segmentation.unwrap();
    let spleen = overlaps.classes[2].dice.unwrap();
    assert!((result.final_score.unwrap() - spleen).abs() < 1e-12, "the score is that of the class that is there: {overlaps:?}");
}

#[test]
fn a_set_of_empty_masks_is_refused_by_check_and_run() {
    let empty = task(&[], plain);
    let path = empty.path().to_str().unwrap();
    let words = ["the masks of all 6 volumes are empty"];
    contains(&fails(&["train", "unet-8", "--dataset", "msd", "--data-dir", path], 3), &words);
    let checked = naslab().args(["data", "check", "msd", "--data-dir", path]).assert().code(3);
    contains(&String::from_utf8_lossy(&checked.get_output().stdout), &words);
}

// ---- what is half read

fn refused(name: &str, folder: &Path, words: &[&str]) {
    let error = open_segmentation(name, Some(folder)).expect_err("it must be refused");
    contains(&error.to_string(), words);
    let found = check(name, Some(folder)).unwrap();
    assert!(found.iter().any(|f| !f.ok && f.state.contains(words[0])), "{found:?}");
}

fn tiff(pages: usize) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut out).unwrap();
    let values: Vec<u8> = (0..16).map(|i| if i % 5 == 0 { 255 } else { 0 }).collect();
    (0..pages).for_each(|_| encoder.write_image::<tiff::encoder::colortype::Gray8>(4, 4, &values).unwrap());
    out.into_inner()
}

/// Ultrasound images of two subjects, with one file that is given.
fn nerve(name: &str, bytes: &[u8]) -> TempDir {
    let folder = folder();
    for subject in 1..3 {
        std::fs::write(folder.path().join(format!("{subject}_1.TIF")), tiff(1)).unwrap();
        std::fs::write(folder.path().join(format!("{subject}_1_mask.tiff")), tiff(1)).unwrap();
    }
    std::fs::write(folder.path().join(name), bytes).unwrap();
    folder
}

#[test]
fn further_pages_and_codings_of_images_are_named() {
    let two = nerve("2_1_mask.tiff", &tiff(2));
    refused("nerve", two.path(), &["expected one image, found 2 pages", "2_1_mask.tiff"]);
    for (coding, name) in [(7u16, "JPEG"), (6, "old JPEG"), (4, "CCITT fax 4"), (50000, "Zstandard")] {
        let mut bytes = tiff(1);
        // The entry of the compression: tag 259, a short, one of it.
        let entry = [3, 1, 3, 0, 1, 0, 0, 0];
        let at = bytes.windows(8).position(|w| w == entry).unwrap() + 8;
        bytes[at..at + 2].copy_from_slice(&coding.to_le_bytes());
        refused("nerve", nerve("2_1.TIF", &bytes).path(), &[&format!("coded as {name} (compression {coding})"), "2_1.TIF", "tiffcp"]);
    }
    let moving = nerve("3_1.png", &png(4, &[0; 16], 3));
    std::fs::write(moving.path().join("3_1_mask.png"), png(4, &[0; 16], 1)).unwrap();
    refused("nerve", moving.path(), &["an animation of 3", "3_1.png"]);
}

#[test]
fn endings_in_capitals_are_read_and_what_is_left_out_is_named() {
    let set = open_segmentation("nerve", Some(nerve("notes.txt", b"x").path())).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (1, 1));
    contains(&set.notes.concat(), &["left out", "notes.txt"]);
    let task = task(&[1, 2], plain);
    for part in ["imagesTr", "labelsTr"] {
        std::fs::rename(task.path().join(part).join("v1.nii.gz"), task.path().join(part).join("v1.NII.GZ")).unwrap();
        std::fs::write(task.path().join(part).join("v7.nrrd"), b"x").unwrap();
    }
    let set = msd(&task);
    assert_eq!(set.train.len() + set.test.len(), 6);
    let checked = naslab().args(["data", "check", "msd", "--data-dir"]).arg(task.path()).assert().success();
    contains(&String::from_utf8_lossy(&checked.get_output().stdout), &["ok, 6 volumes", "left out", "v7.nrrd and 1 more"]);
}

#[test]
fn how_many_files_have_no_partner_is_said() {
    let task = task(&[1, 2], plain);
    for n in [1, 3, 4] {
        std::fs::remove_file(task.path().join(format!("labelsTr/v{n}.nii.gz"))).unwrap();
    }
    let error = open_segmentation("msd", Some(task.path())).unwrap_err().to_string();
    contains(&error, &["imagesTr/v1.nii.gz", "image without label", "3 of 9 files have no partner"]);
}

/// Six training and two test images, each file with `rest` behind its gzip stream.
fn fashion(rest: &[u8]) -> TempDir {
    let folder = folder();
    let files = [
        ("train-images-idx3-ubyte.gz", idx(&[6, 4, 4], &(0..96).collect::<Vec<u8>>())),
        ("train-labels-idx1-ubyte.gz", idx(&[6], &[0, 1, 2, 3, 4, 9])),
        ("t10k-images-idx3-ubyte.gz", idx(&[2, 4, 4], &(0..32).collect::<Vec<u8>>())),
        ("t10k-labels-idx1-ubyte.gz", idx(&[2], &[5, 6])),
    ];
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), [&gzip(bytes), rest].concat()).unwrap());
    folder
}

#[test]
fn check_says_what_a_run_would_say() {
    let folder = fashion(&[]);
    let at = |name: &str| folder.path().join(name);
    naslab().args(["data", "check", "fashion-mnist", "--data-dir"]).arg(folder.path()).assert().success();
    std::fs::rename(at("train-images-idx3-ubyte.gz"), at("hidden")).unwrap();
    std::fs::rename(at("t10k-images-idx3-ubyte.gz"), at("train-images-idx3-ubyte.gz")).unwrap();
    std::fs::rename(at("hidden"), at("t10k-images-idx3-ubyte.gz")).unwrap();
    let checked = naslab().args(["data", "check", "fashion-mnist", "--data-dir"]).arg(folder.path()).assert().code(3);
    let words = ["train-labels-idx1-ubyte.gz", "6 labels for the 2 images"];
    contains(&String::from_utf8_lossy(&checked.get_output().stdout), &words);
    contains(&fails(&["train", "darts-v2", "--dataset", "fashion-mnist", "--data-dir", folder.path().to_str().unwrap()], 3), &words);
}

// ---- harmless variants

#[test]
fn zeros_behind_a_gzip_stream_are_left_out_by_every_reader() {
    let whole = open("fashion-mnist", Some(fashion(&[]).path())).unwrap();
    assert_eq!(open("fashion-mnist", Some(fashion(&[0; 700]).path())).unwrap().hash, whole.hash);
    assert!(open("fashion-mnist", Some(fashion(b"rest").path())).is_err());
    let set = task(&[1, 2], plain);
    let hash = msd(&set).hash;
    let path = set.path().join("imagesTr/v3.nii.gz");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&bytes[..], &[0; 512]].concat()).unwrap();
    assert_eq!(msd(&set).hash, hash);
    // An archive of CIFAR-10 in two parts, with zeros behind them.
    let (bytes, cifar) = (cifar_tar(), folder());
    let (one, two) = bytes.split_at(5000);
    std::fs::write(cifar.path().join("cifar-10-binary.tar.gz"), [gzip(one), gzip(two), vec![0; 1024]].concat()).unwrap();
    assert_eq!(open("cifar10", Some(cifar.path())).unwrap().train.len(), 5);
    assert!(check("cifar10", Some(cifar.path())).unwrap().iter().all(|f| f.ok), "what a run reads is no fault");
    let (tables, (text, about)) = (folder(), table());
    let path = tables.path().join("mine.csv.gz");
    std::fs::write(tables.path().join("mine.json"), about).unwrap();
    std::fs::write(&path, [gzip(text.as_bytes()), vec![0; 512]].concat()).unwrap();
    assert_eq!(naslab::table::read(&path).unwrap().rows.len(), 64);
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_text() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let marked = |name: &str, text: &str| std::fs::write(at(name), format!("\u{feff}{text}")).unwrap();
    let text = serde_json::to_string(&naslab::space::published("darts-v2").unwrap()).unwrap();
    marked("cell.json", &text);
    naslab().arg("draw").arg(at("cell.json")).arg("-o").arg(at("cell.svg")).assert().success();
    marked("baseline.csv", &std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/baseline.csv")).unwrap());
    let error = fails(&["check", "--baseline", at("baseline.csv").to_str().unwrap(), folder.path().to_str().unwrap()], 3);
    contains(&error, &["no recorded run"]);
    // A table and what stands beside it.
    let (text, about) = table();
    marked("mine.json", about);
    marked("mine.csv", &text);
    naslab().args(["table", "check"]).arg(at("mine.csv")).assert().success();
}

// ---- trainings that fail

fn retraining(out: &Path, more: &[&str], code: i32) -> (String, String) {
    let assert = naslab()
        .args(["train", "darts-v2", "--preset", "smoke", "--threads", "1", "--device", "cpu", "--set", "data.retrain_images=96", "--out"])
        .arg(out)
        .args(["--set", "retrain.channels=4", "--set", "retrain.cells=3", "--set", "retrain.recipe.epochs=2"])
        .args(more)
        .assert()
        .code(code);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&assert.get_output().stdout), text(&assert.get_output().stderr))
}

#[test]
fn a_retraining_that_diverged_says_so_everywhere() {
    let (out, reports) = (folder(), folder());
    let arguments = ["--set", "retrain.recipe.learning_rate=1e30", "--quiet"];
    let (table, said) = retraining(out.path(), &arguments, 4);
    contains(&table, &["- (diverged)"]);
    contains(&said, &["no test score: the retraining ended early, diverged", "retrain.recipe.learning_rate"]);
    let run = RunDir::open(&only_run(out.path())).unwrap();
    let result = run.result().unwrap().unwrap();
    assert_eq!((result.final_score, result.retrain_end), (None, EndReason::Diverged));
    contains(&std::fs::read_to_string(run.events_path()).unwrap(), &["the retraining ended early, diverged"]);
    // The run is finished: the same command says the same.
    let (table, _) = retraining(out.path(), &arguments, 4);
    contains(&table, &["- (diverged)"]);
    fails(&["resume", run.path().to_str().unwrap()], 4);
    let shown = naslab().arg("report").arg(out.path()).arg("--out").arg(reports.path()).assert().success();
    contains(&String::from_utf8_lossy(&shown.get_output().stderr), &["no test score: the retraining ended early, diverged"]);
    for file in ["results.md", "report.html"] {
        let text = std::fs::read_to_string(reports.path().join(file)).unwrap();
        assert!(text.contains("no test score: the retraining ended early, diverged"), "{file}");
    }
}

#[test]
fn memory_that_ends_in_the_retraining_is_a_failed_resource() {
    let out = folder();
    let (table, said) = retraining(out.path(), &["--max-memory", "1MiB"], 5);
    contains(&table, &["- (out of memory)"]);
    contains(&said, &["no test score: the retraining ended early, out of memory", "--max-memory"]);
}

#[test]
fn of_several_runs_one_without_a_test_score_sets_the_exit_code() {
    let out = folder();
    let (table, said) = retraining(out.path(), &["--seeds", "0,1", "--set", "retrain.recipe.learning_rate=1e30", "--quiet"], 4);
    assert_eq!(table.matches("- (diverged)").count(), 2, "{table}");
    contains(&said, &["seed 0: no test score", "seed 1: no test score"]);
}

#[test]
fn a_search_that_diverged_does_not_speak_of_the_budget() {
    let out = folder();
    let mut arguments = common::run_arguments("darts", out.path());
    arguments.extend(["--set", "search.weights.learning_rate=1e30", "--set", "search.weights.clip=0.0"].map(String::from));
    let said = fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 4);
    contains(&said, &["the search ended without an architecture to show (diverged", "learning rate"]);
    assert!(!said.contains("budget"), "{said}");
    // Trials that all diverge.
    let out = folder();
    let mut arguments = common::run_arguments("random", out.path());
    arguments.extend(["--set", "search.child.recipe.learning_rate=1e30", "--set", "search.child.recipe.clip=0.0"].map(String::from));
    let said = fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 4);
    contains(&said, &["4 diverged", "learning rate"]);
    assert!(!said.contains("budget"), "{said}");
}

// ---- records that were edited

fn edit(path: &PathBuf, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "'{from}' is not in {text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn an_edited_manifest_is_refused_by_all_who_read_it() {
    let (out, reports) = (folder(), folder());
    retraining(out.path(), &["--quiet"], 0);
    let run = only_run(out.path());
    let shown = run.to_str().unwrap();
    edit(&run.join("manifest.json"), "\"epochs\": 2", "\"epochs\": 3");
    let words = ["manifest.json", "were edited", "restore the file"];
    contains(&fails(&["resume", shown], 3), &words);
    contains(&fails(&["export", shown, "--out", reports.path().join("x").to_str().unwrap()], 3), &words);
    let baseline = reports.path().join("baseline.csv");
    contains(&fails(&["check", "--update", "--baseline", baseline.to_str().unwrap(), shown], 3), &words);
    let reported = naslab().arg("report").arg(out.path()).arg("--out").arg(reports.path()).assert();
    contains(&String::from_utf8_lossy(&reported.get_output().stderr), &words);
}

#[test]
fn an_architecture_with_a_wrong_hash_is_refused() {
    let (out, exported) = (folder(), folder());
    let (_, _) = retraining(out.path(), &["--quiet"], 0);
    let run = only_run(out.path());
    naslab().arg("export").arg(&run).arg("--out").arg(exported.path()).assert().success();
    let path = exported.path().join("architecture.json");
    naslab().arg("draw").arg(&path).arg("-o").arg(out.path().join("a.svg")).assert().success();
    edit(&path, "sep_conv_3x3", "sep_conv_5x5");
    let svg = out.path().join("b.svg");
    let error = fails(&["draw", path.to_str().unwrap(), "-o", svg.to_str().unwrap()], 3);
    contains(&error, &["architecture.json", "edited", "hash"]);
    edit(&run.join("result.json"), "sep_conv_3x3", "sep_conv_5x5");
    contains(&fails(&["export", run.to_str().unwrap(), "--out", out.path().join("c").to_str().unwrap()], 3), &["result.json", "edited"]);
}

// ---- published architectures and presets

#[test]
fn the_macro_network_of_enas_is_exported_at_its_own_preset() {
    let out = folder();
    let exported = out.path().join("x");
    // The digits are fewer than the preset validates with.
    let small = ["--dataset", "digits", "--set", "retrain.channels=8", "--set", "data.valid_images=0"];
    let export = ["export", "enas-macro", "--preset", "paper-macro"];
    naslab().args(export).args(small).arg("--out").arg(&exported).assert().success();
    assert!(exported.join("model.onnx").exists());
}

// ---- the cases as they were filed

#[test]
fn the_collected_cases_end_as_a_user_expects() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    if !cases.is_dir() {
        println!("skipped: {} is not there", cases.display());
        return;
    }
    for (set, case, code, words) in [
        ("msd", "msd_transposed", 0, "ok, 6 volumes"),
        ("msd", "msd_gap", 0, "no mask has the class 'class 1'"),
        ("msd", "msd_upper", 0, "ok, 8 volumes"),
        ("msd", "msd_trailzero", 0, "ok, 8 volumes"),
        ("msd", "msd_bom", 0, "ok, "),
        ("nerve", "tf_multimask", 3, "found 2 pages"),
        ("nerve", "tf_jpeg", 3, "coded as JPEG"),
    ] {
        let checked = naslab().args(["data", "check", set, "--data-dir"]).arg(cases.join(case)).assert().code(code);
        contains(&String::from_utf8_lossy(&checked.get_output().stdout), &[words]);
    }
}
