//! A table as words, before it is Markdown, LaTeX or HTML.

/// Header and rows of cells. The first [`Grid::left`] columns are words, the others numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    /// What it is about.
    pub title: String,
    /// Column heads.
    pub head: Vec<&'static str>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// Columns set left.
    pub left: usize,
    /// Footnotes, the first is number 1. A cell refers to one by [`mark`].
    pub notes: Vec<String>,
}

impl Grid {
    /// Refers to a footnote with this text; equal texts are one footnote.
    pub fn note(&mut self, text: &str) -> String {
        let at = self.notes.iter().position(|n| n == text).unwrap_or_else(|| {
            self.notes.push(text.to_string());
            self.notes.len() - 1
        });
        mark(at + 1)
    }
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
    fn footnotes_are_numbered_once() {
        let mut grid = Grid::default();
        let marks: Vec<String> = ["a", "b", "a"].map(|t| grid.note(t)).into();
        assert_eq!((marks.join(" ").as_str(), grid.notes.len()), ("¹ ² ¹", 2));
        assert_eq!((mark(12).as_str(), unmark("97.2¹²"), unmark("97.2")), ("¹²", ("97.2", Some(12)), ("97.2", None)));
    }
}
