//! What the daemon does when it is told to: failures, gates, and waiting for requests.

use std::io::{ErrorKind, Read as _};
use std::thread;

use serde_json::{Value, json};

use crate::support::daemon::http::Request;
use crate::support::daemon::{BALANCE, Daemon, RENEWALS, fingerprint};
use crate::support::join;
use crate::support::process::WATCHDOG;

#[test]
fn a_renewal_can_be_held_before_and_after_the_tokens_are_swapped() {
    for (at, old_is_valid) in [("before", true), ("after", false)] {
        let daemon = Daemon::start();
        let session = daemon.ripe();
        daemon.hold(RENEWALS, at);
        thread::scope(|scope| {
            let renewal = scope.spawn(|| daemon.renew(&session.id, &session.token));
            let held = daemon.wait_until(RENEWALS, "held", 1);
            assert_eq!((&held[0]["held"], &held[0]["executed"]), (&json!(at), &json!(!old_is_valid)));
            assert_eq!((&held[0]["status"], &held[0]["done"]), (&Value::Null, &json!(false)));
            assert_eq!(daemon.balance(&session.token).status == 200, old_is_valid, "{at}");
            daemon.release();
            let renewed = renewal.join().expect("it does not panic");
            assert_eq!(renewed.status, 200, "{}", renewed.body);
        });
        assert_eq!(daemon.wait_until(RENEWALS, "answered", 1)[0]["status"], 200);
        assert_eq!(daemon.balance(&session.token).refusal(), (401, "INVALID_TOKEN"));
    }
}

#[test]
fn a_gate_can_stop_the_first_only() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    daemon.order("hold", &json!({"path": BALANCE, "at": "before", "times": 1}));
    thread::scope(|scope| {
        let first = scope.spawn(|| daemon.balance(&session.token));
        daemon.wait_until(BALANCE, "held", 1);
        assert_eq!(daemon.balance(&session.token).status, 200, "the second is not held");
        let new = daemon.rotate(&session.id, false);
        daemon.release();
        assert_eq!(first.join().expect("it does not panic").refusal(), (401, "INVALID_TOKEN"));
        assert_eq!(daemon.balance(&new.token).status, 200);
    });
}

#[test]
fn a_request_is_carried_out_although_its_client_has_left() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    daemon.hold(RENEWALS, "before");
    let url = format!("{}/v1/sessions/{}/renew", daemon.base(), session.id);
    let bearer = format!("Bearer {}", session.token);
    let left = thread::spawn(move || {
        let headers = [("Authorization", bearer.as_str())];
        let patience = Some(std::time::Duration::from_millis(1));
        Request { method: "PUT", url: &url, headers: &headers, body: Some(b"{}"), patience }.send().map(drop)
    });
    let error = join(left).expect_err("it does not wait for long");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    daemon.wait_until(RENEWALS, "held", 1);
    daemon.release();
    assert_eq!(daemon.wait_until(RENEWALS, "executed", 1)[0]["executed"], true);
    assert_eq!(daemon.balance(&session.token).refusal(), (401, "INVALID_TOKEN"));
}

#[test]
fn events_come_one_by_one() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    daemon.hold("/v1/events", "between");
    let url = format!("{}/v1/events", daemon.base());
    let bearer = format!("Bearer {}", session.token);
    let headers = [("Authorization", bearer.as_str())];
    let request =
        Request { method: "GET", url: &url, headers: &headers, body: None, patience: Some(WATCHDOG) };
    let mut response = request.send().expect("the daemon answers");
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/event-stream")));
    let mut buffer = [0; 1024];
    let count = response.body.read(&mut buffer).expect("there is an event");
    let first = String::from_utf8_lossy(&buffer[..count]).into_owned();
    assert_eq!(first, "id: 1\nevent: first\ndata: {\"number\":1}\n\n");
    daemon.wait_until("/v1/events", "held", 1);
    daemon.release();
    let rest = String::from_utf8(response.whole().expect("the stream ends well")).expect("it is text");
    assert!(
        rest.starts_with("id: 2\nevent: second\n") && rest.ends_with("data: {\"number\":3}\n\n"),
        "{rest}"
    );
}

#[test]
fn failures_come_as_often_as_they_were_asked_for() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let balance = || daemon.balance(&session.token);
    daemon.fault(BALANCE, &json!({"kind": "unauthorized", "times": 2}));
    assert_eq!(balance().refusal(), (401, "INVALID_TOKEN"));
    assert_eq!(balance().refusal(), (401, "INVALID_TOKEN"));
    assert_eq!(balance().status, 200);
    daemon.fault(BALANCE, &json!({"kind": "alternate", "code": "TOKEN_EXPIRED"}));
    let codes: Vec<u16> = (0..4).map(|_| balance().status).collect();
    assert_eq!(codes, [401, 200, 401, 200]);
    assert_eq!(balance().code(), "TOKEN_EXPIRED");
    daemon.clear();
    assert_eq!(balance().status, 200);
    daemon.order("fault", &json!({"kind": "status", "method": "POST", "status": 500}));
    assert_eq!(balance().status, 200, "it is meant for another method");
}

#[test]
fn errors_come_with_the_status_and_code_that_were_asked_for() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let send = || {
        let body = json!({"to": "a", "amount": "1"});
        daemon.call("POST", "/v1/transactions/send", &session.token, Some(&body))
    };
    let fault = |fault: Value| daemon.fault("/v1/transactions/send", &fault);
    fault(json!({"kind": "status", "code": "POLICY_DENIED", "times": 1}));
    assert_eq!(send().refusal(), (403, "POLICY_DENIED"));
    fault(
        json!({"kind": "status", "status": 429, "code": "RATE_LIMIT_EXCEEDED", "retry_after": 7, "times": 1}),
    );
    let limited = send();
    assert_eq!((limited.refusal(), limited.header("retry-after")), ((429, "RATE_LIMIT_EXCEEDED"), Some("7")));
    fault(json!({"kind": "status", "status": 502, "times": 1}));
    assert_eq!((send().status, send().status), (502, 201), "no code, and then no failure");
    fault(json!({"kind": "unauthorized", "code": "", "times": 1}));
    let bare = send();
    assert_eq!((bare.status, &bare.body), (401, &Value::Null));
    fault(json!({"kind": "redirect", "times": 1}));
    let elsewhere =
        format!("http://localhost:{}/v1/transactions/send", daemon.host().split(':').nth(1).unwrap());
    let redirect = send();
    assert_eq!((redirect.status, redirect.header("location")), (307, Some(elsewhere.as_str())));
    fault(json!({"kind": "not_json", "times": 1}));
    let page = send();
    assert_eq!(
        (page.status, page.header("content-type"), &page.body),
        (200, Some("text/html"), &Value::Null)
    );
    fault(json!({"kind": "wrong_types", "times": 1}));
    assert_eq!(send().body["token"], 42);
    assert_eq!(daemon.state()["sent"], 1, "no other was carried out");
}

#[test]
fn connections_break_where_they_were_asked_to() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    let renewal = format!("/v1/sessions/{}/renew", session.id);
    let bearer = format!("Bearer {}", session.token);
    let headers = [("Authorization", bearer.as_str())];
    let renew = || daemon.send("PUT", &renewal, &headers, Some(b"{}")).expect_err("it breaks").kind();
    daemon.fault(RENEWALS, &json!({"kind": "close", "times": 1}));
    assert_eq!(renew(), ErrorKind::UnexpectedEof);
    daemon.fault(RENEWALS, &json!({"kind": "reset", "times": 1}));
    assert_eq!(renew(), ErrorKind::ConnectionReset);
    assert_eq!(daemon.balance(&session.token).status, 200, "nothing was carried out");
    // Half an answer: the head is there, and what was asked for is done.
    daemon.fault(RENEWALS, &json!({"kind": "half", "times": 1}));
    let url = format!("{}{renewal}", daemon.base());
    let request =
        Request { method: "PUT", url: &url, headers: &headers, body: Some(b"{}"), patience: Some(WATCHDOG) };
    let mut response = request.send().expect("the head is whole");
    let length: usize =
        response.header("content-length").expect("it is told").parse().expect("it is a number");
    let mut half = Vec::new();
    let error = response.body.read_to_end(&mut half).expect_err("the body is not");
    assert_eq!((response.status, error.kind(), half.len()), (200, ErrorKind::UnexpectedEof, length / 2));
    assert_eq!(daemon.balance(&session.token).refusal(), (401, "INVALID_TOKEN"));
    let log = daemon.wait_until(RENEWALS, "answered", 3);
    let told: Vec<(&Value, &Value)> =
        log.iter().map(|entry| (&entry["status"], &entry["executed"])).collect();
    let (no, yes, none) = (json!(false), json!(true), Value::Null);
    assert_eq!(told, [(&none, &no), (&none, &no), (&json!(200), &yes)]);
}

#[test]
fn an_endless_answer_has_no_end() {
    let daemon = Daemon::start();
    daemon.fault(BALANCE, &json!({"kind": "endless"}));
    let url = format!("{}{BALANCE}", daemon.base());
    let request = Request { method: "GET", url: &url, headers: &[], body: None, patience: Some(WATCHDOG) };
    let response = request.send().expect("it has a head");
    let mut much = Vec::new();
    response.body.take(1 << 20).read_to_end(&mut much).expect("it goes on");
    assert_eq!(much.len(), 1 << 20);
}

#[test]
fn a_slow_answer_is_right_and_carried_out_at_once() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    // So long that the test sees the tokens swapped before the answer, and does not wait for that answer.
    daemon.fault(RENEWALS, &json!({"kind": "slow", "ms": 600_000, "times": 1}));
    daemon.fault(BALANCE, &json!({"kind": "slow", "ms": 1, "times": 1}));
    assert_eq!(daemon.balance(&session.token).status, 200);
    let (url, bearer) =
        (format!("{}/v1/sessions/{}/renew", daemon.base(), session.id), format!("Bearer {}", session.token));
    thread::spawn(move || {
        let headers = [("Authorization", bearer.as_str())];
        let body = Some(&b"{}"[..]);
        Request { method: "PUT", url: &url, headers: &headers, body, patience: Some(WATCHDOG) }
            .send()
            .map(drop)
    });
    let renewed = daemon.wait_until(RENEWALS, "executed", 1);
    assert_eq!((&renewed[0]["status"], &renewed[0]["done"]), (&Value::Null, &json!(false)));
    assert_eq!(daemon.balance(&session.token).refusal(), (401, "INVALID_TOKEN"));
}

#[test]
fn a_test_can_wait_for_requests() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.wait(BALANCE, 3));
        for _ in 0..3 {
            daemon.balance(&session.token);
            daemon.send("GET", "/health", &[], None).expect("the daemon lives");
        }
        let found = waiting.join().expect("it does not panic");
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|entry| entry["token"] == fingerprint(&session.token)), "{found:?}");
    });
}
