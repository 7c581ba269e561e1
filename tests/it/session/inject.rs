//! `--inject-env`: the server gets the token itself, and is started again when there is another one.

use serde_json::{Value, json};

use super::{balance, balances, keep, payment, plan, story, until_served, variable};
use crate::support::daemon::{BALANCE, Daemon, Session, WALLET, fingerprint};
use crate::support::{Host, Plan, call, text_of};

/// Where payments are made.
const PAYMENTS: &str = "/v1/transactions/send";

/// A supervisor whose server gets the daemon's token in its environment.
fn injecting(daemon: &Daemon) -> Plan {
    plan(daemon).options("--inject-env WAIAAS_SESSION_TOKEN")
}

/// A daemon, a session of it that lasts, and a server that has its token.
fn serving(options: &str) -> (Daemon, Session, Host) {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &session);
    let mut host = injecting(&daemon).options(options).start();
    host.greet();
    host.list();
    (daemon, session, host)
}

/// What a server has for a token.
fn token_of(host: &Host, generation: usize) -> Option<String> {
    variable(host.server(generation), "WAIAAS_SESSION_TOKEN")
}

/// The statuses with which requests to this path were answered.
fn statuses(daemon: &Daemon, path: &str) -> Vec<Value> {
    daemon.log().iter().filter(|request| request["path"] == path).map(|it| it["status"].clone()).collect()
}

#[test]
fn the_server_has_the_token_and_no_gateway() {
    let (daemon, session, mut host) = serving("");
    assert_eq!(token_of(&host, 1).as_deref(), Some(&*session.token));
    assert_eq!(variable(host.server(1), "WAIAAS_BASE_URL").as_deref(), Some(daemon.base()));
    assert_eq!(variable(host.server(1), "WAIAAS_DATA_DIR"), None);
    balance(&mut host, "one");
    assert_eq!(balances(&daemon), [(fingerprint(&session.token), 200)]);
    assert_eq!(host.finish(), 0);
    assert_eq!(host.stderr(), "");
}

#[test]
fn another_token_means_another_server_and_no_failed_call() {
    let (daemon, session, mut host) = serving("");
    // One call is under way, and the next one comes while the server is to go.
    daemon.hold(BALANCE, "before");
    host.send(call("running", "get_balance", &json!({})));
    daemon.wait_until(BALANCE, "held", 1);
    // The daemon takes both tokens of two sessions.
    let other = daemon.session(&json!({"ttl_ms": 3_600_000}));
    keep(&daemon, &other);
    host.send(call("waiting", "get_balance", &json!({})));
    daemon.release();
    for id in ["running", "waiting"] {
        let answer = host.answer(id);
        assert!(text_of(&answer).contains("\"balance\""), "{answer}");
    }
    host.until("the server has the other token", || {
        host.servers().len() > 1 && token_of(&host, 2).as_deref() == Some(&*other.token)
    });
    balance(&mut host, "after");
    let asked = balances(&daemon);
    assert_eq!(asked.first(), Some(&(fingerprint(&session.token), 200)));
    assert_eq!(asked.last(), Some(&(fingerprint(&other.token), 200)));
    host.finish();
    assert_eq!(host.stderr(), "", "nothing that is worth a person's attention");
}

#[test]
fn a_refused_call_is_made_again_with_the_new_token_if_it_only_reads() {
    let (daemon, session, mut host) = serving("");
    // It is refused with the old token, and the file has the new one by the time that the server says so.
    daemon.hold(BALANCE, "before");
    host.send(call("raced", "get_balance", &json!({})));
    daemon.wait_until(BALANCE, "held", 1);
    let rotated = daemon.rotate(&session.id, false);
    keep(&daemon, &rotated);
    daemon.release();
    let answer = host.answer("raced");
    assert!(text_of(&answer).contains("\"balance\""), "{answer}");
    let asked = balances(&daemon);
    assert_eq!(asked, [(fingerprint(&session.token), 401), (fingerprint(&rotated.token), 200)]);
    host.finish();
    assert_eq!(host.stderr(), "");
}

#[test]
fn what_pays_is_not_made_again_on_the_word_of_a_text() {
    let (daemon, session, mut host) = serving("");
    daemon.hold(PAYMENTS, "before");
    host.send(call("raced", "send_token", &payment()));
    daemon.wait_until(PAYMENTS, "held", 1);
    let rotated = daemon.rotate(&session.id, false);
    keep(&daemon, &rotated);
    daemon.release();
    let told = host.answer("raced");
    assert!(told["result"].get("isError").is_none(), "{told}");
    let told = story(&told);
    assert_eq!((&told["status"], &told["outcome"]), (&json!("session_expired"), &json!("unknown")), "{told}");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("renewed meanwhile")), "{told}");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("401")), "{told}");
    // Called again, it is carried out: by a server that has the new token.
    let paid = host.ask("again", "send_token", &payment());
    assert!(text_of(&paid).contains("PENDING"), "{paid}");
    assert_eq!(statuses(&daemon, PAYMENTS), [json!(401), json!(201)]);
    assert_eq!(token_of(&host, 2).as_deref(), Some(&*rotated.token));
    host.finish();
}

#[test]
fn what_pays_is_made_again_where_the_user_says_so() {
    let (daemon, session, mut host) = serving("--repeat-on-401");
    daemon.hold(PAYMENTS, "before");
    host.send(call("raced", "send_token", &payment()));
    daemon.wait_until(PAYMENTS, "held", 1);
    keep(&daemon, &daemon.rotate(&session.id, false));
    daemon.release();
    let answer = host.answer("raced");
    assert!(text_of(&answer).contains("PENDING"), "{answer}");
    assert_eq!(statuses(&daemon, PAYMENTS), [json!(401), json!(201)]);
    host.finish();
}

#[test]
fn a_revoked_session_is_told_in_the_chat_and_the_next_token_is_given_to_the_server() {
    let (daemon, session, mut host) = serving("");
    daemon.revoke(&session.id);
    let told = story(&host.ask("refused", "get_balance", &json!({})));
    assert_eq!((&told["status"], &told["outcome"]), (&json!("session_expired"), &json!("unknown")), "{told}");
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("SESSION_REVOKED")), "{told}");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("as if its session")), "{told}");
    // One text is no proof: from the second on the session counts as expired, and the server is not asked any more.
    host.ask("once more", "get_balance", &json!({}));
    host.stderr_line_with("the session has expired");
    let asked = balances(&daemon).len();
    host.ask("let through", "get_balance", &json!({}));
    let told = story(&host.ask("not asked", "get_balance", &json!({})));
    assert_eq!(told["outcome"], "not_executed", "{told}");
    assert!(balances(&daemon).len() <= asked + 1);
    keep(&daemon, &daemon.session(&json!({"ttl_ms": 3_600_000})));
    until_served(&mut host);
    host.finish();
}

#[test]
fn a_renewed_token_is_given_to_the_server() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    keep(&daemon, &session);
    let mut host = injecting(&daemon).start();
    host.greet();
    let file = daemon.token_file(WALLET);
    host.until("the file holds the new token", || super::text(&file) != session.token);
    let new = super::text(&file);
    host.until("a server has it", || {
        (1..=host.servers().len()).any(|server| token_of(&host, server).as_deref() == Some(new.trim()))
    });
    balance(&mut host, "after");
    assert_eq!(balances(&daemon).last(), Some(&(fingerprint(new.trim()), 200)));
    host.finish();
    assert_eq!(host.stderr(), "");
}

#[test]
fn a_token_of_the_environment_goes_where_it_is_wanted_and_nowhere_else() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 3_600_000}));
    let mut host = Plan::new()
        .options("--token-env OUR_TOKEN --inject-env WAIAAS_SESSION_TOKEN")
        .variable("OUR_TOKEN", &session.token)
        .variable("WAIAAS_BASE_URL", daemon.base())
        .server("--daemon-tools")
        .start();
    host.greet();
    balance(&mut host, "one");
    assert_eq!(token_of(&host, 1).as_deref(), Some(&*session.token));
    assert_eq!(variable(host.server(1), "OUR_TOKEN"), None);
    host.finish();
    assert_eq!(host.stderr(), "");
}

#[test]
fn without_a_token_the_server_starts_without_one_that_it_would_have_inherited() {
    let daemon = Daemon::start();
    let mut host = Plan::new()
        .options("--token-file nowhere/token --inject-env WAIAAS_SESSION_TOKEN")
        .variable("WAIAAS_SESSION_TOKEN", "left over from something else")
        .variable("WAIAAS_BASE_URL", daemon.base())
        .server("--daemon-tools")
        .start();
    host.greet();
    assert_eq!(token_of(&host, 1), None);
    let told = story(&host.ask("one", "get_balance", &json!({})));
    assert_eq!((&told["status"], &told["outcome"]), (&json!("session_expired"), &json!("not_executed")));
    assert!(daemon.log().is_empty(), "{:?}", daemon.log());
    host.finish();
}

#[test]
fn the_words_of_a_refusal_can_be_told() {
    let (daemon, session, mut host) = serving("--refused-pattern SESSION_(REVOKED|EXPIRED)");
    // Nothing in this pattern.
    daemon.fault(BALANCE, &json!({"kind": "status", "status": 401, "code": "NOT_SO", "times": 1}));
    let other = host.ask("other", "get_balance", &json!({}));
    assert_eq!(other["result"]["isError"], true, "{other}");
    daemon.revoke(&session.id);
    assert_eq!(story(&host.ask("refused", "get_balance", &json!({})))["status"], "session_expired");
    host.finish();
}
