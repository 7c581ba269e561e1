//! For a person at a terminal of 80 columns: facts first, then each finding with its reason and what to do.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};

use super::super::rule::{RULES, Severity};
use super::Report;
use crate::report::{folded, plain};

/// How wide a line is at most, but for words that are longer.
const WIDTH: usize = 80;

pub(super) fn text(report: &Report) -> String {
    let bold = Style::new().bold();
    let mut text = format!("{bold}{}{bold:#}\n", line(&report.name));
    text.push_str(&folded("  command   ", &line(&report.command), 12, WIDTH));
    for (label, fact) in &report.facts {
        text.push_str(&folded(&format!("  {label:<10}"), &line(fact), 12, WIDTH));
    }
    for finding in &report.findings {
        let rule = finding.rule;
        let colour = match rule.severity {
            Severity::Error => AnsiColor::Red.on_default().bold(),
            Severity::Warning => AnsiColor::Yellow.on_default().bold(),
        };
        let subject =
            finding.subject.as_ref().map(|subject| format!(" {}", line(subject))).unwrap_or_default();
        let _ = writeln!(text, "\n{colour}{}{colour:#} {}{subject}", rule.severity.word(), rule.name);
        let mut lines = finding.seen.lines();
        let first = plain(lines.next().unwrap_or_default());
        text.push_str(&folded("  seen  ", &first, 8, WIDTH));
        for line in lines {
            // As it is: it is somebody else's, or a difference.
            let _ = writeln!(text, "        {}", plain(line));
        }
        text.push_str(&folded("  why   ", rule.why, 8, WIDTH));
        text.push_str(&folded("  hint  ", rule.hint, 8, WIDTH));
    }
    text.push('\n');
    if !report.unlooked.parts.is_empty() {
        // By reason, of which there are few.
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for (part, why) in &report.unlooked.parts {
            match reasons.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, parts)) => parts.push(part),
                None => reasons.push((why, vec![part])),
            }
        }
        let told: Vec<String> =
            reasons.iter().map(|(why, parts)| format!("{} ({why})", parts.join(", "))).collect();
        text.push_str(&folded("", &format!("not looked at: {}", told.join("; ")), 0, WIDTH));
    }
    let (colour, verdict) = if report.is_sound() {
        (AnsiColor::Green.on_default().bold(), "sound")
    } else {
        (AnsiColor::Red.on_default().bold(), "not sound")
    };
    let _ = writeln!(text, "{colour}{verdict}{colour:#}: {}", report.summary());
    text
}

/// All rules, each with what a sound server does.
pub(super) fn rules() -> String {
    let bold = Style::new().bold();
    let mut text = String::new();
    for rule in RULES {
        let _ =
            writeln!(text, "{bold}{}{bold:#} ({}, {})", rule.name, rule.severity.word(), rule.part.word());
        text.push_str(&folded("        ", rule.says, 8, WIDTH));
    }
    text
}

/// A text of others on one line, so that it is not taken for ours.
fn line(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}
