//! Servers that die: what the host sees of it, and what the next server is told.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{Host, Plan, call, guidance, process, request, text_of};

/// The ids of the unsafe calls that were executed, in the order of their execution.
fn journal(host: &Host) -> Vec<String> {
    host.file("journal")
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, id)| id.to_owned())
        .collect()
}

/// How often requests with this id were read by any server.
fn times_heard(host: &Host, id: &str) -> usize {
    let id = format!("\"id\":{id},");
    host.servers().iter().flat_map(|&server| host.heard(server)).filter(|line| line.contains(&id)).count()
}

fn assert_no_complaints(state: &Value) {
    assert_eq!(state["complaints"], json!([]), "{state}");
}

#[test]
fn a_host_does_not_notice_twenty_kills() {
    let mut host = Plan::new().tireless().start();
    host.greet();
    host.list();
    for round in 0..20 {
        let server = host.server(round + 1);
        let id = |what: &str| format!("{what}-{round}");
        host.send(call(id("echo"), "echo", &json!({"text": "a"})));
        host.send(call(id("count"), "count", &json!({})));
        host.send(call(id("hang"), "hang", &json!({})));
        host.send(call(id("look"), "slow-safe", &json!({"ms": 20})));
        host.until_heard(server, &id("look"));
        process::kill_hard(server);
        for what in ["after-1", "after-2"] {
            host.send(call(id(what), "echo", &json!({"text": what})));
        }
        assert_eq!(text_of(&host.answer(id("echo"))), "a");
        let count = host.answer(id("count"));
        assert!(text_of(&count) == "1" || guidance(&count).is_some(), "{count}");
        let told = guidance(&host.answer(id("hang"))).expect("no server can answer it");
        assert_eq!((&told["status"], &told["outcome"]), (&json!("server_restarted"), &json!("unknown")));
        assert_eq!(told["exit"], "signal 9");
        assert_eq!(text_of(&host.answer(id("look"))), "slept 20 ms");
        assert_eq!(text_of(&host.answer(id("after-1"))), "after-1");
        assert_eq!(text_of(&host.answer(id("after-2"))), "after-2");
        let state = host.state(id("state"));
        assert_no_complaints(&state);
        assert_eq!(state["generation"], round + 2);
    }
    assert_eq!(host.finish(), 0);
    let mut executed = journal(&host);
    let all = executed.len();
    executed.sort();
    executed.dedup();
    assert_eq!(executed.len(), all, "an unsafe call ran twice: {executed:?}");
    for server in host.servers() {
        host.until_gone("the server", server);
    }
}

#[test]
fn every_death_is_survived() {
    for death in [
        "--die-at-message 4",
        "--die-at-message 4 --exit-code 0",
        "--die-at-message 4 --exit-signal SEGV",
        "--die-at-message 4 --exit-signal KILL",
        "--die-after-answer 2",
        "--die-after-answer 3 --exit-signal TERM",
        "--die-mid-line=2",
        "--die-mid-line=3 --exit-signal ABRT",
        "--die-mid-line",
        "--die-at-method initialize",
        "--die-at-method notifications/initialized",
        "--die-after-answer 1",
        "--die-on-start",
        "--die-on-start --exit-signal HUP",
        "--close-stdout-at 4",
        "--close-stdin-at 4",
        "--close-stdout-at 1",
    ] {
        let mut host = Plan::new().tireless().server_with("--first", death).start();
        let greeting = host.greet();
        assert_eq!(greeting["result"]["serverInfo"]["name"], "fixture-server", "{death}: {greeting}");
        assert!(host.list()["result"]["tools"].is_array(), "{death}");
        assert_eq!(text_of(&host.ask(1, "echo", &json!({"text": "a"}))), "a", "{death}");
        host.ask(2, "count", &json!({}));
        let state = host.state(3);
        assert_eq!((&state["generation"], &state["complaints"]), (&json!(2), &json!([])), "{death}");
        assert_eq!(host.finish(), 0, "{death}");
        assert!(journal(&host).len() <= 1, "{death}");
    }
}

#[test]
fn what_was_answered_before_the_death_is_not_asked_again() {
    // The greeting and the list are its first two answers; it dies with the rest unanswered and perhaps unread.
    let mut host = Plan::new().tireless().server_with("--first", "--die-after-answer 102").start();
    host.greet();
    host.list();
    let mut all = String::new();
    for id in 0..300 {
        writeln!(all, "{}", call(id, "pid", &json!({}))).unwrap();
    }
    host.send_raw(all.as_bytes());
    let dead = host.server(1).to_string();
    for id in 0..300 {
        let answer = host.answer(id);
        let by_the_first = text_of(&answer).split(' ').next() == Some(&dead);
        assert_eq!(by_the_first, id < 100, "{id}: {answer}");
        if id < 100 {
            assert_eq!(times_heard(&host, &id.to_string()), 1, "{id}");
        }
    }
    assert_no_complaints(&host.state("state"));
    host.finish();
}

#[test]
fn requests_that_a_deaf_server_never_read_are_sent_to_the_next() {
    let mut host = Plan::new().tireless().server_with("--first", "--stop-reading-at 4").start();
    host.greet();
    host.list();
    host.ask("last", "pid", &json!({}));
    // More than the pipe holds. `count` is unsafe, so it is run only where the first server cannot have read it.
    let padding = "x".repeat(2000);
    for id in 0..100 {
        host.send(call(id, "count", &json!({ "padding": padding })));
    }
    process::kill_hard(host.server(1));
    let counted = (0..100).filter(|&id| guidance(&host.answer(id)).is_none()).count();
    assert!((1..100).contains(&counted), "{counted} of 100 calls were run");
    assert_eq!(journal(&host).len(), counted);
    assert_no_complaints(&host.state("state"));
    host.finish();
}

#[test]
fn code_75_is_a_restart_that_is_not_counted() {
    let mut host = Plan::new().options("--max-restarts 0").start();
    host.greet();
    host.list();
    let answer = host.ask(1, "crash", &json!({"code": 75, "when": "after"}));
    assert_eq!(text_of(&answer), format!("alive: {}", host.server(1)));
    assert_eq!(host.state(2)["generation"], 2);
    // The second time within ten seconds it is a crash like any other, and one is too many here.
    let told = guidance(&host.ask(3, "crash", &json!({"code": 75}))).expect("it died of this");
    assert_eq!((&told["status"], &told["exit"]), (&json!("server_restarted"), &json!("code 75")));
    let told = guidance(&host.ask(4, "echo", &json!({"text": "a"}))).expect("there is no server");
    assert_eq!((&told["status"], &told["outcome"]), (&json!("server_unavailable"), &json!("not_executed")));
    assert_eq!(host.finish(), 75);
}

#[test]
fn requests_of_different_servers_do_not_get_mixed_up() {
    let mut host = Plan::new().tireless().start();
    host.greet();
    host.list();
    host.send(call(1, "ask", &json!({"method": "roots/list"})));
    let first = host.message("roots/list", 1);
    assert_eq!(first["id"], 0, "the first server's requests pass as they are");
    process::kill_hard(host.server(1));
    // The host learns that nobody waits for its answer any more.
    assert_eq!(host.message("notifications/cancelled", 1)["params"]["requestId"], 0);
    assert!(guidance(&host.answer(1)).is_some());
    let server = host.server(2);
    host.send(call(2, "ask", &json!({"method": "roots/list"})));
    let second = host.message("roots/list", 2);
    assert_ne!(second["id"], first["id"]);
    let answer = |id: &Value, name: &str| {
        json!({"jsonrpc": "2.0", "id": id, "result": {"roots": [{"uri": "file:///a", "name": name}]}})
            .to_string()
    };
    host.send(answer(&first["id"], "late"));
    host.send(answer(&second["id"], "right"));
    let roots: Value =
        serde_json::from_str(text_of(&host.answer(2))).expect("it answers what it was answered");
    assert_eq!(roots["roots"][0]["name"], "right");
    assert_no_complaints(&host.state(3));
    assert!(!host.heard(server).iter().any(|line| line.contains("late")));
    host.finish();
}

#[test]
fn the_next_server_is_told_what_the_host_had_said() {
    let mut host = Plan::new().tireless().start();
    host.greet();
    for (id, uri) in [(1, "fixture://greeting"), (2, "fixture://pid"), (3, "fixture://item/a")] {
        host.send(request(id, "resources/subscribe", &json!({ "uri": uri })));
        host.answer(id);
    }
    for (id, level) in [(4, "info"), (5, "error")] {
        host.send(request(id, "logging/setLevel", &json!({ "level": level })));
        host.answer(id);
    }
    host.send(request(6, "resources/unsubscribe", &json!({"uri": "fixture://pid"})));
    host.answer(6);
    process::kill_hard(host.server(1));
    let server = host.server(2);
    let state = host.state(7);
    assert_no_complaints(&state);
    assert_eq!((&state["version"], &state["client"]["name"]), (&json!("2025-06-18"), &json!("h")));
    let told: Vec<String> = host
        .heard(server)
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("it is told messages only");
            let detail = [&line["params"]["level"], &line["params"]["uri"], &line["params"]["name"]];
            let detail = detail.into_iter().find_map(Value::as_str).unwrap_or_default();
            format!("{} {detail}", line["method"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        told,
        [
            "initialize ",
            "notifications/initialized ",
            "logging/setLevel error",
            "resources/subscribe fixture://greeting",
            "resources/subscribe fixture://item/a",
            "tools/call state",
        ]
    );
    // The host is asked to look again at what may have changed meanwhile.
    host.message("notifications/resources/updated", 2);
    assert_eq!(text_of(&host.ask(8, "touch", &json!({"uri": "fixture://greeting"}))), "subscribed: true");
    host.message("notifications/resources/updated", 3);
    host.finish();
}

#[test]
fn a_poisonous_request_kills_two_servers_and_no_more() {
    let mut host = Plan::new().tireless().start();
    host.greet();
    host.list();
    let told = guidance(&host.ask(1, "crash-safe", &json!({"signal": "SEGV"}))).expect("it kills");
    assert_eq!((&told["status"], &told["exit"]), (&json!("server_restarted"), &json!("signal 11")));
    assert_eq!(times_heard(&host, "1"), 2);
    assert_eq!(host.state(2)["generation"], 3);
    host.finish();
}
