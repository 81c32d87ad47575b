//! Parts of a flat vector, taken in another order by one index: what a card would otherwise do by one small operator for every tensor.

use std::collections::HashMap;
use std::ops::Index;
use tch::{Device, Tensor};

/// Where named tensors lie in a flat vector: first entry and number of entries.
pub struct Places(HashMap<String, (i64, i64)>);

impl Places {
    /// Of tensors of these names and shapes, one after the other.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, shapes: impl Iterator<Item = &'a [i64]>) -> Self {
        let mut start = 0;
        let place = |(name, shape): (&str, &[i64])| {
            let len = shape.iter().product();
            start += len;
            (name.to_string(), (start - len, len))
        };
        Self(names.zip(shapes).map(place).collect())
    }

    /// The entries of a tensor.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn entries(&self, name: &str) -> std::ops::Range<i64> {
        let (start, len) = self.0.get(name).unwrap_or_else(|| panic!("there is no {name}"));
        *start..start + len
    }

    /// Entries of all tensors.
    pub fn count(&self) -> i64 {
        self.0.values().map(|(_, len)| len).sum()
    }
}

/// A piece, by its section and its number there.
#[derive(Clone, Copy, Debug)]
pub struct Piece(usize, usize);

/// An entry of a piece that is in no tensor.
pub const ZERO: i64 = -1;
/// The other.
pub const ONE: i64 = -2;

/// Pieces of one shape but for the first dimension.
#[derive(Default)]
struct Section {
    tail: Vec<i64>,
    rows: Vec<i64>,
    index: Vec<i64>,
}

/// Pieces as they are declared.
#[derive(Default)]
pub struct Pieces(Vec<Section>);

impl Pieces {
    /// A piece [rows, tail...] of these entries, each the number of one in the flat vector, [`ZERO`] or [`ONE`].
    pub fn add(&mut self, tail: &[i64], entries: Vec<i64>) -> Piece {
        let known = self.0.iter().position(|section| section.tail == tail);
        let at = known.unwrap_or_else(|| {
            self.0.push(Section { tail: tail.to_vec(), ..Section::default() });
            self.0.len() - 1
        });
        let section = &mut self.0[at];
        section.rows.push(entries.len() as i64 / tail.iter().product::<i64>());
        section.index.extend(entries);
        Piece(at, section.rows.len() - 1)
    }

    /// Entries of all pieces so far.
    pub fn count(&self) -> i64 {
        self.0.iter().map(|section| section.index.len() as i64).sum()
    }

    /// What takes them out of a vector of `count` entries on `device`.
    pub fn gather(self, count: i64, device: Device) -> Gather {
        let entry = |i: &i64| if *i >= 0 { *i } else { count - *i - 1 };
        let index: Vec<i64> = self.0.iter().flat_map(|section| &section.index).map(entry).collect();
        Gather {
            padded: index.iter().any(|i| *i >= count),
            index: Tensor::from_slice(&index).to_device(device),
            sizes: self.0.iter().map(|section| section.index.len() as i64).collect(),
            sections: self.0.into_iter().map(|section| (section.tail, section.rows)).collect(),
        }
    }
}

/// Takes pieces out of a flat vector.
pub struct Gather {
    padded: bool,
    index: Tensor,
    sizes: Vec<i64>,
    sections: Vec<(Vec<i64>, Vec<i64>)>,
}

impl Gather {
    /// All pieces, with the graph of `flat`.
    pub fn take(&self, flat: &Tensor) -> Taken {
        let padded = self.padded.then(|| {
            // Zero and one.
            let fixed = Tensor::arange(2, (flat.kind(), flat.device()));
            Tensor::cat(&[flat, &fixed], 0)
        });
        let all = padded.as_ref().unwrap_or(flat).index_select(0, &self.index);
        let cut = |(part, (tail, rows)): (Tensor, &(Vec<i64>, Vec<i64>))| {
            let shaped = if tail.is_empty() { part } else { part.view([&[-1], &tail[..]].concat().as_slice()) };
            shaped.split_with_sizes(rows.as_slice(), 0)
        };
        let parts = all.split_with_sizes(self.sizes.as_slice(), 0).into_iter().zip(&self.sections).map(cut).collect();
        Taken { all, parts }
    }
}

/// Pieces that were taken.
pub struct Taken {
    /// All of them as one vector that shares their memory.
    pub all: Tensor,
    parts: Vec<Vec<Tensor>>,
}

impl Index<Piece> for Taken {
    type Output = Tensor;

    fn index(&self, Piece(section, number): Piece) -> &Tensor {
        &self.parts[section][number]
    }
}
