//! The schemas of tools: valid, self-contained, and such that models' APIs take them.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::super::rule::{
    Finding, SCHEMA_INVALID, SCHEMA_ITEMS, SCHEMA_PROPERTY, SCHEMA_REFERENCE, SCHEMA_REQUIRED,
    SCHEMA_TOP_LEVEL,
};
use super::super::seen::{Kind, Life};
use super::lists::subject;

/// In characters.
const LONGEST_PROPERTY: usize = 64;
/// No schema is nested deeper; one that is, is not looked at any further.
const DEEPEST: usize = 64;

pub(super) fn judge(life: &Life) -> Vec<Finding> {
    let tools = life.entries(Kind::Tools).unwrap_or_default();
    tools.iter().flat_map(tool).collect()
}

fn tool(tool: &Value) -> Vec<Finding> {
    let subject = subject(Kind::Tools, tool["name"].as_str().unwrap_or_default());
    let mut findings = Vec::new();
    for member in ["inputSchema", "outputSchema"] {
        // One that is no object is told with the list.
        let Some(schema) = tool.get(member).filter(|schema| schema.is_object()) else { continue };
        let finding = |rule, seen: String| Finding::of(rule, &subject, format!("{member}: {seen}"));
        let mut references = Vec::new();
        walk(schema, 0, &mut |inner| {
            let reference = inner["$ref"].as_str();
            references
                .extend(reference.filter(|reference| leads_nowhere(schema, reference)).map(str::to_owned));
        });
        if let Some(reference) = references.first() {
            findings
                .push(finding(&SCHEMA_REFERENCE, format!("it refers to {reference}, which is not in it")));
        } else if let Err(why) = valid(schema) {
            findings.push(finding(&SCHEMA_INVALID, why));
        }
        if member == "outputSchema" {
            continue;
        }
        if let Some(word) = ["oneOf", "anyOf", "allOf"].iter().find(|word| schema.get(**word).is_some()) {
            findings.push(finding(&SCHEMA_TOP_LEVEL, format!("it has {word} at its top")));
        }
        findings.extend(arguments(schema).into_iter().map(|(rule, seen)| finding(rule, seen)));
    }
    findings
}

/// Against the draft that it names, and 2020-12 where it names none.
fn valid(schema: &Value) -> Result<(), String> {
    if let Some(draft) = schema["$schema"].as_str()
        && !draft.contains("json-schema.org/")
    {
        return Err(format!("$schema is {draft:?}, which is no draft of JSON Schema"));
    }
    jsonschema::meta::validate(schema).map_err(|error| {
        let place = error.instance_path().to_string();
        if place.is_empty() { error.to_string() } else { format!("{error} (at {place})") }
    })
}

/// Whether a reference is to nothing inside the schema.
fn leads_nowhere(schema: &Value, reference: &str) -> bool {
    match reference.strip_prefix('#') {
        // An anchor is looked for by the validator.
        Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
            schema.pointer(&percent_decode_str(pointer).decode_utf8_lossy()).is_none()
        }
        Some(anchor) => !has_anchor(schema, anchor),
        // The drafts themselves are known everywhere.
        None => !reference.contains("json-schema.org/") && !has_id(schema, reference),
    }
}

fn has_anchor(schema: &Value, anchor: &str) -> bool {
    let mut found = false;
    walk(schema, 0, &mut |inner| {
        found |= inner["$anchor"] == *anchor
            || inner["$dynamicAnchor"] == *anchor
            || inner["$id"] == format!("#{anchor}");
    });
    found
}

fn has_id(schema: &Value, reference: &str) -> bool {
    let base = reference.split('#').next().unwrap_or_default();
    let mut found = false;
    walk(schema, 0, &mut |inner| found |= inner["$id"].as_str().is_some_and(|id| id.ends_with(base)));
    found
}

/// Goes over a schema and all that are in it, but not over examples and values, which are data.
fn walk(schema: &Value, depth: usize, see: &mut impl FnMut(&Value)) {
    if depth > DEEPEST {
        return;
    }
    match schema {
        Value::Object(members) => {
            see(schema);
            for (name, inner) in members {
                if !matches!(&**name, "const" | "enum" | "default" | "examples" | "example") {
                    walk(inner, depth + 1, see);
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|inner| walk(inner, depth + 1, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What models' APIs do not take of arguments.
fn arguments(schema: &Value) -> Vec<(&'static super::super::rule::Rule, String)> {
    let mut found = Vec::new();
    let properties = schema["properties"].as_object();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    let wrong = |name: &&String| {
        name.is_empty() || name.chars().count() > LONGEST_PROPERTY || !name.chars().all(allowed)
    };
    if let Some(name) = properties.into_iter().flat_map(serde_json::Map::keys).find(wrong) {
        found.push((&SCHEMA_PROPERTY, format!("it has the argument {name:?}")));
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !properties.is_some_and(|properties| properties.contains_key(name)) {
            found.push((&SCHEMA_REQUIRED, format!("{name:?} is required and not among its properties")));
        }
    }
    let mut bare = Vec::new();
    for (name, inner) in properties.into_iter().flatten() {
        walk(inner, 0, &mut |inner| {
            let is_array = inner["type"] == "array"
                || inner["type"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "array"));
            if is_array && inner.get("items").is_none() && inner.get("prefixItems").is_none() {
                bare.push(name.clone());
            }
        });
    }
    bare.dedup();
    found.extend(bare.into_iter().map(|name| (&SCHEMA_ITEMS, format!("in {name} an array has no items"))));
    found
}
