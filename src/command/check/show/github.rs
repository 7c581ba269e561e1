//! For GitHub Actions: one annotation a finding, and what a person reads in the log.

use std::fmt::Write as _;

use super::harmless::in_text;
use super::{Report, text, told};
use crate::report::plain;

pub(super) fn github(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let rule = finding.rule;
        let mut properties = Vec::new();
        if let Some(file) = &report.file {
            properties.push(format!("file={}", property(&in_text(file))));
        }
        properties.push(format!("title={}", property(&in_text(&format!("{}: {}", report.name, rule.name)))));
        let message =
            data(&in_text(&plain(&format!("{}\n{}\nhint: {}", told(finding), rule.why, rule.hint))));
        let _ = writeln!(out, "::{} {}::{message}", rule.severity.word(), properties.join(","));
    }
    out.push_str(&in_text(&text::text(report)));
    out
}

/// As the runner's own library escapes them.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
