//! The fixture server's tools that call the daemon, behind the supervisor.

use serde_json::{Value, json};

use crate::support::daemon::{BALANCE, Daemon};
use crate::support::{Host, Plan, call, request, text_of};

/// A host whose server calls the daemon with this token.
fn host(base: &str, token: &str) -> Host {
    let plan = Plan::new().server("--daemon-tools");
    let mut host = plan.variable("WAIAAS_BASE_URL", base).variable("WAIAAS_SESSION_TOKEN", token).start();
    host.greet();
    host
}

/// The error in a tool's result.
fn error(answer: &Value) -> Value {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    serde_json::from_str(text_of(answer)).unwrap_or_else(|_| panic!("{answer}"))
}

#[test]
fn they_are_listed_only_when_asked_for() {
    let names = |host: &mut Host| -> Vec<String> {
        let tools = host.list()["result"]["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect()
    };
    let mut with = host("http://127.0.0.1:1", "t");
    let mut without = Plan::new().start();
    without.greet();
    let (with, without) = (names(&mut with), names(&mut without));
    assert_eq!(with[..without.len()], without);
    assert_eq!(with[without.len()..], ["get_balance", "get_typed_balance", "send_token", "stream_events"]);
}

#[test]
fn they_call_the_daemon_with_the_token_of_their_start() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let mut host = host(daemon.base(), &session.token);
    let balance = host.ask(1, "get_balance", &json!({}));
    let text: Value = serde_json::from_str(text_of(&balance)).expect("it is JSON");
    assert_eq!(text["balance"], "1500000000");
    let typed = host.ask(2, "get_typed_balance", &json!({}));
    assert_eq!(typed["result"]["structuredContent"], text);
    let sent = host.ask(3, "send_token", &json!({"to": "a", "amount": "1", "idempotencyKey": "k"}));
    assert!(text_of(&sent).contains("\"idempotencyKey\":\"k\""), "{sent}");
    assert_eq!(daemon.state()["sent_by_key"], json!({"k": 1}));
    daemon.rotate(&session.id, true);
    let refused = error(&host.ask(4, "get_typed_balance", &json!({})));
    assert_eq!((&refused["status"], &refused["code"]), (&json!(401), &json!("INVALID_TOKEN")));
    daemon.order("shape", &json!({"errors": "nested"}));
    let refused = error(&host.ask(5, "send_token", &json!({"to": "a", "amount": "1"})));
    assert_eq!((&refused["status"], &refused["code"]), (&json!(401), &json!("INVALID_TOKEN")));
    assert_eq!(daemon.state()["sent"], 1);
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_daemon_that_is_away_is_a_failed_fetch() {
    let daemon = Daemon::start();
    let base = daemon.base().to_owned();
    assert!(daemon.finish().1);
    let mut host = host(&base, "t");
    let answer = host.ask(1, "get_balance", &json!({}));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(text_of(&answer).starts_with("fetch failed: "), "{answer}");
    host.finish();
}

#[test]
fn many_calls_are_under_way_at_once() {
    const CALLS: usize = 64;
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let mut host = host(daemon.base(), &session.token);
    daemon.hold(BALANCE, "before");
    for id in 0..CALLS {
        host.send(call(id, "get_balance", &json!({})));
    }
    daemon.wait_until(BALANCE, "held", CALLS);
    daemon.rotate(&session.id, false);
    daemon.release();
    for id in 0..CALLS {
        assert_eq!(error(&host.answer(id))["code"], "INVALID_TOKEN");
    }
    assert_eq!(host.finish(), 0);
}

#[test]
fn events_are_told_as_they_come() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let mut host = host(daemon.base(), &session.token);
    daemon.hold("/v1/events", "between");
    let params = json!({"name": "stream_events", "arguments": {}, "_meta": {"progressToken": "p"}});
    host.send(request(1, "tools/call", &params));
    host.message("notifications/progress", 1);
    assert_eq!((host.answers(1), host.messages("notifications/progress")), (0, 1));
    daemon.release();
    assert_eq!(text_of(&host.answer(1)), "first second third");
    assert_eq!(host.messages("notifications/progress"), 3);
    host.finish();
}
