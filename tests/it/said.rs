//! What we say ourselves, in every conversation of the tree and in those that are made here for each revision: whether it
//! has the form of the revision that was agreed on, whether it has words, and what a child hears first.
//!
//! The conversations say what is answered when; here it is only asked whether a host and a server of that revision would
//! take it. What a server has said before and is given again from memory is its own, and is not judged.

mod shape;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use mcp_supervise::engine::io::{Gen, Origin};
use serde_json::{Value, json};

use crate::conversation::{self, Event};
use crate::support::guidance;
use shape::{MODERN, REVISIONS};

const ENVELOPED: &str = "io.modelcontextprotocol/protocolVersion";

/// All conversations of the tree, played once: their names, and what goes in and out.
static ALL: LazyLock<Vec<(String, Vec<Event>)>> = LazyLock::new(|| {
    conversation::all().into_iter().map(|(name, script)| (name, conversation::events(&script))).collect()
});

/// Something of ours, and what it was said to.
#[derive(Debug)]
struct Said {
    message: Value,
    /// The method of the request that it answers. `None` for a notification.
    asked: Option<String>,
    revision: String,
    /// Whether a server has said the same.
    repeated: bool,
}

/// All that the host is told by us in a conversation.
fn said(events: &[Event]) -> Vec<Said> {
    let mut asked = BTreeMap::new();
    let mut agreed: Option<String> = None;
    let mut modern = false;
    let mut of_servers = Vec::new();
    let mut said = Vec::new();
    for event in events {
        match event {
            Event::Host(line) => {
                for message in messages(line) {
                    if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
                        let enveloped = message["params"]["_meta"][ENVELOPED].is_string();
                        modern |= enveloped;
                        asked.insert(id.to_string(), (method.to_owned(), enveloped));
                    }
                }
            }
            Event::ToHost(line, origin) => {
                for message in messages(line) {
                    let question = message.get("id").and_then(|id| asked.get(&id.to_string())).cloned();
                    let question = question.filter(|_| message.get("method").is_none());
                    let (method, enveloped) = question.unzip();
                    if method.as_deref() == Some("initialize")
                        && let Some(version) = message["result"]["protocolVersion"].as_str()
                    {
                        agreed.get_or_insert_with(|| version.to_owned());
                    }
                    let result = without_age(&message["result"]);
                    if *origin == Origin::Server {
                        of_servers.push(result);
                        continue;
                    }
                    let unagreed = if enveloped.unwrap_or(modern) { MODERN } else { "2025-11-25" };
                    said.push(Said {
                        asked: method,
                        revision: agreed.clone().unwrap_or_else(|| unagreed.to_owned()),
                        repeated: !result.is_null() && of_servers.contains(&result),
                        message,
                    });
                }
            }
            Event::Recalled(result) => of_servers.extend(messages(result).iter().map(without_age)),
            Event::ToChild(..) => {}
        }
    }
    said
}

/// The messages of a line: one, those of a batch, or none.
fn messages(line: &[u8]) -> Vec<Value> {
    match serde_json::from_slice(line) {
        Ok(Value::Array(batch)) => batch,
        Ok(message) => vec![message],
        Err(_) => Vec::new(),
    }
}

/// A result as it was before it grew old: `ttlMs` is what we change in it.
fn without_age(result: &Value) -> Value {
    let mut result = result.clone();
    if let Some(members) = result.as_object_mut() {
        members.remove("ttlMs");
    }
    result
}

/// Every method that a host of this revision may ask for, once while a server is there and once more when it is not; or
/// only the latter.
fn degraded(revision: &str, known: bool) -> String {
    let modern = revision == MODERN;
    let mut lines = vec!["# Made for a test.".to_owned(), "config max-restarts=0".to_owned()];
    let list = |name: &str, item: Value| {
        let mut result = json!({ name: [item] });
        if modern {
            result["resultType"] = json!("complete");
            result["ttlMs"] = json!(60_000);
            result["cacheScope"] = json!("public");
        }
        result
    };
    let tools =
        json!({"name": "typed", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}});
    let lists = [
        ("tools/list", list("tools", tools)),
        ("prompts/list", list("prompts", json!({"name": "p"}))),
        ("resources/list", list("resources", json!({"uri": "a:b", "name": "b"}))),
        ("resources/templates/list", list("resourceTemplates", json!({"uriTemplate": "a:{b}", "name": "b"}))),
    ];
    let ask = |id: &str, method: &str, params: &str| {
        if modern {
            format!("modern {id:?} {method} {params}").trim_end().to_owned()
        } else {
            format!(r#"host {{"jsonrpc":"2.0","id":{id:?},"method":"{method}","params":{{{params}}}}}"#)
        }
    };
    if known {
        if modern {
            lines.push(ask("discover", "server/discover", ""));
            lines.push(r#"answer "discover" {"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"prompts":{},"resources":{},"completions":{}},"ttlMs":1,"cacheScope":"public"}"#.to_owned());
        } else {
            lines.push(format!("greet {revision}"));
        }
        for (number, (method, result)) in lists.iter().enumerate() {
            lines.push(ask(&format!("list-{number}"), method, ""));
            lines.push(format!(r#"answer "list-{number}" {result}"#));
        }
        // What is in flight when the server dies.
        lines.push(ask("lost", "tools/call", r#""name":"act""#));
        lines.push(ask("lost-typed", "tools/call", r#""name":"typed""#));
        lines.push(ask("lost-custom", "acme/build", ""));
        if modern {
            lines.push(ask("stream", "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#));
        }
    }
    lines.push("exit code 1".to_owned());
    let opening = if modern { "server/discover" } else { "initialize" };
    let opening_params = if modern { String::new() } else { format!(r#""protocolVersion":"{revision}""#) };
    lines.push(ask("open", opening, &opening_params));
    for (method, params) in [
        ("ping", ""),
        ("tools/list", ""),
        ("tools/list", r#""cursor":"next""#),
        ("prompts/list", ""),
        ("resources/list", ""),
        ("resources/templates/list", ""),
        ("tools/call", r#""name":"act""#),
        ("tools/call", r#""name":"typed""#),
        ("tools/call", r#""name":"act","task":{"ttl":1}"#),
        ("tools/call", r#""name":"supervisor_status""#),
        ("resources/read", r#""uri":"a:b""#),
        ("resources/subscribe", r#""uri":"a:b""#),
        ("resources/unsubscribe", r#""uri":"a:b""#),
        ("prompts/get", r#""name":"p""#),
        ("completion/complete", ""),
        ("logging/setLevel", r#""level":"debug""#),
        ("tasks/get", r#""taskId":"t""#),
        ("tasks/list", ""),
        ("tasks/result", r#""taskId":"t""#),
        ("tasks/cancel", r#""taskId":"t""#),
        ("acme/build", ""),
    ] {
        lines.push(ask(&lines.len().to_string(), method, params));
    }
    if modern {
        lines.push(ask(
            "later-stream",
            "subscriptions/listen",
            r#""notifications":{"toolsListChanged":true}"#,
        ));
    }
    lines.push("stop".to_owned());
    lines.join("\n")
}

#[test]
fn every_degraded_answer_has_the_form_of_its_revision() {
    for revision in REVISIONS {
        for known in [true, false] {
            let said = said(&conversation::events(&degraded(revision, known)));
            let mut answered = BTreeMap::new();
            for said in &said {
                assert_eq!(said.revision, revision, "{said:?}");
                let fault = shape::fault(&said.message, said.asked.as_deref(), revision);
                assert_eq!(fault, None, "{revision}: {:?} was answered {}", said.asked, said.message);
                if let Some(method) = &said.asked {
                    *answered.entry(method.as_str()).or_insert(0) += 1;
                }
            }
            // None of them is missing: each method was answered as often as it was asked while no server was there.
            let expected = [
                ("tools/call", if known { 6 } else { 4 }),
                ("tools/list", 2),
                ("prompts/list", 1),
                ("resources/list", 1),
                ("resources/templates/list", 1),
                ("resources/read", 1),
                ("resources/subscribe", 1),
                ("prompts/get", 1),
                ("completion/complete", 1),
                ("logging/setLevel", 1),
                ("ping", 1),
                ("acme/build", if known { 2 } else { 1 }),
                (if revision == MODERN { "server/discover" } else { "initialize" }, 1),
            ];
            for (method, times) in expected {
                assert_eq!(answered.get(method), Some(&times), "{revision}, known: {known}: {method}");
            }
        }
    }
}

#[test]
fn what_we_say_in_every_conversation_has_the_form_of_its_revision() {
    let mut judged = 0;
    let mut wrong = Vec::new();
    for (name, events) in ALL.iter() {
        for said in said(events).iter().filter(|said| !said.repeated) {
            judged += 1;
            if let Some(fault) = shape::fault(&said.message, said.asked.as_deref(), &said.revision) {
                wrong.push(format!("{name} ({}): {fault}: {}", said.revision, said.message));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(judged > 200, "only {judged} messages were judged");
}

#[test]
fn no_error_and_no_guidance_is_without_words() {
    let (mut errors, mut guided) = (0, 0);
    let made = REVISIONS.iter().flat_map(|revision| [degraded(revision, true), degraded(revision, false)]);
    let made = made.map(|script| ("made for each revision".to_owned(), conversation::events(&script)));
    let made: Vec<_> = made.collect();
    for (name, events) in ALL.iter().chain(&made) {
        for Said { message, .. } in said(events) {
            let words = |value: &Value| value.as_str().is_some_and(|text| text.trim().len() > 3);
            if let Some(error) = message.get("error") {
                errors += 1;
                assert!(words(&error["message"]), "{name}: {message}");
                assert!(error["code"] != -32603 || error["data"].is_object(), "{name}: {message}");
            }
            if let Some(guidance) = guidance(&message) {
                guided += 1;
                for field in ["message", "hint"] {
                    assert!(words(&guidance[field]), "{name}: {field} in {guidance}");
                }
                // A call of our own tool has no outcome.
                assert!(guidance.get("outcome").is_none_or(words), "{name}: {guidance}");
                assert!(guidance["retryable"].is_boolean(), "{name}: {guidance}");
            }
        }
    }
    assert!(errors > 50 && guided > 100, "only {errors} errors and {guided} times guidance");
}

/// What each child of a conversation hears, in its order.
fn heard(events: &[Event]) -> (bool, BTreeMap<u32, Vec<Value>>) {
    let mut heard: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
    let mut greeted = false;
    for event in events {
        match event {
            Event::ToChild(Gen(child), line) => heard.entry(*child).or_default().extend(messages(line)),
            Event::Host(line) => {
                greeted |= messages(line).iter().any(|message| message["method"] == "initialize");
            }
            Event::ToHost(..) | Event::Recalled(_) => {}
        }
    }
    (greeted, heard)
}

/// Whether a message was made by us: its id is ours.
fn is_ours(message: &Value) -> bool {
    message["id"].as_str().is_some_and(|id| id.starts_with("mcp-supervise:"))
}

#[test]
fn the_first_that_a_child_hears_is_a_request() {
    let mut children = 0;
    for (name, events) in ALL.iter() {
        for (child, heard) in heard(events).1 {
            children += 1;
            // A host may open with junk: that is the first child's business, and is never told to a later one.
            if child > 1 {
                let first = &heard[0];
                assert!(first["method"].is_string() && first.get("id").is_some(), "{name}: {child}: {first}");
            }
        }
    }
    assert!(children > 400, "only {children} children");
}

#[test]
fn a_modern_child_hears_nothing_of_the_legacy_era_from_us() {
    let mut children = 0;
    for (name, events) in ALL.iter() {
        let (greeted, heard) = heard(events);
        for (child, heard) in heard {
            let modern = heard.iter().any(|message| message["params"]["_meta"][ENVELOPED].is_string());
            if greeted || !modern {
                continue;
            }
            children += 1;
            for message in heard {
                let method = message["method"].as_str().unwrap_or_default();
                let legacy =
                    ["initialize", "ping", "logging/setLevel", "resources/subscribe"].contains(&method);
                assert!(!(legacy && is_ours(&message)), "{name}: child {child} was told {message}");
                assert!(method != "notifications/initialized", "{name}: child {child} was told {message}");
                let enveloped = message["params"]["_meta"][ENVELOPED].is_string();
                assert!(enveloped || !is_ours(&message), "{name}: child {child} was told {message}");
            }
        }
    }
    assert!(children > 50, "only {children} children");
}
