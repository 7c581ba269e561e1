//! What it offers: lists that are whole, names, descriptions, annotations.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::rule::{
    ANNOTATIONS_CONTRADICT, ANNOTATIONS_INVALID, Finding, LIST_DUPLICATE, LIST_EMPTY, LIST_ENDLESS,
    LIST_FAILED, LIST_INVALID, TEXT_HIDDEN, TOOL_DESCRIPTION, TOOL_NAME, TOOL_NAME_LONG,
};
use super::super::seen::{Answer, Kind, Life, ListFault, Listing};
use super::ended;

const METHOD_NOT_FOUND: i64 = -32601;
/// What the protocol allows, and what model APIs do, in characters.
const LONGEST_NAME: usize = 128;
const LONG_NAME: usize = 64;
/// The hints, each true or false.
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

pub(super) fn judge(life: &Life) -> Vec<Finding> {
    let mut findings = Vec::new();
    for listing in &life.listings {
        let method = listing.kind.method();
        findings.extend(fault(listing).map(|(rule, seen)| Finding::of(rule, method, seen)));
        let wrong: Vec<String> = listing
            .entries
            .iter()
            .enumerate()
            .flat_map(|(number, entry)| entry_faults(listing.kind, number, entry))
            .collect();
        if !wrong.is_empty() {
            findings.push(Finding::of(&LIST_INVALID, method, wrong.join("; ")));
        }
        findings.extend(duplicates(listing));
        findings.extend(listing.entries.iter().flat_map(|entry| hidden(listing.kind, entry)));
        if listing.kind == Kind::Tools {
            if listing.entries.is_empty() && listing.fault.is_none() {
                findings.push(Finding::of(&LIST_EMPTY, method, "there is no tool"));
            }
            findings.extend(listing.entries.iter().flat_map(tool));
        }
    }
    let instructions = life.greeting().and_then(|greeting| greeting["instructions"].as_str());
    findings.extend(instructions.and_then(|text| unseen("instructions", "instructions", text)));
    findings
}

fn fault(listing: &Listing) -> Option<(&'static super::super::rule::Rule, String)> {
    Some(match listing.fault.as_ref()? {
        // Servers with resources need not have templates.
        ListFault::Failed(1, Answer::Error { code: Some(METHOD_NOT_FOUND), .. })
            if listing.kind == Kind::Templates =>
        {
            return None;
        }
        ListFault::Failed(page, answer) => {
            let seen = match answer {
                Answer::Error { code, message } => {
                    let code = code.map_or_else(|| "without a code".to_owned(), |code| code.to_string());
                    format!("the error {code}: {message}")
                }
                Answer::Silence(waited) => format!("no answer within {} s", waited.as_secs()),
                Answer::Gone(death) => ended(death),
                Answer::Result { .. } | Answer::NotStarted(_) => return None,
            };
            (&LIST_FAILED, format!("page {page}: {seen}"))
        }
        ListFault::NoEntries(page) => {
            (&LIST_INVALID, format!("page {page} has no array {}", listing.kind.member()))
        }
        ListFault::Endless(pages) => (&LIST_ENDLESS, format!("a cursor came again after {pages} pages")),
    })
}

fn entry_faults(kind: Kind, number: usize, entry: &Value) -> Vec<String> {
    let place = format!("{}[{number}]", kind.member());
    if !entry.is_object() {
        return vec![format!("{place} is no object")];
    }
    let mut wrong = Vec::new();
    let texts: &[&str] = match kind {
        Kind::Tools | Kind::Prompts => &["name"],
        Kind::Resources => &["uri", "name"],
        Kind::Templates => &["uriTemplate", "name"],
    };
    wrong.extend(
        texts
            .iter()
            .filter(|member| !entry[**member].is_string())
            .map(|member| format!("{place}.{member} is no text")),
    );
    let optional = ["title", "description", "mimeType"].iter();
    wrong.extend(
        optional
            .filter(|member| entry.get(**member).is_some_and(|value| !value.is_string()))
            .map(|member| format!("{place}.{member} is no text")),
    );
    if kind == Kind::Tools {
        for member in ["inputSchema", "outputSchema"] {
            let schema = entry.get(member);
            if schema.is_none() && member == "outputSchema" {
                continue;
            }
            if !schema.is_some_and(|schema| schema["type"] == "object") {
                wrong.push(format!("{place}.{member} is not of type object"));
            }
        }
    }
    if kind == Kind::Prompts {
        let arguments = entry["arguments"].as_array().into_iter().flatten();
        let nameless = arguments.filter(|argument| !argument["name"].is_string()).count();
        if nameless > 0 {
            wrong.push(format!("{place}.arguments has one without a name"));
        }
    }
    wrong
}

fn duplicates(listing: &Listing) -> Vec<Finding> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for key in listing.entries.iter().filter_map(|entry| entry[listing.kind.key()].as_str()) {
        *counts.entry(key).or_default() += 1;
    }
    let more = counts.into_iter().filter(|(_, count)| *count > 1);
    more.map(|(key, count)| {
        Finding::of(&LIST_DUPLICATE, subject(listing.kind, key), format!("it is listed {count} times"))
    })
    .collect()
}

pub(super) fn subject(kind: Kind, key: &str) -> String {
    format!("{} {key}", kind.word())
}

fn tool(tool: &Value) -> Vec<Finding> {
    let Some(name) = tool["name"].as_str() else { return Vec::new() };
    let subject = subject(Kind::Tools, name);
    let mut findings = Vec::new();
    let length = name.chars().count();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    if let Some(letter) = name.chars().find(|letter| !allowed(*letter)) {
        findings.push(Finding::of(&TOOL_NAME, &subject, format!("it has the character {letter:?}")));
    } else if name.is_empty() || length > LONGEST_NAME {
        findings.push(Finding::of(&TOOL_NAME, &subject, format!("it has {length} characters")));
    } else if length > LONG_NAME {
        findings.push(Finding::of(&TOOL_NAME_LONG, &subject, format!("it has {length} characters")));
    } else if name.contains('.') {
        findings.push(Finding::of(&TOOL_NAME_LONG, &subject, "it has a dot"));
    }
    if tool["description"].as_str().is_none_or(|text| text.trim().is_empty()) {
        findings.push(Finding::of(&TOOL_DESCRIPTION, &subject, "it has none"));
    }
    findings.extend(annotations(&subject, tool));
    findings
}

fn annotations(subject: &str, tool: &Value) -> Option<Finding> {
    let annotations = tool.get("annotations")?;
    if !annotations.is_object() {
        return Some(Finding::of(&ANNOTATIONS_INVALID, subject, "annotations is no object"));
    }
    if let Some(hint) = HINTS.iter().find(|hint| annotations.get(**hint).is_some_and(|it| !it.is_boolean())) {
        let seen = format!("{hint} is {}", annotations[*hint]);
        return Some(Finding::of(&ANNOTATIONS_INVALID, subject, seen));
    }
    if annotations.get("title").is_some_and(|title| !title.is_string()) {
        return Some(Finding::of(&ANNOTATIONS_INVALID, subject, "title is no text"));
    }
    let says = |hint: &str| annotations[hint] == true;
    (says("readOnlyHint") && says("destructiveHint")).then(|| {
        Finding::of(&ANNOTATIONS_CONTRADICT, subject, "it only reads and it destroys, by its annotations")
    })
}

/// Texts of an entry that a model is given.
fn hidden(kind: Kind, entry: &Value) -> Vec<Finding> {
    let subject = subject(kind, entry[kind.key()].as_str().unwrap_or_default());
    let mut findings: Vec<Finding> = ["name", "title", "description"]
        .iter()
        .filter_map(|member| unseen(&subject, member, entry[*member].as_str()?))
        .collect();
    if kind == Kind::Tools {
        let properties = entry["inputSchema"]["properties"].as_object().into_iter().flatten();
        findings.extend(properties.filter_map(|(name, schema)| {
            unseen(&subject, &format!("the description of {name}"), schema["description"].as_str()?)
        }));
    }
    findings
}

/// Characters that are shown as nothing or turn the text around: tags, controls of direction, zero width, other controls.
fn unseen(subject: &str, place: &str, text: &str) -> Option<Finding> {
    let is_unseen = |letter: char| {
        letter.is_control() && !matches!(letter, '\n' | '\t' | '\r')
            || matches!(letter,
                '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let found: Vec<char> = text.chars().filter(|letter| is_unseen(*letter)).collect();
    let first = found.first()?;
    let count = super::some(found.len(), "hidden character");
    let seen = format!("{place} has {count}, the first is U+{:04X}", u32::from(*first));
    Some(Finding::of(&TEXT_HIDDEN, subject, seen))
}
