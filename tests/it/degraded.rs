//! Servers that do not start: the host is greeted and told what a person can do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Host, Plan, guidance, request, text_of};

/// Checks the answers to everything that a host asks for at first, and returns the guidance that a call gets.
/// `retryable` is whether another call may be served.
fn told(host: &mut Host, retryable: bool) -> Value {
    let greeting = host.greet();
    assert_eq!(greeting["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(greeting["result"]["capabilities"], json!({"tools": {"listChanged": true}}));
    assert!(greeting["result"]["serverInfo"]["name"].is_string());
    let list = host.list();
    let tools = list["result"]["tools"].as_array().expect("a list is never refused");
    assert_eq!(tools.len(), 1, "{list}");
    assert_eq!(tools[0]["name"], "supervisor_status");
    assert_eq!(tools[0]["inputSchema"]["type"], "object");
    let status = host.ask("status", "supervisor_status", &json!({}));
    assert!(status["result"].get("isError").is_none(), "{status}");
    let status = guidance(&status).unwrap_or_else(|| host.fail("the status is told"));
    assert!(!status.to_string().contains("not executed") && status.get("outcome").is_none(), "{status}");
    host.send(request("ping", "ping", &json!({})));
    assert_eq!(host.answer("ping")["result"], json!({}));
    let call = host.ask("call", "echo", &json!({"text": "a"}));
    assert!(call["result"].get("isError").is_none(), "{call}");
    let told = guidance(&call).unwrap_or_else(|| host.fail("the call was not answered with guidance"));
    assert_eq!(told["status"], "server_unavailable");
    assert_eq!((&told["outcome"], &told["retryable"]), (&json!("not_executed"), &json!(retryable)));
    for field in ["message", "hint", "server"] {
        assert!(told[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {told}");
    }
    let after = told.get("retry_after_ms").and_then(Value::as_u64);
    assert!(after.is_some_and(|ms| ms <= 5000) || !retryable && after.is_none(), "{told}");
    // What has no sensible empty result carries the same as the data of an error.
    host.send(request("other", "server/unknown", &json!({})));
    let other = host.answer("other");
    assert_eq!(other["error"]["code"], -32603, "{other}");
    assert_eq!(other["error"]["data"]["status"], "server_unavailable", "{other}");
    told
}

fn script(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("the folder is ours");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the file is ours");
}

#[test]
fn a_command_that_cannot_be_started_is_told_with_its_reason() {
    for (what, code, detail) in [
        ("missing", 127, "No such file or directory"),
        ("a-folder", 126, "Is a directory"),
        ("not-executable", 126, "Permission denied"),
        ("no-interpreter", 126, "its interpreter /nowhere/node does not exist"),
    ] {
        let plan = Plan::new();
        let command = plan.path(what);
        match what {
            "a-folder" => fs::create_dir(&command).unwrap(),
            "not-executable" => script(&command, "#!/bin/sh\n", 0o644),
            "no-interpreter" => script(&command, "#!/nowhere/node\n", 0o755),
            _ => {}
        }
        let mut host = plan.command([&command]).start();
        let told = told(&mut host, false);
        assert!(told["detail"].as_str().is_some_and(|text| text.ends_with(detail)), "{what}: {told}");
        assert!(told["hint"].as_str().is_some_and(|hint| hint.contains(what)), "{what}: {told}");
        assert!(told.get("exit").is_none() && told.get("stderr_tail").is_none(), "{what}: {told}");
        assert_eq!(host.finish(), code, "{what}");
        assert!(host.all_stderr().contains(detail), "{what}");
    }
}

#[test]
fn a_command_without_a_slash_is_looked_for_and_not_found() {
    let mut host = Plan::new().command(["no-such-command-anywhere", "--api-key", "hunter2hunter2"]).start();
    let told = told(&mut host, false);
    assert!(!told.to_string().contains("hunter2"), "{told}");
    assert_eq!(host.finish(), 127);
    assert!(!host.all_stderr().contains("hunter2"));
}

#[test]
fn a_server_that_keeps_crashing_is_told_with_its_last_words_and_without_secrets() {
    let mut host = Plan::new()
        .options("--max-restarts 3 --backoff-max 0s")
        .variable("DEMO_TOKEN", "very-secret-value")
        .variable("DEMO_NAME", "no-secret-at-all")
        .script("echo \"using $DEMO_TOKEN as $DEMO_NAME\" >&2; exec \"$@\"")
        .server("--die-on-start --exit-code 3 --last-words")
        .server("last-words")
        .start();
    // It is degraded once it has crashed this often.
    host.server(4);
    host.stderr_line_with("the server is not available");
    let told = told(&mut host, true);
    assert_eq!((&told["exit"], &told["restarts"]), (&json!("code 3"), &json!(3)));
    let tail = told["stderr_tail"].as_str().unwrap_or_default();
    assert_eq!(tail, "using *** as no-secret-at-all\nlast-words");
    assert_eq!(host.finish(), 3);
    let answers: Vec<u8> = host.lines().concat();
    assert!(!String::from_utf8_lossy(&answers).contains("very-secret"), "a secret is in an answer");
    // The server's own stderr passes as it is.
    assert!(host.all_stderr().contains("using very-secret-value"));
}

#[test]
fn a_command_that_comes_to_be_is_started_without_a_call() {
    let plan = Plan::new();
    // Not even its folder exists.
    let folder = plan.path("later/bin");
    let command = folder.join("late-server");
    let fixture = plan.fixture();
    let mut host = plan.command([&command]).options("--log debug").start();
    host.greet();
    assert_eq!(host.list()["result"]["tools"][0]["name"], "supervisor_status");
    assert!(guidance(&host.ask(1, "echo", &json!({"text": "a"}))).is_some(), "there is no server");
    host.stderr_line_with("watching for changes");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(&fixture[0], &command).unwrap();
    host.message("notifications/tools/list_changed", 1);
    assert_eq!(text_of(&host.ask(2, "echo", &json!({"text": "back"}))), "back");
    host.send(request(3, "tools/list", &json!({})));
    assert!(host.answer(3)["result"]["tools"].as_array().is_some_and(|tools| tools.len() > 10));
    assert_eq!(host.finish(), 0);
}
