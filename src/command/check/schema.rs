//! JSON Schemas, and values against them. Pure, and done in a time that does not depend on who wrote the schema.
//!
//! A few lines of a schema can stand for more work than a machine does in years, when each part refers twice to the next.
//! What that comes to is counted first, and such a schema is not used. What the count does not foresee is ended by a limit
//! of time.

mod size;

use std::time::Duration;

use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use self::size::is_too_large;
use super::deadline::{Outcome, within};

/// How deep a schema may be nested to be looked at: deeper than people write them.
pub(super) const DEEPEST: usize = 100;
/// How many reasons are told.
const MOST_REASONS: usize = 3;
/// How much of a path is told, in bytes.
const LONGEST_PATH: usize = 200;
/// How long a schema may be worked on.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be said against a schema itself.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no schema, and why.
    Invalid(String),
    /// A pattern of it is no regular expression to a strict reader, and which.
    Pattern(String),
    /// It stands for too much work, and how much.
    Intricate(String),
    /// It is nested deeper than is looked at here, which says nothing of its validity.
    Deep,
}

/// Why a value does not fit a schema. `None` if it does, or if the schema or the value cannot be used, which is told
/// elsewhere.
pub(super) fn misfit(schema: &Value, value: &Value) -> Option<String> {
    misfit_within(PATIENCE, schema, value)
}

fn misfit_within(patience: Duration, schema: &Value, value: &Value) -> Option<String> {
    if is_deep(schema) || is_deep(value) || is_too_large(schema) {
        return None;
    }
    let (schema, value) = (schema.clone(), value.clone());
    let reasons = move || -> Vec<String> {
        let Ok(validator) = validator(&schema) else { return Vec::new() };
        validator.iter_errors(&value).take(MOST_REASONS).map(|error| told(&error)).collect()
    };
    match within(patience, reasons) {
        Outcome::Done(reasons) => (!reasons.is_empty()).then(|| reasons.join("; ")),
        Outcome::Late | Outcome::Failed => None,
    }
}

/// What is wrong with a schema. Against the draft that it names, and 2020-12 where it names none.
pub(super) fn fault(schema: &Value) -> Option<Fault> {
    if let Some(draft) = schema["$schema"].as_str()
        && !draft.contains("json-schema.org/")
    {
        return Some(Fault::Invalid(format!("$schema is {draft:?}, which is no draft of JSON Schema")));
    }
    if is_deep(schema) {
        return Some(Fault::Deep);
    }
    if is_too_large(schema) {
        let seen = format!("its references come to more than {} parts", size::MOST_PARTS);
        return Some(Fault::Intricate(seen));
    }
    let whole = schema.clone();
    match within(PATIENCE, move || invalid(&whole)) {
        Outcome::Done(fault) => fault,
        Outcome::Late => {
            let seen = format!("it was not read within {} s", PATIENCE.as_secs());
            Some(Fault::Intricate(seen))
        }
        Outcome::Failed => None,
    }
}

fn invalid(schema: &Value) -> Option<Fault> {
    if let Err(error) = jsonschema::meta::validate(schema) {
        let of_pattern = error.instance_path().to_string().contains("/pattern");
        let told = told(&error);
        return Some(if of_pattern { Fault::Pattern(told) } else { Fault::Invalid(told) });
    }
    validator(schema).err().map(Fault::Pattern)
}

/// An error is why the schema cannot be used.
fn validator(schema: &Value) -> Result<Validator, String> {
    jsonschema::validator_for(schema).map_err(|error| told(&error))
}

fn is_deep(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        let deeper = |inner: &Value| left == 0 || deeper(inner, left - 1);
        match value {
            Value::Object(members) => {
                members.values().filter(|it| it.is_object() || it.is_array()).any(deeper)
            }
            Value::Array(all) => all.iter().filter(|it| it.is_object() || it.is_array()).any(deeper),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    deeper(value, DEEPEST)
}

fn told(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    if place.is_empty() { error.to_string() } else { format!("{error} (at {place})") }
}

/// Goes over a schema and all that are in it, but not over examples and values, which are data.
pub(super) fn walk<'s>(schema: &'s Value, see: &mut impl FnMut(&'s Value, Place<'s, '_>)) {
    go(schema, Place { base: schema, path: "" }, 0, see);
}

/// Where a part of a schema stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'s, 'p> {
    /// The nearest part with an address of its own that it is in, which it may be itself: from there pointers are meant.
    pub(super) base: &'s Value,
    /// What it describes, as `filters[].values`. Empty for the whole.
    pub(super) path: &'p str,
}

fn go<'s>(
    schema: &'s Value,
    place: Place<'s, '_>,
    depth: usize,
    see: &mut impl FnMut(&'s Value, Place<'s, '_>),
) {
    if depth > DEEPEST {
        return;
    }
    match schema {
        Value::Object(members) => {
            // One that begins with `#` names the part, and moves nothing.
            let has_address = schema["$id"].as_str().is_some_and(|id| !id.starts_with('#'));
            let base = if has_address { schema } else { place.base };
            let Place { path, .. } = place;
            see(schema, Place { base, path });
            for (name, inner) in members {
                let mut go = |inner, path: &str| go(inner, Place { base, path }, depth + 1, see);
                match &**name {
                    "const" | "enum" | "default" | "examples" | "example" => {}
                    // Their members are names that the server has chosen, and these may be any words.
                    "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                        for (key, inner) in inner.as_object().into_iter().flatten() {
                            match &**name {
                                "properties" => go(inner, &below(path, key)),
                                "patternProperties" => go(inner, &below(path, "*")),
                                "dependentSchemas" => go(inner, path),
                                _ => go(inner, &below(path, &format!("{name}.{key}"))),
                            }
                        }
                    }
                    "additionalProperties" | "unevaluatedProperties" => go(inner, &below(path, "*")),
                    "items" | "prefixItems" | "additionalItems" | "unevaluatedItems" | "contains" => {
                        go(inner, &format!("{path}[]"));
                    }
                    _ => go(inner, path),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|inner| go(inner, place, depth + 1, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn below(path: &str, name: &str) -> String {
    match path {
        // Each part has a copy.
        _ if path.len() + name.len() > LONGEST_PATH => format!("{path}..."),
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each part refers to the next twice, in the one way or the other: no loop, but 2 to the 40 paths.
    fn doubling(reference: &str, to: impl Fn(usize) -> String, own: Option<(&str, &str)>) -> Value {
        let part = |level: usize| {
            let mut part = match level {
                0..40 => {
                    let next = json!({ reference: to(level + 1) });
                    json!({"allOf": [next, next]})
                }
                _ => json!({"type": "object"}),
            };
            if let Some((member, name)) = own {
                part[member] = name.replace('%', &level.to_string()).into();
            }
            (format!("d{level}"), part)
        };
        let definitions: serde_json::Map<_, _> = (0..=40).map(part).collect();
        json!({"type": "object", "$defs": definitions, "allOf": [{ reference: to(0) }]})
    }

    #[test]
    fn a_schema_that_doubles_itself_is_not_used_in_whichever_way_it_refers() {
        let schemas = [
            doubling("$ref", |level| format!("#/$defs/d{level}"), None),
            doubling("$ref", |level| format!("#/%24defs/d{level}"), None),
            doubling("$ref", |level| format!("#d{level}"), Some(("$anchor", "d%"))),
            doubling("$ref", |level| format!("d{level}.json"), Some(("$id", "d%.json"))),
            doubling("$ref", |level| format!("https://a.org/d{level}"), Some(("$id", "https://a.org/d%"))),
            doubling("$ref", |level| format!("d{level}.json#"), Some(("$id", "/x/d%.json"))),
            doubling("$ref", |level| format!("#d{level}"), Some(("$id", "#d%"))),
            doubling("$ref", |level| format!("d{level}"), Some(("id", "d%"))),
            doubling("$dynamicRef", |level| format!("#d{level}"), Some(("$dynamicAnchor", "d%"))),
            doubling("$dynamicRef", |level| format!("#/$defs/d{level}"), None),
        ];
        for schema in schemas {
            assert!(matches!(fault(&schema), Some(Fault::Intricate(_))), "{schema}");
            assert_eq!(misfit(&schema, &json!({})), None);
        }
    }

    #[test]
    fn a_long_way_of_references_is_not_gone() {
        let definitions: serde_json::Map<_, _> = (0..100_000)
            .map(|level| (format!("d{level}"), json!({"$ref": format!("#/$defs/d{}", level + 1)})))
            .collect();
        let schema =
            json!({"type": "object", "$defs": definitions, "properties": {"a": {"$ref": "#/$defs/d0"}}});
        assert!(matches!(fault(&schema), Some(Fault::Intricate(_))));
    }

    #[test]
    fn what_takes_long_though_it_is_small_is_given_up() {
        // Each level of the value is looked at twice for each look at the level above.
        let both = json!({"properties": {"a": {"$ref": "#"}}});
        let schema = json!({"type": "object", "allOf": [both, both]});
        let value = (0..18).fold(json!("no object"), |inner, _| json!({ "a": inner }));
        assert!(fault(&schema).is_none());
        assert_eq!(misfit_within(Duration::from_millis(1), &schema, &value), None);
        assert!(misfit_within(Duration::from_secs(600), &schema, &value).is_some());
    }

    #[test]
    fn depth_is_our_limit_and_no_fault_of_the_schema() {
        let nested = |levels: usize| {
            (0..levels).fold(
                json!({"type": "object"}),
                |inner, _| json!({"type": "object", "additionalProperties": inner}),
            )
        };
        assert!(fault(&nested(DEEPEST)).is_none());
        assert!(matches!(fault(&nested(DEEPEST + 1)), Some(Fault::Deep)));
        assert_eq!(misfit(&nested(DEEPEST + 1), &json!(1)), None);
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
