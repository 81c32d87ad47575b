//! Templates with escaping by construction: HTML, Markdown and LaTeX.

use super::grid::unmark;
use crate::error::{Error, Result};
use crate::units::raised;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

/// Fills the template; the ending of its name says how values are escaped.
///
/// # Errors
/// [`Error::Resource`] for a template that is not sound.
pub(super) fn render(name: &'static str, template: &'static str, context: impl Serialize) -> Result<String> {
    let failed = |e: minijinja::Error| Error::Resource(format!("{name} could not be written: {e:#}"));
    let mut environment = Environment::new();
    let escape = match name.rsplit('.').next() {
        Some("html") => html,
        Some("md") => markdown,
        _ => latex,
    };
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(move |out, _, value| match value {
        nothing if nothing.is_undefined() || nothing.is_none() => Ok(()),
        safe if safe.is_safe() => Ok(out.write_str(&safe.to_string())?),
        words => Ok(out.write_str(&escape(&words.to_string()))?),
    });
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?);
    environment.add_filter("words", |cell: &str| unmark(cell).0.to_string());
    environment.add_filter("note", |cell: &str| unmark(cell).1);
    environment.add_filter("raised", raised);
    environment.add_filter("stacked", stacked);
    environment.add_template(name, template).map_err(failed)?;
    environment.get_template(name).and_then(|t| t.render(Serde(context))).map_err(failed)
}

fn html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;");
    // A number and its spread stay on one line.
    text.replace(" ± ", "\u{a0}±\u{a0}")
}

fn markdown(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// The head of a column of numbers in LaTeX: its words in lines of about a dozen letters.
fn stacked(head: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in head.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 13 => *line = format!("{line} {word}"),
            _ => lines.push(word.into()),
        }
    }
    format!("\\shortstack[r]{{{}}}", lines.iter().map(|line| latex(line)).collect::<Vec<_>>().join("\\\\"))
}

fn latex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out += "\\textbackslash{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '±' => out += "$\\pm$",
            '–' => out += "--",
            '−' => out += "$-$",
            '×' => out += "$\\times$",
            '“' => out += "``",
            '”' => out += "''",
            '…' => out += "\\dots{}",
            '\u{a0}' => out.push('~'),
            '<' => out += "\\textless{}",
            '>' => out += "\\textgreater{}",
            '\n' | '\r' => out.push(' '),
            other => match unmark(&other.to_string()).1 {
                Some(number) => out += &format!("\\textsuperscript{{{number}}}"),
                None => out.push(other),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_the_file_needs_it() {
        let written = |name, value: &str| {
            render(name, "{{ v }}|{{ v|words }}|{{ v|note }}", std::collections::BTreeMap::from([("v", value)])).unwrap()
        };
        assert_eq!(
            written("a.tex", "a_b & 5 % ± {x} ~^\\ –").split('|').next().unwrap(),
            "a\\_b \\& 5 \\% $\\pm$ \\{x\\} \\textasciitilde{}\\textasciicircum{}\\textbackslash{} --"
        );
        assert_eq!(written("a.tex", "97.2¹²"), "97.2\\textsuperscript{1}\\textsuperscript{2}|97.2|12");
        assert_eq!(written("a.md", "x|y\nz<b>"), "x\\|y z&lt;b>|x\\|y z&lt;b>|");
        assert_eq!(
            written("a.html", "<a href=\"x\">1 ± 2 & 'b'²"),
            "&lt;a href=&quot;x&quot;&gt;1\u{a0}±\u{a0}2 &amp; &#39;b&#39;²|&lt;a href=&quot;x&quot;&gt;1\u{a0}±\u{a0}2 &amp; &#39;b&#39;|2"
        );
    }

    #[test]
    fn a_table_that_is_longer_than_a_page_goes_on_over_pages() {
        let grid = |rows: usize| super::super::grid::Grid {
            head: ["method".into(), "score (%)".into()].into(),
            rows: vec![["a_b".to_string(), "97.2¹".into()].into(); rows],
            left: 1,
            notes: ["of the paper".to_string()].into(),
            print: vec![0, 1],
            ..Default::default()
        };
        let written = |rows| {
            let tables = std::collections::BTreeMap::from([("tables", [grid(rows)])]);
            render("results.tex", include_str!("results.tex"), tables).unwrap()
        };
        for (rows, begin) in
            [(40, "\\begin{tabularx}{\\linewidth}{>{\\raggedright\\arraybackslash}X"), (41, "\\begin{longtable}{>{\\raggedright")]
        {
            let text = written(rows);
            assert!(text.contains(begin) && text.matches("\\begin{").count() == text.matches("\\end{").count(), "{text}");
            assert_eq!(
                (text.matches("a\\_b & 97.2\\textsuperscript{1}").count(), text.matches("of the paper").count()),
                (rows, 1),
                "{text}"
            );
        }
    }

    #[test]
    fn a_template_that_is_not_sound_is_an_error() {
        assert!(render("a.md", "{% for %}", ()).unwrap_err().to_string().contains("a.md could not be written"));
    }
}
