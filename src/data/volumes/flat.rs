//! One grey image a file, PNG or TIFF, as a volume of depth 1.

use super::grid::{Grid, decode, needed};
use crate::data::files::stored;
use crate::error::{Error, Result, input};
use nifti::{Endianness, NiftiType};
use std::io::Cursor;
use std::path::Path;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

/// Reads a grey PNG of up to 16 bits. Fewer than 8 bits are stretched to 0..255, so that a mask of one bit has 0 and 255.
pub fn read_png(path: &Path) -> Result<Grid> {
    let bytes = stored(path)?;
    let damaged = |e: png::DecodingError| input!(path, "not a whole PNG image ({e}); get the file again");
    let open = || {
        let mut decoder = png::Decoder::new(Cursor::new(&bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        decoder.read_info().map_err(damaged)
    };
    let mut reader = open()?;
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
    // All rows are seen before there is room for them.
    let mut rows = open()?;
    while rows.next_row().map_err(damaged)?.is_some() {}
    let mut pixels = vec![0; size];
    reader.next_frame(&mut pixels).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    Ok(Grid { shape, values: decode(&pixels, kind, Endianness::Big, (0.0, 0.0)), geometry: None })
}

/// Codings of TIFF that are not read, by their numbers.
const NOT_READ: [(u16, &str); 8] = [
    (2, "CCITT Huffman"),
    (3, "CCITT fax 3"),
    (4, "CCITT fax 4"),
    (6, "old JPEG"),
    (7, "JPEG"),
    (34712, "JPEG 2000"),
    (50000, "Zstandard"),
    (50001, "WebP"),
];

/// Refuses a coding that is not read, and more than one image.
fn one_readable(path: &Path, decoder: &mut Decoder<Cursor<&Vec<u8>>>) -> Result<()> {
    let coding = decoder.find_tag_unsigned::<u16>(Tag::Compression).ok().flatten().unwrap_or(1);
    if let Some((_, name)) = NOT_READ.iter().find(|(number, _)| *number == coding) {
        let advice = "save it uncompressed or with LZW or Deflate (tiffcp -c lzw)";
        return Err(input!(path, "its pixels are coded as {name} (compression {coding}), which is not read here; {advice}"));
    }
    let mut pages = 1;
    while decoder.more_images() && pages < MOST_PAGES {
        pages += 1;
        if decoder.next_image().is_err() {
            break;
        }
    }
    if pages > 1 {
        let found = if pages < MOST_PAGES { pages.to_string() } else { format!("{pages} or more") };
        return Err(input!(path, "expected one image, found {found} pages; save the one that is meant as a file of its own (tiffsplit)"));
    }
    Ok(())
}

/// Pages of a TIFF that are counted.
const MOST_PAGES: usize = 1000;

/// Reads a grey TIFF of one page: whole numbers or floats, as they are.
pub fn read_tiff(path: &Path) -> Result<Grid> {
    let bytes = stored(path)?;
    let damaged = |e: tiff::TiffError| input!(path, "not a whole TIFF image ({e}); get the file again");
    let mut decoder = Decoder::new(Cursor::new(&bytes)).map_err(damaged)?;
    one_readable(path, &mut decoder)?;
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
    let most = needed(path, shape, usize::from(depth / 8), bytes.len(), true)?;
    strips(path, &mut decoder, most)?;
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
fn strips(path: &Path, decoder: &mut Decoder<Cursor<&Vec<u8>>>, bytes: usize) -> Result<()> {
    let damaged = |e: tiff::TiffError| input!(path, "not a whole TIFF image ({e}); get the file again");
    if decoder.find_tag_unsigned::<u16>(Tag::Compression).map_err(damaged)?.is_some_and(|c| c != 1) {
        return Ok(());
    }
    for tag in [Tag::StripByteCounts, Tag::TileByteCounts] {
        let counts = decoder.find_tag_unsigned_vec::<u64>(tag).map_err(damaged)?;
        let sum = counts.map(|counts| counts.iter().fold(0u64, |a, b| a.saturating_add(*b)));
        if let Some(sum) = sum.filter(|s| *s < bytes as u64) {
            return Err(input!(path, "not a whole TIFF image: expected {bytes} bytes of pixels, found {sum}; get the file again"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        for (bytes, words) in [
            (tiff_of(65000, 65000, 8, 1, &[0; 6]), "unpack to no more than"),
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
