//! What no process can show in a test's time, and what must not be found.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::seen::{Answer, Drill, Era, Kind, Life, Listing, Output, Recovery, Seen};
use super::judge;

fn life(after: Duration, tools: &[Value]) -> Life {
    let greeting = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "a", "version": "1"},
    });
    let listing = Listing { kind: Kind::Tools, entries: tools.to_vec(), first: Value::Null, fault: None };
    Life {
        era: Era::Legacy,
        opening: Answer::Result { value: greeting, after },
        listings: vec![listing],
        asked: Vec::new(),
        output: Output::default(),
        ending: None,
    }
}

fn seen(main: Life) -> Seen {
    Seen { main, other: None, pair: Vec::new(), drill: None }
}

fn rules(seen: &Seen) -> Vec<&'static str> {
    judge(seen, None).iter().map(|finding| finding.rule.name).collect()
}

fn tool(schema: &Value) -> Value {
    json!({"name": "a", "description": "a", "inputSchema": schema})
}

#[test]
fn a_slow_start_is_judged_by_the_fastest() {
    let tools = [tool(&json!({"type": "object"}))];
    for (seconds, rule) in
        [(9, None), (11, Some("start-slow")), (29, Some("start-slow")), (31, Some("start-too-slow"))]
    {
        let mut seen = seen(life(Duration::from_secs(seconds), &tools));
        assert_eq!(rules(&seen).first().copied(), rule, "{seconds}");
        // The first start may have downloaded something.
        seen.pair = vec![life(Duration::from_secs(1), &[])];
        assert_eq!(rules(&seen), Vec::<&str>::new(), "{seconds}");
    }
}

#[test]
fn schemas_that_real_tools_have_are_sound() {
    for schema in [
        json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}, "required": ["a"]}),
        json!({"type": "object", "$defs": {"b": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/b"}}}),
        json!({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"b c": {}},
            "properties": {"a": {"$ref": "#/definitions/b%20c"}}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}}),
        json!({"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null}}}),
        json!({"type": "object", "properties": {"a": {"type": "array", "prefixItems": [{"type": "string"}]}}}),
        json!({"type": "object", "properties": {"a": {"$anchor": "b", "type": "string"}, "c": {"$ref": "#b"}}}),
        // What is data is no schema.
        json!({"type": "object", "properties": {"a": {"default": {"type": "array", "$ref": "#/none"}}}}),
        json!({"type": "object", "properties": {"type": {"type": "string"}, "items": {"type": "string"}}}),
    ] {
        assert_eq!(rules(&seen(life(Duration::ZERO, &[tool(&schema)]))), Vec::<&str>::new(), "{schema}");
    }
}

#[test]
fn a_schema_that_is_very_deep_or_refers_to_itself_comes_to_an_end() {
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"type": "object", "properties": {"a": deep}});
    }
    judge(&seen(life(Duration::ZERO, &[tool(&deep)])), None);
    let round = json!({"type": "object", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
        "properties": {"c": {"$ref": "#/$defs/a"}}});
    judge(&seen(life(Duration::ZERO, &[tool(&round)])), None);
}

#[test]
fn after_a_crash_meta_may_differ_and_order_may_too() {
    let entry = |name: &str, meta: u32| json!({"name": name, "description": "a", "inputSchema": {"type": "object"}, "_meta": {"at": meta}});
    let list = |entries: Vec<Value>| Listing { kind: Kind::Tools, entries, first: Value::Null, fault: None };
    let mut seen = seen(life(Duration::ZERO, &[entry("a", 1), entry("b", 1)]));
    let drill = |after: Vec<Value>| Drill {
        before: vec![list(vec![entry("a", 1), entry("b", 1)])],
        outcome: Ok(Recovery { after: Duration::ZERO, lists: vec![list(after)] }),
    };
    seen.drill = Some(drill(vec![entry("b", 2), entry("a", 2)]));
    assert_eq!(rules(&seen), Vec::<&str>::new());
    seen.drill = Some(drill(vec![entry("b", 2)]));
    assert_eq!(rules(&seen), ["crash-lists"]);
}
