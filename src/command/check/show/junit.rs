//! For CI systems that read test results: one test case a rule: failed, passed, or skipped if nobody has looked at it.

use anyhow::{Context as _, Result};
use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::super::rule::{Finding, RULES, Rule};
use super::{Report, told};

pub(super) fn junit(report: &Report) -> Result<String> {
    let mut suite = TestSuite::new(report.name.clone());
    suite.add_property(("command", &*report.command));
    for (label, fact) in &report.facts {
        suite.add_property((*label, &**fact));
    }
    suite.add_test_cases(RULES.iter().map(|rule| case(report, rule)));
    let mut document = Document::new("mcp-supervise check");
    document.add_test_suite(suite);
    let text = document.to_string().context("failed to write the report as JUnit XML")?;
    // XML has no such characters, not even as references.
    let text = text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    Ok(if text.ends_with('\n') { text } else { format!("{text}\n") })
}

fn case(report: &Report, rule: &'static Rule) -> TestCase {
    let broken: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.rule.name == rule.name).collect();
    let texts: Vec<String> = broken.iter().map(|finding| told(finding)).collect();
    let explained = || format!("{}\n\nwhy: {}\nhint: {}", texts.join("\n\n"), rule.why, rule.hint);
    let unlooked = report.unlooked.rules.iter().find(|(it, _)| it.name == rule.name);
    let status = match (broken.first(), unlooked) {
        (Some(first), _) if report.fails(first) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(rule.name);
            status.set_message(texts[0].lines().collect::<Vec<_>>().join(" "));
            status.set_description(explained());
            status
        }
        (None, Some((_, why))) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(*why);
            status
        }
        (Some(_) | None, _) => TestCaseStatus::success(),
    };
    let fails = matches!(status, TestCaseStatus::NonSuccess { .. });
    let mut case = TestCase::new(rule.name, status);
    case.set_classname(format!("mcp.{}", rule.part.word()));
    if !broken.is_empty() && !fails {
        case.set_system_out(explained());
    }
    case
}
