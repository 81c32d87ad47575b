//! UCI optical digits, part of the program (see `data/digits/README.md`).

use super::files::Found;
use super::{DataSet, Images};
use crate::error::{Result, input};
use flate2::read::GzDecoder;
use std::path::{Path, PathBuf};

/// One image a row: 64 pixels of 0..16 and the digit.
const ARCHIVE: &[u8] = include_bytes!("../../data/digits/digits.csv.gz");
/// Name in messages.
const NAME: &str = "data/digits/digits.csv.gz";
/// Side of an image.
const SIDE: usize = 8;
/// Images of each digit.
const PER_CLASS: [usize; 10] = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180];
/// The order is by writer, so the parts are contiguous blocks: the first 60 % for the search, 20 % more for the final training, 20 % for the test.
const SEARCH: usize = 1078;
const TRAIN: usize = 1437;

/// Reads the set; the folders are not needed.
pub fn open(_folders: &[PathBuf]) -> Result<DataSet> {
    let all = parse(ARCHIVE)?;
    let part = |from: usize, to: usize| Images {
        pixels: all.pixels[from * SIDE * SIDE..to * SIDE * SIDE].to_vec(),
        labels: all.labels[from..to].to_vec(),
        ..all
    };
    let set = DataSet::new("digits", 0..10, [part(0, TRAIN), part(TRAIN, all.len())], Vec::new());
    Ok(DataSet { search_items: SEARCH, ..set })
}

/// Always there.
pub fn check(_folders: &[PathBuf]) -> Vec<Found> {
    let state = parse(ARCHIVE).map(|all| format!("part of the program: {} images", all.len()));
    vec![Found { bytes: ARCHIVE.len() as u64, ..Found::there(Path::new(NAME), state) }]
}

fn parse(archive: &[u8]) -> Result<Images> {
    let bad = |row: usize, what: String| input!(Path::new(NAME), "line {}: {what}", row + 1);
    let mut all = Images { pixels: Vec::new(), channels: 1, height: SIDE, width: SIDE, labels: Vec::new() };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(GzDecoder::new(archive));
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|e| bad(row, e.to_string()))?;
        let values = record.iter().map(str::parse::<u8>).collect::<std::result::Result<Vec<u8>, _>>();
        let values = values.map_err(|e| bad(row, e.to_string()))?;
        let (label, pixels) = values.split_last().ok_or_else(|| bad(row, "it is empty".into()))?;
        if pixels.len() != SIDE * SIDE || *label > 9 || pixels.iter().any(|p| *p > 16) {
            return Err(bad(row, format!("expected {} pixels of 0 to 16 and a digit, found {} values", SIDE * SIDE, values.len())));
        }
        all.pixels.extend_from_slice(pixels);
        all.labels.push(u16::from(*label));
    }
    let counts: Vec<usize> = (0..10).map(|d| all.labels.iter().filter(|l| **l == d).count()).collect();
    if counts != PER_CLASS {
        return Err(bad(all.len(), format!("images a class: expected {PER_CLASS:?}, found {counts:?}")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::gzip;
    use proptest::prelude::*;

    #[test]
    fn the_shipped_digits_are_complete_and_split_by_block() {
        let set = open(&[]).unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.search_items, set.classes.len()), (1437, 360, 1078, 10));
        assert_eq!((set.train.channels, set.train.height, set.train.width), (1, 8, 8));
        assert_eq!(set.train.labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "in the order of the file");
        assert_eq!(set.train.pixels[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
        assert!(check(&[])[0].ok);
    }

    #[test]
    fn a_damaged_archive_is_named() {
        let error = parse(&ARCHIVE[..ARCHIVE.len() / 2]).unwrap_err().to_string();
        assert!(error.contains("digits.csv.gz"), "{error}");
    }

    #[test]
    fn only_whole_pixels_of_0_to_16_and_a_digit_are_read() {
        let pixels = ["3"; 64].join(",");
        let cases = [
            (format!("3.7,{}", &pixels[2..]), "invalid digit"),
            (format!("-1,{}", &pixels[2..]), "invalid digit"),
            (format!("17,{}", &pixels[2..]), "0 to 16"),
            (pixels[2..].to_string(), "found 64 values"),
            (pixels.clone(), "images a class"),
        ];
        for (row, words) in cases {
            let label = if words == "images a class" { "9" } else { "0" };
            let error = parse(&gzip(format!("{row},{label}\n").as_bytes())).unwrap_err().to_string();
            assert!(error.contains(words), "'{words}' is not in: {error}");
        }
        let error = parse(&gzip(format!("{pixels},10\n").as_bytes())).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("a digit"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&text).is_err());
            prop_assert!(parse(&gzip(&text)).is_err());
        }
    }
}
