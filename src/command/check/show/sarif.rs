//! For code scanning: SARIF 2.1.0, with the rules that exist and the findings.
//!
//! A finding is about what a server does and not about a line. It is shown at the server's script, where the command
//! names one below the current folder, since GitHub shows only what has a place; and by its logical name, `tool echo`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::rule::{Finding, RULES};
use super::{Report, told};

/// What a path in a URI has as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn sarif(report: &Report) -> String {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.name,
                "shortDescription": {"text": rule.says},
                "fullDescription": {"text": rule.why},
                "help": {"text": rule.hint},
                "defaultConfiguration": {"level": rule.severity.word()},
                "properties": {"tags": ["mcp", rule.part.word()]},
            })
        })
        .collect();
    let results: Vec<Value> = (0..report.findings.len()).map(|number| result(report, number)).collect();
    let whole = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "mcp-supervise",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "invocations": [{"executionSuccessful": report.started}],
            "properties": {"server": report.name, "command": report.command},
            "results": results,
        }],
    });
    format!("{whole:#}\n")
}

fn result(report: &Report, number: usize) -> Value {
    let finding = &report.findings[number];
    // One thing can break a rule twice.
    let same = |other: &&Finding| other.rule.name == finding.rule.name && other.subject == finding.subject;
    let nth = report.findings[..number].iter().filter(same).count();
    let rule = finding.rule;
    let index = RULES.iter().position(|other| other.name == rule.name);
    let mut location = json!({"logicalLocations": [{
        "name": finding.subject.as_deref().unwrap_or(&report.name),
        "fullyQualifiedName": finding.subject.as_ref().map_or_else(
            || report.name.clone(),
            |subject| format!("{}/{subject}", report.name),
        ),
    }]});
    if let Some(file) = &report.file {
        location["physicalLocation"] = json!({
            "artifactLocation": {"uri": utf8_percent_encode(file, PATH).to_string(), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 1},
        });
    }
    json!({
        "ruleId": rule.name,
        "ruleIndex": index,
        "level": rule.severity.word(),
        "message": {"text": format!("{}. {}", told(finding), rule.hint)},
        "locations": [location],
        // By it a finding is known again in a later run.
        "partialFingerprints": {"mcpSupervise/v1": fingerprint(report, finding, nth)},
    })
}

/// Of the server, the rule and the subject: what was seen may have a time or a number in it.
fn fingerprint(report: &Report, finding: &Finding, nth: usize) -> String {
    let name = report.name.split(' ').next().unwrap_or_default();
    let subject = finding.subject.as_deref().unwrap_or_default();
    let hash = Sha256::digest([name, finding.rule.name, subject, &nth.to_string()].join("\n"));
    hash.iter().take(8).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
