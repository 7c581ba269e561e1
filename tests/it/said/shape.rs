//! The forms of what a server may say to a host, revision by revision, as far as we say it ourselves.
//!
//! It is stricter than the specification, whose objects may hold members that it does not name: here a result holds what
//! its revision names and nothing else, so that no member of one revision gets into another. It judges JSON values and
//! knows nothing of the engine.

use serde_json::Value;

/// The revision without a greeting.
pub(crate) const MODERN: &str = "2026-07-28";
/// All revisions, oldest first.
pub(crate) const REVISIONS: [&str; 5] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", MODERN];

/// The methods whose results a host of the modern era may keep for a while.
const CACHED: [&str; 6] = [
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

/// The notifications that a server may send in both eras, and the member that each must have.
const NOTIFICATIONS: [(&str, Option<&str>); 5] = [
    ("notifications/cancelled", Some("requestId")),
    ("notifications/resources/updated", Some("uri")),
    ("notifications/tools/list_changed", None),
    ("notifications/prompts/list_changed", None),
    ("notifications/resources/list_changed", None),
];

/// The name of a member, and what it must be.
type Member = (&'static str, fn(&Value) -> bool);

/// What is wrong with a message to the host that answers a request of this method, or is a notification.
pub(crate) fn fault(message: &Value, asked: Option<&str>, revision: &str) -> Option<String> {
    if message["jsonrpc"] != "2.0" {
        return Some("not JSON-RPC 2.0".to_owned());
    }
    let Some(method) = asked else { return notification(message, revision) };
    if !(message["id"].is_string() || message["id"].is_i64() || message["id"].is_u64()) {
        return Some("no id".to_owned());
    }
    match (message.get("result"), message.get("error")) {
        (Some(answer), None) => members(message, &[("jsonrpc", any), ("id", any), ("result", any)], &[])
            .or_else(|| result(answer, method, revision)),
        (None, Some(answer)) => {
            members(message, &[("jsonrpc", any), ("id", any), ("error", any)], &[]).or_else(|| error(answer))
        }
        _ => Some("neither result nor error".to_owned()),
    }
}

fn notification(message: &Value, revision: &str) -> Option<String> {
    let method = message["method"].as_str().unwrap_or_default();
    if method == "ping" && revision != super::MODERN {
        // The ping to the host after the process that started us has gone.
        return members(message, &[("jsonrpc", any), ("id", any), ("method", any)], &[]);
    }
    let Some((_, member)) = NOTIFICATIONS.iter().find(|(name, _)| *name == method) else {
        return Some("no answer, and no notification that a server may send".to_owned());
    };
    if message.get("id").is_some() {
        return Some("a notification with an id".to_owned());
    }
    if let Some(member) = member
        && !text_or_number(&message["params"][member])
    {
        return Some(format!("without {member}"));
    }
    let stream = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    if (revision == MODERN) != text_or_number(stream) {
        return Some("a stream is told in the modern era, and only there".to_owned());
    }
    None
}

fn error(error: &Value) -> Option<String> {
    members(error, &[("code", Value::is_i64), ("message", is_text)], &[("data", Value::is_object)]).or_else(
        || {
            // What is reserved for the SDKs and the specification is not ours to use.
            let known = [-32600, -32601, -32603].into_iter().any(|code| error["code"] == code);
            (!known).then(|| format!("the code {}", error["code"]))
        },
    )
}

fn result(result: &Value, method: &str, revision: &str) -> Option<String> {
    let modern = revision == MODERN;
    let mut required: Vec<Member> = Vec::new();
    let mut optional: Vec<Member> = vec![("_meta", Value::is_object)];
    if modern {
        required.push(("resultType", |kind| kind == "complete"));
    }
    if modern && CACHED.contains(&method) {
        required.push(("ttlMs", Value::is_u64));
        required.push(("cacheScope", |scope| scope == "private" || scope == "public"));
    }
    if method.ends_with("/list") {
        optional.push(("nextCursor", is_text));
    }
    match method {
        "initialize" if !modern => {
            required.extend([
                ("protocolVersion", is_text as fn(&Value) -> bool),
                ("capabilities", are_capabilities),
                ("serverInfo", is_implementation),
            ]);
            optional.push(("instructions", is_text));
            if result["protocolVersion"] != revision {
                return Some("another version than the one that was agreed on".to_owned());
            }
        }
        "server/discover" if modern => {
            required.push(("supportedVersions", |versions| is_list(versions, is_text)));
            required.push(("capabilities", are_capabilities));
            optional.push(("instructions", is_text));
        }
        "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" if !modern => {}
        "tools/list" => required.push(("tools", |tools| is_list(tools, is_tool))),
        "prompts/list" => required.push(("prompts", |prompts| is_list(prompts, is_named))),
        "resources/list" => required
            .push(("resources", |resources| is_list(resources, |one| is_named(one) && is_text(&one["uri"])))),
        "resources/templates/list" => required.push(("resourceTemplates", |templates| {
            is_list(templates, |one| is_named(one) && is_text(&one["uriTemplate"]))
        })),
        "tools/call" => required.push(("content", |content| is_list(content, is_text_content))),
        "completion/complete" => required.push(("completion", is_completion)),
        "subscriptions/listen" if modern => {
            let stream = &result["_meta"]["io.modelcontextprotocol/subscriptionId"];
            if !text_or_number(stream) {
                return Some("without the id of the stream".to_owned());
            }
        }
        _ => return Some(format!("{method} has no result that we may give in {revision}")),
    }
    members(result, &required, &optional)
}

/// What is wrong with an object that must have these members, may have those, and has no others.
fn members(object: &Value, required: &[Member], optional: &[Member]) -> Option<String> {
    let Some(found) = object.as_object() else { return Some("no object".to_owned()) };
    if let Some((name, _)) = required.iter().find(|(name, _)| !found.contains_key(*name)) {
        return Some(format!("without {name}"));
    }
    found.iter().find_map(|(name, value)| {
        match required.iter().chain(optional).find(|(known, _)| known == name) {
            None => Some(format!("with {name}")),
            Some((_, is_right)) => (!is_right(value)).then(|| format!("{name} is {value}")),
        }
    })
}

fn any(_: &Value) -> bool {
    true
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn text_or_number(value: &Value) -> bool {
    value.is_string() || value.is_i64() || value.is_u64()
}

fn is_list(value: &Value, is_right: fn(&Value) -> bool) -> bool {
    // A list of ours that is empty is what some hosts would take for good.
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_right))
}

fn is_named(value: &Value) -> bool {
    is_text(&value["name"])
}

fn is_implementation(value: &Value) -> bool {
    is_named(value) && is_text(&value["version"])
}

fn are_capabilities(value: &Value) -> bool {
    value.as_object().is_some_and(|capabilities| capabilities.values().all(Value::is_object))
}

fn is_tool(tool: &Value) -> bool {
    is_named(tool) && tool["inputSchema"]["type"] == "object"
}

fn is_text_content(content: &Value) -> bool {
    members(content, &[("type", |kind| kind == "text"), ("text", is_text)], &[]).is_none()
}

fn is_completion(completion: &Value) -> bool {
    let values = |values: &Value| values.as_array().is_some_and(|values| values.iter().all(Value::is_string));
    let total: Member = ("total", Value::is_u64);
    members(completion, &[("values", values)], &[total, ("hasMore", Value::is_boolean)]).is_none()
}
