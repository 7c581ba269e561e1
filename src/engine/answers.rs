//! The replies that we write ourselves, as JSON texts without a line feed.

use bytes::Bytes;

use super::good::Era;
use super::guidance::Guidance;
use super::replay::{NEWEST_GREETED, is_greeted_revision};
use crate::wire::{Id, edit};

/// JSON-RPC: the method does not exist.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the request is not valid.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: internal error; what carries guidance where an ordinary result would not be valid.
pub(super) const INTERNAL_ERROR: i32 = -32603;

/// The name of the one tool that a server without any known list is given.
pub(super) const STATUS_TOOL: &str = "supervisor_status";

/// What each result of the modern era begins with.
const COMPLETE: &str = "\"resultType\":\"complete\",";
/// What the results of the modern era that may be cached hold besides: ours are stale at once.
const NOT_CACHED: &str = "\"ttlMs\":0,\"cacheScope\":\"private\",";

/// A result.
pub(super) fn result(id: &Id, result: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}

/// An error without data.
pub(super) fn error(id: &Id, code: i32, message: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{}}}}}",
        quoted(message)
    )
}

/// Guidance as an ordinary tool result. `isError` is absent: this is a state of the connection, no failure of the tool.
pub(super) fn guidance_result(id: &Id, guidance: &Guidance, era: Era) -> String {
    result(id, &text_result(&guidance.to_json(), era))
}

/// Guidance as the data of an error, where an ordinary result would not be valid.
pub(super) fn guidance_error(id: &Id, guidance: &Guidance) -> String {
    let message = quoted(&format!("{} {}", guidance.message, guidance.hint));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{INTERNAL_ERROR},\"message\":{message},\"data\":{}}}}}",
        guidance.to_json()
    )
}

/// The version for a host that has asked for this one and has no server to choose: the one it asked for if there is such
/// a revision, else the newest.
pub(super) fn version_for(requested: Option<&str>) -> &str {
    requested.filter(|version| is_greeted_revision(version)).unwrap_or(NEWEST_GREETED)
}

/// The result of a greeting when no good one is known: tools only, because nothing else can be promised.
pub(super) fn minimal_greeting(version: &str, server: &str) -> String {
    format!(
        "{{\"protocolVersion\":{},\"capabilities\":{{\"tools\":{{\"listChanged\":true}}}},\"serverInfo\":{{\"name\":{},\"version\":\"0\"}}}}",
        quoted(version),
        quoted(server)
    )
}

/// The result of `tools/list` when no good one is known. It is never empty: some hosts take it once and for all.
pub(super) fn status_tool_list(server: &str, era: Era) -> String {
    let description = quoted(&format!(
        "The tools of the MCP server {server:?} are not available yet: call this tool to learn why and what the person can do, and the server's own tools appear as soon as it answers."
    ));
    let (complete, not_cached) = in_modern(era, (COMPLETE, NOT_CACHED));
    format!(
        "{{{complete}{not_cached}\"tools\":[{{\"name\":\"{STATUS_TOOL}\",\"description\":{description},\"inputSchema\":{{\"type\":\"object\",\"properties\":{{}}}},\"annotations\":{{\"readOnlyHint\":true}}}}]}}"
    )
}

/// The result of a tool call that is one text.
pub(super) fn text_result(text: &str, era: Era) -> String {
    let (complete, _) = in_modern(era, (COMPLETE, ""));
    format!("{{{complete}\"content\":[{{\"type\":\"text\",\"text\":{}}}]}}", quoted(text))
}

/// The result of a completion that offers nothing.
pub(super) fn no_completion(era: Era) -> String {
    let (complete, _) = in_modern(era, (COMPLETE, ""));
    format!("{{{complete}\"completion\":{{\"values\":[],\"hasMore\":false}}}}")
}

/// The result with which a listening stream ends.
pub(super) fn stream_end(id: &Id) -> String {
    format!("{{{COMPLETE}\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{id}}}}}")
}

/// A result of earlier, to be given again: it is stale at once, where it says how long it lasts.
pub(super) fn stale(result: &Bytes) -> String {
    String::from_utf8_lossy(&edit::replace(result, &["ttlMs"], "0")).into_owned()
}

fn in_modern<'t>(era: Era, members: (&'t str, &'t str)) -> (&'t str, &'t str) {
    match era {
        Era::Legacy => ("", ""),
        Era::Modern => members,
    }
}

/// A request of ours, a line.
pub(super) fn request(id: &Id, method: &str, params: &str) -> Bytes {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}\n").into()
}

/// The answer of a server to its greeting, with `listChanged` in the capabilities that it names: the host hears of a list
/// that has changed only if it was told that it may, and a restarted server may have other lists.
pub(super) fn with_list_changed(line: &Bytes, at: &[&str]) -> Bytes {
    let path = [at, &["capabilities"]].concat();
    let Some(told) = edit::find_in(line, &path) else { return line.clone() };
    let mut capabilities = Bytes::copy_from_slice(told.as_bytes());
    for kind in ["tools", "prompts", "resources"] {
        let Some(capability) = edit::find_in(&capabilities, &[kind]) else { continue };
        let Some(rest) = capability.strip_prefix('{') else { continue };
        capabilities = match edit::find(capability, &["listChanged"]) {
            Some("true") => continue,
            Some(_) => edit::replace(&capabilities, &[kind, "listChanged"], "true"),
            None => {
                let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
                let with = format!("{{\"listChanged\":true{comma}{rest}");
                edit::replace(&capabilities, &[kind], &with)
            }
        };
    }
    if capabilities == told.as_bytes() {
        return line.clone();
    }
    edit::replace(line, &path, &String::from_utf8_lossy(&capabilities))
}

/// A notification that a call need not be finished.
pub(super) fn cancel_call(id: &Id) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id},\"reason\":\"it took longer than it may\"}}}}"
    )
}

/// A notification that the server's request `id` need not be answered any more.
pub(super) fn cancelled(id: &Id) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id},\"reason\":\"the server process was restarted\"}}}}"
    )
}

/// A notification that a resource may have changed; its URI as JSON text. `stream` is the listening stream that it
/// belongs to, `None` in the legacy era.
pub(super) fn resource_updated(uri: &str, stream: Option<&Id>) -> String {
    let meta = stream.map_or_else(String::new, |id| format!(",{}", subscription(id)));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{{\"uri\":{uri}{meta}}}}}"
    )
}

/// A notification that a list is another one; `kind` is `tools`, `prompts` or `resources`. `stream` as above.
pub(super) fn list_changed(kind: &str, stream: Option<&Id>) -> String {
    let params = stream.map_or_else(String::new, |id| format!(",\"params\":{{{}}}", subscription(id)));
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{kind}/list_changed\"{params}}}")
}

/// The member of `params` that says which stream a notification belongs to.
fn subscription(id: &Id) -> String {
    format!("\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{id}}}")
}

/// A text as JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
