//! For code scanning: SARIF 2.1.0, with the rules that exist and the findings.
//!
//! A finding is about what a server does and not about a line. It is shown at the server's script, where the command
//! names one below the current folder, since GitHub shows only what has a place; and by its logical name, `tool echo`.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::rule::{Finding, RULES};
use super::{Report, told};

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
    let results: Vec<Value> = report.findings.iter().map(|finding| result(report, finding)).collect();
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

fn result(report: &Report, finding: &Finding) -> Value {
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
            "artifactLocation": {"uri": file, "uriBaseId": "%SRCROOT%"},
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
        "partialFingerprints": {"mcpSupervise/v1": fingerprint(report, finding)},
    })
}

/// Of the server, the rule and the subject: what was seen may have a time or a number in it.
fn fingerprint(report: &Report, finding: &Finding) -> String {
    let name = report.name.split(' ').next().unwrap_or_default();
    let subject = finding.subject.as_deref().unwrap_or_default();
    let hash = Sha256::digest([name, finding.rule.name, subject].join("\n"));
    hash.iter().take(8).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
