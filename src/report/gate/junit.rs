//! The verdict as JUnit XML, which CI servers show as test cases.

use super::judge::{Check, Outcome, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// One test case a group and check; the same verdict gives the same text.
pub fn junit(verdict: &Verdict) -> String {
    let mut suite = TestSuite::new("naslab check");
    suite.add_test_cases(verdict.checks.iter().map(case));
    if !verdict.remarks.is_empty() {
        suite.set_system_out(verdict.remarks.join("\n"));
    }
    let mut report = Report::new("naslab check");
    report.add_test_suite(suite);
    report.to_string().expect("what is written into memory is written")
}

fn case(c: &Check) -> TestCase {
    let figures = format!("baseline: {}; here: {}; limit: {}", c.baseline, c.here, c.limit);
    let mut status = match c.outcome {
        Outcome::Holds => TestCaseStatus::success(),
        Outcome::Regression => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::NotCompared => TestCaseStatus::skipped(),
    };
    if c.outcome != Outcome::Holds {
        status.set_message(figures.as_str());
    }
    if c.outcome == Outcome::Regression {
        status.set_type("regression").set_description(figures);
    }
    let mut case = TestCase::new(c.name, status);
    case.set_classname(c.group.as_str());
    case
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
            difference: String::new(),
            limit: "–".into(),
            outcome,
        };
        let checks = vec![check("one", Outcome::Holds), check("two", Outcome::Regression), check("three", Outcome::NotCompared)];
        let text = junit(&Verdict { checks, remarks: vec!["n < 3".into()] });
        for part in [
            "tests=\"3\"",
            "skipped=\"1\"",
            "failures=\"1\"",
            "errors=\"0\"",
            "<testcase name=\"one\" classname=\"a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;\"/>",
            "<failure message=\"baseline: 12; here: x\ny; limit: –\" type=\"regression\">baseline: 12; here: x\ny; limit: –</failure>",
            "<skipped message=\"baseline: 12; here: x\ny; limit: –\"/>",
            "<system-out>n &lt; 3</system-out>",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches("<testcase ").count(), 3);
    }
}
