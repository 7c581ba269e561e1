//! Servers that run and do not answer, and servers that only look like it.

use std::fs::File;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Host, Plan, call, guidance, message, request, text_of};

const PING: &str = "\"method\":\"ping\"";

/// How many pings this server has read.
fn pings(host: &Host, server: i32) -> usize {
    host.heard(server).iter().filter(|line| line.contains(PING)).count()
}

fn stop(server: i32) {
    kill(Pid::from_raw(server), Signal::SIGSTOP).expect("the server lives");
}

/// Quick with servers that hang, and slow enough for healthy ones on a machine that is busy.
fn watchful() -> Plan {
    Plan::new().tireless().options("--ping-interval 100ms --stop-grace 20ms --term-grace 20ms")
}

#[test]
fn an_idle_server_that_no_longer_answers_is_replaced_when_it_is_needed() {
    // After its greeting and the list it reads nothing more.
    let mut host = watchful().server_with("--first", "--stop-reading-at 3").options("--log info").start();
    host.greet();
    host.list();
    let hung = host.server(1);
    host.stderr_line_with("does not answer pings");
    assert_eq!(host.servers(), [hung], "it hurts nobody");
    assert_eq!(text_of(&host.ask(1, "echo", &json!({"text": "a"}))), "a");
    assert_eq!(host.servers().len(), 2);
    let state = host.state(2);
    assert_eq!((&state["generation"], &state["complaints"]), (&json!(2), &json!([])));
    host.until_gone("the server that hung", hung);
    assert_eq!(host.finish(), 0);
}

#[test]
fn an_idle_server_that_is_stopped_is_replaced() {
    let mut host = watchful().start();
    host.greet();
    host.list();
    let stopped = host.server(1);
    stop(stopped);
    host.server(2);
    assert_eq!(text_of(&host.ask(1, "echo", &json!({"text": "a"}))), "a");
    host.until_gone("the server that was stopped", stopped);
    host.finish();
}

#[test]
fn a_call_of_a_stopped_server_is_answered_after_three_intervals() {
    let mut host = watchful().start();
    host.greet();
    host.list();
    let stopped = host.server(1);
    host.send(call("unsafe", "hang", &json!({})));
    host.until_heard(stopped, "\"unsafe\"");
    stop(stopped);
    // It cannot have read this one: it is sent to the next server, or again, for it only reads.
    host.send(call("safe", "pid", &json!({})));
    let told = guidance(&host.answer("unsafe")).expect("no server can answer it");
    assert_eq!((&told["status"], &told["outcome"]), (&json!("server_restarted"), &json!("unknown")));
    assert!(told["message"].as_str().is_some_and(|text| text.contains("SIGSTOP")), "{told}");
    let next = host.server(2).to_string();
    assert_eq!(text_of(&host.answer("safe")).split(' ').next(), Some(&*next));
    host.until_gone("the server that was stopped", stopped);
    host.finish();
}

#[test]
fn a_server_that_computes_is_not_taken_for_hung() {
    // With and without progress, for many times three intervals. It cannot answer a ping meanwhile, and is asked none.
    for progress in [true, false] {
        let mut host = Plan::new().options("--ping-interval 50ms --max-restarts 0").start();
        let until = json!({"until": host.path("enough")});
        let mut params = json!({"name": "compute", "arguments": until});
        if progress {
            params["_meta"] = json!({"progressToken": "p"});
        }
        // All at once, so that the server is never idle.
        let compute = request("compute", "tools/call", &params);
        let all = [&message::initialize("2025-06-18"), message::INITIALIZED, &compute, ""].join("\n");
        host.send_raw(all.as_bytes());
        let server = host.server(1);
        if progress {
            host.message("notifications/progress", 60);
        } else {
            host.stderr_line_with("step 60");
        }
        assert_eq!(host.answers("compute"), 0);
        // Nor is it idle after that, until it has said what it has read.
        host.send(call("state", "state", &json!({})));
        File::create(host.path("enough")).expect("the folder is ours");
        let answer = host.answer("compute");
        assert!(text_of(&answer).starts_with("done after"), "{answer}");
        let state: Value = serde_json::from_str(text_of(&host.answer("state"))).expect("it is JSON");
        assert_eq!((&state["pid"], &state["complaints"]), (&json!(server), &json!([])));
        assert_eq!(state["messages"], 4, "it was pinged while it computed");
        host.finish();
        assert_eq!(host.servers().len(), 1);
    }
}

#[test]
fn an_idle_server_that_answers_stays() {
    let mut host = Plan::new().options("--ping-interval 100ms --max-restarts 0").start();
    host.greet();
    host.list();
    let server = host.server(1);
    // Five is more than may be missed: those before the last must have been answered.
    host.until("an idle server is pinged", || pings(&host, server) >= 5);
    let state = host.state(1);
    assert_eq!((&state["pid"], &state["complaints"]), (&json!(server), &json!([])));
    assert_eq!(host.finish(), 0);
    assert_eq!(host.servers(), [server]);
    // The answers are ours.
    let ours = host.lines().iter().filter(|line| String::from_utf8_lossy(line).contains("ping")).count();
    assert_eq!(ours, 0);
}

#[test]
fn a_call_that_takes_too_long_is_answered_and_taken_back() {
    let mut host = Plan::new().options("--call-timeout 400ms --ping-interval 0 --max-restarts 0").start();
    host.greet();
    let server = host.server(1);
    let until = json!({"until": host.path("enough")});
    let told = guidance(&host.ask("long", "compute", &until)).expect("the server computes");
    assert_eq!((&told["status"], &told["outcome"]), (&json!("server_timeout"), &json!("unknown")));
    assert_eq!(told["retryable"], false);
    // It reads on after it has answered, which is too late, and before it answers what comes next.
    File::create(host.path("enough")).expect("the folder is ours");
    host.until_heard(server, "notifications/cancelled");
    let state = host.state("next");
    assert_eq!((&state["pid"], &state["complaints"]), (&json!(server), &json!([])));
    let cancelled: Vec<Value> = host
        .heard(server)
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["method"] == "notifications/cancelled")
        .map(|line| line["params"]["requestId"].clone())
        .collect();
    assert_eq!(cancelled, ["long"]);
    assert_eq!(host.finish(), 0);
    assert_eq!(host.answers("long"), 1);
}
