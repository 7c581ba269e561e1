//! The demo's server: a small honest MCP server on stdin and stdout, so that nothing needs to be installed.
//!
//! Where it is told of an API it offers tools that ask it, by the address and with the token that it was given, and others
//! where not. It knows nothing of supervisors and gateways, and never asks twice.

use std::env;
use std::io::{self, BufRead as _};
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};

use super::api::{PATH, PREFIX};
use crate::{http, report};

/// The variables that tell the server of its API: its address, and the token for it.
pub(super) const API_URL: &str = "API_URL";
pub(super) const API_TOKEN: &str = "API_TOKEN";
/// The longest answer of an API that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// The variable that says how many milliseconds the server takes to start.
pub(super) const STARTS_AFTER: &str = "MCP_DEMO_STARTS_AFTER";

/// Serves until its input ends.
///
/// # Errors
/// If stdin or stdout cannot be used.
pub fn serve() -> Result<()> {
    let delay = env::var(STARTS_AFTER).ok().and_then(|delay| delay.parse().ok());
    thread::sleep(Duration::from_millis(delay.unwrap_or_default()));
    let api = Api::given()?;
    let mut letters = 0;
    for line in io::stdin().lock().split(b'\n') {
        let line = line.context("failed to read from stdin")?;
        let Ok(message) = serde_json::from_slice::<Value>(&line) else { continue };
        let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) else { continue };
        let name = if api.is_some() { "wallet" } else { "notes" };
        let answer = match method {
            "initialize" => Ok(greeting(name, &message["params"]["protocolVersion"])),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(api.as_ref().map_or_else(tools, |_| tools_of_api())),
            "tools/call" if message["params"]["name"] == "send_letter" => {
                // The letter is on its way and takes as long as it takes: the demo ends this process meanwhile.
                letters += 1;
                let params = json!({"level": "info", "data": "the letter is being carried"});
                print(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}))?;
                continue;
            }
            "tools/call" => Ok(call(&message["params"], letters, api.as_ref())),
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

fn greeting(name: &str, version: &Value) -> Value {
    let server = json!({"name": name, "version": env!("CARGO_PKG_VERSION")});
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

fn tools_of_api() -> Value {
    let none = json!({"type": "object"});
    let reads = json!({"readOnlyHint": true});
    json!({"tools": [
        {"name": "balance", "description": "Tell the balance", "inputSchema": none, "annotations": reads},
        {"name": "tokens", "description": "Tell each token that this server was given", "inputSchema": none,
            "annotations": reads},
        {"name": "pid", "description": "Tell the process id", "inputSchema": none, "annotations": reads},
    ]})
}

fn call(params: &Value, letters: u32, api: Option<&Api>) -> Value {
    let number = |name: &str| params["arguments"][name].as_i64().unwrap_or_default();
    let told = match (params["name"].as_str(), api) {
        (Some("add"), None) => Ok((number("left") + number("right")).to_string()),
        (Some("pid"), _) => Ok(process::id().to_string()),
        (Some("letters"), None) => Ok(letters.to_string()),
        (Some("balance"), Some(api)) => api.balance(),
        (Some("tokens"), Some(api)) => Ok(json!(api.tokens()).to_string()),
        (other, _) => Err(format!("no tool {:?}", other.unwrap_or_default())),
    };
    let content = |text: String| json!([{"type": "text", "text": text}]);
    match told {
        Ok(text) => json!({"content": content(text)}),
        Err(text) => json!({"content": content(text), "isError": true}),
    }
}

/// The API, as this server was told of it.
struct Api {
    url: String,
    token: String,
    client: Client,
    runtime: Runtime,
}

impl Api {
    /// `None` where the server was told of none.
    fn given() -> Result<Option<Self>> {
        let (Ok(url), Ok(token)) = (env::var(API_URL), env::var(API_TOKEN)) else { return Ok(None) };
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
        let client = http::client(None).map_err(|fault| anyhow!("failed to {fault}"))?;
        Ok(Some(Self { url, token, client, runtime }))
    }

    /// Each token in all that this process was given: the one that it uses, and whatever holds one of the API's.
    fn tokens(&self) -> Vec<String> {
        let given = env::vars_os().map(|(_, value)| value).chain(env::args_os());
        let given = given.map(|text| text.to_string_lossy().into_owned());
        given.filter(|text| *text == self.token || text.contains(PREFIX)).collect()
    }

    /// The balance, or why there is none.
    fn balance(&self) -> Result<String, String> {
        let asking = async {
            let answer =
                self.client.get(format!("{}{PATH}", self.url)).bearer_auth(&self.token).send().await?;
            let status = answer.status();
            http::body(answer, LONGEST).await.map(|body| (status, body.unwrap_or_default()))
        };
        let (status, body) = self
            .runtime
            .block_on(asking)
            .map_err(|error| format!("the API does not answer: {}", http::reason(&error)))?;
        if status == StatusCode::OK {
            let told: Value = serde_json::from_slice(&body).unwrap_or_default();
            Ok(told["balance"].to_string())
        } else {
            Err(format!("the API answers {status}: {}", http::error_code(&body).unwrap_or_default()))
        }
    }
}
