//! A table as words, before it is Markdown, LaTeX or HTML.

use crate::error::{Error, Result};

/// Header and rows of cells. The first [`Grid::left`] columns are words, the others numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    /// What it is about.
    pub title: String,
    /// Column heads.
    pub head: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// Columns set left.
    pub left: usize,
    /// Footnotes, the first is number 1. A cell refers to one by [`mark`].
    pub notes: Vec<String>,
}

/// A column: its head, and its cell for an item.
pub(super) type Column<'a, T> = (&'a str, &'a dyn Fn(&T) -> String);

impl Grid {
    /// A row an item, of which the first `left` columns are words.
    pub fn of<T>(title: &str, left: usize, items: impl IntoIterator<Item = T>, columns: &[Column<T>]) -> Self {
        let row = |item: T| columns.iter().map(|(_, cell)| cell(&item)).collect();
        let head = columns.iter().map(|(head, _)| head.to_string()).collect();
        Self { title: title.into(), head, rows: items.into_iter().map(row).collect(), left, notes: Vec::new() }
    }

    /// Without those of the columns from `first` on in which every cell is `empty`.
    pub fn without_empty(mut self, first: usize, empty: &str) -> Self {
        let kept: Vec<bool> = (0..self.head.len()).map(|c| c < first || self.rows.iter().any(|row| row[c] != empty)).collect();
        for cells in self.rows.iter_mut().chain([&mut self.head]) {
            let mut column = kept.iter();
            cells.retain(|_| column.next().is_none_or(|kept| *kept));
        }
        self
    }

    /// As a CSV file; the title is its name.
    ///
    /// # Errors
    /// [`Error::Resource`] if it cannot be written.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let failed = |e: String| Error::Resource(format!("{} could not be written: {e}", self.title));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let records = std::iter::once(&self.head).chain(&self.rows);
        records.into_iter().try_for_each(|r| writer.write_record(r)).map_err(|e| failed(e.to_string()))?;
        writer.into_inner().map_err(|e| failed(e.to_string()))
    }

    /// Refers to a footnote with this text; equal texts are one footnote.
    pub fn note(&mut self, text: &str) -> String {
        let at = self.notes.iter().position(|n| n == text).unwrap_or_else(|| {
            self.notes.push(text.to_string());
            self.notes.len() - 1
        });
        mark(at + 1)
    }
}

/// What is not known is an empty field.
pub(super) fn field(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

/// The number of a footnote in raised digits.
pub(super) fn mark(number: usize) -> String {
    number.to_string().bytes().map(|b| RAISED[usize::from(b - b'0')]).collect()
}

/// A cell and the number of the footnote that it refers to.
pub(super) fn unmark(cell: &str) -> (&str, Option<usize>) {
    let text = cell.trim_end_matches(RAISED);
    let digit = |c: char| RAISED.iter().position(|r| *r == c).expect("only raised digits were cut off");
    let raised = &cell[text.len()..];
    (text, (!raised.is_empty()).then(|| raised.chars().fold(0, |n, c| 10 * n + digit(c))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_without_content_are_left_out() {
        let rows = [["a", "–", "–", "1"], ["b", "–", "–", "–"]];
        let columns: &[Column<[&str; 4]>] =
            &[("x", &|r| r[0].into()), ("y", &|r| r[1].into()), ("z", &|r| r[2].into()), ("n", &|r| r[3].into())];
        let grid = Grid::of("", 1, rows, columns).without_empty(2, "–");
        assert_eq!(grid.head, ["x", "y", "n"]);
        assert_eq!(grid.rows, [["a", "–", "1"], ["b", "–", "–"]]);
    }

    #[test]
    fn footnotes_are_numbered_once() {
        let mut grid = Grid::default();
        let marks: Vec<String> = ["a", "b", "a"].map(|t| grid.note(t)).into();
        assert_eq!((marks.join(" ").as_str(), grid.notes.len()), ("¹ ² ¹", 2));
        assert_eq!((mark(12).as_str(), unmark("97.2¹²"), unmark("97.2")), ("¹²", ("97.2", Some(12)), ("97.2", None)));
    }
}
