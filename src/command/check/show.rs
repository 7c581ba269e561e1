//! The report, in the forms that people, programs and CI systems read. Pure: a report in, a text out.

mod github;
mod harmless;
mod json;
mod junit;
mod sarif;
mod text;

use self::harmless::{in_json, in_text};
use super::judge::{Unlooked, some};
use super::rule::{Finding, Severity};
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
    /// What was not looked at, and why.
    pub(super) unlooked: Unlooked,
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
        // Whichever it is, it may end up in the log of a CI system.
        Format::Text => in_text(&text::text(report)),
        Format::Json => crate::report::json(&in_json(&json::json(report))),
        Format::Junit => in_text(&junit::junit(report)?),
        Format::Sarif => crate::report::json(&in_json(&sarif::sarif(report))),
        Format::Github => github::github(report),
    })
}

/// The rules, for a person or a program.
///
/// # Errors
/// If they are not listed in this form, as a clause.
pub(super) fn rules(format: Format) -> Result<String, &'static str> {
    match format {
        Format::Text => Ok(text::rules()),
        Format::Json => Ok(json::rules()),
        Format::Junit | Format::Sarif | Format::Github => Err("rules are not listed in this form"),
    }
}

/// What was seen, with its subject in front.
fn told(finding: &Finding) -> String {
    match &finding.subject {
        Some(subject) => format!("{subject}: {}", finding.seen),
        None => finding.seen.clone(),
    }
}
