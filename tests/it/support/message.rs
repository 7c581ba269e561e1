//! Messages as hosts write them, and what is in the answers.

use serde_json::{Value, json};

/// What a host says once it is greeted.
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// The longest line that a failed test shows, in bytes, and the most lines of each kind.
const SHOWN: (usize, usize) = (400, 60);

/// A greeting with the id `"greet"`.
pub(crate) fn initialize(version: &str) -> String {
    let params =
        json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "h", "version": "1"}});
    request("greet", "initialize", &params)
}

/// A request.
pub(crate) fn request(id: impl Into<Value>, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params}).to_string()
}

/// A tool call.
pub(crate) fn call(id: impl Into<Value>, tool: &str, arguments: &Value) -> String {
    request(id, "tools/call", &json!({"name": tool, "arguments": arguments}))
}

/// The text of a tool's result. Empty if there is none.
pub(crate) fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

/// The guidance in an answer, from a result or from an error. `None` if it is an answer of the server.
pub(crate) fn guidance(answer: &Value) -> Option<Value> {
    let data = &answer["error"]["data"];
    let found = if data.is_null() { serde_json::from_str(text_of(answer)).ok()? } else { data.clone() };
    found["status"].is_string().then_some(found)
}

/// What is wrong with a line that must be one message. `None` if nothing is.
pub(crate) fn fault(line: &[u8]) -> Option<String> {
    let shown = || shortened(&String::from_utf8_lossy(line));
    match serde_json::from_slice::<Value>(line) {
        Ok(message) => (!is_whole(&message)).then(|| format!("no message on stdout: {}", shown())),
        Err(_) => Some(format!("not JSON on stdout: {}", shown())),
    }
}

/// Whether this is one message.
pub(crate) fn is_whole(message: &Value) -> bool {
    let members = |name| message.get(name).is_some();
    message["jsonrpc"] == "2.0"
        && (members("method") || (members("result") ^ members("error")))
        && message.get("id").is_none_or(|id| id.is_string() || id.is_number())
}

/// Long texts as a person can read them.
pub(crate) fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(SHOWN.1);
    let shown = lines[skipped..].iter().map(|line| match line.char_indices().nth(SHOWN.0) {
        Some((end, _)) => format!("{}... ({} bytes)\n", &line[..end], line.len()),
        None => format!("{line}\n"),
    });
    let start = if skipped > 0 { format!("({skipped} lines before)\n") } else { String::new() };
    std::iter::once(start).chain(shown).collect()
}
