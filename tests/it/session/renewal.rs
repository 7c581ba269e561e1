//! Renewals: in time, at most one, and none lost.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use super::{balance, balances, keep, plan, serving, story, text, until_served, variable};
use crate::support::daemon::{BALANCE, Daemon, RENEWALS, WALLET, fingerprint};
use crate::support::process::descriptors;
use crate::support::{Plan, call, text_of};

#[test]
fn a_token_is_renewed_in_time_and_the_file_holds_the_new_one() {
    let daemon = Daemon::start();
    // More than 60 % of its life are over.
    let session = daemon.ripe();
    keep(&daemon, &session);
    let mut host = plan(&daemon).start();
    host.greet();
    daemon.wait_until(RENEWALS, "answered", 1);
    host.until("the file holds the new token", || {
        let now = text(&daemon.token_file(WALLET));
        now.starts_with("wai_sess_") && now != session.token
    });
    let new = fingerprint(&text(&daemon.token_file(WALLET)));
    balance(&mut host, "after");
    assert_eq!(balances(&daemon).last(), Some(&(new, 200)));
    host.finish();
    assert_eq!(host.stderr(), "", "nothing that is worth a person's attention");
    assert_eq!(
        daemon
            .log()
            .iter()
            .filter(|request| request["path"].as_str().is_some_and(|path| path.ends_with("/renew")))
            .count(),
        1
    );
}

#[test]
fn a_call_that_is_refused_while_its_token_is_being_renewed_goes_again() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    // T0, T2: the daemon switches, and keeps the answer.
    daemon.hold(RENEWALS, "after");
    let mut host = plan(&daemon).start();
    host.greet();
    host.list();
    daemon.wait_until(RENEWALS, "executed", 1);
    // T1, T3: a call is refused with the old token.
    host.send(call("raced", "send_token", &json!({"to": "a", "amount": "1", "idempotencyKey": "k"})));
    daemon.wait_until("/v1/transactions/send", "answered", 1);
    // T5, T6.
    daemon.release();
    let answer = host.answer("raced");
    assert!(
        answer["result"].get("isError").is_none() && !text_of(&answer).contains("session_expired"),
        "{answer}"
    );
    let sent: Vec<Value> = daemon.wait_until("/v1/transactions/send", "answered", 2);
    let statuses: Vec<_> = sent.iter().map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, [json!(401), json!(201)], "{sent:?}");
    host.finish();
}

/// Asks the gateway as the server would.
fn through_the_gateway(server: i32, line: &str) -> (u16, Value) {
    let url = variable(server, "WAIAAS_BASE_URL").expect("it is told the gateway");
    let address = url.strip_prefix("http://").expect("it is a plain address").to_owned();
    let stand_in = variable(server, "WAIAAS_SESSION_TOKEN").expect("it has a stand-in");
    let mut stream = TcpStream::connect(&address).expect("the gateway listens");
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {stand_in}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).expect("the gateway reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the gateway answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn a_server_that_renews_the_session_itself_gets_no_token_and_all_goes_on() {
    let daemon = Daemon::start();
    // More than half of its life is over, so that the daemon renews it, and less than 60 %.
    let session = daemon.session(&json!({"ttl_ms": 3_600_000, "age_ms": 2_000_000}));
    keep(&daemon, &session);
    let mut host = plan(&daemon).start();
    host.greet();
    host.list();
    let server = host.server(1);
    let line = format!("PUT /v1/sessions/{}/renew", session.id);
    let (status, answer) = through_the_gateway(server, &line);
    let stand_in = variable(server, "WAIAAS_SESSION_TOKEN").expect("it has a stand-in");
    assert_eq!((status, answer["token"].as_str()), (200, Some(stand_in.as_str())), "{answer}");
    assert_eq!(answer["id"], session.id.as_str());
    let new = text(&daemon.token_file(WALLET));
    assert!(new.starts_with("wai_sess_") && new != session.token, "the file holds it before anybody is told");
    balance(&mut host, "after");
    assert_eq!(balances(&daemon), [(fingerprint(&new), 200)]);
    // However it is written, and also where it has just been renewed: it is known.
    let again = through_the_gateway(server, "PUT //v1/sessions/another/%72enew?x=1");
    assert_eq!(again, (200, answer));
    let renewals = daemon.wait(RENEWALS, 1);
    assert_eq!(renewals.len(), 1, "{renewals:?}");
    host.finish();
    assert_eq!(host.stderr(), "");
}

#[test]
fn a_renewal_that_the_daemon_refuses_is_refused_and_changes_nothing() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &session);
    let mut host = plan(&daemon).options("--renew none").start();
    host.greet();
    let line = format!("PUT /v1/sessions/{}/renew", session.id);
    let (status, answer) = through_the_gateway(host.server(1), &line);
    assert_eq!((status, &answer["code"]), (403, &json!("RENEWAL_TOO_EARLY")));
    assert_eq!(text(&daemon.token_file(WALLET)), session.token);
    host.list();
    balance(&mut host, "after");
    host.finish();
}

#[test]
fn two_supervisors_of_one_token_renew_it_once_and_both_go_on() {
    let daemon = Daemon::start();
    keep(&daemon, &daemon.ripe());
    // Both find that it is time before either has a new one.
    daemon.hold(RENEWALS, "before");
    let mut hosts = [plan(&daemon).start(), plan(&daemon).start()];
    for host in &mut hosts {
        host.greet();
        host.list();
    }
    daemon.wait_until(RENEWALS, "held", 1);
    daemon.release();
    for host in &mut hosts {
        until_served(host);
        balance(host, "served");
    }
    for host in &mut hosts {
        host.finish();
        assert_eq!(host.stderr(), "");
    }
    let renewals = daemon
        .log()
        .into_iter()
        .filter(|request| request["path"].as_str().is_some_and(|path| path.ends_with("/renew")));
    assert_eq!(renewals.count(), 1);
}

#[test]
fn a_renewal_that_fails_is_tried_again_and_the_old_token_serves_meanwhile() {
    for kind in ["half", "not_json", "wrong_types", "redirect", "close", "reset", "endless"] {
        let daemon = Daemon::start();
        let session = daemon.ripe();
        keep(&daemon, &session);
        // Without a renewal that is carried out, whose token would be lost.
        daemon.fault(RENEWALS, &json!({"kind": kind, "times": 1, "execute": false}));
        let mut host = plan(&daemon).start();
        host.greet();
        daemon.wait(RENEWALS, 1);
        balance(&mut host, "meanwhile");
        assert_eq!(balances(&daemon), [(fingerprint(&session.token), 200)], "{kind}");
        daemon.wait_until(RENEWALS, "answered", 2);
        host.until("the file holds the new token", || text(&daemon.token_file(WALLET)) != session.token);
        host.finish();
        assert_eq!(host.stderr().lines().count(), 1, "{kind}: {}", host.stderr());
        assert!(host.stderr().contains("failed to renew"), "{kind}: {}", host.stderr());
    }
}

#[test]
fn a_new_token_that_cannot_be_written_is_used_and_written_later() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    daemon.hold(RENEWALS, "before");
    let mut host = plan(&daemon).start();
    host.greet();
    daemon.wait_until(RENEWALS, "held", 1);
    // A directory in its place cannot be replaced by a file.
    let path = daemon.token_file(WALLET);
    fs::remove_file(&path).expect("it is there");
    fs::create_dir(&path).expect("a directory can be made");
    daemon.release();
    host.stderr_line_with("writing it is tried again");
    balance(&mut host, "meanwhile");
    assert_eq!(balances(&daemon).last().map(|(_, status)| *status), Some(200));
    fs::remove_dir(&path).expect("it is empty");
    host.until("the file holds the new token", || text(&path).starts_with("wai_sess_"));
    assert_ne!(text(&path), session.token);
    host.finish();
}

#[test]
fn what_somebody_else_has_written_is_not_written_over_by_what_could_not_be_written() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    daemon.hold(RENEWALS, "before");
    let mut host = plan(&daemon).options("--log info").start();
    host.greet();
    daemon.wait_until(RENEWALS, "held", 1);
    let path = daemon.token_file(WALLET);
    fs::remove_file(&path).expect("it is there");
    fs::create_dir(&path).expect("a directory can be made");
    daemon.release();
    host.stderr_line_with("writing it is tried again");
    // The next time that it is tried, it has to wait, until there is another one.
    let lock = path.with_extension("lock");
    let held = File::open(&lock).expect("it is there");
    let held = Flock::lock(held, FlockArg::LockExclusive).unwrap_or_else(|(_, errno)| panic!("{errno}"));
    let waits = || descriptors(host.pid()).iter().any(|(_, open)| *open == lock);
    host.until("it waits for the lock", waits);
    let other = daemon.rotate(&session.id, false);
    fs::remove_dir(&path).expect("it is empty");
    keep(&daemon, &other);
    drop(held);
    host.until("it has done what it wanted to do", || !waits());
    host.stderr_line_with("using another session token");
    assert_eq!(text(&path), other.token);
    balance(&mut host, "other");
    assert_eq!(balances(&daemon).last(), Some(&(fingerprint(&other.token), 200)));
    host.finish();
    assert_eq!(text(&path), other.token);
}

#[test]
fn who_reads_the_older_file_does_not_renew_while_another_does_who_knows_no_other() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    let older = daemon.data_dir().join("mcp-token");
    fs::rename(daemon.token_file(WALLET), &older).expect("a file can be renamed");
    daemon.hold(RENEWALS, "before");
    let mut without_id = plan(&daemon).variable("WAIAAS_WALLET_ID", "").start();
    without_id.greet();
    daemon.wait_until(RENEWALS, "held", 1);
    let mut with_id = plan(&daemon).start();
    with_id.greet();
    let lock = daemon.data_dir().join("mcp-token.lock");
    let waits = || descriptors(with_id.pid()).iter().any(|(_, open)| *open == lock);
    with_id.until("it waits for the lock", waits);
    daemon.release();
    for host in [&mut without_id, &mut with_id] {
        host.until("the file holds the new token", || text(&older) != session.token);
        host.list();
        until_served(host);
        host.finish();
        assert_eq!(host.stderr(), "");
    }
    assert_eq!(daemon.wait(RENEWALS, 1).len(), 1, "it was renewed once");
    let served = (fingerprint(&text(&older)), 200);
    assert!(
        balances(&daemon).iter().filter(|asked| **asked == served).count() >= 2,
        "{:?}",
        balances(&daemon)
    );
}

#[test]
fn a_daemon_that_refuses_for_ever_is_asked_twice_for_a_call() {
    let (daemon, session, mut host) = serving();
    daemon.fault(BALANCE, &json!({"kind": "unauthorized"}));
    let rotated = daemon.rotate(&session.id, false);
    // The file holds another token when the first refusal is judged.
    keep(&daemon, &rotated);
    let told = host.ask("refused", "get_balance", &json!({}));
    assert_eq!(story(&told)["status"], "session_expired", "{told}");
    assert!(balances(&daemon).len() <= 2, "{:?}", balances(&daemon));
    // What the daemon takes again is used again: the verdict does not stick.
    daemon.clear();
    until_served(&mut host);
    host.finish();
}

#[test]
fn single_options_do_what_the_profile_does() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    let file = daemon.token_file(WALLET);
    // The server takes the gateway's secret path for a part of its API's address, and sends no token of its own.
    let mut host = Plan::new()
        .options(&format!("--upstream {} --upstream-env WAIAAS_BASE_URL", daemon.base()))
        .options(&format!("--token-file {} --token-prefix wai_sess_", file.display()))
        .options(&format!("--renew-url {}/v1/sessions/{{session}}/renew --renew-method put", daemon.base()))
        .server("--daemon-tools")
        .start();
    host.greet();
    host.until("the file holds the new token", || text(&file) != session.token);
    balance(&mut host, "renewed");
    let url = variable(host.server(1), "WAIAAS_BASE_URL").expect("it is told the gateway");
    let path = url.rsplit('/').next().unwrap_or_default();
    assert!(url.starts_with("http://127.0.0.1:") && path.len() >= 22, "{url}");
    assert_eq!(variable(host.server(1), "WAIAAS_SESSION_TOKEN"), None);
    // Whoever does not know the path is not let in, and the path is told to nobody.
    let gateway = url.trim_end_matches(path).trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&gateway).expect("the gateway listens");
    let head = format!("GET {BALANCE} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the gateway reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the gateway answers");
    assert!(["401", "404"].contains(&&answer[9..12]), "{answer}");
    host.finish();
    assert!(!host.stderr().contains(path));
}

#[test]
fn where_it_is_asked_for_the_server_gets_calls_on_a_dead_session() {
    let daemon = Daemon::start();
    let mut host = plan(&daemon).options("--on-expired relay").start();
    host.greet();
    host.stderr_line_with("there is no session token");
    // It says of each what it has to say of it, in the place of which the state is told.
    for number in 0..3 {
        let told = story(&host.ask(number, "get_balance", &json!({})));
        assert_eq!((&told["status"], &told["outcome"]), (&json!("session_expired"), &json!("not_executed")));
        assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("INVALID_TOKEN")), "{told}");
    }
    host.finish();
}
