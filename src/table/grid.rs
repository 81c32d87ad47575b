//! What a search over a table chooses from: one of a few options at each place.

use crate::error::{Result, usage};
use crate::seed::Rng;
use crate::space::{BenchCell, BenchOp};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Most places that a space has.
pub const PLACES: usize = 8;

/// An architecture of a table: the option at each place; places that the space does not have hold 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Point(pub [u8; PLACES]);

/// Spaces that a table may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableSpace {
    /// Cells with an operation on each of six edges.
    #[serde(rename = "nas-bench-201")]
    NasBench201,
    /// Networks of eight layers, each of three kinds: identity, inverted residual of kernel 3 and expansion 3, of kernel 5 and expansion 6.
    #[serde(rename = "nas-bench-macro")]
    NasBenchMacro,
}

impl TableSpace {
    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::NasBench201 => "nas-bench-201",
            Self::NasBenchMacro => "nas-bench-macro",
        }
    }

    /// Places of an architecture.
    pub fn places(self) -> usize {
        match self {
            Self::NasBench201 => 6,
            Self::NasBenchMacro => 8,
        }
    }

    /// The options of a place.
    pub fn options(self) -> Vec<&'static str> {
        match self {
            Self::NasBench201 => BenchOp::ALL.map(BenchOp::name).to_vec(),
            Self::NasBenchMacro => vec!["0", "1", "2"],
        }
    }

    /// Architectures in all.
    pub fn size(self) -> usize {
        self.options().len().pow(self.places() as u32)
    }

    /// Places by the node that they lead to.
    pub fn nodes(self) -> &'static [&'static [usize]] {
        match self {
            Self::NasBench201 => &[&[0], &[1, 2], &[3, 4, 5]],
            Self::NasBenchMacro => &[&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7]],
        }
    }

    /// Number of an architecture: its options are the digits, the first place comes first.
    pub fn number(self, point: Point) -> usize {
        let base = match self {
            Self::NasBench201 => 5,
            Self::NasBenchMacro => 3,
        };
        point.0[..self.places()].iter().fold(0, |number, option| number * base + usize::from(*option))
    }

    /// Number of the class of an architecture: those whose networks are the same function with the same trainable weights.
    pub fn class(self, point: Point) -> usize {
        match self {
            Self::NasBench201 => Self::cell(point).class(),
            Self::NasBenchMacro => self.number(point),
        }
    }

    fn cell(point: Point) -> BenchCell {
        BenchCell([0, 1, 2, 3, 4, 5].map(|i| BenchOp::ALL[usize::from(point.0[i])]))
    }

    /// As a table writes it.
    pub fn write(self, point: Point) -> String {
        match self {
            Self::NasBench201 => Self::cell(point).to_string(),
            Self::NasBenchMacro => point.0.iter().map(u8::to_string).collect(),
        }
    }

    /// What a table wrote.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage), saying what is wrong with it.
    pub fn read(self, text: &str) -> Result<Point> {
        let mut point = Point::default();
        match self {
            Self::NasBench201 => {
                let cell: BenchCell = text.parse()?;
                cell.0.iter().zip(&mut point.0).for_each(|(op, option)| *option = *op as u8);
            }
            Self::NasBenchMacro => {
                if text.len() != PLACES || !text.bytes().all(|b| (b'0'..=b'2').contains(&b)) {
                    return Err(usage!("'{text}': a network of NAS-Bench-Macro is eight digits from 0 to 2, such as 22212220"));
                }
                text.bytes().zip(&mut point.0).for_each(|(b, option)| *option = b - b'0');
            }
        }
        Ok(point)
    }
}

/// What may be chosen: the space, and the options that the table has at every place.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The space.
    pub space: TableSpace,
    /// Numbers of the options.
    pub options: Vec<u8>,
}

impl Grid {
    /// Places.
    pub fn places(&self) -> usize {
        self.space.places()
    }

    /// Architectures in all.
    pub fn size(&self) -> usize {
        self.options.len().pow(self.places() as u32)
    }

    /// The architecture with these choices among the options.
    pub fn point(&self, choices: impl IntoIterator<Item = usize>) -> Point {
        let mut point = Point::default();
        choices.into_iter().zip(&mut point.0).for_each(|(choice, option)| *option = self.options[choice]);
        point
    }

    /// Every place uniformly.
    pub fn sample(&self, rng: &mut Rng) -> Point {
        self.point((0..self.places()).map(|_| rng.random_range(0..self.options.len())))
    }

    /// A copy in which `place` has another option, drawn uniformly; the same where there is no other.
    pub fn changed(&self, point: Point, place: usize, rng: &mut Rng) -> Point {
        let others = self.options.len() - 1;
        if others == 0 {
            return point;
        }
        let before = self.options.iter().position(|o| *o == point.0[place]).expect("an option of the grid");
        let drawn = rng.random_range(0..others);
        let mut changed = point;
        changed.0[place] = self.options[drawn + usize::from(drawn >= before)];
        changed
    }

    /// One architecture of each class, that with the smallest number: edges that carry nothing are `none` in it, where the options have that.
    pub fn classes(&self) -> Vec<Point> {
        let mut seen = HashSet::new();
        self.all().filter(|point| seen.insert(self.space.class(*point))).collect()
    }

    /// All architectures, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = Point> + '_ {
        (0..self.size()).map(|number| {
            let base = self.options.len();
            self.point((0..self.places()).map(|place| number / base.pow((self.places() - 1 - place) as u32) % base))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_spaces_have_the_counted_classes_whose_first_cells_carry_no_dead_edges() {
        // Places in BenchOp::ALL: none, skip, 1x1, 3x3, pool.
        for (options, classes) in [(vec![1, 2, 3], 483), (vec![0, 1, 2, 3], 1_011), (vec![0, 1, 3, 4], 941), (vec![0, 1, 2, 3, 4], 5_260)] {
            let grid = Grid { space: TableSpace::NasBench201, options };
            let first = grid.classes();
            assert_eq!(first.len(), classes, "{:?}", grid.options);
            if grid.options.contains(&0) {
                for point in first {
                    let cell = TableSpace::cell(point);
                    assert_eq!(cell.live().len() as u64, 6 - cell.count(BenchOp::None), "{cell}");
                }
            }
        }
    }
}
