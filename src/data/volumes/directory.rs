//! The directories of a TIFF file as they are written, before a decoder makes room for all that they claim.

use crate::error::{Result, input};
use std::path::Path;
use tiff::tags::{Tag, Type};

/// Tags of which the decoder reads the values.
const READ: [Tag; 18] = [
    Tag::ImageWidth,
    Tag::ImageLength,
    Tag::BitsPerSample,
    Tag::Compression,
    Tag::PhotometricInterpretation,
    Tag::StripOffsets,
    Tag::SamplesPerPixel,
    Tag::RowsPerStrip,
    Tag::StripByteCounts,
    Tag::PlanarConfiguration,
    Tag::Predictor,
    Tag::TileWidth,
    Tag::TileLength,
    Tag::TileOffsets,
    Tag::TileByteCounts,
    Tag::ExtraSamples,
    Tag::SampleFormat,
    Tag::ChromaSubsampling,
];
/// A file has so many bytes for each strip or tile, of which there are most: two of its place, two of its length, one of pixels.
const OF_A_STRIP: u64 = 5;

/// The directories of a file.
pub(super) struct Directories<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// Bytes of a place in the file: 8 in a BigTIFF, else 4.
    word: usize,
}

/// What a directory says of a tag.
#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    kind: u64,
    /// Values that it claims.
    count: u64,
    /// Where the values are, or their place.
    at: usize,
}

impl<'a> Directories<'a> {
    /// Nothing if the file does not begin as a TIFF does.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let classic = Self { bytes, big_endian, word: 4 };
        match classic.read(2, 2)? {
            42 => Some(classic),
            43 => Some(Self { word: 8, ..classic }),
            _ => None,
        }
    }

    /// How many directories follow each other, at most `most`: they may lead in a circle.
    pub(super) fn pages(&self, most: usize) -> usize {
        std::iter::successors(self.first(), |at| self.next(*at)).take(most).count()
    }

    /// The first number of a tag in the first directory.
    pub(super) fn number(&self, tag: Tag) -> Option<u64> {
        self.values(self.entry(tag)?).next()
    }

    /// The sum of the numbers of a tag in the first directory.
    pub(super) fn sum(&self, tag: Tag) -> Option<u64> {
        Some(self.values(self.entry(tag)?).fold(0, u64::saturating_add))
    }

    /// Refuses a first directory that claims more values than the file can have: the decoder makes room for all values of a tag, 32 bytes each, before it reads one.
    pub(super) fn bounded(&self, path: &Path) -> Result<()> {
        let bytes = self.bytes.len();
        for Entry { tag, kind, count, .. } in self.entries() {
            // The decoder loses its way behind a type that it does not know.
            if self.word == 8 && !is_known(kind) {
                return Err(input!(path, "not a whole TIFF image: tag {tag} has the unknown type {kind}; get the file again"));
            }
            if count > bytes as u64 / OF_A_STRIP && READ.iter().any(|read| u64::from(read.to_u16()) == tag) {
                return Err(input!(
                    path,
                    "not a whole TIFF image: {count} values of tag {tag} in a file of {bytes} bytes; get the file again"
                ));
            }
        }
        Ok(())
    }

    /// The number of some bytes, 8 at most; nothing behind the end of the file.
    fn read(&self, at: usize, bytes: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(bytes)?)?;
        let more = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.big_endian { bytes.iter().fold(0, more) } else { bytes.iter().rev().fold(0, more) })
    }

    fn place(&self, at: usize) -> Option<usize> {
        usize::try_from(self.read(at, self.word)?).ok()
    }

    /// Where the first directory is.
    fn first(&self) -> Option<usize> {
        self.place(self.word)
    }

    /// Where the directory behind the one at `at` is.
    fn next(&self, at: usize) -> Option<usize> {
        let (head, size) = self.sizes();
        let entries = usize::try_from(self.read(at, head)?).ok()?;
        let end = at.checked_add(head)?.checked_add(entries.checked_mul(size)?)?;
        self.place(end).filter(|next| *next > 0)
    }

    /// Bytes of the number of entries, and of an entry.
    fn sizes(&self) -> (usize, usize) {
        if self.word == 8 { (8, 20) } else { (2, 12) }
    }

    /// The entries of the first directory, as far as the file has them.
    fn entries(&self) -> impl Iterator<Item = Entry> {
        let (head, size) = self.sizes();
        let start = self.first().unwrap_or(usize::MAX);
        let count = self.read(start, head).unwrap_or(0);
        (0..count).map_while(move |i| {
            let at = start.checked_add(head)?.checked_add(usize::try_from(i).ok()?.checked_mul(size)?)?;
            let count = self.read(at.checked_add(4)?, self.word)?;
            Some(Entry { tag: self.read(at, 2)?, kind: self.read(at + 2, 2)?, count, at: at + 4 + self.word })
        })
    }

    /// The last entry of a tag counts.
    fn entry(&self, tag: Tag) -> Option<Entry> {
        self.entries().filter(|entry| entry.tag == u64::from(tag.to_u16()) && is_known(entry.kind)).last()
    }

    /// The whole numbers of an entry, as far as the file has them; none of another type.
    fn values(&self, entry: Entry) -> impl Iterator<Item = u64> {
        let size = match entry.kind {
            1 | 7 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => 0,
        };
        let count = if size > 0 { entry.count } else { 0 };
        let inside = count.saturating_mul(size as u64) <= self.word as u64;
        let start = if inside { Some(entry.at) } else { self.place(entry.at) };
        (0..count).map_while(move |i| {
            let at = start?.checked_add(usize::try_from(i).ok()?.checked_mul(size)?)?;
            self.read(at, size)
        })
    }
}

/// Whether there is such a type of values.
fn is_known(kind: u64) -> bool {
    u16::try_from(kind).ok().and_then(Type::from_u16).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Directories of one entry each, which follow each other; `word` and byte order as in the file.
    fn file(word: usize, big_endian: bool, entries: &[(u16, u16, u64, u64)]) -> Vec<u8> {
        let number = |value: u64, bytes: usize| {
            if big_endian { value.to_be_bytes()[8 - bytes..].to_vec() } else { value.to_le_bytes()[..bytes].to_vec() }
        };
        let (head, size) = if word == 8 { (8, 20) } else { (2, 12) };
        let mut out = [if big_endian { b"MM".to_vec() } else { b"II".to_vec() }, number(if word == 8 { 43 } else { 42 }, 2)].concat();
        if word == 8 {
            out.extend([number(8, 2), number(0, 2)].concat());
        }
        out.extend(number(2 * word as u64, word));
        for (i, (tag, kind, count, value)) in entries.iter().enumerate() {
            let next = if i + 1 < entries.len() { out.len() + head + size + word } else { 0 };
            let fields = [number(1, head), number(u64::from(*tag), 2), number(u64::from(*kind), 2), number(*count, word)];
            out.extend(fields.concat());
            // Bytes, shorts and the like are at the beginning of the field of the value.
            let width = if *kind == 3 { 2 } else { word };
            out.extend([number(*value, width), vec![0; word - width], number(next as u64, word)].concat());
        }
        out
    }

    #[test]
    fn directories_are_counted_and_their_numbers_read_in_both_orders_and_sizes() {
        for (word, big_endian) in [(4, false), (4, true), (8, false), (8, true)] {
            let bytes = file(word, big_endian, &[(259, 3, 1, 5), (256, 3, 1, 7)]);
            let found = Directories::of(&bytes).unwrap();
            assert_eq!((found.pages(9), found.pages(1)), (2, 1), "{word} {big_endian}");
            assert_eq!((found.number(Tag::Compression), found.sum(Tag::Compression)), (Some(5), Some(5)));
            assert_eq!(found.number(Tag::ImageWidth), None, "it is in the second");
            // Numbers at a place: here the first bytes of the file.
            let bytes = file(word, big_endian, &[(279, 4, 3, 0)]);
            assert!(Directories::of(&bytes).unwrap().sum(Tag::StripByteCounts).unwrap() > 42);
        }
        // The second directory is the first again.
        let mut bytes = file(4, false, &[(259, 3, 1, 5), (256, 3, 1, 7)]);
        let end = bytes.len();
        bytes[end - 4] = 8;
        assert_eq!(Directories::of(&bytes).unwrap().pages(1000), 1000);
        for bytes in [b"".as_slice(), b"II", b"II*", b"XX*\0", b"MM*\0"] {
            assert!(Directories::of(bytes).is_none());
        }
    }

    #[test]
    fn more_values_than_the_file_has_room_for_are_refused() {
        let refused = |bytes: Vec<u8>| Directories::of(&bytes).unwrap().bounded(Path::new("x")).err().map(|e| e.to_string());
        assert_eq!(refused(file(4, false, &[(273, 4, 1, 8)])), None);
        let error = refused(file(4, true, &[(273, 4, 65_535, 8)])).unwrap();
        assert!(error.contains("65535 values of tag 273 in a file of 26 bytes"), "{error}");
        // Nobody reads a colour map.
        assert_eq!(refused(file(4, true, &[(320, 3, 768, 8)])), None);
        assert!(refused(file(8, true, &[(320, 99, 1, 8)])).unwrap().contains("unknown type 99"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 8..80), big_endian in any::<bool>(), large in any::<bool>()) {
            bytes[..2].copy_from_slice(if big_endian { b"MM" } else { b"II" });
            bytes[2..4].copy_from_slice(&if big_endian { [0, 42 + u8::from(large)] } else { [42 + u8::from(large), 0] });
            let found = Directories::of(&bytes).unwrap();
            let _ = (found.pages(1000), found.number(Tag::Compression), found.sum(Tag::StripByteCounts), found.bounded(Path::new("x")).is_ok());
        }
    }
}
