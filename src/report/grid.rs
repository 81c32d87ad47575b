//! A table as words, before it is Markdown, LaTeX, HTML or CSV.

use super::summary::NONE;
use crate::units::{RAISED, raised};
use serde::Serialize;

/// Header and rows of cells. The first [`Grid::left`] columns are words, the others numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Grid {
    /// Name of its file, and address within the page.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// What a reader must know, in sentences.
    pub about: String,
    /// Columns that are equal in all rows, such as `preset: smoke`.
    pub equal: Vec<String>,
    /// Column heads.
    pub head: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// Columns set left.
    pub left: usize,
    /// Footnotes, the first is number 1. A cell refers to one by [`raised`].
    pub notes: Vec<String>,
    /// Long and seldom read: it opens on a click.
    pub folded: bool,
    /// Columns that a paper prints; none keeps the table out of the LaTeX file.
    pub print: Vec<usize>,
}

/// A column: its head, and its cell for an item.
pub(super) type Column<'a, T> = (&'a str, &'a dyn Fn(&T) -> String);

impl Grid {
    /// A row an item, of which the first `left` columns are words.
    pub fn of<T>(title: &str, left: usize, items: impl IntoIterator<Item = T>, columns: &[Column<T>]) -> Self {
        let row = |item: T| columns.iter().map(|(_, cell)| cell(&item)).collect();
        let head = columns.iter().map(|(head, _)| head.to_string()).collect();
        let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
        let id = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
        Self { id, title: title.into(), head, rows: items.into_iter().map(row).collect(), left, ..Self::default() }
    }

    /// With a caption.
    pub fn about(self, about: &str) -> Self {
        Self { about: about.into(), ..self }
    }

    /// Opens on a click.
    pub fn folded(self) -> Self {
        Self { folded: true, ..self }
    }

    /// Moves columns that are equal in all rows of several into the caption, the first column and those named apart; one in which nothing applies goes.
    pub fn without_equal(mut self, but: &[&str]) -> Self {
        let equal = |c: usize| {
            c > 0 && !but.contains(&&*self.head[c]) && self.rows.len() > 1 && self.rows.iter().all(|row| row[c] == self.rows[0][c])
        };
        let gone: Vec<usize> = (0..self.head.len()).filter(|c| equal(*c)).collect();
        for c in gone.iter().rev() {
            let (head, cell) = (self.head.remove(*c), self.rows[0][*c].clone());
            self.rows.iter_mut().for_each(|row| drop(row.remove(*c)));
            self.left -= usize::from(*c < self.left);
            if cell != NONE && !cell.is_empty() {
                self.equal.insert(0, format!("{head}: {cell}"));
            }
        }
        self
    }

    /// Names the columns that a paper prints, after those that are equal have gone.
    pub fn printed(mut self, columns: &[&str]) -> Self {
        self.print = columns.iter().filter_map(|name| self.head.iter().position(|h| h == name)).collect();
        self
    }

    /// Adds a footnote to a cell; equal texts are one footnote.
    pub fn footnote(&mut self, row: usize, column: usize, text: &str) {
        let mark = self.note(text);
        self.rows[row][column] += &mark;
    }

    fn note(&mut self, text: &str) -> String {
        let at = self.notes.iter().position(|n| n == text).unwrap_or_else(|| {
            self.notes.push(text.to_string());
            self.notes.len() - 1
        });
        raised(at + 1)
    }
}

/// What is not known is an empty field.
pub(super) fn field(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

/// A cell and the number of the footnote that it refers to.
pub(super) fn unmark(cell: &str) -> (&str, Option<usize>) {
    let text = cell.trim_end_matches(RAISED);
    let digit = |c: char| RAISED.iter().position(|r| *r == c).expect("only raised digits were cut off");
    let number = &cell[text.len()..];
    (text, (!number.is_empty()).then(|| number.chars().fold(0, |n, c| 10 * n + digit(c))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_columns_go_into_the_caption() {
        let rows = [["a", "x", "–", "1", "2"], ["b", "x", "–", "–", "2"]];
        let columns: &[Column<[&str; 5]>] = &[
            ("name", &|r| r[0].into()),
            ("set", &|r| r[1].into()),
            ("z", &|r| r[2].into()),
            ("n", &|r| r[3].into()),
            ("m", &|r| r[4].into()),
        ];
        let grid = Grid::of("A title, twice", 2, rows, columns).without_equal(&["m"]).printed(&["name", "gone", "m"]);
        assert_eq!((grid.id.as_str(), grid.left, &grid.equal[..]), ("a-title-twice", 1, &["set: x".to_string()][..]));
        assert_eq!((grid.head, grid.print), (["name", "n", "m"].map(String::from).to_vec(), vec![0, 2]));
        assert_eq!(grid.rows, [["a", "1", "2"], ["b", "–", "2"]]);
        assert_eq!(Grid::of("", 1, &rows[..1], &[("name", &|r| r[0].into()), ("set", &|r| r[1].into())]).without_equal(&[]).head.len(), 2);
    }

    #[test]
    fn footnotes_are_numbered_once() {
        let mut grid = Grid::default();
        let marks: Vec<String> = ["a", "b", "a"].map(|t| grid.note(t)).into();
        assert_eq!((marks.join(" ").as_str(), grid.notes.len()), ("¹ ² ¹", 2));
        assert_eq!((raised(12).as_str(), unmark("97.2¹²"), unmark("97.2")), ("¹²", ("97.2", Some(12)), ("97.2", None)));
    }
}
