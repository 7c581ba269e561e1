//! The demo's server: a small honest MCP server on stdin and stdout, so that nothing needs to be installed.

use std::env;
use std::io::{self, BufRead as _};
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::report;

/// The variable that says how many milliseconds the server takes to start.
pub(super) const STARTS_AFTER: &str = "MCP_DEMO_STARTS_AFTER";

/// Serves until its input ends.
///
/// # Errors
/// If stdin or stdout cannot be used.
pub fn serve() -> Result<()> {
    let delay = env::var(STARTS_AFTER).ok().and_then(|delay| delay.parse().ok());
    thread::sleep(Duration::from_millis(delay.unwrap_or_default()));
    let mut letters = 0;
    for line in io::stdin().lock().lines() {
        let line = line.context("failed to read from stdin")?;
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) else { continue };
        let answer = match method {
            "initialize" => Ok(greeting(&message["params"]["protocolVersion"])),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(tools()),
            "tools/call" if message["params"]["name"] == "send_letter" => {
                // The letter is on its way and takes as long as it takes: the demo ends this process meanwhile.
                letters += 1;
                let params = json!({"level": "info", "data": "the letter is being carried"});
                print(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}))?;
                continue;
            }
            "tools/call" => Ok(call(&message["params"], letters)),
            _ => Err(json!({"code": -32601, "message": "Method not found"})),
        };
        let answer = match answer {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
        };
        print(&answer)?;
    }
    Ok(())
}

fn print(message: &Value) -> Result<()> {
    report::text(format!("{message}\n")).context("failed to write to stdout")
}

fn greeting(version: &Value) -> Value {
    let server = json!({"name": "demo", "version": env!("CARGO_PKG_VERSION")});
    json!({"protocolVersion": version, "capabilities": {"tools": {}, "logging": {}}, "serverInfo": server})
}

fn tools() -> Value {
    let none = json!({"type": "object"});
    let numbers =
        json!({"type": "object", "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}}});
    let reads = json!({"readOnlyHint": true});
    json!({"tools": [
        {"name": "add", "description": "Add two numbers", "inputSchema": numbers, "annotations": reads},
        {"name": "pid", "description": "Tell the process id", "inputSchema": none, "annotations": reads},
        {"name": "letters", "description": "Count the letters sent", "inputSchema": none, "annotations": reads},
        {"name": "send_letter", "description": "Send a letter", "inputSchema": none},
    ]})
}

fn call(params: &Value, letters: u32) -> Value {
    let number = |name: &str| params["arguments"][name].as_i64().unwrap_or_default();
    let text = match params["name"].as_str() {
        Some("add") => (number("left") + number("right")).to_string(),
        Some("pid") => process::id().to_string(),
        Some("letters") => letters.to_string(),
        other => {
            let name = other.unwrap_or_default();
            return json!({"content": [{"type": "text", "text": format!("no tool {name:?}")}], "isError": true});
        }
    };
    json!({"content": [{"type": "text", "text": text}]})
}
