//! What it offers: lists that are whole, names, descriptions, annotations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::rule::{
    ANNOTATIONS_CONTRADICT, ANNOTATIONS_INVALID, Finding, LIST_DUPLICATE, LIST_EMPTY, LIST_ENDLESS,
    LIST_FAILED, LIST_INVALID, TEXT_HIDDEN, TOOL_DESCRIPTION, TOOL_NAME, TOOL_NAME_LONG,
};
use super::super::seen::{Answer, Kind, Life, ListFault, Listing};
use super::shape::{Type, wrong as wrong_members};
use super::trouble;

const METHOD_NOT_FOUND: i64 = -32601;
/// How many wrong members are named.
const MOST_FAULTS: usize = 5;
/// What the protocol allows, and what model APIs do, in characters.
const LONGEST_NAME: usize = 128;
const LONG_NAME: usize = 64;
/// The hints, each true or false.
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// What any entry may have.
const COMMON: [(&str, Type); 5] = [
    ("title", Type::Text),
    ("description", Type::Text),
    ("mimeType", Type::Text),
    ("icons", Type::Icons),
    ("_meta", Type::Object),
];
/// What annotations of data may have.
const NOTES: [(&str, Type); 3] =
    [("audience", Type::Texts), ("priority", Type::Number), ("lastModified", Type::Text)];

pub(super) fn judge(life: &Life) -> Vec<Finding> {
    let mut findings = Vec::new();
    for listing in &life.listings {
        let method = listing.kind.method();
        findings.extend(fault(listing).map(|(rule, seen)| Finding::of(rule, method, seen)));
        let pages = listing.pages.iter().enumerate().flat_map(|(number, page)| {
            let told = move |it| format!("page {}: {it}", number + 1);
            wrong_members(page, &[("nextCursor", Type::Text)]).into_iter().map(told)
        });
        let entries = listing.entries.iter().enumerate();
        let entries = entries.flat_map(|(number, entry)| entry_faults(listing.kind, number, entry));
        let wrong: Vec<String> = pages.chain(entries).collect();
        if !wrong.is_empty() {
            let more = wrong.len().saturating_sub(MOST_FAULTS);
            let more = (more > 0).then(|| format!("{more} more"));
            let told = wrong.into_iter().take(MOST_FAULTS).chain(more).collect::<Vec<_>>().join("; ");
            findings.push(Finding::of(&LIST_INVALID, method, told));
        }
        // Of resources and templates the same one twice is one.
        if matches!(listing.kind, Kind::Tools | Kind::Prompts) {
            findings.extend(duplicates(listing));
        }
        findings.extend(listing.entries.iter().filter_map(|entry| hidden(listing.kind, entry)));
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
        ListFault::Failed(page, answer) => (&LIST_FAILED, format!("page {page}: {}", trouble(answer)?)),
        ListFault::NoEntries(page) => {
            (&LIST_INVALID, format!("page {page} has no array {}", listing.kind.member()))
        }
        ListFault::Endless { pages, again: true } => {
            (&LIST_ENDLESS, format!("a cursor came again after {pages} pages"))
        }
        ListFault::Endless { pages, again: false } => {
            (&LIST_ENDLESS, format!("after {pages} pages there still was a cursor"))
        }
    })
}

fn entry_faults(kind: Kind, number: usize, entry: &Value) -> Vec<String> {
    // By its name, where it has one.
    let place = match entry[kind.key()].as_str() {
        Some(key) => subject(kind, key),
        None => format!("{}[{number}]", kind.member()),
    };
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
            .map(|member| format!("{place}: {member} is no text")),
    );
    let optional: &[_] = match kind {
        // The annotations of tools have rules of their own.
        Kind::Tools => &[("execution", Type::Object)],
        Kind::Prompts => &[("arguments", Type::Array)],
        Kind::Resources => &[("annotations", Type::Object), ("size", Type::Number)],
        Kind::Templates => &[("annotations", Type::Object)],
    };
    let mut optionals = wrong_members(entry, &COMMON);
    optionals.extend(wrong_members(entry, optional));
    if kind != Kind::Tools {
        let inner = wrong_members(&entry["annotations"], &NOTES);
        optionals.extend(inner.into_iter().map(|it| format!("annotations.{it}")));
    }
    if kind == Kind::Prompts {
        let arguments = entry["arguments"].as_array().into_iter().flatten();
        optionals.extend(arguments.flat_map(argument));
    }
    wrong.extend(optionals.into_iter().map(|it| format!("{place}: {it}")));
    if kind == Kind::Tools {
        for member in ["inputSchema", "outputSchema"] {
            let schema = entry.get(member);
            if schema.is_none() && member == "outputSchema" {
                continue;
            }
            if !schema.is_some_and(|schema| schema["type"] == "object") {
                wrong.push(format!("{place}: {member} is not of type object"));
            }
        }
    }
    wrong
}

/// What is wrong with an argument of a prompt.
fn argument(argument: &Value) -> Vec<String> {
    const MEMBERS: [(&str, Type); 3] =
        [("title", Type::Text), ("description", Type::Text), ("required", Type::Truth)];
    let Some(name) = argument["name"].as_str() else {
        return vec!["arguments has one without a name".to_owned()];
    };
    wrong_members(argument, &MEMBERS).into_iter().map(|it| format!("argument {name}: {it}")).collect()
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
    let wrong: BTreeSet<char> = name.chars().filter(|letter| !allowed(*letter)).collect();
    if !wrong.is_empty() {
        let wrong: Vec<String> = wrong.iter().take(MOST_FAULTS).map(|letter| format!("{letter:?}")).collect();
        findings.push(Finding::of(&TOOL_NAME, &subject, format!("it has {}", wrong.join(", "))));
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

/// Whatever of an entry a model is given: names and texts, those of arguments included.
fn hidden(kind: Kind, entry: &Value) -> Option<Finding> {
    let subject = subject(kind, entry[kind.key()].as_str().unwrap_or_default());
    let mut found = None;
    texts(entry, "", &mut |place, text| found = found.take().or_else(|| unseen(&subject, place, text)));
    found
}

/// All texts in a value, each with the name of the member that it is, or is in.
fn texts(value: &Value, place: &str, see: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(place, text),
        Value::Array(all) => all.iter().for_each(|inner| texts(inner, place, see)),
        Value::Object(members) => {
            for (name, inner) in members.iter().filter(|(name, _)| *name != "_meta") {
                see("the name of a member", name);
                texts(inner, name, see);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Characters that are shown as nothing or turn the text around: tags, controls of direction, fillers, other controls.
fn unseen(subject: &str, place: &str, text: &str) -> Option<Finding> {
    // Three flags are written with tags behind a black one.
    const FLAG: char = '\u{1f3f4}';
    let mut in_flag = false;
    let found: Vec<char> = text
        .chars()
        .filter(|letter| {
            let is_tag = matches!(letter, '\u{e0000}'..='\u{e007f}');
            in_flag = *letter == FLAG || in_flag && is_tag;
            is_tag && !in_flag
                || letter.is_control() && !matches!(letter, '\n' | '\t' | '\r')
                || matches!(letter,
                    '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
                    | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
                    | '\u{e0100}'..='\u{e01ef}')
        })
        .collect();
    let first = found.first()?;
    let count = super::some(found.len(), "hidden character");
    let seen = format!("{place} has {count}, the first is U+{:04X}", u32::from(*first));
    Some(Finding::of(&TEXT_HIDDEN, subject, seen))
}
