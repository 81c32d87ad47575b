#!/usr/bin/env python3
"""Writes the small volumes in tests/fixtures/segmentation/ with other implementations than ours, and what they hold to expected.json.

Needs nibabel, SimpleITK, pydicom, tifffile, Pillow and numpy. The tests read the committed files; run this only to change them.
"""

import gzip
import json
import pathlib
import shutil
import struct
import zlib

import nibabel
import numpy
import pydicom
import pydicom.uid
import SimpleITK
import tifffile
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "segmentation"
RANDOM = numpy.random.default_rng(20)
SHAPE = (3, 4, 5)  # depth, height, width

grids = {}
sets = {}


def floats(array):
    """float32 values in the order depth, height, width, as exact numbers."""
    return [float(v) for v in numpy.asarray(array, dtype=numpy.float32).ravel()]


def note_grid(path, array, spacing=None):
    """What one file holds, unscaled."""
    grids[str(path.relative_to(ROOT))] = {"shape": list(array.shape), "spacing": spacing, "values": floats(array)}


def note_volume(name, volume, subject, split, array, mask):
    """What one volume of a set holds, scaled by its own percentiles."""
    array = numpy.asarray(array, dtype=numpy.float32).astype(numpy.float64)
    low, high = numpy.percentile(array, [1, 99])
    scaled = numpy.clip((array - low) / (high - low), 0, 1) if high > low else numpy.zeros_like(array)
    entry = {"name": volume, "subject": subject, "split": split, "shape": list(array.shape)}
    entry.update(intensities=floats(scaled), mask=[int(v) for v in numpy.asarray(mask).ravel()])
    sets.setdefault(name, []).append(entry)


def values(dtype, shape=SHAPE):
    """Random numbers over the whole range of a type."""
    if numpy.issubdtype(dtype, numpy.integer):
        info = numpy.iinfo(dtype)
        return RANDOM.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return (RANDOM.standard_normal(shape) * 1e3).astype(dtype)


def labels(classes, shape=SHAPE):
    """A random mask; every class is in it."""
    mask = RANDOM.integers(0, classes, shape)
    mask.flat[:classes] = range(classes)
    return mask.astype(numpy.uint8)


# NIfTI: nibabel has x first.


def nifti(path, array, order="<", slope=None, intercept=None, zooms=(0.5, 0.75, 2.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(array.dtype)
    image = nibabel.Nifti1Image(array.transpose(2, 1, 0), numpy.diag([*zooms, 1.0]), header)
    image.header.set_slope_inter(slope, intercept)
    image.to_filename(path)
    return image


def reread(path):
    """What nibabel reads from the file."""
    return nibabel.load(path).get_fdata(dtype=numpy.float64).transpose(2, 1, 0)


def patch(path, at, data):
    """Overwrites bytes of a file."""
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(bytes(content))


def raw_slope(path, array, slope, intercept, order="<"):
    """Stored numbers with a slope in the header, which nibabel would divide out when it writes."""
    nifti(path, array, order)
    patch(path, 112, struct.pack(order + "ff", slope, intercept))


def write_nifti():
    folder = ROOT / "nifti"
    for dtype in ("u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"):
        for order, word in (("<", "little"), (">", "big")):
            path = folder / f"{dtype}-{word}.nii"
            nifti(path, values(numpy.dtype(dtype)), order)
            note_grid(path, reread(path), [2.0, 0.75, 0.5])
    for name, slope, intercept, order in (
        ("slope.nii", 0.5, -1024.0, "<"),
        ("slope-big.nii", -2.0, 10.0, ">"),
        ("slope-zero.nii", 0.0, 7.0, "<"),
        ("slope-nan.nii", float("nan"), 7.0, "<"),
    ):
        path = folder / name
        raw_slope(path, values(numpy.dtype("i2")), slope, intercept, order)
        note_grid(path, reread(path), [2.0, 0.75, 0.5])
    path = folder / "packed.nii.gz"
    nifti(path, values(numpy.dtype("i2")), ">")
    note_grid(path, reread(path), [2.0, 0.75, 0.5])
    path = folder / "extended.nii"  # the voxels begin after an extension
    image = nibabel.Nifti1Image(values(numpy.dtype("u1")).transpose(2, 1, 0), numpy.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"before the voxels"))
    image.to_filename(path)
    note_grid(path, reread(path), [1.0, 1.0, 1.0])


def write_msd():
    for name, layout in (("msd", ("imagesTr", "labelsTr")), ("msd-plain", ("images", "labels"))):
        for number in range(1, 7):
            case = f"hippocampus_{number:03}"
            shape = (3, 4, 4 + number)
            image = values(numpy.dtype("f4" if number % 2 else "u1"), shape)
            mask = labels(3, shape)
            ending = ".nii" if number == 6 else ".nii.gz"
            nifti(ROOT / name / layout[0] / (case + ending), image)
            nifti(ROOT / name / layout[1] / (case + ending), mask.astype("f4") if number == 3 else mask)
            note_volume(name, case, case, None, image, mask)
        (ROOT / name / layout[0] / "._hippocampus_001.nii.gz").write_bytes(b"\0\5\26\7 of macOS")
    description = {"name": "Hippocampus", "labels": {"0": "background", "1": "Anterior", "2": "Posterior"}}
    (ROOT / "msd" / "dataset.json").write_text(json.dumps(description, indent=1) + "\n")


# MetaImage: SimpleITK has depth first, and always writes the byte order of the machine.


def meta(path, array, compressed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.75, 2.0))
    SimpleITK.WriteImage(image, str(path), compressed)
    note_grid(path, SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), [2.0, 0.75, 0.5])


def swap(path, array, key):
    """Turns a little-endian .mhd with its .raw into a big-endian one that says so with `key`, and reads it back."""
    meta(path, array)
    path.with_suffix(".raw").write_bytes(array.astype(array.dtype.newbyteorder(">")).tobytes())
    text = path.read_text().replace("BinaryDataByteOrderMSB = False", f"{key} = True")
    path.write_text(text)
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert numpy.array_equal(read, array), path
    note_grid(path, read, [2.0, 0.75, 0.5])


def write_meta():
    folder = ROOT / "meta"
    for dtype in ("u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"):
        meta(folder / f"{dtype}.mha", values(numpy.dtype(dtype)))
    meta(folder / "raw.mhd", values(numpy.dtype("i2")))
    meta(folder / "packed.mhd", values(numpy.dtype("i2")), compressed=True)
    meta(folder / "packed.mha", values(numpy.dtype("f4")), compressed=True)
    swap(folder / "binary-msb.mhd", values(numpy.dtype("i2")), "BinaryDataByteOrderMSB")
    swap(folder / "element-msb.mhd", values(numpy.dtype("f8")), "ElementByteOrderMSB")


def write_promise12():
    for number, part in ((0, "TrainingData_Part1"), (1, "TrainingData_Part1"), (5, "TrainingData_Part1"), (17, "TrainingData_Part2")):
        case, shape = f"Case{number:02}", (2 + number % 3, 5, 4)
        image, mask = values(numpy.dtype("i2"), shape), labels(2, shape)
        meta(ROOT / "promise12" / part / f"{case}.mhd", image)
        meta(ROOT / "promise12" / part / f"{case}_segmentation.mhd", mask.astype("i1"), compressed=number == 1)
        note_volume("promise12", case, case, "test" if number == 5 else "train", image, mask)


# One image a file.


def write_flat():
    folder = ROOT / "flat"
    folder.mkdir(parents=True)
    shape = (1, 6, 7)
    array = values(numpy.dtype("u1"), shape)
    styles = {"plain.tif": {}, "deflate.tif": {"compression": "zlib"}, "lzw.tif": {"compression": "lzw"}, "big.tif": {"byteorder": ">"}}
    for name, options in styles.items():
        tifffile.imwrite(folder / name, array[0], **options)
        note_grid(folder / name, tifffile.imread(folder / name)[None])
    array = values(numpy.dtype("u2"), shape)
    tifffile.imwrite(folder / "u2-big.tif", array[0], byteorder=">", rowsperstrip=2)
    note_grid(folder / "u2-big.tif", tifffile.imread(folder / "u2-big.tif")[None])
    tifffile.imwrite(folder / "f4.tif", values(numpy.dtype("f4"), shape)[0])
    note_grid(folder / "f4.tif", tifffile.imread(folder / "f4.tif")[None])
    Image.fromarray(array[0]).save(folder / "u2.png")
    note_grid(folder / "u2.png", array)
    array = values(numpy.dtype("u1"), shape)
    Image.fromarray(array[0]).save(folder / "u1.png")
    note_grid(folder / "u1.png", array)
    array = labels(2, shape)
    Image.fromarray(array[0] * 255).convert("1").save(folder / "bit.png")
    note_grid(folder / "bit.png", array * 255)
    Image.fromarray(RANDOM.integers(0, 256, (4, 4, 3), dtype=numpy.uint8)).save(folder / "colour.png")


def write_nerve():
    folder = ROOT / "nerve" / "train"
    folder.mkdir(parents=True)
    for subject in range(1, 6):
        for number in (1, 2):
            image, mask = values(numpy.dtype("u1"), (1, 6, 7)), labels(2, (1, 6, 7)) * (number == 1)
            stem = f"{subject}_{number}"
            if subject == 5:
                Image.fromarray(image[0]).save(folder / f"{stem}.png")
                Image.fromarray(mask[0] * 255).save(folder / f"{stem}_mask.png")
            else:
                tifffile.imwrite(folder / f"{stem}.tif", image[0])
                tifffile.imwrite(folder / f"{stem}_mask.tif", mask[0] * 255, compression="lzw")
            note_volume("nerve", stem, str(subject), None, image, mask)


# DICOM.


def dicom(path, array, number=None, location=None, slope=None, intercept=None, implicit=False, bits=16):
    """One slice; `array` holds the stored numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = pydicom.uid.MRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3.4"
    data.PatientName = "anonymous"
    # A sequence of each kind of length, with elements in it that must not be taken for those of the image.
    for undefined, keyword in ((False, "ReferencedImageSequence"), (True, "SourceImageSequence")):
        inner = pydicom.Dataset()
        inner.Rows, inner.InstanceNumber = 999, 999
        inner.is_undefined_length_sequence_item = undefined
        setattr(data, keyword, pydicom.Sequence([inner]))
        data[keyword].is_undefined_length = undefined
    data.SliceThickness, data.PixelSpacing = "3.0", ["1.5", "1.25"]
    data.InstanceNumber, data.SliceLocation = number, location
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = array.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 8 * array.dtype.itemsize, bits, bits - 1
    data.PixelRepresentation = int(numpy.issubdtype(array.dtype, numpy.signedinteger))
    if slope is not None:
        data.RescaleSlope, data.RescaleIntercept = str(slope), str(intercept)
    data.PixelData = array.tobytes()
    data.save_as(path, enforce_file_format=True, implicit_vr=implicit, little_endian=True)


def write_dicom():
    folder = ROOT / "dicom"
    for name, dtype, bits, options in (
        ("explicit.dcm", "u2", 16, {}),
        ("implicit.dcm", "i2", 16, {"implicit": True, "slope": 1, "intercept": -1024}),
        ("slope.dcm", "u2", 12, {"slope": 0.25, "intercept": 3.5}),
        ("signed-12.dcm", "i2", 12, {}),
        ("u1.dcm", "u1", 8, {}),
    ):
        path = folder / name
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype[0] == "i" else (0, (1 << bits) - 1)
        array = RANDOM.integers(low, high, (5, 3), endpoint=True).astype(dtype)
        dicom(path, array, 1, 1.0, bits=bits, **options)
        read = pydicom.dcmread(path)
        real = read.pixel_array * float(read.get("RescaleSlope", 1)) + float(read.get("RescaleIntercept", 0))
        note_grid(path, real[None], [3.0, 1.5, 1.25])


ORGANS = numpy.array([0, 63, 126, 189, 252], dtype=numpy.uint8)


def write_chaos():
    shape = (4, 5, 6)
    for patient, style in (("1", "i{:04},0000b.dcm"), ("2", "IMG-0004-{:05}.dcm"), ("10", "i{:04},0000b.dcm")):
        folder = ROOT / "chaos" / "CT" / patient
        image, mask = values(numpy.dtype("u2"), shape) // 16, labels(2, shape)
        (folder / "Ground").mkdir(parents=True)
        for i in range(shape[0]):
            # Names run against the numbers of the series for one patient: the numbers count. Another has places only.
            place = shape[0] - 1 - i if patient == "1" else i
            number = None if patient == "10" else i + 1
            dicom(folder / "DICOM_anon" / style.format(place), image[i], number, 100.0 + 3 * i, 1, -1024, bits=12)
            mask_name = f"liver_GT_{i:03}.png" if patient != "10" else f"liver_{i + 8}.png"
            picture = Image.fromarray(mask[i] * 255)
            (picture.convert("1") if patient == "2" else picture).save(folder / "Ground" / mask_name)
        note_volume("chaos-ct", patient, patient, None, image - 1024.0, mask)
    for patient in ("1", "2"):
        for sequence, phases in (("T1DUAL", ("InPhase", "OutPhase")), ("T2SPIR", ("",))):
            folder = ROOT / "chaos" / "MR" / patient / sequence
            mask = labels(5, shape)
            (folder / "Ground").mkdir(parents=True)
            for i in range(shape[0]):
                # Two phases share the numbers of a series, and the masks have the names of the first.
                Image.fromarray(ORGANS[mask[i]]).save(folder / "Ground" / f"IMG-0004-{(i + 1) * len(phases):05}.png")
            for at, phase in enumerate(phases):
                image = values(numpy.dtype("u2"), shape) // 16
                for i in range(shape[0]):
                    number = (i + 1) * len(phases) - at
                    path = folder / "DICOM_anon" / phase / f"IMG-0004-{number:05}.dcm"
                    dicom(path, image[i], number, -3.0 * i, implicit=patient == "2", bits=12)
                note_volume("chaos-mr", f"{patient}/{sequence}/{phase}".rstrip("/"), patient, None, image, mask)


def cut(source, target, length):
    target.write_bytes(source.read_bytes()[:length])


def write_broken():
    folder = ROOT / "broken"
    folder.mkdir()
    plain = (ROOT / "nifti" / "i2-little.nii").read_bytes()
    cut(ROOT / "nifti" / "i2-little.nii", folder / "truncated.nii", len(plain) - 7)
    cut(ROOT / "nifti" / "i2-little.nii", folder / "header.nii", 200)
    cut(ROOT / "nifti" / "packed.nii.gz", folder / "truncated.nii.gz", 150)
    packed = gzip.compress(plain, mtime=0)
    (folder / "sum.nii.gz").write_bytes(packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:])
    (folder / "long.nii").write_bytes(plain + b"\0")
    for name, at, data in (
        ("magic.nii", 344, b"nope"),
        ("pair.nii", 344, b"ni1\0"),
        ("swapped.nii", 0, struct.pack(">i", 348)),
        ("half-swapped.nii", 42, struct.pack(">3h", 5, 4, 3)),
        ("huge.nii", 42, struct.pack("<3h", 32767, 32767, 32767)),
        ("offset.nii", 108, struct.pack("<f", float("nan"))),
    ):
        (folder / name).write_bytes(plain)
        patch(folder / name, at, data)
    (folder / "huge.nii.gz").write_bytes(gzip.compress((folder / "huge.nii").read_bytes(), mtime=0))
    (folder / "bomb.nii.gz").write_bytes(gzip.compress(plain + bytes(1 << 20), mtime=0))
    nan = values(numpy.dtype("f4"))
    nan[1, 2, 3] = float("nan")
    nifti(folder / "nan.nii", nan)
    cut(ROOT / "dicom" / "explicit.dcm", folder / "truncated.dcm", -9)
    (folder / "magic.dcm").write_bytes(b"\0" * 128 + b"DICK" + b"\0" * 20)
    content = (ROOT / "dicom" / "explicit.dcm").read_bytes()
    (folder / "compressed.dcm").write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1))
    at = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    (folder / "huge.dcm").write_bytes(content[:at] + struct.pack("<I", 0xFFFFFFF0) + content[at + 4 :])
    cut(ROOT / "flat" / "plain.tif", folder / "truncated.tif", -9)
    cut(ROOT / "flat" / "u1.png", folder / "truncated.png", -30)
    shutil.copy(ROOT / "flat" / "u1.png", folder / "other.tif")
    shutil.copy(ROOT / "meta" / "raw.mhd", folder / "raw.mhd")
    cut(ROOT / "meta" / "raw.raw", folder / "raw.raw", -3)
    (folder / "alone.mhd").write_text((folder / "raw.mhd").read_text().replace("raw.raw", "lost.raw"))
    mha = (ROOT / "meta" / "packed.mha").read_bytes()
    (folder / "packed.mha").write_bytes(mha[:-20])
    start = mha.index(b"LOCAL\n") + 6
    (folder / "bomb.mha").write_bytes(mha[:start] + zlib.compress(bytes(1 << 20)))
    (folder / "huge.mha").write_bytes((ROOT / "meta" / "i2.mha").read_bytes().replace(b"DimSize = 5 4 3", b"DimSize = 99999 99999 99999"))


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for write in (write_nifti, write_msd, write_meta, write_promise12, write_flat, write_nerve, write_dicom, write_chaos, write_broken):
        write()
    (ROOT / "expected.json").write_text(json.dumps({"grids": grids, "sets": sets}, separators=(",", ":")) + "\n")
    files = [p for p in ROOT.rglob("*") if p.is_file()]
    print(f"{len(files)} files, {sum(p.stat().st_size for p in files)} bytes in {ROOT}")


if __name__ == "__main__":
    main()
