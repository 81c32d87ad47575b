//! One grey image a file, PNG or TIFF, as a volume of depth 1.

use super::directory::Directories;
use super::grid::{Grid, decode, needed};
use crate::data::files::stored;
use crate::error::{Error, Result, input};
use nifti::{Endianness, NiftiType};
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

/// Reads a grey PNG of up to 16 bits. Fewer than 8 bits are stretched to 0..255, so that a mask of one bit has 0 and 255.
pub(super) fn read_png(path: &Path) -> Result<Grid> {
    let bytes = stored(path)?;
    let damaged = |e: png::DecodingError| input!(path, "not a whole PNG image ({e}); get the file again");
    let mut decoder = png::Decoder::new(Cursor::new(&bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    // Packed texts and colour profiles may be far larger than their file, and nobody asks for them.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (color, depth) = reader.output_color_type();
    if color != png::ColorType::Grayscale {
        return Err(input!(path, "expected a grey image, found {color:?}; save it with one channel"));
    }
    if let Some(frames) = reader.info().animation_control().map(|a| a.num_frames).filter(|n| *n > 1) {
        return Err(input!(path, "expected one image, found an animation of {frames}; save one of them"));
    }
    let shape = [1, reader.info().height as usize, reader.info().width as usize];
    let kind = if depth == png::BitDepth::Sixteen { NiftiType::Uint16 } else { NiftiType::Uint8 };
    let size = needed(path, shape, kind.size_of(), bytes.len(), true)?;
    // Room is made for the rows that come, not for those that the header claims.
    let (mut pixels, mut passes) = (Vec::new(), Vec::new());
    while let Some(row) = reader.next_interlaced_row().map_err(damaged)? {
        if let png::InterlaceInfo::Adam7(pass) = row.interlace() {
            passes.push((*pass, pixels.len()..pixels.len() + row.data().len()));
        }
        pixels.extend_from_slice(row.data());
    }
    reader.finish().map_err(damaged)?;
    if pixels.len() != size {
        return Err(input!(path, "not a whole PNG image: expected {size} bytes of pixels, found {}; get the file again", pixels.len()));
    }
    if !passes.is_empty() {
        pixels = woven(&pixels, &passes, shape[1], kind.size_of());
    }
    Ok(Grid { shape, values: decode(&pixels, kind, Endianness::Big, (0.0, 0.0)), geometry: None })
}

/// The image of an interlaced file, of which `rows` has the rows of all passes one after the other.
fn woven(rows: &[u8], passes: &[(png::Adam7Info, Range<usize>)], height: usize, size: usize) -> Vec<u8> {
    let (mut image, stride) = (vec![0; rows.len()], rows.len() / height);
    for (pass, row) in passes {
        png::expand_interlaced_row(&mut image, stride, &rows[row.clone()], pass, 8 * size as u8);
    }
    image
}

/// Codings of TIFF that are not read, by their numbers.
const NOT_READ: [(u64, &str); 8] = [
    (2, "CCITT Huffman"),
    (3, "CCITT fax 3"),
    (4, "CCITT fax 4"),
    (6, "old JPEG"),
    (7, "JPEG"),
    (34712, "JPEG 2000"),
    (50000, "Zstandard"),
    (50001, "WebP"),
];

/// How the pixels are coded. Refuses a coding that is not read, more than one image, and claims that the file has no room for.
fn one_readable(path: &Path, directories: &Directories) -> Result<u64> {
    let coding = directories.number(Tag::Compression).unwrap_or(UNCOMPRESSED);
    if let Some((_, name)) = NOT_READ.iter().find(|(number, _)| *number == coding) {
        let advice = "save it uncompressed or with LZW or Deflate (tiffcp -c lzw)";
        return Err(input!(path, "its pixels are coded as {name} (compression {coding}), which is not read here; {advice}"));
    }
    let pages = directories.pages(MOST_PAGES);
    if pages > 1 {
        let found = if pages < MOST_PAGES { pages.to_string() } else { format!("{pages} or more") };
        return Err(input!(path, "expected one image, found {found} pages; save the one that is meant as a file of its own (tiffsplit)"));
    }
    directories.bounded(path)?;
    Ok(coding)
}

/// The number of no coding.
const UNCOMPRESSED: u64 = 1;
/// Pages of a TIFF that are counted.
const MOST_PAGES: usize = 1000;

/// Reads a grey TIFF of one page: whole numbers or floats, as they are.
pub(super) fn read_tiff(path: &Path) -> Result<Grid> {
    let bytes = stored(path)?;
    let damaged = |e: tiff::TiffError| input!(path, "not a whole TIFF image ({e}); get the file again");
    let Some(directories) = Directories::of(&bytes) else {
        return Err(Error::input(path, "not a whole TIFF image: it does not begin as one does; get the file again"));
    };
    // The decoder takes no limits before it has read the first directory.
    let coding = one_readable(path, &directories)?;
    let mut decoder = Decoder::new(Cursor::new(&bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions().map_err(damaged)?;
    let color = decoder.colortype().map_err(damaged)?;
    let tiff::ColorType::Gray(depth) = color else {
        return Err(input!(path, "expected a grey image, found {color:?}; save it with one channel"));
    };
    let inverted = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(damaged)? == Some(0);
    if inverted || depth < 8 {
        let what = format!("expected at least 8 bits with black as 0, found {depth} bits{}", if inverted { ", white is 0" } else { "" });
        return Err(Error::input(path, what));
    }
    let shape = [1, height as usize, width as usize];
    let room = |shape| needed(path, shape, usize::from(depth / 8), bytes.len(), coding != UNCOMPRESSED);
    let most = room(shape)?;
    if let (Some(width), Some(length)) = (directories.number(Tag::TileWidth), directories.number(Tag::TileLength)) {
        room([1, length as usize, width as usize])?;
    }
    if coding == UNCOMPRESSED {
        strips(path, &directories, most)?;
    }
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most;
    limits.ifd_value_size = bytes.len();
    limits.intermediate_buffer_size = most.max(bytes.len());
    let values: Vec<f32> = match decoder.with_limits(limits).read_image().map_err(damaged)? {
        DecodingResult::U8(v) => v.into_iter().map(f32::from).collect(),
        DecodingResult::I8(v) => v.into_iter().map(f32::from).collect(),
        DecodingResult::U16(v) => v.into_iter().map(f32::from).collect(),
        DecodingResult::I16(v) => v.into_iter().map(f32::from).collect(),
        DecodingResult::U32(v) => v.into_iter().map(|v| v as f32).collect(),
        DecodingResult::I32(v) => v.into_iter().map(|v| v as f32).collect(),
        DecodingResult::F32(v) => v,
        DecodingResult::F64(v) => v.into_iter().map(|v| v as f32).collect(),
        _ => return Err(Error::input(path, "pixels of this type are not read; save the image with 8 or 16 bits")),
    };
    if values.len() != shape[1] * shape[2] {
        return Err(input!(path, "expected {} pixels, found {}; get the file again", shape[1] * shape[2], values.len()));
    }
    Ok(Grid { shape, values, geometry: None })
}

/// Refuses uncompressed strips or tiles that are shorter than the image; the decoder would go on into what is behind them.
fn strips(path: &Path, directories: &Directories, bytes: usize) -> Result<()> {
    let sums = [Tag::StripByteCounts, Tag::TileByteCounts].into_iter().filter_map(|tag| directories.sum(tag));
    match sums.min().filter(|sum| *sum < bytes as u64) {
        Some(sum) => Err(input!(path, "not a whole TIFF image: expected {bytes} bytes of pixels, found {sum}; get the file again")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn in_file(name: &str, bytes: &[u8], read: fn(&Path) -> Result<Grid>) -> Result<Grid> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn png_of(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        out
    }

    /// One strip of `rows` rows at byte 8, and the directory behind it; little-endian.
    fn tiff_of(width: u32, rows: u32, bits: u32, photometric: u32, pixels: &[u8]) -> Vec<u8> {
        let mut out = [b"II*\0".as_slice(), &(8 + pixels.len() as u32).to_le_bytes(), pixels].concat();
        let entries = [
            (256, width),
            (257, rows),
            (258, bits),
            (259, 1),
            (262, photometric),
            (273, 8),
            (277, 1),
            (278, rows),
            (279, pixels.len() as u32),
        ];
        out.extend((entries.len() as u16).to_le_bytes());
        for (tag, value) in entries {
            out.extend((tag as u16).to_le_bytes());
            out.extend(4u16.to_le_bytes());
            out.extend(1u32.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        out.extend([0; 4]);
        out
    }

    #[test]
    fn images_that_claim_too_much_are_refused() {
        assert_eq!(in_file("a.tif", &tiff_of(3, 2, 8, 1, &[1, 2, 3, 4, 5, 6]), read_tiff).unwrap().values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        // The decoder would make room for 65,535 places of strips.
        let mut lying = tiff_of(3, 2, 8, 1, &[0; 6]);
        let at = lying.windows(8).position(|w| w == [17, 1, 4, 0, 1, 0, 0, 0]).unwrap() + 4;
        lying[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        for (bytes, words) in [
            (lying, "65535 values of tag 273 in a file of 128 bytes"),
            (tiff_of(65000, 65000, 8, 1, &[0; 6]), "need 4225000000 bytes, found 128 bytes"),
            (tiff_of(3, 2, 8, 0, &[0; 6]), "white is 0"),
            (tiff_of(3, 3, 8, 1, &[0; 6]), "not a whole TIFF"),
            (b"II*\0".to_vec(), "not a whole TIFF"),
            (b"<html>".to_vec(), "not a whole TIFF"),
        ] {
            let error = in_file("a.tif", &bytes, read_tiff).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("a.tif"), "'{words}' is not in: {error}");
        }
        let mut huge = png_of(2, 2, &[0; 4]);
        huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let crc = crc32fast::hash(&huge[12..29]);
        huge[29..33].copy_from_slice(&crc.to_be_bytes());
        for bytes in [huge, b"<html>".to_vec(), png_of(2, 2, &[0; 4])[..50].to_vec()] {
            assert!(in_file("a.png", &bytes, read_png).unwrap_err().to_string().contains("a.png"));
        }
    }

    #[test]
    fn the_passes_of_an_interlaced_image_are_woven_into_one() {
        let chunk = |kind: &[u8; 4], data: &[u8]| {
            let content = [kind.as_slice(), data].concat();
            [&(data.len() as u32).to_be_bytes()[..], &content[..], &crc32fast::hash(&content).to_be_bytes()[..]].concat()
        };
        // Passes 1, 4, 5, 6 and 7 of 3x3 pixels: rows that begin with the number of their filter.
        let rows: [&[u8]; 6] = [&[0, 0], &[0, 2], &[0, 6, 8], &[0, 1], &[0, 7], &[0, 3, 4, 5]];
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&rows.concat()).unwrap();
        let header = chunk(b"IHDR", &[0, 0, 0, 3, 0, 0, 0, 3, 8, 0, 0, 0, 1]);
        let bytes = [b"\x89PNG\r\n\x1a\n".to_vec(), header, chunk(b"IDAT", &packed.finish().unwrap()), chunk(b"IEND", &[])].concat();
        let grid = in_file("a.png", &bytes, read_png).unwrap();
        assert_eq!((grid.shape, grid.values), ([1, 3, 3], (0..9u8).map(f32::from).collect()));
    }

    proptest! {
        #[test]
        fn no_image_panics(at in 0usize..122, byte in any::<u8>()) {
            let mut bytes = tiff_of(3, 2, 8, 1, &[1, 2, 3, 4, 5, 6]);
            bytes[at] = byte;
            let _ = in_file("a.tif", &bytes, read_tiff);
            let mut bytes = png_of(3, 2, &[1, 2, 3, 4, 5, 6]);
            let end = bytes.len();
            bytes[at % end] = byte;
            let _ = in_file("a.png", &bytes, read_png);
        }
    }
}
