//! The verdict as JUnit XML, which CI servers show as test cases.

use super::judge::{Check, Outcome, Verdict};
use std::fmt::Write;

/// One test case a group and check; the same verdict gives the same text.
pub fn junit(verdict: &Verdict) -> String {
    let count = |outcome| verdict.checks.iter().filter(|c| c.outcome == outcome).count();
    let (all, failed, skipped) = (verdict.checks.len(), count(Outcome::Regression), count(Outcome::NotCompared));
    let totals = format!("name=\"naslab check\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\"");
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites {totals}>\n<testsuite {totals} skipped=\"{skipped}\">");
    verdict.checks.iter().for_each(|c| out += &case(c));
    if !verdict.remarks.is_empty() {
        let _ = writeln!(out, "<system-out>{}</system-out>", escape(&verdict.remarks.join("\n")));
    }
    out += "</testsuite>\n</testsuites>\n";
    out
}

fn case(c: &Check) -> String {
    let open = format!("<testcase classname=\"{}\" name=\"{}\"", escape(&c.group), escape(c.name));
    let figures = escape(&format!("baseline: {}; here: {}; limit: {}", c.baseline, c.here, c.limit));
    match c.outcome {
        Outcome::Holds => format!("{open}/>\n"),
        Outcome::Regression => format!("{open}><failure type=\"regression\" message=\"{figures}\">{figures}</failure></testcase>\n"),
        Outcome::NotCompared => format!("{open}><skipped message=\"{figures}\"/></testcase>\n"),
    }
}

/// Text that may stand in content and attributes; characters that XML 1.0 does not have are replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            '\n' => out += "&#10;",
            '\t' => out += "&#9;",
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_a_case_and_nothing_breaks_the_markup() {
        let check = |name, outcome| Check {
            group: "a<b> & \"c\" 'd'".into(),
            name,
            baseline: "1\u{0}2".into(),
            here: "x\ny".into(),
            limit: "–".into(),
            outcome,
        };
        let checks = vec![check("one", Outcome::Holds), check("two", Outcome::Regression), check("three", Outcome::NotCompared)];
        let text = junit(&Verdict { checks, remarks: vec!["n < 3".into()] });
        let figures = "baseline: 1\u{fffd}2; here: x&#10;y; limit: –";
        let group = "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;";
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"naslab check\" tests=\"3\" failures=\"1\" errors=\"0\">\n\
             <testsuite name=\"naslab check\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\">\n\
             <testcase classname=\"{group}\" name=\"one\"/>\n\
             <testcase classname=\"{group}\" name=\"two\"><failure type=\"regression\" message=\"{figures}\">{figures}</failure></testcase>\n\
             <testcase classname=\"{group}\" name=\"three\"><skipped message=\"{figures}\"/></testcase>\n\
             <system-out>n &lt; 3</system-out>\n\
             </testsuite>\n</testsuites>\n"
        );
        assert_eq!(text, expected);
    }
}
