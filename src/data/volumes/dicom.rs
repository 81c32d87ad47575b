//! One slice a DICOM file: grey, uncompressed, little-endian, with explicit or implicit types.
//!
//! A small reader of its own: the crates for DICOM fill a buffer of whatever length an element claims before they look at the file,
//! and rest on a text decoder that nobody maintains.

use super::grid::needed;
use crate::data::files::stored;
use crate::error::{Error, Result, input};
use std::collections::BTreeMap;
use std::path::Path;

/// Free bytes before the magic number.
const PREAMBLE: usize = 128;
const MAGIC: &[u8; 4] = b"DICM";
/// The length of an element that ends with a delimiter.
const UNDEFINED: u32 = u32::MAX;
/// Types with a length of 32 bits.
const LONG: [&[u8]; 13] = [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

const TRANSFER_SYNTAX: u32 = 0x0002_0010;
const PLANE: u32 = 0x0020_0037;
const INSTANCE_NUMBER: u32 = 0x0020_0013;
const SLICE_LOCATION: u32 = 0x0020_1041;
const SAMPLES: u32 = 0x0028_0002;
const PHOTOMETRIC: u32 = 0x0028_0004;
const FRAMES: u32 = 0x0028_0008;
const ROWS: u32 = 0x0028_0010;
const COLUMNS: u32 = 0x0028_0011;
const BITS_ALLOCATED: u32 = 0x0028_0100;
const BITS_STORED: u32 = 0x0028_0101;
const SIGNED: u32 = 0x0028_0103;
const INTERCEPT: u32 = 0x0028_1052;
const SLOPE: u32 = 0x0028_1053;
const PIXELS: u32 = 0x7fe0_0010;
const ITEM: u32 = 0xfffe_e000;
const ITEM_END: u32 = 0xfffe_e00d;
const SEQUENCE_END: u32 = 0xfffe_e0dd;

/// One slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// [H, W] values with slope and intercept.
    pub values: Vec<f32>,
    /// Its number in the series, and its place along the axis of the scan in millimetres.
    pub order: [Option<f64>; 2],
    /// Direction cosines of a row and of a column, if the file has them.
    pub plane: Option<[f64; 6]>,
}

/// The elements of a file that are in no sequence, by group and element number.
struct Elements<'a> {
    path: &'a Path,
    values: BTreeMap<u32, &'a [u8]>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Slice> {
    let bytes = stored(path)?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Slice> {
    let found = bytes.get(PREAMBLE..PREAMBLE + MAGIC.len());
    if found != Some(MAGIC) {
        let found = found.map_or("the end of the file".into(), |f| format!("\"{}\"", f.escape_ascii()));
        return Err(input!(path, "wrong magic number at byte {PREAMBLE}: expected \"DICM\", found {found}; this is no DICOM file"));
    }
    let elements = Elements::walk(path, bytes)?;
    let size = [elements.need(ROWS, "the number of rows")?, elements.need(COLUMNS, "the number of columns")?].map(usize::from);
    let samples = elements.short(SAMPLES)?.map(f64::from);
    for (tag, name, found) in [(SAMPLES, "samples a pixel", samples), (FRAMES, "frames", elements.number(FRAMES)?)] {
        if let Some(found) = found.filter(|f| *f != 1.0) {
            return elements.bad(tag, &format!("expected 1 of {name}, found {found}; one grey slice a file is read"));
        }
    }
    if let Some(found) = elements.text(PHOTOMETRIC).filter(|p| p != "MONOCHROME2") {
        return elements.bad(PHOTOMETRIC, &format!("expected MONOCHROME2 (black is the lowest value), found '{found}'"));
    }
    let mut values = elements.pixels(size)?;
    let (slope, intercept) = (elements.number(SLOPE)?.unwrap_or(1.0), elements.number(INTERCEPT)?.unwrap_or(0.0));
    values.iter_mut().for_each(|v| *v = (f64::from(*v) * slope + intercept) as f32);
    let order = [elements.number(INSTANCE_NUMBER)?.map(f64::trunc), elements.number(SLICE_LOCATION)?];
    Ok(Slice { size, values, order, plane: elements.plane()? })
}

impl<'a> Elements<'a> {
    /// Goes from element to element. Sequences are passed through, what is in them is not kept.
    fn walk(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self { path, values: BTreeMap::new() };
        let mut at = PREAMBLE + MAGIC.len();
        // Group 2 always has explicit types; it names the coding of what follows.
        let mut base = None;
        // For each open sequence, whether its types are implicit.
        let mut open: Vec<bool> = Vec::new();
        while at < bytes.len() {
            let start = at;
            let implicit = match base {
                None if bytes[at..].starts_with(&[2, 0]) => false,
                None => *base.insert(out.implicit()?),
                Some(base) => open.last().copied().unwrap_or(base),
            };
            let (tag, kind, length) = header(bytes, &mut at, implicit).ok_or_else(|| out.truncated(start, "an element", bytes.len()))?;
            match (tag, length) {
                (ITEM_END, _) | (ITEM, UNDEFINED) => continue,
                (SEQUENCE_END, _) => {
                    open.pop();
                    continue;
                }
                (PIXELS, UNDEFINED) => {
                    return out.bad(PIXELS, "expected uncompressed pixels, found compressed ones; decompress the file (gdcmconv --raw)");
                }
                (_, UNDEFINED) => {
                    open.push(implicit || kind == b"UN");
                    continue;
                }
                _ => (),
            }
            let end = at.checked_add(length as usize).filter(|e| *e <= bytes.len());
            let end = end.ok_or_else(|| out.truncated(start, &format!("{} of {length} bytes", name(tag)), bytes.len()))?;
            if open.is_empty() {
                out.values.insert(tag, &bytes[at..end]);
            }
            at = end;
        }
        Ok(out)
    }

    /// Whether types are implicit after group 2; other codings are refused.
    fn implicit(&self) -> Result<bool> {
        match self.text(TRANSFER_SYNTAX).as_deref() {
            Some(IMPLICIT) => Ok(true),
            Some(EXPLICIT) => Ok(false),
            found => {
                let expected = format!("expected the transfer syntax {IMPLICIT} or {EXPLICIT} (uncompressed, little-endian)");
                let found = found.unwrap_or("none");
                self.bad(TRANSFER_SYNTAX, &format!("{expected}, found {found}; convert the file (gdcmconv --raw)"))
            }
        }
    }

    fn truncated(&self, at: usize, what: &str, length: usize) -> Error {
        input!(self.path, "truncated: expected {what} at byte {at}, the file ends at byte {length}; get the file again")
    }

    fn bad<T>(&self, tag: u32, what: &str) -> Result<T> {
        Err(input!(self.path, "element {}: {what}", name(tag)))
    }

    fn text(&self, tag: u32) -> Option<String> {
        let text = String::from_utf8_lossy(self.values.get(&tag)?);
        Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_string()).filter(|t| !t.is_empty())
    }

    /// The first of the decimal numbers that a backslash divides.
    fn number(&self, tag: u32) -> Result<Option<f64>> {
        let text = self.text(tag).unwrap_or_default();
        let Some(part) = text.split('\\').find(|p| !p.is_empty()) else {
            return Ok(None);
        };
        match part.trim().parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(Some(v)),
            _ => self.bad(tag, &format!("expected a number, found '{part}'")),
        }
    }

    /// The six direction cosines.
    fn plane(&self) -> Result<Option<[f64; 6]>> {
        let Some(text) = self.text(PLANE) else { return Ok(None) };
        let numbers: Vec<f64> = text.split('\\').filter_map(|p| p.trim().parse().ok()).filter(|v: &f64| v.is_finite()).collect();
        match numbers.try_into() {
            Ok(six) => Ok(Some(six)),
            Err(_) => self.bad(PLANE, &format!("expected six direction cosines, found '{text}'")),
        }
    }

    /// A number of 16 bits.
    fn short(&self, tag: u32) -> Result<Option<u16>> {
        match self.values.get(&tag).copied() {
            None => Ok(None),
            Some(&[low, high]) => Ok(Some(u16::from_le_bytes([low, high]))),
            Some(found) => self.bad(tag, &format!("expected 2 bytes, found {}", found.len())),
        }
    }

    fn need(&self, tag: u32, what: &str) -> Result<u16> {
        match self.short(tag)? {
            Some(value) => Ok(value),
            None => self.bad(tag, &format!("expected {what}, found no such element")),
        }
    }

    /// [H, W] stored values: the low bits of each pixel, with their sign.
    fn pixels(&self, size: [usize; 2]) -> Result<Vec<f32>> {
        let allocated = self.need(BITS_ALLOCATED, "the bits of a pixel")?;
        let stored = self.short(BITS_STORED)?.unwrap_or(allocated);
        if ![8, 16].contains(&allocated) || !(1..=allocated).contains(&stored) {
            return self.bad(BITS_ALLOCATED, &format!("expected 8 or 16 bits a pixel, found {allocated}, {stored} of them used"));
        }
        let Some(bytes) = self.values.get(&PIXELS) else {
            return self.bad(PIXELS, "expected the pixels, found no such element; get the file again");
        };
        let width = usize::from(allocated / 8);
        let length = needed(self.path, [1, size[0], size[1]], width, bytes.len(), false)?;
        // An odd number of bytes is filled up with one.
        if bytes.len() > length + length % 2 {
            return self.bad(PIXELS, &format!("expected {length} bytes for {size:?} pixels (height, width), found {}", bytes.len()));
        }
        let signed = self.short(SIGNED)?.unwrap_or(0) == 1;
        let free = 32 - u32::from(stored);
        let one = |raw: u32| if signed { ((raw << free) as i32 >> free) as f32 } else { (raw << free >> free) as f32 };
        let raw = |pixel: &[u8]| pixel.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        Ok(bytes[..length].chunks_exact(width).map(|pixel| one(raw(pixel))).collect())
    }
}

/// Tag, type (nothing where it is not written), and length of the element at `at`, which moves to its value. Nothing at the end of the file.
fn header<'a>(bytes: &'a [u8], at: &mut usize, implicit: bool) -> Option<(u32, &'a [u8], u32)> {
    let head = bytes.get(*at..*at + 8)?;
    *at += 8;
    let short = |i: usize| u32::from(u16::from_le_bytes([head[i], head[i + 1]]));
    let tag = short(0) << 16 | short(2);
    // Items and delimiters never have a type.
    if implicit || tag >> 16 == ITEM >> 16 {
        return Some((tag, b"", short(6) << 16 | short(4)));
    }
    if !LONG.contains(&&head[4..6]) {
        return Some((tag, &head[4..6], short(6)));
    }
    let length = bytes.get(*at..)?.first_chunk()?;
    *at += 4;
    Some((tag, &head[4..6], u32::from_le_bytes(*length)))
}

/// A tag as it is printed in the standard.
fn name(tag: u32) -> String {
    format!("({:04x},{:04x})", tag >> 16, tag & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An element with an explicit type and a length of 16 bits.
    fn element(tag: u32, kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let [group, number] = [tag >> 16, tag & 0xffff].map(|v| (v as u16).to_le_bytes());
        [&group, &number, kind, &(value.len() as u16).to_le_bytes(), value].concat()
    }

    /// A slice of 2x1 pixels of 16 bits; `more` replaces elements or adds to them.
    fn file(more: &[(u32, &[u8; 2], &[u8])]) -> Vec<u8> {
        let mut elements: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let usual: [(u32, &[u8; 2], &[u8]); 6] = [
            (TRANSFER_SYNTAX, b"UI", b"1.2.840.10008.1.2.1\0"),
            (ROWS, b"US", &[2, 0]),
            (COLUMNS, b"US", &[1, 0]),
            (BITS_ALLOCATED, b"US", &[16, 0]),
            (BITS_STORED, b"US", &[12, 0]),
            (PIXELS, b"US", &[0xff, 0xff, 1, 0]),
        ];
        for (tag, kind, value) in usual.iter().chain(more) {
            elements.insert(*tag, element(*tag, kind, value));
        }
        [vec![0; PREAMBLE], MAGIC.to_vec(), elements.into_values().flatten().collect()].concat()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Slice> {
        parse(Path::new("x"), bytes)
    }

    #[test]
    fn bits_beyond_the_stored_ones_are_left_out() {
        assert_eq!(read_bytes(&file(&[])).unwrap().values, [4095.0, 1.0]);
        assert_eq!(read_bytes(&file(&[(SIGNED, b"US", &[1, 0])])).unwrap().values, [-1.0, 1.0]);
        assert_eq!(read_bytes(&file(&[(SLOPE, b"DS", b"2 "), (INTERCEPT, b"DS", b"-1")])).unwrap().values, [8189.0, 1.0]);
    }

    #[test]
    fn elements_that_are_not_read_are_named() {
        let cases: [(u32, &[u8; 2], &[u8], &str); 11] = [
            (PLANE, b"DS", b"1\\0\\0\\0\\1", "(0020,0037): expected six direction cosines"),
            (ROWS, b"US", &[255, 255], "need 131070 bytes, found 4"),
            (ROWS, b"US", &[0, 0], "impossible dimensions"),
            (ROWS, b"US", &[1, 0], "(7fe0,0010): expected 2 bytes"),
            (ROWS, b"UL", &[2, 0, 0, 0], "(0028,0010): expected 2 bytes, found 4"),
            (SAMPLES, b"US", &[3, 0], "(0028,0002): expected 1 of samples a pixel, found 3"),
            (FRAMES, b"IS", b"7 ", "(0028,0008): expected 1 of frames, found 7"),
            (PHOTOMETRIC, b"CS", b"MONOCHROME1 ", "expected MONOCHROME2"),
            (BITS_ALLOCATED, b"US", &[32, 0], "expected 8 or 16 bits"),
            (BITS_STORED, b"US", &[17, 0], "17 of them used"),
            (SLOPE, b"DS", b"one ", "(0028,1053): expected a number, found 'one'"),
        ];
        for (tag, kind, value, words) in cases {
            let error = read_bytes(&file(&[(tag, kind, value)])).unwrap_err().to_string();
            assert!(error.contains(words), "'{words}' is not in: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(at in 128usize..220, byte in any::<u8>(), rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = file(&[]);
            let end = bytes.len();
            bytes[at % end] = byte;
            let _ = read_bytes(&bytes);
            let _ = read_bytes(&bytes[..at % end]);
            bytes.truncate(PREAMBLE + 4 + 28);
            bytes.extend(rest);
            let _ = read_bytes(&bytes);
        }
    }
}
