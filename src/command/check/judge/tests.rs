//! What no process can show in a test's time, and what must not be found.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::facts::facts;
use super::super::rule::TOOL_UNKNOWN;
use super::super::seen::{
    Answer, Death, Drill, Ending, Era, Kind, Life, ListFault, Listing, Output, Question, Recovery, Seen,
    Tally, Way,
};
use super::{Wanted, ended, judge, unlooked};

fn life(after: Duration, tools: &[Value]) -> Life {
    let greeting = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "a", "version": "1"},
    });
    let listing = Listing { kind: Kind::Tools, entries: tools.to_vec(), pages: Vec::new(), fault: None };
    Life {
        era: Era::Legacy,
        opening: Answer::Result { value: greeting, after },
        listings: vec![listing],
        asked: Vec::new(),
        output: Output::default(),
        stderr: String::new(),
        ending: None,
    }
}

fn seen(main: Life) -> Seen {
    Seen { main, again: Vec::new(), other: None, pair: Vec::new(), drill: None }
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
        // Within a part with an address of its own a pointer is meant from there.
        json!({"type": "object", "properties": {"a": {"$id": "https://example.org/a", "$ref": "#/$defs/b",
            "$defs": {"b": {"type": "string"}}}}}),
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
    let list = |entries: Vec<Value>| Listing { kind: Kind::Tools, entries, pages: Vec::new(), fault: None };
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

#[test]
fn a_server_that_left_late_once_has_no_time_of_leaving() {
    let ending =
        |took, rest| Ending { asked: Way::EndOfInput, took, obeyed_term: None, rest, left: Vec::new() };
    let quick = || ending(Some(Duration::from_millis(1700)), Some(Duration::from_millis(1800)));
    let told = |endings: [Ending; 2]| {
        let [first, second] =
            endings.map(|ending| Life { ending: Some(ending), ..life(Duration::ZERO, &[]) });
        let seen = Seen { pair: vec![second], ..seen(first) };
        let leaves = facts(&seen).into_iter().any(|(label, _)| label == "leaves");
        (rules(&seen).contains(&"leave-eof"), leaves)
    };
    assert_eq!(told([quick(), quick()]), (false, true));
    assert_eq!(told([quick(), ending(None, None)]), (true, false));
    // What it had started was late, and not itself.
    assert_eq!(
        told([ending(Some(Duration::from_secs(1)), Some(Duration::from_secs(4))), quick()]),
        (true, false)
    );
}

#[test]
fn an_unknown_tool_is_refused_with_whatever_the_rule_names() {
    let tools = [tool(&json!({"type": "object"}))];
    for (code, is_sound) in [(-32601, true), (-32602, true), (-32603, false)] {
        let mut life = life(Duration::ZERO, &tools);
        let answer = Answer::Error { code: Some(code), message: "no such tool".to_owned() };
        life.asked.push((Question::UnknownTool, answer));
        assert_eq!(rules(&seen(life)).is_empty(), is_sound, "{code}");
        assert_eq!(TOOL_UNKNOWN.says.contains(&code.to_string()), is_sound, "{code}");
    }
}

#[test]
fn a_pointer_is_not_meant_from_the_top_within_a_part_with_an_address() {
    let rules_of = |id: &str| {
        let part = json!({"$id": id, "properties": {"b": {"$ref": "#/$defs/c"}}});
        let schema = json!({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#",
            "$defs": {"c": {}}, "properties": {"a": part}});
        rules(&seen(life(Duration::ZERO, &[tool(&schema)])))
    };
    assert_eq!(rules_of("https://example.org/a"), ["schema-reference"]);
    // A name is no address.
    assert_eq!(rules_of("#a"), Vec::<&str>::new());
}

#[test]
fn an_array_without_items_is_told_by_its_path() {
    let bare = json!({"type": "array"});
    let group = json!({"type": "object", "properties": {"filters": {"type": "array",
        "items": {"type": "object", "properties": {"values": bare}}}}});
    for (schema, path) in [
        (
            json!({"type": "object", "properties": {"groups": {"type": "array", "items": group}}}),
            "groups[].filters[].values",
        ),
        (json!({"type": "object", "properties": {"a": {"anyOf": [bare, {"type": "null"}]}}}), "a"),
        (json!({"type": "object", "properties": {"a": {"type": "array", "items": bare}}}), "a[]"),
        (json!({"type": "object", "$defs": {"B": {"properties": {"c": bare}}}}), "$defs.B.c"),
        (json!({"type": "object", "definitions": {"B": bare}}), "definitions.B"),
        (json!({"type": "object", "additionalProperties": bare}), "*"),
        (json!({"type": "object", "patternProperties": {"^x": {"properties": {"c": bare}}}}), "*.c"),
    ] {
        let findings = judge(&seen(life(Duration::ZERO, &[tool(&schema)])), None);
        let told: Vec<_> = findings.iter().map(|finding| (finding.rule.name, &*finding.seen)).collect();
        let words = format!("inputSchema: the array {path:?} has no items");
        assert_eq!(told, [("schema-items", &*words)], "{schema}");
    }
    // Each part of a schema would have a copy of a name that is as long as the schema.
    let long = json!({"type": "object", "properties": {"a": {"properties": {"b".repeat(300): bare}}}});
    let findings = judge(&seen(life(Duration::ZERO, &[tool(&long)])), None);
    assert_eq!(findings[0].seen, "inputSchema: the array \"a...\" has no items");
}

#[test]
fn noise_is_told_with_its_time_and_its_number() {
    let noisy = |count: usize, of: fn(&mut Output) -> &mut Tally, took: Option<Duration>| {
        let mut life = life(Duration::ZERO, &[tool(&json!({"type": "object"}))]);
        (0..count).for_each(|number| of(&mut life.output).add(|| format!("{number}")));
        let asked = Way::EndOfInput;
        life.ending = Some(Ending { asked, took, obeyed_term: None, rest: None, left: Vec::new() });
        let findings = judge(&seen(life), None);
        findings
            .iter()
            .find(|finding| finding.rule.name == "stdout-noise")
            .map(|finding| finding.seen.clone())
    };
    let in_time = Some(Duration::from_millis(5));
    let told = |count, of, took| noisy(count, of, took).unwrap_or_default();
    assert_eq!(told(1, |output| &mut output.noise, in_time), "1 line is no message:\n0");
    assert_eq!(told(2, |output| &mut output.noise, in_time), "2 lines are no messages:\n0\n1");
    assert_eq!(
        told(9, |output| &mut output.noise, in_time),
        "9 lines are no messages, the first 3:\n0\n1\n2"
    );
    assert_eq!(
        told(1, |output| &mut output.noise_at_end, in_time),
        "1 line after the end of its input is no message:\n0"
    );
    assert_eq!(noisy(1, |output| &mut output.noise_at_term, in_time), None);
    assert_eq!(told(1, |output| &mut output.noise_at_term, None), "1 line after SIGTERM is no message:\n0");
}

#[test]
fn of_a_long_stderr_the_error_is_told() {
    let told = |lines: &[&str]| {
        let stderr = lines.join("\n");
        ended(&Death { how: "it ended".to_owned(), stderr })
    };
    let trace = ["at"; 9];
    for error in
        ["Error: Cannot find module 'a'", "Error [ERR_X]: Cannot find 'a'", "TypeError: a", "panic: a"]
    {
        let whole = [&["a", "b", "c", "d", error][..], &trace].concat();
        let expected =
            format!("it ended; it said on stderr:\na\nb\n...\n{error}\n...\n{}", ["at"; 6].join("\n"));
        assert_eq!(told(&whole), expected);
    }
    // What would hide a single line shows it.
    assert!(!told(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]).contains("..."));
    assert!(told(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]).contains("b\n...\ne"));
    assert_eq!(told(&[]), "it ended");
}

#[test]
fn a_list_that_failed_is_not_one_without_entries() {
    let mut life = life(Duration::ZERO, &[]);
    let offers = |life: Life| {
        let facts = facts(&seen(life)).into_iter();
        facts.filter(|(label, _)| *label == "offers").map(|(_, fact)| fact).collect::<String>()
    };
    let answer = Answer::Error { code: Some(-32603), message: "no network".to_owned() };
    life.listings[0].fault = Some(ListFault::Failed(1, answer));
    assert_eq!(offers(life), "tools not listed");
}

#[test]
fn what_was_not_asked_with_wrong_arguments_is_told_once() {
    let failed = |text: &str| Answer::Result {
        value: json!({"content": [{"type": "text", "text": text}], "isError": true}),
        after: Duration::ZERO,
    };
    let wrong = || Question::Arguments { tool: "a".to_owned(), arguments: json!({}) };
    let why = |asked: Vec<(Question, Answer)>| {
        let life = Life { asked, ..life(Duration::ZERO, &[tool(&json!({"type": "object"}))]) };
        let unlooked = unlooked(&seen(life), Wanted { calls: true, baseline: None });
        unlooked.parts.iter().find(|(name, _)| *name == "arguments").map(|(_, why)| *why)
    };
    let id = || (Question::Id("7"), failed(""));
    assert!(why(vec![id()]).is_some_and(|why| why.starts_with("no tool that says it only reads")));
    assert!(why(Vec::new()).is_some_and(|why| why.contains("gone, or silent")));
    let refused = (wrong(), failed("s is missing"));
    assert_eq!(why(vec![(Question::UnknownTool, failed("no such tool")), refused.clone()]), None);
    assert_eq!(why(vec![refused]), None);
    let always = || failed("there is no browser");
    let all = vec![(Question::UnknownTool, always()), (wrong(), always()), (wrong(), always())];
    assert_eq!(why(all), Some("the server answers each call with the same error"));
}
