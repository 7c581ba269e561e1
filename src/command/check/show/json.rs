//! For programs: one JSON object, whose members are in the manual.

use serde_json::{Map, Value, json};

use super::super::rule::{RULES, Severity};
use super::Report;

pub(super) fn json(report: &Report) -> String {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let rule = finding.rule;
            json!({
                "rule": rule.name,
                "severity": rule.severity.word(),
                "part": rule.part.word(),
                "subject": finding.subject,
                "seen": finding.seen,
                "why": rule.why,
                "hint": rule.hint,
            })
        })
        .collect();
    let facts: Map<String, Value> =
        report.facts.iter().map(|(label, fact)| ((*label).to_owned(), json!(fact))).collect();
    let not_looked_at: Map<String, Value> =
        report.unlooked.parts.iter().map(|(part, why)| ((*part).to_owned(), json!(why))).collect();
    let whole = json!({
        "server": report.name,
        "command": report.command,
        "started": report.started,
        "sound": report.is_sound(),
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "allowed": report.allowed,
        "facts": facts,
        "findings": findings,
        "notLookedAt": not_looked_at,
    });
    format!("{whole:#}\n")
}

/// All rules, as an array.
pub(super) fn rules() -> String {
    let rules = RULES.iter().map(|rule| {
        json!({
            "rule": rule.name,
            "severity": rule.severity.word(),
            "part": rule.part.word(),
            "says": rule.says,
            "why": rule.why,
            "hint": rule.hint,
        })
    });
    format!("{:#}\n", Value::Array(rules.collect()))
}
