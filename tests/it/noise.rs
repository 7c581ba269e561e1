//! Servers that print on stdout what is no message.

use serde_json::{Value, json};

use crate::support::{Host, Plan, guidance, process, text_of};

/// What a supervisor may hold in a debug build, in KiB, whatever its server prints. Measured: about 15 MiB.
const MEMORY: u64 = 40 * 1024;

fn echoes(host: &mut Host, ids: std::ops::Range<u64>) {
    for id in ids {
        let text = format!("text {id}");
        assert_eq!(text_of(&host.ask(id, "echo", &json!({ "text": text }))), text);
    }
}

/// Waits until the supervisor has read this many bytes more.
fn until_read(host: &Host, bytes: u64) {
    let read = || process::bytes_read(host.pid()).unwrap_or(u64::MAX);
    let goal = read().saturating_add(bytes);
    host.until("there was enough noise", || read() >= goal);
}

fn assert_small(host: &Host) {
    let memory = process::memory(host.pid()).unwrap_or(0);
    assert!(memory < MEMORY, "the supervisor holds {memory} KiB");
}

#[test]
fn only_messages_reach_stdout() {
    for (kind, on_stderr) in [
        ("banner", "Listening on stdio: 100% ready {not json}"),
        ("json-log", "\"msg\":\"request handled\"}"),
        ("blank", "printed to stdout: \n"),
        ("colour", "server is up"),
        ("invalid-utf8", "caf\u{fffd} \u{fffd}"),
        ("lookalike", "{\"jsonrpc\":\"2.0\",\"hello\":\"world\"}"),
        ("array", "[1,2,3]"),
        ("bom", ""),
        ("crlf", ""),
        ("glued", "DEBUG sending"),
        ("no-newline", "done>"),
        ("half-line", "{\"jsonrpc\":\"2.0\",\"id\":1,\"resu"),
    ] {
        let mut host = Plan::new().server("--noise").server(kind).start();
        host.greet();
        host.list();
        echoes(&mut host, 0..5);
        host.ask(5, "noise", &json!({ "kind": kind }));
        echoes(&mut host, 6..8);
        assert_eq!(host.finish(), 0, "{kind}");
        let stderr = host.all_stderr();
        assert!(stderr.contains(on_stderr), "{kind}: {stderr}");
    }
}

#[test]
fn what_a_server_prints_does_nothing_to_a_terminal_and_is_json_in_a_log_for_programs() {
    let noise = r#"printf 'a\033[2J\302\233\342\200\256b\n'; exec "$@""#;
    let mut host = Plan::new().script(noise).start();
    host.greet();
    host.stderr_line_with("printed to stdout: a [2J  b");
    assert_eq!(host.finish(), 0);

    let mut host = Plan::new().options("--log-format json --log info").script(noise).start();
    host.greet();
    echoes(&mut host, 0..3);
    assert_eq!(host.finish(), 0);
    let stderr = host.all_stderr();
    assert!(stderr.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{stderr}");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let told: Vec<Value> = stderr.lines().map(parse).collect();
    let noise = told.iter().find(|line| line["line"] == "a\u{1b}[2J\u{9b}\u{202e}b");
    let other = told.iter().find(|line| line["message"] == "serving");
    let (Some(noise), Some(other)) = (noise, other) else { panic!("{stderr}") };
    for member in other.as_object().into_iter().flatten().map(|(name, _)| name) {
        let has =
            noise.get(member).is_some() || !["timestamp", "level", "target", "server"].contains(&&**member);
        assert!(has, "{member}: {noise}");
    }
}

#[test]
fn all_kinds_at_once_cost_no_answer() {
    let mut host = Plan::new()
        .server(
            "--noise banner --noise json-log --noise blank --noise colour --noise invalid-utf8 --noise array",
        )
        .server("--noise lookalike --noise crlf --noise glued --noise no-newline --noise half-line")
        .server("--answer-twice --answer-unknown --null-id-error")
        .start();
    host.greet();
    echoes(&mut host, 0..30);
    assert_eq!(host.finish(), 0);
}

#[test]
fn calls_are_answered_between_endless_lines() {
    let mut host = Plan::new().server("--noise endless-lines").start();
    host.greet();
    echoes(&mut host, 0..10);
    until_read(&host, 24 << 20);
    assert_small(&host);
    echoes(&mut host, 10..20);
    host.finish();
}

#[test]
fn a_line_that_never_ends_costs_neither_memory_nor_the_hosts_patience() {
    let mut host = Plan::new()
        .options("--init-timeout 100ms --hold 100ms")
        .server("--noise endless --never-greet")
        .start();
    let greeting = host.greet();
    assert_eq!(greeting["result"]["capabilities"], json!({"tools": {"listChanged": true}}));
    assert_eq!(host.list()["result"]["tools"][0]["name"], "supervisor_status");
    let told = guidance(&host.ask(1, "echo", &json!({"text": "a"}))).unwrap_or(Value::Null);
    assert_eq!((&told["status"], &told["outcome"]), (&json!("server_timeout"), &json!("not_executed")));
    until_read(&host, 24 << 20);
    assert_small(&host);
    host.finish();
}

#[test]
fn a_flood_without_pause_keeps_nobody_from_being_heard() {
    // A process of the server's that prints as fast as it can, and outlives the server. The server itself hardly gets a
    // word in, but its end, the host and the clock are heard.
    let mut host = Plan::new().tireless().options("--init-timeout 100ms").script("yes & exec \"$@\"").start();
    host.stderr_line_with("printed to stdout: y");
    for generation in 1..4 {
        process::kill_hard(host.server(generation));
    }
    host.server(4);
    host.greet();
    assert_small(&host);
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_flood_is_stopped_by_the_end_of_input() {
    let mut host = Plan::new().command(["yes"]).start();
    host.stderr_line("mcp-supervise: yes printed to stdout: y");
    assert_eq!(host.finish(), 0, "SIGTERM of our own ladder ended it");
}
