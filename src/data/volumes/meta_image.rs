//! MetaImage: a text header, `.mhd`, with the voxels in a second file, or both in one, `.mha`.
//!
//! Voxels are stored with x fastest, so [D, H, W] is [z, y, x]. A mask is brought to the axes of its image by what both say of
//! them.

use super::geometry::Geometry;
use super::grid::{Grid, TYPES, decode, needed, unpack};
use crate::data::files::stored;
use crate::error::{Result, input};
use flate2::read::ZlibDecoder;
use nifti::Endianness;
use std::collections::BTreeMap;
use std::path::Path;

/// The last line of every header; what follows are voxels.
const LAST: &str = "ElementDataFile";
/// What is read, of the lines that may say something else.
const ONLY: [(&str, &str); 4] = [("ObjectType", "Image"), ("NDims", "3"), ("ElementNumberOfChannels", "1"), ("BinaryData", "True")];
/// No header is longer.
const LONGEST: usize = 1 << 16;

/// The header's lines by key, and where the voxels begin if they are in the same file.
struct Header<'a> {
    path: &'a Path,
    fields: BTreeMap<String, String>,
    end: usize,
}

/// Reads a `.mhd` with the file that it names, or a `.mha`.
pub(super) fn read(path: &Path) -> Result<Grid> {
    let bytes = stored(path)?;
    let header = Header::parse(path, &bytes)?;
    let file = header.need(LAST)?;
    if file.eq_ignore_ascii_case("local") {
        return header.voxels(path, &bytes[header.end..]);
    }
    if file.eq_ignore_ascii_case("list") || file.contains('%') {
        return header.bad(LAST, "the name of one file, or LOCAL", file);
    }
    let raw = path.with_file_name(file);
    if !raw.exists() {
        return Err(input!(path, "{LAST} names {file}, which is not beside it; put both files into one folder"));
    }
    header.voxels(&raw, &stored(&raw)?)
}

impl<'a> Header<'a> {
    fn parse(path: &'a Path, bytes: &[u8]) -> Result<Self> {
        let mut fields = BTreeMap::new();
        let mut end = 0;
        for line in bytes[..bytes.len().min(LONGEST)].split_inclusive(|b| *b == b'\n') {
            let line_at = end;
            end += line.len();
            let text = std::str::from_utf8(line).unwrap_or_default();
            if text.trim().is_empty() && line.is_ascii() {
                continue;
            }
            let Some((key, value)) = text.split_once('=') else {
                let found = line[..line.len().min(24)].escape_ascii();
                return Err(input!(
                    path,
                    "byte {line_at}: expected a line 'key = value' of a MetaImage header, found \"{found}\"; this is no MetaImage file"
                ));
            };
            let (key, value) = (key.trim().to_string(), value.trim().to_string());
            let last = key == LAST;
            fields.insert(key, value);
            if last {
                return Ok(Self { path, fields, end });
            }
        }
        Err(input!(path, "truncated: expected a MetaImage header that ends with {LAST}, found {} lines without it", fields.len()))
    }

    fn bad<T>(&self, key: &str, expected: &str, found: &str) -> Result<T> {
        Err(input!(self.path, "{key}: expected {expected}, found '{found}'"))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    fn need(&self, key: &str) -> Result<&str> {
        let found = self.get(key).filter(|v| !v.is_empty());
        found.ok_or_else(|| input!(self.path, "the header has no {key}; this is no whole MetaImage header"))
    }

    /// False without the line.
    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "1") => Ok(true),
            None | Some("false" | "0") => Ok(false),
            Some(found) => self.bad(key, "True or False", found),
        }
    }

    /// By the first of some lines, which mean the same: as many numbers as are expected; nothing without any of them.
    fn numbers<const N: usize>(&self, keys: &[&str]) -> Result<Option<[f64; N]>> {
        let Some((key, text)) = keys.iter().find_map(|key| Some((*key, self.get(key)?))) else { return Ok(None) };
        let numbers: std::result::Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        match numbers.ok().and_then(|n| n.try_into().ok()) {
            Some(numbers) => Ok(Some(numbers)),
            None => self.bad(key, &format!("{N} numbers"), text),
        }
    }

    /// Where the voxels are; nothing if no line says anything of it.
    fn geometry(&self) -> Result<Option<Geometry>> {
        let origin = self.numbers(&["Offset", "Position", "Origin"])?;
        let matrix = self.numbers(&["TransformMatrix", "Rotation", "Orientation"])?;
        let spacing = self.numbers(&["ElementSpacing", "ElementSize"])?;
        if origin.is_none() && matrix.is_none() && spacing.is_none() {
            return Ok(None);
        }
        // A row for each axis, x first.
        let [a, b, c, d, e, f, g, h, i] = matrix.unwrap_or([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let [x, y, z] = spacing.unwrap_or([1.0; 3]);
        let steps = [[g, h, i].map(|v| v * z), [d, e, f].map(|v| v * y), [a, b, c].map(|v| v * x)];
        Ok(Geometry::from_left_and_back(origin.unwrap_or_default(), steps))
    }

    /// The voxels in `bytes`, the content of `file` from where they may begin.
    fn voxels(&self, file: &Path, bytes: &[u8]) -> Result<Grid> {
        for (key, expected) in ONLY {
            if let Some(found) = self.get(key).filter(|f| !f.eq_ignore_ascii_case(expected)) {
                return self.bad(key, expected, found);
            }
        }
        let size = self.need("DimSize")?;
        let sizes: std::result::Result<Vec<usize>, _> = size.split_whitespace().map(str::parse).collect();
        let Ok(&[width, height, depth]) = sizes.as_deref() else {
            return self.bad("DimSize", "three numbers", size);
        };
        let shape = [depth, height, width];
        let name = self.need("ElementType")?;
        let Some((kind, _)) = TYPES.iter().find(|(_, n)| *n == name) else {
            return self.bad("ElementType", &TYPES.map(|(_, n)| n).join(", "), name);
        };
        let msb = self.flag("BinaryDataByteOrderMSB")? || self.flag("ElementByteOrderMSB")?;
        let order = if msb { Endianness::Big } else { Endianness::Little };
        let compressed = self.flag("CompressedData")?;
        // A foreign header that a file of voxels may begin with; at -1 they are its last bytes, whatever is before them.
        let foreign = self.get("HeaderSize").unwrap_or("0");
        let at_end = foreign == "-1";
        let Ok(skip) = (if at_end { "0" } else { foreign }).parse::<usize>() else {
            return self.bad("HeaderSize", "a number of bytes, or -1", foreign);
        };
        let found = bytes.len();
        let bytes = bytes.get(skip..).ok_or_else(|| input!(file, "truncated: HeaderSize is {skip}, found {found} bytes"))?;
        let length = needed(file, shape, kind.size_of(), bytes.len(), compressed)?;
        let more = bytes.len().saturating_sub(length);
        let bytes = if compressed {
            &unpack(file, ZlibDecoder::new(bytes), length)?
        } else if more == 0 || at_end {
            &bytes[more..]
        } else {
            let (voxels, found) = (format!("{shape:?} voxels (depth, height, width) of {name}"), bytes.len());
            return Err(input!(file, "too long: {voxels} need {length} bytes, found {found}; is it the file of this header?"));
        };
        Ok(Grid { shape, values: decode(bytes, *kind, order, (0.0, 0.0)), geometry: self.geometry()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "ObjectType = Image\nNDims = 3\nDimSize = 3 2 1\nElementType = MET_UCHAR\n";

    fn file(more: &str, rest: &[u8]) -> Vec<u8> {
        [HEAD.as_bytes(), more.as_bytes(), b"ElementDataFile = LOCAL\n", rest].concat()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Grid> {
        let header = Header::parse(Path::new("x"), bytes)?;
        header.voxels(Path::new("x"), &bytes[header.end..])
    }

    #[test]
    fn a_foreign_header_before_the_voxels_is_left_out() {
        let values = |more, rest: &[u8]| read_bytes(&file(more, rest)).unwrap().values;
        assert_eq!(values("", &[1, 2, 3, 4, 5, 6]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(values("HeaderSize = 2\n", &[9, 9, 1, 2, 3, 4, 5, 6]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(values("HeaderSize = -1\n", &[9, 9, 9, 1, 2, 3, 4, 5, 6]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn lines_that_are_not_read_are_named() {
        let cases = [
            ("NDims = 2\n", "NDims: expected 3, found '2'"),
            ("DimSize = 3 2\n", "DimSize: expected three numbers"),
            ("DimSize = 3 -2 1\n", "DimSize: expected three numbers"),
            ("DimSize = 18446744073709551615 2 1\n", "more bytes than there are"),
            ("DimSize = 1000 1000 1000\n", "need 1000000000 bytes, found 6"),
            ("CompressedData = True\nDimSize = 1000 1000 1000\n", "unpack to no more than"),
            ("ElementType = MET_LONG\n", "ElementType: expected MET_UCHAR"),
            ("ElementNumberOfChannels = 3\n", "ElementNumberOfChannels: expected 1, found '3'"),
            ("BinaryData = False\n", "BinaryData: expected True"),
            ("CompressedData = maybe\n", "CompressedData: expected True or False"),
            ("HeaderSize = 7\n", "HeaderSize is 7, found 6"),
            ("HeaderSize = x\n", "HeaderSize: expected a number"),
            ("DimSize = 2 2 1\n", "too long"),
            ("nonsense\n", "no MetaImage file"),
        ];
        for (more, words) in cases {
            let error = read_bytes(&file(more, &[0; 6])).unwrap_err().to_string();
            assert!(error.contains(words), "'{words}' is not in: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(more in "[A-Za-z]{0,12} ?= ?[-0-9. a-z]{0,24}\n", rest in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = read_bytes(&file(&more, &rest));
            let _ = read_bytes(&rest);
        }
    }
}
