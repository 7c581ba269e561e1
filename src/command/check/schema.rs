//! JSON Schemas, and values against them. Pure, and done in a time that does not depend on who wrote the schema.
//!
//! A few lines of a schema can stand for more work than a machine does in years, when each part refers twice to the next.
//! What that comes to is counted first, and such a schema is not used.

use std::collections::BTreeMap;

use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// How many parts a schema may come to with all its references followed: more than tools of people have.
const MOST_PARTS: u64 = 200_000;
/// No schema is nested deeper; one that is, is not looked at any further.
const DEEPEST: usize = 64;
/// How many reasons are told.
const MOST_REASONS: usize = 3;

/// What can be said against a schema itself.
pub(super) enum Fault {
    /// It is no schema, and why.
    Invalid(String),
    /// A pattern of it is no regular expression to a strict reader, and which.
    Pattern(String),
    /// It stands for too much work.
    Intricate,
}

/// Why a value does not fit a schema. `None` if it does, or if the schema cannot be used, which is told elsewhere.
pub(super) fn misfit(schema: &Value, value: &Value) -> Option<String> {
    let validator = validator(schema).ok()?;
    let reasons: Vec<String> =
        validator.iter_errors(value).take(MOST_REASONS).map(|error| told(&error)).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// What is wrong with a schema. Against the draft that it names, and 2020-12 where it names none.
pub(super) fn fault(schema: &Value) -> Option<Fault> {
    if let Some(draft) = schema["$schema"].as_str()
        && !draft.contains("json-schema.org/")
    {
        return Some(Fault::Invalid(format!("$schema is {draft:?}, which is no draft of JSON Schema")));
    }
    if let Err(error) = jsonschema::meta::validate(schema) {
        let of_pattern = error.instance_path().to_string().contains("/pattern");
        let told = told(&error);
        return Some(if of_pattern { Fault::Pattern(told) } else { Fault::Invalid(told) });
    }
    match validator(schema) {
        Ok(_) => None,
        Err(Some(why)) => Some(Fault::Pattern(why)),
        Err(None) => Some(Fault::Intricate),
    }
}

/// An error is why the schema cannot be used; none if it would take too long.
fn validator(schema: &Value) -> Result<Validator, Option<String>> {
    let mut sizes = BTreeMap::new();
    if size(schema, schema, &mut sizes, 0) > MOST_PARTS {
        return Err(None);
    }
    jsonschema::validator_for(schema).map_err(|error| Some(told(&error)))
}

/// How many parts a part comes to, references followed. One that refers to itself counts once: it ends with its value.
fn size<'s>(root: &'s Value, part: &'s Value, sizes: &mut BTreeMap<usize, u64>, depth: usize) -> u64 {
    let key = std::ptr::from_ref(part) as usize;
    if let Some(known) = sizes.get(&key) {
        return *known;
    }
    if depth > DEEPEST * 4 {
        return MOST_PARTS + 1;
    }
    sizes.insert(key, 1);
    let mut sum: u64 = 1;
    match part {
        Value::Object(members) => {
            for (name, inner) in members {
                let target = (name == "$ref").then(|| inner.as_str()?.strip_prefix('#')).flatten();
                let target = target.and_then(|pointer| root.pointer(pointer)).unwrap_or(inner);
                sum = sum.saturating_add(size(root, target, sizes, depth + 1));
            }
        }
        Value::Array(all) => {
            for inner in all {
                sum = sum.saturating_add(size(root, inner, sizes, depth + 1));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    sizes.insert(key, sum);
    sum
}

fn told(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    if place.is_empty() { error.to_string() } else { format!("{error} (at {place})") }
}

/// Goes over a schema and all that are in it, but not over examples and values, which are data.
pub(super) fn walk<'s>(schema: &'s Value, see: &mut impl FnMut(&'s Value)) {
    go(schema, 0, see);
}

fn go<'s>(schema: &'s Value, depth: usize, see: &mut impl FnMut(&'s Value)) {
    if depth > DEEPEST {
        return;
    }
    match schema {
        Value::Object(members) => {
            see(schema);
            for (name, inner) in members {
                match &**name {
                    "const" | "enum" | "default" | "examples" | "example" => {}
                    // Their members are names that the server has chosen, and these may be any words.
                    "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                        for inner in inner.as_object().into_iter().flat_map(serde_json::Map::values) {
                            go(inner, depth + 1, see);
                        }
                    }
                    _ => go(inner, depth + 1, see),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|inner| go(inner, depth + 1, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_doubles_itself_is_not_used() {
        let mut definitions = serde_json::Map::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            definitions.insert(format!("d{level}"), json!({"allOf": [next, next]}));
        }
        definitions.insert("d40".to_owned(), json!({"type": "object"}));
        let schema = json!({"type": "object", "$defs": definitions, "allOf": [{"$ref": "#/$defs/d0"}]});
        assert!(matches!(fault(&schema), Some(Fault::Intricate)));
        assert_eq!(misfit(&schema, &json!({})), None);
    }

    #[test]
    fn one_that_refers_to_itself_is_used() {
        let tree = json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert!(fault(&tree).is_none());
        assert_eq!(misfit(&tree, &json!({"left": {"right": {}}})), None);
        assert!(misfit(&tree, &json!({"left": {"right": 1}})).is_some());
    }

    #[test]
    fn patterns_are_read_as_strict_readers_read_them() {
        let with = |pattern: &str| json!({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}});
        assert!(fault(&with("^[a-z]+$")).is_none());
        assert!(fault(&with(r"^\d{4}-(?=x)\w+\u{1F980}?$")).is_none());
        assert!(matches!(fault(&with("([")), Some(Fault::Pattern(_))));
        assert!(matches!(fault(&json!({"type": "text"})), Some(Fault::Invalid(_))));
    }
}
