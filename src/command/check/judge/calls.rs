//! What `--call` asks for.

use serde_json::Value;

use super::super::rule::{CALL_ARGUMENTS, CALL_FAILED, CALL_INVALID, CALL_OUTPUT, CALL_UNKNOWN, Finding};
use super::super::schema::misfit;
use super::super::seen::{Answer, Kind, Question, Seen};
use super::shape::{Type, wrong as wrong_members};
use super::trouble;

/// The members that a part of this type must have, each a text but for `resource`.
const PARTS: [(&str, &[&str]); 5] = [
    ("text", &["text"]),
    ("image", &["data", "mimeType"]),
    ("audio", &["data", "mimeType"]),
    ("resource_link", &["uri", "name"]),
    ("resource", &[]),
];

/// What a result may have.
const RESULT: [(&str, Type); 2] = [("isError", Type::Truth), ("structuredContent", Type::Object)];
/// What any part may have.
const PART: [(&str, Type); 7] = [
    ("_meta", Type::Object),
    ("annotations", Type::Object),
    ("mimeType", Type::Text),
    ("title", Type::Text),
    ("description", Type::Text),
    ("size", Type::Number),
    ("icons", Type::Icons),
];

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let tools = seen.main.entries(Kind::Tools).unwrap_or_default();
    // Of a list that could not be read to its end nothing is known to be missing.
    let is_whole = !seen.main.listings.iter().any(|list| list.kind == Kind::Tools && list.fault.is_some());
    let mut findings = Vec::new();
    for (question, answer) in seen.questioned().flat_map(|life| &life.asked) {
        let Question::Call { tool, arguments } = question else { continue };
        let subject = format!("tool {tool}");
        let mut find = |rule, seen: String| findings.push(Finding::of(rule, &subject, seen));
        let listed = tools.iter().find(|entry| entry["name"] == **tool);
        match listed {
            // What it answers to that is of no interest.
            None if is_whole => {
                find(&CALL_UNKNOWN, "the server lists no such tool".to_owned());
                continue;
            }
            None => {}
            Some(listed) => {
                if let Some(why) = misfit(&listed["inputSchema"], arguments) {
                    find(&CALL_ARGUMENTS, format!("{arguments} does not fit: {why}"));
                }
            }
        }
        match answer {
            Answer::Result { value, .. } => {
                if let Some(why) = invalid(value) {
                    find(&CALL_INVALID, why);
                }
                if value["isError"] == true {
                    let told = value["content"][0]["text"].as_str().unwrap_or("it does not say why");
                    find(&CALL_FAILED, format!("isError: {told}"));
                } else if let Some(schema) = listed
                    .and_then(|listed| listed.get("outputSchema"))
                    // One that asks for input first has no output yet.
                    .filter(|_| value["resultType"] != "input_required")
                {
                    match value.get("structuredContent") {
                        None => {
                            find(
                                &CALL_OUTPUT,
                                "there is an outputSchema and no structuredContent".to_owned(),
                            );
                        }
                        Some(content) => {
                            if let Some(why) = misfit(schema, content) {
                                find(&CALL_OUTPUT, format!("structuredContent does not fit: {why}"));
                            }
                        }
                    }
                }
            }
            Answer::Error { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_) => {
                if let Some(why) = trouble(answer) {
                    find(&CALL_FAILED, why);
                }
            }
        }
    }
    findings
}

/// Why a call's result is none.
fn invalid(result: &Value) -> Option<String> {
    // One that asks for input first has no content yet.
    if result["resultType"] == "input_required" {
        return None;
    }
    if let Some(why) = wrong_members(result, &RESULT).pop() {
        return Some(why);
    }
    let Some(parts) = result["content"].as_array() else { return Some("content is no array".to_owned()) };
    parts.iter().enumerate().find_map(|(number, part)| {
        if let Some(why) = wrong_members(part, &PART).pop() {
            return Some(format!("content[{number}].{why}"));
        }
        let kind = part["type"].as_str();
        let Some((kind, members)) = PARTS.iter().find(|(known, _)| Some(*known) == kind) else {
            return Some(format!("content[{number}] is of the type {}", part["type"]));
        };
        if *kind == "resource" {
            let resource = &part["resource"];
            let whole =
                resource["uri"].is_string() && (resource["text"].is_string() || resource["blob"].is_string());
            if !whole {
                return Some(format!("content[{number}].resource has no uri, or neither text nor blob"));
            }
            let why = wrong_members(resource, &PART).pop()?;
            return Some(format!("content[{number}].resource.{why}"));
        }
        let missing = members.iter().find(|member| !part[**member].is_string())?;
        Some(format!("content[{number}].{missing} is no text"))
    })
}
