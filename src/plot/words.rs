//! Words that fit their room: broken into lines, or cut with an ellipsis.

use super::render::text_width;
use super::scene::Point;
use std::collections::BTreeSet;

/// Breaks `words` into lines no wider than `width`: where there are spaces, and within a word that is wider than a line.
pub fn wrap(words: &str, size: f64, width: f64) -> Vec<String> {
    lines(words, size, false, width, usize::MAX)
}

/// As [`wrap`], in bold or not, but at most `most` lines; the last ends in an ellipsis if there would be more.
pub fn clip(words: &str, size: f64, bold: bool, width: f64, most: usize) -> Vec<String> {
    let mut lines = lines(words, size, bold, width, most + 1);
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = fitted(&format!("{last}…"), size, bold, width);
        }
    }
    lines
}

/// Words cut to `width`, with an ellipsis if something is missing.
pub fn fitted(words: &str, size: f64, bold: bool, width: f64) -> String {
    let letters: Vec<(usize, char)> = words.char_indices().collect();
    // A text of this many letters is wider than any room; measuring all of a longer one would be wasted.
    const LETTERS: usize = 400;
    if letters.len() <= LETTERS && text_width(words, size, bold) <= width {
        return words.into();
    }
    let kept = words.trim_end_matches('…');
    let ends = letters.iter().take(LETTERS).map(|(at, _)| *at).filter(|at| *at <= kept.len()).rev();
    ends.map(|end| format!("{}…", &kept[..end])).find(|cut| text_width(cut, size, bold) <= width).unwrap_or_default()
}

/// The first `most` lines.
fn lines(words: &str, size: f64, bold: bool, width: f64, most: usize) -> Vec<String> {
    let fits = |line: &str| text_width(line, size, bold) <= width;
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        if let Some(line) = lines.last_mut()
            && fits(&format!("{line} {word}"))
        {
            *line = format!("{line} {word}");
            continue;
        }
        // A word that is wider than a line is broken at any letter.
        let mut rest = word;
        while !rest.is_empty() && lines.len() < most {
            let mut ends = rest.char_indices().map(|(at, letter)| at + letter.len_utf8());
            let first = ends.next().unwrap_or(0);
            let (line, next) = rest.split_at(ends.take_while(|end| fits(&rest[..*end])).last().unwrap_or(first));
            lines.push(line.into());
            rest = next;
        }
    }
    lines
}

/// At most `most` of the points: of those that lie close together the first.
pub fn thin(mut points: Vec<Point>, most: usize) -> Vec<Point> {
    let mut cell = 1.0;
    while points.len() > most.max(1) {
        let mut taken = BTreeSet::new();
        points.retain(|(x, y)| taken.insert(((x / cell).floor() as i64, (y / cell).floor() as i64)));
        cell *= 2.0;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_thinned_to_a_number_and_stay_where_they_were() {
        let all: Vec<Point> = (0..1000).map(|i| (f64::from(i % 40), f64::from(i / 40))).collect();
        for most in [0, 1, 7, 300, 1000] {
            let few = thin(all.clone(), most);
            assert!(few.len() <= most.max(1) && !few.is_empty() && few.iter().all(|p| all.contains(p)), "{most}: {}", few.len());
        }
        assert_eq!(thin(all.clone(), 1000), all);
        assert_eq!(thin(vec![(3.0, 3.0); 50], 10), [(3.0, 3.0)]);
    }

    #[test]
    fn no_line_is_wider_than_its_room_and_no_letter_is_lost() {
        for words in [
            "",
            "a",
            "two words",
            "one_word_that_is_much_wider_than_the_room it stands in",
            "größe größer Größtes",
            "名前が長い長い長い長い",
        ] {
            let lines = wrap(words, 12.0, 80.0);
            assert!(lines.iter().all(|l| text_width(l, 12.0, false) <= 80.0), "{lines:?}");
            let letters = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(words));
        }
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        let long = "a_very_long_name_".repeat(1000);
        assert!(fitted(&long, 12.0, false, 100.0).ends_with('…') && fitted("short", 12.0, false, 100.0) == "short");
        let lines = clip(&long, 12.0, true, 100.0, 2);
        assert!(lines.len() == 2 && lines[1].ends_with('…'), "{lines:?}");
        assert!(lines.iter().all(|l| text_width(l, 12.0, true) <= 100.0));
        assert_eq!(clip("two words", 12.0, false, 1000.0, 2), ["two words"]);
        assert_eq!(fitted("wide", 12.0, false, 1.0), "");
    }
}
