//! Servers that take long to start: what the host is told meanwhile, and how that is put right.
//!
//! A file lets the server go. Until a test makes it, the server has read nothing, however slow the machine is.

use std::fs::File;

use serde_json::{Value, json};

use crate::kept::fill;
use crate::support::message::initialize;
use crate::support::{Host, Plan, call, guidance, request, text_of};

/// A server that is quick once, so that its answers are known, and then waits to be let go.
fn slow_later(more: &str) -> Plan {
    let plan = Plan::new();
    let wait = format!("--wait-for {} {more}", plan.path("go").display());
    plan.server_with("--later", wait).options("--stop-grace 20ms --term-grace 20ms")
}

fn let_go(host: &Host) {
    File::create(host.path("go")).expect("the folder is ours");
}

fn names(list: &Value) -> Vec<String> {
    let tools = list["result"]["tools"].as_array().expect("a list is never refused");
    tools.iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect()
}

/// The list as the server has it once it is there.
fn listed_again(host: &mut Host) -> Value {
    host.send(request("again", "tools/list", &json!({})));
    host.answer("again")
}

/// The server has read nothing so far.
fn assert_unread(host: &Host, server: i32) {
    assert!(!host.path("go").exists());
    assert_eq!(host.heard(server), Vec::<String>::new());
}

#[test]
fn a_slow_server_that_is_known_is_greeted_and_listed_from_disk_and_put_right_later() {
    let plan = slow_later("--extra-tool late");
    let known = fill(&plan);
    let mut host = plan.options("--init-grace 100ms --init-timeout 1m --hold 300ms").start();
    let server = host.server(2);
    let greeting = host.greet();
    assert_eq!(greeting["result"]["serverInfo"]["name"], "fixture-server");
    let list = host.list();
    assert_eq!(list["result"]["tools"], known["result"]["tools"]);
    assert_unread(&host, server);
    let_go(&host);
    host.message("notifications/tools/list_changed", 1);
    assert!(names(&listed_again(&mut host)).contains(&"late".to_owned()));
    let state = host.state("state");
    assert_eq!((&state["pid"], &state["complaints"]), (&json!(server), &json!([])));
    assert_eq!(host.finish(), 0);
    assert_eq!(host.messages("notifications/tools/list_changed"), 1);
}

#[test]
fn a_list_waits_for_a_slow_server_as_long_as_it_may() {
    let plan = slow_later("--extra-tool late");
    fill(&plan);
    // The greeting is from disk, and the list is not, for the server comes before the time is over.
    let mut host = plan.options("--init-grace 50ms --hold 1m").start();
    let server = host.server(2);
    host.greet();
    host.send(request("list", "tools/list", &json!({})));
    host.send(request("ping", "ping", &json!({})));
    host.answer("ping");
    assert_unread(&host, server);
    assert_eq!(host.answers("list"), 0);
    let_go(&host);
    assert!(names(&host.answer("list")).contains(&"late".to_owned()));
    host.state("state");
    host.finish();
    assert_eq!(host.messages("notifications/tools/list_changed"), 0);
}

#[test]
fn a_host_is_not_told_of_a_list_that_is_the_same() {
    let plan = slow_later("");
    let known = fill(&plan);
    let mut host = plan.options("--init-grace 50ms --hold 50ms").start();
    let server = host.server(2);
    host.greet();
    assert_eq!(host.list()["result"]["tools"], known["result"]["tools"]);
    let_go(&host);
    // The server answers in order: what it is asked after the list is answered after the list.
    host.until_heard(server, "tools/list");
    host.state("state");
    host.finish();
    assert_eq!(host.messages("notifications/tools/list_changed"), 0);
}

#[test]
fn a_slow_server_of_which_nothing_is_known_is_greeted_for_with_the_least() {
    let plan = Plan::new();
    let wait = plan.path("go").display().to_string();
    let mut host = plan
        .server_with("--wait-for", wait)
        .options("--init-timeout 100ms --hold 1m --stop-grace 20ms --term-grace 20ms")
        .start();
    let server = host.server(1);
    let greeting = host.greet();
    assert_eq!(greeting["result"]["capabilities"], json!({"tools": {"listChanged": true}}));
    let list = host.list();
    assert_eq!(names(&list), ["supervisor_status"]);
    assert_unread(&host, server);
    // A call waits on.
    host.send(call("call", "echo", &json!({"text": "a"})));
    let_go(&host);
    assert_eq!(text_of(&host.answer("call")), "a");
    host.message("notifications/tools/list_changed", 1);
    assert!(names(&listed_again(&mut host)).contains(&"echo".to_owned()));
    assert_eq!(host.state("state")["complaints"], json!([]));
    assert_eq!(host.finish(), 0);
}

#[test]
fn an_instant_start_is_from_disk_before_the_server_has_read_anything() {
    let plan = slow_later("--extra-tool late");
    let known = fill(&plan);
    // Longer than a test may take: neither greeting nor list waits for any of these.
    let mut host = plan.options("--instant-start --init-grace 1m --init-timeout 1m --hold 1m").start();
    let server = host.server(2);
    assert_eq!(host.greet()["result"]["serverInfo"]["name"], "fixture-server");
    assert_eq!(host.list()["result"]["tools"], known["result"]["tools"]);
    host.send(call("call", "echo", &json!({"text": "a"})));
    assert_unread(&host, server);
    let_go(&host);
    assert_eq!(text_of(&host.answer("call")), "a");
    host.message("notifications/tools/list_changed", 1);
    assert!(names(&listed_again(&mut host)).contains(&"late".to_owned()));
    assert_eq!(host.state("state")["complaints"], json!([]));
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_call_of_an_instant_start_is_held_and_then_answered_with_guidance() {
    let plan = slow_later("");
    fill(&plan);
    let mut host = plan.options("--instant-start --hold 200ms").start();
    let server = host.server(2);
    host.greet();
    host.list();
    let told = guidance(&host.ask(1, "echo", &json!({"text": "early"}))).expect("nobody can answer it");
    assert_eq!((&told["status"], &told["outcome"]), (&json!("server_timeout"), &json!("not_executed")));
    assert_eq!(told["retryable"], true);
    assert_unread(&host, server);
    let_go(&host);
    // Under load the server may take longer than a call is held.
    host.until_heard(server, "initialized");
    assert_eq!(text_of(&host.ask(2, "echo", &json!({"text": "now"}))), "now");
    assert!(!host.heard(server).iter().any(|line| line.contains("early")), "it was executed after all");
    assert_eq!(host.state("state")["complaints"], json!([]));
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_host_that_is_patient_gets_the_greeting_of_the_slow_server() {
    let plan = slow_later("--version 2025-03-26");
    fill(&plan);
    let mut host = plan.options("--init-grace 1m").start();
    let server = host.server(2);
    host.send(initialize("2025-06-18"));
    // It is answered by us as long as no server is there.
    host.send(request("ping", "ping", &json!({})));
    host.answer("ping");
    assert_unread(&host, server);
    assert_eq!(host.answers("greet"), 0);
    let_go(&host);
    assert_eq!(host.answer("greet")["result"]["protocolVersion"], "2025-03-26");
    host.finish();
}
