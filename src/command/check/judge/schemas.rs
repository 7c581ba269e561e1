//! The schemas of tools: valid, self-contained, and such that models' APIs take them.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::super::rule::{
    Finding, SCHEMA_DEEP, SCHEMA_INTRICATE, SCHEMA_INVALID, SCHEMA_ITEMS, SCHEMA_PATTERN, SCHEMA_PROPERTY,
    SCHEMA_REFERENCE, SCHEMA_REQUIRED, SCHEMA_TOP_LEVEL,
};
use super::super::schema::{DEEPEST, Fault, fault, walk};
use super::super::seen::{Kind, Life};
use super::lists::subject;

/// In characters.
const LONGEST_PROPERTY: usize = 64;

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
        let (mut named, mut references, mut lost) = (Named::default(), BTreeSet::new(), None);
        walk(schema, &mut |inner, place| {
            let text = |member: &str| inner[member].as_str();
            named.anchors.extend([text("$anchor"), text("$dynamicAnchor")].into_iter().flatten());
            named.anchors.extend(text("$id").and_then(|id| id.strip_prefix('#')));
            named.ids.extend(text("$id"));
            for reference in [text("$ref"), text("$dynamicRef")].into_iter().flatten() {
                match reference.strip_prefix('#') {
                    Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
                        let pointer = percent_decode_str(pointer).decode_utf8_lossy();
                        if place.base.pointer(&pointer).is_none() {
                            lost.get_or_insert(reference);
                        }
                    }
                    Some(_) | None => {
                        references.insert(reference);
                    }
                }
            }
        });
        if let Some(reference) = lost.or_else(|| references.into_iter().find(|it| leads_nowhere(&named, it)))
        {
            let seen = format!("it refers to {reference}, which is not in it");
            findings.push(finding(&SCHEMA_REFERENCE, seen));
        } else {
            findings.extend(fault(schema).map(|fault| match fault {
                Fault::Invalid(why) => finding(&SCHEMA_INVALID, why),
                Fault::Pattern(why) => finding(&SCHEMA_PATTERN, why),
                Fault::Intricate(seen) => finding(&SCHEMA_INTRICATE, seen),
                Fault::Deep => {
                    let seen = format!("it is nested deeper than {DEEPEST}, which is where this check stops");
                    finding(&SCHEMA_DEEP, seen)
                }
            }));
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

/// What a schema can refer to besides its parts: anchors, and what has an address of its own.
#[derive(Default)]
struct Named<'s> {
    anchors: BTreeSet<&'s str>,
    ids: Vec<&'s str>,
}

/// Whether a reference that is no pointer is to nothing inside the schema.
fn leads_nowhere(named: &Named<'_>, reference: &str) -> bool {
    if let Some(anchor) = reference.strip_prefix('#') {
        return !named.anchors.contains(anchor);
    }
    // The drafts themselves are known everywhere.
    let base = reference.split('#').next().unwrap_or_default();
    !reference.contains("json-schema.org/") && !named.ids.iter().any(|id| id.ends_with(base))
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
    walk(schema, &mut |inner, place| {
        let is_array = inner["type"] == "array"
            || inner["type"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "array"));
        // Whether the whole is an object is told with the list.
        let is_bare = is_array && inner.get("items").is_none() && inner.get("prefixItems").is_none();
        if is_bare && !place.path.is_empty() {
            bare.push(place.path.to_owned());
        }
    });
    // The ways to write an argument can each be an array.
    bare.dedup();
    found.extend(bare.into_iter().map(|path| (&SCHEMA_ITEMS, format!("the array {path:?} has no items"))));
    found
}
