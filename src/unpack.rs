//! What tools put around content that is as good without it: gzip, with zeros behind it, and a byte order mark.

use flate2::bufread::GzDecoder;
use std::io::{BufRead, Read};

/// Text without the byte order mark that some editors write before it.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Whether bytes are gzip, by how they begin.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Unpacks gzip: one part after the other, and zeros after the last, to which some tools fill up a file.
pub(crate) struct Gunzip<R> {
    part: Option<GzDecoder<R>>,
    rest: Option<R>,
}

impl<R: BufRead> Gunzip<R> {
    /// What `packed` holds.
    pub(crate) fn new(packed: R) -> Self {
        Self { part: Some(GzDecoder::new(packed)), rest: None }
    }

    /// The source, once all is read.
    pub(crate) fn into_inner(self) -> R {
        self.rest.unwrap_or_else(|| self.part.expect("there is a part before the end").into_inner())
    }

    /// Goes to the next part, behind zeros, or to the end.
    fn next(&mut self, mut rest: R) -> std::io::Result<()> {
        loop {
            let bytes = rest.fill_buf()?;
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            let (end, more) = (bytes.is_empty(), zeros < bytes.len());
            rest.consume(zeros);
            if end {
                self.rest = Some(rest);
                return Ok(());
            }
            if more {
                self.part = Some(GzDecoder::new(rest));
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(part) = &mut self.part {
            let n = part.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            if let Some(part) = self.part.take() {
                self.next(part.into_inner())?;
            }
        }
        Ok(0)
    }
}

/// The opposite, for tests.
#[cfg(test)]
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut stream = Gunzip::new(bytes);
        stream.read_to_end(&mut out)?;
        assert_eq!((stream.read(&mut [0; 4])?, stream.into_inner()), (0, [].as_slice()));
        Ok(out)
    }

    #[test]
    fn parts_follow_each_other_and_zeros_may_fill_up_the_file() {
        let (one, two, zeros) = (gzip(b"one "), gzip(b"two"), vec![0; 100_000]);
        assert_eq!(unpacked(&one).unwrap(), b"one ");
        assert_eq!(unpacked(&[&one, &two].map(Vec::as_slice).concat()).unwrap(), b"one two");
        assert_eq!(unpacked(&[&one, &zeros].map(Vec::as_slice).concat()).unwrap(), b"one ");
        assert_eq!(unpacked(&[&one, &zeros, &two, &zeros].map(Vec::as_slice).concat()).unwrap(), b"one two");
    }

    #[test]
    fn anything_else_behind_it_is_damage() {
        let one = gzip(b"one ");
        assert!(unpacked(&[&one, b"rest".as_slice()].concat()).is_err());
        assert!(unpacked(&[&one[..], &[0, 0, 7]].concat()).is_err());
        assert!(unpacked(&one[..one.len() - 1]).is_err());
        assert!(unpacked(&[]).is_err());
    }

    #[test]
    fn a_mark_is_left_out_once() {
        assert_eq!(without_mark(b"\xef\xbb\xbf{}"), b"{}");
        assert_eq!(without_mark(b"{}"), b"{}");
    }
}
