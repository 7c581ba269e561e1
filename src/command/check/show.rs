//! The report, in the forms that people, programs and CI systems read. Pure: a report in, a text out.

mod github;
mod json;
mod junit;
mod sarif;
mod text;

use super::judge::some;
use super::rule::{Finding, Part, Severity};
use crate::cli::check::Format;

/// What a check came to. All texts are masked.
#[derive(Debug)]
pub(super) struct Report {
    /// What the server calls itself, else what its command is called.
    pub(super) name: String,
    /// Its command line.
    pub(super) command: String,
    /// The file that findings are shown at, relative to here: the server's script, where it is one. `None` if it is none.
    pub(super) file: Option<String>,
    /// Labels and texts.
    pub(super) facts: Vec<(&'static str, String)>,
    /// By part.
    pub(super) findings: Vec<Finding>,
    /// How many findings are not among these, since their rules are allowed to be broken.
    pub(super) allowed: usize,
    /// Parts that were not looked at, and why.
    pub(super) passed_over: Vec<(Part, &'static str)>,
    /// From which severity on the check fails.
    pub(super) fail_on: Severity,
    /// Whether the server could be greeted at all.
    pub(super) started: bool,
}

impl Report {
    /// Whether a finding makes the check fail.
    pub(super) fn fails(&self, finding: &Finding) -> bool {
        finding.rule.severity >= self.fail_on
    }

    /// Whether none does.
    pub(super) fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| self.fails(finding))
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.rule.severity == severity).count()
    }

    /// `1 error, 2 warnings`.
    fn summary(&self) -> String {
        let some = |severity: Severity| some(self.count(severity), severity.word());
        let allowed = if self.allowed > 0 { format!(", {} allowed", self.allowed) } else { String::new() };
        format!("{}, {}{allowed}", some(Severity::Error), some(Severity::Warning))
    }
}

/// The report in this form. Ends with a line feed.
///
/// # Errors
/// If it cannot be written in this form.
pub(super) fn show(report: &Report, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Text => text::text(report),
        Format::Json => json::json(report),
        Format::Junit => junit::junit(report)?,
        Format::Sarif => sarif::sarif(report),
        Format::Github => github::github(report),
    })
}

/// What was seen, with its subject in front.
fn told(finding: &Finding) -> String {
    match &finding.subject {
        Some(subject) => format!("{subject}: {}", finding.seen),
        None => finding.seen.clone(),
    }
}
