//! NIfTI-1, one file: `.nii` or `.nii.gz`, both byte orders.
//!
//! Voxels are stored with x fastest, so [D, H, W] is [z, y, x]. Where the voxels are is what the sform says, or else the qform.
//! A mask is brought to the axes of its image.

use super::geometry::Geometry;
use super::grid::{Grid, TYPES, decode, needed};
use crate::data::files::stored;
use crate::error::{Error, Result, input};
use crate::unpack::{Gunzip, is_gzip};
use nifti::{NiftiHeader, NiftiType};
use std::io::Read;
use std::path::Path;

/// Bytes of the header.
const HEADER: usize = 348;
/// The last four bytes of the header, where the voxels are in the same file.
const MAGIC: &[u8] = b"n+1\0";
const MAGIC_AT: usize = 344;
/// Dimensions are 16-bit numbers with a sign.
const LARGEST: u16 = i16::MAX as u16;

/// Reads a file; gzip is recognised by its content.
pub(super) fn read(path: &Path) -> Result<Grid> {
    unpacked(path, &stored(path)?)
}

/// Reads the bytes of a file, which `path` names in messages.
pub(super) fn unpacked(path: &Path, bytes: &[u8]) -> Result<Grid> {
    if is_gzip(bytes) {
        return from_stream(path, Gunzip::new(bytes), bytes.len(), true);
    }
    from_stream(path, bytes, bytes.len(), false)
}

fn from_stream(path: &Path, mut stream: impl Read, available: usize, compressed: bool) -> Result<Grid> {
    let damaged = |e: std::io::Error| input!(path, "damaged gzip archive ({e}); get the file again");
    let (mut head, mut found) = (Vec::new(), Vec::new());
    stream.by_ref().take(HEADER as u64).read_to_end(&mut head).map_err(damaged)?;
    let (header, kind, shape) = parse(path, &head)?;
    let size = kind.size_of();
    let bytes = needed(path, shape, size, available, compressed)?;
    let skip = header.vox_offset as u64 - HEADER as u64;
    let skipped = std::io::copy(&mut stream.by_ref().take(skip), &mut std::io::sink()).map_err(damaged)?;
    if skipped < skip {
        let begin = header.vox_offset;
        return Err(input!(path, "truncated: the voxels begin at byte {begin}, found {} bytes; get the file again", skipped + 348));
    }
    // One byte more: at the end gzip has its check sum.
    stream.take(bytes as u64 + 1).read_to_end(&mut found).map_err(damaged)?;
    needed(path, shape, size, found.len(), false)?;
    if found.len() > bytes {
        return Err(input!(path, "too long: {shape:?} voxels of {size} bytes need {bytes} bytes, found more; get the file again"));
    }
    // A slope of 0, NaN or infinity means that there is no scaling.
    let slope = if header.scl_slope.is_finite() { header.scl_slope } else { 0.0 };
    Ok(Grid { shape, values: decode(&found, kind, header.endianness, (slope, header.scl_inter)), geometry: geometry(&header) })
}

/// By the sform, else by the qform; nothing where neither says a place.
fn geometry(h: &NiftiHeader) -> Option<Geometry> {
    let columns: [[f64; 3]; 4] = if h.sform_code > 0 {
        [0, 1, 2, 3].map(|j| [h.srow_x[j], h.srow_y[j], h.srow_z[j]].map(f64::from))
    } else if h.qform_code > 0 {
        let [b, c, d] = [h.quatern_b, h.quatern_c, h.quatern_d].map(f64::from);
        let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
        let flip = if h.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
        let [x, y, z] = [1, 2, 3].map(|i| f64::from(h.pixdim[i]));
        [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c + a * d), 2.0 * (b * d - a * c)].map(|v| v * x),
            [2.0 * (b * c - a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d + a * b)].map(|v| v * y),
            [2.0 * (b * d + a * c), 2.0 * (c * d - a * b), a * a + d * d - b * b - c * c].map(|v| v * z * flip),
            [h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from),
        ]
    } else {
        return None;
    };
    let [x, y, z, origin] = columns;
    Geometry::new(origin, [z, y, x])
}

/// A checked header, the type of the voxels, and depth, height and width.
fn parse(path: &Path, head: &[u8]) -> Result<(NiftiHeader, NiftiType, [usize; 3])> {
    let bad = |what: String| Err(Error::input(path, what));
    if head.len() < HEADER {
        return bad(format!("truncated at byte {}: expected a NIfTI-1 header of {HEADER} bytes; get the file again", head.len()));
    }
    let magic = &head[MAGIC_AT..HEADER];
    if magic != MAGIC {
        let second = "the voxels are in a second file, .img; convert both to one .nii";
        let hint = if magic.starts_with(b"ni1") { second } else { "this is no NIfTI-1 file" };
        let [expected, found] = [MAGIC, magic].map(|m| m.escape_ascii());
        return bad(format!("wrong magic number at byte {MAGIC_AT}: expected \"{expected}\", found \"{found}\" ({hint})"));
    }
    let header = NiftiHeader::from_reader(head).map_err(|e| input!(path, "damaged header: {e}"))?;
    let (dim, rank, bits) = (header.dim, usize::from(header.dim[0]), header.bitpix as usize);
    if header.sizeof_hdr != HEADER as i32 {
        let found = header.sizeof_hdr;
        return bad(format!("byte 0: expected the header's size, {HEADER}, found {found}; the byte order of the header is mixed up"));
    }
    if !(3..=7).contains(&rank) || dim[4..=rank].iter().any(|d| *d > 1) {
        let sizes = &dim[1..=rank.min(7)];
        return bad(format!("byte 40: expected one volume of 3 dimensions, found {rank}: {sizes:?}; take one channel or moment of it"));
    }
    if let Some(at) = dim[1..=rank].iter().position(|d| *d == 0 || *d > LARGEST) {
        let (byte, space) = (42 + 2 * at, &dim[1..4]);
        return bad(format!("byte {byte}: impossible dimensions {space:?} (x, y, z): expected 1 to {LARGEST}"));
    }
    let kinds = TYPES.map(|(kind, _)| kind);
    let Ok(kind) = header.data_type() else {
        return bad(format!("byte 70: there is no type {} of voxels; expected one of {kinds:?}", header.datatype));
    };
    if !kinds.contains(&kind) {
        return bad(format!("byte 70: voxels of type {kind:?} are not read; expected one of {kinds:?}"));
    }
    if bits != 8 * kind.size_of() {
        return bad(format!("byte 72: expected {} bits a voxel for {kind:?}, found {bits}", 8 * kind.size_of()));
    }
    if !(HEADER as f32..1e9).contains(&header.vox_offset) {
        return bad(format!("byte 108: expected the place of the voxels, at least {HEADER}, found {}", header.vox_offset));
    }
    Ok((header, kind, [dim[3], dim[2], dim[1]].map(usize::from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A little-endian header of `dim` voxels of `kind`, and `rest` after the four bytes that say there is no extension.
    fn file(dim: [u16; 8], kind: i16, bits: i16, rest: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEADER];
        out[..4].copy_from_slice(&348i32.to_le_bytes());
        dim.iter().enumerate().for_each(|(i, d)| out[40 + 2 * i..42 + 2 * i].copy_from_slice(&d.to_le_bytes()));
        out[70..72].copy_from_slice(&kind.to_le_bytes());
        out[72..74].copy_from_slice(&bits.to_le_bytes());
        out[108..112].copy_from_slice(&352f32.to_le_bytes());
        out[MAGIC_AT..].copy_from_slice(MAGIC);
        out.extend([0; 4]);
        out.extend_from_slice(rest);
        out
    }

    fn read_bytes(bytes: &[u8]) -> Result<Grid> {
        from_stream(Path::new("x"), bytes, bytes.len(), false)
    }

    #[test]
    fn headers_that_claim_too_much_are_refused() {
        let cases: [([u16; 8], i16, i16, &str); 9] = [
            ([3, 32767, 32767, 32767, 1, 1, 1, 1], 64, 64, "need 281449207693304"),
            ([3, 60000, 2, 2, 1, 1, 1, 1], 2, 8, "impossible dimensions"),
            ([3, 2, 0, 2, 1, 1, 1, 1], 2, 8, "impossible dimensions"),
            ([4, 2, 2, 2, 2, 1, 1, 1], 2, 8, "expected one volume of 3 dimensions, found 4"),
            ([2, 2, 2, 1, 1, 1, 1, 1], 2, 8, "found 2"),
            ([0, 2, 2, 2, 1, 1, 1, 1], 2, 8, "found 0"),
            ([3, 2, 2, 2, 1, 1, 1, 1], 64, 8, "expected 64 bits"),
            ([3, 2, 2, 2, 1, 1, 1, 1], 128, 24, "Rgb24 are not read"),
            ([3, 2, 2, 2, 1, 1, 1, 1], 3, 8, "no type 3"),
        ];
        for (dim, kind, bits, words) in cases {
            let error = read_bytes(&file(dim, kind, bits, &[0; 8])).unwrap_err().to_string();
            assert!(error.contains(words), "'{words}' is not in: {error}");
        }
        assert_eq!(read_bytes(&file([5, 2, 1, 2, 1, 1, 1, 1], 2, 8, &[1, 2, 3, 4])).unwrap().values, [1.0, 2.0, 3.0, 4.0]);
    }

    proptest! {
        #[test]
        fn no_header_panics(at in 0usize..352, byte in any::<u8>(), rest in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = file([3, 2, 2, 2, 1, 1, 1, 1], 4, 16, &rest);
            bytes[at] = byte;
            let _ = read_bytes(&bytes);
            let _ = read_bytes(&bytes[at..]);
        }
    }
}
