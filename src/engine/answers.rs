//! The replies that we write ourselves, as JSON texts without a line feed.

use super::guidance::Guidance;
use super::replay::{NEWEST_GREETED, is_greeted_revision};
use crate::wire::Id;

/// JSON-RPC: the method does not exist.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the request is not valid.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: internal error; what carries guidance where an ordinary result would not be valid.
pub(super) const INTERNAL_ERROR: i32 = -32603;

/// The name of the one tool that a server without any known list is given.
pub(super) const STATUS_TOOL: &str = "supervisor_status";

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
pub(super) fn guidance_result(id: &Id, guidance: &Guidance) -> String {
    let text = quoted(&guidance.to_json());
    result(id, &format!("{{\"content\":[{{\"type\":\"text\",\"text\":{text}}}]}}"))
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
pub(super) fn status_tool_list(server: &str) -> String {
    let description = quoted(&format!(
        "The MCP server {server:?} is not running. Call this tool to learn why and what the person can do; the server's own tools appear once it runs."
    ));
    format!(
        "{{\"tools\":[{{\"name\":\"{STATUS_TOOL}\",\"description\":{description},\"inputSchema\":{{\"type\":\"object\",\"properties\":{{}}}},\"annotations\":{{\"readOnlyHint\":true}}}}]}}"
    )
}

/// The result of a call of the status tool.
pub(super) fn status_tool_result(story: &str) -> String {
    format!("{{\"content\":[{{\"type\":\"text\",\"text\":{}}}]}}", quoted(story))
}

/// A notification that the server's request `id` need not be answered any more.
pub(super) fn cancelled(id: &Id) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id},\"reason\":\"the server process was restarted\"}}}}"
    )
}

/// A notification that a resource may have changed; its URI as JSON text.
pub(super) fn resource_updated(uri: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{{\"uri\":{uri}}}}}"
    )
}

/// A notification that the list of tools is another one.
pub(super) const TOOLS_CHANGED: &str =
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}";

/// A text as JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
